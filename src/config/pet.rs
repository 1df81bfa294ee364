//! `[pet]`: what is found in PET.

use crate::suv::Policy;
use serde::{Deserialize, Serialize};

/// `[pet]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PetConfig {
    /// Search FDG PET for uptake by SUV rules.
    pub enabled: bool,
    /// What becomes of an SUV that a published rule gives and the attributes do not.
    pub suv_policy: Policy,
    /// Which voxels belong to a lesion.
    pub threshold: PetThreshold,
    /// Smaller lesions are dropped, ml.
    pub min_volume_ml: f64,
}

/// Which voxels of a PET belong to a lesion; docs/pet-lesions.md has the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PetThreshold {
    /// At least 41 % of the lesion's SUVmax.
    #[serde(rename = "41-percent-of-max")]
    PartOfMax41,
    /// SUV 2.5 and more.
    #[serde(rename = "suv-2.5")]
    Suv25,
    /// SUV 4.0 and more.
    #[serde(rename = "suv-4.0")]
    Suv40,
    /// The liver's mean and three standard deviations, and more.
    #[serde(rename = "above-liver")]
    AboveLiver,
}

impl Default for PetConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            suv_policy: Policy::Strict,
            threshold: PetThreshold::PartOfMax41,
            min_volume_ml: 0.5,
        }
    }
}
