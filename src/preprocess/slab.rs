//! Cutting volumes into runs of slices that each fit one GPU binding.

use super::Error;
use crate::gpu::{self, Buffer, Gpu};
use std::ops::Range;

/// Some consecutive slices of a grid, in HU, on the GPU.
#[derive(Debug)]
pub struct Slab {
    /// Which slices.
    pub slices: Range<usize>,
    /// Their voxels, `[z, y, x]`.
    pub hu: Buffer<f32>,
}

/// Some consecutive source slices, with those that interpolation at their borders needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSlices {
    /// Samples whose base slice (the one at or below) lies here are computed from this slab, and from no other.
    pub owned: Range<usize>,
    /// What must be on the GPU for that.
    pub loaded: Range<usize>,
}

/// Neighbours that cubic interpolation reads below and above the base slice.
const HALO_BELOW: usize = 1;
const HALO_ABOVE: usize = 2;

/// Bounds the GPU memory of the source, where a single binding could take all of it.
const SOURCE_SLAB_BYTES: u64 = 256 << 20;

/// Buffers for all slices of a grid, each within the binding limit.
///
/// # Errors
/// [`Error::Gpu`]: one slice exceeds the limit, or out of memory.
pub fn allocate(gpu: &Gpu, size: [usize; 3]) -> Result<Vec<Slab>, Error> {
    let capacity = slices_within(gpu.binding_limit_bytes(), size, gpu)?;
    let starts = (0..size[0]).step_by(capacity);
    starts
        .map(|start| {
            let slices = start..(start + capacity).min(size[0]);
            let hu = gpu.output("HU on a grid", slices.len() * size[1] * size[2])?;
            Ok(Slab { slices, hu })
        })
        .collect()
}

/// One buffer for all slices of a grid.
///
/// # Errors
/// [`Error::Gpu`]: the grid exceeds the limit, or out of memory.
pub fn whole(gpu: &Gpu, size: [usize; 3]) -> Result<Slab, Error> {
    let hu = gpu.output("HU on a grid", size.iter().product())?;
    Ok(Slab {
        slices: 0..size[0],
        hu,
    })
}

/// The source in slabs whose `f32` copies fit one binding.
///
/// # Errors
/// [`Error::Gpu`]: a slice with its neighbours exceeds the limit.
pub fn source_slabs(gpu: &Gpu, size: [usize; 3]) -> Result<Vec<SourceSlices>, Error> {
    let limit_bytes = gpu.binding_limit_bytes().min(SOURCE_SLAB_BYTES);
    let capacity = slices_within(limit_bytes, size, gpu)?;
    if capacity >= size[0] {
        let all = 0..size[0];
        return Ok(vec![SourceSlices {
            owned: all.clone(),
            loaded: all,
        }]);
    }
    let halo = HALO_BELOW + HALO_ABOVE;
    if capacity <= halo {
        return Err(too_large(halo + 1, size, limit_bytes).into());
    }
    let starts = (0..size[0]).step_by(capacity - halo);
    let slabs = starts.map(|start| {
        let owned = start..(start + capacity - halo).min(size[0]);
        let loaded = start.saturating_sub(HALO_BELOW)..(owned.end + HALO_ABOVE).min(size[0]);
        SourceSlices { owned, loaded }
    });
    Ok(slabs.collect())
}

fn slices_within(limit_bytes: u64, size: [usize; 3], gpu: &Gpu) -> Result<usize, Error> {
    let capacity = limit_bytes / slice_bytes(size).max(1);
    let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
    if capacity == 0 {
        return Err(too_large(1, size, gpu.binding_limit_bytes()).into());
    }
    Ok(capacity)
}

fn slice_bytes([_, rows, columns]: [usize; 3]) -> u64 {
    (rows * columns * size_of::<f32>()) as u64
}

fn too_large(slices: usize, size: [usize; 3], limit_bytes: u64) -> gpu::Error {
    gpu::Error::BufferTooLarge {
        what: format!("{slices} slice(s) of {} × {} voxels", size[1], size[2]),
        bytes: slices as u64 * slice_bytes(size),
        limit_bytes,
    }
}
