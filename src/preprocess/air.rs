//! Which voxels are air: in go smoothed HU and the distance from padding, out comes a mask. Padding is no air, and
//! neither is the false air that smoothing makes where padding meets the body.

use rayon::prelude::*;

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};

/// Lung, airways, gas and room air lie below, tissue above, HU.
const BELOW_HU: f32 = -400.0;

params! {
    /// Mirrors `Params` in `shaders/air.wgsl`.
    struct Params {
        grid: Grid,
        below_hu: f32,
        reach_squared: u32,
        _pad0: u32,
        _pad1: u32,
    }
}

/// `shaders/air.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "air",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/air.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::ReadWrite],
};

/// Records the kernel: 1 or 0, one word a voxel. `hu` is `[z, y, x]` of `size`.
///
/// # Errors
/// [`Error::Gpu`].
pub fn record(
    pass: &mut Pass<'_>,
    hu: &Buffer<f32>,
    padding_distance: &Buffer<u32>,
    reach_squared: u16,
    size: [usize; 3],
) -> Result<Buffer<u32>, Error> {
    let params = Params {
        grid: Grid::new(size)?,
        below_hu: BELOW_HU,
        reach_squared: u32::from(reach_squared),
        _pad0: 0,
        _pad1: 0,
    };
    let output = pass.gpu().output("air", hu.len())?;
    let buffers = [hu.binding(), padding_distance.binding(), output.binding()];
    pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(size))?;
    Ok(output)
}

/// The definition; the shader must agree to the bit.
///
/// `padding_distance` is squared, in squared voxels; air lies farther than `reach_squared` from padding.
pub fn reference(hu: &[f32], padding_distance: &[u16], reach_squared: u16) -> Vec<u8> {
    hu.par_iter()
        .zip(padding_distance)
        .map(|(&v, &distance)| u8::from(v < BELOW_HU && distance > reach_squared))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_next_to_padding_is_not_counted() {
        let hu = [-1024.0, -1000.0, -1000.0, -399.0, -401.0];
        assert_eq!(reference(&hu, &[0, 1, 2, 2, 2], 1), [0, 0, 1, 0, 1]);
    }
}
