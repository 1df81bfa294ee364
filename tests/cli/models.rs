//! `hilum model`: what is imported can be listed, inspected and verified; what is refused leaves nothing.

use super::{hilum, printed};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

fn results(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/nnunet")
        .join(case)
}

/// A folder of models with `mine`, imported from the plain network with a completed template.
fn imported() -> TempDir {
    let dir = tempdir().expect("folder");
    let template = hilum()
        .args(["model", "import", "--template"])
        .arg(results("plain"))
        .assert()
        .code(0)
        .stderr("");
    let (template, _) = printed(template.get_output());
    let completed = template
        .replace("value = \"\"", "value = \"27925004\"")
        .replace("meaning = \"\"", "meaning = \"Nodule\"");
    let labels = dir.path().join("labels.toml");
    fs::write(&labels, completed).expect("written");
    let run = hilum()
        .args(["model", "import", "--configuration", "3d_fullres", "--json"])
        .args(["--licence", "CC0-1.0", "--labels"])
        .arg(&labels)
        .arg(results("plain"))
        .arg("--out")
        .arg(dir.path().join("models/mine"))
        .assert()
        .code(0)
        .stderr("");
    let json: Value = serde_json::from_str(&printed(run.get_output()).0).expect("JSON");
    assert_eq!((&json["name"], &json["folds"]), (&"mine".into(), &1.into()));
    assert_eq!(json["labels"][0]["type"]["meaning"], "Nodule");
    dir
}

fn json(arguments: &[&str], dir: &Path, code: i32) -> Value {
    let run = hilum()
        .arg("model")
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .arg("--json")
        .assert()
        .code(code)
        .stderr("");
    serde_json::from_str(&printed(run.get_output()).0).expect("JSON")
}

#[test]
fn an_imported_model_is_whole_listed_described_and_verified() {
    let dir = imported();
    let models = dir.path().join("models");
    let names = super::names(&models.join("mine"));
    let wanted = [
        "CARD.md",
        "golden.safetensors",
        "model.toml",
        "weights.safetensors",
    ];
    assert_eq!(names, wanted);
    let card = fs::read_to_string(models.join("mine/CARD.md")).expect("card");
    assert!(
        card.contains("nnUNetTrainerNoMirroring") && card.contains("CC0-1.0"),
        "{card}"
    );
    let listed = json(&["list"], &models, 0);
    let names = listed["models"]
        .as_array()
        .expect("list")
        .iter()
        .map(|m| &m["name"]);
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["lung-nodule", "lung-nodule-lite", "lymph-node", "mine"]
    );
    let inspected = json(&["inspect", "mine"], &models, 0);
    assert_eq!(inspected["manifest"]["licence"], "CC0-1.0");
    assert_eq!(inspected["patch_mm"], serde_json::json!([24.0, 24.0, 36.0]));
    let bytes = inspected["weights_bytes"].as_u64().expect("bytes");
    let parameters = inspected["parameters"].as_u64().expect("parameters");
    assert!(
        4 * parameters < bytes && bytes < 4 * parameters + 16_384,
        "{inspected}"
    );
    let verified = json(&["verify", "mine", "--device", "cpu"], &models, 0);
    assert_eq!(verified["models"][0]["outcome"], "ok");
}

#[test]
fn a_damaged_model_fails_to_verify_and_the_others_are_told_too() {
    let dir = imported();
    let models = dir.path().join("models");
    let weights = models.join("mine/weights.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&weights, bytes).expect("written");
    let verified = json(&["verify", "--all", "--device", "cpu"], &models, 1);
    let outcomes = [0, 1, 2].map(|model: usize| verified["models"][model]["outcome"].clone());
    assert_eq!(outcomes, ["ok", "ok", "ok"]);
    assert_eq!(
        verified["models"][3]["reason"]["code"],
        "model-weights-hash"
    );
    fs::write(models.join("mine/model.toml"), "format = 1").expect("written");
    let listed = json(&["list"], &models, 1);
    assert_eq!(
        listed["models"][3]["reason"]["code"],
        "model-manifest-invalid"
    );
}

#[test]
fn a_refused_import_says_why_by_code_and_leaves_nothing() {
    let dir = tempdir().expect("folder");
    let out = dir.path().join("mine");
    let import = |case: &str, arguments: &[&str]| {
        let mut command = hilum();
        command
            .args(["model", "import"])
            .arg(results(case))
            .args(arguments);
        command.arg("--out").arg(&out).assert()
    };
    import("plain", &["--configuration", "3d_fullres"])
        .code(2)
        .stdout("")
        .stderr(contains("[import-labels]").and(contains("lesion").and(contains("--template"))));
    import("plain", &[])
        .code(2)
        .stderr(contains("[import-configuration]"));
    import("batch", &["--configuration", "3d_cascade_fullres"])
        .code(1)
        .stderr(contains("[import-cascade]").and(contains("previous_stage is \"3d_lowres\"")));
    import("plain", &["--checkpoint", "best"]).code(2);
    hilum()
        .args(["model", "import"])
        .arg(dir.path())
        .arg("--out")
        .arg(&out)
        .assert()
        .code(2)
        .stderr(contains("[import-not-a-model]"));
    assert_eq!(fs::read_dir(dir.path()).expect("folder").count(), 0);
}

#[test]
fn what_training_leaves_is_imported_described_and_verified_with_its_classifier() {
    let dir = tempdir().expect("folder");
    let models = dir.path().join("models");
    hilum()
        .args(["model", "import"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/classifier"))
        .arg("--out")
        .arg(models.join("mine"))
        .assert()
        .code(0)
        .stderr("");
    let inspected = json(&["inspect", "mine"], &models, 0);
    let classifier = &inspected["manifest"]["classifier"];
    assert_eq!(
        (&classifier["folds"], &classifier["types"][1]),
        (&2.into(), &"part-solid".into())
    );
    assert!(inspected["gflop_per_candidate"].as_f64().expect("a number") > 0.0);
    let verified = json(&["verify", "mine", "--device", "cpu"], &models, 0);
    assert_eq!(verified["models"][0]["outcome"], "ok");
    let golden = models.join("mine/golden.safetensors");
    let mut bytes = fs::read(&golden).expect("golden");
    let name = b"classifier.outputs";
    let at = bytes.windows(name.len()).position(|w| w == name);
    bytes[at.expect("there")] = b'C';
    fs::write(&golden, bytes).expect("written");
    let verified = json(&["verify", "mine", "--device", "cpu"], &models, 1);
    assert_eq!(
        verified["models"][0]["reason"]["code"],
        "model-tensor-missing"
    );
}
