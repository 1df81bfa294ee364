//! Data elements and data sets, with the VR taken from the data dictionary.

use super::codes::Term;
use crate::dicom::Instance;
use crate::uid::IMPLEMENTATION_CLASS_UID;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use std::collections::BTreeSet;

/// Implementation Version Name (0002,0013), at most 16 characters.
const IMPLEMENTATION_VERSION_NAME: &str = concat!("HILUM_", env!("CARGO_PKG_VERSION"));

/// Characters of a Code Value (0008,0100).
const MAX_CODE_VALUE: usize = 16;

/// A data element of one value.
pub(super) fn element(tag: Tag, value: impl Into<PrimitiveValue>) -> InMemElement {
    DataElement::new(tag, vr(tag), value.into())
}

/// A data element without a value (type 2).
pub(super) fn empty(tag: Tag) -> InMemElement {
    match vr(tag) {
        VR::SQ => items(tag, Vec::new()),
        vr => DataElement::new(tag, vr, PrimitiveValue::Empty),
    }
}

/// Decimal strings (VR DS).
pub(super) fn decimals(tag: Tag, values: &[f64]) -> InMemElement {
    let texts = values.iter().map(|v| decimal(*v)).collect();
    DataElement::new(tag, vr(tag), PrimitiveValue::Strs(texts))
}

/// A sequence.
pub(super) fn items(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// A code sequence of one item (PS3.3 8.8).
pub(super) fn code(tag: Tag, term: Term) -> InMemElement {
    items(tag, vec![code_item(term)])
}

/// The item of a code sequence; a value too long for SH is a Long Code Value (PS3.3 8.1).
pub(super) fn code_item(term: Term) -> InMemDicomObject {
    let value = match term.value.len() <= MAX_CODE_VALUE {
        true => tags::CODE_VALUE,
        false => tags::LONG_CODE_VALUE,
    };
    item([
        element(value, term.value),
        element(tags::CODING_SCHEME_DESIGNATOR, term.scheme),
        element(tags::CODE_MEANING, term.meaning),
    ])
}

/// The item of a Referenced SOP Sequence or of one of its kin.
pub(super) fn reference(sop_class_uid: &str, sop_instance_uid: &str) -> InMemDicomObject {
    item([
        element(tags::REFERENCED_SOP_CLASS_UID, sop_class_uid),
        element(tags::REFERENCED_SOP_INSTANCE_UID, sop_instance_uid),
    ])
}

/// The item of a Source Image Sequence or of an IMAGE: the object, and of many frames the one (PS3.3 10.3).
pub(super) fn image_reference(instance: &Instance) -> InMemDicomObject {
    let mut image = reference(&instance.sop_class_uid, &instance.sop_instance_uid);
    if let Some(number) = instance.frame_number {
        image.put(element(tags::REFERENCED_FRAME_NUMBER, number.to_string()));
    }
    image
}

/// One reference to each object of a series, however many of its frames are slices.
pub(super) fn object_references(instances: &[Instance]) -> Vec<InMemDicomObject> {
    let mut seen = BTreeSet::new();
    instances
        .iter()
        .filter(|i| seen.insert(i.sop_instance_uid.as_str()))
        .map(|i| reference(&i.sop_class_uid, &i.sop_instance_uid))
        .collect()
}

/// A data set or an item.
pub(super) fn item(elements: impl IntoIterator<Item = InMemElement>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

/// ASCII without backslashes, so that it reads the same in every character set and never splits into values.
///
/// `limit` is the longest value of the VR, in characters.
pub(super) fn ascii(text: &str, limit: usize) -> String {
    let plain = |c: char| match c {
        '\\' => '/',
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    };
    let cut: String = text.chars().map(plain).take(limit).collect();
    cut.trim().into()
}

/// A decimal string of at most 16 characters (PS3.5 6.2, VR DS), as exact as that allows.
pub(super) fn decimal(value: f64) -> String {
    const MAX_CHARS: usize = 16;
    let shortest = value.to_string();
    if shortest.len() <= MAX_CHARS {
        return shortest;
    }
    let fixed = (0..MAX_CHARS)
        .rev()
        .map(|decimals| format!("{value:.decimals$}"))
        .find(|text| text.len() <= MAX_CHARS);
    match fixed {
        Some(text) if text.contains('.') => {
            let trimmed = text.trim_end_matches('0').trim_end_matches('.');
            if trimmed == "-0" { "0" } else { trimmed }.into()
        }
        Some(text) => text,
        None => format!("{value:.8e}"),
    }
}

/// The whole file: preamble, file meta information, data set in explicit VR little endian.
pub(super) fn file_bytes(
    object: InMemDicomObject,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    let mut bytes = Vec::new();
    object.with_meta(meta)?.write_all(&mut bytes)?;
    Ok(bytes)
}

fn vr(tag: Tag) -> VR {
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimal_strings_fit_and_keep_the_value(value in -1e9_f64..1e9) {
            let text = decimal(value);
            let back: f64 = text.parse().expect("a number");
            prop_assert!(text.len() <= 16, "{text}");
            prop_assert!((back - value).abs() <= value.abs().max(1.0) * 1e-13, "{value} {text}");
        }

        #[test]
        fn decimal_strings_of_any_finite_number_fit(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let text = decimal(value);
            prop_assert!(text.len() <= 16 && text.parse::<f64>().is_ok(), "{text}");
        }
    }

    #[test]
    fn decimal_strings_are_short_where_they_can_be() {
        assert_eq!(decimal(0.703125), "0.703125");
        assert_eq!(decimal(-207.5), "-207.5");
        assert_eq!(decimal(1.0 / 3.0), "0.33333333333333");
        assert_eq!(decimal(-6.123e-17), "0");
    }

    #[test]
    fn free_text_becomes_plain_ascii() {
        assert_eq!(ascii("Intel® a\\b\nc", 64), "Intel? a/b c");
        assert_eq!(ascii("abcdef", 3), "abc");
    }
}
