//! The SUV of a PET on its own slices: as stored, and smoothed against noise.

use super::blur::{sigma, smoothed};
use crate::volume::StoredVolume;
use glam::DVec3;
use rayon::prelude::*;

/// A PET's values and where they lie.
#[derive(Debug)]
pub(super) struct Field<'a> {
    stored: &'a StoredVolume,
    /// SUV, `[z, y, x]`; what is below 0 or no number counts as 0.
    pub suv: Vec<f32>,
    /// The same, smoothed to find peaks.
    pub smooth: Vec<f32>,
    /// The same, smoothed less, to find saddles between peaks.
    pub fine: Vec<f32>,
}

impl<'a> Field<'a> {
    /// The two widths are those of `smooth` and of `fine`, full width at half maximum, mm.
    pub(super) fn new(stored: &'a StoredVolume, [peak_mm, saddle_mm]: [f64; 2]) -> Self {
        let [_, ny, nx] = stored.geometry.size;
        let value = |i: usize| {
            let suv = stored.rescaled([i / (ny * nx), i / nx % ny, i % nx]);
            if suv.is_finite() { suv.max(0.0) } else { 0.0 }
        };
        let count = stored.geometry.voxel_count();
        let suv: Vec<f32> = (0..count).into_par_iter().map(value).collect();
        let smooth = |fwhm_mm: f64| {
            let sigma = sigma(&stored.geometry, fwhm_mm);
            smoothed(suv.clone(), stored.geometry.size, sigma)
        };
        Self {
            stored,
            smooth: smooth(peak_mm),
            fine: smooth(saddle_mm),
            suv,
        }
    }

    pub(super) fn stored(&self) -> &StoredVolume {
        self.stored
    }

    pub(super) fn size(&self) -> [usize; 3] {
        self.stored.geometry.size
    }

    pub(super) fn voxel(&self, index: usize) -> [usize; 3] {
        let [_, ny, nx] = self.size();
        [index / (ny * nx), index / nx % ny, index % nx]
    }

    /// Where a voxel's centre lies; slices lie where they were acquired.
    pub(super) fn position_lps_mm(&self, index: usize) -> DVec3 {
        let [z, y, x] = self.voxel(index);
        let at = DVec3::new(x as f64, y as f64, self.stored.slices.position(z));
        self.stored.geometry.to_lps_mm(at)
    }

    /// What a voxel stands for, half-way to both neighbouring slices.
    pub(super) fn voxel_ml(&self, index: usize) -> f64 {
        let extent = self.stored.slices.extent(self.voxel(index)[0]);
        extent * self.stored.geometry.voxel_volume_mm3() / 1000.0
    }

    /// Voxels of the box around a sphere.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the grid"
    )]
    pub(super) fn around(
        &self,
        centre_lps_mm: DVec3,
        radius_mm: f64,
    ) -> impl Iterator<Item = usize> {
        let to_index = self.stored.geometry.lps_to_index();
        let centre = to_index.transform_point3(centre_lps_mm);
        let size = self.size();
        let axes = to_index.matrix3.transpose();
        let span = |axis: usize| {
            // How far the index moves within the sphere is the length of a row of the inverse.
            let reach = radius_mm * axes.col(2 - axis).length();
            let ends = [centre[2 - axis] - reach, centre[2 - axis] + reach];
            let [low, high] = match axis {
                0 => ends.map(|position| self.stored.slices.slice_at(position)),
                _ => ends,
            };
            let last = size[axis] as f64;
            low.floor().clamp(0.0, last) as usize..(high.ceil() + 1.0).clamp(0.0, last) as usize
        };
        let [_, ny, nx] = size;
        let (zs, ys, xs) = (span(0), span(1), span(2));
        zs.flat_map(move |z| {
            let xs = xs.clone();
            ys.clone()
                .flat_map(move |y| xs.clone().map(move |x| (z * ny + y) * nx + x))
        })
    }

    /// Smoothed SUV at an index `[x, y, z]` of the even grid, by the eight voxels around it; 0 outside.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "indices are within the grid"
    )]
    pub(super) fn at_index(&self, index_xyz: DVec3) -> f32 {
        let at = [
            self.stored.slices.slice_at(index_xyz.z),
            index_xyz.y,
            index_xyz.x,
        ];
        let size = self.size();
        let within = |axis: usize| (-0.5..size[axis] as f64 - 0.5).contains(&at[axis]);
        if !(0..3).all(within) {
            return 0.0;
        }
        let at: [f64; 3] = std::array::from_fn(|k| at[k].clamp(0.0, (size[k] - 1) as f64));
        let low = at.map(|v| v as usize);
        let mut sum = 0.0;
        for corner in 0..8 {
            let mut weight = 1.0;
            let mut voxel = low;
            for axis in 0..3 {
                let part = at[axis] - low[axis] as f64;
                let upper = corner >> axis & 1 == 1;
                weight *= if upper { part } else { 1.0 - part };
                voxel[axis] = (low[axis] + usize::from(upper)).min(size[axis] - 1);
            }
            sum += weight * f64::from(self.smooth[self.stored.geometry.linear(voxel)]);
        }
        sum as f32
    }
}
