//! Which values along one axis each target voxel reads, and how much of each.
//!
//! Voxels are boxes: of `n` voxels that become `m`, voxel `i` of the result lies at `(i + 0.5) · n / m - 0.5`. Beyond
//! the borders the outer voxels go on for ever.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "positions lie within a voxel of the axis, whose length is below 2^29"
)]

/// The pole of the cubic B-spline's prefilter (Unser 1999): √3 - 2.
pub(super) const POLE: f64 = -0.267_949_192_431_122_7;

/// Neighbours and their weights: the values from `first` on; weights of those beyond the axis are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taps {
    pub(super) first: usize,
    pub(super) weights: [f64; 4],
}

/// The two values that a target voxel lies between, and how far it is on the way from the lower to the upper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) t: f64,
}

/// Source position of each target voxel along an axis.
fn positions(from: usize, to: usize) -> impl Iterator<Item = f64> {
    let scale = from as f64 / to as f64;
    (0..to).map(move |i| (i as f64 + 0.5) * scale - 0.5)
}

/// Linear interpolation between the nearest two; the outer voxels beyond their centres.
pub(super) fn linear(from: usize, to: usize) -> impl Iterator<Item = Pair> {
    let last = from - 1;
    positions(from, to).map(move |position| {
        let position = position.clamp(0.0, last as f64);
        let lower = position as usize;
        Pair {
            lower,
            upper: (lower + 1).min(last),
            t: position.fract(),
        }
    })
}

/// The nearest voxel; of two equally near ones the upper.
pub(super) fn nearest(from: usize, to: usize) -> impl Iterator<Item = usize> {
    positions(from, to).map(move |position| {
        let position = position.clamp(0.0, (from - 1) as f64);
        (position + 0.5).floor() as usize
    })
}

/// Of spline coefficients, of which [`super::lines`] makes a sixth.
pub(super) fn cubic(from: usize, to: usize) -> impl Iterator<Item = Taps> {
    positions(from, to).map(move |position| {
        let base = position.floor();
        let mut taps = Taps::around(base as isize, from);
        for (k, weight) in (-1..).zip(spline_weights(position - base)) {
            taps.add_coefficient(base as isize + k, weight, from);
        }
        taps
    })
}

/// Neighbours before and after a coefficient that a [`Row`] reads; the pole's power of the next is below 1e-8.
const REACH: usize = 14;

/// All values that a target voxel reads, and their weights: a spline without recursion.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) first: usize,
    pub(super) weights: Vec<f64>,
}

impl Row {
    /// Of `n` values every row reads as many.
    fn around(base: isize, reach: usize, n: usize) -> Self {
        let width = (2 * reach).min(n);
        let first = (base + 1 - reach.cast_signed()).max(0).cast_unsigned();
        Self {
            first: first.min(n - width),
            weights: vec![0.0; width],
        }
    }

    /// Beyond the axis the outer values go on.
    fn add(&mut self, i: isize, weight: f64, n: usize) {
        let i = i.clamp(0, n.cast_signed() - 1).cast_unsigned();
        self.weights[i - self.first] += weight;
    }

    /// Interpolation between a pair.
    pub(super) fn between(pair: Pair, n: usize) -> Self {
        let mut row = Self::around(pair.lower.cast_signed(), 1, n);
        row.add(pair.lower.cast_signed(), 1.0 - pair.t, n);
        row.add(pair.upper.cast_signed(), pair.t, n);
        row
    }
}

/// Of values: [`cubic`] and the prefilter in one. What lies out of reach is shared among all.
pub(super) fn cubic_rows(from: usize, to: usize) -> impl Iterator<Item = Row> {
    positions(from, to).map(move |position| {
        let base = position.floor();
        let mut row = Row::around(base as isize, REACH + 2, from);
        for (k, weight) in (-1..).zip(spline_weights(position - base)) {
            let reach = REACH.cast_signed();
            for d in -reach..=reach {
                let share = POLE.powi(d.unsigned_abs() as i32);
                row.add(base as isize + k + d, weight * share, from);
            }
        }
        let sum: f64 = row.weights.iter().sum();
        row.weights.iter_mut().for_each(|weight| *weight /= sum);
        row
    })
}

/// Six times the cubic B-spline's weights of the coefficients at -1, 0, 1, 2 for a point at `t` in `0.0..1.0`.
fn spline_weights(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    [
        s * s * s,
        4.0 - 3.0 * t * t * (2.0 - t),
        4.0 - 3.0 * s * s * (2.0 - s),
        t * t * t,
    ]
}

impl Taps {
    fn around(base: isize, n: usize) -> Self {
        let last_window = n.saturating_sub(4);
        Self {
            first: base
                .saturating_sub(1)
                .max(0)
                .cast_unsigned()
                .min(last_window),
            weights: [0.0; 4],
        }
    }

    /// Interpolation between a pair.
    pub(super) fn between(pair: Pair, n: usize) -> Self {
        let mut taps = Self::around(pair.lower.cast_signed(), n);
        taps.weights[pair.lower - taps.first] += 1.0 - pair.t;
        taps.weights[pair.upper - taps.first] += pair.t;
        taps
    }

    /// Where the values go on unchanged for ever, so do the coefficients but for a decay by the pole: those at one and
    /// two voxels beyond the border follow from the outer two.
    fn add_coefficient(&mut self, i: isize, weight: f64, n: usize) {
        let last = n.cast_signed() - 1;
        let own = match (-i).max(i - last) {
            ..=0 => return self.weights[i.cast_unsigned() - self.first] += weight,
            1 => 1.0 + POLE,
            _ => 1.0 + POLE + POLE * POLE,
        };
        let outer = i.clamp(0, last);
        let inward = if outer == 0 { 1.min(last) } else { outer - 1 };
        self.weights[outer.cast_unsigned() - self.first] += own * weight;
        self.weights[inward.cast_unsigned() - self.first] += (1.0 - own) * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `weights` of the values from `first` on make of a line.
    fn sum(first: usize, weights: &[f64], line: &[f64]) -> f64 {
        let values = line[first..].iter();
        values.zip(weights).map(|(v, w)| v * w).sum()
    }

    /// A sixth of the coefficients of a line, by elimination: those of repeated borders are what solves
    /// `c[i - 1] + 4 c[i] + c[i + 1] = line[i]` for a line that goes on for 40 more at both ends.
    fn coefficients(line: &[f64]) -> Vec<f64> {
        let beyond = 40;
        let last = line.len() - 1;
        let at = |i: usize| line[i.saturating_sub(beyond).min(last)];
        let n = line.len() + 2 * beyond;
        let (mut pivots, mut values) = (vec![4.0], vec![at(0)]);
        for i in 1..n {
            let factor = 1.0 / pivots[i - 1];
            pivots.push(4.0 - factor);
            values.push(at(i) - factor * values[i - 1]);
        }
        values[n - 1] /= pivots[n - 1];
        for i in (0..n - 1).rev() {
            values[i] = (values[i] - values[i + 1]) / pivots[i];
        }
        values[beyond..n - beyond].to_vec()
    }

    #[test]
    fn taps_of_coefficients_and_rows_of_values_are_the_same_spline() {
        for from in [1, 2, 3, 4, 5, 17, 31, 33, 70] {
            let line: Vec<f64> = (0..from).map(|i| f64::from(i * 37 % 23) / 23.0).collect();
            let coefficients = coefficients(&line);
            for to in [1, 2, 5, 16, 90] {
                for (taps, row) in cubic(line.len(), to).zip(cubic_rows(line.len(), to)) {
                    let recursive = sum(taps.first, &taps.weights, &coefficients);
                    let direct = sum(row.first, &row.weights, &line);
                    assert!((recursive - direct).abs() < 1e-7, "{from} to {to}");
                }
            }
        }
    }

    #[test]
    fn weights_of_every_position_sum_to_one() {
        for (from, to) in [(1, 3), (2, 7), (9, 4), (4, 9), (100, 33)] {
            let rows = cubic_rows(from, to).map(|row| row.weights.iter().sum::<f64>());
            let taps = cubic(from, to).map(|taps| taps.weights.iter().sum::<f64>() / 6.0);
            assert!(rows.chain(taps).all(|sum| (sum - 1.0).abs() < 1e-12));
        }
    }

    #[test]
    fn of_two_equally_near_voxels_the_upper_is_the_nearest() {
        assert_eq!(nearest(4, 2).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(nearest(2, 4).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(nearest(3, 1).collect::<Vec<_>>(), [1]);
    }
}
