//! Imported nnU-Nets through the main job: SR, SEG and findings as of any model.

use super::{copy, files, hilum, printed, process, put, study};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// Imports a random network of `testdata/nnunet`; each label with its kind.
fn import(case: &str, labels: &[(&str, &str)], further: &[&str], dir: &Path) -> PathBuf {
    let terms = labels.iter().map(|(name, kind)| {
        let [category, term] = match *kind {
            "organ" => [("91723000", "Anatomical Structure"), ("10200004", "Liver")],
            _ => [("49755003", "Morphologically Abnormal Structure"), ("52988006", "Lesion")],
        };
        let code = |(value, meaning): (&str, &str)| {
            format!("{{ value = \"{value}\", scheme = \"SCT\", meaning = \"{meaning}\" }}")
        };
        let (category, term) = (code(category), code(term));
        format!("[[labels]]\nname = \"{name}\"\nkind = \"{kind}\"\ncategory = {category}\ntype = {term}\n")
    });
    let file = dir.join("labels.toml");
    fs::write(&file, terms.collect::<String>()).expect("written");
    let out = dir.join(case);
    hilum()
        .args([
            "model",
            "import",
            "--configuration",
            "3d_fullres",
            "--labels",
        ])
        .arg(file)
        .args(further)
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("testdata/nnunet")
                .join(case),
        )
        .arg("--out")
        .arg(&out)
        .assert()
        .code(0);
    out
}

/// The one study's results, and findings.json.
fn run(paths: &[&Path], model: &Path, out: &TempDir) -> (Vec<String>, Value) {
    let mut command = process(paths, out.path());
    command
        .args(["--min-confidence", "0", "--model"])
        .arg(model);
    command.assert().code(0);
    let results = files(out.path());
    let findings = results.iter().find(|path| path.ends_with("findings.json"));
    let findings = fs::read(findings.expect("findings.json")).expect("readable");
    let name = |path: &PathBuf| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    (
        results.iter().map(name).collect(),
        serde_json::from_slice(&findings).expect("JSON"),
    )
}

#[test]
fn an_imported_residual_encoder_finds_lesions_and_organs() {
    let (dir, out) = (tempdir().expect("folder"), tempdir().expect("folder"));
    let labels = [("organ", "organ"), ("lesion", "pet-lesion")];
    let model = import("residual", &labels, &["--modality", "CT"], dir.path());
    let (names, findings) = run(&[study()], &model, &out);
    for name in ["sr.dcm", "seg.dcm", "findings.json"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert_eq!(findings["structures"][0]["name"], "organ");
    assert_eq!(findings["structures"][0]["code"]["meaning"], "Liver");
    let lesions = findings["lesions"].as_array().expect("lesions");
    assert!(!lesions.is_empty() && lesions.iter().all(|lesion| lesion["kind"] == "pet-lesion"));
}

/// The study's CT and a PET made of it.
fn with_pet(folder: &Path, units: &str) {
    copy(study(), &folder.join("ct"), |_, _| {});
    copy(study(), &folder.join("pt"), |file, number| {
        let uid = format!("1.2.826.0.1.3680043.10.1474.9.{number}");
        put(
            file,
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            "1.2.826.0.1.3680043.10.1474.9",
        );
        put(file, tags::SOP_INSTANCE_UID, VR::UI, uid.as_str());
        put(
            file,
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
        );
        put(file, tags::MODALITY, VR::CS, "PT");
        put(file, tags::UNITS, VR::CS, units);
        put(file, tags::RESCALE_SLOPE, VR::DS, "2.5");
        file.meta_mut().media_storage_sop_class_uid =
            uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE.into();
        file.meta_mut().media_storage_sop_instance_uid = uid;
    });
}

#[test]
fn an_imported_model_of_ct_and_pet_reads_both_series() {
    let (dir, out) = (tempdir().expect("folder"), tempdir().expect("folder"));
    let labels = [
        ("whole", "pet-lesion"),
        ("core", "pet-lesion"),
        ("rim", "pet-lesion"),
    ];
    let model = import("two-channel", &labels, &["--modality", "CT,PT"], dir.path());
    with_pet(dir.path(), "BQML");
    let series = [dir.path().join("ct"), dir.path().join("pt")];
    let (names, findings) = run(&[&series[0], &series[1]], &model, &out);
    assert!(names.contains(&"seg.dcm".to_owned()), "{names:?}");
    assert!(!findings["lesions"].as_array().expect("lesions").is_empty());
    let again = tempdir().expect("folder");
    assert_eq!(
        run(&[&series[0], &series[1]], &model, &again).1["lesions"],
        findings["lesions"]
    );
    let sr = files(out.path())
        .into_iter()
        .find(|path| path.ends_with("sr.dcm"));
    let sr = dicom_object::open_file(sr.expect("sr.dcm")).expect("DICOM");
    let evidence = sr.element(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let of_study = &evidence.expect("evidence").items().expect("a study")[0];
    let of_series = of_study
        .element(tags::REFERENCED_SERIES_SEQUENCE)
        .expect("series");
    // CT, PET and the SEG.
    assert_eq!(of_series.items().expect("series").len(), 3);
}

#[test]
fn a_ct_without_its_pet_is_passed_over_by_code() {
    let (dir, out) = (tempdir().expect("folder"), tempdir().expect("folder"));
    let labels = [
        ("whole", "pet-lesion"),
        ("core", "pet-lesion"),
        ("rim", "pet-lesion"),
    ];
    let model = import("two-channel", &labels, &["--modality", "CT,PT"], dir.path());
    let (_, findings) = run(&[study()], &model, &out);
    let series = &findings["series"][0];
    assert_eq!(series["status"], "skipped");
    assert_eq!(series["reason"]["code"], "channel-missing");
    with_pet(dir.path(), "CNTS");
    let other = tempdir().expect("folder");
    let series = [dir.path().join("ct"), dir.path().join("pt")];
    let (_, findings) = run(&[&series[0], &series[1]], &model, &other);
    let codes: Vec<&Value> = findings["series"]
        .as_array()
        .expect("series")
        .iter()
        .map(|s| &s["reason"]["code"])
        .collect();
    assert!(codes.contains(&&Value::from("channel-units")), "{codes:?}");
}

#[test]
fn test_time_augmentation_is_another_run() {
    let (dir, out) = (tempdir().expect("folder"), tempdir().expect("folder"));
    let labels = [("organ", "organ"), ("lesion", "pet-lesion")];
    let model = import("residual", &labels, &["--modality", "CT"], dir.path());
    let (_, plain) = run(&[study()], &model, &out);
    let augmented = tempdir().expect("folder");
    let mut command = process(&[study()], augmented.path());
    command
        .args(["--tta", "--min-confidence", "0", "--model"])
        .arg(&model);
    command.assert().code(0);
    let findings = files(augmented.path())
        .into_iter()
        .find(|path| path.ends_with("findings.json"));
    let text = fs::read(findings.expect("findings.json")).expect("readable");
    let found: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(found["provenance"]["parameters"]["tta"], true);
    assert_ne!(found["provenance"]["run_id"], plain["provenance"]["run_id"]);
}

#[test]
fn an_imported_model_is_listed_with_the_built_in_one() {
    let dir = tempdir().expect("folder");
    let labels = [("organ", "organ"), ("lesion", "pet-lesion")];
    import("residual", &labels, &["--modality", "CT"], dir.path());
    let run = hilum()
        .args(["model", "list", "--dir"])
        .arg(dir.path())
        .assert()
        .code(0);
    let (listed, _) = printed(run.get_output());
    assert!(
        listed.contains("lung-nodule-lite") && listed.contains("residual"),
        "{listed}"
    );
    hilum()
        .args(["model", "list", "--dir"])
        .arg(dir.path())
        .assert()
        .stdout(contains("built-in"));
}
