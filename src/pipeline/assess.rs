//! Every candidate through the model's classifier, and whether the scan as a whole is like the training data.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a position on a grid of at most 2^16 voxels an axis"
)]

use crate::Error;
use crate::lesion::{Assessment, Judge, Lesion};
use crate::model::{self, ClassifierSpec, Segmenter};
use crate::volume::{Geometry, Mask};
use crate::warning::Warning;
use glam::DVec3;
use std::sync::atomic::AtomicBool;

/// Places in the lungs that stand for the whole scan.
const PLACES: usize = 64;

/// Gives each lesion its assessment and the confidence of that, the most confident first; of a model without classifier,
/// nothing changes.
///
/// # Errors
/// Those of [`Segmenter::classify`].
pub(super) fn assess(
    segmenter: &Segmenter,
    input: &model::Input<'_>,
    lesions: &mut [Lesion],
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let Some(spec) = &segmenter.manifest().classifier else {
        return Ok(());
    };
    let centres = lesions
        .iter()
        .map(|lesion| voxel(input.grid, lesion.centre_lps_mm));
    let centres: Vec<[i64; 3]> = centres.collect();
    let judge = judge(spec);
    let evidence = segmenter.classify(input, &centres, cancel)?;
    for (lesion, evidence) in lesions.iter_mut().zip(&evidence) {
        let assessment = Assessment::new(evidence, &judge);
        lesion.confidence = assessment.confidence;
        lesion.assessment = Some(assessment);
    }
    // Stable: of equals, the one of the highest probability stays first.
    lesions.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    Ok(())
}

/// A warning where the lungs are unlike those that the model's classifier learned from; of a model without one, none.
///
/// # Errors
/// Those of [`Segmenter::input_novelty`].
pub(super) fn familiarity(
    segmenter: &Segmenter,
    input: &model::Input<'_>,
    lung: &Mask,
    cancel: &AtomicBool,
) -> Result<Option<Warning>, Error> {
    let Some(spec) = &segmenter.manifest().classifier else {
        return Ok(None);
    };
    let novelty = segmenter.input_novelty(input, &places(lung, input.grid), cancel)?;
    let limit = spec.review.max_input_novelty;
    let novelty = novelty.map(f64::from).filter(|novelty| *novelty > limit);
    Ok(novelty.map(|novelty| Warning::UnfamiliarInput { novelty, limit }))
}

/// Voxels of `grid`, evenly spread over those of the mask in their order; none where the mask holds fewer.
fn places(mask: &Mask, grid: &Geometry) -> Vec<[i64; 3]> {
    let inside = mask.voxels.iter().enumerate();
    let inside: Vec<usize> = inside.filter(|(_, v)| **v > 0).map(|(i, _)| i).collect();
    if inside.len() < PLACES {
        return Vec::new();
    }
    let [_, ny, nx] = mask.geometry.size;
    let place = |i: usize| {
        let at = inside[(2 * i + 1) * inside.len() / (2 * PLACES)];
        let index = [at % nx, at / nx % ny, at / nx / ny].map(|i| i as f64);
        voxel(grid, mask.geometry.to_lps_mm(DVec3::from_array(index)))
    };
    (0..PLACES).map(place).collect()
}

/// The voxel `[z, y, x]` of a grid that is nearest to a position; it may lie outside.
fn voxel(grid: &Geometry, position_lps_mm: DVec3) -> [i64; 3] {
    let index = grid.lps_to_index().transform_point3(position_lps_mm);
    [index.z, index.y, index.x].map(|i| i.round_ties_even() as i64)
}

/// The limits of a manifest.
fn judge(spec: &ClassifierSpec) -> Judge {
    let (bands, review) = (spec.bands, spec.review);
    Judge {
        scale: spec.calibration.scale,
        offset: spec.calibration.offset,
        high: bands.high,
        intermediate: bands.intermediate,
        undecided_from: review.lower,
        undecided_to: review.upper,
        max_spread: review.max_spread,
        max_novelty: review.max_novelty,
        types: spec.types.clone(),
    }
}

#[cfg(test)]
mod tests;
