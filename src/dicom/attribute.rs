//! Typed values of a data set's attributes.
//!
//! In: a parsed data set. Out: trimmed text, checked UIDs and finite numbers.
//! Refused: absent required values and junk, each by keyword and tag.

use super::Error;
use crate::quote::quoted;
use crate::uid;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;
use std::borrow::Cow;
use std::fmt;

/// A tag that shows itself as keyword and number, such as `PixelSpacing (0028,0030)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute(
    /// Group and element.
    pub Tag,
);

impl Attribute {
    pub(crate) const TRANSFER_SYNTAX_UID: Self = Self(tags::TRANSFER_SYNTAX_UID);
    pub(crate) const SOP_CLASS_UID: Self = Self(tags::SOP_CLASS_UID);
    pub(crate) const MODALITY: Self = Self(tags::MODALITY);
    pub(crate) const STUDY_INSTANCE_UID: Self = Self(tags::STUDY_INSTANCE_UID);
    pub(crate) const SOP_INSTANCE_UID: Self = Self(tags::SOP_INSTANCE_UID);
    pub(crate) const RESCALE_SLOPE: Self = Self(tags::RESCALE_SLOPE);
    pub(crate) const RESCALE_TYPE: Self = Self(tags::RESCALE_TYPE);
    pub(crate) const IMAGE_POSITION_PATIENT: Self = Self(tags::IMAGE_POSITION_PATIENT);
    pub(crate) const PIXEL_DATA: Self = Self(tags::PIXEL_DATA);
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match StandardDataDictionary.by_tag(self.0) {
            Some(entry) => write!(f, "{} {}", entry.alias(), self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// More values than any attribute has that is read here.
const MAX_VALUES: usize = 64;

/// Of longer texts only the start is looked at: 64 characters of four bytes, the most that one value of the attributes
/// that are read may have (PS3.5 6.2).
const MAX_TEXT_BYTES: usize = 256;

/// Stands where a text was cut, so that no number, UID or term ends there.
const CUT: &str = "\u{2026}";

/// Reads a data set; errors name the attribute and the object.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    object: &'a InMemDicomObject,
    uid: &'a str,
}

impl<'a> Attributes<'a> {
    /// `uid` is the SOP Instance UID that errors name, or `unknown`.
    pub(crate) fn new(object: &'a InMemDicomObject, uid: &'a str) -> Self {
        Self { object, uid }
    }

    /// The UID that errors name.
    pub(crate) fn object_uid(&self) -> String {
        self.uid.to_owned()
    }

    /// The first values as trimmed text; none for an absent or empty attribute, or a sequence.
    pub(crate) fn texts(&self, tag: Tag) -> Vec<String> {
        let Some(value) = self.object.get(tag).and_then(|e| e.value().primitive()) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut left_bytes = MAX_TEXT_BYTES;
        let first = first_values(value);
        let first = first.to_multi_str();
        for value in first.iter().flat_map(|v| v.split('\\')).take(MAX_VALUES) {
            let value = trim(value);
            if value.len() > left_bytes {
                values.push(format!(
                    "{}{CUT}",
                    &value[..value.floor_char_boundary(left_bytes)]
                ));
                break;
            }
            left_bytes -= value.len();
            values.push(value.to_owned());
        }
        if values.iter().all(String::is_empty) {
            return Vec::new();
        }
        values
    }

    /// The items of a sequence, whose errors name the same object; none for any other attribute.
    pub(crate) fn items(&self, tag: Tag) -> Vec<Self> {
        let items = self.object.get(tag).and_then(|element| element.items());
        let item = |object| Self { object, ..*self };
        items.unwrap_or_default().iter().map(item).collect()
    }

    /// The values joined by backslashes, as the file has them.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        let values = self.texts(tag);
        (!values.is_empty()).then(|| values.join("\\"))
    }

    /// Text that must be there.
    pub(crate) fn required_text(&self, tag: Tag) -> Result<String, Error> {
        self.text(tag).ok_or_else(|| self.missing(tag))
    }

    /// A UID that must be there and be valid (PS3.5 9.1).
    pub(crate) fn uid(&self, tag: Tag) -> Result<String, Error> {
        let found = self.required_text(tag)?;
        if uid::is_valid(&found) {
            return Ok(found);
        }
        Err(self.bad(tag, "a UID as in PS3.5 9.1 is"))
    }

    /// A UID that may be absent but not invalid.
    pub(crate) fn optional_uid(&self, tag: Tag) -> Result<Option<String>, Error> {
        self.text(tag).map(|_| self.uid(tag)).transpose()
    }

    /// Finite numbers of DS, IS or a binary VR; none for an absent attribute.
    pub(crate) fn numbers(&self, tag: Tag) -> Result<Vec<f64>, Error> {
        let parse = |text: &String| parse_number(text);
        self.texts(tag)
            .iter()
            .map(parse)
            .collect::<Option<Vec<f64>>>()
            .ok_or_else(|| self.bad(tag, "finite numbers are"))
    }

    /// One number that may be absent.
    pub(crate) fn optional_number(&self, tag: Tag) -> Result<Option<f64>, Error> {
        match self.numbers(tag)?[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(self.bad(tag, "one number is")),
        }
    }

    /// One number that must be there.
    pub(crate) fn number(&self, tag: Tag) -> Result<f64, Error> {
        self.optional_number(tag)?.ok_or_else(|| self.missing(tag))
    }

    /// Exactly `N` numbers that must be there.
    pub(crate) fn vector<const N: usize>(&self, tag: Tag) -> Result<[f64; N], Error> {
        let values = self.numbers(tag)?;
        if values.is_empty() {
            return Err(self.missing(tag));
        }
        values
            .try_into()
            .map_err(|_| self.bad(tag, "another count of numbers is"))
    }

    /// A whole number from 0 to 65,535 that must be there.
    pub(crate) fn count(&self, tag: Tag) -> Result<u16, Error> {
        let value = self.number(tag)?;
        if value.fract() == 0.0 && (0.0..=65_535.0).contains(&value) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be whole and in range on the line above"
            )]
            return Ok(value as u16);
        }
        Err(self.bad(tag, "a whole number from 0 to 65535 is"))
    }

    /// The refusal of an absent attribute.
    pub(crate) fn missing(&self, tag: Tag) -> Error {
        Error::Missing {
            attribute: Attribute(tag),
            uid: self.object_uid(),
        }
    }

    /// The refusal of a wrong value.
    pub(crate) fn bad(&self, tag: Tag, needed: &'static str) -> Error {
        Error::BadValue {
            attribute: Attribute(tag),
            found: self.shown(tag),
            needed,
            uid: self.object_uid(),
        }
    }

    /// The refusal of a valid value that is not handled.
    pub(crate) fn unsupported(&self, tag: Tag, supported: &'static str) -> Error {
        Error::Unsupported {
            attribute: Attribute(tag),
            found: self.shown(tag),
            supported,
            uid: self.object_uid(),
        }
    }

    /// The value as an error may show it.
    pub(crate) fn shown(&self, tag: Tag) -> String {
        quoted(&self.text(tag).unwrap_or_default())
    }
}

/// Numbers beyond [`MAX_VALUES`] cut off, so that they are not all turned into text; texts as they are.
fn first_values(value: &PrimitiveValue) -> Cow<'_, PrimitiveValue> {
    if matches!(value, PrimitiveValue::Strs(_)) || value.multiplicity() as usize <= MAX_VALUES {
        return Cow::Borrowed(value);
    }
    let mut first = value.clone();
    first.truncate(MAX_VALUES);
    Cow::Owned(first)
}

/// Without the padding of PS3.5 6.2: spaces and, for UIDs, nulls.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
}

/// A finite decimal number; words such as `nan` and `inf` are none.
fn parse_number(text: &str) -> Option<f64> {
    let decimal = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    if !text.bytes().all(decimal) {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, VR};

    fn with(tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) -> InMemDicomObject {
        InMemDicomObject::from_element_iter([DataElement::new(tag, vr, value.into())])
    }

    #[test]
    fn numbers_are_read_from_text_and_from_binary() {
        let text = with(tags::PIXEL_SPACING, VR::DS, " 0.5\\+7.5E-1 ");
        let spacing = Attributes::new(&text, "1.2").vector::<2>(tags::PIXEL_SPACING);
        assert_eq!(spacing, Ok([0.5, 0.75]));
        let binary = with(tags::ROWS, VR::US, 512_u16);
        assert_eq!(Attributes::new(&binary, "1.2").count(tags::ROWS), Ok(512));
    }

    #[test]
    fn words_and_overflow_are_no_numbers() {
        for junk in [
            "nan",
            "NaN",
            "inf",
            "-infinity",
            "1e999",
            "1,5",
            "0x10",
            "1 2",
            "--1",
            ".",
        ] {
            assert_eq!(parse_number(junk), None, "{junk}");
        }
    }

    #[test]
    fn errors_name_keyword_tag_and_object() {
        let object = with(tags::PIXEL_SPACING, VR::DS, "abc\u{e9}\\1");
        let error = Attributes::new(&object, "1.2.3")
            .vector::<2>(tags::PIXEL_SPACING)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"PixelSpacing (0028,0030) is "4 characters: letters, others\\1", finite numbers are needed (object 1.2.3)"#
        );
        assert_eq!(error.code(), "bad-value");
    }

    #[test]
    fn a_text_beyond_what_is_looked_at_ends_in_no_value() {
        let spacing = format!("0.5\\0.5{}", "0".repeat(MAX_TEXT_BYTES));
        let object = with(tags::PIXEL_SPACING, VR::DS, spacing);
        let attributes = Attributes::new(&object, "1.2");
        assert_eq!(
            attributes
                .vector::<2>(tags::PIXEL_SPACING)
                .unwrap_err()
                .code(),
            "bad-value"
        );
        let name = "\u{e9}".repeat(1 << 18);
        let object = with(tags::MANUFACTURER, VR::LO, name);
        let text = Attributes::new(&object, "1.2").text(tags::MANUFACTURER);
        assert_eq!(text.unwrap().len(), MAX_TEXT_BYTES + CUT.len());
    }

    #[test]
    fn an_empty_attribute_counts_as_missing() {
        let object = with(tags::PIXEL_SPACING, VR::DS, " ");
        let error = Attributes::new(&object, "1.2").vector::<2>(tags::PIXEL_SPACING);
        assert_eq!(error.unwrap_err().code(), "missing-attribute");
    }

    #[test]
    fn a_uid_that_could_name_another_folder_is_refused() {
        let object = with(tags::STUDY_INSTANCE_UID, VR::UI, "../1.2");
        let error = Attributes::new(&object, "1.2").uid(tags::STUDY_INSTANCE_UID);
        assert_eq!(error.unwrap_err().code(), "bad-value");
    }
}
