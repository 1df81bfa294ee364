//! Uptake of a normal region that lesions are compared with: liver, mediastinal blood pool.

use crate::lesion::LesionMask;
use crate::volume::StoredVolume;
use glam::DVec3;
use serde::Serialize;

/// SUVbw that the mean of a healthy liver lies in.
///
/// Source: EANM, doi 10.1007/s00259-022-05977-5.
const LIVER_SUV: std::ops::RangeInclusive<f64> = 1.3..=3.0;

/// Which region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceKind {
    /// The right lobe of the liver.
    Liver,
    /// The blood in the aorta.
    MediastinalBloodPool,
}

/// A region and its uptake; SUV is SUVbw, g/ml.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceRegion {
    /// Which one.
    pub kind: ReferenceKind,
    /// Mean position of its voxels, weighted by their volumes.
    pub centre_lps_mm: DVec3,
    /// Mean of its voxels, weighted by their volumes.
    pub suv_mean: f64,
    /// Standard deviation of its voxels, weighted likewise.
    pub suv_sd: f64,
    /// Volume of its voxels, ml.
    pub volume_ml: f64,
    /// Why it should not be relied on; empty where nothing speaks against it.
    pub doubts: Vec<ReferenceDoubt>,
}

/// Why a reference region should not be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceDoubt {
    /// The liver's mean lies outside of what is expected.
    #[error("the mean SUV of a healthy liver lies from 1.3 to 3.0: check dose, weight, times and the place")]
    Unexpected,
    /// The values scatter more than in one tissue.
    #[error("its values scatter more than those of one tissue: it may hold a lesion or a border")]
    Inhomogeneous,
    /// It was placed without the organ's outline.
    #[error("it was placed without the outline of the organ")]
    Misplaced,
}

impl ReferenceDoubt {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unexpected => "reference-unexpected",
            Self::Inhomogeneous => "reference-inhomogeneous",
            Self::Misplaced => "reference-misplaced",
        }
    }
}

/// Measures the region `mask` on a PET in SUV; `None` for a mask without voxels.
///
/// Of a liver whose mean is not what is expected it says so.
pub fn measure_reference(
    kind: ReferenceKind,
    mask: &LesionMask,
    suv: &StoredVolume,
) -> Option<ReferenceRegion> {
    let (mut steps, mut sum, mut index) = (0.0, 0.0, DVec3::ZERO);
    for [z, y, x] in mask.voxels() {
        let extent = suv.slices.extent(z);
        steps += extent;
        sum += f64::from(suv.hu([z, y, x])) * extent;
        index += DVec3::new(x as f64, y as f64, suv.slices.position(z)) * extent;
    }
    if steps <= 0.0 {
        return None;
    }
    let suv_mean = sum / steps;
    let squares = mask.voxels().map(|voxel| {
        let off = f64::from(suv.hu(voxel)) - suv_mean;
        off * off * suv.slices.extent(voxel[0])
    });
    let unexpected = kind == ReferenceKind::Liver && !LIVER_SUV.contains(&suv_mean);
    Some(ReferenceRegion {
        kind,
        centre_lps_mm: suv.geometry.to_lps_mm(index / steps),
        suv_mean,
        suv_sd: (squares.sum::<f64>() / steps).sqrt(),
        volume_ml: steps * suv.geometry.voxel_volume_mm3() / 1e3,
        doubts: unexpected.then_some(ReferenceDoubt::Unexpected).into_iter().collect(),
    })
}
