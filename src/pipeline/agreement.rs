//! Whether the models that ran on one series found the same lesions.
//!
//! In: the runs of a study. Out: the same, with a reason for review at every lesion that only one model has, and a warning at
//! its run. Nothing is merged or dropped: each model's lesions stay its own, in SR, SEG and JSON.

use super::Pipeline;
use crate::code::Kind;
use crate::lesion::{Band, Lesion, LesionMask, ReviewReason};
use crate::measure::Measurement;
use crate::provenance::ModelIdentity;
use crate::report::{SeriesRun, Status};
use crate::warning::Warning;

/// Centroids that lie no farther apart are one lesion's, however small it is, mm.
const SAME_PLACE_MM: f64 = 3.0;

impl Pipeline {
    /// Compares the models that ran on the same series: [`compare`].
    pub fn compare(&self, runs: &mut [SeriesRun<'_>]) {
        compare(runs, |model| {
            let manifest = self.manifests().find(|found| found.name == model.name);
            let labels = manifest.into_iter().flat_map(|manifest| &manifest.labels);
            labels.map(|label| label.kind).collect()
        });
    }
}

/// Marks every lesion that another model does not have at all, though it looks for its kind and ran on the same series.
///
/// It has it where one of its lesions of that kind shares a voxel, or has its centroid within the lesion's radius (half the
/// long axis) or 3 mm. Lesions of low confidence are not asked for, nor those that no classifier assessed. `kinds` tells what
/// a model looks for.
pub fn compare(runs: &mut [SeriesRun<'_>], kinds: impl Fn(&ModelIdentity) -> Vec<Kind>) {
    let mut missing = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        for other in runs.iter().filter(|other| comparable(run, other)) {
            let lesions = only_in(run, other, &kinds(&other.model));
            if !lesions.is_empty() {
                missing.push((at, other.model.name.clone(), lesions));
            }
        }
    }
    for (run, other, lesions) in missing {
        let run = &mut runs[run];
        run.warnings.push(Warning::ModelsDisagree {
            count: lesions.len(),
            other,
        });
        for lesion in lesions {
            mark(&mut run.lesions[lesion].0);
        }
    }
}

fn comparable(run: &SeriesRun<'_>, other: &SeriesRun<'_>) -> bool {
    let done = [run, other].iter().all(|run| run.status == Status::Done);
    done && run.model != other.model && std::ptr::eq(run.series, other.series)
}

/// Indices of the lesions of `run` that `other`, which looks for `kinds`, does not have.
fn only_in(run: &SeriesRun<'_>, other: &SeriesRun<'_>, kinds: &[Kind]) -> Vec<usize> {
    let asked_for = |lesion: &Lesion| {
        let assessment = lesion.assessment.as_ref();
        kinds.contains(&lesion.kind) && assessment.is_some_and(|a| a.band != Band::Low)
    };
    let missing = run.lesions.iter().enumerate().filter(|(_, found)| {
        asked_for(&found.0) && !other.lesions.iter().any(|other| same(found, other))
    });
    missing.map(|(index, _)| index).collect()
}

fn same(
    (lesion, measurement): &(Lesion, Measurement),
    (other, of_other): &(Lesion, Measurement),
) -> bool {
    let apart_mm = (measurement.centroid_lps_mm).distance(of_other.centroid_lps_mm);
    let radius_mm = measurement.long_axis.length_mm / 2.0;
    lesion.kind == other.kind
        && (apart_mm <= radius_mm.max(SAME_PLACE_MM) || overlap(&lesion.mask, &other.mask))
}

fn overlap(a: &LesionMask, b: &LesionMask) -> bool {
    a.voxels().any(|voxel| b.holds(voxel))
}

/// Adds the reason once; it is the last of the type's order.
fn mark(lesion: &mut Lesion) {
    if let Some(assessment) = &mut lesion.assessment
        && !assessment.review.contains(&ReviewReason::ModelsDisagree)
    {
        assessment.review.push(ReviewReason::ModelsDisagree);
    }
}
