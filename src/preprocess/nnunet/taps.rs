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
