//! Standardised uptake values: what a PET's stored values are multiplied by, and by which published rule.
//!
//! In: what each image's file says ([`PetImage`]). Out: [`Suv`]: a factor a slice, ratios to the other SUVs, the branch taken.
//! Refused, by code: what is missing, contradictory or in other units; docs/suv.md has the rules. Knows nothing of DICOM.

mod activity;
mod administration;
mod body;
mod branch;
mod checks;
mod decay;
mod error;
mod input;
mod names;
mod reference;
mod statistics;
#[cfg(test)]
mod tests;
mod time;
mod units;
mod warning;

pub use body::{Body, Ratios, Sex};
pub use branch::{
    AdministrationRule, Branch, Candidate, Decay, DecayCorrection, Meaning, ReferenceRule,
};
pub use error::Error;
pub use input::{Corrections, Maker, Patient, PetImage, Tracer};
pub use statistics::Statistics;
pub use time::{Timestamp, time_of_day_s, zone};
pub use warning::{Policy, Warning};

use crate::volume::StoredVolume;

/// Version of the rules, for the provenance.
const RULES: u32 = 1;

/// How the rescaled values of a series become SUVbw, g/ml.
#[derive(Debug, Clone, PartialEq)]
pub struct Suv {
    /// SUVbw of a rescaled value of 1, one a slice.
    pub factors: Vec<f64>,
    /// What SUVbw is multiplied by for the other SUVs; none where height, weight or sex is unknown.
    pub ratios: Option<Ratios>,
    /// The rules that were followed, and from what.
    pub branch: Branch,
    /// What is doubtful.
    pub warnings: Vec<Warning>,
}

impl Suv {
    /// Applies the rules to the images of one series, in the order of its slices.
    ///
    /// # Errors
    /// What is missing, contradictory or not handled; under [`Policy::Strict`] also every [`Error::Doubtful`].
    ///
    /// Source: PS3.3 C.8.9.1 (PET Series), C.8.9.2 (PET Isotope), C.8.9.4 (PET Image); docs/suv.md names the papers.
    pub fn new(images: &[&PetImage], policy: Policy) -> Result<Self, Error> {
        let first = checks::agreed(images)?;
        checks::rescale(images)?;
        let meaning = units::meaning(images)?;
        let mut warnings = Vec::new();
        let decay_correction = checks::corrections(first, meaning, policy, &mut warnings)?;
        if images.iter().any(|image| image.without_creator) {
            warnings.push(Warning::PrivateCreatorMissing);
        }
        let weight_kg = checks::weight_kg(&first.patient, meaning, &mut warnings)?;
        let body = weight_kg.and_then(|kg| units::body(&first.patient, kg));
        let mut branch = Branch {
            rules: RULES,
            meaning,
            decay_correction,
            dose_bq: None,
            half_life_s: None,
            weight_kg: weight_kg.filter(|_| units::needs_weight(meaning)),
            decay: None,
        };
        let per_value = units::per_value(images, meaning, body.as_ref(), &mut warnings)?;
        let factors = match (weight_kg, decay_correction) {
            (Some(weight_kg), Some(correction)) if units::is_activity(meaning) => {
                let activity = activity::Activity::new(images, correction, policy, &mut warnings)?;
                let factors = activity.suv_factors(weight_kg);
                activity.record(&mut branch);
                factors.iter().zip(&per_value).map(|(a, b)| a * b).collect()
            }
            _ => per_value,
        };
        if body.is_none() {
            warnings.push(Warning::RatiosLeftOut);
        }
        Ok(Self {
            factors,
            ratios: body.as_ref().map(Ratios::of),
            branch,
            warnings,
        })
    }

    /// Turns the rescale of each slice into one to SUVbw, g/ml; padding, outside of the field of view, counts as 0.
    pub fn apply(&self, stored: &mut StoredVolume) {
        for (rescale, factor) in stored.rescale.iter_mut().zip(&self.factors) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "single precision is the pipeline's"
            )]
            let slope = (f64::from(rescale.slope) * factor) as f32;
            rescale.slope = slope;
        }
        stored.padding_value = 0.0;
    }
}
