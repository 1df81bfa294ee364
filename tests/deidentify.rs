//! Sharing a case: no identifier is left in any byte, and the images are still the same images.

use assert_cmd::Command;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use hilum::deidentify::{Options, Summary, run};
use hilum::dicom::{Series, load, read_paths};
use std::fs;
use std::path::{Path, PathBuf};

const SHIFT: Options = Options {
    shift_dates: true,
    retain_patient_characteristics: false,
    include_burned_in: false,
};

const SLICES: usize = 12;

/// Values that may be nowhere in the output, each put where files have such.
const IDENTIFIERS: [(Tag, VR, &str); 22] = [
    (tags::PATIENT_NAME, VR::PN, "Geheimnis^Gustav"),
    (tags::PATIENT_ID, VR::LO, "PID-4711"),
    (tags::PATIENT_BIRTH_DATE, VR::DA, "19431224"),
    (tags::PATIENT_ADDRESS, VR::LO, "Hauptstrasse 77"),
    (tags::ACCESSION_NUMBER, VR::SH, "ACC-8899"),
    (tags::INSTITUTION_NAME, VR::LO, "Klinik Nirgendwo"),
    (tags::STATION_NAME, VR::SH, "STATION-42"),
    (tags::DEVICE_SERIAL_NUMBER, VR::LO, "SERIAL-0815"),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Überweiser^Ulla"),
    (tags::OPERATORS_NAME, VR::PN, "Operateur^Otto"),
    (tags::STUDY_DATE, VR::DA, "20240229"),
    (tags::SERIES_DATE, VR::DA, "20240301"),
    (tags::ACQUISITION_DATE_TIME, VR::DT, "20240302101500"),
    (tags::STUDY_DESCRIPTION, VR::LO, "Beschreibung eins"),
    (tags::SERIES_DESCRIPTION, VR::LO, "Beschreibung zwei"),
    (tags::IMAGE_COMMENTS, VR::LT, "Kommentar hier"),
    (tags::PROTOCOL_NAME, VR::LO, "PROTOKOLL-9"),
    (tags::STUDY_ID, VR::SH, "STUDY-55"),
    (tags::REQUESTING_SERVICE, VR::LO, "Dienststelle"),
    (tags::CONTRAST_BOLUS_AGENT, VR::LO, "AGENS-Geheim"),
    (Tag(0x0009, 0x1001), VR::LO, "private secret"),
    (Tag(0x6000, 0x4000), VR::LT, "overlay secret"),
];

const NESTED: [(Tag, VR, &str); 3] = [
    (tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.2.276.77.1"),
    (tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "STEP-7654"),
    (tags::PHYSICIANS_OF_RECORD, VR::PN, "Akte^Anna"),
];

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// Slice `z` of the committed phantom.
fn slice(z: usize) -> DefaultDicomObject {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = format!("testdata/phantom-chest/series/{:06}.dcm", z + 1);
    open_file(root.join(name)).expect("the committed phantom")
}

/// A slice that is full of identifiers.
fn identified(z: usize) -> DefaultDicomObject {
    let mut object = slice(z);
    put(
        &mut object,
        tags::SPECIFIC_CHARACTER_SET,
        VR::CS,
        "ISO_IR 100",
    );
    for (tag, vr, value) in IDENTIFIERS {
        put(&mut object, tag, vr, value);
    }
    // A maker's text that stays, unless somebody typed the patient's name into it.
    put(
        &mut object,
        tags::MANUFACTURER_MODEL_NAME,
        VR::LO,
        "Scanner of GUSTAV",
    );
    let item =
        NESTED.map(|(tag, vr, value)| DataElement::new(tag, vr, PrimitiveValue::from(value)));
    let item = InMemDicomObject::from_element_iter(item);
    for tag in [
        tags::REQUEST_ATTRIBUTES_SEQUENCE,
        tags::REFERENCED_IMAGE_SEQUENCE,
    ] {
        let items = DataSetSequence::from(vec![item.clone()]);
        object.put(DataElement::new(tag, VR::SQ, items));
    }
    object
}

/// Twelve slices, in files that are called by the patient's name.
fn case(change: impl Fn(usize, &mut DefaultDicomObject)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    for z in 0..SLICES {
        let mut object = identified(z);
        change(z, &mut object);
        let name = format!("Geheimnis_{z}.dcm");
        object.write_to_file(dir.path().join(name)).expect("file");
    }
    dir
}

fn deidentified(input: &Path, options: Options) -> (tempfile::TempDir, Summary) {
    let out = tempfile::tempdir().expect("folder");
    let summary = run(&[input.to_owned()], out.path(), options, &|_| {}).expect("a run");
    (out, summary)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dir).sort_by_file_name();
    let files = files.into_iter().map(|entry| entry.expect("readable"));
    files
        .filter(|f| f.file_type().is_file())
        .map(|f| f.into_path())
        .collect()
}

fn only_series(dir: &Path) -> Series {
    let mut inventory = read_paths(&[dir.to_owned()], &|_| {});
    assert_eq!(inventory.unreadable, []);
    assert_eq!(inventory.studies.len(), 1);
    assert_eq!(inventory.studies[0].series.len(), 1);
    inventory.studies.remove(0).series.remove(0)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window.eq_ignore_ascii_case(text))
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object.get(tag).and_then(|found| found.to_str().ok());
    value.map_or(String::new(), |v| v.trim_matches(['\0', ' ']).to_owned())
}

/// Every identifier, with its parts and in Latin-1 too, and the UIDs of the source.
fn secrets() -> Vec<Vec<u8>> {
    let values = IDENTIFIERS
        .iter()
        .chain(&NESTED)
        .map(|(_, _, value)| *value);
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for value in values {
        secrets.extend(value.split('^').map(|part| part.as_bytes().to_vec()));
        let latin = value
            .chars()
            .filter_map(|c| u8::try_from(u32::from(c)).ok());
        secrets.push(latin.collect());
    }
    for z in 0..SLICES {
        let object = slice(z);
        for tag in [
            tags::STUDY_INSTANCE_UID,
            tags::SERIES_INSTANCE_UID,
            tags::SOP_INSTANCE_UID,
            tags::FRAME_OF_REFERENCE_UID,
        ] {
            secrets.push(text(&object, tag).into_bytes());
        }
    }
    secrets
}

#[test]
fn no_identifier_is_left_in_any_byte_or_name() {
    let input = case(|_, _| {});
    for options in [
        SHIFT,
        Options {
            shift_dates: false,
            ..SHIFT
        },
    ] {
        let (out, summary) = deidentified(input.path(), options);
        assert_eq!((summary.objects, summary.series), (SLICES, 1));
        assert!(summary.left_out.is_empty());
        for file in files(out.path()) {
            let bytes = fs::read(&file).expect("readable");
            let name = file
                .strip_prefix(out.path())
                .expect("below")
                .display()
                .to_string();
            for secret in secrets() {
                let shown = String::from_utf8_lossy(&secret);
                assert!(!contains(&bytes, &secret), "{shown} is in {name}");
                assert!(!contains(name.as_bytes(), &secret), "{shown} is in {name}");
            }
        }
    }
}

#[test]
fn the_images_are_the_same_images() {
    let input = case(|_, _| {});
    let (out, _) = deidentified(input.path(), SHIFT);
    let (before, after) = (only_series(input.path()), only_series(out.path()));
    assert_eq!(before.geometry, after.geometry);
    let volume = |series| load(series, u64::MAX, None).expect("a volume");
    assert_eq!(volume(&before), volume(&after));
    assert_eq!(before.instances[0].kernel, after.instances[0].kernel);
    assert_eq!(before.instances[0].body_part, after.instances[0].body_part);
    assert!(after.instances[0].contrast);
}

#[test]
fn what_was_done_stands_in_each_object_by_code() {
    let input = case(|_, _| {});
    let options = Options {
        retain_patient_characteristics: true,
        ..SHIFT
    };
    let (out, _) = deidentified(input.path(), options);
    let object = open_file(&files(out.path())[0]).expect("DICOM");
    assert_eq!(text(&object, tags::PATIENT_IDENTITY_REMOVED), "YES");
    assert_eq!(
        text(&object, tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED),
        "MODIFIED"
    );
    let codes = object.element(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE);
    let codes: Vec<String> = codes
        .expect("codes")
        .items()
        .expect("items")
        .iter()
        .map(|item| text(item, tags::CODE_VALUE))
        .collect();
    assert_eq!(codes, ["113100", "113107", "113108"]);
    assert_eq!(text(&object, tags::PATIENT_SEX), "O");
    assert!(text(&object, tags::PATIENT_ID).starts_with("HILUM-"));
}

#[test]
fn uids_and_dates_stay_consistent_in_a_run_and_unlinked_between_runs() {
    let input = case(|_, _| {});
    let (first, _) = deidentified(input.path(), SHIFT);
    let (second, _) = deidentified(input.path(), SHIFT);
    let objects: Vec<_> = files(first.path())
        .iter()
        .map(|f| open_file(f).expect("DICOM"))
        .collect();
    let of = |tag| {
        objects
            .iter()
            .map(move |object| text(object, tag))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(of(tags::STUDY_INSTANCE_UID).len(), 1);
    assert_eq!(of(tags::FRAME_OF_REFERENCE_UID).len(), 1);
    assert_eq!(of(tags::SOP_INSTANCE_UID).len(), SLICES);
    assert_eq!(of(tags::PATIENT_ID).len(), 1);
    assert_eq!(of(tags::STUDY_DATE).len(), 1);
    let media = text(&objects[0], tags::SOP_INSTANCE_UID);
    assert_eq!(
        objects[0]
            .meta()
            .media_storage_sop_instance_uid()
            .trim_end_matches('\0'),
        media
    );
    let other = open_file(&files(second.path())[0]).expect("DICOM");
    assert!(!of(tags::STUDY_INSTANCE_UID).contains(&text(&other, tags::STUDY_INSTANCE_UID)));
    assert!(!of(tags::PATIENT_ID).contains(&text(&other, tags::PATIENT_ID)));
}

#[test]
fn images_that_may_show_text_pass_only_when_told() {
    let change = |z: usize, object: &mut DefaultDicomObject| match z {
        0 => put(object, tags::BURNED_IN_ANNOTATION, VR::CS, "YES"),
        1 => put(
            object,
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        ),
        2 => put(
            object,
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::BASIC_TEXT_SR_STORAGE,
        ),
        _ => {}
    };
    let input = case(change);
    let (_out, summary) = deidentified(input.path(), SHIFT);
    assert_eq!(summary.objects, SLICES - 3);
    let left_out: Vec<_> = summary.left_out.into_iter().collect();
    let expected = [
        "burned-in-annotation",
        "deidentify-sop-class",
        "secondary-capture",
    ];
    assert_eq!(left_out, expected.map(|code| (code, 1)));
    let told = Options {
        include_burned_in: true,
        ..SHIFT
    };
    let (_out, summary) = deidentified(input.path(), told);
    assert_eq!(summary.objects, SLICES - 1);
}

#[test]
fn an_output_folder_that_holds_anything_is_left_alone() {
    let input = case(|_, _| {});
    let out = tempfile::tempdir().expect("folder");
    fs::write(out.path().join("kept"), "kept").expect("file");
    let error = run(&[input.path().to_owned()], out.path(), SHIFT, &|_| {}).unwrap_err();
    assert_eq!(error.code(), "output-not-empty");
    assert_eq!(files(out.path()).len(), 1);
}

#[test]
fn the_command_tells_nothing_of_the_patient() {
    let input = case(|z, object| {
        if z == 0 {
            put(object, tags::BURNED_IN_ANNOTATION, VR::CS, "YES");
        }
    });
    fs::write(input.path().join("Geheimnis.dcm"), "DICM").expect("file");
    let out = tempfile::tempdir().expect("folder");
    let told = Command::new(env!("CARGO_BIN_EXE_hilum"))
        .args(["-vv", "deidentify", "--json"])
        .args([input.path(), out.path()])
        .output()
        .expect("run");
    assert_eq!(told.status.code(), Some(1));
    let summary: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(summary["objects"], SLICES - 1);
    assert_eq!(summary["left_out"]["burned-in-annotation"], 1);
    for secret in secrets() {
        let shown = String::from_utf8_lossy(&secret);
        assert!(!contains(&told.stdout, &secret), "{shown} on stdout");
        assert!(!contains(&told.stderr, &secret), "{shown} on stderr");
    }
}
