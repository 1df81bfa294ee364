//! What a run measured of a PET, as `findings.json` has it.

use super::PetRun;
use crate::measure::{
    PetMeasurement, PetSummary, ReferenceKind, ReferenceRegion, RuleVolume, SUV_PEAK_VARIANT,
    VolumeRule,
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
    by_rule: Vec<RuleEntry>,
}

#[derive(Serialize)]
struct RuleEntry {
    rule: VolumeRule,
    least_suv: f64,
    mtv_ml: f64,
    tlg_g: f64,
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
            by_rule: pet.by_rule.iter().map(RuleEntry::from).collect(),
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
            rule,
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
    reference_regions: Vec<ReferenceEntry>,
    suv_ratios: Option<&'a Ratios>,
}

#[derive(Serialize)]
struct ReferenceEntry {
    kind: ReferenceKind,
    centre_lps_mm: [f64; 3],
    suv_mean: f64,
    suv_sd: f64,
    volume_ml: f64,
    doubts: Vec<&'static str>,
}

impl<'a> From<&'a PetRun> for PetSeriesEntry<'a> {
    fn from(pet: &'a PetRun) -> Self {
        Self {
            pet_summary: pet.summary,
            reference_regions: pet.reference_regions.iter().map(ReferenceEntry::from).collect(),
            suv_ratios: pet.ratios.as_ref(),
        }
    }
}

impl From<&ReferenceRegion> for ReferenceEntry {
    fn from(region: &ReferenceRegion) -> Self {
        Self {
            kind: region.kind,
            centre_lps_mm: region.centre_lps_mm.to_array(),
            suv_mean: region.suv_mean,
            suv_sd: region.suv_sd,
            volume_ml: region.volume_ml,
            doubts: region.doubts.iter().map(|doubt| doubt.code()).collect(),
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
