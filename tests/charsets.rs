//! Names in any character set survive from the files of a series into SR and SEG, byte for byte.

#[expect(dead_code, reason = "other tests need the rest")]
#[path = "common/study.rs"]
mod study;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use hilum::dicom::read_paths;
use hilum::report::encode;
use std::fs;
use std::path::Path;
use study::{done, report, sphere};

/// Three slices of the committed phantom with this name, description and character set, written as they are.
fn write_slices(dir: &Path, character_set: &str, name: &[u8], description: &[u8]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest/series");
    for z in 1..=3 {
        let mut object: DefaultDicomObject =
            open_file(root.join(format!("{z:06}.dcm"))).expect("the committed phantom");
        let mut put = |tag, vr, value: &[u8]| {
            object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
        };
        put(
            tags::SPECIFIC_CHARACTER_SET,
            VR::CS,
            padded(character_set.as_bytes()).as_slice(),
        );
        put(tags::PATIENT_NAME, VR::PN, name);
        put(tags::STUDY_DESCRIPTION, VR::LO, description);
        object
            .write_to_file(dir.join(format!("{z}.dcm")))
            .expect("file");
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

/// Bytes of an element of explicit VR with a short length, found by its tag and VR.
fn raw_value(file: &[u8], Tag(group, element): Tag, vr: &[u8; 2]) -> Vec<u8> {
    let mut key = [group.to_le_bytes(), element.to_le_bytes()].concat();
    key.extend(vr);
    let found = file.windows(key.len()).position(|w| w == key);
    let at = found.expect("element") + key.len();
    let length = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    file[at + 2..at + 2 + length].to_vec()
}

/// From files through [`read_paths`] and the report, and back from the bytes of SR and SEG.
fn survives(character_set: &str, name: &[u8], description: &[u8]) {
    let (name, description) = (padded(name), padded(description));
    let dir = tempfile::tempdir().expect("folder");
    write_slices(dir.path(), character_set, &name, &description);
    let source = fs::read(dir.path().join("1.dcm")).expect("file");
    assert_eq!(
        raw_value(&source, tags::PATIENT_NAME, b"PN"),
        name,
        "source"
    );

    let inventory = read_paths(&[dir.path().to_owned()], &|_| {});
    assert_eq!(inventory.unreadable, []);
    let study = &inventory.studies[0];
    let series = &study.series[0];
    let lesion = sphere(series, [1, 70, 70], 5.0);
    let mut report = report(vec![done(series, vec![lesion])]);
    report
        .study_instance_uid
        .clone_from(&study.study_instance_uid);
    report.source_header = study.header().expect("header");
    let files = encode(&report).expect("encoded");
    for file in ["sr.dcm", "seg.dcm"] {
        let found = files.iter().find(|f| f.name == file).expect(file);
        let value = |tag, vr| raw_value(&found.bytes, tag, vr);
        assert_eq!(value(tags::PATIENT_NAME, b"PN"), name, "{file}");
        assert_eq!(value(tags::STUDY_DESCRIPTION, b"LO"), description, "{file}");
        let copied = value(tags::SPECIFIC_CHARACTER_SET, b"CS");
        assert_eq!(copied, padded(character_set.as_bytes()), "{file}");
        dicom_object::from_reader(found.bytes.as_slice()).expect("readable again");
    }
}

#[test]
fn latin_1() {
    survives(
        "ISO_IR 100",
        b"Buc^J\xe9r\xf4me",
        b"Thorax nativ, Gr\xf6\xdfe",
    );
}

#[test]
fn utf_8() {
    survives(
        "ISO_IR 192",
        "Wang^XiaoDong=王^小东=".as_bytes(),
        "胸部 CT, Größe".as_bytes(),
    );
}

#[test]
fn gb18030_with_a_backslash_byte_inside_a_character() {
    survives(
        "GB18030",
        b"Wang^XiaoDong=\xcd\xf5^\x81\x5c\xb6\xab=",
        b"\xd0\xd8\xb2\xbf\x81\x30\x81\x30 CT",
    );
}

#[test]
fn gbk() {
    survives(
        "GBK",
        b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\x81\x5c=",
        b"\xd0\xd8\xb2\xbf",
    );
}

#[test]
fn chinese_by_escape_sequences_iso_2022_ir_58() {
    survives(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        b"\x1b$)A\xd0\xd8\xb2\xbf",
    );
}

#[test]
fn korean_by_escape_sequences_iso_2022_ir_149() {
    survives(
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        b"\x1b$)C\xc8\xe4\xba\xce",
    );
}

#[test]
fn japanese_by_escape_sequences_iso_2022_ir_87() {
    survives(
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        b"\x1b$B6;It\x1b(B",
    );
}

#[test]
fn japanese_with_half_width_kana_iso_2022_ir_13() {
    survives(
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        b"\xd1\xc8",
    );
}

#[test]
fn no_character_set_at_all() {
    survives("ISO_IR 6", b"Doe^John", b"Chest CT");
}
