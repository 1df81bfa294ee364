//! Tables of docs/compatibility.md, each between two marks; `scripts/compatibility.sh` writes them anew.

use std::fs;
use std::path::Path;

const PAGE: &str = "docs/compatibility.md";

/// Holds the table named `name` in the page equal to `table`, or with `HILUM_WRITE_DOCS` set writes it.
pub(crate) fn hold(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).expect(PAGE);
    let begin = format!("<!-- {name}: written by scripts/compatibility.sh -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = page.split_once(&begin).expect("the table's first mark");
    let (written, after) = rest.split_once(&end).expect("the table's last mark");
    if std::env::var_os("HILUM_WRITE_DOCS").is_some() {
        let page = format!("{before}{begin}{table}{end}{after}");
        fs::write(&path, page).expect("written");
        return;
    }
    assert_eq!(written, table, "run scripts/compatibility.sh");
}
