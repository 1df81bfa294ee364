//! A patient's name or id in an attribute where it does not belong: in no error, no warning and no reason.

use super::fixture::{SERIES, folder_of, read, slice, with};
use super::instance::STACK_ATTRIBUTES;
use super::{Inventory, KernelPreference, Request, select};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::InMemDicomObject;
use proptest::prelude::*;
use tempfile::tempdir;

/// What is read of an image besides [`STACK_ATTRIBUTES`].
const READ: [Tag; 27] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::FRAME_OF_REFERENCE_UID,
    tags::MODALITY,
    tags::CONVERSION_TYPE,
    tags::MANUFACTURER,
    tags::BODY_PART_EXAMINED,
    tags::CONTRAST_BOLUS_AGENT,
    tags::SERIES_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::PIXEL_SPACING,
    tags::SLICE_THICKNESS,
    tags::SAMPLES_PER_PIXEL,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
];

/// The attribute's own VR where that is text.
fn vr(tag: Tag) -> VR {
    let entry = StandardDataDictionary.by_tag(tag);
    match entry.map(|entry| entry.vr().relaxed()) {
        Some(vr @ (VR::CS | VR::DS | VR::IS | VR::SH | VR::UI)) => vr,
        _ => VR::LO,
    }
}

/// All that is told of what was read.
fn told(inventory: &Inventory) -> String {
    let mut told = Vec::new();
    for unreadable in &inventory.unreadable {
        told.push(format!("{unreadable} {:?}", unreadable.error));
    }
    for study in &inventory.studies {
        for left_out in &study.left_out {
            told.push(format!(
                "{left_out} {:?} {}",
                left_out.error, left_out.modality
            ));
        }
        for series in &study.series {
            told.push(format!("{:?}", series.warnings));
            told.extend(series.warnings.iter().map(ToString::to_string));
        }
        for modality in ["CT", "PT"] {
            let selection = select(study, &request(modality), true);
            told.push(format!("{:?}", selection.passed_over));
        }
        told.extend(study.header().err().map(|e| format!("{e} {e:?}")));
    }
    told.join("\n")
}

fn request(modality: &str) -> Request {
    Request {
        modality: modality.into(),
        body_parts: vec!["CHEST".into()],
        kernel: KernelPreference::Soft,
        min_coverage_mm: 20.0,
        max_slice_spacing_mm: 3.0,
    }
}

/// Two slices and a copy of each that tells itself apart by the value, as phases do.
fn stacks(tag: Tag, value: &str) -> Vec<InMemDicomObject> {
    let again = |z: u16| {
        let uid = format!("{SERIES}.{}", 10 + z);
        let object = with(slice(z), tags::SOP_INSTANCE_UID, VR::UI, uid);
        with(object, tag, vr(tag), value)
    };
    vec![slice(0), slice(1), again(0), again(1)]
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z]{3,9}\\^[A-Z]{3,9}",
        "[A-Z][a-z]{2,8} [A-Z][a-z]{2,8}",
        "[1-9][0-9]{5,9}",
        "[A-Z]{2}[0-9]{5,8}",
        Just("M\u{fc}ller^J\u{f6}rg".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_stands_in_a_wrong_attribute_is_repeated_nowhere(secret in secret()) {
        for tag in READ.into_iter().chain(STACK_ATTRIBUTES) {
            for value in [secret.clone(), format!("{secret}\\{secret}"), format!("1\\{secret}")] {
                let wrong = |z| with(slice(z), tag, vr(tag), value.as_str());
                let one_wrong = folder_of([slice(0), slice(1), wrong(2)]);
                let all_wrong = folder_of([wrong(0), wrong(1)]);
                let two_stacks = folder_of(stacks(tag, &value));
                for folder in [one_wrong, all_wrong, two_stacks] {
                    let told = told(&read(folder.path()));
                    prop_assert!(!told.contains(&secret), "{secret} in {tag}: {told}");
                }
            }
        }
    }

    #[test]
    fn what_stands_for_a_transfer_syntax_is_repeated_nowhere(secret in secret()) {
        let folder = tempdir().unwrap();
        super::fixture::write(folder.path(), "a.dcm", slice(0));
        let path = folder.path().join("a.dcm");
        let syntax = uids::EXPLICIT_VR_LITTLE_ENDIAN.as_bytes();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(syntax.len()).position(|part| part == syntax).unwrap();
        let value = format!("{secret:20.20}");
        bytes[at..at + 20].copy_from_slice(&value.as_bytes()[..20]);
        std::fs::write(&path, bytes).unwrap();
        let told = told(&read(folder.path()));
        prop_assert!(!told.contains(secret.get(..20).unwrap_or(&secret)), "{told}");
    }
}
