//! What a run measured of a PET, as `findings.json` has it.

use super::{PetRun, site_name};
use crate::lesion::pet::{NoReference, Reference, Site, Threshold};
use crate::measure::{
    Delineation, PetMeasurement, PetSummary, RuleVolume, SUV_PEAK_VARIANT, UptakeOnPet,
};
use crate::report::SeriesRun;
use crate::suv::{Branch, Ratios};
use serde::Serialize;

/// The key `pet` of a lesion.
#[derive(Serialize)]
pub(in crate::report) struct PetEntry {
    suv_max: f64,
    suv_max_lps_mm: [f64; 3],
    suv_mean: f64,
    suv_peak: Option<f64>,
    suv_peak_lps_mm: Option<[f64; 3]>,
    suv_peak_variant: &'static str,
    mtv_ml: f64,
    tlg_g: f64,
    delineation: Option<DelineationEntry>,
    by_rule: Vec<RuleEntry>,
}

/// The key `on_pet` of a lesion on a CT.
#[derive(Serialize)]
pub(in crate::report) struct OnPetEntry {
    suv_max: f64,
    suv_mean: f64,
}

impl From<UptakeOnPet> for OnPetEntry {
    fn from(UptakeOnPet { suv_max, suv_mean }: UptakeOnPet) -> Self {
        Self { suv_max, suv_mean }
    }
}

#[derive(Serialize)]
struct DelineationEntry {
    #[serde(flatten)]
    rule: Rule,
    least_suv: f64,
    is_raised: bool,
    background_suv: f64,
    review: Vec<&'static str>,
}

#[derive(Serialize)]
struct RuleEntry {
    #[serde(flatten)]
    rule: Rule,
    least_suv: f64,
    mtv_ml: f64,
    tlg_g: f64,
}

/// A rule's code and its one number: a share of SUVmax, an SUV, or standard deviations of the liver.
#[derive(Serialize)]
struct Rule {
    rule: &'static str,
    value: f64,
}

impl From<Threshold> for Rule {
    fn from(rule: Threshold) -> Self {
        let (Threshold::OfMax(value) | Threshold::Fixed(value) | Threshold::Liver(value)) = rule;
        Self {
            rule: rule.code(),
            value,
        }
    }
}

impl From<&PetMeasurement> for PetEntry {
    fn from(pet: &PetMeasurement) -> Self {
        Self {
            suv_max: pet.suv_max,
            suv_max_lps_mm: pet.suv_max_lps_mm.to_array(),
            suv_mean: pet.suv_mean,
            suv_peak: pet.suv_peak.map(|peak| peak.suv),
            suv_peak_lps_mm: pet.suv_peak.map(|peak| peak.centre_lps_mm.to_array()),
            suv_peak_variant: SUV_PEAK_VARIANT,
            mtv_ml: pet.mtv_ml,
            tlg_g: pet.tlg_g,
            delineation: pet.delineation.as_ref().map(DelineationEntry::from),
            by_rule: pet.by_rule.iter().map(RuleEntry::from).collect(),
        }
    }
}

impl From<&Delineation> for DelineationEntry {
    fn from(drawn: &Delineation) -> Self {
        Self {
            rule: drawn.rule.into(),
            least_suv: drawn.least_suv,
            is_raised: drawn.is_raised,
            background_suv: drawn.background_suv,
            review: drawn.review.iter().map(|reason| reason.code()).collect(),
        }
    }
}

impl From<&RuleVolume> for RuleEntry {
    fn from(volume: &RuleVolume) -> Self {
        let RuleVolume {
            rule,
            least_suv,
            mtv_ml,
            tlg_g,
        } = *volume;
        Self {
            rule: rule.into(),
            least_suv,
            mtv_ml,
            tlg_g,
        }
    }
}

/// The keys of a series that is a PET.
#[derive(Serialize)]
pub(in crate::report) struct PetSeriesEntry<'a> {
    pet_summary: PetSummary,
    reference_regions: [ReferenceEntry; 2],
    suv_ratios: Option<&'a Ratios>,
}

#[derive(Serialize)]
struct ReferenceEntry {
    site: &'static str,
    /// Why it is missing.
    missing: Option<&'static str>,
    #[serde(flatten)]
    found: Option<FoundReference>,
}

#[derive(Serialize)]
struct FoundReference {
    centre_lps_mm: [f64; 3],
    radius_mm: f64,
    suv_mean: f64,
    suv_sd: f64,
    voxels: usize,
    is_expected: bool,
}

impl<'a> From<&'a PetRun> for PetSeriesEntry<'a> {
    fn from(pet: &'a PetRun) -> Self {
        Self {
            pet_summary: pet.summary,
            reference_regions: pet.references().map(ReferenceEntry::from),
            suv_ratios: pet.ratios.as_ref(),
        }
    }
}

impl From<(Site, Result<Reference, NoReference>)> for ReferenceEntry {
    fn from((site, found): (Site, Result<Reference, NoReference>)) -> Self {
        Self {
            site: site_name(site),
            missing: found.err().map(|error| error.code()),
            found: found.ok().map(|found| FoundReference {
                centre_lps_mm: found.centre_lps_mm.to_array(),
                radius_mm: found.radius_mm,
                suv_mean: found.mean_suv,
                suv_sd: found.sd_suv,
                voxels: found.voxels,
                is_expected: found.is_expected,
            }),
        }
    }
}

/// By which rules the values of a series became SUV, for the provenance.
#[derive(Serialize)]
pub(in crate::report) struct SuvEntry<'a> {
    series_instance_uid: &'a str,
    branch: &'a Branch,
}

impl<'a> From<(&'a SeriesRun<'a>, &'a PetRun)> for SuvEntry<'a> {
    fn from((run, pet): (&'a SeriesRun<'a>, &'a PetRun)) -> Self {
        Self {
            series_instance_uid: run.series_instance_uid(),
            branch: &pet.branch,
        }
    }
}
