//! SUVpeak: the highest mean in a ball of exactly 1 cm³ whose centre lies in the lesion.
//!
//! Voxels are boxes of one value, weighted by what the ball holds of them, also those outside of the lesion. Centres are
//! tried on a lattice finer than the voxels, and from the best of them uphill to a hundredth of a millimetre.
//!
//! Source: Wahl 2009 (PERCIST), Lodge 2012; neither says where centres may lie or how voxels at the border count.

use super::ball::{Boxes, Centre};
use crate::lesion::LesionMask;
use crate::volume::StoredVolume;
use glam::DVec3;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The variant that [`SuvPeak`] is, for reports.
pub const SUV_PEAK_VARIANT: &str = "sphere-1-cm3-centre-in-lesion-partial-voxels";

/// Radius of a ball of 1 cm³: the cube root of 3 / 4π cm.
const RADIUS_MM: f64 = 6.203_504_908_994_001;
/// Centres of the lattice lie at most so far apart along each axis where voxels are larger, mm.
const LATTICE_MM: f64 = 2.0;
/// Lattice centres from which the search goes uphill.
const STARTS: usize = 4;
/// Starts lie at least so far apart, mm.
const APART_MM: f64 = 3.0;
/// First and last step of the search, mm.
const STEPS_MM: [f64; 2] = [1.0, 0.01];

/// SUVpeak and where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuvPeak {
    /// Mean SUV in the ball, g/ml.
    pub suv: f64,
    /// Centre of the ball.
    pub centre_lps_mm: DVec3,
}

/// SUVpeak of a lesion on a PET in SUV; `None` where no ball with its centre in the lesion lies wholly in the image.
///
/// `hottest` is the voxel of SUVmax.
pub(super) fn suv_peak(
    mask: &LesionMask,
    suv: &StoredVolume,
    hottest: [usize; 3],
) -> Option<SuvPeak> {
    let boxes = Boxes::new(&suv.geometry, &suv.slices);
    let search = Search { mask, suv, boxes };
    let mut slices: BTreeMap<usize, Vec<[usize; 3]>> = BTreeMap::new();
    for voxel in mask.voxels() {
        slices.entry(voxel[0]).or_default().push(voxel);
    }
    let slices: Vec<Vec<[usize; 3]>> = slices.into_values().collect();
    // The best of each slice, in the order of the slices: the same for any number of threads.
    let best = slices
        .par_iter()
        .map(|voxels| search.slice(voxels, hottest));
    let mut best: Vec<Found> = best.collect::<Vec<_>>().into_iter().flatten().collect();
    best.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    let mut starts: Vec<Found> = Vec::new();
    for found in best {
        let near = |start: &Found| {
            search
                .lps_mm(start.centre)
                .distance(search.lps_mm(found.centre))
                < APART_MM
        };
        if starts.len() < STARTS && !starts.iter().any(near) {
            starts.push(found);
        }
    }
    let peaks = starts.into_iter().map(|start| search.uphill(start));
    let peak = peaks.reduce(|best, next| if next.mean > best.mean { next } else { best })?;
    Some(SuvPeak {
        suv: peak.mean,
        centre_lps_mm: search.lps_mm(peak.centre),
    })
}

/// A centre and the mean in the ball about it.
#[derive(Clone, Copy)]
struct Found {
    centre: Centre,
    mean: f64,
}

struct Search<'a> {
    mask: &'a LesionMask,
    suv: &'a StoredVolume,
    boxes: Boxes<'a>,
}

impl Search<'_> {
    /// The best centre of the lattice in the voxels of one slice; of equals, the first.
    fn slice(&self, voxels: &[[usize; 3]], hottest: [usize; 3]) -> Option<Found> {
        let slice = voxels.first()?[0];
        let size_mm = self.boxes.voxel_mm(slice);
        let stride = size_mm.map(stride);
        let on_lattice = |voxel: &&[usize; 3]| {
            **voxel == hottest || voxel.iter().zip(stride).all(|(at, n)| at % n == 0)
        };
        let voxels: Vec<[usize; 3]> = voxels.iter().filter(on_lattice).copied().collect();
        let [below, above] = self.boxes.borders(slice);
        let mut best: Option<Found> = None;
        for [along, row, column] in places(size_mm) {
            let centre = Centre {
                voxel: [slice, 0, 0],
                off: [column, row],
                position: f64::midpoint(below, above) + along * (above - below),
            };
            let Some(ball) = self.boxes.ball(centre, RADIUS_MM) else {
                continue;
            };
            for voxel in &voxels {
                let mean = ball.mean(self.suv, [voxel[1], voxel[2]]);
                if let Some(mean) = mean.filter(|mean| best.is_none_or(|b| *mean > b.mean)) {
                    let centre = Centre {
                        voxel: *voxel,
                        ..centre
                    };
                    best = Some(Found { centre, mean });
                }
            }
        }
        best
    }

    /// The top of the hill, by steps along the axes that are halved where none leads up.
    fn uphill(&self, start: Found) -> Found {
        let [mut step_mm, last_mm] = STEPS_MM;
        let mut at = start;
        while step_mm >= last_mm {
            let axes = [DVec3::X, DVec3::Y, DVec3::Z].into_iter();
            let moves = axes.flat_map(|axis| [axis * step_mm, -axis * step_mm]);
            let higher = moves.filter_map(|by_mm| self.at(self.boxes.moved(at.centre, by_mm)?));
            let best = higher.reduce(|best, next| if next.mean > best.mean { next } else { best });
            match best.filter(|best| best.mean > at.mean) {
                Some(best) => at = best,
                None => step_mm /= 2.0,
            }
        }
        at
    }

    /// The mean about a centre in the lesion.
    fn at(&self, centre: Centre) -> Option<Found> {
        let [_, y, x] = centre.voxel;
        if !self.mask.holds(centre.voxel) {
            return None;
        }
        let ball = self.boxes.ball(centre, RADIUS_MM)?;
        let mean = ball.mean(self.suv, [y, x])?;
        Some(Found { centre, mean })
    }

    fn lps_mm(&self, centre: Centre) -> DVec3 {
        let [_, y, x] = centre.voxel;
        let [off_x, off_y] = centre.off;
        let index = DVec3::new(x as f64 + off_x, y as f64 + off_y, centre.position);
        self.suv.geometry.to_lps_mm(index)
    }
}

/// Every how many voxels of a size a centre lies, where they are finer than the lattice.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a float that is too large saturates"
)]
fn stride(size_mm: f64) -> usize {
    (LATTICE_MM / size_mm).floor().max(1.0) as usize
}

/// Where in a voxel the centres lie, along z, y, x, from -0.5 to 0.5.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive sizes of millimetres"
)]
fn places(size_mm: [f64; 3]) -> impl Iterator<Item = [f64; 3]> {
    let [nz, ny, nx] = size_mm.map(|size| (size / LATTICE_MM).ceil().max(1.0) as usize);
    let part = |i: usize, count: usize| (i as f64 + 0.5) / count as f64 - 0.5;
    (0..nz * ny * nx).map(move |i| {
        [
            part(i / (ny * nx), nz),
            part(i / nx % ny, ny),
            part(i % nx, nx),
        ]
    })
}

#[cfg(test)]
mod tests;
