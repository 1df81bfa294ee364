//! Hand-built CT objects for tests.

use super::{Instance, Inventory, Series, Study, read_paths};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use glam::DVec3;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

pub(super) const ROWS: u16 = 4;
pub(super) const COLUMNS: u16 = 6;
pub(super) const STUDY: &str = "1.2.3";
pub(super) const SERIES: &str = "1.2.3.1";
/// Limit of the volumes that these tests load.
pub(super) const MAX_VOXELS: u64 = 1 << 20;

/// Slice `z` of an upright series: 0.5 mm between rows, 0.75 mm between columns, 2 mm between slices.
pub(super) fn slice(z: u16) -> InMemDicomObject {
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let samples: Vec<u16> = (0..ROWS * COLUMNS).map(|i| z * 100 + i).collect();
    InMemDicomObject::from_element_iter([
        text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(
            tags::SOP_INSTANCE_UID,
            VR::UI,
            &format!("{SERIES}.{}", z + 1),
        ),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::PATIENT_NAME, VR::PN, "Secret^Name"),
        text(tags::CONVOLUTION_KERNEL, VR::SH, "STANDARD"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, STUDY),
        text(tags::SERIES_INSTANCE_UID, VR::UI, SERIES),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.9"),
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        text(
            tags::IMAGE_POSITION_PATIENT,
            VR::DS,
            &format!("-10\\20\\{}", 2 * z),
        ),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::ROWS, ROWS),
        number(tags::COLUMNS, COLUMNS),
        text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.75"),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::BITS_STORED, 16),
        number(tags::HIGH_BIT, 15),
        number(tags::PIXEL_REPRESENTATION, 0),
        text(tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
        text(tags::RESCALE_SLOPE, VR::DS, "1"),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(samples.into()),
        ),
    ])
}

/// The object with one attribute changed.
pub(super) fn with(
    mut object: InMemDicomObject,
    tag: Tag,
    vr: VR,
    value: impl Into<PrimitiveValue>,
) -> InMemDicomObject {
    object.put(DataElement::new(tag, vr, value.into()));
    object
}

/// An object without attributes.
pub(super) fn empty() -> InMemDicomObject {
    InMemDicomObject::new_empty()
}

/// An object of these attributes.
pub(super) fn texts<const N: usize>(values: [(Tag, VR, &str); N]) -> InMemDicomObject {
    let put = |object, (tag, vr, value)| with(object, tag, vr, value);
    values.into_iter().fold(empty(), put)
}

/// A sequence of these items.
pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// A sequence of one item.
pub(super) fn item(tag: Tag, item: InMemDicomObject) -> DataElement<InMemDicomObject> {
    sequence(tag, vec![item])
}

/// The object without one attribute.
pub(super) fn without(mut object: InMemDicomObject, tag: Tag) -> InMemDicomObject {
    object.remove_element(tag);
    object
}

/// The object with File Meta Information.
pub(super) fn file_object(
    object: InMemDicomObject,
    transfer_syntax_uid: &str,
) -> DefaultDicomObject {
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax_uid);
    object.with_meta(meta).unwrap()
}

/// Writes a file, uncompressed explicit little endian.
pub(super) fn write(folder: &Path, name: &str, object: InMemDicomObject) -> PathBuf {
    write_as(folder, name, object, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// A folder of these objects, `0.dcm` and so on.
pub(super) fn folder_of(objects: impl IntoIterator<Item = InMemDicomObject>) -> TempDir {
    let folder = tempdir().unwrap();
    for (i, object) in objects.into_iter().enumerate() {
        write(folder.path(), &format!("{i}.dcm"), object);
    }
    folder
}

/// Writes a file in a transfer syntax that the object's pixel data fit.
pub(super) fn write_as(
    folder: &Path,
    name: &str,
    object: InMemDicomObject,
    syntax: &str,
) -> PathBuf {
    let path = folder.join(name);
    file_object(object, syntax).write_to_file(&path).unwrap();
    path
}

/// The bytes of a file, uncompressed explicit little endian.
pub(super) fn bytes(object: InMemDicomObject) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    file_object(object, uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .write_all(&mut bytes)
        .unwrap();
    if bytes[128..132] == *b"DICM" {
        bytes
    } else {
        bytes.split_off(128)
    }
}

/// Slices as instances, without files.
pub(super) fn instances(objects: impl IntoIterator<Item = InMemDicomObject>) -> Vec<Instance> {
    objects
        .into_iter()
        .map(|object| {
            let path = Path::new("slice.dcm");
            Instance::from_object(path, uids::EXPLICIT_VR_LITTLE_ENDIAN, &object).unwrap()
        })
        .collect()
}

/// A slice's position as the object says it.
pub(super) fn at(object: InMemDicomObject, position: DVec3) -> InMemDicomObject {
    let text = format!("{}\\{}\\{}", position.x, position.y, position.z);
    with(object, tags::IMAGE_POSITION_PATIENT, VR::DS, text)
}

/// Reads one folder.
pub(super) fn read(folder: &Path) -> Inventory {
    read_paths(&[folder.to_owned()], &|_| ())
}

/// The only series of a folder.
pub(super) fn only_series(folder: &Path) -> Series {
    let mut inventory = read(folder);
    assert_eq!(inventory.unreadable, []);
    assert_eq!(inventory.studies.len(), 1);
    let mut study: Study = inventory.studies.remove(0);
    assert_eq!(study.left_out, []);
    assert_eq!(study.series.len(), 1);
    study.series.remove(0)
}

/// The code of the only reason why a folder has no series.
pub(super) fn only_refusal(folder: &Path) -> &'static str {
    let inventory = read(folder);
    assert_eq!(inventory.unreadable, []);
    assert!(inventory.studies[0].series.is_empty());
    assert_eq!(inventory.studies[0].left_out.len(), 1);
    inventory.studies[0].left_out[0].error.code()
}
