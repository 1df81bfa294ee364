//! Cuts a patch from HU on the model's grid, clips it to the model's window and scales it.

use super::slab::Slab;
use super::{Error, Normalization};
use crate::gpu::{Access, Binding, Extent, Grid, Kernel, Pass, params};
use crate::volume::{Geometry, PADDING_HU};
use rayon::prelude::*;
use std::ops::Range;

params! {
    /// Mirrors `Params` in `shaders/normalize.wgsl`.
    struct Params {
        patch_grid: Grid,
        source_grid: Grid,
        origin: [i32; 3],
        slab_first: u32,
        slab_end: u32,
        lower_hu: f32,
        upper_hu: f32,
        subtract_hu: f32,
        divide_hu: f32,
        outside_hu: f32,
        repeats_edge: u32,
        _pad0: u32,
    }
}

/// `shaders/normalize.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "normalize",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/shared/sample.wgsl"),
        include_str!("../../shaders/normalize.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Where a patch lies on the model's grid, `[z, y, x]`; it may hang over the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Grid index of its first voxel.
    pub origin: [i64; 3],
    /// Voxels.
    pub size: [usize; 3],
    /// What it reads beyond the border.
    pub outside: Outside,
}

/// What a patch reads beyond the border of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// `PADDING_HU`, as air.
    Padding,
    /// The nearest voxel of the grid.
    Nearest,
}

impl Patch {
    /// Origin as x, y, z; first and last index of each axis must fit 32 bits.
    fn shader_origin(self) -> Result<[i32; 3], Error> {
        let mut origin = [0; 3];
        for (axis, to) in origin.iter_mut().rev().enumerate() {
            let first = i32::try_from(self.origin[axis]);
            let last = self.origin[axis].checked_add_unsigned(self.size[axis] as u64);
            match (first, last.map(i32::try_from)) {
                (Ok(first), Some(Ok(_))) => *to = first,
                _ => return Err(Error::PatchOutOfRange { patch: self }),
            }
        }
        Ok(origin)
    }
}

/// Records filling `output`, `[z, y, x]`, with the normalised patch; `slabs` are all of the grid's.
///
/// # Errors
/// [`Error::PatchOutOfRange`]; [`Error::Gpu`] when a buffer exceeds the device's limits.
pub fn record(
    pass: &mut Pass<'_>,
    (slabs, size): (&[Slab], [usize; 3]),
    patch: Patch,
    normalization: &Normalization,
    output: Binding<'_>,
) -> Result<(), Error> {
    let origin = patch.shader_origin()?;
    for slab in slabs.iter().filter(|slab| owns(slab, patch, size)) {
        // Slice numbers are below the voxel counts that Grid::new proved to fit 32 bits.
        let slice = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let params = Params {
            patch_grid: Grid::new(patch.size)?,
            source_grid: Grid::new(size)?,
            origin,
            slab_first: slice(slab.slices.start),
            slab_end: slice(slab.slices.end),
            lower_hu: normalization.lower_hu,
            upper_hu: normalization.upper_hu,
            subtract_hu: normalization.subtract_hu,
            divide_hu: normalization.divide_hu,
            outside_hu: PADDING_HU,
            repeats_edge: u32::from(patch.outside == Outside::Nearest),
            _pad0: 0,
        };
        let extent = Extent::Voxels(patch.size);
        pass.dispatch(&KERNEL, &params, &[slab.hu.binding(), output], extent)?;
    }
    Ok(())
}

/// Whether some patch voxel's nearest slice of the grid lies in the slab.
fn owns(slab: &Slab, patch: Patch, size: [usize; 3]) -> bool {
    let clamp = |z: i64| usize::try_from(z).unwrap_or(0).min(size[0] - 1);
    let first = clamp(patch.origin[0]);
    let last = clamp(patch.origin[0] + patch.size[0] as i64 - 1);
    slab.slices.start <= last && first < slab.slices.end
}

/// A line of a patch is too little work to hand to a thread.
const LINES_OF_A_TASK: usize = 512;

/// The definition. The shader's division may differ in the last bits.
pub fn reference(
    hu: &[f32],
    geometry: &Geometry,
    patch: Patch,
    normalization: &Normalization,
) -> Vec<f32> {
    match patch.outside {
        Outside::Padding => padded(hu, geometry, patch, normalization),
        Outside::Nearest => repeated(hu, geometry, patch, normalization),
    }
}

/// Voxel by voxel: for the few patches of a classifier.
fn repeated(
    hu: &[f32],
    geometry: &Geometry,
    patch: Patch,
    normalization: &Normalization,
) -> Vec<f32> {
    let [planes, rows, columns] = [0, 1, 2].map(|axis| {
        let last = geometry.size[axis].saturating_sub(1);
        let nearest = move |i: usize| {
            let wanted = patch.origin[axis].saturating_add_unsigned(i as u64);
            usize::try_from(wanted).unwrap_or(0).min(last)
        };
        (0..patch.size[axis]).map(nearest).collect::<Vec<_>>()
    });
    let mut output = Vec::with_capacity(patch.size.iter().product());
    for &z in &planes {
        for &y in &rows {
            let row = geometry.linear([z, y, 0]);
            output.extend(columns.iter().map(|x| normalization.apply(hu[row + x])));
        }
    }
    output
}

/// Line by line, on all cores.
fn padded(
    hu: &[f32],
    geometry: &Geometry,
    Patch { origin, size, .. }: Patch,
    normalization: &Normalization,
) -> Vec<f32> {
    let outside = normalization.apply(PADDING_HU);
    let [slices, rows, columns] = [0, 1, 2].map(|k| inside(origin[k], size[k], geometry.size[k]));
    // Zeros of the system: each page is first touched where it is filled.
    let mut output = vec![0.0; size.iter().product()];
    let lines = output.par_chunks_mut(size[2].max(1)).enumerate();
    let lines = lines.with_min_len(LINES_OF_A_TASK);
    lines.for_each(|(line, output)| {
        let [z, y] = [line / size[1], line % size[1]];
        if !slices.patch.contains(&z) || !rows.patch.contains(&y) {
            return output.fill(outside);
        }
        output[..columns.patch.start].fill(outside);
        output[columns.patch.end..].fill(outside);
        let first = geometry.linear([slices.grid_index(z), rows.grid_index(y), columns.first]);
        let source = &hu[first..][..columns.patch.len()];
        let columns = output[columns.patch.clone()].iter_mut();
        columns
            .zip(source)
            .for_each(|(output, hu)| *output = normalization.apply(*hu));
    });
    output
}

/// The part of a patch that is on the grid, along one axis.
struct Inside {
    /// Indices in the patch.
    patch: Range<usize>,
    /// The grid's index of the first of them.
    first: usize,
}

impl Inside {
    fn grid_index(&self, i: usize) -> usize {
        self.first + i - self.patch.start
    }
}

/// Of a patch of `size` at the grid's index `origin`; empty where they do not meet.
fn inside(origin: i64, size: usize, grid_size: usize) -> Inside {
    let first = usize::try_from(origin).unwrap_or(0);
    let start = usize::try_from(origin.saturating_neg()).unwrap_or(0);
    let count = grid_size
        .saturating_sub(first)
        .min(size.saturating_sub(start));
    match count {
        0 => Inside {
            patch: 0..0,
            first: 0,
        },
        _ => Inside {
            patch: start..start + count,
            first,
        },
    }
}

impl Normalization {
    fn apply(&self, hu: f32) -> f32 {
        // Two comparisons, of which vector units have one each; HU are never NaN.
        let raised = if hu < self.lower_hu {
            self.lower_hu
        } else {
            hu
        };
        let clipped = if raised > self.upper_hu {
            self.upper_hu
        } else {
            raised
        };
        (clipped - self.subtract_hu) / self.divide_hu
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DVec3;

    #[test]
    fn a_patch_beyond_a_corner_repeats_the_nearest_voxels_as_numpy_does() {
        let grid = Geometry::axis_aligned([2, 3, 4], [1.0; 3], DVec3::ZERO);
        let hu: Vec<f32> = (0u8..24).map(f32::from).collect();
        let as_they_are = Normalization {
            lower_hu: -1000.0,
            upper_hu: 1000.0,
            subtract_hu: 0.0,
            divide_hu: 1.0,
        };
        let patch = Patch {
            origin: [-1, 1, 2],
            size: [2, 4, 3],
            outside: Outside::Nearest,
        };
        let found = reference(&hu, &grid, patch, &as_they_are);
        // v = arange(24).reshape(2, 3, 4); v[ix_(clip([-1, 0], 0, 1), clip([1, 2, 3, 4], 0, 2), clip([2, 3, 4], 0, 3))]
        let plane = [6., 7., 7., 10., 11., 11., 10., 11., 11., 10., 11., 11.];
        assert_eq!(found, [plane, plane].concat());
        let far = Patch {
            origin: [-90, 90, i64::MAX],
            size: [1, 1, 2],
            ..patch
        };
        assert_eq!(reference(&hu, &grid, far, &as_they_are), [11.0, 11.0]);
    }
}
