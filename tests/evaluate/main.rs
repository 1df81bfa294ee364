//! Results against truths: counts as the outside judge counts, figures as NumPy and SciPy compute them, and what is refused.

#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "../common/study.rs"]
mod study;

mod golden;
mod luna;
mod outlines;
mod phantom;
mod refusals;

use hilum::evaluate::{Error, Evaluation, LunaFiles, Options, Results, Truth};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const OPTIONS: Options = Options {
    readers: 3,
    threshold: 0.5,
    bootstrap: 0,
    seed: 0,
    max_voxels: 1 << 27,
};

/// What `scripts/make-golden-evaluate.py` wrote.
fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/evaluate")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON")
}

fn evaluate(truth: &Path, results: &Path, options: &Options) -> Result<Evaluation, Error> {
    let truth = Truth::read(truth, &LunaFiles::default())?;
    Evaluation::new(truth, &Results::read(results)?, options)
}

fn summary(evaluation: &Evaluation) -> Value {
    serde_json::to_value(&evaluation.summary).expect("JSON")
}

/// `findings.json` of one series with candidates (LPS mm, confidence).
fn write_findings(folder: &Path, series: &str, candidates: &[([f64; 3], f64)]) {
    let lesion = |(index, (centre, confidence)): (usize, &([f64; 3], f64))| {
        json!({
            "id": index + 1, "tracking_uid": format!("1.2.{index}"), "kind": "lung-nodule",
            "series_instance_uid": series, "confidence": confidence, "centroid_lps_mm": centre,
            "volume_mm3": 100.0,
        })
    };
    let lesions: Vec<Value> = candidates.iter().enumerate().map(lesion).collect();
    let findings = json!({
        "series": [{ "series_instance_uid": series, "status": "done", "reason": null }],
        "lesions": lesions,
        "provenance": { "models": [] },
    });
    let folder = folder.join(series);
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("findings.json"), findings.to_string()).expect("written");
}

fn assert_close(found: &Value, expected: &Value, what: &str) {
    let [found, expected] = [found, expected].map(|v| v.as_f64().unwrap_or(f64::NAN));
    assert!(
        (found - expected).abs() < 1e-9,
        "{what}: {found}, not {expected}"
    );
}
