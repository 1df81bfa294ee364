//! nnU-Net's resampling between two grids of the same box: by cubic splines or linearly, in plane only where the
//! slices are thick.

use super::Spacings;
use super::lines::{self, Line};
use super::taps::{self, Row, Taps};
use crate::preprocess::{Error, check_size};
use rayon::prelude::*;
use std::borrow::Cow;

/// From one grid to another that covers the same box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Size of the grid that is read, `[z, y, x]`.
    pub(super) from: [usize; 3],
    /// Size of the grid that is written.
    pub(super) to: [usize; 3],
    /// The axis along which the nearest slice is taken.
    pub(super) separate: Option<usize>,
}

/// How values between voxels are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Linear,
    Cubic,
}

impl Resize {
    /// To the grid of `spacings.to_mm`: each size is rounded half to even.
    ///
    /// # Errors
    /// [`Error::BadVolume`] for spacings that are not positive; [`Error::GridTooLarge`], also for no voxels at all.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "`as` saturates, and what is too large is refused"
    )]
    pub fn to_spacing(from: [usize; 3], spacings: &Spacings) -> Result<Self, Error> {
        let to = [0, 1, 2].map(|axis| {
            let ratio = spacings.from_mm[axis] / spacings.to_mm[axis];
            (ratio * from[axis] as f64).round_ties_even() as usize
        });
        Self::to_size(from, to, spacings)
    }

    /// To a grid of a given size.
    ///
    /// # Errors
    /// As [`Resize::to_spacing`].
    pub fn to_size(from: [usize; 3], to: [usize; 3], spacings: &Spacings) -> Result<Self, Error> {
        for spacing_mm in [spacings.from_mm, spacings.to_mm] {
            if !spacing_mm.iter().all(|s| s.is_normal() && *s > 0.0) {
                return Err(Error::BadVolume {
                    reason: format!("a spacing of {spacing_mm:?} mm (z, y, x)"),
                });
            }
        }
        check_size(from)?;
        check_size(to)?;
        Ok(Self {
            from,
            to,
            separate: spacings.separate(),
        })
    }

    /// Size of the grid that is read, `[z, y, x]`.
    pub fn from(&self) -> [usize; 3] {
        self.from
    }

    /// Size of the grid that is written, `[z, y, x]`.
    pub fn to(&self) -> [usize; 3] {
        self.to
    }

    /// By cubic splines, clipped to the range of the values; where an axis is separate, of each of its slices.
    ///
    /// # Panics
    /// Where the values are not as many as the grid has voxels.
    pub fn cubic(&self, values: &[f32]) -> Vec<f32> {
        let mut output = self.resample(values, Order::Cubic);
        if self.from != self.to {
            self.clip(&mut output, &self.ranges(values));
        }
        output
    }

    /// Linearly.
    ///
    /// # Panics
    /// As [`Resize::cubic`].
    pub fn linear(&self, values: &[f32]) -> Vec<f32> {
        self.resample(values, Order::Linear)
    }

    fn resample(&self, values: &[f32], order: Order) -> Vec<f32> {
        assert_eq!(values.len(), self.from.iter().product::<usize>());
        let mut size = self.from;
        let mut values = Cow::Borrowed(values);
        for axis in self.passes() {
            let line = self.line(axis, order);
            values = Cow::Owned(lines::resample(&values, size, axis, &line));
            size[axis] = self.to[axis];
        }
        values.into_owned()
    }

    /// Axes in the order that keeps what lies between the passes small; the separate one last.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^29")]
    fn passes(&self) -> Vec<usize> {
        let growth = |axis: usize| self.to[axis] as f64 / self.from[axis] as f64;
        let mut axes = vec![0, 1, 2];
        axes.retain(|&axis| self.from[axis] != self.to[axis]);
        axes.sort_by(|&a, &b| growth(a).total_cmp(&growth(b)));
        axes.sort_by_key(|&axis| self.separate == Some(axis));
        axes
    }

    fn line(&self, axis: usize, order: Order) -> Line {
        let [from, to] = [self.from[axis], self.to[axis]];
        let prefilter = order == Order::Cubic && self.separate != Some(axis);
        let between = |pair| Taps::between(pair, from);
        let taps = match prefilter {
            true => taps::cubic(from, to).collect(),
            false => self.pairs(axis).map(between).collect(),
        };
        Line {
            from,
            prefilter,
            taps,
        }
    }

    /// [`Resize::line`] without recursion. An axis of equal sizes is copied.
    pub(super) fn rows(&self, axis: usize, order: Order) -> Vec<Row> {
        let [from, to] = [self.from[axis], self.to[axis]];
        let is_spline = order == Order::Cubic && self.separate != Some(axis);
        if is_spline && from != to {
            return taps::cubic_rows(from, to).collect();
        }
        let between = |pair| Row::between(pair, from);
        self.pairs(axis).map(between).collect()
    }

    /// Linear along an axis, or the nearest where it is separate.
    pub(super) fn pairs(&self, axis: usize) -> Box<dyn Iterator<Item = taps::Pair>> {
        let [from, to] = [self.from[axis], self.to[axis]];
        if self.separate != Some(axis) {
            return Box::new(taps::linear(from, to));
        }
        Box::new(taps::nearest(from, to).map(|nearest| taps::Pair {
            lower: nearest,
            upper: nearest,
            t: 0.0,
        }))
    }

    /// Smallest and largest value that each target slice along the separate axis may have; one range without such an
    /// axis.
    pub(super) fn ranges(&self, values: &[f32]) -> Vec<[f32; 2]> {
        let Some(axis) = self.separate else {
            return ranges(values, RUN, 1);
        };
        let inner = self.from[axis + 1..].iter().product();
        let of_source = ranges(values, inner, self.from[axis]);
        self.pairs(axis).map(|pair| of_source[pair.lower]).collect()
    }

    fn clip(&self, values: &mut [f32], ranges: &[[f32; 2]]) {
        let run = match self.separate {
            Some(axis) => self.to[axis + 1..].iter().product(),
            None => RUN,
        };
        let runs = values.par_chunks_mut(run).enumerate();
        runs.for_each(|(i, run)| {
            let [lowest, highest] = ranges[i % ranges.len()];
            run.iter_mut().for_each(|v| *v = v.max(lowest).min(highest));
        });
    }
}

/// Values that one thread looks through.
const RUN: usize = 1 << 16;

const NO_RANGE: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

/// Of runs of `length` values, of which every `slices`-th belongs to the same slice.
fn ranges(values: &[f32], length: usize, slices: usize) -> Vec<[f32; 2]> {
    let nothing = || vec![NO_RANGE; slices];
    let runs = values.par_chunks(length).enumerate();
    let folded = runs.fold(nothing, |mut ranges, (i, run)| {
        let range = &mut ranges[i % slices];
        *range = union(*range, range_of(run));
        ranges
    });
    folded.reduce(nothing, |a, b| {
        a.into_iter().zip(b).map(|(a, b)| union(a, b)).collect()
    })
}

fn range_of(run: &[f32]) -> [f32; 2] {
    // Side by side, for vector units.
    let (blocks, rest) = run.as_chunks::<16>();
    let mut lanes = [NO_RANGE; 16];
    for block in blocks {
        for (range, &v) in lanes.iter_mut().zip(block) {
            range[0] = if v < range[0] { v } else { range[0] };
            range[1] = if v > range[1] { v } else { range[1] };
        }
    }
    let rest = rest.iter().fold(NO_RANGE, |range, &v| union(range, [v, v]));
    if blocks.is_empty() {
        return rest;
    }
    lanes.into_iter().fold(rest, union)
}

fn union(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "test values are small"
    )]

    use super::*;
    use proptest::prelude::*;

    fn spacings(from_mm: [f64; 3], to_mm: [f64; 3]) -> Spacings {
        Spacings {
            from_mm,
            to_mm,
            force_separate: None,
        }
    }

    fn cubes(from: [usize; 3], to: [usize; 3]) -> Resize {
        Resize::to_size(from, to, &spacings([1.0; 3], [1.0; 3])).expect("fits")
    }

    /// Arithmetic in f64 whose passes are stored in f32.
    const TOLERANCE: f32 = 1e-6;

    fn assert_close(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < TOLERANCE, "{found}, not {wanted}");
        }
    }

    #[test]
    fn new_sizes_are_rounded_half_to_even() {
        let spacings = spacings([0.5, 1.0, 1.0], [1.0, 2.0, 3.0]);
        let resize = Resize::to_spacing([5, 7, 100], &spacings).expect("fits");
        assert_eq!(resize.to(), [2, 4, 33]);
    }

    #[test]
    fn broken_spacings_and_grids_are_refused_by_code() {
        let code = |from, to, spacing: f64| {
            let spacings = spacings([spacing; 3], [1.0; 3]);
            Resize::to_size(from, to, &spacings).map_err(|e| e.code())
        };
        for spacing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(code([2; 3], [2; 3], spacing), Err("volume-inconsistent"));
        }
        assert_eq!(code([2; 3], [2, 0, 2], 1.0), Err("grid-too-large"));
        assert_eq!(code([2; 3], [1 << 11; 3], 1.0), Err("grid-too-large"));
        assert_eq!(code([usize::MAX; 3], [2; 3], 1.0), Err("grid-too-large"));
        assert_eq!(code([1, 1, 1 << 17], [2; 3], 1.0), Err("grid-too-large"));
        let huge = spacings([1e300; 3], [1.0; 3]);
        let error = Resize::to_spacing([2; 3], &huge).expect_err("too large");
        assert_eq!(error.code(), "grid-too-large");
    }

    #[test]
    fn a_grid_of_equal_size_is_left_as_it_is() {
        let values = [3.0, -1.5, 7.25, 0.1, 0.2, 0.3];
        assert_eq!(cubes([1, 2, 3], [1, 2, 3]).cubic(&values), values);
        assert_eq!(cubes([1, 2, 3], [1, 2, 3]).linear(&values), values);
    }

    #[test]
    fn linear_values_lie_where_voxels_are_boxes() {
        let found = cubes([1, 1, 2], [1, 1, 4]).linear(&[0.0, 1.0]);
        assert_close(&found, &[0.0, 0.25, 0.75, 1.0]);
    }

    /// The spline through 0, 1, 0 with repeated borders, from its equations: (c₋₁ + 4c₀ + c₁) / 6 = value.
    #[test]
    fn a_spline_passes_through_its_values_and_is_clipped_to_them() {
        let found = cubes([1, 1, 3], [1, 1, 9]).cubic(&[0.0, 1.0, 0.0]);
        let centres = [found[1], found[4], found[7]];
        assert_close(&centres, &[0.0, 1.0, 0.0]);
        assert!(found.iter().all(|v| (0.0..=1.0).contains(v)), "{found:?}");
    }

    #[test]
    fn the_inside_of_a_ramp_stays_straight_along_every_axis() {
        for axis in 0..3 {
            let (mut from, mut to) = ([2; 3], [2; 3]);
            (from[axis], to[axis]) = (60, 90);
            let step = |size: [usize; 3]| size[axis + 1..].iter().product::<usize>();
            let index = |i: usize, size: [usize; 3]| i / step(size) % size[axis];
            let ramp: Vec<f32> = (0..240).map(|i| index(i, from) as f32 / 60.0).collect();
            for (i, found) in cubes(from, to).cubic(&ramp).into_iter().enumerate() {
                let at = index(i, to);
                let wanted = ((at as f64 + 0.5) * 60.0 / 90.0 - 0.5) / 60.0;
                let inside = (24..66).contains(&at);
                assert!(!inside || (found - wanted as f32).abs() < TOLERANCE);
            }
        }
    }

    #[test]
    fn a_separate_slice_is_that_of_the_nearest_and_clipped_to_its_own_range() {
        let resize = Resize {
            from: [2, 1, 4],
            to: [4, 1, 8],
            separate: Some(0),
        };
        let found = resize.cubic(&[0.0, 1.0, 0.0, 1.0, 5.0, 9.0, 5.0, 9.0]);
        assert_eq!(found[..8], found[8..16]);
        assert_eq!(found[16..24], found[24..]);
        assert!(found[..16].iter().all(|v| (0.0..=1.0).contains(v)));
        assert!(found[16..].iter().all(|v| (5.0..=9.0).contains(v)));
    }

    fn size() -> impl Strategy<Value = [usize; 3]> {
        [1_usize..40, 1_usize..20, 1_usize..40]
    }

    fn separate() -> impl Strategy<Value = Option<usize>> {
        prop::option::of(0_usize..3)
    }

    proptest! {
        #[test]
        fn a_constant_stays_constant(from in size(), to in size(), separate in separate(), v in -9_i8..9) {
            let resize = Resize { from, to, separate };
            let values = vec![f32::from(v); from.iter().product()];
            let found = [resize.cubic(&values), resize.linear(&values)].concat();
            prop_assert!(found.iter().all(|found| (found - f32::from(v)).abs() < 1e-5));
        }

        #[test]
        fn a_volume_of_moved_axes_gives_the_same_values(from in size(), to in size(), separate in separate()) {
            let axes = crate::preprocess::nnunet::Axes::new([2, 0, 1]).expect("a permutation");
            let values: Vec<f32> = (0..from.iter().product()).map(|i: usize| (i * 7919 % 101) as f32 / 101.0).collect();
            let moved = Resize {
                from: axes.permute(from),
                to: axes.permute(to),
                separate: separate.map(|axis| (axis + 1) % 3),
            };
            let found = moved.cubic(&axes.forward(values.clone(), from));
            assert_close(&axes.backward(found, moved.to), &Resize { from, to, separate }.cubic(&values));
        }
    }
}
