//! nnU-Net's normalisations of a channel's values, before it is resampled.

#![expect(
    clippy::cast_possible_truncation,
    reason = "moments are summed in f64 and applied in f32, as nnU-Net applies them"
)]

use rayon::prelude::*;

/// How the values of a channel are normalised; named as in nnU-Net's plans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scheme {
    /// `CTNormalization`: `(clip(value, lower, upper) - mean) / std`, from the values of the training data.
    Ct {
        /// 0.5th percentile.
        lower: f32,
        /// 99.5th percentile.
        upper: f32,
        /// Mean.
        mean: f32,
        /// Standard deviation.
        std: f32,
    },
    /// `ZScoreNormalization`: by the mean and deviation of the image, or of its mask where one is given.
    ZScore,
    /// `RescaleTo01Normalization`: from the smallest to the largest value.
    RescaleTo01,
    /// `NoNormalization`.
    Unchanged,
}

/// Deviations and ranges below it count as it.
const LEAST: f32 = 1e-8;

impl Scheme {
    /// Normalises one channel. `mask` is read by [`Scheme::ZScore`] only: values outside it are left as they are.
    ///
    /// # Panics
    /// Where the mask has not as many voxels as the channel.
    pub fn apply(self, values: &mut [f32], mask: Option<&[bool]>) {
        match (self, mask) {
            (Self::Unchanged, _) => {}
            (
                Self::Ct {
                    lower,
                    upper,
                    mean,
                    std,
                },
                _,
            ) => scale(values, move |v| {
                (v.max(lower).min(upper) - mean) / std.max(LEAST)
            }),
            (Self::RescaleTo01, _) => rescale(values),
            (Self::ZScore, None) => {
                let [mean, std] = moments(&values.par_chunks(CHUNK).map(|chunk| (chunk, None)));
                scale(values, move |v| (v - mean) / std);
            }
            (Self::ZScore, Some(mask)) => z_score_inside(values, mask),
        }
    }
}

fn scale(values: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    let chunks = values.par_chunks_mut(CHUNK);
    chunks.for_each(|chunk| chunk.iter_mut().for_each(|v| *v = f(*v)));
}

fn rescale(values: &mut [f32]) {
    let extreme = |start: f32, pick: fn(f32, f32) -> f32| {
        let chunks = values.par_chunks(CHUNK);
        let chunks = chunks.map(|chunk| chunk.iter().copied().fold(start, pick));
        chunks.reduce(|| start, pick)
    };
    let lowest = extreme(f32::INFINITY, f32::min);
    let highest = extreme(f32::NEG_INFINITY, f32::max);
    let range = (highest - lowest).max(LEAST);
    scale(values, move |v| (v - lowest) / range);
}

fn z_score_inside(values: &mut [f32], mask: &[bool]) {
    assert_eq!(values.len(), mask.len());
    let chunks = values.par_chunks(CHUNK).zip(mask.par_chunks(CHUNK));
    let [mean, std] = moments(&chunks.map(|(chunk, mask)| (chunk, Some(mask))));
    let chunks = values.par_chunks_mut(CHUNK).zip(mask.par_chunks(CHUNK));
    chunks.for_each(|(chunk, mask)| {
        let inside = chunk.iter_mut().zip(mask).filter(|(_, inside)| **inside);
        inside.for_each(|(v, _)| *v = (*v - mean) / std);
    });
}

/// Values summed by one thread; fixes the order of the sums.
const CHUNK: usize = 1 << 16;

type Chunk<'a> = (&'a [f32], Option<&'a [bool]>);

/// Mean and standard deviation of the values, or of those inside the mask.
fn moments<'a>(chunks: &(impl IndexedParallelIterator<Item = Chunk<'a>> + Clone)) -> [f32; 2] {
    let count = sum(chunks, |_| 1.0).max(1.0);
    let mean = sum(chunks, |v| v) / count;
    let variance = sum(chunks, |v| (v - mean).powi(2)) / count;
    [mean as f32, (variance.sqrt() as f32).max(LEAST)]
}

/// Sum of the terms of the values, always in the same order.
fn sum<'a>(
    chunks: &(impl IndexedParallelIterator<Item = Chunk<'a>> + Clone),
    term: impl Fn(f64) -> f64 + Sync,
) -> f64 {
    let of_chunk = |(values, mask): Chunk<'a>| -> f64 {
        let terms = values.iter().map(|&v| term(f64::from(v)));
        match mask {
            None => terms.sum(),
            Some(mask) => terms.zip(mask).filter_map(|(t, &m)| m.then_some(t)).sum(),
        }
    };
    let sums: Vec<f64> = chunks.clone().map(of_chunk).collect();
    sums.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(scheme: Scheme, values: &[f32], mask: Option<&[bool]>) -> Vec<f32> {
        let mut values = values.to_vec();
        scheme.apply(&mut values, mask);
        values
    }

    #[test]
    fn ct_values_are_clipped_before_they_are_scaled() {
        let scheme = Scheme::Ct {
            lower: -1000.0,
            upper: 500.0,
            mean: -100.0,
            std: 200.0,
        };
        let found = applied(scheme, &[-2000.0, -100.0, 100.0, 3000.0], None);
        assert_eq!(found, [-4.5, 0.0, 1.0, 3.0]);
    }

    #[test]
    fn a_deviation_of_zero_divides_by_the_least() {
        let scheme = Scheme::Ct {
            lower: 0.0,
            upper: 1.0,
            mean: 0.0,
            std: 0.0,
        };
        assert_eq!(applied(scheme, &[1.0], None), [1.0 / LEAST]);
        assert_eq!(applied(Scheme::ZScore, &[3.0, 3.0], None), [0.0, 0.0]);
        assert_eq!(applied(Scheme::RescaleTo01, &[3.0, 3.0], None), [0.0, 0.0]);
    }

    #[test]
    fn z_scores_are_of_the_whole_image_or_of_its_mask() {
        assert_eq!(applied(Scheme::ZScore, &[1.0, 3.0], None), [-1.0, 1.0]);
        let mask = [false, true, true, false];
        let found = applied(Scheme::ZScore, &[0.0, 2.0, 6.0, 0.0], Some(&mask));
        assert_eq!(found, [0.0, -1.0, 1.0, 0.0]);
    }

    #[test]
    fn an_empty_mask_changes_nothing() {
        let found = applied(Scheme::ZScore, &[0.0, 0.0], Some(&[false; 2]));
        assert_eq!(found, [0.0, 0.0]);
    }

    #[test]
    fn a_large_mean_loses_no_deviation() {
        let values: Vec<f32> = (0..300_000).map(|i| [1e6, 1e6 + 1.0][i % 2]).collect();
        let found = applied(Scheme::ZScore, &values, None);
        assert!(found.iter().all(|v| (v.abs() - 1.0).abs() < 1e-6));
    }

    #[test]
    fn rescaled_values_lie_between_zero_and_one() {
        let found = applied(Scheme::RescaleTo01, &[-10.0, 30.0, 10.0], None);
        assert_eq!(found, [0.0, 1.0, 0.5]);
    }
}
