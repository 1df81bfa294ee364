//! The PET scanner: true uptake on a grid of half its voxels, blurred, averaged into voxels, with noise.
//!
//! Attenuation and scatter are taken as corrected for perfectly; the point spread is a Gaussian, the same everywhere.

use super::super::anatomy::{Chest, is_table};
use super::super::noise::ScannerNoise;
use super::super::params::Kernel;
use super::super::scan::{Subject, noise_free_hu};
use super::super::{Dose, Params};
use super::defect::PetDefect;
use super::params::PetParams;
use super::tracer::Uptake;
use super::uptake::{Part, of_tissue};
use crate::volume::{Geometry, Volume};
use glam::{DAffine3, DVec3};
use rayon::prelude::*;

/// Fine cells a voxel along each axis.
pub(super) const FINE: usize = 2;
/// Full width at half maximum of a Gaussian by its standard deviation.
const FWHM: f64 = 2.354_82;
/// Grain of the noise, voxels.
const GRAIN: f64 = 0.7;
/// So that the noise of the PET is none of the CT's.
const NOISE_SEED: u64 = 0x5045_5421;

/// Which fine planes a slice begins at: every second, or unevenly.
pub(super) fn first_planes(planes: usize, is_uneven: bool) -> Vec<usize> {
    let wider = |slice: usize| if is_uneven { slice / 3 } else { 0 };
    let starts = (0..).map(|slice| FINE * slice + wider(slice));
    starts.take_while(|start| start + FINE <= planes).collect()
}

/// The grid of the PET, over all that the CT's grid holds.
pub(super) fn geometry(ct: &Params, pet: &PetParams) -> Geometry {
    let (lower, upper) = ct.geometry().bounds_lps_mm();
    let counts = ((upper - lower) / pet.voxel_mm)
        .ceil()
        .max(DVec3::splat(4.0));
    let [nx, ny, nz] = counts.to_array().map(|n| n as usize);
    let voxel = DVec3::splat(pet.voxel_mm);
    let middle = (counts - 1.0) / 2.0 * pet.voxel_mm;
    let origin = (lower + upper) / 2.0 - middle + DVec3::from(pet.misregistration_mm);
    Geometry {
        size: [nz, ny, nx],
        index_to_lps: DAffine3::from_translation(origin) * DAffine3::from_scale(voxel),
    }
}

/// What is scanned.
pub(super) struct Source<'a> {
    /// Without trees and texture.
    pub(super) subject: &'a Subject,
    pub(super) uptake: &'a Uptake,
    /// Organs and lesions, in drawing order.
    pub(super) parts: &'a [Part],
}

/// True SUV on the fine grid.
pub(super) fn fine_uptake(ct: &Params, pet: &PetParams, source: &Source) -> Volume<f32> {
    let params = fine_params(ct, pet);
    let mut voxels = noise_free_hu(&params, source.subject);
    let geometry = params.geometry();
    let fine = Fine {
        geometry,
        to_index: geometry.lps_to_index(),
        scale: params.chest_scale,
        spacing_mm: params.spacing_mm[0],
    };
    let [_, ny, nx] = params.size;
    let planes = voxels.par_chunks_mut(ny * nx).enumerate();
    planes.for_each(|(z, plane)| {
        for (i, value) in plane.iter_mut().enumerate() {
            *value = match is_table(fine.place([z, i / nx, i % nx])) {
                true => 0.0,
                false => of_tissue(*value, source.uptake),
            };
        }
        for part in source.parts {
            fine.draw(part, &source.subject.chest, z, plane);
        }
    });
    Volume { geometry, voxels }
}

/// The fine grid in the patient.
struct Fine {
    geometry: Geometry,
    to_index: DAffine3,
    /// Of the anatomy.
    scale: f64,
    spacing_mm: f64,
}

impl Fine {
    /// Anatomy coordinates of a cell.
    fn place(&self, [z, y, x]: [usize; 3]) -> DVec3 {
        let index = DVec3::new(x as f64, y as f64, z as f64);
        self.geometry.to_lps_mm(index) / self.scale
    }

    /// Draws what of a part lies in plane `z`.
    fn draw(&self, part: &Part, chest: &Chest, z: usize, plane: &mut [f32]) {
        let [_, ny, nx] = self.geometry.size;
        let width_mm = self.spacing_mm / self.scale;
        let (centre, half) = part.form.bounds();
        let reach = (half + width_mm) / width_mm;
        let centre = self.to_index.transform_point3(centre * self.scale);
        if (z as f64 - centre.z).abs() > reach.z {
            return;
        }
        for y in whole(centre.y, reach.y, ny) {
            for x in whole(centre.x, reach.x, nx) {
                let value = &mut plane[y * nx + x];
                let covered = part.coverage(chest, self.place([z, y, x]), width_mm);
                *value += (part.suv - *value) * covered as f32;
            }
        }
    }
}

/// The CT's parameters on the grid of half voxels, in its own frame.
fn fine_params(ct: &Params, pet: &PetParams) -> Params {
    let unmoved = PetParams {
        misregistration_mm: [0.0; 3],
        ..pet.clone()
    };
    let geometry = geometry(ct, &unmoved);
    let last = geometry.size.map(|n| (n - 1) as f64 / 2.0);
    let middle = geometry.to_lps_mm(DVec3::new(last[2], last[1], last[0]));
    Params {
        size: geometry.size.map(|n| n * FINE),
        spacing_mm: [pet.voxel_mm / FINE as f64; 3],
        centre_lps_mm: middle.to_array(),
        dose: Dose::None,
        kernel: Kernel::Soft,
        orientation: super::super::Orientation::default(),
        tilt_deg: 0.0,
        circular_fov: false,
        signed: false,
        ..ct.clone()
    }
}

/// Whole indices within `reach` of `centre` in `0..count`.
fn whole(centre: f64, reach: f64, count: usize) -> std::ops::Range<usize> {
    let clamp = |v: f64| v.clamp(0.0, count as f64) as usize;
    clamp((centre - reach).ceil())..clamp((centre + reach).floor() + 1.0)
}

/// What the scanner makes of it, without noise: slices from the planes of [`first_planes`].
pub(super) fn imaged(fine: &mut Volume<f32>, pet: &PetParams, starts: &[usize]) -> Vec<f32> {
    let sigma = pet.fwhm_mm / FWHM / (pet.voxel_mm / FINE as f64);
    blur(fine, sigma);
    let [_, ny, nx] = fine.geometry.size;
    let (rows, columns) = (ny / FINE, nx / FINE);
    let mut voxels = vec![0.0_f32; starts.len() * rows * columns];
    let part = 1.0 / (FINE * FINE * FINE) as f32;
    let slices = voxels.par_chunks_mut(rows * columns).zip(starts);
    slices.for_each(|(slice, &start)| {
        let planes = &fine.voxels[start * ny * nx..][..FINE * ny * nx];
        for (i, value) in planes.iter().enumerate() {
            let (x, y) = (i % nx, i / nx % ny);
            slice[y / FINE * columns + x / FINE] += value * part;
        }
    });
    voxels
}

/// Gaussian of `sigma` cells along each axis, with the border continued.
fn blur(volume: &mut Volume<f32>, sigma: f64) {
    if sigma < 0.05 {
        return;
    }
    let filter = Filter::gaussian(sigma);
    let [nz, ny, nx] = volume.geometry.size;
    volume.voxels.par_chunks_mut(nx).for_each(|row| {
        let former = row.to_vec();
        for (x, out) in row.chunks_exact_mut(1).enumerate() {
            filter.line(out, [x, nx], |x| &former[x..=x]);
        }
    });
    volume.voxels.par_chunks_mut(ny * nx).for_each(|plane| {
        let former = plane.to_vec();
        for (y, out) in plane.chunks_exact_mut(nx).enumerate() {
            filter.line(out, [y, ny], |y| &former[y * nx..][..nx]);
        }
    });
    let former = volume.voxels.clone();
    let plane = |z: usize| &former[z * ny * nx..][..ny * nx];
    let planes = volume.voxels.par_chunks_mut(ny * nx).enumerate();
    planes.for_each(|(z, out)| filter.line(out, [z, nz], plane));
}

/// Half of a symmetric filter, from its middle outwards, sum over both halves 1.
struct Filter {
    taps: Vec<f32>,
}

impl Filter {
    fn gaussian(sigma: f64) -> Self {
        let reach = (4.0 * sigma).ceil() as usize;
        let gauss = |i: usize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
        let sum = gauss(0) + 2.0 * (1..=reach).map(gauss).sum::<f64>();
        let taps = (0..=reach).map(|i| (gauss(i) / sum) as f32).collect();
        Self { taps }
    }

    /// The weighted sum of the lines around line `[number, count]`, in fixed order.
    fn line<'a>(
        &self,
        out: &mut [f32],
        [line, count]: [usize; 2],
        at: impl Fn(usize) -> &'a [f32],
    ) {
        out.fill(0.0);
        let mut add = |other: usize, tap: f32| {
            let values = out.iter_mut().zip(at(other));
            values.for_each(|(value, v)| *value += tap * v);
        };
        for (step, tap) in self.taps.iter().enumerate() {
            add((line + step).min(count - 1), *tap);
            if step > 0 {
                add(line.saturating_sub(step), *tap);
            }
        }
    }
}

/// Noise that goes with the root of the uptake.
pub(super) struct PetNoiseSource {
    seed: u64,
    /// Standard deviation in the liver by its mean.
    level: f32,
    liver_suv: f32,
    /// What falls below 0 stays.
    keeps_negative: bool,
}

impl PetNoiseSource {
    pub(super) fn new(seed: u64, pet: &PetParams, liver_suv: f32) -> Self {
        Self {
            seed: seed ^ NOISE_SEED,
            level: pet.noise.in_liver(),
            liver_suv,
            keeps_negative: pet.has(PetDefect::Negative),
        }
    }

    /// Adds it to slices of rows of `columns` voxels.
    pub(super) fn add(&self, voxels: &mut [f32], [_, rows, columns]: [usize; 3]) {
        let unit = ScannerNoise::of_grain(self.seed, 1.0, Kernel::Soft, GRAIN);
        let plane = |z: usize| {
            let mut noise = vec![0.0; rows * columns];
            unit.add(&mut noise, z, columns);
            noise
        };
        let slices = voxels.par_chunks_mut(rows * columns).enumerate();
        slices.for_each(|(z, slice)| {
            let (below, own, above) = (plane(z), plane(z + 1), plane(z + 2));
            for (i, value) in slice.iter_mut().enumerate() {
                let noise = (own[i] + 0.5 * (below[i] + above[i])) / 1.5_f32.sqrt();
                *value = self.noisy(*value, noise);
            }
        });
    }

    fn noisy(&self, suv: f32, noise: f32) -> f32 {
        // Around nothing a filtered back-projection still has the noise of what lies beside it.
        let least = if self.keeps_negative {
            0.1 * self.liver_suv
        } else {
            0.0
        };
        let sigma = self.level * (self.liver_suv * suv.max(least)).sqrt();
        let noisy = suv + sigma * noise;
        if self.keeps_negative {
            noisy
        } else {
            noisy.max(0.0)
        }
    }
}
