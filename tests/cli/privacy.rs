//! The patient's name and id stay inside SR and SEG.

use super::{
    SECRETS, copy, files, findings, only_whole_study, printed, process, put, set_study, study,
};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

fn assert_no_secret(what: &str, text: &str) {
    for secret in SECRETS {
        if let Some(at) = text.find(secret) {
            let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            panic!(
                "{what} holds {secret}: {}",
                text[start..].lines().next().unwrap_or_default()
            );
        }
    }
}

/// Runs with every log there is and looks for the patient in all that is printed and in the names of files.
fn assert_private(paths: &[&Path], out: &Path, code: i32) {
    for log in ["", "trace"] {
        let mut command = process(paths, out);
        command.args(["-vv", "--overwrite", "--json"]);
        if !log.is_empty() {
            command.env("HILUM_LOG", log);
        }
        let run = command.assert().code(code);
        let (stdout, stderr) = printed(run.get_output());
        assert!(!stderr.is_empty());
        assert_no_secret("stdout", &stdout);
        assert_no_secret("stderr", &stderr);
        for path in files(out) {
            assert_no_secret("a file name", &path.to_string_lossy());
            if path.ends_with("findings.json") {
                let findings = fs::read_to_string(&path).expect("findings");
                assert_no_secret("findings.json", &findings);
            }
        }
        fs::remove_dir_all(out).expect("removed");
    }
}

#[test]
fn the_patient_is_in_no_line_and_in_no_file_name() {
    let folder = tempdir().expect("folder");
    // Archives name folders and files like this; no log may repeat it.
    let named = folder.path().join("Quagga^Zebulon_ID-7Q4X");
    copy(study(), &named, |_, _| ());
    for path in files(&named) {
        let name = path.file_name().expect("name").to_string_lossy();
        fs::rename(&path, named.join(format!("Quagga-{name}"))).expect("renamed");
    }
    assert_private(&[&named], &folder.path().join("out"), 0);
}

#[test]
fn the_patient_is_in_no_message_about_damaged_files() {
    let folder = tempdir().expect("folder");
    let (damaged, out) = (folder.path().join("damaged"), folder.path().join("out"));
    copy(study(), &damaged, |file, number| {
        put(file, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3");
        if number == 0 {
            put(file, tags::PIXEL_SPACING, VR::DS, "0\\0");
        }
    });
    let paths = files(&damaged);
    let whole = fs::read(&paths[5]).expect("file");
    fs::write(&paths[5], &whole[..whole.len() / 2]).expect("file");
    // Ends within the patient's name.
    let name = whole
        .windows(6)
        .position(|bytes| bytes == b"Quagga")
        .expect("name");
    fs::write(&paths[6], &whole[..name + 9]).expect("file");
    assert_private(&[study(), &damaged], &out, 1);
}

/// Attributes that are read, of each kind, with the VR that a name or an id gets there.
const MISPLACED: [(Tag, VR); 14] = [
    (tags::SOP_CLASS_UID, VR::UI),
    (tags::SERIES_INSTANCE_UID, VR::UI),
    (tags::FRAME_OF_REFERENCE_UID, VR::UI),
    (tags::MODALITY, VR::CS),
    (tags::RESCALE_TYPE, VR::LO),
    (tags::BODY_PART_EXAMINED, VR::CS),
    (tags::MANUFACTURER, VR::LO),
    (tags::CONVOLUTION_KERNEL, VR::SH),
    (tags::IMAGE_TYPE, VR::CS),
    (tags::PIXEL_SPACING, VR::DS),
    (tags::SLICE_THICKNESS, VR::DS),
    (tags::NUMBER_OF_FRAMES, VR::IS),
    (tags::ROWS, VR::LO),
    (tags::PIXEL_PADDING_VALUE, VR::LO),
];

#[test]
fn the_patient_is_in_no_message_about_the_attribute_that_holds_the_name_by_mistake() {
    const SLICES: usize = 3;
    let folder = tempdir().expect("folder");
    for (number, (tag, vr)) in MISPLACED.into_iter().enumerate() {
        for (kind, secret) in ["Quagga^Zebulon", "7654321"].into_iter().enumerate() {
            let of_study = folder.path().join("wrong").join(format!("{number}-{kind}"));
            copy(study(), &of_study, |file, slice| {
                set_study(file, &format!("1.2.9.{number}.{kind}"), slice);
                put(file, tag, vr, secret);
            });
            let rest = files(&of_study).into_iter().skip(SLICES);
            rest.for_each(|path| fs::remove_file(path).expect("removed"));
        }
    }
    let (wrong, out) = (folder.path().join("wrong"), folder.path().join("out"));
    assert_private(&[&wrong], &out, 1);
}

#[test]
fn the_patient_is_in_the_sr_and_not_in_findings_json() {
    let out = tempdir().expect("folder");
    process(&[study()], out.path()).assert().code(0);
    let uid = only_whole_study(out.path());
    assert_no_secret("findings.json", &findings(out.path(), &uid).to_string());
    let sr = dicom_object::open_file(out.path().join(uid).join("sr.dcm")).expect("SR");
    let name = sr.element(tags::PATIENT_NAME).expect("name").to_str();
    assert_eq!(name.expect("text"), "Quagga^Zebulon");
}
