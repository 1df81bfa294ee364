//! Where on a source grid each voxel of a target grid lies.
//!
//! Beyond half a voxel of the coarser grid outside the source lies background; up to there its edge voxels are repeated.

#![expect(
    clippy::cast_possible_truncation,
    reason = "kernels compute positions in f32"
)]

use super::Interpolation;
use super::taps::Taps;
use crate::volume::{Geometry, PADDING_HU, StoredVolume};

/// For rounding, voxels.
const SLACK_VOXELS: f32 = 0.001;

/// Which source position each target voxel reads, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Rows of the affine from target index (x, y, z, 1) to source index x, y, z.
    pub(super) to_source: [[f32; 4]; 3],
    pub(super) source_size: [usize; 3],
    /// How far beyond the centres of its outer voxels the source is read, along x, y, z, source voxels.
    pub(super) reach: [f32; 3],
    /// Where the source slices lie along z; empty where slice `z` lies at `z`.
    pub(super) slices: Vec<f32>,
    pub(super) target_size: [usize; 3],
    pub(super) interpolation: Interpolation,
    /// The background.
    pub(super) outside: f32,
}

impl Mapping {
    /// From one grid to another in the same patient coordinates, with the air of a CT as background.
    pub fn new(source: &Geometry, target: &Geometry, interpolation: Interpolation) -> Self {
        let affine = source.lps_to_index() * target.index_to_lps;
        // Drops the rounding noise of the inverse, so that equal grids are copied bit for bit.
        let snap = |v: f64| ((v * SNAP).round() / SNAP) as f32;
        let row = |r: usize| {
            let m = affine.matrix3;
            [m.x_axis[r], m.y_axis[r], m.z_axis[r], affine.translation[r]].map(snap)
        };
        let to_source = [row(0), row(1), row(2)];
        Self {
            to_source,
            source_size: source.size,
            reach: to_source.map(reach),
            slices: Vec::new(),
            target_size: target.size,
            interpolation,
            outside: PADDING_HU,
        }
    }

    /// From the slices of a stack, which may be uneven, to a grid.
    ///
    /// Between uneven slices values are linear along z, whatever the interpolation: the weights of Catmull-Rom hold for
    /// even ones only. The background is what padding counts as.
    pub fn of_stack(
        stored: &StoredVolume,
        target: &Geometry,
        interpolation: Interpolation,
    ) -> Self {
        let positions = stored.slices.as_slice().iter();
        Self {
            slices: positions.map(|p| *p as f32).collect(),
            outside: stored.padding_value,
            ..Self::new(&stored.geometry, target, interpolation)
        }
    }

    /// The same with the outer voxels of the source repeated without end, so that there is no background.
    pub(super) fn endless(&self) -> Self {
        Self {
            reach: [f32::MAX; 3],
            ..self.clone()
        }
    }

    /// The fractional slice number at a z index of the source grid.
    fn slice_at(&self, z: f32) -> f32 {
        if self.slices.is_empty() {
            return z;
        }
        let above = self.slices.partition_point(|p| *p <= z);
        let below = above.clamp(1, self.slices.len() - 1) - 1;
        let gap = self.slices[below + 1] - self.slices[below];
        below as f32 + (z - self.slices[below]) / gap
    }

    /// What is read along z for a fractional slice number.
    pub(super) fn slice_taps<const N: usize>(&self, slice: f32) -> Taps<N> {
        let taps = Taps::at(slice, self.source_size[0]);
        if self.slices.is_empty() {
            return taps;
        }
        taps.linear(slice)
    }

    /// Source position x, y, z of a target voxel; none in the background.
    pub(super) fn position(&self, [z, y, x]: [usize; 3]) -> Option<[f32; 3]> {
        let p = [x as f32, y as f32, z as f32];
        let [nz, ny, nx] = self.source_size;
        let [reach_x, reach_y, reach_z] = self.reach;
        let [x, y, z] = self
            .to_source
            .map(|row| row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3]);
        Some([
            inside(x, nx, reach_x)?,
            inside(y, ny, reach_y)?,
            inside(self.slice_at(z), nz, reach_z)?,
        ])
    }

    /// Source position along z, y and x of each target slice, row and column, where the axes of both grids are parallel.
    pub(super) fn aligned(&self) -> Option<[Vec<Option<f32>>; 3]> {
        let [x, y, z] = self.to_source;
        if [x[1], x[2], y[0], y[2], z[0], z[1]]
            .iter()
            .any(|v| *v != 0.0)
        {
            return None;
        }
        let along = |axis: usize, scale: f32, offset: f32| {
            let (n, reach) = (self.source_size[axis], self.reach[2 - axis]);
            (0..self.target_size[axis])
                .map(|i| scale * i as f32 + offset)
                .map(|at| inside(if axis == 0 { self.slice_at(at) } else { at }, n, reach))
                .collect()
        };
        Some([
            along(0, z[2], z[3]),
            along(1, y[1], y[3]),
            along(2, x[0], x[3]),
        ])
    }
}

/// A voxel of either grid reaches half its size beyond its centre: a target's may be larger than a source's. Of a `row` of the
/// affine.
fn reach([x, y, z, _]: [f32; 4]) -> f32 {
    let step = x.abs().max(y.abs()).max(z.abs());
    0.5 * step.max(1.0) + SLACK_VOXELS
}

/// A position along an axis of `n` voxels, clamped to their centres; none in the background.
fn inside(position: f32, n: usize, reach: f32) -> Option<f32> {
    let last = (n - 1) as f32;
    let outside = position < -reach || position > last + reach;
    (!outside).then(|| position.clamp(0.0, last))
}

/// Finer than an `f32` source index can tell.
const SNAP: f64 = (1_u64 << 30) as f64;
