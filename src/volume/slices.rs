//! Where the slices of an unevenly sampled stack lie.

/// Positions of the slices of a stack along the z axis of its grid, in steps of that grid.
///
/// The first slice lies at 0 and the last at the number of slices less one. An even stack holds nothing: slice `z` lies
/// at `z`. An uneven one keeps what was acquired where it was acquired; nothing between the slices is made up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SlicePositions(Vec<f64>);

impl SlicePositions {
    /// Every slice one step above the one below.
    pub const fn even() -> Self {
        Self(Vec::new())
    }

    /// One position a slice; `None` unless there are two or more, finite and each above the one before.
    pub fn uneven(positions: Vec<f64>) -> Option<Self> {
        let ascending = positions.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = positions.iter().all(|p| p.is_finite());
        (positions.len() > 1 && ascending && finite).then_some(Self(positions))
    }

    /// One position a slice, or nothing for an even stack.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Slice `z` lies at `z`.
    pub fn is_even(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a slice lies.
    pub fn position(&self, slice: usize) -> f64 {
        self.0.get(slice).copied().unwrap_or(slice as f64)
    }

    /// How many steps along z a slice stands for: half-way to both neighbours, and at either end of the stack as far
    /// outwards as inwards. Sums over slices then are integrals by the trapezoidal rule.
    pub fn extent(&self, slice: usize) -> f64 {
        if self.is_even() {
            return 1.0;
        }
        let last = self.0.len() - 1;
        let gap = |below: usize| self.0[below + 1] - self.0[below];
        let below = gap(slice.saturating_sub(1).min(last - 1));
        let above = gap(slice.min(last - 1));
        f64::midpoint(below, above)
    }

    /// The fractional slice number at a position; beyond the ends as if the outer gaps went on.
    pub fn slice_at(&self, position: f64) -> f64 {
        if self.is_even() {
            return position;
        }
        let above = self.0.partition_point(|p| *p <= position);
        let below = above.clamp(1, self.0.len() - 1) - 1;
        below as f64 + (position - self.0[below]) / (self.0[below + 1] - self.0[below])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slice_stands_for_the_half_gaps_beside_it() {
        let slices = SlicePositions::uneven(vec![0.0, 1.0, 3.0, 3.5]).expect("ascending");
        let extents: Vec<f64> = (0..4).map(|z| slices.extent(z)).collect();
        assert_eq!(extents, [1.0, 1.5, 1.25, 0.5]);
        let places = [2.0, -1.0, 4.0];
        let found: Vec<f64> = places.iter().map(|p| slices.slice_at(*p)).collect();
        assert_eq!(found, [1.5, -1.0, 4.0], "the outer gaps go on");
    }

    #[test]
    fn positions_that_do_not_ascend_are_none() {
        assert_eq!(SlicePositions::uneven(vec![0.0, 1.0, 1.0]), None);
        assert_eq!(SlicePositions::uneven(vec![0.0, f64::NAN]), None);
        assert_eq!(SlicePositions::uneven(vec![0.0]), None);
    }

    proptest! {
        #[test]
        fn position_and_slice_are_inverse(gaps in prop::collection::vec(0.1..4.0_f64, 1..20)) {
            let mut positions = vec![0.0];
            for gap in gaps {
                positions.push(positions[positions.len() - 1] + gap);
            }
            let slices = SlicePositions::uneven(positions.clone()).expect("ascending");
            for slice in 0..positions.len() {
                prop_assert!((slices.slice_at(slices.position(slice)) - slice as f64).abs() < 1e-9);
            }
            let all: f64 = (0..positions.len()).map(|z| slices.extent(z)).sum();
            let outer = (slices.extent(0) + slices.extent(positions.len() - 1)) / 2.0;
            prop_assert!((all - outer - positions[positions.len() - 1]).abs() < 1e-9);
        }
    }
}
