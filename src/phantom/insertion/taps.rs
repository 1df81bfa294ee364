//! Weights from the points of a fine line to those of a coarse one, axis by axis.

/// A Gaussian ends at this many standard deviations.
pub(super) const REACH_SIGMA: f64 = 3.5;

/// For each coarse point, the fine points that it takes and their weights.
pub(super) struct Taps {
    fine: usize,
    coarse: Vec<Vec<(usize, f32)>>,
}

impl Taps {
    /// The mean over each coarse cell, which holds `steps` fine points.
    pub(super) fn mean(count: usize, steps: usize) -> Self {
        let weight = 1.0 / steps as f32;
        let cell = |i: usize| (i * steps..(i + 1) * steps).map(|j| (j, weight)).collect();
        Self {
            fine: count * steps,
            coarse: (0..count).map(cell).collect(),
        }
    }

    /// A Gaussian of `sigma_mm` around each cell's middle; what it takes from beyond the line is 0.
    pub(super) fn gaussian(count: usize, steps: usize, cell_mm: f64, sigma_mm: f64) -> Self {
        let fine = (count * steps) as i64;
        let step_mm = cell_mm / steps as f64;
        let reach = (REACH_SIGMA * sigma_mm / step_mm).ceil() as i64 + 1;
        let cell = |i: usize| {
            let middle = (i * steps) as f64 + (steps as f64 - 1.0) / 2.0;
            let near = middle.floor() as i64;
            let weights: Vec<(i64, f64)> = (near - reach..=near + reach)
                .map(|j| (j, (j as f64 - middle) * step_mm / sigma_mm))
                .filter(|(_, t)| t.abs() <= REACH_SIGMA)
                .map(|(j, t)| (j, (-0.5 * t * t).exp()))
                .collect();
            let sum: f64 = weights.iter().map(|(_, w)| w).sum();
            let inside = weights.into_iter().filter(|(j, _)| (0..fine).contains(j));
            // A Gaussian narrower than the steps between fine points may hit none: then the nearest is it.
            match sum > 0.0 {
                true => inside
                    .map(|(j, w)| (j as usize, (w / sum) as f32))
                    .collect(),
                false => vec![(near as usize, 1.0)],
            }
        };
        Self {
            fine: count * steps,
            coarse: (0..count).map(cell).collect(),
        }
    }
}

/// Fine values `[z, y, x]` to coarse ones, by the taps of each axis.
pub(super) fn reduce(fine: &[f32], taps: &[Taps; 3]) -> Vec<f32> {
    let [tz, ty, tx] = taps;
    let along_x = along(fine, tz.fine * ty.fine, tx, 1);
    let along_y = along(&along_x, tz.fine, ty, tx.coarse.len());
    along(&along_y, 1, tz, ty.coarse.len() * tx.coarse.len())
}

/// `[outer, fine, inner]` to `[outer, coarse, inner]`.
fn along(values: &[f32], outer: usize, taps: &Taps, inner: usize) -> Vec<f32> {
    let mut output = vec![0.0; outer * taps.coarse.len() * inner];
    let blocks = output.chunks_exact_mut((taps.coarse.len() * inner).max(1));
    for (block, values) in blocks.zip(values.chunks_exact((taps.fine * inner).max(1))) {
        for (row, taps) in block.chunks_exact_mut(inner).zip(&taps.coarse) {
            for &(j, weight) in taps {
                let values = &values[j * inner..][..inner];
                row.iter_mut()
                    .zip(values)
                    .for_each(|(sum, v)| *sum += weight * v);
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_stays_itself_away_from_the_ends() {
        let taps = || Taps::gaussian(9, 3, 0.7, 0.5);
        let blurred = reduce(&vec![1.0; 27 * 27 * 27], &[taps(), taps(), taps()]);
        assert!((blurred[(4 * 9 + 4) * 9 + 4] - 1.0).abs() < 1e-5);
        assert!(blurred[0] < 0.5);
    }

    #[test]
    fn the_mean_is_that_of_each_cell() {
        let fine: Vec<f32> = [1.0, 3.0, 5.0, 9.0].into();
        let taps = [Taps::mean(1, 1), Taps::mean(1, 1), Taps::mean(2, 2)];
        assert_eq!(reduce(&fine, &taps), [2.0, 7.0]);
    }

    #[test]
    fn a_gaussian_narrower_than_a_step_takes_the_nearest_point() {
        let taps = Taps::gaussian(3, 2, 5.0, 0.01);
        let ones = reduce(&[1.0; 6], &[Taps::mean(1, 1), Taps::mean(1, 1), taps]);
        assert_eq!(ones, [1.0; 3]);
    }
}
