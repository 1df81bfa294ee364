//! Whom a study is of, and when it was made: what earlier studies of the same patient are looked for by.
//!
//! In: a file. Out: attributes of the patient, to be asked with and dropped. They are stored nowhere, and no text of this
//! program repeats them.

use super::Error;
use super::attribute::Attributes;
use super::file::{DicomFile, guarded};
use super::instance::Identity;
use dicom_dictionary_std::tags;
use std::fmt;
use std::path::Path;

/// What tells a patient's other studies from those of other patients.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// Patient ID (0010,0020).
    pub patient_id: Option<String>,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: Option<String>,
    /// Patient's Birth Date (0010,0030).
    pub birth_date: Option<String>,
    /// Study Date (0008,0020).
    pub study_date: Option<String>,
    /// Study Time (0008,0030).
    pub study_time: Option<String>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Reads whom an object is of.
///
/// # Errors
/// What is wrong with the file.
pub fn subject(path: &Path) -> Result<Subject, Error> {
    guarded("unknown", || {
        let object = DicomFile::open(path)?.object()?;
        let identity = Identity::from_object(&object)?;
        let attributes = Attributes::new(&object, &identity.sop_instance_uid);
        let text = |tag| attributes.text(tag).filter(|text| !text.is_empty());
        Ok(Subject {
            patient_id: text(tags::PATIENT_ID),
            issuer: text(tags::ISSUER_OF_PATIENT_ID),
            birth_date: text(tags::PATIENT_BIRTH_DATE),
            study_date: text(tags::STUDY_DATE),
            study_time: text(tags::STUDY_TIME),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{slice, with, without, write};
    use super::*;
    use dicom_core::VR;

    #[test]
    fn whom_an_object_is_of_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let object = with(slice(0), tags::PATIENT_ID, VR::LO, "Secret-ID");
        let object = with(object, tags::STUDY_DATE, VR::DA, "20240131");
        let of = subject(&write(folder.path(), "a.dcm", object.clone())).unwrap();
        assert_eq!(of.patient_id.as_deref(), Some("Secret-ID"));
        assert_eq!(of.study_date.as_deref(), Some("20240131"));
        assert_eq!(of.issuer, None);
        assert!(!format!("{of:?}").contains("Secret"));
        let nameless = without(object, tags::PATIENT_ID);
        let of = subject(&write(folder.path(), "b.dcm", nameless)).unwrap();
        assert_eq!(of.patient_id, None);
    }
}
