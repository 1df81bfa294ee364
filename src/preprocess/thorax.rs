//! The steps from components to masks that run on the host on every device: in go components and distances; out come
//! the decisions which air is lung, where the body is, and where a lesion may hide.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "radii of some mm fit 16 bits"
)]

use std::ops::RangeInclusive;

use super::distance::{self, Search};
use super::label;
use super::lungs::Lungs;
use super::midline::Midline;
use crate::volume::{Geometry, Mask};

/// Room air is below, lung above, HU.
const ROOM_AIR_BELOW_HU: f32 = -950.0;
/// Surface of a ball of volume 1: what touches the border with more is a sheet, not a lung.
const SURFACE_OF_BALL: f64 = 4.836;
/// Smoothing carries padding this far into the body, mm.
const PADDING_REACH_MM: f64 = 6.0;
/// Smaller components of air are bowel gas, folds and noise, ml.
const MIN_COMPONENT_ML: f64 = 20.0;
/// As above, as a share of the largest component that may be lung.
const MIN_COMPONENT_SHARE: f64 = 0.05;
/// What lungs, whole or cut, can hold, ml.
const PLAUSIBLE_LUNGS_ML: RangeInclusive<f64> = 100.0..=12_000.0;
/// More than a bowel holds but in ileus; of less, gas is told from lung by its attenuation, ml.
const MOST_BOWEL_GAS_ML: f64 = 1_000.0;
/// Added around the lungs: the pleura, and what padding hid, mm.
const MARGIN_MM: f64 = 6.0;
/// Vessels, hila, pleural and consolidated lesions up to twice as wide are closed, mm.
const CLOSING_MM: f64 = 20.0;
/// With less air than this share of the other side, a lung is taken for consolidated and searched where the other's
/// mirror image lies.
const MIN_SIDE_SHARE: f64 = 0.6;

/// Radii in voxels, on a grid.
pub(super) struct Radii {
    size: [usize; 3],
    pub(super) padding: u16,
    margin: u16,
    pub(super) closing: u16,
}

impl Radii {
    pub(super) fn on(grid: &Geometry) -> Self {
        Self {
            size: grid.size,
            padding: voxels(PADDING_REACH_MM, grid),
            margin: voxels(MARGIN_MM, grid),
            closing: voxels(CLOSING_MM, grid),
        }
    }

    /// Distance from padding, so far that air at the border of the field of view is told from air within.
    pub(super) fn border(&self) -> Search {
        Search {
            seeds: 1..=1,
            size: self.size,
            radius_voxels: self.padding + 1,
        }
    }

    /// Distance from the lungs. Dilating by margin and closing at once, then eroding by closing alone, is the closing
    /// of the lungs with their margin.
    pub(super) fn dilation(&self) -> Search {
        Search {
            seeds: 1..=1,
            size: self.size,
            radius_voxels: self.margin + self.closing,
        }
    }

    /// Distance from what lies outside the dilated lungs.
    pub(super) fn erosion(&self) -> Search {
        Search {
            seeds: distance::beyond(self.margin + self.closing)..=u16::MAX,
            size: self.size,
            radius_voxels: self.closing,
        }
    }
}

/// A radius in voxels of an isotropic grid.
pub(super) fn voxels(mm: f64, grid: &Geometry) -> u16 {
    let radius = (mm / grid.spacing_mm()[2]).round() as u16;
    radius.min(distance::MAX_RADIUS_VOXELS / 2)
}

/// The components of air, sorted into lungs and outside.
pub(super) struct Parts {
    /// 1 where lung.
    pub(super) lung: Vec<u8>,
    /// 1 where neither outside air nor padding.
    pub(super) inside: Vec<u8>,
}

/// What is known of one component of air.
#[derive(Default, Clone)]
struct Part {
    voxels: usize,
    room_air: usize,
    at_border: usize,
}

impl Part {
    /// Room air and what lies in it, as the table's foam, reaches the border of the field of view. So may lungs in a
    /// tight one, but they are denser than room air and compact.
    fn is_outside(&self) -> bool {
        let ball = SURFACE_OF_BALL * (self.voxels as f64).powf(2.0 / 3.0);
        self.at_border > 0 && (self.is_room_air() || self.at_border as f64 > ball)
    }

    fn is_room_air(&self) -> bool {
        self.room_air * 2 > self.voxels
    }
}

impl Parts {
    /// Of the components of all air, as [`label::reference`] gives them.
    pub(super) fn of(hu: &[f32], padding: &[u16], mut labels: Vec<u32>, grid: &Geometry) -> Self {
        label::number(&mut labels);
        Self::sorted(hu, padding, &labels, grid, |part| !part.is_outside())
    }

    /// Of numbered components that narrow ways may have joined. A pocket of the room, as between arm and trunk, then is one too.
    pub(super) fn opened(hu: &[f32], padding: &[u16], labels: &[u32], grid: &Geometry) -> Self {
        Self::sorted(hu, padding, labels, grid, |part| {
            !part.is_outside() && !part.is_room_air()
        })
    }

    fn sorted(
        hu: &[f32],
        padding: &[u16],
        labels: &[u32],
        grid: &Geometry,
        may_be_lung: impl Fn(&Part) -> bool,
    ) -> Self {
        let count = labels.iter().max().map_or(0, |n| *n as usize);
        let radii = Radii::on(grid);
        let parts = measure(hu, padding, labels, count, grid, (radii.padding + 1).pow(2));
        let largest = parts.iter().filter(|p| may_be_lung(p)).map(|p| p.voxels);
        let largest_ml = ml(largest.max().unwrap_or(0), grid);
        let min_ml = MIN_COMPONENT_ML.max(MIN_COMPONENT_SHARE * largest_ml);
        let outside: Vec<bool> = parts.iter().map(Part::is_outside).collect();
        let lung: Vec<bool> = parts
            .iter()
            .map(|p| may_be_lung(p) && ml(p.voxels, grid) >= min_ml)
            .collect();
        let reach_squared = radii.padding.pow(2);
        let of_part = |table: &[bool], label: u32| label > 0 && table[label as usize - 1];
        Self {
            lung: labels
                .iter()
                .map(|&l| u8::from(of_part(&lung, l)))
                .collect(),
            inside: labels
                .iter()
                .zip(padding)
                .map(|(&l, &d)| u8::from(d > reach_squared && !of_part(&outside, l)))
                .collect(),
        }
    }
}

fn measure(
    hu: &[f32],
    padding: &[u16],
    labels: &[u32],
    count: usize,
    grid: &Geometry,
    border_squared: u16,
) -> Vec<Part> {
    let [_, ny, nx] = grid.size;
    let mut parts = vec![Part::default(); count];
    for (row, labels) in labels.chunks_exact(nx.max(1)).enumerate() {
        let row_at_face = row % ny == 0 || row % ny + 1 == ny;
        for (x, &label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
            let i = row * nx + x;
            let part = &mut parts[label as usize - 1];
            part.voxels += 1;
            part.room_air += usize::from(hu[i] < ROOM_AIR_BELOW_HU);
            let at_face = row_at_face || x == 0 || x + 1 == nx;
            part.at_border += usize::from(at_face || padding[i] <= border_squared);
        }
    }
    parts
}

fn ml(voxels: usize, grid: &Geometry) -> f64 {
    voxels as f64 * grid.voxel_volume_mm3() / 1000.0
}

/// What is known once body and lungs are told apart, and the steps that need no kernel.
pub(super) struct Chest<'a> {
    hu: &'a [f32],
    grid: &'a Geometry,
    body: Vec<u8>,
    pub(super) lung: Vec<u8>,
    /// Mean x of the body, as a voxel index.
    centre_x: usize,
}

impl<'a> Chest<'a> {
    pub(super) fn new(hu: &'a [f32], grid: &'a Geometry, body: Vec<u8>, lung: Vec<u8>) -> Self {
        let nx = grid.size[2];
        let inside = || body.iter().enumerate().filter(|(_, inside)| **inside == 1);
        let sum: usize = inside().map(|(i, _)| i % nx).sum();
        let centre_x = sum.checked_div(inside().count()).unwrap_or(nx / 2);
        Self {
            hu,
            grid,
            body,
            lung,
            centre_x,
        }
    }

    /// Lungs hold enough; and gas alone, as in a bowel, is no lung, unless there is so much that it may be emphysema.
    pub(super) fn plausible(&self) -> bool {
        let lung = || self.lung.iter().zip(self.hu).filter(|(v, _)| **v == 1);
        let voxels = lung().count();
        let gas = lung().filter(|(_, hu)| **hu < ROOM_AIR_BELOW_HU).count();
        let lung_ml = ml(voxels, self.grid);
        PLAUSIBLE_LUNGS_ML.contains(&lung_ml) && (lung_ml > MOST_BOWEL_GAS_ML || gas * 2 <= voxels)
    }

    /// The closed lungs, with the mirror image of a lung whose fellow is consolidated.
    pub(super) fn search(&self, closed: &[u16], closing: u16) -> Vec<u8> {
        let search: Vec<u8> = closed
            .iter()
            .map(|&d| u8::from(d > closing.pow(2)))
            .collect();
        let nx = self.grid.size[2];
        let aerated = self.lung.iter().enumerate().filter(|(_, v)| **v == 1);
        let (right, left): (Vec<_>, Vec<_>) = aerated.partition(|(i, _)| i % nx < self.centre_x);
        let (smaller, larger) = (right.len().min(left.len()), right.len().max(left.len()));
        if smaller as f64 >= MIN_SIDE_SHARE * larger as f64 {
            return search;
        }
        let mirrored = |i: usize| {
            let x = (2 * self.centre_x).checked_sub(i % nx).filter(|&x| x < nx);
            x.map_or(0, |x| search[i / nx * nx + x])
        };
        (0..search.len()).map(|i| search[i] | mirrored(i)).collect()
    }

    /// Adds to `search` what it encloses; `rest` are the components of its complement.
    pub(super) fn finish(self, search: &[u8], mut rest: Vec<u32>) -> Lungs {
        let count = label::number(&mut rest) as usize;
        let [nz, ny, nx] = self.grid.size;
        let mut open = vec![false; count + 1];
        for (row, labels) in rest.chunks_exact(nx).enumerate() {
            let (z, y) = (row / ny, row % ny);
            if z == 0 || z + 1 == nz || y == 0 || y + 1 == ny {
                labels.iter().for_each(|&l| open[l as usize] = true);
            }
            open[labels[0] as usize] = true;
            open[labels[nx - 1] as usize] = true;
        }
        let closed = search.iter().zip(&rest);
        let search = closed
            .map(|(&s, &l)| s | u8::from(!open[l as usize]))
            .collect();
        let midline = Midline::reference(self.hu, self.grid, self.centre_x);
        self.into_lungs(search, true, midline)
    }

    pub(super) fn without_lungs(mut self) -> Lungs {
        self.lung.fill(0);
        let everywhere = vec![1; self.lung.len()];
        self.into_lungs(everywhere, false, Midline::unknown())
    }

    fn into_lungs(self, search: Vec<u8>, found: bool, midline: Midline) -> Lungs {
        let mask = |voxels| Mask {
            geometry: *self.grid,
            voxels,
        };
        Lungs {
            body: mask(self.body),
            lung: mask(self.lung),
            search: mask(search),
            found,
            midline,
        }
    }
}

/// Mask of the largest component, the first of several.
pub(super) fn largest(mut labels: Vec<u32>) -> Vec<u8> {
    let count = label::number(&mut labels) as usize;
    let mut voxels = vec![0_usize; count + 1];
    for &label in &labels {
        voxels[label as usize] += 1;
    }
    let first_largest = (1..=count).rev().max_by_key(|&label| voxels[label]);
    labels
        .iter()
        .map(|&l| u8::from(Some(l as usize) == first_largest))
        .collect()
}

pub(super) fn inverse(mask: &[u8]) -> Vec<u8> {
    mask.iter().map(|&v| 1 - v).collect()
}
