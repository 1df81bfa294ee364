//! The truth of a phantom.

use super::{OPTIONS, evaluate, read, summary, write_findings};
use serde_json::{Value, json};
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

#[test]
fn bands_reviews_and_types_of_a_classifier_are_counted() {
    let truth = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest/truth.json");
    let known = read(&truth);
    let folder = tempfile::tempdir().expect("folder");
    let uid = known["series_instance_uid"].as_str().expect("UID");
    let nodules = known["nodules"].as_array().expect("list");
    let centre =
        |n: &Value| [0, 1, 2].map(|axis| n["centroid_lps_mm"][axis].as_f64().expect("number"));
    let mut found: Vec<_> = nodules.iter().map(|n| (centre(n), 0.9)).collect();
    found.push(([0.0, 0.0, 5000.0], 0.4));
    write_findings(folder.path(), uid, &found);
    let none = evaluate(&truth, folder.path(), &OPTIONS).expect("evaluated");
    assert_eq!(summary(&none)["assessments"], Value::Null);
    let file = folder.path().join(uid).join("findings.json");
    let mut findings = read(&file);
    for (index, lesion) in findings["lesions"]
        .as_array_mut()
        .expect("list")
        .iter_mut()
        .enumerate()
    {
        let is_nodule = index < nodules.len();
        lesion["band"] = if is_nodule { "high" } else { "low" }.into();
        lesion["review"] = if is_nodule {
            json!([])
        } else {
            json!(["undecided"])
        };
        let told = if index == 0 {
            "ground-glass".into()
        } else {
            nodules
                .get(index)
                .map_or(json!("solid"), |n| n["kind"].clone())
        };
        lesion["nodule_type"] = json!({ "value": told, "probability": 0.7 });
    }
    std::fs::write(&file, findings.to_string()).expect("written");
    let found = summary(&evaluate(&truth, folder.path(), &OPTIONS).expect("evaluated"));
    let assessments = &found["assessments"];
    let n = nodules.len();
    assert_eq!(
        assessments["bands"],
        json!([{ "name": "high", "n": n, "hits": n }, { "name": "low", "n": 1, "hits": 0 }])
    );
    assert_eq!(
        assessments["review"],
        json!([{ "name": "asked", "n": 1, "hits": 0 }, { "name": "not asked", "n": n, "hits": n }])
    );
    let agreement = &assessments["type_agreement"];
    assert_eq!(agreement["n"], n);
    let expected = (n - 1) as f64 / n as f64;
    assert!(
        (agreement["value"].as_f64().expect("number") - expected).abs() < 1e-12,
        "{agreement}"
    );
}
