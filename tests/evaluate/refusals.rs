//! Truths and results that are refused, each by its code, and none with the text that could be a name.

use super::{OPTIONS, evaluate, testdata, write_findings};
use glam::DVec3;
use hilum::volume::Geometry;
use hilum::volume_file::encode_label_map;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn truth() -> Value {
    json!({
        "patient": "DOE^JANE",
        "series_instance_uid": "1.2.3",
        "shape_zyx": [4, 5, 6],
        "nodules": [{
            "label": 1, "readers": 3, "centroid_lps_mm": [-97.0, 2.0, 104.0],
            "equivalent_diameter_mm": 4.0, "volume_mm3": 33.0,
        }],
    })
}

/// One voxel of label 1 at [2, 2, 3] of a grid that begins at `origin_lps_mm`.
fn label_map(origin_lps_mm: [f64; 3]) -> Vec<u8> {
    let origin = DVec3::from_array(origin_lps_mm);
    let geometry = Geometry::axis_aligned([4, 5, 6], [2.0, 1.0, 1.0], origin);
    let bytes = encode_label_map(&geometry, |slice, labels| {
        labels[2 * 6 + 3] = u16::from(slice == 2);
    });
    bytes.expect("encoded")
}

const ORIGIN: [f64; 3] = [-100.0, 0.0, 100.0];

struct Case {
    folder: TempDir,
}

impl Case {
    fn new(truth: &str, label_map: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let case = Self { folder };
        fs::create_dir(case.path("truth")).expect("folder");
        fs::write(case.path("truth/x.truth.json"), truth).expect("written");
        fs::write(case.path("truth/x.truth.nii.gz"), label_map).expect("written");
        write_findings(&case.path("out"), "1.2.3", &[([-97.0, 2.0, 104.0], 0.9)]);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn refused(&self) -> &'static str {
        let truth = self.path("truth");
        let error = evaluate(&truth, &self.path("out"), &OPTIONS).expect_err("refused");
        let text = error.to_string();
        assert!(!text.contains("JANE"), "{text}");
        error.code()
    }
}

#[test]
fn the_case_of_these_tests_is_sound() {
    let case = Case::new(&truth().to_string(), &label_map(ORIGIN));
    evaluate(&case.path("truth"), &case.path("out"), &OPTIONS).expect("evaluated");
}

#[test]
fn truth_files_that_cannot_be_are_refused() {
    let change = |at: &str, value: Value| {
        let mut truth = truth();
        *truth.pointer_mut(at).expect("a key") = value;
        truth.to_string()
    };
    let without = |key: &str| {
        let mut truth = truth();
        let nodule = truth["nodules"][0].as_object_mut().expect("object");
        nodule.remove(key).expect("a key");
        truth.to_string()
    };
    let mut twice = truth();
    twice["nodules"] = json!([twice["nodules"][0], twice["nodules"][0]]);
    let mut named = truth();
    named["nodules"][0]["attachment"] = "DOE^JANE".into();
    let mut typed = truth();
    typed["nodules"][0]["type"] = "DOE^JANE".into();
    for text in [
        "{".into(),
        "{\"nodules\": ".repeat(300),
        "{\"nodules\": \"DOE^JANE\"}".into(),
        without("readers"),
        without("centroid_lps_mm"),
        change("/series_instance_uid", "DOE^JANE".into()),
        change("/nodules/0/label", 0.into()),
        change("/nodules/0/label", 70_000.into()),
        change("/nodules/0/readers", "JANE".into()),
        change("/nodules/0/equivalent_diameter_mm", (-1).into()),
        change("/nodules/0/volume_mm3", 0.into()),
        change("/nodules/0/centroid_lps_mm", json!([0, 0])),
        change("/nodules/0/centroid_lps_mm", json!([0, 0, 1e300])),
        change("/shape_zyx", json!([4, 5, -6])),
        twice.to_string(),
        named.to_string(),
        typed.to_string(),
    ] {
        let case = Case::new(&text, &label_map(ORIGIN));
        assert_eq!(case.refused(), "truth-malformed", "{text:.200}");
    }
}

#[test]
fn label_maps_that_do_not_fit_are_refused() {
    let sound = label_map(ORIGIN);
    let mirrored = label_map([95.0, 0.0, 100.0]);
    let cut = &sound[..sound.len() / 2];
    for (bytes, code) in [
        (&mirrored[..], "truth-misplaced"),
        (b"no volume", "volume-file-malformed"),
        (b"", "volume-file-malformed"),
    ] {
        let case = Case::new(&truth().to_string(), bytes);
        assert_eq!(case.refused(), code);
    }
    assert!(
        Case::new(&truth().to_string(), cut)
            .refused()
            .starts_with("volume-file-")
    );
    let mut other = truth();
    other["shape_zyx"] = json!([4, 6, 5]);
    assert_eq!(
        Case::new(&other.to_string(), &sound).refused(),
        "truth-shape"
    );
    let case = Case::new(&truth().to_string(), &sound);
    fs::remove_file(case.path("truth/x.truth.nii.gz")).expect("removed");
    assert_eq!(case.refused(), "truth-label-map-missing");
}

#[test]
fn no_truth_and_two_truths_of_one_series_are_refused() {
    let case = Case::new("{\"settings\": 1}", &label_map(ORIGIN));
    assert_eq!(case.refused(), "truth-not-found");
    let case = Case::new(&truth().to_string(), &label_map(ORIGIN));
    fs::create_dir(case.path("truth/copy")).expect("folder");
    for name in ["x.truth.json", "x.truth.nii.gz"] {
        let copy = case.path("truth/copy").join(name);
        fs::copy(case.path("truth").join(name), copy).expect("copied");
    }
    assert_eq!(case.refused(), "truth-duplicate");
    fs::remove_dir_all(case.path("truth")).expect("removed");
    assert_eq!(case.refused(), "io");
}

#[test]
fn results_that_are_none_are_refused() {
    let replaced = |text: &str| {
        let case = Case::new(&truth().to_string(), &label_map(ORIGIN));
        fs::write(case.path("out/1.2.3/findings.json"), text).expect("written");
        case.refused()
    };
    for text in [
        "",
        "[]",
        "{\"series\": []}",
        r#"{"series": [{"series_instance_uid": "JANE", "status": "done"}], "lesions": [], "provenance": {}}"#,
        r#"{"series": [{"series_instance_uid": "1.2.3", "status": "JANE"}], "lesions": [], "provenance": {}}"#,
        r#"{"series": [], "lesions": [{"id": 1, "tracking_uid": "1", "kind": "lung-nodule", "series_instance_uid": "1.2.3",
            "confidence": 0.5, "centroid_lps_mm": [0, 0, 0], "volume_mm3": 1}], "provenance": {}}"#,
        r#"{"series": [{"series_instance_uid": "1.2.3", "status": "done"}], "lesions": [{"id": 1, "tracking_uid": "1",
            "kind": "lung-nodule", "series_instance_uid": "1.2.3", "confidence": 1.5, "centroid_lps_mm": [0, 0, 0],
            "volume_mm3": 1}], "provenance": {}}"#,
    ] {
        assert_eq!(replaced(text), "results-malformed", "{text}");
    }
    let other = r#"{"series": [{"series_instance_uid": "9.9", "status": "done"}], "lesions": [], "provenance": {}}"#;
    assert_eq!(replaced(other), "nothing-evaluated");
    let case = Case::new(&truth().to_string(), &label_map(ORIGIN));
    write_findings(&case.path("out/again"), "1.2.3", &[]);
    assert_eq!(case.refused(), "results-duplicate");
    fs::remove_dir_all(case.path("out")).expect("removed");
    fs::create_dir(case.path("out")).expect("folder");
    assert_eq!(case.refused(), "results-not-found");
}

#[test]
fn a_series_that_failed_misses_its_nodules_and_says_why() {
    let case = Case::new(&truth().to_string(), &label_map(ORIGIN));
    let failed = r#"{"series": [{"series_instance_uid": "1.2.3", "status": "failed", "reason": {"code": "truncated", "text": ""}}],
        "lesions": [], "provenance": {}}"#;
    fs::write(case.path("out/1.2.3/findings.json"), failed).expect("written");
    let evaluation = evaluate(&case.path("truth"), &case.path("out"), &OPTIONS);
    let found = super::summary(&evaluation.expect("evaluated"));
    assert_eq!(found["detection"]["sensitivity"]["value"], 0.0);
    assert_eq!(found["series"][0]["reason"], "truncated");
}

#[test]
fn every_prefix_of_a_truth_and_of_results_is_refused_or_read() {
    let file = |name: &str| fs::read(testdata().join(name)).expect("file");
    let truth = file("truth/a.truth.json");
    let case = Case::new("{}", &file("truth/a.truth.nii.gz"));
    let try_all = |path: &Path, bytes: &[u8]| {
        for end in (0..bytes.len()).step_by(bytes.len().div_ceil(60)) {
            fs::write(path, &bytes[..end]).expect("written");
            let _ = evaluate(&case.path("truth"), &case.path("out"), &OPTIONS);
        }
    };
    try_all(&case.path("truth/x.truth.json"), &truth);
    fs::write(case.path("truth/x.truth.json"), &truth).expect("written");
    let results = file("results/1.2.826.0.1.3680043.8.498.7.1/findings.json");
    try_all(&case.path("out/1.2.3/findings.json"), &results);
    fs::write(case.path("out/1.2.3/findings.json"), &results).expect("written");
    try_all(
        &case.path("truth/x.truth.nii.gz"),
        &file("truth/a.truth.nii.gz"),
    );
}
