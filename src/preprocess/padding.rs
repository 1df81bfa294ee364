//! Which voxels are padding, beyond the scanner's field of view: in goes smoothed HU, out comes a mask.

use rayon::prelude::*;

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};

/// Padding keeps [`crate::volume::PADDING_HU`] where smoothing reached nothing else; measured air is noisy, HU.
const BELOW_HU: f32 = -1023.0;

params! {
    /// Mirrors `Params` in `shaders/padding.wgsl`.
    struct Params {
        grid: Grid,
        below_hu: f32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

/// `shaders/padding.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "padding",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/padding.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Records the kernel: 1 or 0, one word a voxel. `hu` is `[z, y, x]` of `size`.
///
/// # Errors
/// [`Error::Gpu`].
pub fn record(
    pass: &mut Pass<'_>,
    hu: &Buffer<f32>,
    size: [usize; 3],
) -> Result<Buffer<u32>, Error> {
    let params = Params {
        grid: Grid::new(size)?,
        below_hu: BELOW_HU,
        _pad0: 0,
        _pad1: 0,
        _pad2: 0,
    };
    let output = pass.gpu().output("padding", hu.len())?;
    let buffers = [hu.binding(), output.binding()];
    pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(size))?;
    Ok(output)
}

/// The definition; the shader must agree to the bit.
pub fn reference(hu: &[f32]) -> Vec<u8> {
    hu.par_iter().map(|&v| u8::from(v < BELOW_HU)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_all_padding_counts() {
        assert_eq!(reference(&[-1024.0, -1023.0, -1000.0, 0.0]), [1, 0, 0, 0]);
    }
}
