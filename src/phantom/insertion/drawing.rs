//! A lesion on the scan's grid: how much of each voxel it fills, and how that looks through the scanner.

use super::super::params::Kernel;
use super::chest::{Chest, Tissue};
use super::outline::Outline;
use super::taps::{REACH_SIGMA, Taps, reduce};
use crate::volume::Geometry;
use glam::DVec3;
use rayon::prelude::*;

/// Full width at half maximum of a Gaussian, in standard deviations.
const FWHM_SIGMA: f64 = 2.354_820_045;
/// A voxel of the truth is filled at least this much.
const TRUTH_PART: f32 = 0.5;

/// How a point looks in the scan: a Gaussian along each axis of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointSpread {
    /// Standard deviation within a slice, mm.
    pub in_plane_sigma_mm: f64,
    /// Full width at half maximum across slices, mm.
    pub slice_fwhm_mm: f64,
}

impl PointSpread {
    /// That of a kernel and a Slice Thickness (0018,0050).
    ///
    /// A Gaussian of standard deviation s passes half of the contrast at 0.187 / s line pairs a mm: 0.4 with the soft
    /// kernel, 0.75 with the sharp one. Across slices the nominal thickness is the profile's width at half its height.
    pub fn of(kernel: Kernel, slice_thickness_mm: f64) -> Self {
        let in_plane_sigma_mm = match kernel {
            Kernel::Soft => 0.47,
            Kernel::Lung => 0.25,
        };
        Self {
            in_plane_sigma_mm,
            slice_fwhm_mm: slice_thickness_mm,
        }
    }

    /// Standard deviation along z, y, x, mm.
    fn sigma_mm(&self) -> [f64; 3] {
        let in_plane_mm = self.in_plane_sigma_mm;
        [self.slice_fwhm_mm / FWHM_SIGMA, in_plane_mm, in_plane_mm]
    }

    /// Beyond this from a lesion nothing changes, along z, y, x, mm.
    pub(super) fn reach_mm(&self) -> [f64; 3] {
        self.sigma_mm().map(|sigma_mm| REACH_SIGMA * sigma_mm)
    }
}

/// A box of voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// First voxel, `[z, y, x]`.
    pub(super) first: [usize; 3],
    pub(super) size: [usize; 3],
}

impl Window {
    /// The voxels of the grid within `half_mm` (z, y, x) of a position; nothing where that is off the grid.
    pub(super) fn around(geometry: &Geometry, centre_lps_mm: DVec3, half_mm: [f64; 3]) -> Self {
        let to_index = geometry.lps_to_index();
        let [x, y, z] = to_index.transform_point3(centre_lps_mm).to_array();
        let m = to_index.matrix3;
        // Of a sheared grid, each axis reaches as far as its row of the inverse affine says.
        let rows = [m.row(2), m.row(1), m.row(0)].map(DVec3::length);
        let (mut first, mut size) = ([0; 3], [0; 3]);
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            let reach = rows[axis] * half_mm[axis];
            let last = geometry.size[axis] as f64 - 1.0;
            let (low, high) = ((at - reach).floor().max(0.0), (at + reach).ceil().min(last));
            first[axis] = low as usize;
            size[axis] = (high - low + 1.0).max(0.0) as usize;
        }
        Self { first, size }
    }

    /// Linear index, on the scan's grid, of every voxel in order.
    pub(super) fn voxels(&self, geometry: &Geometry) -> impl Iterator<Item = usize> + use<> {
        let (geometry, Self { first, size }) = (*geometry, *self);
        (0..size.iter().product()).map(move |i: usize| {
            let [_, ny, nx] = size;
            let z = first[0] + i / nx / ny;
            geometry.linear([z, first[1] + i / nx % ny, first[2] + i % nx])
        })
    }
}

/// A lesion's parts of the voxels of a window.
#[derive(Debug, Clone)]
pub(super) struct Drawing {
    pub(super) window: Window,
    /// The part of each voxel that the lesion fills within the lungs.
    filled: Vec<f32>,
    /// The same through the scanner.
    pub(super) blurred: Vec<f32>,
    /// The solid core through the scanner; empty where there is none.
    pub(super) core: Vec<f32>,
}

impl Drawing {
    /// `core_volume_share` is the core's part of a part-solid lesion.
    pub(super) fn new(
        chest: &Chest,
        outline: &Outline,
        core_volume_share: Option<f64>,
        centre_lps_mm: DVec3,
        spread: PointSpread,
    ) -> Self {
        let half_mm = spread.reach_mm().map(|mm| outline.most_mm() + mm);
        let window = Window::around(&chest.geometry, centre_lps_mm, half_mm);
        let spacing_mm = chest.geometry.spacing_mm();
        let step_mm = (outline.most_mm() / 12.0).clamp(0.25, 0.6);
        let steps = spacing_mm.map(|mm| (mm / step_mm).ceil().max(1.0) as usize);
        let axes = [0, 1, 2];
        let blur = axes.map(|k| {
            Taps::gaussian(
                window.size[k],
                steps[k],
                spacing_mm[k],
                spread.sigma_mm()[k],
            )
        });
        let fine = sampled(chest, &window, steps, outline, centre_lps_mm);
        let core = core_volume_share.map(|share| {
            let core = outline.scaled(share.cbrt());
            reduce(&sampled(chest, &window, steps, &core, centre_lps_mm), &blur)
        });
        Self {
            window,
            filled: reduce(&fine, &axes.map(|k| Taps::mean(window.size[k], steps[k]))),
            blurred: reduce(&fine, &blur),
            core: core.unwrap_or_default(),
        }
    }

    /// Linear indices of the truth's voxels: those of which at least half is filled, or else the one filled most.
    pub(super) fn mask(&self, chest: &Chest) -> Vec<usize> {
        let voxels = || self.window.voxels(&chest.geometry).zip(&self.filled);
        let mask: Vec<usize> = voxels()
            .filter(|(_, part)| **part >= TRUTH_PART)
            .map(|(i, _)| i)
            .collect();
        if !mask.is_empty() {
            return mask;
        }
        let most = voxels()
            .filter(|(_, part)| **part > 0.0)
            .max_by(|a, b| a.1.total_cmp(b.1));
        most.map(|(i, _)| i).into_iter().collect()
    }
}

/// 1 at the fine points that the form holds within the lungs, `steps` along each axis of a voxel.
fn sampled(
    chest: &Chest,
    window: &Window,
    steps: [usize; 3],
    outline: &Outline,
    centre_lps_mm: DVec3,
) -> Vec<f32> {
    let [_, ny, nx] = [0, 1, 2].map(|k| window.size[k] * steps[k]);
    let mut fine = vec![0.0; window.size[0] * steps[0] * ny * nx];
    let rows = fine.par_chunks_mut(nx.max(1)).enumerate();
    rows.for_each(|(row, fine)| {
        let (z, y) = (row / ny, row % ny);
        let index = |k: usize, at: usize| {
            window.first[k] as f64 + (at as f64 + 0.5) / steps[k] as f64 - 0.5
        };
        let voxel = |k: usize, at: usize| window.first[k] + at / steps[k];
        for (x, value) in fine.iter_mut().enumerate() {
            let p = chest
                .geometry
                .to_lps_mm(DVec3::new(index(2, x), index(1, y), index(0, z)));
            if outline.holds(p - centre_lps_mm, 0.0) {
                let linear = chest
                    .geometry
                    .linear([voxel(0, z), voxel(1, y), voxel(2, x)]);
                *value = f32::from(u8::from(chest.of(linear) != Tissue::Outside));
            }
        }
    });
    fine
}
