//! Slices that show nothing: padding put before or behind a scan, or what a lost transfer left.

use super::StoredVolume;
use rayon::prelude::*;

impl StoredVolume {
    /// How many slices are blank.
    pub fn blank_slices(&self) -> usize {
        let slices = (0..self.geometry.size[0]).into_par_iter();
        slices.filter(|z| self.is_blank(*z)).count()
    }

    /// A slice is blank that holds one value alone, or nothing above that of padding.
    fn is_blank(&self, z: usize) -> bool {
        let [_, ny, nx] = self.geometry.size;
        let samples = &self.samples[z * ny * nx..(z + 1) * ny * nx];
        let is_one_value = samples.iter().all(|sample| *sample == samples[0]);
        let is_padding = |i| self.rescaled([z, i / nx, i % nx]) <= self.padding_value;
        is_one_value || (0..ny * nx).all(is_padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Geometry, PADDING_HU, Rescale, SlicePositions};
    use glam::DVec3;

    /// Slices of two pixels each.
    fn stack(slices: &[[i16; 2]]) -> StoredVolume {
        let n = slices.len();
        StoredVolume {
            geometry: Geometry::axis_aligned([n, 1, 2], [2.5, 1.0, 1.0], DVec3::ZERO),
            slices: SlicePositions::even(),
            samples: slices
                .concat()
                .into_iter()
                .map(i16::cast_unsigned)
                .collect(),
            signed: true,
            rescale: vec![
                Rescale {
                    slope: 1.0,
                    intercept: 0.0
                };
                n
            ],
            padding: Some((-3000, -2000)),
            padding_value: PADDING_HU,
        }
    }

    #[test]
    fn one_value_alone_and_padding_beside_air_show_nothing() {
        let one_value = [7, 7];
        let padding = [-2000, -1024];
        let tissue = [40, -1024];
        let stored = stack(&[one_value, tissue, padding, tissue, padding, one_value]);
        assert_eq!(stored.blank_slices(), 4);
    }
}
