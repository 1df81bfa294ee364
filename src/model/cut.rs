//! Cuts patches from normalised channels, some axes mirrored, with zeros beyond the grid.
//!
//! In: channels in host memory or in slabs on the GPU. Out: a patch `[channel, z, y, x]`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "grid sizes are below 2^31, and indices are clamped before they are cast"
)]

use crate::gpu::{self, Access, Binding, Buffer, Extent, Gpu, Grid, Kernel, Pass, params};
use std::ops::Range;

/// Normalised channels on a network's grid.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    /// `[channel, z, y, x]`
    pub values: &'a [f32],
    /// Voxels along z, y, x.
    pub size: [usize; 3],
}

/// Where a patch lies on its grid, and along which axes `[z, y, x]` it is mirrored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    /// First voxel on the grid, `[z, y, x]`; the patch may hang over.
    pub(super) origin: [i64; 3],
    /// Voxels along z, y, x.
    pub(super) size: [usize; 3],
    /// Whether each axis is reversed.
    pub(super) mirrored: [bool; 3],
}

params! {
    /// Mirrors `Params` in `shaders/cut.wgsl`.
    struct Params {
        patch_grid: Grid,
        slab_grid: Grid,
        start: [i32; 3],
        channels: u32,
        mirrored: [u32; 3],
        first_plane: i32,
        planes: i32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

/// `shaders/cut.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "cut",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/cut.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Channels on the GPU, in slabs of planes that each fit one binding.
#[derive(Debug)]
pub(super) struct Slabs {
    size: [usize; 3],
    channels: usize,
    slabs: Vec<(Range<usize>, Buffer<f32>)>,
}

impl Slabs {
    /// Brings the channels to the GPU.
    ///
    /// # Errors
    /// [`gpu::Error`] where there is too little memory, or one plane exceeds a binding.
    pub(super) fn upload(gpu: &Gpu, input: Channels<'_>) -> Result<Self, gpu::Error> {
        let [planes, rows, columns] = input.size;
        let (plane, grid) = (rows * columns, planes * rows * columns);
        let channels = input.values.len() / grid;
        let slabs = slabs(gpu, channels, input.size).map(|range| {
            let own = range.start * plane..range.end * plane;
            let of_slab: Vec<f32> = input
                .values
                .chunks_exact(grid)
                .flat_map(|channel| &channel[own.clone()])
                .copied()
                .collect();
            Ok((range, gpu.upload("normalised channels", &of_slab)?))
        });
        Ok(Self {
            size: input.size,
            channels,
            slabs: slabs.collect::<Result<_, gpu::Error>>()?,
        })
    }

    /// Records cutting a patch into `output`.
    ///
    /// # Errors
    /// As [`Pass::dispatch`].
    pub(super) fn record(
        &self,
        pass: &mut Pass<'_>,
        patch: Patch,
        output: Binding<'_>,
    ) -> Result<(), gpu::Error> {
        let [z, y, x] = patch.origin;
        for (range, values) in &self.slabs {
            let params = Params {
                patch_grid: Grid::new(patch.size)?,
                slab_grid: Grid::new([range.len(), self.size[1], self.size[2]])?,
                start: [x, y, z - range.start as i64].map(|i| i as i32),
                channels: self.channels as u32,
                mirrored: reversed(patch.mirrored),
                first_plane: range.start as i32,
                planes: self.size[0] as i32,
                _pad0: 0,
                _pad1: 0,
                _pad2: 0,
            };
            let buffers = [values.binding(), output];
            pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(patch.size))?;
        }
        Ok(())
    }
}

/// Planes of each slab of `values` values a voxel.
pub(super) fn slabs(
    gpu: &Gpu,
    values: usize,
    [planes, rows, columns]: [usize; 3],
) -> impl Iterator<Item = Range<usize>> {
    let plane_bytes = (values * rows * columns * size_of::<f32>()) as u64;
    let fitting = gpu.binding_limit_bytes() / plane_bytes.max(1);
    // A plane that does not fit is refused by the allocation.
    let capacity = usize::try_from(fitting).unwrap_or(planes).max(1);
    let starts = (0..planes).step_by(capacity);
    starts.map(move |start| start..(start + capacity).min(planes))
}

/// Flags along x, y, z for a shader.
pub(super) fn reversed([z, y, x]: [bool; 3]) -> [u32; 3] {
    [x, y, z].map(u32::from)
}

/// Voxels of a patch that lie on the grid, along one axis.
pub(super) fn on_grid(origin: i64, patch: usize, size: usize) -> Range<usize> {
    (-origin).max(0) as usize..(size as i64 - origin).clamp(0, patch as i64) as usize
}

/// The definition: a patch `[channel, z, y, x]`.
pub(super) fn reference(input: Channels<'_>, patch: Patch) -> Vec<f32> {
    let cut = unmirrored(input, patch.origin, patch.size);
    mirror(&cut, patch.size, patch.mirrored)
}

fn unmirrored(input: Channels<'_>, origin: [i64; 3], patch: [usize; 3]) -> Vec<f32> {
    let (voxels, grid) = (patch.iter().product(), input.size.iter().product());
    let [range_z, range_y, range_x] =
        [0, 1, 2].map(|i| on_grid(origin[i], patch[i], input.size[i]));
    let mut values = vec![0.0; input.values.len() / grid * voxels];
    for (patch_values, channel) in values
        .chunks_exact_mut(voxels)
        .zip(input.values.chunks_exact(grid))
    {
        for z in range_z.clone() {
            for y in range_y.clone() {
                let to = (z * patch[1] + y) * patch[2] + range_x.start;
                let [z, y, x] = [
                    z as i64 + origin[0],
                    y as i64 + origin[1],
                    range_x.start as i64 + origin[2],
                ];
                let from = (z as usize * input.size[1] + y as usize) * input.size[2] + x as usize;
                patch_values[to..to + range_x.len()]
                    .copy_from_slice(&channel[from..from + range_x.len()]);
            }
        }
    }
    values
}

/// Each channel of a patch with some axes reversed.
pub(super) fn mirror(values: &[f32], [nz, ny, nx]: [usize; 3], [z, y, x]: [bool; 3]) -> Vec<f32> {
    let at = |reversed: bool, count: usize, i: usize| if reversed { count - 1 - i } else { i };
    let mut mirrored = Vec::with_capacity(values.len());
    for channel in values.chunks_exact(nz * ny * nx) {
        for row in 0..nz * ny {
            let (iz, iy) = (at(z, nz, row / ny), at(y, ny, row % ny));
            let row = &channel[(iz * ny + iy) * nx..][..nx];
            if x {
                mirrored.extend(row.iter().rev());
            } else {
                mirrored.extend_from_slice(row);
            }
        }
    }
    mirrored
}

/// Every combination of the axes, none first: whether each axis is mirrored.
pub(super) fn mirrorings(axes: &[usize]) -> Vec<[bool; 3]> {
    let combination = |bits: usize| {
        [0, 1, 2].map(|axis| {
            let position = axes.iter().position(|own| *own == axis);
            position.is_some_and(|position| bits >> position & 1 == 1)
        })
    };
    (0..1 << axes.len()).map(combination).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_mirrored_twice_is_itself() {
        let values: Vec<f32> = (0..2 * 24).map(|i| i as f32).collect();
        for bits in 0..8 {
            let axes = [1, 2, 4].map(|bit| bits & bit != 0);
            let once = mirror(&values, [2, 3, 4], axes);
            assert_eq!(once == values, bits == 0);
            assert_eq!(mirror(&once, [2, 3, 4], axes), values);
        }
        let rows = [false, true, false];
        assert_eq!(
            mirror(&[1.0, 2.0, 3.0, 4.0], [1, 2, 2], rows),
            [3.0, 4.0, 1.0, 2.0]
        );
    }

    #[test]
    fn a_patch_larger_than_the_grid_sees_zeros_around_it() {
        let input = Channels {
            values: &[1.0, 2.0, 3.0],
            size: [1, 1, 3],
        };
        let patch = Patch {
            origin: [0, 0, -1],
            size: [2, 1, 6],
            mirrored: [false; 3],
        };
        let expected = [0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(reference(input, patch), expected);
        let mirrored = Patch {
            mirrored: [true, false, true],
            ..patch
        };
        let mut reversed = expected;
        reversed.reverse();
        assert_eq!(reference(input, mirrored), reversed);
    }

    #[test]
    fn mirrorings_are_all_combinations_of_the_axes() {
        assert_eq!(mirrorings(&[]), [[false; 3]]);
        let found = mirrorings(&[0, 2]);
        let expected = [[false, false], [true, false], [false, true], [true, true]];
        assert_eq!(found, expected.map(|[z, x]| [z, false, x]));
    }
}
