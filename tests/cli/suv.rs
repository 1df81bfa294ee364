//! `hilum suv` from outside: a phantom whose CT says that it is a PET.

use super::{SECRETS, copy, files, hilum, printed, put, study};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const TEXTS: [(dicom_core::Tag, VR, &str); 15] = [
    (tags::MODALITY, VR::CS, "PT"),
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
    (tags::UNITS, VR::CS, "BQML"),
    (tags::DECAY_CORRECTION, VR::CS, "START"),
    (tags::CORRECTED_IMAGE, VR::CS, "ATTN\\DECY"),
    (tags::RESCALE_SLOPE, VR::DS, "2"),
    (tags::RESCALE_INTERCEPT, VR::DS, "0"),
    (tags::SERIES_DATE, VR::DA, "20250101"),
    (tags::SERIES_TIME, VR::TM, "110000"),
    (tags::ACQUISITION_DATE, VR::DA, "20250101"),
    (tags::ACQUISITION_TIME, VR::TM, "110000"),
    (tags::PATIENT_WEIGHT, VR::DS, "70"),
    (tags::PATIENT_SIZE, VR::DS, "1.75"),
    (tags::PATIENT_SEX, VR::CS, "F"),
    (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4.5"),
];

/// The phantom as a PET of fluorine, each file changed by `edit`.
fn pet(edit: impl Fn(&mut DefaultDicomObject)) -> TempDir {
    let folder = tempdir().expect("folder");
    copy(study(), folder.path(), |file, _| {
        let class = uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;
        put(file, tags::SOP_CLASS_UID, VR::UI, class);
        for (tag, vr, value) in TEXTS {
            put(file, tag, vr, value);
        }
        file.remove_element(tags::RESCALE_TYPE);
        let tracer = [
            (tags::RADIONUCLIDE_TOTAL_DOSE, VR::DS, "350000000"),
            (tags::RADIONUCLIDE_HALF_LIFE, VR::DS, "6586.2"),
            (
                tags::RADIOPHARMACEUTICAL_START_DATE_TIME,
                VR::DT,
                "20250101100000",
            ),
        ];
        let tracer = tracer.map(|(tag, vr, value)| DataElement::new(tag, vr, value));
        let tracer = InMemDicomObject::from_element_iter(tracer);
        file.put(DataElement::new(
            tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![tracer]),
        ));
        edit(file);
    });
    folder
}

fn suv(folder: &Path, options: &[&str], code: i32) -> (Value, String) {
    let run = hilum()
        .arg("suv")
        .arg(folder)
        .arg("--json")
        .args(options)
        .assert();
    let (stdout, stderr) = printed(run.code(code).get_output());
    for secret in SECRETS {
        assert!(
            !stdout.contains(secret) && !stderr.contains(secret),
            "{secret}"
        );
    }
    (serde_json::from_str(&stdout).expect("JSON"), stderr)
}

#[test]
fn suv_is_printed_with_its_branch_and_nothing_of_the_patient() {
    let folder = pet(|_| ());
    let (json, stderr) = suv(folder.path(), &[], 0);
    let series = &json["series"][0];
    assert_eq!((&series["refusal"], stderr.as_str()), (&Value::Null, ""));
    let number = |name: &str| series["suvbw"][name].as_f64().expect("a number");
    assert!(number("min") <= number("median") && number("median") <= number("max"));
    assert_eq!(series["suvbw"]["voxels"], 44 * 48 * 48);
    assert_eq!(
        series["branch"]["decay"]["reference"],
        "acquisition-at-series-time"
    );
    assert_eq!(series["branch"]["dose_bq"], 350e6);
    assert!(!series.to_string().contains("20250101"), "{series}");
    let run = hilum().arg("suv").arg(folder.path()).assert().code(0);
    run.stdout(contains(
        "injected 10:00:00 (date-time), values of 11:00:00",
    ));
}

#[test]
fn a_refused_series_has_its_code_and_leaves_with_one() {
    let folder = pet(|file| {
        file.remove_element(tags::PATIENT_WEIGHT);
    });
    let (json, _) = suv(folder.path(), &[], 1);
    let series = &json["series"][0];
    assert_eq!(series["suvbw"], Value::Null);
    assert_eq!(series["refusal"]["code"], "suv-missing-attribute");
    let message = series["refusal"]["message"].as_str().expect("text");
    assert!(message.contains("PatientWeight (0010,1030)"), "{message}");
    let unreadable = pet(|file| put(file, tags::PATIENT_WEIGHT, VR::DS, "Zebulon"));
    let (json, _) = suv(unreadable.path(), &[], 1);
    assert_eq!(json["series"][0]["refusal"]["code"], "bad-value");
}

#[test]
fn the_policy_decides_on_a_derived_time() {
    let folder = pet(|file| {
        put(file, tags::SERIES_TIME, VR::TM, "120000");
        put(file, tags::FRAME_REFERENCE_TIME, VR::DS, "60000");
        put(file, tags::ACTUAL_FRAME_DURATION, VR::IS, "120000");
    });
    let (json, _) = suv(folder.path(), &[], 1);
    let code = &json["series"][0]["refusal"]["code"];
    assert_eq!(code, "suv-reference-time-derived");
    let (json, _) = suv(folder.path(), &["--policy", "lenient"], 0);
    assert_eq!(
        json["series"][0]["warnings"][0]["code"],
        "suv-reference-time-derived"
    );
}

#[test]
fn ct_alone_and_regions_that_are_none_are_told() {
    let (json, stderr) = suv(study(), &[], 1);
    assert_eq!(
        (json["series"].as_array().map(Vec::len), stderr.as_str()),
        (Some(0), "no PET series was found\n")
    );
    let folder = pet(|_| ());
    let slice = files(folder.path()).remove(0);
    let with_roi = |roi: &Path| {
        hilum()
            .arg("suv")
            .arg(folder.path())
            .arg("--roi")
            .arg(roi)
            .assert()
            .code(1)
    };
    with_roi(&slice).stderr(contains("[unsupported-value]"));
    let text = folder.path().join("mask.nii");
    fs::write(&text, "no volume").expect("written");
    with_roi(&text).stderr(contains("[volume-file-malformed]"));
}
