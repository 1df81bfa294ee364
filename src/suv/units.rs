//! What rescaled values are, by Units and SUV Type, and what turns them into Bq/ml or SUVbw.
//!
//! Source: PS3.3 C.8.9.1.1.3 (Units), C.8.9.1 (SUV Type); PS3.16 CID 85.

use super::branch::Meaning;
use super::checks::missing;
use super::{Body, Error, Maker, Patient, PetImage, Sex, Warning, names};

/// Heights that are believed, m.
const HEIGHT_RANGE_M: std::ops::RangeInclusive<f64> = 0.2..=2.5;

/// What the values are, by the first image; Philips' factors must be in all.
pub(super) fn meaning(images: &[&PetImage]) -> Result<Meaning, Error> {
    let Some(first) = images.first() else {
        return Err(missing(names::UNITS, "SUV"));
    };
    let units = first.units.as_deref().ok_or(missing(names::UNITS, "SUV"))?;
    match (units, first.suv_type.as_deref()) {
        ("BQML", _) => Ok(Meaning::Activity),
        ("GML", None | Some("BW")) => Ok(Meaning::SuvBodyWeight),
        ("GML", Some("LBM")) => Ok(Meaning::SuvLeanMassMorgan),
        ("GML", Some("LBMJAMES128")) => Ok(Meaning::SuvLeanMassJames128),
        ("GML", Some("LBMJANMA")) => Ok(Meaning::SuvLeanMassJanmahasatian),
        ("GML", Some("IBW")) => Ok(Meaning::SuvIdealWeight),
        ("CM2ML", None | Some("BSA")) => Ok(Meaning::SuvBodySurface),
        ("GML" | "CM2ML", Some(_)) => Err(Error::SuvType),
        ("CNTS", _) if first.maker == Maker::Philips => philips(images),
        _ => Err(Error::Units),
    }
}

fn philips(images: &[&PetImage]) -> Result<Meaning, Error> {
    let all = |factor: fn(&PetImage) -> Option<f64>| {
        let sound = |value: f64| value.is_finite() && value > 0.0;
        images.iter().all(|image| factor(image).is_some_and(sound))
    };
    match () {
        () if all(|image| image.philips_suv) => Ok(Meaning::PhilipsSuv),
        () if all(|image| image.philips_bqml) => Ok(Meaning::PhilipsActivity),
        () => Err(missing(names::PHILIPS_FACTORS, "CNTS")),
    }
}

/// The values are Bq/ml, or become that.
pub(super) fn is_activity(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Activity | Meaning::PhilipsActivity)
}

/// The values are SUVbw but for a factor that the scanner knows.
pub(super) fn needs_weight(meaning: Meaning) -> bool {
    !matches!(meaning, Meaning::SuvBodyWeight | Meaning::PhilipsSuv)
}

/// The patient's measures, if all are there and can be.
pub(super) fn body(patient: &Patient, weight_kg: f64) -> Option<Body> {
    let height_m = patient.height_m.filter(|m| HEIGHT_RANGE_M.contains(m))?;
    Some(Body {
        weight_kg,
        height_cm: height_m * 100.0,
        sex: patient.sex?,
    })
}

/// For each slice the SUVbw, or of activity the Bq/ml, of a rescaled value of 1.
pub(super) fn per_value(
    images: &[&PetImage],
    meaning: Meaning,
    body: Option<&Body>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<f64>, Error> {
    let all = |value: f64| vec![value; images.len()];
    let factors = |factor: fn(&PetImage) -> Option<f64>| {
        let known = images.iter().map(|image| factor(image));
        let known = known.collect::<Option<Vec<f64>>>();
        known.ok_or(missing(names::PHILIPS_FACTORS, "CNTS"))
    };
    match meaning {
        Meaning::Activity | Meaning::SuvBodyWeight => Ok(all(1.0)),
        Meaning::PhilipsActivity => factors(|image| image.philips_bqml),
        Meaning::PhilipsSuv => factors(|image| image.philips_suv),
        _ => {
            let body = body.ok_or_else(|| unknown_body(images))?;
            if body.sex == Sex::Other && meaning != Meaning::SuvBodySurface {
                warnings.push(Warning::SexMean);
            }
            let factor = weight_over_norm(meaning, body);
            if factor.is_finite() && factor > 0.0 {
                return Ok(all(factor));
            }
            Err(Error::BadValue {
                attribute: names::SIZE,
                needed: "a height and weight within the formula's range are",
            })
        }
    }
}

/// SUVbw over the SUV that is stored.
fn weight_over_norm(meaning: Meaning, body: &Body) -> f64 {
    let norm_kg = match meaning {
        Meaning::SuvLeanMassMorgan => body.lean_mass_morgan_kg(),
        Meaning::SuvLeanMassJames128 => body.lean_mass_james128_kg(),
        Meaning::SuvLeanMassJanmahasatian => body.lean_mass_janmahasatian_kg(),
        Meaning::SuvIdealWeight => body.ideal_weight_kg(),
        // Both in their units of the code: W in g over BSA in cm².
        Meaning::SuvBodySurface => body.surface_m2() * 1e4 / 1e3,
        _ => body.weight_kg,
    };
    body.weight_kg / norm_kg
}

/// Which of the measures is missing.
fn unknown_body(images: &[&PetImage]) -> Error {
    let sex = images.first().and_then(|image| image.patient.sex);
    let attribute = if sex.is_none() {
        names::SEX
    } else {
        names::SIZE
    };
    missing(attribute, "turning this SUV Type into SUV by weight")
}
