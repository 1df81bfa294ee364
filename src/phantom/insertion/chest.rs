//! What each voxel of the scan is: lung, a vessel in it, or outside.

use super::super::lesion::{sphere_directions, turn};
use crate::volume::{Geometry, StoredVolume, Volume};
use glam::DVec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Lung is below; vessels within it, and the wall around it, are not, HU.
const SOFT_TISSUE_HU: f32 = -300.0;
/// The masks' border is true within this, mm.
const BORDER_MM: f32 = 2.0;
/// Least volume of what counts as a vessel, mm³: 1 cm of one of 2 mm.
const MIN_VESSEL_MM3: f64 = 30.0;

/// What a voxel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tissue {
    /// Not in the lungs.
    Outside,
    /// Parenchyma, air, and dense specks too small for a vessel.
    Lung,
    /// Soft tissue surrounded by lung.
    Vessel,
}

/// The tissue of every voxel.
pub(super) struct Chest {
    pub(super) geometry: Geometry,
    tissue: Vec<Tissue>,
    vessels: Vec<usize>,
}

impl Chest {
    /// `depth_mm` is positive inside the lungs with their vessels, on a coarser grid.
    pub(super) fn new(stored: &StoredVolume, depth_mm: &Volume<f32>) -> Self {
        let geometry = stored.geometry;
        let [_, ny, nx] = geometry.size;
        let to_depth = depth_mm.geometry.lps_to_index() * geometry.index_to_lps;
        let mut tissue = vec![Tissue::Outside; geometry.voxel_count()];
        let rows = tissue.par_chunks_mut(nx.max(1)).enumerate();
        rows.for_each(|(row, tissue)| {
            let (z, y) = (row / ny, row % ny);
            for (x, tissue) in tissue.iter_mut().enumerate() {
                let index = DVec3::new(x as f64, y as f64, z as f64);
                let depth_mm = trilinear(depth_mm, to_depth.transform_point3(index));
                if depth_mm > -BORDER_MM {
                    *tissue = tissue_of(stored.rescaled([z, y, x]), depth_mm);
                }
            }
        });
        let mut chest = Self {
            geometry,
            tissue,
            vessels: Vec::new(),
        };
        chest.drop_specks();
        let all = chest.tissue.iter().enumerate();
        chest.vessels = all
            .filter(|(_, t)| **t == Tissue::Vessel)
            .map(|(i, _)| i)
            .collect();
        chest
    }

    /// Soft tissue of less than [`MIN_VESSEL_MM3`] becomes lung.
    fn drop_specks(&mut self) {
        let least = MIN_VESSEL_MM3 / self.geometry.voxel_volume_mm3();
        let mut seen = vec![false; self.tissue.len()];
        for start in 0..self.tissue.len() {
            if self.tissue[start] != Tissue::Vessel || seen[start] {
                continue;
            }
            seen[start] = true;
            let mut component = vec![start];
            let mut next = 0;
            while let Some(&voxel) = component.get(next) {
                next += 1;
                for neighbour in self.around(voxel) {
                    if self.tissue[neighbour] == Tissue::Vessel && !seen[neighbour] {
                        seen[neighbour] = true;
                        component.push(neighbour);
                    }
                }
            }
            if (component.len() as f64) < least {
                component
                    .iter()
                    .for_each(|&voxel| self.tissue[voxel] = Tissue::Lung);
            }
        }
    }

    /// The voxel and those that share a face, an edge or a corner with it.
    fn around(&self, linear: usize) -> impl Iterator<Item = usize> + use<> {
        let geometry = self.geometry;
        let index = place(&geometry, linear);
        let side = move |axis: usize| {
            let last = geometry.size[axis] - 1;
            index[axis].saturating_sub(1)..=(index[axis] + 1).min(last)
        };
        side(0).flat_map(move |z| {
            side(1).flat_map(move |y| side(2).map(move |x| geometry.linear([z, y, x])))
        })
    }

    /// Whether the voxel or one that shares a face with it is of the tissue; what lies beyond the grid is outside.
    pub(super) fn adjoins(&self, linear: usize, tissue: Tissue) -> bool {
        let index = place(&self.geometry, linear);
        let faces = (0..3).flat_map(|axis| {
            [index[axis].checked_sub(1), Some(index[axis] + 1)].map(|at| {
                let mut neighbour = index;
                neighbour[axis] = at?;
                (neighbour[axis] < self.geometry.size[axis])
                    .then(|| self.geometry.linear(neighbour))
            })
        });
        self.tissue[linear] == tissue
            || faces
                .map(|face| face.map_or(Tissue::Outside, |i| self.tissue[i]))
                .any(|found| found == tissue)
    }

    /// The tissue of a voxel by its linear index.
    pub(super) fn of(&self, linear: usize) -> Tissue {
        self.tissue[linear]
    }

    /// The tissue at a patient position.
    pub(super) fn at(&self, p_lps_mm: DVec3) -> Tissue {
        let index = self
            .geometry
            .lps_to_index()
            .transform_point3(p_lps_mm)
            .round();
        let [nz, ny, nx] = self.geometry.size.map(|n| n as f64 - 1.0);
        let inside = index.cmpge(DVec3::ZERO).all() && index.cmple(DVec3::new(nx, ny, nz)).all();
        if !inside {
            return Tissue::Outside;
        }
        let [x, y, z] = index.to_array().map(|i| i as usize);
        self.tissue[self.geometry.linear([z, y, x])]
    }

    /// A random place of the lungs; none where a hundred throws miss them.
    pub(super) fn lung_point(&self, rng: &mut ChaCha8Rng) -> Option<DVec3> {
        (0..100).find_map(|_| {
            let part = self
                .geometry
                .size
                .map(|n| rng.random_range(-0.5..n as f64 - 0.5));
            let p = self
                .geometry
                .to_lps_mm(DVec3::new(part[2], part[1], part[0]));
            (self.at(p) == Tissue::Lung).then_some(p)
        })
    }

    /// A random place where the lungs end, and the direction into them.
    pub(super) fn border_point(&self, rng: &mut ChaCha8Rng) -> Option<(DVec3, DVec3)> {
        const STEP_MM: f64 = 0.5;
        const STEPS: u32 = 400;
        let start = self.lung_point(rng)?;
        let ray = turn(rng).x_axis;
        let end = (1..STEPS)
            .map(|i| start + ray * STEP_MM * f64::from(i))
            .find(|p| self.at(*p) == Tissue::Outside)?;
        let border = end - ray * STEP_MM;
        let inwards = self.inwards(border)?;
        Some((border, inwards))
    }

    /// The direction in which most of the lung lies within some millimetres.
    fn inwards(&self, p: DVec3) -> Option<DVec3> {
        let offsets = [3.0, 6.0, 9.0]
            .into_iter()
            .flat_map(|mm| sphere_directions(120).map(move |u| u * mm));
        let sum: DVec3 = offsets.filter(|q| self.at(p + *q) != Tissue::Outside).sum();
        sum.try_normalize()
    }

    /// A random place in a vessel.
    pub(super) fn vessel_point(&self, rng: &mut ChaCha8Rng) -> Option<DVec3> {
        let voxel = *self
            .vessels
            .get(rng.random_range(0..self.vessels.len().max(1)))?;
        Some(centre(&self.geometry, voxel))
    }
}

fn tissue_of(hu: f32, depth_mm: f32) -> Tissue {
    if hu < SOFT_TISSUE_HU {
        Tissue::Lung
    } else if depth_mm > BORDER_MM {
        Tissue::Vessel
    } else {
        Tissue::Outside
    }
}

/// `[z, y, x]` of a linear index.
pub(super) fn place(geometry: &Geometry, linear: usize) -> [usize; 3] {
    let [_, ny, nx] = geometry.size;
    [linear / nx / ny, linear / nx % ny, linear % nx]
}

/// Patient position of a voxel's centre.
pub(super) fn centre(geometry: &Geometry, linear: usize) -> DVec3 {
    let [z, y, x] = place(geometry, linear);
    geometry.to_lps_mm(DVec3::new(x as f64, y as f64, z as f64))
}

/// Trilinear between voxel centres; the outermost voxels go on outside.
fn trilinear(volume: &Volume<f32>, index: DVec3) -> f32 {
    let [nz, ny, nx] = volume.geometry.size.map(|n| n as f64 - 1.0);
    let index = index.clamp(DVec3::ZERO, DVec3::new(nx, ny, nz));
    let (low, t) = (index.floor(), index.fract());
    let mut sum = 0.0;
    for corner in 0..8_u32 {
        let bit = DVec3::from_array([1, 2, 4].map(|b| f64::from(u8::from(corner & b != 0))));
        let weight = bit * t + (1.0 - bit) * (1.0 - t);
        let weight = weight.element_product() as f32;
        if weight > 0.0 {
            let [x, y, z] = (low + bit).to_array().map(|i| i as usize);
            sum += weight * volume.at([z, y, x]);
        }
    }
    sum
}
