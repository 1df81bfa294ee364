//! What is taken over from the source: names in every character set, dates, empty elements.

use super::study::{self, header, report};
use super::{dicom, string};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use hilum::report::{StudyReport, encode};

/// Bytes of an element of explicit VR with a short length, found by its tag and VR.
fn raw_value(file: &[u8], tag: Tag, vr: &[u8; 2]) -> Vec<u8> {
    let mut key = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    key.extend(vr);
    let at = file
        .windows(key.len())
        .position(|w| w == key)
        .expect("element")
        + key.len();
    let length = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    file[at + 2..at + 2 + length].to_vec()
}

/// The header as a reader gets it from a file whose Patient's Name is `name`.
fn header_with_name(character_set: &str, name: &[u8]) -> InMemDicomObject {
    let mut object = header();
    object.put(study::text(
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::CT_IMAGE_STORAGE,
    ));
    object.put(study::text(tags::SOP_INSTANCE_UID, VR::UI, "1.2"));
    object.put(study::text(
        tags::SPECIFIC_CHARACTER_SET,
        VR::CS,
        character_set,
    ));
    object.put(DataElement::new(
        tags::PATIENT_NAME,
        VR::PN,
        PrimitiveValue::from(name),
    ));
    let meta =
        dicom_object::FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object
        .with_meta(meta)
        .expect("meta")
        .write_all(&mut bytes)
        .expect("bytes");
    dicom_object::from_reader(bytes.as_slice())
        .expect("DICOM")
        .into_inner()
}

fn name_survives(character_set: &str, name: &[u8]) {
    let mut report = report(Vec::new());
    report.source_header = header_with_name(character_set, name);
    let files = encode(&report).expect("encoded");
    let found = raw_value(&files[0].bytes, tags::PATIENT_NAME, b"PN");
    let same = found.iter().zip(name).take_while(|(a, b)| a == b).count();
    assert_eq!(found.get(same..), name.get(same..), "from byte {same}");
    let copied = raw_value(&files[0].bytes, tags::SPECIFIC_CHARACTER_SET, b"CS");
    assert_eq!(copied.trim_ascii_end(), character_set.as_bytes());
}

#[test]
fn a_latin_1_name_survives_byte_for_byte() {
    name_survives("ISO_IR 100", b"M\xfcller^J\xf6rg ");
}

#[test]
fn a_utf_8_name_survives_byte_for_byte() {
    name_survives("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes());
}

#[test]
fn a_gb18030_name_with_a_backslash_byte_inside_a_character_survives() {
    name_survives("GB18030", b"Wang^XiaoDong=\xcd\xf5^\x81\x5c\xb6\xab ");
}

#[test]
fn every_two_byte_character_of_gb18030_survives() {
    let trail = || (0x40..=0xfe_u8).filter(|byte| *byte != 0x7f);
    let pairs = (0x81..=0xfe_u8).flat_map(|lead| trail().map(move |byte| [lead, byte]));
    // A3A0 is a second ideographic space: the decoder cannot tell it from A1A1.
    let name: Vec<u8> = pairs
        .filter(|pair| *pair != [0xa3, 0xa0])
        .flatten()
        .collect();
    name_survives("GB18030", &name);
}

#[test]
fn a_name_with_escape_sequences_survives() {
    name_survives(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab= ",
    );
}

#[test]
fn a_japanese_name_with_escape_sequences_survives() {
    name_survives(
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d\x5c$\x1b(B ",
    );
}

#[test]
fn bytes_that_the_character_set_does_not_know_survive() {
    name_survives("GB18030", b"A\xff^B\xff ");
}

#[test]
fn a_source_without_attributes_gives_empty_type_2_elements_and_a_valid_date() {
    let mut report = report(Vec::new());
    report.source_header = InMemDicomObject::new_empty();
    let files = encode(&report).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    for tag in [
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::PATIENT_BIRTH_DATE,
        tags::PATIENT_SEX,
        tags::STUDY_DATE,
        tags::STUDY_TIME,
        tags::STUDY_ID,
        tags::ACCESSION_NUMBER,
        tags::REFERRING_PHYSICIAN_NAME,
    ] {
        assert_eq!(string(&sr, tag), "", "{tag}");
    }
    assert_eq!(string(&sr, tags::CONTENT_DATE), "19000101");
    assert_eq!(string(&sr, tags::CONTENT_TIME), "000000");
    assert!(sr.get(tags::SPECIFIC_CHARACTER_SET).is_none());
}

#[test]
fn the_content_date_is_the_study_s_and_falls_back_to_the_series() {
    let mut report = report(Vec::new());
    let content = |report: &StudyReport| {
        let sr = dicom(&encode(report).expect("encoded"), "sr.dcm");
        (
            string(&sr, tags::CONTENT_DATE),
            string(&sr, tags::CONTENT_TIME),
        )
    };
    assert_eq!(content(&report), ("20240229".into(), "101500".into()));
    report
        .source_header
        .put(study::text(tags::STUDY_DATE, VR::DA, ""));
    report
        .source_header
        .put(study::text(tags::SERIES_DATE, VR::DA, "20240301"));
    assert_eq!(content(&report).0, "20240301");
}
