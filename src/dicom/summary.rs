//! What an object says of itself, for whoever stores it: its identity and what rules ask for.
//!
//! In: a file. Out: UIDs that may name files, and a few attributes; of the patient the id alone, which nothing shows.
//! Refused: what is no complete DICOM object.

use super::attribute::Attributes;
use super::file::{DicomFile, guarded};
use super::instance::{Identity, Patient};
use super::{Error, kind};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::path::Path;

/// Identity and rule attributes of one object of any composite class.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSummary {
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: String,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    pub(crate) patient: Option<Patient>,
    /// Whether models read this class: CT and PET images.
    pub is_image: bool,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Study Description (0008,1030).
    pub study_description: Option<String>,
    /// Series Description (0008,103E).
    pub series_description: Option<String>,
    /// Slice Thickness (0018,0050), of a multi-frame object that which all frames share, mm.
    pub slice_thickness_mm: Option<f64>,
}

/// Reads what an object says of itself.
///
/// # Errors
/// What is wrong with the file, an identifying attribute that is missing or no UID, or pixel data that end too early.
pub fn summary(path: &Path) -> Result<ObjectSummary, Error> {
    guarded("unknown", || {
        let file = DicomFile::open(path)?;
        if file.media_class_uid == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
            return Err(Error::Dicomdir);
        }
        file.expect_complete()?;
        of_object(&file.object()?)
    })
}

fn of_object(object: &InMemDicomObject) -> Result<ObjectSummary, Error> {
    let identity = Identity::from_object(object)?;
    let attributes = Attributes::new(object, &identity.sop_instance_uid);
    Ok(ObjectSummary {
        is_image: kind::modality_of_class(&identity.sop_class_uid).is_some(),
        modality: attributes.text(tags::MODALITY),
        body_part: attributes.text(tags::BODY_PART_EXAMINED),
        study_description: attributes.text(tags::STUDY_DESCRIPTION),
        series_description: attributes.text(tags::SERIES_DESCRIPTION),
        slice_thickness_mm: slice_thickness_mm(&attributes),
        sop_class_uid: identity.sop_class_uid,
        study_instance_uid: identity.study_instance_uid,
        series_instance_uid: identity.series_instance_uid,
        sop_instance_uid: identity.sop_instance_uid.clone(),
        patient: identity.patient,
    })
}

/// Of the object itself, or of its shared functional groups (PS3.3 C.7.6.16.2.1).
fn slice_thickness_mm(attributes: &Attributes) -> Option<f64> {
    let number = |attributes: &Attributes| {
        let number = attributes.optional_number(tags::SLICE_THICKNESS);
        number.ok().flatten().filter(|mm| *mm > 0.0)
    };
    number(attributes).or_else(|| {
        let shared = first(attributes, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?;
        number(&first(&shared, tags::PIXEL_MEASURES_SEQUENCE)?)
    })
}

fn first<'a>(attributes: &Attributes<'a>, sequence: Tag) -> Option<Attributes<'a>> {
    attributes.items(sequence).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{empty, item, slice, with, without, write};
    use super::*;
    use dicom_core::VR;
    use std::fs;

    fn of(object: InMemDicomObject) -> Result<ObjectSummary, Error> {
        let folder = tempfile::tempdir().unwrap();
        summary(&write(folder.path(), "a.dcm", object))
    }

    #[test]
    fn identity_and_what_rules_ask_for_are_read_and_no_name() {
        let object = with(slice(0), tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
        let object = with(object, tags::SLICE_THICKNESS, VR::DS, "1.25");
        let summary = of(object).unwrap();
        assert_eq!(summary.sop_instance_uid, "1.2.3.1.1");
        assert_eq!(summary.study_instance_uid, "1.2.3");
        assert!(summary.is_image);
        assert_eq!(summary.body_part.as_deref(), Some("CHEST"));
        assert_eq!(summary.slice_thickness_mm, Some(1.25));
        assert!(!format!("{summary:?}").contains("Secret"));
    }

    #[test]
    fn the_thickness_of_a_multi_frame_object_stands_in_its_shared_groups() {
        let measures = with(empty(), tags::SLICE_THICKNESS, VR::DS, "0.625");
        let shared =
            InMemDicomObject::from_element_iter([item(tags::PIXEL_MEASURES_SEQUENCE, measures)]);
        let mut object = slice(0);
        object.put(item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, shared));
        assert_eq!(of(object).unwrap().slice_thickness_mm, Some(0.625));
    }

    #[test]
    fn a_report_is_no_image_but_is_read() {
        let class = uids::COMPREHENSIVE3_DSR_STORAGE;
        let object = without(slice(0), tags::PIXEL_DATA);
        let report = of(with(object, tags::SOP_CLASS_UID, VR::UI, class)).unwrap();
        assert!(!report.is_image);
    }

    #[test]
    fn a_file_that_ends_within_its_pixels_or_lacks_a_uid_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.dcm", slice(0));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();
        assert_eq!(summary(&path).unwrap_err().code(), "truncated");
        let nameless = of(without(slice(0), tags::STUDY_INSTANCE_UID));
        assert_eq!(nameless.unwrap_err().code(), "missing-attribute");
    }
}
