//! Intervals of figures by drawing scans with replacement.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

/// Share of the resamples that an interval leaves out at either end.
const TAIL: f64 = 0.025;

/// A figure with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Of all scans; none where there is nothing to compute it from.
    pub value: Option<f64>,
    /// From the 2.5th to the 97.5th percentile of the same figure of resampled scans.
    pub interval_95: Option<[f64; 2]>,
    /// What it was computed from: nodules, candidates or scans.
    pub n: usize,
}

/// How often each scan is drawn in each resample.
pub(super) struct Resamples {
    all: Vec<u32>,
    drawn: Vec<Vec<u32>>,
}

impl Resamples {
    /// `count` resamples of `scans` scans, none of a single one; the same seed draws the same.
    pub(super) fn new(scans: usize, count: u32, seed: u64) -> Self {
        let draw = |stream: u32| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream.into());
            let mut weights = vec![0; scans];
            (0..scans).for_each(|_| weights[rng.random_range(0..scans)] += 1);
            weights
        };
        let count = if scans > 1 { count } else { 0 };
        Self {
            all: vec![1; scans],
            drawn: (0..count).map(draw).collect(),
        }
    }

    /// Every scan once.
    pub(super) fn all(&self) -> &[u32] {
        &self.all
    }

    /// One figure, computed from `n` of something.
    pub(super) fn estimate(
        &self,
        n: usize,
        figure: impl Fn(&[u32]) -> Option<f64> + Sync,
    ) -> Estimate {
        let [estimate] = self.estimates(n, |weights| figure(weights).map(|value| [value]));
        estimate
    }

    /// Several figures that are computed together.
    pub(super) fn estimates<const N: usize>(
        &self,
        n: usize,
        figures: impl Fn(&[u32]) -> Option<[f64; N]> + Sync,
    ) -> [Estimate; N] {
        let values = figures(&self.all);
        let drawn: Vec<[f64; N]> = self.drawn.par_iter().filter_map(|w| figures(w)).collect();
        std::array::from_fn(|i| Estimate {
            value: values.map(|values| values[i]),
            interval_95: interval(drawn.iter().map(|values| values[i]).collect()),
            n,
        })
    }
}

/// Percentiles with linear interpolation.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let percentile = |share: f64| {
        let place = share * last as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the last index"
        )]
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        values[below] + (place - below as f64) * (values[above] - values[below])
    };
    Some([percentile(TAIL), percentile(1.0 - TAIL)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_as_numpy_does() {
        let values = (0..=100).rev().map(f64::from).collect();
        assert_eq!(interval(values), Some([2.5, 97.5]));
        assert_eq!(interval(vec![3.0]), Some([3.0, 3.0]));
        assert_eq!(interval(Vec::new()), None);
    }

    #[test]
    fn one_scan_has_no_interval() {
        let estimate = Resamples::new(1, 100, 0).estimate(5, |_| Some(0.5));
        assert_eq!((estimate.value, estimate.interval_95), (Some(0.5), None));
    }

    #[test]
    fn every_resample_has_as_many_scans_and_the_spread_is_that_of_the_binomial() {
        let resamples = Resamples::new(100, 2000, 7);
        assert!(
            resamples
                .drawn
                .iter()
                .all(|weights| weights.iter().sum::<u32>() == 100)
        );
        let half = |weights: &[u32]| Some(f64::from(weights[..50].iter().sum::<u32>()) / 100.0);
        let estimate = resamples.estimate(100, half);
        assert_eq!((estimate.value, estimate.n), (Some(0.5), 100));
        let [lower, upper] = estimate.interval_95.expect("an interval");
        // 1.96 times the standard deviation of 0.05.
        assert!((0.39..=0.42).contains(&lower) && (0.58..=0.61).contains(&upper));
    }
}
