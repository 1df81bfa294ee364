//! `findings.json`: by its schema, and without any patient attribute.

use super::assessment::spoken;
use super::study::{Plane, done, report, series, sphere};
use super::{SIZE, dicom, every_kind_of_entry, json, schema};
use hilum::lesion::Kind;
use hilum::report::encode;

#[test]
fn findings_json_follows_its_schema() {
    let series = series(1, Plane::Axial, SIZE);
    for report in [every_kind_of_entry(&series), report(Vec::new())] {
        let json = json(&encode(&report).expect("encoded"));
        let errors: Vec<String> = schema().iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn the_schema_demands_every_key_and_allows_more() {
    let series = series(1, Plane::Axial, SIZE);
    let whole = json(&encode(&every_kind_of_entry(&series)).expect("encoded"));
    let schema = schema();
    for key in whole.as_object().expect("an object").keys() {
        let mut less = whole.clone();
        less.as_object_mut().expect("an object").remove(key);
        assert!(!schema.is_valid(&less), "{key}");
    }
    for key in whole["lesions"][0].as_object().expect("an object").keys() {
        let mut less = whole.clone();
        less["lesions"][0]
            .as_object_mut()
            .expect("an object")
            .remove(key);
        assert!(!schema.is_valid(&less), "{key}");
    }
    let mut more = whole.clone();
    more["later"] = true.into();
    assert!(schema.is_valid(&more));
    let mut silent = whole;
    silent["series"][1]["reason"] = serde_json::Value::Null;
    assert!(!schema.is_valid(&silent), "a failed series has a reason");
}

#[test]
fn findings_json_holds_no_patient_attributes() {
    let series = series(1, Plane::Axial, SIZE);
    let files = encode(&every_kind_of_entry(&series)).expect("encoded");
    let text = String::from_utf8(files[2].bytes.clone()).expect("UTF-8");
    for secret in ["ller", "SECRET-ID", "19500102", "20240229", "A1\""] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn findings_json_of_one_nodule() {
    let series = series(1, Plane::Axial, SIZE);
    let files = encode(&every_kind_of_entry(&series)).expect("encoded");
    let text = String::from_utf8(files[2].bytes.clone()).expect("UTF-8");
    let redacted: Vec<String> = text
        .lines()
        .map(|line| match line.find("\"2.25.") {
            Some(at) => format!("{}\"<derived>\",", &line[..at]),
            None => line.into(),
        })
        .collect();
    insta::assert_snapshot!(redacted.join("\n"));
}

#[test]
fn a_lymph_node_is_normal_or_enlarged_by_its_short_axis_and_nothing_else_is() {
    let series = series(1, Plane::Axial, SIZE);
    let of = |kind: Kind, radius_mm| {
        let (mut lesion, measurement) = sphere(&series, [6, 20, 10], radius_mm);
        lesion.kind = kind;
        lesion.terms = kind.into();
        let files =
            encode(&report(vec![done(&series, vec![(lesion, measurement)])])).expect("encoded");
        let found = json(&files);
        assert!(schema().is_valid(&found), "{found}");
        let mut said = String::new();
        spoken(&dicom(&files, "sr.dcm"), 0, &mut said);
        let is_said = said.contains("Enlarged lymph node");
        (found["lesions"][0]["node_size"].clone(), is_said)
    };
    assert_eq!(of(Kind::LymphNode, 4.9), ("normal".into(), false));
    assert_eq!(of(Kind::LymphNode, 5.0), ("enlarged".into(), true));
    assert_eq!(of(Kind::LungNodule, 5.0), (serde_json::Value::Null, false));
}
