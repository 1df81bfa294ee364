//! What is odd about a PET on purpose, for tests of what reads it.

use super::super::write::{decimals, text};
use super::times::date;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde::{Deserialize, Serialize};

/// One thing wrong with, or unusual about, the PET of a phantom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PetDefect {
    /// Slices are one and a half steps apart after every third.
    Uneven,
    /// All slices have one slope.
    OneSlope,
    /// Values are signed, and noise around nothing is not cut off at 0.
    Negative,
    /// The slope of the middle slice is no number.
    NanSlope,
    /// The slope of the middle slice is 0.
    ZeroSlope,
    /// Values start at -5.
    Intercept,
    /// Attenuation was not corrected.
    NoAttenuation,
    /// No weight.
    MissingWeight,
    /// No dose.
    MissingDose,
    /// Neither half-life nor radionuclide.
    MissingHalfLife,
    /// No time of injection.
    MissingInjection,
    /// No times of series and acquisition.
    MissingTimes,
    /// No units.
    MissingUnits,
    /// The dose is in MBq.
    DoseInMbq,
    /// The weight is in grams.
    WeightInGrams,
    /// The injection has a time of day and no date.
    TimeOnly,
    /// Injected before midnight, scanned after it; the injection has a time of day and no date.
    OverMidnight,
    /// Two radiopharmaceuticals.
    TwoTracers,
    /// The last slice has another weight.
    MixedWeight,
    /// The PET is of another patient, though of the CT's study.
    OtherPatient,
    /// The PET has another frame of reference than the CT.
    OtherFrame,
    /// The PET has another study than the CT, and no frame of reference with it.
    OtherStudy,
    /// The PET was taken two days after the CT.
    DaysApart,
}

impl PetDefect {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Uneven,
        Self::OneSlope,
        Self::Negative,
        Self::NanSlope,
        Self::ZeroSlope,
        Self::Intercept,
        Self::NoAttenuation,
        Self::MissingWeight,
        Self::MissingDose,
        Self::MissingHalfLife,
        Self::MissingInjection,
        Self::MissingTimes,
        Self::MissingUnits,
        Self::DoseInMbq,
        Self::WeightInGrams,
        Self::TimeOnly,
        Self::OverMidnight,
        Self::TwoTracers,
        Self::MixedWeight,
        Self::OtherPatient,
        Self::OtherFrame,
        Self::OtherStudy,
        Self::DaysApart,
    ];

    /// Changes a slice, `[slice, slices]`, that is otherwise in order.
    pub(super) fn edit(self, object: &mut InMemDicomObject, [slice, slices]: [usize; 2]) {
        let middle = slice == slices / 2;
        match self {
            Self::NanSlope if middle => text(object, tags::RESCALE_SLOPE, VR::DS, "NaN"),
            Self::ZeroSlope if middle => text(object, tags::RESCALE_SLOPE, VR::DS, "0"),
            Self::Intercept => text(object, tags::RESCALE_INTERCEPT, VR::DS, "-5"),
            Self::NoAttenuation => text(object, tags::CORRECTED_IMAGE, VR::CS, "DECY\\SCAT\\DTIM"),
            Self::MissingWeight => remove(object, &[tags::PATIENT_WEIGHT]),
            Self::MissingUnits => remove(object, &[tags::UNITS]),
            Self::MissingTimes => remove(object, &TIMES),
            Self::MissingDose => of_tracer(object, |t| remove(t, &[tags::RADIONUCLIDE_TOTAL_DOSE])),
            Self::MissingHalfLife => of_tracer(object, |t| {
                let tags = [
                    tags::RADIONUCLIDE_HALF_LIFE,
                    tags::RADIONUCLIDE_CODE_SEQUENCE,
                ];
                remove(t, &tags);
            }),
            Self::MissingInjection => of_tracer(object, |t| remove(t, &INJECTION)),
            Self::TimeOnly | Self::OverMidnight => {
                of_tracer(object, |t| remove(t, &[INJECTION[0]]));
            }
            Self::TwoTracers => twice(object),
            Self::MixedWeight if slice + 1 == slices => {
                decimals(object, tags::PATIENT_WEIGHT, &[45.0]);
            }
            Self::OtherPatient => OTHER_PATIENT
                .iter()
                .for_each(|(tag, vr, value)| text(object, *tag, *vr, value)),
            Self::OtherFrame | Self::OtherStudy => other_uids(self, object),
            Self::DaysApart => later(object),
            _ => {}
        }
    }
}

const INJECTION: [Tag; 2] = [
    tags::RADIOPHARMACEUTICAL_START_DATE_TIME,
    tags::RADIOPHARMACEUTICAL_START_TIME,
];
const DATES: [Tag; 3] = [
    tags::SERIES_DATE,
    tags::ACQUISITION_DATE,
    tags::CONTENT_DATE,
];
const TIMES: [Tag; 4] = [
    tags::SERIES_TIME,
    tags::ACQUISITION_TIME,
    tags::CONTENT_TIME,
    tags::FRAME_REFERENCE_TIME,
];
const OTHER_PATIENT: [(Tag, VR, &str); 3] = [
    (tags::PATIENT_ID, VR::LO, "HILUM-PHANTOM-2"),
    (tags::PATIENT_NAME, VR::PN, "OTHER^PHANTOM"),
    (tags::PATIENT_BIRTH_DATE, VR::DA, "19710304"),
];

fn remove(object: &mut InMemDicomObject, tags: &[Tag]) {
    for tag in tags {
        object.remove_element(*tag);
    }
}

/// Changes each radiopharmaceutical.
fn of_tracer(object: &mut InMemDicomObject, change: impl Fn(&mut InMemDicomObject)) {
    let tag = tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE;
    let items = object.get(tag).and_then(|e| e.items()).unwrap_or_default();
    let mut items = items.to_vec();
    items.iter_mut().for_each(change);
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// Moves every date of the PET by two days.
fn later(object: &mut InMemDicomObject) {
    let day = date(2.0 * 86_400.0);
    for tag in DATES {
        text(object, tag, VR::DA, &day);
    }
    of_tracer(object, |tracer| {
        let former = tracer.get(INJECTION[0]).and_then(|e| e.to_str().ok());
        let moved = former.map(|former| day.clone() + former.get(8..).unwrap_or_default());
        if let Some(moved) = moved {
            text(tracer, INJECTION[0], VR::DT, &moved);
        }
    });
}

fn twice(object: &mut InMemDicomObject) {
    let tag = tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE;
    let items = object.get(tag).and_then(|e| e.items()).unwrap_or_default();
    let items = [items, items].concat();
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// A UID that is the former one's own.
fn other_uids(defect: PetDefect, object: &mut InMemDicomObject) {
    let both = [tags::FRAME_OF_REFERENCE_UID, tags::STUDY_INSTANCE_UID];
    let changed = if defect == PetDefect::OtherStudy {
        &both[..]
    } else {
        &both[..1]
    };
    for tag in changed {
        let former = object
            .get(*tag)
            .and_then(|e| e.to_str().ok())
            .unwrap_or_default();
        let uid = crate::uid::UidSource::new([former.as_ref()]).uid("other");
        text(object, *tag, VR::UI, &uid);
    }
}
