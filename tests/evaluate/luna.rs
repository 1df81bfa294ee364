//! LUNA16's CSV files.

use super::{OPTIONS, summary, write_findings};
use hilum::evaluate::{Error, Evaluation, Format, LunaFiles, Results, Truth};
use std::fs;
use std::path::Path;

const HEADER: &str = "seriesuid,coordX,coordY,coordZ,diameter_mm\n";

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn annotations_exclusions_and_empty_series_count_as_in_luna16() {
    let folder = tempfile::tempdir().expect("folder");
    let annotations = format!("{HEADER}1.1,10.0,-20.5,-300,8.0\r\n1.1,50,50,-200,6\n");
    write(folder.path(), "annotations.csv", &annotations);
    let excluded = format!("{HEADER}1.2,0,0,0,-1\n");
    let luna = LunaFiles {
        excluded: Some(write(folder.path(), "excluded.csv", &excluded)),
        series: Some(write(
            folder.path(),
            "seriesuids.csv",
            "1.1\n1.2\n1.3\n1.4\n",
        )),
    };
    let results = folder.path().join("results");
    // 4 mm off a nodule of 8 mm is a hit, 4.1 mm is none; an excluded mark without a diameter has 10 mm.
    let first = [([14.0, -20.5, -300.0], 0.9), ([10.0, -20.5, -304.1], 0.8)];
    write_findings(&results, "1.1", &first);
    write_findings(
        &results,
        "1.2",
        &[([0.0, 5.0, 0.0], 0.95), ([0.0, 5.1, 0.0], 0.4)],
    );
    write_findings(&results, "1.3", &[([0.0, 0.0, 0.0], 0.7)]);
    let truth = Truth::read(folder.path(), &luna).expect("truth");
    assert_eq!((truth.format, truth.cases.len()), (Format::Luna16, 4));
    let results = Results::read(&results).expect("results");
    let evaluation = Evaluation::new(truth, &results, &OPTIONS).expect("evaluated");
    let found = summary(&evaluation);
    let detection = &found["detection"];
    assert_eq!([&detection["found"], &detection["nodules"]], [1, 2]);
    assert_eq!([&detection["false_positives"], &detection["scans"]], [2, 3]);
    assert_eq!(found["series"][1]["ignored"], 1);
    assert_eq!(found["not_processed"][0]["series_instance_uid"], "1.4");
    assert_eq!(found["series"][0]["without_overlap"], "no-label-map");
    let files = evaluation.files().expect("files");
    let csv = files
        .iter()
        .find(|f| f.name == "candidates.csv")
        .expect("candidates.csv");
    let csv = str::from_utf8(&csv.bytes).expect("UTF-8");
    let expected = "seriesuid,coordX,coordY,coordZ,probability\n1.1,14,-20.5,-300,0.9\n";
    assert!(csv.starts_with(expected), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 5);
}

#[test]
fn broken_lines_are_refused_by_their_number_without_their_text() {
    let folder = tempfile::tempdir().expect("folder");
    let refused = |text: &str| -> Error {
        let path = write(folder.path(), "annotations.csv", text);
        Truth::read(&path, &LunaFiles::default()).expect_err("refused")
    };
    for (line, said) in [
        ("1.2,1,2,Jane,5", "line 3: coordZ is no number"),
        ("1.2,1,2,nan,5", "line 3: coordZ is no number"),
        ("1.2,1,2,1e9,5", "line 3: coordZ is no number"),
        ("1.2,1,2,3", "line 3: 4 values, 5 are needed"),
        ("1.2,1,2,3,0", "line 3: diameter_mm must be positive"),
        ("Jane,1,2,3,5", "line 3: seriesuid is no UID"),
    ] {
        let error = refused(&format!("{HEADER}1.2,1,2,3,5\n{line}\n"));
        assert_eq!(error.code(), "truth-line");
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains("Jane"), "{text}");
    }
    for header in [
        "seriesuid,x,y,z,diameter_mm",
        "",
        "seriesuid,coordX,coordY,coordZ,diameter_mm,Jane",
    ] {
        let error = refused(&format!("{header}\n1.2,1,2,3,5\n"));
        assert_eq!(error.code(), "truth-columns");
        assert!(!error.to_string().contains("Jane"), "{error}");
    }
    let path = folder.path().join("annotations.csv");
    fs::write(&path, [HEADER.as_bytes(), b"1.2,1,2,\xff,5\n"].concat()).expect("written");
    let error = Truth::read(&path, &LunaFiles::default()).expect_err("refused");
    assert_eq!(error.code(), "truth-line");
    let list = write(folder.path(), "list.csv", "seriesuid\n1.2\nJane\n");
    fs::write(&path, HEADER).expect("written");
    let luna = LunaFiles {
        excluded: None,
        series: Some(list),
    };
    let error = Truth::read(&path, &luna).expect_err("refused").to_string();
    assert!(
        error.contains("line 3") && !error.contains("Jane"),
        "{error}"
    );
}
