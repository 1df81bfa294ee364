//! The truth of a phantom.

use super::{OPTIONS, evaluate, read, summary, write_findings};
use serde_json::Value;
use std::path::Path;

#[test]
fn a_phantom_is_evaluated_by_its_forms_and_types() {
    let truth = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest/truth.json");
    let known = read(&truth);
    let number = |value: &Value| value.as_f64().expect("number");
    let nodules = known["nodules"].as_array().expect("list");
    let centre = |nodule: &Value| [0, 1, 2].map(|axis| number(&nodule["centroid_lps_mm"][axis]));
    let found: Vec<_> = nodules.iter().skip(1).map(|n| (centre(n), 0.9)).collect();
    let folder = tempfile::tempdir().expect("folder");
    let uid = known["series_instance_uid"].as_str().expect("UID");
    write_findings(folder.path(), uid, &found);
    let evaluation = evaluate(&truth, folder.path(), &OPTIONS).expect("evaluated");
    let found = summary(&evaluation);
    assert_eq!(found["detection"]["found"], nodules.len() - 1);
    assert_eq!(found["detection"]["nodules"], nodules.len());
    assert_eq!(found["overlap"]["dice"]["n"], 0);
    assert_eq!(
        found["overlap"]["volume_error_percent"]["n"],
        nodules.len() - 1
    );
    let count = |group: &str| {
        let strata = found["strata"][group].as_array().expect("list").iter();
        strata.map(|s| s["n"].as_u64().expect("count")).sum::<u64>()
    };
    assert_eq!(
        [count("by_type"), count("by_attachment")],
        [nodules.len() as u64; 2]
    );
}
