//! Divides sums of weighted probabilities by their weights.

use crate::gpu::{self, Access, Buffer, Extent, Kernel, Pass, params};

params! {
    /// Mirrors `Params` in `shaders/divide.wgsl`.
    struct Params {
        voxels: u32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

/// `shaders/divide.wgsl`
pub(crate) static KERNEL: Kernel = Kernel {
    label: "divide",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/divide.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Records turning `sums` into mean probabilities.
///
/// # Errors
/// [`gpu::Error`] when a buffer does not fit the device.
pub(crate) fn record(
    pass: &mut Pass<'_>,
    sums: &Buffer<f32>,
    weights: &Buffer<f32>,
) -> Result<(), gpu::Error> {
    let params = Params {
        // A binding holds fewer values than 32 bits number.
        voxels: u32::try_from(sums.len()).unwrap_or(u32::MAX),
        _pad0: 0,
        _pad1: 0,
        _pad2: 0,
    };
    let buffers = [weights.binding(), sums.binding()];
    pass.dispatch(&KERNEL, &params, &buffers, Extent::Linear(sums.len()))
}

/// The definition: mean probability of each voxel, 0 where no patch lay. The shader's division may differ in the last bits.
pub(crate) fn reference(sums: &mut [f32], weights: &[f32]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = if *weight > 0.0 { *sum / weight } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_without_a_patch_have_probability_zero() {
        let mut sums = [0.5, 0.0];
        reference(&mut sums, &[2.0, 0.0]);
        assert_eq!(sums.map(f32::to_bits), [0.25f32, 0.0].map(f32::to_bits));
    }
}
