//! A Gaussian blur, and taking it back.

use crate::volume::Geometry;
use rayon::prelude::*;

/// Standard deviation of a Gaussian of full width 1 at half its maximum.
const SIGMA_PER_FWHM: f64 = 0.424_660_9;

/// Standard deviation along each axis of a Gaussian of a full width at half maximum, voxels.
pub(super) fn sigma(geometry: &Geometry, fwhm_mm: f64) -> [f64; 3] {
    let spacing_mm = geometry.spacing_mm();
    spacing_mm.map(|mm| fwhm_mm * SIGMA_PER_FWHM / mm)
}

/// What blur made of a value of 0 stays 0; keeps the quotient finite.
const MIN_VALUE: f32 = 1e-6;

/// Takes a Gaussian blur back, `sigma` in voxels: what, blurred, is the likeliest source of values that are not negative.
///
/// Source: Richardson 1972 (doi 10.1364/JOSA.62.000055), Lucy 1974 (doi 10.1086/111605).
pub(super) fn deblurred(
    values: &[f32],
    size: [usize; 3],
    sigma: [f64; 3],
    steps: usize,
) -> Vec<f32> {
    let mut source = values.to_vec();
    for _ in 0..steps {
        let mut ratio = smoothed(source.clone(), size, sigma);
        let quotient =
            |(blurred, value): (&mut f32, &f32)| *blurred = value / blurred.max(MIN_VALUE);
        ratio.par_iter_mut().zip(values).for_each(quotient);
        let correction = smoothed(ratio, size, sigma);
        let correct = |(value, by): (&mut f32, &f32)| *value *= by;
        source.par_iter_mut().zip(&correction).for_each(correct);
    }
    source
}

/// A Gaussian along each axis, `sigma` in voxels; at the edges the weights that are left count.
pub(super) fn smoothed(mut values: Vec<f32>, size: [usize; 3], sigma: [f64; 3]) -> Vec<f32> {
    let strides = [size[1] * size[2], size[2], 1];
    for axis in 0..3 {
        let taps = taps(sigma[axis]);
        if taps.len() > 1 && size[axis] > 1 {
            values = along(&values, size[axis], strides[axis], &taps);
        }
    }
    values
}

/// Weights of the voxels at distance 0, 1, 2 …
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few voxels; a float that is too large saturates at the limit"
)]
fn taps(sigma: f64) -> Vec<f32> {
    const MAX_REACH: usize = 32;
    let reach = ((3.0 * sigma) as usize).min(MAX_REACH);
    let weight = |k: usize| (-0.5 * (k as f64 / sigma).powi(2)).exp() as f32;
    (0..=reach)
        .map(|k| if k == 0 { 1.0 } else { weight(k) })
        .collect()
}

fn along(values: &[f32], n: usize, stride: usize, taps: &[f32]) -> Vec<f32> {
    let value = |i: usize| {
        let at = i / stride % n;
        let (mut sum, mut total) = (taps[0] * values[i], taps[0]);
        for (k, weight) in taps.iter().enumerate().skip(1) {
            if at >= k {
                sum += weight * values[i - k * stride];
                total += weight;
            }
            if at + k < n {
                sum += weight * values[i + k * stride];
                total += weight;
            }
        }
        sum / total
    };
    (0..values.len()).into_par_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: [usize; 3] = [9, 9, 21];
    const SIGMA: [f64; 3] = [1.0; 3];

    /// Values of the middle row.
    fn row(values: &[f32]) -> &[f32] {
        let [_, ny, nx] = SIZE;
        let start = (SIZE[0] / 2 * ny + ny / 2) * nx;
        &values[start..start + nx]
    }

    /// Two points of the middle row, six voxels apart.
    fn two_points() -> Vec<f32> {
        let mut values = vec![0.1; SIZE.iter().product()];
        let [_, ny, nx] = SIZE;
        let start = (SIZE[0] / 2 * ny + ny / 2) * nx;
        values[start + 8] = 60.0;
        values[start + 14] = 20.0;
        values
    }

    #[test]
    fn what_blurred_into_a_shoulder_is_a_peak_again() {
        let sigma = [2.1; 3];
        let wide = smoothed(two_points(), SIZE, sigma);
        assert!(
            row(&wide)[8..].is_sorted_by(|a, b| a > b),
            "a shoulder: {:?}",
            row(&wide)
        );
        let sharp = deblurred(&wide, SIZE, sigma, 30);
        let saddle = row(&sharp)[9..14]
            .iter()
            .copied()
            .fold(f32::INFINITY, f32::min);
        assert!(saddle < 0.8 * row(&sharp)[14], "{:?}", row(&sharp));
    }

    #[test]
    fn what_is_even_stays_and_so_does_nothing() {
        for value in [0.0, 2.5] {
            let even = vec![value; SIZE.iter().product()];
            let sharp = deblurred(&even, SIZE, SIGMA, 7);
            assert!(sharp.iter().all(|v| (v - value).abs() < 1e-4));
        }
    }

    proptest! {
        #[test]
        fn every_step_explains_the_values_better(seed in prop::collection::vec(0.0_f32..10.0, SIZE.iter().product::<usize>())) {
            let values = smoothed(seed, SIZE, SIGMA);
            let misfit = |steps| -> f64 {
                let again = smoothed(deblurred(&values, SIZE, SIGMA, steps), SIZE, SIGMA);
                again.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            let misfits = [0, 1, 3, 7].map(misfit);
            prop_assert!(misfits.is_sorted_by(|a, b| a > b), "{misfits:?}");
        }
    }
}
