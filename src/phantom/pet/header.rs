//! One slice of the PET as a file (PS3.3 A.21, PET Image Storage).

use super::super::truth::PATIENT_ID;
use super::super::write::{decimals, file_bytes, short, text};
use super::PetPhantom;
use super::branch::{PHILIPS_BQML, PHILIPS_SUV, SuvBranch};
use super::defect::PetDefect;
use super::patient::Patient;
use super::times::{FRAME_S, Times, date, date_time, time};
use super::tracer::{Code, Tracer};
use crate::uid::UidSource;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids as sop};
use dicom_object::InMemDicomObject;
use std::f64::consts::LN_2;

/// What all slices share.
pub(super) struct PetHeader<'a> {
    pub(super) phantom: &'a PetPhantom,
    pub(super) uids: &'a UidSource,
    pub(super) tracer: Tracer,
}

impl PetHeader<'_> {
    /// One file of the series.
    pub(super) fn encode(&self, slice: usize, number: usize) -> Result<Vec<u8>, String> {
        let uid = self.uids.uid(&format!("pet/instance/{slice}"));
        let mut object = InMemDicomObject::new_empty();
        self.identity(&mut object);
        self.series(&mut object);
        self.timing(&mut object, slice);
        self.isotope(&mut object);
        self.private(&mut object);
        let class = sop::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;
        text(&mut object, tags::SOP_CLASS_UID, VR::UI, class);
        text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &uid);
        text(
            &mut object,
            tags::INSTANCE_NUMBER,
            VR::IS,
            &number.to_string(),
        );
        self.plane(&mut object, slice);
        self.pixels(&mut object, slice);
        let place = [slice, self.phantom.image.size()[0]];
        for defect in &self.phantom.params().defects {
            defect.edit(&mut object, place);
        }
        file_bytes(object, class, &uid)
    }

    fn branch(&self) -> SuvBranch {
        self.phantom.params().branch
    }

    fn times(&self) -> &Times {
        &self.phantom.times
    }

    fn patient(&self) -> &Patient {
        &self.phantom.truth.pet.patient
    }

    fn identity(&self, object: &mut InMemDicomObject) {
        let study_uid = self.uids.uid("study");
        let entries = [
            (tags::PATIENT_NAME, VR::PN, "PHANTOM^HILUM"),
            (tags::PATIENT_ID, VR::LO, PATIENT_ID),
            (tags::PATIENT_BIRTH_DATE, VR::DA, "19600101"),
            (tags::PATIENT_AGE, VR::AS, "065Y"),
            (tags::STUDY_INSTANCE_UID, VR::UI, &study_uid),
            (tags::STUDY_ID, VR::SH, "1"),
            (tags::STUDY_DESCRIPTION, VR::LO, STUDY_DESCRIPTION),
            (tags::ACCESSION_NUMBER, VR::SH, ""),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        ];
        entries
            .iter()
            .for_each(|(tag, vr, value)| text(object, *tag, *vr, value));
        for (tag, vr, value) in shared(self.patient(), self.times()) {
            text(object, tag, vr, &value);
        }
        let grams = self.phantom.params().has(PetDefect::WeightInGrams);
        let unit = if grams { 1e3 } else { 1.0 };
        decimals(
            object,
            tags::PATIENT_WEIGHT,
            &[self.patient().weight_kg * unit],
        );
    }

    fn series(&self, object: &mut InMemDicomObject) {
        let (series_uid, frame_uid) = (self.uids.uid("pet/series"), self.uids.uid("frame"));
        let branch = self.branch();
        let corrected = match branch {
            SuvBranch::BqmlNone => "ATTN\\SCAT\\DTIM",
            _ => "ATTN\\DECY\\SCAT\\DTIM",
        };
        let entries = [
            (tags::MODALITY, VR::CS, "PT"),
            (tags::SERIES_INSTANCE_UID, VR::UI, series_uid.as_str()),
            (tags::SERIES_NUMBER, VR::IS, "2"),
            (tags::SERIES_DESCRIPTION, VR::LO, "Synthetic PET"),
            (tags::SERIES_TYPE, VR::CS, "WHOLE BODY\\IMAGE"),
            (tags::PATIENT_POSITION, VR::CS, "HFS"),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, &frame_uid),
            (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
            (tags::MANUFACTURER, VR::LO, branch.manufacturer()),
            (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Phantom"),
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
            (tags::UNITS, VR::CS, branch.units()),
            (tags::COUNTS_SOURCE, VR::CS, "EMISSION"),
            (tags::DECAY_CORRECTION, VR::CS, branch.decay_correction()),
            (tags::CORRECTED_IMAGE, VR::CS, corrected),
            (tags::COLLIMATOR_TYPE, VR::CS, "NONE"),
            (tags::RANDOMS_CORRECTION_METHOD, VR::CS, "NONE"),
        ];
        entries
            .iter()
            .for_each(|(tag, vr, value)| text(object, *tag, *vr, value));
        if let Some(suv_type) = branch.suv_type() {
            text(object, tags::SUV_TYPE, VR::CS, suv_type);
        }
        let slices = u16::try_from(self.phantom.image.size()[0]).unwrap_or(u16::MAX);
        short(object, tags::NUMBER_OF_SLICES, slices);
    }

    fn timing(&self, object: &mut InMemDicomObject, slice: usize) {
        let times = self.times();
        let acquisition_s = times.acquisition_s(slice);
        for (day, clock, seconds) in [
            (tags::SERIES_DATE, tags::SERIES_TIME, times.series_s),
            (
                tags::ACQUISITION_DATE,
                tags::ACQUISITION_TIME,
                acquisition_s,
            ),
            (tags::CONTENT_DATE, tags::CONTENT_TIME, acquisition_s),
        ] {
            text(object, day, VR::DA, &date(seconds));
            text(object, clock, VR::TM, &time(seconds));
        }
        // To when the activity is its mean over the frame; GE counts to the frame's begin.
        let decays = LN_2 * FRAME_S / times.half_life_s;
        let average_s = (decays / -(-decays).exp_m1()).ln() * times.half_life_s / LN_2;
        let within_s = if self.branch() == SuvBranch::BqmlStartGe {
            0.0
        } else {
            average_s
        };
        let reference_ms = 1000.0 * (acquisition_s - times.reference_s + within_s);
        decimals(object, tags::FRAME_REFERENCE_TIME, &[reference_ms]);
        let frame_ms = format!("{}", 1000.0 * FRAME_S);
        text(object, tags::ACTUAL_FRAME_DURATION, VR::IS, &frame_ms);
    }

    fn isotope(&self, object: &mut InMemDicomObject) {
        let times = self.times();
        let mut tracer = InMemDicomObject::new_empty();
        text(
            &mut tracer,
            tags::RADIOPHARMACEUTICAL,
            VR::LO,
            self.tracer.name,
        );
        let unit = if self.phantom.params().has(PetDefect::DoseInMbq) {
            1.0
        } else {
            1e6
        };
        let dose = self.patient().dose_mbq * unit;
        decimals(&mut tracer, tags::RADIONUCLIDE_TOTAL_DOSE, &[dose]);
        decimals(
            &mut tracer,
            tags::RADIONUCLIDE_HALF_LIFE,
            &[times.half_life_s],
        );
        let clock = time(times.injection_s);
        text(
            &mut tracer,
            tags::RADIOPHARMACEUTICAL_START_TIME,
            VR::TM,
            &clock,
        );
        let moment = date_time(times.injection_s);
        text(
            &mut tracer,
            tags::RADIOPHARMACEUTICAL_START_DATE_TIME,
            VR::DT,
            &moment,
        );
        tracer.put(coded(tags::RADIONUCLIDE_CODE_SEQUENCE, self.tracer.nuclide));
        let pharmaceutical = self.tracer.pharmaceutical;
        tracer.put(coded(
            tags::RADIOPHARMACEUTICAL_CODE_SEQUENCE,
            pharmaceutical,
        ));
        let tag = tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE;
        object.put(DataElement::new(
            tag,
            VR::SQ,
            DataSetSequence::from(vec![tracer]),
        ));
    }

    /// Elements of the maker whose rule the branch is of.
    fn private(&self, object: &mut InMemDicomObject) {
        let moment = date_time(self.times().reference_s);
        match self.branch() {
            SuvBranch::BqmlStartSiemens => {
                text(object, Tag(0x0071, 0x0010), VR::LO, "SIEMENS MED PT");
                text(object, Tag(0x0071, 0x1022), VR::DT, &moment);
            }
            SuvBranch::BqmlStartGe => {
                text(object, Tag(0x0009, 0x0010), VR::LO, "GEMS_PETD_01");
                text(object, Tag(0x0009, 0x100d), VR::DT, &moment);
            }
            SuvBranch::CntsSuv | SuvBranch::CntsBqml => {
                let is_suv = self.branch() == SuvBranch::CntsSuv;
                text(
                    object,
                    Tag(0x7053, 0x0010),
                    VR::LO,
                    "Philips PET Private Group",
                );
                // A factor that is not known is 0.
                let suv = if is_suv { PHILIPS_SUV } else { 0.0 };
                decimals(object, Tag(0x7053, 0x1000), &[suv]);
                decimals(object, Tag(0x7053, 0x1009), &[PHILIPS_BQML]);
            }
            _ => {}
        }
    }

    fn plane(&self, object: &mut InMemDicomObject, slice: usize) {
        let position = self.phantom.position_lps_mm(slice);
        let voxel_mm = self.phantom.params().voxel_mm;
        decimals(object, tags::IMAGE_POSITION_PATIENT, &position.to_array());
        let orientation = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        decimals(object, tags::IMAGE_ORIENTATION_PATIENT, &orientation);
        decimals(object, tags::PIXEL_SPACING, &[voxel_mm; 2]);
        decimals(object, tags::SLICE_THICKNESS, &[voxel_mm]);
        decimals(object, tags::SLICE_LOCATION, &[position.z]);
        let index = u16::try_from(slice + 1).unwrap_or(u16::MAX);
        short(object, tags::IMAGE_INDEX, index);
    }

    fn pixels(&self, object: &mut InMemDicomObject, slice: usize) {
        let [_, rows, columns] = self.phantom.image.size();
        short(object, tags::SAMPLES_PER_PIXEL, 1);
        text(
            object,
            tags::PHOTOMETRIC_INTERPRETATION,
            VR::CS,
            "MONOCHROME2",
        );
        short(object, tags::ROWS, u16::try_from(rows).unwrap_or(u16::MAX));
        short(
            object,
            tags::COLUMNS,
            u16::try_from(columns).unwrap_or(u16::MAX),
        );
        short(object, tags::BITS_ALLOCATED, 16);
        short(object, tags::BITS_STORED, 16);
        short(object, tags::HIGH_BIT, 15);
        let is_signed = self.phantom.params().has(PetDefect::Negative);
        short(object, tags::PIXEL_REPRESENTATION, u16::from(is_signed));
        let stored = self.phantom.stored(slice);
        decimals(object, tags::RESCALE_INTERCEPT, &[0.0]);
        text(object, tags::RESCALE_SLOPE, VR::DS, &stored.slope);
        let value = PrimitiveValue::U16(stored.samples.into());
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, value));
    }
}

/// Study Description (0008,1030) of both series.
const STUDY_DESCRIPTION: &str = "Synthetic PET/CT";

/// What CT and PET both say of the patient and the study.
pub(super) fn shared(patient: &Patient, times: &Times) -> Vec<(Tag, VR, String)> {
    vec![
        (tags::PATIENT_SEX, VR::CS, patient.sex.to_string()),
        (tags::PATIENT_SIZE, VR::DS, patient.height_m.to_string()),
        (tags::PATIENT_WEIGHT, VR::DS, patient.weight_kg.to_string()),
        (tags::STUDY_DATE, VR::DA, date(times.ct_s)),
        (tags::STUDY_TIME, VR::TM, time(times.ct_s)),
        (tags::STUDY_DESCRIPTION, VR::LO, STUDY_DESCRIPTION.into()),
    ]
}

/// What the CT says of its times.
pub(super) fn ct_times(times: &Times) -> Vec<(Tag, VR, String)> {
    let dates = [
        tags::SERIES_DATE,
        tags::ACQUISITION_DATE,
        tags::CONTENT_DATE,
    ];
    let clocks = [
        tags::SERIES_TIME,
        tags::ACQUISITION_TIME,
        tags::CONTENT_TIME,
    ];
    let dates = dates.map(|tag| (tag, VR::DA, date(times.ct_s)));
    let clocks = clocks.map(|tag| (tag, VR::TM, time(times.ct_s)));
    [dates, clocks].concat()
}

fn coded(tag: Tag, [value, scheme, meaning]: Code) -> DataElement<InMemDicomObject> {
    let mut item = InMemDicomObject::new_empty();
    text(&mut item, tags::CODE_VALUE, VR::SH, value);
    text(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    text(&mut item, tags::CODE_MEANING, VR::LO, meaning);
    DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]))
}
