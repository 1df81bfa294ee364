//! Which studies are asked for, and which of those that a peer names are fetched.
//!
//! In: whom and when a study is of, and what the peer answers by C-FIND or QIDO-RS. Out: earlier studies of that patient.
//! Refused: answers about other patients, since some peers match less than they are asked to.

use crate::dicom::Subject;
use crate::uid;
use chrono::{Days, NaiveDate};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is asked for with every study.
const RETURNED: [(Tag, VR); 5] = [
    (tags::STUDY_TIME, VR::TM),
    (tags::MODALITIES_IN_STUDY, VR::CS),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::STUDY_INSTANCE_UID, VR::UI),
];

/// What is looked for. It holds attributes of the patient: it has no [`std::fmt::Debug`].
pub(super) struct Question {
    study_instance_uid: String,
    patient_id: String,
    of: Subject,
    modalities: BTreeSet<String>,
    first_day: Option<NaiveDate>,
    last_day: NaiveDate,
}

/// A study that a peer names.
pub(super) struct Found {
    study_instance_uid: Option<String>,
    patient_id: Option<String>,
    issuer: Option<String>,
    birth_date: Option<String>,
    study_date: Option<String>,
    study_time: Option<String>,
    modalities: Vec<String>,
}

impl Question {
    /// None where the study does not say whom and when it is of.
    pub(super) fn new(
        study_instance_uid: &str,
        of: Subject,
        modalities: impl IntoIterator<Item = String>,
        max_age_days: u32,
    ) -> Option<Self> {
        let patient_id = of.patient_id.clone()?;
        // What else would go out in one character set and be compared in another.
        if !patient_id
            .bytes()
            .all(|c| (b' '..=b'~').contains(&c) && c != b'\\')
        {
            return None;
        }
        let last_day = day(of.study_date.as_deref()?)?;
        let age = (max_age_days > 0).then(|| Days::new(max_age_days.into()));
        Some(Self {
            study_instance_uid: study_instance_uid.into(),
            patient_id,
            first_day: age.and_then(|age| last_day.checked_sub_days(age)),
            last_day,
            of,
            modalities: modalities.into_iter().collect(),
        })
    }

    /// The days that a Study Date may have, as a range (PS3.4 C.2.2.2.5).
    fn days(&self) -> String {
        let text = |day: NaiveDate| day.format("%Y%m%d").to_string();
        let first = self.first_day.map(text).unwrap_or_default();
        format!("{first}-{}", text(self.last_day))
    }

    /// The identifier of a C-FIND at level STUDY.
    pub(super) fn identifier(&self) -> InMemDicomObject {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let mut identifier = InMemDicomObject::from_element_iter([
            text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY"),
            text(tags::PATIENT_ID, VR::LO, &self.patient_id),
            text(tags::STUDY_DATE, VR::DA, &self.days()),
        ]);
        for (tag, vr) in RETURNED {
            identifier.put(DataElement::new(tag, vr, PrimitiveValue::Empty));
        }
        identifier
    }

    /// Keys and values of a QIDO-RS search for studies (PS3.18 10.6.1).
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let fields = RETURNED.map(|(tag, _)| format!("{:04X}{:04X}", tag.0, tag.1));
        vec![
            ("PatientID", self.patient_id.clone()),
            ("StudyDate", self.days()),
            ("includefield", fields.join(",")),
        ]
    }

    /// The latest `wanted` of the earlier studies, the latest first.
    pub(super) fn choose(&self, found: Vec<Found>, wanted: usize) -> Vec<String> {
        let mut earlier: Vec<_> = found.into_iter().filter_map(|f| self.fits(f)).collect();
        earlier.sort_by(|a, b| b.cmp(a));
        let mut known = BTreeSet::new();
        let studies = earlier.into_iter().map(|(_, study)| study);
        let distinct = studies.filter(|study| known.insert(study.clone()));
        distinct.take(wanted).collect()
    }

    /// When the study was made, and its UID; none where it is no earlier one of this patient.
    fn fits(&self, found: Found) -> Option<((NaiveDate, String), String)> {
        let study = found.study_instance_uid.filter(|uid| uid::is_valid(uid))?;
        let same = |ours: &Option<String>, theirs: &Option<String>| {
            ours.is_none() || theirs.is_none() || ours == theirs
        };
        let is_of_patient = found.patient_id.as_ref() == Some(&self.patient_id)
            && same(&self.of.issuer, &found.issuer)
            && same(&self.of.birth_date, &found.birth_date);
        // A peer that does not say what a study has is believed to have what fits.
        let is_alike = found.modalities.is_empty()
            || found.modalities.iter().any(|m| self.modalities.contains(m));
        let made = day(found.study_date.as_deref()?)?;
        let time = found.study_time.unwrap_or_default();
        let own_time = self.of.study_time.as_deref().unwrap_or_default();
        let is_earlier = made < self.last_day
            || made == self.last_day && !time.is_empty() && time.as_str() < own_time;
        let is_recent = self.first_day.is_none_or(|first| made >= first);
        let fits = is_of_patient && is_alike && is_earlier && is_recent;
        (fits && study != self.study_instance_uid).then_some(((made, time), study))
    }
}

impl Found {
    /// Of an answer to C-FIND.
    pub(super) fn of_object(object: &InMemDicomObject) -> Self {
        let text = |tag| {
            let text = object.get(tag)?.to_str().ok()?;
            let text = text.trim_matches(['\0', ' ']);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let modalities = text(tags::MODALITIES_IN_STUDY).unwrap_or_default();
        let modalities = modalities
            .split('\\')
            .map(|modality| modality.trim().into());
        Self::of(text, modalities.collect())
    }

    /// Of a study in the answer to QIDO-RS (PS3.18 F.2).
    pub(super) fn of_json(study: &Value) -> Self {
        let values = |tag: Tag| {
            let values = study[format!("{:04X}{:04X}", tag.0, tag.1)]["Value"].as_array();
            let texts = values.into_iter().flatten().filter_map(Value::as_str);
            texts.map(|text| text.trim().to_owned()).collect::<Vec<_>>()
        };
        let text = |tag| values(tag).into_iter().find(|text| !text.is_empty());
        Self::of(text, values(tags::MODALITIES_IN_STUDY))
    }

    fn of(text: impl Fn(Tag) -> Option<String>, modalities: Vec<String>) -> Self {
        Self {
            study_instance_uid: text(tags::STUDY_INSTANCE_UID),
            patient_id: text(tags::PATIENT_ID),
            issuer: text(tags::ISSUER_OF_PATIENT_ID),
            birth_date: text(tags::PATIENT_BIRTH_DATE),
            study_date: text(tags::STUDY_DATE),
            study_time: text(tags::STUDY_TIME),
            modalities: modalities.into_iter().filter(|m| !m.is_empty()).collect(),
        }
    }
}

/// Of a DA (PS3.5 6.2).
fn day(date: &str) -> Option<NaiveDate> {
    let is_date = date.len() == 8 && date.bytes().all(|c| c.is_ascii_digit());
    is_date.then(|| NaiveDate::parse_from_str(date, "%Y%m%d").ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subject() -> Subject {
        Subject {
            patient_id: Some("P-1".into()),
            issuer: Some("HERE".into()),
            birth_date: Some("19500102".into()),
            study_date: Some("20240630".into()),
            study_time: Some("120000".into()),
        }
    }

    fn question() -> Question {
        Question::new("1.2.9", subject(), ["CT".into()], 365).expect("it can be asked")
    }

    fn found(study: &str, date: &str) -> Found {
        Found {
            study_instance_uid: Some(study.into()),
            patient_id: Some("P-1".into()),
            issuer: None,
            birth_date: None,
            study_date: Some(date.into()),
            study_time: None,
            modalities: vec!["CT".into(), "SR".into()],
        }
    }

    fn chosen(change: impl FnOnce(&mut Found)) -> bool {
        let mut study = found("1.2.1", "20240101");
        change(&mut study);
        !question().choose(vec![study], 10).is_empty()
    }

    #[test]
    fn the_latest_earlier_studies_are_chosen_each_once() {
        let found = [
            found("1.2.1", "20240101"),
            found("1.2.3", "20240301"),
            found("1.2.2", "20240201"),
            found("1.2.3", "20240301"),
            found("1.2.9", "20240101"),
        ];
        assert_eq!(question().choose(found.into(), 2), ["1.2.3", "1.2.2"]);
    }

    #[test]
    fn answers_about_another_patient_are_dropped() {
        let text = |text: &str| Some(text.to_owned());
        assert!(chosen(|_| ()));
        assert!(!chosen(|study| study.patient_id = text("P-10")));
        assert!(!chosen(|study| study.patient_id = None));
        assert!(!chosen(|study| study.issuer = text("ELSEWHERE")));
        assert!(chosen(|study| study.issuer = text("HERE")));
        assert!(!chosen(|study| study.birth_date = text("19500103")));
        assert!(chosen(|study| study.birth_date = text("19500102")));
    }

    #[test]
    fn only_earlier_studies_of_a_modality_in_common_are_chosen() {
        assert!(!chosen(|study| study.modalities = vec!["MR".into()]));
        assert!(chosen(|study| study.modalities = Vec::new()));
        assert!(!chosen(|study| study.study_date = Some("20240701".into())));
        assert!(!chosen(|study| study.study_date = Some("20230630".into())));
        assert!(chosen(|study| study.study_date = Some("20230701".into())));
        assert!(!chosen(|study| study.study_date = Some("2024.1.1".into())));
        assert!(!chosen(|study| study.study_date = None));
        let today = |time: Option<&str>| {
            chosen(|study| {
                study.study_date = Some("20240630".into());
                study.study_time = time.map(Into::into);
            })
        };
        assert!(today(Some("115959")));
        assert!(!today(Some("120000")) && !today(None));
        assert!(!chosen(
            |study| study.study_instance_uid = Some("../1".into())
        ));
    }

    #[test]
    fn a_study_that_does_not_say_whom_or_when_it_is_of_has_no_question() {
        let none = |change: fn(&mut Subject)| {
            let mut of = subject();
            change(&mut of);
            Question::new("1.2.9", of, ["CT".into()], 0).is_none()
        };
        assert!(!none(|_| ()));
        assert!(none(|of| of.patient_id = None));
        assert!(none(|of| of.patient_id = Some("Ä-1".into())));
        assert!(none(|of| of.patient_id = Some("A\\B".into())));
        assert!(none(|of| of.study_date = Some("20241301".into())));
    }

    #[test]
    fn both_forms_of_the_question_name_the_patient_and_the_days() {
        let identifier = question().identifier();
        let text = |tag| {
            identifier
                .element(tag)
                .unwrap()
                .to_str()
                .unwrap()
                .into_owned()
        };
        assert_eq!(text(tags::PATIENT_ID), "P-1");
        assert_eq!(text(tags::STUDY_DATE), "20230701-20240630");
        assert_eq!(text(tags::MODALITIES_IN_STUDY), "");
        let query = question().query();
        assert_eq!(query[0], ("PatientID", "P-1".into()));
        assert!(query[2].1.contains("00080061"));
        let endless = Question::new("1.2.9", subject(), [], 0).expect("it can be asked");
        assert_eq!(endless.days(), "-20240630");
    }

    #[test]
    fn answers_by_dicom_and_by_json_are_read_alike() {
        let study = json!({
            "0020000D": {"vr": "UI", "Value": ["1.2.1"]},
            "00100020": {"vr": "LO", "Value": ["P-1"]},
            "00080020": {"vr": "DA", "Value": ["20240101"]},
            "00080061": {"vr": "CS", "Value": ["SR", "CT"]},
            "00100021": {"vr": "LO"},
        });
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let object = InMemDicomObject::from_element_iter([
            text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1\0"),
            text(tags::PATIENT_ID, VR::LO, "P-1 "),
            text(tags::STUDY_DATE, VR::DA, "20240101"),
            text(tags::MODALITIES_IN_STUDY, VR::CS, "SR\\CT"),
            text(tags::ISSUER_OF_PATIENT_ID, VR::LO, ""),
        ]);
        for found in [Found::of_json(&study), Found::of_object(&object)] {
            assert_eq!(found.modalities, ["SR", "CT"]);
            assert_eq!(question().choose(vec![found], 1), ["1.2.1"]);
        }
        let chosen = question().choose(vec![Found::of_json(&json!(7))], 1);
        assert_eq!(chosen, [""; 0]);
    }
}
