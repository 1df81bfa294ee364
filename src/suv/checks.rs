//! What must hold of a series before any formula applies.

use super::branch::{DecayCorrection, Meaning};
use super::units::{is_activity, needs_weight};
use super::{Error, Patient, PetImage, Policy, Warning, names};

/// Above this a weight is in grams, as no patient has it in kg.
const MAX_WEIGHT_KG: f64 = 1000.0;

/// Whether two images agree in something.
type Same = fn(&PetImage, &PetImage) -> bool;

/// The first image; what holds for a series must be the same in all of them.
pub(super) fn agreed<'a>(images: &[&'a PetImage]) -> Result<&'a PetImage, Error> {
    let first = *images.first().ok_or(missing(names::UNITS, "SUV"))?;
    let same: [(&'static str, Same); 8] = [
        (names::UNITS, |a, b| a.units == b.units),
        (names::SUV_TYPE, |a, b| a.suv_type == b.suv_type),
        (names::DECAY_CORRECTION, |a, b| {
            a.decay_correction == b.decay_correction
        }),
        (names::CORRECTED_IMAGE, |a, b| {
            a.corrections == b.corrections
        }),
        (names::MANUFACTURER, |a, b| a.maker == b.maker),
        (names::SERIES_TIME, |a, b| a.series_time == b.series_time),
        (names::WEIGHT, |a, b| a.patient == b.patient),
        (names::TRACERS, |a, b| a.tracers == b.tracers),
    ];
    for (attribute, same) in same {
        if images.iter().any(|image| !same(first, image)) {
            return Err(Error::Mixed { attribute });
        }
    }
    Ok(first)
}

/// PET values start at 0 (PS3.3 C.8.9.4.1.4).
pub(super) fn rescale(images: &[&PetImage]) -> Result<(), Error> {
    if images
        .iter()
        .any(|image| image.rescale_intercept.abs() > 0.0)
    {
        return Err(Error::BadValue {
            attribute: names::RESCALE_INTERCEPT,
            needed: "0 is",
        });
    }
    if images.iter().any(|image| image.rescale_slope < 0.0) {
        return Err(Error::BadValue {
            attribute: names::RESCALE_SLOPE,
            needed: "a number not below 0 is",
        });
    }
    Ok(())
}

/// The decay correction; attenuation must be corrected, and decay where Decay Correction says so.
pub(super) fn corrections(
    image: &PetImage,
    meaning: Meaning,
    policy: Policy,
    warnings: &mut Vec<Warning>,
) -> Result<Option<DecayCorrection>, Error> {
    let listed = image.corrections;
    let listed = listed.ok_or(missing(names::CORRECTED_IMAGE, "SUV"))?;
    if !listed.attenuation {
        return Err(Error::NotCorrected {
            correction: "ATTN",
            purpose: "SUV",
        });
    }
    let correction = decay_correction(image)?;
    match correction {
        None if is_activity(meaning) => {
            Err(missing(names::DECAY_CORRECTION, "the decay of the dose"))
        }
        Some(DecayCorrection::Start | DecayCorrection::Admin) if !listed.decay => {
            Err(Error::NotCorrected {
                correction: "DECY",
                purpose: names::DECAY_CORRECTION,
            })
        }
        Some(DecayCorrection::None) if listed.decay => Err(Error::Contradiction {
            first: names::DECAY_CORRECTION,
            second: names::CORRECTED_IMAGE,
        }),
        Some(DecayCorrection::None) if !is_activity(meaning) => {
            policy.admit(Warning::NotDecayCorrected, warnings)?;
            Ok(correction)
        }
        _ => Ok(correction),
    }
}

fn decay_correction(image: &PetImage) -> Result<Option<DecayCorrection>, Error> {
    match image.decay_correction.as_deref() {
        None => Ok(None),
        Some("START") => Ok(Some(DecayCorrection::Start)),
        Some("ADMIN") => Ok(Some(DecayCorrection::Admin)),
        Some("NONE") => Ok(Some(DecayCorrection::None)),
        Some(_) => Err(Error::BadValue {
            attribute: names::DECAY_CORRECTION,
            needed: "START, ADMIN or NONE is",
        }),
    }
}

/// The weight; none where the rule does not need it and it is not sound.
pub(super) fn weight_kg(
    patient: &Patient,
    meaning: Meaning,
    warnings: &mut Vec<Warning>,
) -> Result<Option<f64>, Error> {
    let needed = needs_weight(meaning);
    let weight = patient.weight.filter(|weight| *weight > 0.0);
    match weight {
        None if needed => Err(missing(names::WEIGHT, "SUV by weight")),
        Some(grams) if grams > MAX_WEIGHT_KG && needed => {
            warnings.push(Warning::WeightInGrams);
            Ok(Some(grams / 1000.0))
        }
        other => Ok(other.filter(|kg| *kg <= MAX_WEIGHT_KG)),
    }
}

pub(super) fn missing(attribute: &'static str, purpose: &'static str) -> Error {
    Error::Missing { attribute, purpose }
}
