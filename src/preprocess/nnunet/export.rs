//! From logits on the network's grid to labels on the source's, slice by slice: the logits of all classes on that grid
//! never exist.

use super::interpolate::{Axes, Logits, Place, SourceRows};
use super::resize::Resize;
use rayon::prelude::*;

/// How a voxel's label follows from its logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The class of the largest of so many logits, the first of equal ones; probabilities are softmax.
    Largest(usize),
    /// Each class is a region; the label of the last whose logit is positive, 0 without one. Probabilities are sigmoid.
    Regions(Vec<u16>),
}

impl Decision {
    /// Number of logits a voxel.
    pub fn classes(&self) -> usize {
        match self {
            Self::Largest(classes) => *classes,
            Self::Regions(labels) => labels.len(),
        }
    }
}

/// What is made of logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// From the network's grid to the source's.
    pub resize: Resize,
    /// How labels are decided.
    pub decision: Decision,
    /// Classes whose probabilities are wanted.
    pub probabilities: Vec<usize>,
}

/// On the source's grid, `[z, y, x]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Label of each voxel.
    pub labels: Vec<u16>,
    /// For each class that was asked for, its probability at each voxel.
    pub probabilities: Vec<Vec<f32>>,
}

/// Differences of logits beyond it would overflow `exp` in 32 bits; the probability is 0 or 1 there anyhow.
pub(super) const MAX_LOGIT: f32 = 80.0;

/// Target rows that are made together: few enough for the caches.
const BAND_ROWS: usize = 32;

impl Export {
    /// Interpolates linearly, as nnU-Net does with logits, and decides.
    ///
    /// `read(which, logits)` fills `logits` with whole rows of the network's grid.
    ///
    /// # Panics
    /// Where a probability is wanted of a class that there is not, as `read` may.
    pub fn run(&self, read: impl Fn(&SourceRows, &mut [f32]) + Sync) -> Exported {
        let voxels = self.resize.to().iter().product();
        let mut labels = vec![0; voxels];
        let mut probabilities = vec![vec![0.0; voxels]; self.probabilities.len()];
        let axes = Axes::new(&self.resize);
        let bands = bands(&axes, &mut labels, &mut probabilities);
        bands.into_par_iter().for_each_init(
            || Scratch::new(&axes, self.probabilities.len()),
            |scratch, mut band| {
                let interpolate = |class: usize, logits: &mut Logits| {
                    logits.interpolate(&axes, &band.place, class, &read);
                };
                self.decide(scratch, &mut band.output, interpolate);
            },
        );
        Exported {
            labels,
            probabilities,
        }
    }

    /// Fills one band; `interpolate` makes the logits of a class on it.
    fn decide(
        &self,
        Scratch { logits, own, best }: &mut Scratch,
        output: &mut Output<'_>,
        interpolate: impl Fn(usize, &mut Logits),
    ) {
        let voxels = output.labels.len();
        for (own, &class) in own.iter_mut().zip(&self.probabilities) {
            interpolate(class, logits);
            own[..voxels].copy_from_slice(&logits.target[..voxels]);
        }
        for class in 0..self.decision.classes() {
            interpolate(class, logits);
            let logits = &logits.target[..voxels];
            match &self.decision {
                Decision::Regions(labels) => decide_region(labels[class], logits, output.labels),
                Decision::Largest(_) => decide_largest(class, logits, best, output.labels),
            }
            if matches!(self.decision, Decision::Largest(_)) {
                let wanted = own.iter().zip(&self.probabilities);
                for ((own, wanted), sums) in wanted.zip(&mut output.probabilities) {
                    add_terms(logits, (*wanted != class).then_some(own), sums);
                }
            }
        }
        for (own, probabilities) in own.iter().zip(&mut output.probabilities) {
            finish(&self.decision, own, probabilities);
        }
    }
}

fn decide_largest(class: usize, logits: &[f32], best: &mut [f32], labels: &mut [u16]) {
    // More classes would not fit any memory.
    let class = u16::try_from(class).unwrap_or(u16::MAX);
    if class == 0 {
        return best[..logits.len()].copy_from_slice(logits);
    }
    for ((best, label), &logit) in best.iter_mut().zip(labels).zip(logits) {
        // Without a branch, for vector units.
        let is_larger = logit > *best;
        *best = if is_larger { logit } else { *best };
        *label = if is_larger { class } else { *label };
    }
}

fn decide_region(region: u16, logits: &[f32], labels: &mut [u16]) {
    for (label, &logit) in labels.iter_mut().zip(logits) {
        *label = if logit > 0.0 { region } else { *label };
    }
}

fn term(logit: f32, own: f32) -> f32 {
    (logit - own).clamp(-MAX_LOGIT, MAX_LOGIT).exp()
}

/// A softmax probability is `1 / sum(exp(logit - own))` over the classes; the own term is 1.
fn add_terms(logits: &[f32], own: Option<&Vec<f32>>, sums: &mut [f32]) {
    let Some(own) = own else {
        return sums.iter_mut().for_each(|sum| *sum += 1.0);
    };
    for ((sum, &own), &logit) in sums.iter_mut().zip(own).zip(logits) {
        *sum += term(logit, own);
    }
}

/// From sums of terms, or a region's logits, to probabilities.
fn finish(decision: &Decision, own: &[f32], probabilities: &mut [f32]) {
    for (probability, &own) in probabilities.iter_mut().zip(own) {
        *probability = match decision {
            Decision::Largest(_) => 1.0 / *probability,
            Decision::Regions(_) => 1.0 / (1.0 + term(0.0, own)),
        };
    }
}

/// Some rows of a target slice, made by one thread.
struct Band<'a> {
    place: Place,
    output: Output<'a>,
}

struct Output<'a> {
    labels: &'a mut [u16],
    probabilities: Vec<&'a mut [f32]>,
}

fn bands<'a>(
    axes: &Axes,
    labels: &'a mut [u16],
    probabilities: &'a mut [Vec<f32>],
) -> Vec<Band<'a>> {
    let [slices, rows, columns] = [axes.z.len(), axes.y.len(), axes.x.len()];
    let places = (0..slices).flat_map(|z| {
        let starts = (0..rows).step_by(BAND_ROWS);
        starts.map(move |start| Place {
            z,
            rows: start..(start + BAND_ROWS).min(rows),
        })
    });
    let mut labels = labels;
    let mut probabilities: Vec<&mut [f32]> = probabilities.iter_mut().map(|p| &mut **p).collect();
    let bands = places.map(|place| {
        let voxels = place.rows.len() * columns;
        let take = probabilities.iter_mut();
        let output = Output {
            labels: labels.split_off_mut(..voxels).unwrap_or_default(),
            probabilities: take
                .map(|p| p.split_off_mut(..voxels).unwrap_or_default())
                .collect(),
        };
        Band { place, output }
    });
    bands.collect()
}

/// What one thread needs.
struct Scratch {
    logits: Logits,
    /// Logits of the classes whose probabilities are wanted.
    own: Vec<Vec<f32>>,
    /// The largest logit so far.
    best: Vec<f32>,
}

impl Scratch {
    fn new(axes: &Axes, probabilities: usize) -> Self {
        let band = vec![0.0; BAND_ROWS.min(axes.y.len()) * axes.x.len()];
        Self {
            own: vec![band.clone(); probabilities],
            best: band.clone(),
            logits: Logits::new(band),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From two voxels along x to four, in two equal slices.
    fn run(decision: Decision, logits: &[[f32; 2]]) -> Exported {
        let export = Export {
            resize: Resize {
                from: [1, 1, 2],
                to: [2, 1, 4],
                separate: None,
            },
            decision,
            probabilities: vec![1],
        };
        export.run(|which, row| row.copy_from_slice(&logits[which.class]))
    }

    fn assert_close(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
        }
    }

    #[test]
    fn logits_are_interpolated_before_the_largest_is_chosen() {
        let found = run(Decision::Largest(3), &[[0.0; 2], [-3.0, 1.1], [-4.0; 2]]);
        assert_eq!(found.labels, [0, 0, 1, 1, 0, 0, 1, 1]);
    }

    #[test]
    fn of_equal_logits_the_first_class_is_chosen() {
        let found = run(Decision::Largest(3), &[[0.0; 2], [1.0; 2], [1.0; 2]]);
        assert_eq!(found.labels, [1; 8]);
    }

    #[test]
    fn the_last_region_with_a_positive_logit_names_the_label() {
        let decision = Decision::Regions(vec![7, 3]);
        let found = run(decision, &[[2.0, -1.0], [-3.0, 1.0]]);
        // Logits at the four voxels: 2, 1.25, -0.25, -1 and -3, -2, 0, 1.
        assert_eq!(found.labels, [7, 7, 0, 3, 7, 7, 0, 3]);
        let sigmoid = [-3.0_f32, -2.0, 0.0, 1.0].map(|logit| 1.0 / (1.0 + (-logit).exp()));
        assert_close(&found.probabilities[0], &[sigmoid, sigmoid].concat());
    }

    #[test]
    fn a_probability_is_the_softmax_of_the_interpolated_logits() {
        let found = run(Decision::Largest(2), &[[1.0, 1.0], [0.0, 4.0]]);
        let softmax = [0.0_f32, 1.0, 3.0, 4.0].map(|logit| 1.0 / (1.0 + (1.0 - logit).exp()));
        assert_close(&found.probabilities[0], &[softmax, softmax].concat());
    }

    #[test]
    fn logits_beyond_the_range_of_exp_make_probabilities_of_zero_and_one() {
        let found = run(Decision::Largest(2), &[[0.0; 2], [1e30, 1e30]]);
        assert_close(&found.probabilities[0], &[1.0; 8]);
        let found = run(Decision::Largest(2), &[[1e30, 1e30], [0.0; 2]]);
        assert_close(&found.probabilities[0], &[0.0; 8]);
    }

    #[test]
    fn every_class_is_interpolated_as_resize_does() {
        let resize = Resize {
            from: [3, 4, 5],
            to: [7, BAND_ROWS + 3, 11],
            separate: None,
        };
        let logits: Vec<f32> = (0_u16..60).map(|i| f32::from(i * 37 % 23) - 11.0).collect();
        let export = Export {
            resize,
            decision: Decision::Regions(vec![1]),
            probabilities: vec![0],
        };
        let found = export.run(|which, rows| {
            let first = (which.z * 4 + which.rows.start) * 5;
            rows.copy_from_slice(&logits[first..][..rows.len()]);
        });
        let wanted = resize.linear(&logits).into_iter();
        let wanted: Vec<f32> = wanted.map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
        assert_close(&found.probabilities[0], &wanted);
    }
}
