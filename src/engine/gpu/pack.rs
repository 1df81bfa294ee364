//! Brings a patch's channels into quads, as the layers take them.

use super::{narrow, quads, voxels};
use crate::gpu::{Access, Binding, Dispatch, Error, Extent, Gpu, Kernel, Storage, Variant, params};

params! {
    /// Mirrors `Params` in `shaders/pack.wgsl`.
    struct Params {
        voxels: u32,
        channels: u32,
        _pad0: u32,
        _pad1: u32,
    }
}

/// `shaders/pack.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "pack",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/pack.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// From `[channels, z, y, x]` as `f32` to quads.
///
/// # Errors
/// [`Error`] when a buffer does not fit the device.
pub(super) fn dispatch(
    gpu: &Gpu,
    storage: Storage,
    (channels, size): (usize, [usize; 3]),
    [plain, packed]: [Binding<'_>; 2],
) -> Result<Dispatch, Error> {
    let params = Params {
        voxels: narrow(voxels(size)),
        channels: narrow(channels),
        _pad0: 0,
        _pad1: 0,
    };
    let variant = Variant {
        storage,
        constants: Vec::new(),
    };
    let extent = Extent::Linear(quads(channels) * voxels(size));
    Dispatch::new(gpu, (&KERNEL, &variant), &params, &[plain, packed], extent)
}
