//! Uptake of one lesion, and of all lesions together.
//!
//! In: a mask on a PET in SUV, whose slices may be uneven. Out: SUVmax, SUVmean, SUVpeak, metabolic volume and total lesion
//! glycolysis; over the patient their sums. A voxel counts with the volume that it has in the SEG.

use super::Measurement;
use super::peak::{SuvPeak, suv_peak};
use crate::lesion::pet::{PetFinding, PetReview, Reference, Threshold};
use crate::lesion::{Kind, Lesion, LesionMask};
use crate::volume::StoredVolume;
use glam::DVec3;
use serde::Serialize;

/// Uptake of one lesion; SUV is SUVbw, g/ml.
#[derive(Debug, Clone, PartialEq)]
pub struct PetMeasurement {
    /// The highest voxel.
    pub suv_max: f64,
    /// Centre of that voxel; of equals, the first in storage order.
    pub suv_max_lps_mm: DVec3,
    /// Mean of the voxels, weighted by their volumes.
    pub suv_mean: f64,
    /// Of the variant [`SUV_PEAK_VARIANT`](super::SUV_PEAK_VARIANT); `None` where no such ball lies in the image.
    pub suv_peak: Option<SuvPeak>,
    /// Metabolic tumour volume: of the lesion's voxels, ml.
    pub mtv_ml: f64,
    /// Total lesion glycolysis: metabolic volume times SUVmean, g.
    pub tlg_g: f64,
    /// By which rule its voxels were taken; `None` where a model drew it.
    pub delineation: Option<Delineation>,
    /// Volume and glycolysis within the lesion by other rules, where they were asked for.
    pub by_rule: Vec<RuleVolume>,
}

/// By which rule the voxels of a lesion were taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Delineation {
    /// The rule.
    pub rule: Threshold,
    /// The least SUV of the lesion's voxels, g/ml.
    pub least_suv: f64,
    /// That is above the rule's, for the lesion would have run into what lies around it.
    pub is_raised: bool,
    /// Median SUV of what lies around it, g/ml.
    pub background_suv: f64,
    /// Why a person must look; empty where nothing speaks for that.
    pub review: Vec<PetReview>,
}

impl From<&PetFinding> for Delineation {
    fn from(finding: &PetFinding) -> Self {
        Self {
            rule: finding.threshold,
            least_suv: finding.threshold_suv,
            is_raised: finding.is_raised,
            background_suv: finding.background_suv,
            review: finding.review.clone(),
        }
    }
}

/// A metabolic volume within a lesion by one rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuleVolume {
    /// The rule.
    pub rule: Threshold,
    /// The least SUV that it comes to, g/ml.
    pub least_suv: f64,
    /// Volume of the lesion's voxels of at least that, ml.
    pub mtv_ml: f64,
    /// That volume times the mean SUV of those voxels, g.
    pub tlg_g: f64,
}

/// All PET lesions of a patient; physiologic uptake is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PetSummary {
    /// Total metabolic tumour volume, ml.
    pub tmtv_ml: f64,
    /// Sum of the lesions' total lesion glycolyses, g.
    pub tlg_g: f64,
    /// Dmax: the largest distance between centroids, mm; none of fewer than two lesions.
    pub dmax_mm: Option<f64>,
    /// How many lesions there are.
    pub sites: usize,
}

/// The rules of which a volume is usually asked.
///
/// Source: 41 % of SUVmax: Boellaard 2015 (EANM); 2.5 and 4.0: Boellaard 2024, doi 10.2967/jnumed.124.267789; the liver's
/// mean and 3 standard deviations: Oncotarget 13180.
pub const USUAL_RULES: [Threshold; 4] = [
    Threshold::OfMax(0.41),
    Threshold::Fixed(2.5),
    Threshold::Fixed(4.0),
    Threshold::Liver(3.0),
];

/// Measures `mask` on a PET in SUV (`suv::Suv::apply`); `None` for a mask without voxels.
pub fn measure_pet(mask: &LesionMask, suv: &StoredVolume) -> Option<PetMeasurement> {
    let mut hottest: Option<([usize; 3], f32)> = None;
    for voxel in mask.voxels() {
        let value = suv.rescaled(voxel);
        if hottest.is_none_or(|(_, highest)| value > highest) {
            hottest = Some((voxel, value));
        }
    }
    let (at, suv_max) = hottest?;
    let (mtv_ml, tlg_g) = volume(mask, suv, f64::NEG_INFINITY);
    let [z, y, x] = at;
    let index = DVec3::new(x as f64, y as f64, suv.slices.position(z));
    Some(PetMeasurement {
        suv_max: suv_max.into(),
        suv_max_lps_mm: suv.geometry.to_lps_mm(index),
        suv_mean: tlg_g / mtv_ml,
        suv_peak: suv_peak(mask, suv, at),
        mtv_ml,
        tlg_g,
        delineation: None,
        by_rule: Vec::new(),
    })
}

impl PetMeasurement {
    /// Fills [`PetMeasurement::by_rule`] from the voxels of `mask`, which may be a wider region than the lesion's own.
    ///
    /// Without a liver region, [`Threshold::Liver`] gives nothing.
    pub fn add_volumes(
        &mut self,
        mask: &LesionMask,
        suv: &StoredVolume,
        rules: &[Threshold],
        liver: Option<&Reference>,
    ) {
        for rule in rules {
            let Some(least_suv) = least_suv(*rule, self.suv_max, liver) else {
                continue;
            };
            let (mtv_ml, tlg_g) = volume(mask, suv, least_suv);
            self.by_rule.push(RuleVolume {
                rule: *rule,
                least_suv,
                mtv_ml,
                tlg_g,
            });
        }
    }
}

/// The least SUV that a rule asks of a voxel, g/ml; `None` where it needs the liver and there is none.
pub fn least_suv(rule: Threshold, suv_max: f64, liver: Option<&Reference>) -> Option<f64> {
    match rule {
        Threshold::OfMax(share) => Some(share * suv_max),
        Threshold::Fixed(suv) => Some(suv),
        Threshold::Liver(sds) => liver.map(|liver| liver.mean_suv + sds * liver.sd_suv),
    }
}

impl PetSummary {
    /// Of measured lesions; those that are not [`Kind::PetLesion`] or have no PET measurement do not count.
    pub fn of(lesions: &[(Lesion, Measurement)]) -> Self {
        let counted = |(lesion, measurement): &(Lesion, Measurement)| {
            let counts = lesion.kind == Kind::PetLesion;
            let pet = measurement.pet.as_ref().filter(|_| counts)?;
            Some((measurement.centroid_lps_mm, pet.mtv_ml, pet.tlg_g))
        };
        let lesions: Vec<(DVec3, f64, f64)> = lesions.iter().filter_map(counted).collect();
        let pairs = lesions.iter().enumerate().flat_map(|(i, (a, ..))| {
            let others = lesions[i + 1..].iter();
            others.map(move |(b, ..)| a.distance(*b))
        });
        Self {
            tmtv_ml: lesions.iter().map(|(_, mtv_ml, _)| mtv_ml).sum(),
            tlg_g: lesions.iter().map(|(.., tlg_g)| tlg_g).sum(),
            dmax_mm: pairs.reduce(f64::max),
            sites: lesions.len(),
        }
    }
}

/// Volume of the voxels of at least `least_suv`, ml, and that volume times their mean SUV, g.
fn volume(mask: &LesionMask, suv: &StoredVolume, least_suv: f64) -> (f64, f64) {
    let step_ml = suv.geometry.voxel_volume_mm3() / 1e3;
    let (mut steps, mut sum) = (0.0, 0.0);
    for voxel in mask.voxels() {
        let value = f64::from(suv.rescaled(voxel));
        if value >= least_suv {
            let extent = suv.slices.extent(voxel[0]);
            steps += extent;
            sum += value * extent;
        }
    }
    (steps * step_ml, sum * step_ml)
}

#[cfg(test)]
mod tests;
