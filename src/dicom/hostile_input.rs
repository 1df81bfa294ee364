//! What damaged, foreign and malicious files do: a coded refusal each, and the rest is read.

use super::fixture::{
    MAX_VOXELS, at, bytes, folder_of, only_refusal, only_series, read, slice, with, without, write,
};
use super::{Error, Inventory, header, load, read_paths};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::TransferSyntaxIndex;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use glam::DVec3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;

fn unreadable_codes(inventory: &Inventory) -> Vec<&'static str> {
    inventory
        .unreadable
        .iter()
        .map(|u| u.error.code())
        .collect()
}

/// A data set of explicit little endian elements behind a valid File Meta Information.
fn file_with_data_set(data_set: &[u8]) -> Vec<u8> {
    let mut file = bytes(InMemDicomObject::from_element_iter([
        DataElement::new(
            tags::SOP_CLASS_UID,
            VR::UI,
            PrimitiveValue::from(uids::CT_IMAGE_STORAGE),
        ),
        DataElement::new(
            tags::SOP_INSTANCE_UID,
            VR::UI,
            PrimitiveValue::from("1.2.3"),
        ),
    ]));
    file.extend(data_set);
    file
}

fn refusal_of(file: &[u8]) -> Error {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.dcm"), file).unwrap();
    let mut inventory = read(folder.path());
    assert_eq!(inventory.unreadable.len(), 1);
    inventory.unreadable.remove(0).error
}

#[test]
fn a_batch_goes_on_beside_files_that_are_no_dicom() {
    let folder = folder_of((0..3).map(slice));
    let path = |name: &str| folder.path().join(name);
    let whole = bytes(slice(7));
    fs::create_dir(path("deep")).unwrap();
    fs::write(path("deep/a-truncated.dcm"), &whole[..whole.len() - 9]).unwrap();
    fs::write(path("deep/b-empty"), []).unwrap();
    fs::write(path("deep/c-random.DCM"), [0x5a; 3000]).unwrap();
    fs::write(path("deep/notes.txt"), "not DICOM").unwrap();
    let inventory = read_paths(&[folder.path().to_owned(), path("missing")], &|_| ());
    assert_eq!(
        unreadable_codes(&inventory),
        ["truncated", "empty-file", "not-dicom", "io"]
    );
    assert_eq!(
        inventory.skipped.into_iter().collect::<Vec<_>>(),
        [("not-dicom", 1)]
    );
    assert_eq!(inventory.studies[0].series[0].instances.len(), 3);
}

#[test]
fn a_file_that_was_named_itself_is_never_passed_over_in_silence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "not DICOM").unwrap();
    assert_eq!(
        unreadable_codes(&read_paths(&[path], &|_| ())),
        ["not-dicom"]
    );
}

#[test]
fn every_file_is_read_once_and_counted() {
    let folder = folder_of((0..3).map(slice));
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let (calls, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let paths = [folder.path().to_owned(), folder.path().join("1.dcm")];
    let inventory = read_paths(&paths, &|done| {
        calls.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(done, Ordering::Relaxed);
    });
    assert_eq!(inventory.unreadable, []);
    assert_eq!(inventory.studies[0].series[0].warnings, []);
    assert_eq!((calls.into_inner(), most.into_inner()), (3, 3));
}

#[test]
fn a_dicomdir_is_skipped() {
    let directory = without(slice(0), tags::PIXEL_DATA);
    let class = uids::MEDIA_STORAGE_DIRECTORY_STORAGE;
    let folder = folder_of([with(directory, tags::SOP_CLASS_UID, VR::UI, class)]);
    let inventory = read(folder.path());
    assert_eq!(inventory.skipped["dicomdir"], 1);
    assert!(inventory.studies.is_empty() && inventory.unreadable.is_empty());
}

#[test]
fn series_of_two_studies_are_kept_apart_and_ordered_by_uid() {
    let other = |z, study: &str, series: &str| {
        let object = with(slice(z), tags::STUDY_INSTANCE_UID, VR::UI, study);
        let object = with(object, tags::SERIES_INSTANCE_UID, VR::UI, series);
        with(
            object,
            tags::SOP_INSTANCE_UID,
            VR::UI,
            format!("{series}.{z}"),
        )
    };
    let names = [
        ("1.2.9", "1.2.9.1"),
        ("1.2.4", "1.2.4.2"),
        ("1.2.4", "1.2.4.1"),
    ];
    let folder = folder_of(
        names
            .iter()
            .flat_map(|(t, s)| [other(0, t, s), other(1, t, s)]),
    );
    let inventory = read(folder.path());
    let found: Vec<_> = inventory
        .studies
        .iter()
        .flat_map(|t| {
            t.series
                .iter()
                .map(|s| (t.study_instance_uid.as_str(), s.uid()))
        })
        .collect();
    assert_eq!(
        found,
        [
            ("1.2.4", "1.2.4.1"),
            ("1.2.4", "1.2.4.2"),
            ("1.2.9", "1.2.9.1")
        ]
    );
}

#[test]
fn a_localizer_among_the_slices_is_left_out_with_a_warning() {
    let scout = with(
        slice(9),
        tags::IMAGE_TYPE,
        VR::CS,
        "ORIGINAL\\PRIMARY\\LOCALIZER",
    );
    let folder = folder_of([slice(0), slice(1), scout]);
    let series = only_series(folder.path());
    assert_eq!(series.instances.len(), 2);
    assert_eq!(series.warnings[0].code(), "instances-left-out");
}

#[test]
fn a_damaged_slice_at_the_end_is_named_and_its_series_goes_on() {
    let damaged = with(slice(2), tags::PIXEL_SPACING, VR::DS, "0\\0");
    let folder = folder_of([slice(0), slice(1), damaged]);
    let inventory = read_paths(&[folder.path().to_owned()], &|_| ());
    let series = &inventory.studies[0].series[0];
    assert_eq!(series.instances.len(), 2);
    assert_eq!(series.warnings[0].code(), "instances-left-out");
    assert_eq!(unreadable_codes(&inventory), ["bad-value"]);
    assert!(inventory.unreadable[0].path.ends_with("2.dcm"));
}

#[test]
fn a_damaged_slice_is_named_beside_the_gap_that_it_leaves() {
    let broken = with(slice(1), tags::PIXEL_SPACING, VR::DS, "NaN\\1");
    let folder = folder_of([slice(0), broken.clone(), slice(2), slice(3)]);
    let inventory = read_paths(&[folder.path().to_owned()], &|_| {});
    let warnings = inventory.studies[0].series[0].warnings.iter();
    let codes: Vec<_> = warnings.map(|w| w.code()).collect();
    assert_eq!(codes, ["missing-slices", "instances-left-out"]);
    let damaged: Vec<_> = inventory
        .unreadable
        .iter()
        .map(|u| u.error.code())
        .collect();
    assert_eq!(damaged, ["bad-value"]);
    let folder = folder_of([slice(0), broken]);
    assert_eq!(only_refusal(folder.path()), "bad-value");
}

#[test]
fn file_meta_information_with_a_wrong_group_length_is_read() {
    let folder = tempdir().unwrap();
    for z in 0..2 {
        let mut file = bytes(slice(z));
        file[140..144].copy_from_slice(&u32::MAX.to_le_bytes());
        fs::write(folder.path().join(format!("{z}.dcm")), file).unwrap();
    }
    assert_eq!(only_series(folder.path()).instances.len(), 2);
}

#[test]
fn data_sets_without_file_meta_information_are_read_if_they_start_as_one() {
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
    ] {
        let folder = tempdir().unwrap();
        for z in 0..2 {
            let syntax = TransferSyntaxRegistry.get(syntax).unwrap();
            let mut data_set = Vec::new();
            slice(z)
                .write_dataset_with_ts(&mut data_set, syntax)
                .unwrap();
            fs::write(folder.path().join(z.to_string()), data_set).unwrap();
        }
        let volume = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap();
        assert_eq!(volume.samples[23..25], [23, 100], "{syntax}");
    }
}

#[test]
fn bytes_that_only_look_like_a_data_set_are_no_dicom() {
    let start = [8, 0, 5, 0, b'C', b'S', 4, 0, b'A', b'B', b'C', b'D'];
    assert_eq!(refusal_of(&start).code(), "not-dicom");
    let text = b"\x08\0 some text that is no data set at all";
    assert_eq!(refusal_of(text).code(), "not-dicom");
}

#[test]
fn an_element_that_claims_four_gigabytes_is_refused() {
    let claim = [
        0x09, 0, 0x01, 0x10, b'O', b'B', 0, 0, 0xf0, 0xff, 0xff, 0xff, 1, 2,
    ];
    assert_eq!(
        refusal_of(&file_with_data_set(&claim)).code(),
        "header-too-large"
    );
}

#[test]
fn file_meta_information_that_claims_too_much_is_refused() {
    let mut long_value = bytes(slice(0));
    // (0002,0001) is OB with a 4-byte length at offset 8 of the element.
    long_value[152..156].copy_from_slice(&0x7fff_fff0_u32.to_le_bytes());
    assert_eq!(refusal_of(&long_value).code(), "header-too-large");
}

#[test]
fn a_binary_value_with_a_rest_is_refused_before_its_rest_is_taken_for_an_element() {
    // One byte of US, then what an element of 1 GiB would look like from that byte on.
    let rest = [
        0x28, 0, 0x02, 0, b'U', b'S', 1, 0, 0x09, 0, 0x01, 0x10, b'O', b'B', 0, 0, 0, 0, 0, 0x40,
    ];
    assert_eq!(refusal_of(&file_with_data_set(&rest)).code(), "malformed");
}

#[test]
fn texts_without_letters_are_refused_before_each_takes_a_string() {
    let private = Tag(0x0009, 0x1001);
    let object = with(slice(0), private, VR::UC, "\\".repeat(3 << 20));
    assert_eq!(refusal_of(&bytes(object)).code(), "header-too-large");
}

#[test]
fn sequences_nested_without_end_are_refused() {
    let open = [0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255];
    let item = [0xfe, 0xff, 0x00, 0xe0, 255, 255, 255, 255];
    let nested = [open.as_slice(), &item].concat().repeat(100_000);
    assert_eq!(refusal_of(&file_with_data_set(&nested)).code(), "malformed");
}

#[test]
fn a_header_holds_everything_but_the_pixel_data() {
    let folder = folder_of([slice(0), slice(1)]);
    let series = only_series(folder.path());
    let object = header(&series.instances[0]).unwrap();
    assert_eq!(
        object
            .element(tags::PATIENT_NAME)
            .unwrap()
            .to_str()
            .unwrap(),
        "Secret^Name"
    );
    assert!(object.get(tags::PIXEL_DATA).is_none());
    write(folder.path(), "0.dcm", slice(5));
    let changed = header(&series.instances[0]).unwrap_err();
    assert_eq!(changed.code(), "file-changed");
    let changed = load(&series, MAX_VOXELS, None).unwrap_err();
    assert_eq!(changed.code(), "file-changed");
}

fn read_and_load(folder: &Path) {
    for study in read(folder).studies {
        for series in &study.series {
            let _coded = load(series, MAX_VOXELS, None);
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_never_panics() {
    let folder = folder_of([slice(0)]);
    let whole = bytes(slice(1));
    for end in 1..whole.len() {
        fs::write(folder.path().join("1.dcm"), &whole[..end]).unwrap();
        let inventory = read(folder.path());
        assert!(inventory.studies[0].series.is_empty(), "{end} bytes");
    }
}

#[test]
fn mutated_bytes_never_panic() {
    const SEED: u64 = 20_240_611;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let folder = folder_of([slice(0)]);
    let whole = bytes(at(slice(1), DVec3::new(-10.0, 20.0, 2.0)));
    for _ in 0..4000 {
        let mut mutated = whole.clone();
        for _ in 0..random.random_range(1..6) {
            let place = random.random_range(128..mutated.len());
            mutated[place] = random.random();
        }
        fs::write(folder.path().join("1.dcm"), &mutated).unwrap();
        read_and_load(folder.path());
    }
}
