//! Attributes of enhanced PET that SUV needs, of each frame.
//!
//! In: a data set with functional groups. Out: a [`PetImage`] a frame, as if it were a classic image.
//!
//! Source: PS3.3 C.8.22 (enhanced PET), C.7.6.16.2.11 (Real World Value Mapping).

use super::Error;
use super::attribute::Attributes;
use super::pet::{date_time, read, zone_s};
use crate::suv::{Corrections, PetImage};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// An enhanced PET, read once for all of its frames.
pub(super) struct EnhancedPet<'a> {
    common: Result<PetImage, Error>,
    shared: Option<&'a InMemDicomObject>,
    uid: &'a str,
    zone_s: Option<f64>,
}

impl<'a> EnhancedPet<'a> {
    pub(super) fn new(
        object: &InMemDicomObject,
        shared: Option<&'a InMemDicomObject>,
        uid: &'a str,
    ) -> Self {
        let attributes = Attributes::new(object, uid);
        Self {
            common: common(object, &attributes),
            shared,
            uid,
            zone_s: zone_s(&attributes).unwrap_or(None),
        }
    }

    /// One frame, by its own functional groups or else the shared ones.
    pub(super) fn frame(&self, groups: &InMemDicomObject) -> Result<PetImage, Error> {
        let mut image = self.common.clone()?;
        let group = |tag: Tag| {
            let of = |object| Attributes::new(object, self.uid).items(tag);
            let own = of(groups);
            match (own.is_empty(), self.shared) {
                (true, Some(shared)) => of(shared),
                _ => own,
            }
        };
        if let Some(content) = group(tags::FRAME_CONTENT_SEQUENCE).first() {
            let tag = tags::FRAME_ACQUISITION_DATE_TIME;
            let time = date_time(content, tag, self.zone_s)?;
            image.acquisition_time = time.or(image.acquisition_time);
            let duration_ms = content.optional_number(tags::FRAME_ACQUISITION_DURATION)?;
            image.frame_duration_s = duration_ms.map(|ms| ms / 1000.0).or(image.frame_duration_s);
        }
        if let Some(rescale) = group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).first() {
            image.rescale_slope = rescale.number(tags::RESCALE_SLOPE)?;
            image.rescale_intercept = rescale.number(tags::RESCALE_INTERCEPT)?;
        }
        let mappings = group(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE);
        if let Some(units) = mappings.iter().find_map(|m| mapped_units(m, &image)) {
            let (units, suv_type) = units;
            image.units = Some(units);
            image.suv_type = suv_type;
        }
        Ok(image)
    }
}

/// Decay Corrected (0018,9758) and Attenuation Corrected (0018,9759) say what the attributes of a classic image say.
fn common(object: &InMemDicomObject, attributes: &Attributes) -> Result<PetImage, Error> {
    let mut image = read(object, attributes.object_uid().as_str())?;
    let answer = |tag| attributes.text(tag);
    let zone_s = zone_s(attributes)?;
    let time = date_time(attributes, tags::DECAY_CORRECTION_DATE_TIME, zone_s)?;
    let decay = answer(tags::DECAY_CORRECTED);
    let attenuation = answer(tags::ATTENUATION_CORRECTED);
    if attenuation.is_some() || decay.is_some() {
        image.corrections = Some(Corrections {
            attenuation: attenuation.as_deref() == Some("YES"),
            decay: decay.as_deref() == Some("YES"),
        });
    }
    match decay.as_deref() {
        Some("YES") => {
            image.decay_correction = Some("START".into());
            image.decay_correction_time = time;
        }
        Some("NO") => image.decay_correction = Some("NONE".into()),
        _ => {}
    }
    Ok(image)
}

/// Units and SUV Type that the codes of PS3.16 CID 84 and 85 mean, if the mapping is the rescale that is applied.
fn mapped_units(mapping: &Attributes, image: &PetImage) -> Option<(String, Option<String>)> {
    const TOLERANCE: f64 = 1e-6;
    let slope = mapping
        .optional_number(tags::REAL_WORLD_VALUE_SLOPE)
        .ok()??;
    let intercept = mapping
        .optional_number(tags::REAL_WORLD_VALUE_INTERCEPT)
        .ok()??;
    let same = (slope / image.rescale_slope - 1.0).abs() < TOLERANCE
        && (intercept - image.rescale_intercept).abs() < TOLERANCE;
    let units = mapping.items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE);
    let code = units.first()?.text(tags::CODE_VALUE)?;
    let (units, suv_type) = match code.as_str() {
        "Bq/ml" | "Bq/mL" => ("BQML", None),
        "g/ml{SUVbw}" | "{SUVbw}g/ml" => ("GML", Some("BW")),
        "g/ml{SUVlbm}" | "{SUVlbm}g/ml" => ("GML", Some("LBM")),
        "g/ml{SUVlbm(James128)}" => ("GML", Some("LBMJAMES128")),
        "g/ml{SUVlbm(Janma)}" => ("GML", Some("LBMJANMA")),
        "g/ml{SUVibw}" | "{SUVibw}g/ml" => ("GML", Some("IBW")),
        "cm2/ml{SUVbsa}" | "{SUVbsa}cm2/ml" => ("CM2ML", Some("BSA")),
        _ => return None,
    };
    same.then(|| (units.to_owned(), suv_type.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{empty, item, texts, with};
    use super::*;
    use dicom_core::VR;

    #[test]
    fn a_frame_has_the_units_and_times_of_its_groups() {
        let object = texts([
            (tags::DECAY_CORRECTED, VR::CS, "YES"),
            (tags::DECAY_CORRECTION_DATE_TIME, VR::DT, "20250101110000"),
            (tags::ATTENUATION_CORRECTED, VR::CS, "YES"),
        ]);
        let rescale = texts([
            (tags::RESCALE_SLOPE, VR::DS, "0.5"),
            (tags::RESCALE_INTERCEPT, VR::DS, "0"),
        ]);
        let units = |slope: f64| {
            let code = texts([(tags::CODE_VALUE, VR::SH, "Bq/ml")]);
            let mapping = with(empty(), tags::REAL_WORLD_VALUE_SLOPE, VR::FD, slope);
            let mut mapping = with(mapping, tags::REAL_WORLD_VALUE_INTERCEPT, VR::FD, 0.0);
            mapping.put(item(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, code));
            item(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, mapping)
        };
        let content = texts([(tags::FRAME_ACQUISITION_DATE_TIME, VR::DT, "20250101110500")]);
        let content = with(content, tags::FRAME_ACQUISITION_DURATION, VR::FD, 120_000.0);
        let shared = InMemDicomObject::from_element_iter([
            item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, rescale),
            units(0.5),
        ]);
        let own =
            InMemDicomObject::from_element_iter([item(tags::FRAME_CONTENT_SEQUENCE, content)]);
        let pet = EnhancedPet::new(&object, Some(&shared), "1.2");
        let image = pet.frame(&own).unwrap();
        assert_eq!(image.units.as_deref(), Some("BQML"));
        assert_eq!(image.decay_correction.as_deref(), Some("START"));
        let corrections = image.corrections.unwrap();
        assert!(corrections.attenuation && corrections.decay);
        assert_eq!(image.frame_duration_s, Some(120.0));
        let later_s = image
            .acquisition_time
            .zip(image.decay_correction_time)
            .map(|(frame, corrected)| frame.seconds_after(corrected));
        assert_eq!(later_s, Some(300.0));
        let other_mapping = InMemDicomObject::from_element_iter([units(0.7)]);
        assert_eq!(
            pet.frame(&other_mapping).unwrap().units,
            None,
            "of other values"
        );
    }
}
