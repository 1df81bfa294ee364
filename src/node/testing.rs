//! What tests of the node share.

use super::{Claim, Intake, Refusal, Sender, Store};
use crate::audit::Key;
use crate::config::{NodeConfig, RetryConfig};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use std::net::Ipv4Addr;
use std::path::Path;

/// A configuration that takes objects of at most 1 MiB, however full the disk is.
pub(super) fn config() -> NodeConfig {
    let mut config = NodeConfig::default();
    config.dicom.max_object_bytes = 1 << 20;
    config.storage.min_free_bytes = 0;
    config
}

/// The database of the node's folder `dir`.
pub(super) fn store(dir: &Path) -> Store {
    Store::open(dir, &RetryConfig::default()).expect("the folder can be used")
}

/// The secret of the node's folder `dir`.
pub(super) fn key(dir: &Path) -> Key {
    Key::load_or_create(&dir.join("key")).expect("the folder can be used")
}

/// An intake that keeps what it takes below `dir`, of at most 1 MiB an object.
pub(super) fn intake(dir: &Path) -> Intake {
    intake_of(&store(dir))
}

/// An intake of a database that is open.
pub(super) fn intake_of(store: &Store) -> Intake {
    let opened = Intake::open(store, key(store.dir()), &config(), |_| true);
    opened.expect("the folder can be used").0
}

/// Some workstation.
pub(super) fn sender() -> Sender {
    Sender {
        ae_title: Some("CT1".into()),
        address: Ipv4Addr::LOCALHOST.into(),
    }
}

/// The attributes that an image of a study has at least, and a Patient's Name to be found nowhere.
pub(super) fn image(study: &str, number: u32) -> InMemDicomObject {
    object(study, number, uids::CT_IMAGE_STORAGE, "CT")
}

/// An object of any class; `number` tells its instance.
pub(super) fn object(study: &str, number: u32, class: &str, modality: &str) -> InMemDicomObject {
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, class),
        text(
            tags::SOP_INSTANCE_UID,
            VR::UI,
            &format!("{study}.1.{number}"),
        ),
        text(tags::MODALITY, VR::CS, modality),
        text(tags::PATIENT_NAME, VR::PN, "Secret^Name"),
        text(tags::PATIENT_ID, VR::LO, "Secret-ID"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &format!("{study}.1")),
    ])
}

/// A Part 10 file of the object.
pub(super) fn file_bytes(object: InMemDicomObject) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    let file = object.with_meta(meta).expect("SOP UIDs are set");
    file.write_all(&mut bytes).expect("memory takes it");
    bytes
}

/// Sends one object; whether it is new, or why it was refused.
pub(super) fn send(intake: &Intake, object: InMemDicomObject) -> Result<bool, Refusal> {
    send_bytes(intake, &file_bytes(object), &Claim::default())
}

/// Sends bytes that are said to be something.
pub(super) fn send_bytes(intake: &Intake, bytes: &[u8], claim: &Claim) -> Result<bool, Refusal> {
    let mut incoming = intake.begin()?;
    incoming.write(bytes)?;
    Ok(intake.keep(incoming, claim, sender())?.is_new)
}

/// A Part 10 file in explicit little endian whose File Meta Information has these UIDs, with `data_set` behind it.
pub(super) fn part_10(sop_class_uid: &str, sop_instance_uid: &str, data_set: &[u8]) -> Vec<u8> {
    let mut group = vec![2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1];
    for (element, text) in [
        (2, sop_class_uid),
        (3, sop_instance_uid),
        (0x10, uids::EXPLICIT_VR_LITTLE_ENDIAN),
        (0x12, "1.2.3"),
    ] {
        let mut value = text.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        let length = u16::try_from(value.len()).expect("UIDs are short");
        group.extend([2, 0, element, 0, b'U', b'I']);
        group.extend(length.to_le_bytes());
        group.extend(value);
    }
    let length = u32::try_from(group.len()).expect("the group is short");
    let mut file = [&[0; 128][..], b"DICM", &[2, 0, 0, 0, b'U', b'L', 4, 0]].concat();
    file.extend(length.to_le_bytes());
    file.extend(group);
    file.extend(data_set);
    file
}

/// A CT instance of a study, with pixel data of `pixel_bytes` bytes.
pub(super) fn ct_instance(study_uid: &str, sop_instance_uid: &str, pixel_bytes: usize) -> Vec<u8> {
    let class = dicom_dictionary_std::uids::CT_IMAGE_STORAGE;
    let series_uid = format!("{study_uid}.1");
    let mut data_set = Vec::new();
    for (group, element, vr, text) in [
        (8_u16, 0x16_u16, b"UI", class),
        (8, 0x18, b"UI", sop_instance_uid),
        (8, 0x60, b"CS", "CT"),
        (0x10, 0x10, b"PN", "Test^Patient"),
        (0x10, 0x20, b"LO", "T-1"),
        (0x20, 0x0D, b"UI", study_uid),
        (0x20, 0x0E, b"UI", &series_uid),
    ] {
        let pad = if vr == b"UI" { 0 } else { b' ' };
        let mut value = text.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), pad);
        let length = u16::try_from(value.len()).expect("texts are short");
        data_set.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        data_set.extend(vr);
        data_set.extend(length.to_le_bytes());
        data_set.extend(value);
    }
    let length = u32::try_from(pixel_bytes).expect("pixel data is short");
    data_set.extend([0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0]);
    data_set.extend(length.to_le_bytes());
    data_set.resize(data_set.len() + pixel_bytes, 7);
    part_10(class, sop_instance_uid, &data_set)
}
