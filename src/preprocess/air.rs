//! Which voxels are air: in goes smoothed HU, out comes a mask. Padding beyond the scanner's field of view is no air,
//! and neither is the false air that smoothing makes where padding meets the body.

use rayon::prelude::*;

/// Lung, airways, gas and room air lie below, tissue above, HU.
pub const AIR_BELOW_HU: f32 = -400.0;

/// Padding keeps [`crate::volume::PADDING_HU`] exactly where smoothing reached nothing else; measured air is noisy, HU.
pub const PADDING_BELOW_HU: f32 = -1023.0;

/// 1 where a voxel holds nothing but padding. The definition; the shader must agree to the bit.
pub fn padding(hu: &[f32]) -> Vec<u8> {
    hu.par_iter()
        .map(|&v| u8::from(v < PADDING_BELOW_HU))
        .collect()
}

/// 1 where a voxel is air and its squared distance from padding, in squared voxels, is above `reach_squared`.
/// The definition; the shader must agree to the bit.
pub fn reference(hu: &[f32], padding_distance: &[u16], reach_squared: u16) -> Vec<u8> {
    hu.par_iter()
        .zip(padding_distance)
        .map(|(&v, &distance)| u8::from(v < AIR_BELOW_HU && distance > reach_squared))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_next_to_padding_is_not_counted() {
        let hu = [-1024.0, -1000.0, -1000.0, -399.0, -401.0];
        assert_eq!(padding(&hu), [1, 0, 0, 0, 0]);
        assert_eq!(reference(&hu, &[0, 1, 2, 2, 2], 1), [0, 0, 1, 0, 1]);
    }
}
