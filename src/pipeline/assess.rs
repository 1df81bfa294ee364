//! Every candidate through the model's classifier, and whether the scan as a whole is like the training data.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a position on a grid of at most 2^16 voxels an axis"
)]

use crate::Error;
use crate::lesion::{Assessment, Judge, Lesion, ReviewReason};
use crate::model::{self, ClassifierSpec, Segmenter};
use crate::volume::Geometry;
use crate::warning::Warning;
use glam::DVec3;
use std::sync::atomic::AtomicBool;

/// Of fewer candidates nothing is said of the whole scan.
const LEAST_CANDIDATES: usize = 5;

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
) -> Result<Option<Warning>, Error> {
    let Some(spec) = &segmenter.manifest().classifier else {
        return Ok(None);
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
    Ok(unfamiliar(lesions))
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

/// A warning where at least half of the candidates are unlike the training data.
fn unfamiliar(lesions: &[Lesion]) -> Option<Warning> {
    let is_unfamiliar = |lesion: &&Lesion| {
        let assessment = lesion.assessment.as_ref();
        assessment.is_some_and(|a| a.review.contains(&ReviewReason::Unfamiliar))
    };
    let (candidates, unfamiliar) = (lesions.len(), lesions.iter().filter(is_unfamiliar).count());
    let warns = candidates >= LEAST_CANDIDATES && 2 * unfamiliar >= candidates;
    warns.then_some(Warning::UnfamiliarInput {
        candidates,
        unfamiliar,
    })
}

#[cfg(test)]
mod tests;
