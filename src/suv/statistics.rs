//! What a set of voxels says in four numbers.

use super::Warning;
use crate::volume::{Mask, StoredVolume};
use serde::Serialize;

/// Of some values, which are finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistics {
    /// The lowest.
    pub min: f64,
    /// The middle one; of an even count the mean of the middle two.
    pub median: f64,
    /// The highest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// How many there are.
    pub voxels: usize,
    /// How many are below 0.
    #[serde(skip)]
    pub negative: usize,
}

impl Statistics {
    /// Of the voxels in a mask on the same grid, or of all, without padding; none of none.
    ///
    /// Each acquired voxel counts once, however far apart its slices lie.
    pub fn inside(stored: &StoredVolume, mask: Option<&Mask>) -> Option<Self> {
        let [slices, rows, columns] = stored.geometry.size;
        let mut values = Vec::new();
        for z in 0..slices {
            let slope = stored.rescale[z].slope;
            for i in z * rows * columns..(z + 1) * rows * columns {
                let value = stored.stored(i);
                let is_inside = mask.is_none_or(|mask| mask.voxels[i] != 0);
                if is_inside && !stored.is_padding(value) {
                    values.push(value as f32 * slope);
                }
            }
        }
        Self::of(&mut values)
    }

    /// Says it where values lie below 0.
    pub fn warning(&self) -> Option<Warning> {
        (self.negative > 0).then_some(Warning::NegativeValues {
            voxels: self.negative,
            lowest: self.min,
        })
    }

    /// Of some values, whose order is changed; none of none.
    pub fn of(values: &mut [f32]) -> Option<Self> {
        let voxels = values.len();
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        let min = values.iter().copied().reduce(f32::min)?;
        let max = values.iter().copied().reduce(f32::max)?;
        let (below, middle, _) = values.select_nth_unstable_by(voxels / 2, f32::total_cmp);
        let upper = f64::from(*middle);
        let lower = below
            .iter()
            .copied()
            .reduce(f32::max)
            .map_or(upper, f64::from);
        let median = match voxels.is_multiple_of(2) {
            true => f64::midpoint(lower, upper),
            false => upper,
        };
        Some(Self {
            min: min.into(),
            median,
            max: max.into(),
            mean: sum / voxels as f64,
            voxels,
            negative: values.iter().filter(|v| **v < 0.0).count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_midway() {
        let found = Statistics::of(&mut [4.0, 1.0, 3.0, 10.0]);
        let wanted = Statistics {
            min: 1.0,
            median: 3.5,
            max: 10.0,
            mean: 4.5,
            voxels: 4,
            negative: 0,
        };
        assert_eq!(found, Some(wanted));
        let odd = Statistics::of(&mut [7.0, -1.0, 3.0]).map(|s| s.median);
        assert_eq!(odd, Some(3.0));
        let below = Statistics::of(&mut [7.0, -1.0, 3.0]).and_then(|s| s.warning());
        assert_eq!(below.map(|w| w.code()), Some("suv-negative-values"));
        assert_eq!(Statistics::of(&mut []), None);
    }
}
