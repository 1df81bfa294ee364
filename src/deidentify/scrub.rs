//! One object without its patient.

use super::Options;
use super::profile::{Action, action};
use super::secret::Patient;
use dicom_core::header::Header;
use dicom_core::value::{DataSetSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// UIDs below this root are the standard's own: SOP classes, transfer syntaxes, well-known instances.
const STANDARD_ROOT: &str = "1.2.840.10008.";

/// What a text becomes where there must be one.
const DUMMY_TEXT: &str = "REMOVED";

/// Shorter parts of a name occur by chance.
const MIN_IDENTIFIER_CHARS: usize = 4;

/// The object with every attribute treated as the profile says, and the marks of that.
pub(super) fn scrub(
    object: InMemDicomObject,
    patient: &Patient,
    options: Options,
) -> InMemDicomObject {
    let identifiers = identifiers(&object);
    let scrubber = Scrubber {
        patient,
        options,
        identifiers,
    };
    let mut scrubbed = scrubber.data_set(object);
    let pseudonym = patient.pseudonym();
    for (tag, vr) in [(tags::PATIENT_NAME, VR::PN), (tags::PATIENT_ID, VR::LO)] {
        scrubbed.put(text(tag, vr, pseudonym));
    }
    scrubbed.extend(marks(options));
    scrubbed
}

/// PS3.15 E.3 and PS3.3 C.7.1.1: what was done, by code.
fn marks(options: Options) -> [InMemElement; 4] {
    let mut done = vec![("113100", "Basic Application Confidentiality Profile")];
    if options.shift_dates {
        done.push((
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        ));
    }
    if options.retain_patient_characteristics {
        done.push(("113108", "Retain Patient Characteristics Option"));
    }
    let items: Vec<InMemDicomObject> = done
        .into_iter()
        .map(|(value, meaning)| {
            InMemDicomObject::from_element_iter([
                text(tags::CODE_VALUE, VR::SH, value),
                text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
                text(tags::CODE_MEANING, VR::LO, meaning),
            ])
        })
        .collect();
    let dates = if options.shift_dates {
        "MODIFIED"
    } else {
        "REMOVED"
    };
    let method = concat!(
        "Hilum ",
        env!("CARGO_PKG_VERSION"),
        ", PS3.15 Basic Profile"
    );
    [
        text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
        text(tags::DEIDENTIFICATION_METHOD, VR::LO, method),
        DataElement::new(
            tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(items),
        ),
        text(
            tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
            VR::CS,
            dates,
        ),
    ]
}

/// Parts of names, and whole ids, upper case, that no text which stays may hold.
fn identifiers(object: &InMemDicomObject) -> Vec<String> {
    const NAMES: [Tag; 5] = [
        tags::PATIENT_NAME,
        tags::OTHER_PATIENT_NAMES,
        tags::PATIENT_BIRTH_NAME,
        tags::REFERRING_PHYSICIAN_NAME,
        tags::OPERATORS_NAME,
    ];
    const WHOLE: [Tag; 3] = [
        tags::PATIENT_ID,
        tags::ACCESSION_NUMBER,
        tags::INSTITUTION_NAME,
    ];
    let values = |from: &[Tag]| -> Vec<String> {
        let found = from
            .iter()
            .filter_map(|tag| object.get(*tag)?.to_str().ok());
        found.map(|value| value.to_uppercase()).collect()
    };
    let names = values(&NAMES);
    let parts = names
        .iter()
        .flat_map(|name| name.split(['^', '=', '\\', ' ']));
    let whole = values(&WHOLE);
    parts
        .chain(whole.iter().map(String::as_str))
        .map(|part| part.trim_matches(['\0', ' ']).to_owned())
        .filter(|part| part.chars().count() >= MIN_IDENTIFIER_CHARS)
        .collect()
}

struct Scrubber<'a> {
    patient: &'a Patient<'a>,
    options: Options,
    identifiers: Vec<String>,
}

impl Scrubber<'_> {
    fn data_set(&self, object: InMemDicomObject) -> InMemDicomObject {
        let elements = object.into_iter().filter_map(|found| self.element(found));
        InMemDicomObject::from_element_iter(elements)
    }

    fn element(&self, found: InMemElement) -> Option<InMemElement> {
        let (tag, vr) = (found.tag(), found.vr());
        match action(tag, vr, self.options) {
            Action::Remove => None,
            Action::Empty => Some(emptied(tag, vr)),
            Action::Dummy if is_empty(&found) => Some(emptied(tag, vr)),
            Action::Dummy => Some(self.dummy(&found)),
            Action::Uid => Some(self.uids(&found)),
            Action::Shift => Some(self.shifted(&found)),
            Action::Keep => Some(self.kept(found)),
        }
    }

    fn dummy(&self, found: &InMemElement) -> InMemElement {
        let (tag, vr) = (found.tag(), found.vr());
        let value = match vr {
            VR::AE | VR::CS | VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UT => {
                DUMMY_TEXT
            }
            VR::DA => "19000101",
            VR::DT => "19000101000000",
            VR::TM => "000000",
            VR::DS | VR::IS => "0",
            VR::UI => return self.uids(found),
            _ => return emptied(tag, vr),
        };
        text(tag, vr, value)
    }

    fn uids(&self, found: &InMemElement) -> InMemElement {
        let (tag, vr) = (found.tag(), found.vr());
        let values = found.to_multi_str().unwrap_or_default();
        let renamed = values.iter().map(|value| self.uid(value)).collect();
        DataElement::new(tag, vr, PrimitiveValue::Strs(renamed))
    }

    fn uid(&self, value: &str) -> String {
        match value.trim_end_matches(['\0', ' ']) {
            uid if uid.is_empty() || uid.starts_with(STANDARD_ROOT) => uid.to_owned(),
            uid => self.patient.secret.uid(uid),
        }
    }

    /// Dates by the patient's offset; those that are none lose their value.
    fn shifted(&self, found: &InMemElement) -> InMemElement {
        let (tag, vr) = (found.tag(), found.vr());
        let values = found.to_multi_str().unwrap_or_default();
        let shifted: Option<Vec<String>> = values
            .iter()
            .map(|value| self.patient.shifted(value.trim_end_matches(['\0', ' '])))
            .collect();
        match shifted {
            Some(dates) if !dates.is_empty() => {
                DataElement::new(tag, vr, PrimitiveValue::Strs(dates.into()))
            }
            _ => emptied(tag, vr),
        }
    }

    fn kept(&self, found: InMemElement) -> InMemElement {
        let (tag, vr) = (found.tag(), found.vr());
        match found.into_value() {
            Value::Sequence(sequence) => {
                let items: Vec<_> = sequence
                    .into_items()
                    .into_iter()
                    .map(|item| self.data_set(item))
                    .collect();
                DataElement::new(tag, vr, DataSetSequence::from(items))
            }
            Value::Primitive(PrimitiveValue::Str(value)) => text(tag, vr, &self.plain(vr, &value)),
            Value::Primitive(PrimitiveValue::Strs(values)) => {
                let plain = values.iter().map(|value| self.plain(vr, value)).collect();
                DataElement::new(tag, vr, PrimitiveValue::Strs(plain))
            }
            value => DataElement::new(tag, vr, value),
        }
    }

    /// ASCII, so that no character set is needed, and nothing of the patient's name.
    fn plain(&self, vr: VR, value: &str) -> String {
        let upper = value.to_uppercase();
        let free = matches!(vr, VR::LO | VR::SH);
        if free && self.identifiers.iter().any(|part| upper.contains(part)) {
            return String::new();
        }
        let ascii = |c: char| match c {
            ' '..='~' => c,
            _ => '?',
        };
        value.trim_end_matches('\0').chars().map(ascii).collect()
    }
}

fn is_empty(found: &InMemElement) -> bool {
    match found.value() {
        Value::Sequence(sequence) => sequence.items().is_empty(),
        Value::Primitive(value) => value.calculate_byte_len() == 0,
        Value::PixelSequence(_) => false,
    }
}

fn emptied(tag: Tag, vr: VR) -> InMemElement {
    match vr {
        VR::SQ => DataElement::new(tag, vr, DataSetSequence::empty()),
        _ => DataElement::new(tag, vr, PrimitiveValue::Empty),
    }
}

fn text(tag: Tag, vr: VR, value: &str) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}
