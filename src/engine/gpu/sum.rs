//! The sum of a residual block's branches, activated.

use super::conv::{Input, Memory};
use super::{QUAD, narrow};
use crate::gpu::{Access, Dispatch, Error, Extent, Gpu, Kernel, Storage, Variant, params};

params! {
    /// Mirrors `Params` in `shaders/sum.wgsl`.
    struct Params {
        voxels: u32,
        quads: u32,
        norm_a: u32,
        norm_b: u32,
        slope_a: f32,
        slope_b: f32,
        slope: f32,
        _pad0: u32,
    }
}

/// `shaders/sum.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "sum",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/sum.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
};

/// Of two branches of `voxels` voxels; `slope` is the sum's own below zero.
///
/// # Errors
/// As [`Dispatch::new`].
pub(super) fn dispatch(
    gpu: &Gpu,
    storage: Storage,
    ([a, b], voxels): ([Input<'_>; 2], usize),
    slope: f32,
    memory: Memory<'_>,
) -> Result<Dispatch, Error> {
    let quad_bytes = (QUAD * storage.bytes()) as u64;
    let count = usize::try_from(memory.output.size_bytes() / quad_bytes).unwrap_or(usize::MAX);
    let params = Params {
        voxels: narrow(voxels),
        quads: narrow(count / voxels),
        norm_a: narrow(a.norm),
        norm_b: narrow(b.norm),
        slope_a: a.slope,
        slope_b: b.slope,
        slope,
        _pad0: 0,
    };
    let variant = Variant {
        storage,
        constants: Vec::new(),
    };
    let buffers = [a.quads, b.quads, memory.norms, memory.output];
    Dispatch::new(
        gpu,
        (&KERNEL, &variant),
        &params,
        &buffers,
        Extent::Linear(count),
    )
}
