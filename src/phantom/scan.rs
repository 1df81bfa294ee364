//! The scanner: turns anatomy into stored values on the grid, slice by slice in parallel.

use super::anatomy::{Chest, TrunkEnds};
use super::noise::ScannerNoise;
use super::params::{Kernel, Params};
use super::shape::Shape;
use crate::volume::{Geometry, PADDING_HU, Rescale, SlicePositions, StoredVolume};
use glam::{DAffine3, DMat3, DVec3};
use rayon::prelude::*;

/// Rescale Intercept of every phantom.
pub(super) const INTERCEPT_HU: f32 = -1024.0;
/// Stored values of a 12-bit scan end here.
const MAX_STORED: f32 = 4095.0;
/// Pixel Padding Value of signed and of unsigned stored values.
const SIGNED_PADDING: i16 = -2000;
const UNSIGNED_PADDING: u16 = 0;
/// Blur of an edge by the soft kernel, mm.
const SOFT_EDGE_MM: f64 = 0.9;
/// Most samples along the thickness of a slice.
const MAX_SUB_SLICES: usize = 6;

/// Everything that is scanned, in anatomy coordinates.
pub(super) struct Subject {
    pub(super) chest: Chest,
    /// Where the trunk ends; without, it goes on beyond every grid.
    pub(super) ends: Option<TrunkEnds>,
    /// In drawing order.
    pub(super) shapes: Vec<Shape>,
}

impl Subject {
    /// Attenuation of a cell of `width_mm` at `p`, without the shapes.
    fn hu(&self, p: DVec3, width_mm: f64) -> f32 {
        match &self.ends {
            None => self.chest.hu(p, width_mm),
            Some(ends) => ends.hu(&self.chest, p, width_mm),
        }
    }
}

/// A shape with the index box `[x, y, z]` that it may touch.
struct Boxed<'a> {
    shape: &'a Shape,
    lower: DVec3,
    upper: DVec3,
}

/// One scan: sampling positions and edge width.
struct Scan<'a> {
    subject: &'a Subject,
    shapes: Vec<Boxed<'a>>,
    geometry: Geometry,
    index_to_anatomy: DAffine3,
    sub_slices: usize,
    /// Width over which an edge is averaged, mm in anatomy coordinates.
    width_mm: f64,
}

/// Scans the subject.
pub(super) fn scan(params: &Params, subject: &Subject) -> StoredVolume {
    let scan = Scan::new(params, subject);
    let [nz, ny, nx] = params.size;
    let sigma_hu = params.noise_sigma_hu();
    let noise = ScannerNoise::new(params.seed, sigma_hu, params.kernel, params.spacing_mm[2]);
    let mut samples = vec![0_u16; params.size.iter().product()];
    samples
        .par_chunks_mut(ny * nx)
        .enumerate()
        .for_each(|(z, stored)| {
            let mut slice_hu = scan.slice_hu(z);
            noise.add(&mut slice_hu, z, nx);
            for (i, (sample, hu)) in stored.iter_mut().zip(slice_hu).enumerate() {
                let outside = params.circular_fov && !in_circle([i / nx, i % nx], [ny, nx]);
                *sample = if outside {
                    padding(params).1
                } else {
                    quantise(hu, params)
                };
            }
        });
    let rescale = Rescale {
        slope: 1.0,
        intercept: INTERCEPT_HU,
    };
    StoredVolume {
        geometry: scan.geometry,
        slices: SlicePositions::even(),
        samples: samples.into(),
        signed: params.signed,
        rescale: vec![rescale; nz],
        padding: params
            .circular_fov
            .then(|| (padding(params).0, padding(params).0)),
        padding_value: PADDING_HU,
    }
}

/// Attenuation of every voxel as it is, without noise and quantisation.
pub(super) fn noise_free_hu(params: &Params, subject: &Subject) -> Vec<f32> {
    let scan = Scan::new(params, subject);
    let [nz, ny, nx] = params.size;
    let mut hu = vec![0.0_f32; nz * ny * nx];
    let planes = hu.par_chunks_mut(ny * nx).enumerate();
    planes.for_each(|(z, plane)| plane.copy_from_slice(&scan.slice_hu(z)));
    hu
}

/// Pixel Padding Value, as a number and as the bits stored.
fn padding(params: &Params) -> (i32, u16) {
    match params.signed {
        true => (i32::from(SIGNED_PADDING), SIGNED_PADDING.cast_unsigned()),
        false => (i32::from(UNSIGNED_PADDING), UNSIGNED_PADDING),
    }
}

fn quantise(hu: f32, params: &Params) -> u16 {
    // Unsigned padding is 0, so there no tissue may be.
    let least = if params.circular_fov && !params.signed {
        1.0
    } else {
        0.0
    };
    (hu - INTERCEPT_HU).round().clamp(least, MAX_STORED) as u16
}

fn in_circle([row, column]: [usize; 2], [rows, columns]: [usize; 2]) -> bool {
    let off = |i: usize, n: usize| (i as f64 + 0.5) / n as f64 * 2.0 - 1.0;
    off(row, rows).hypot(off(column, columns)) <= 1.0
}

impl<'a> Scan<'a> {
    fn new(params: &Params, subject: &'a Subject) -> Self {
        let geometry = params.geometry();
        let [sz, sy, sx] = params.spacing_mm;
        let in_plane = (sx * sy).sqrt();
        let sub_slices = ((sz / in_plane).round() as usize).clamp(1, MAX_SUB_SLICES);
        let cell_mm = (in_plane * in_plane * sz / sub_slices as f64).cbrt();
        let blur_mm = match params.kernel {
            Kernel::Soft => SOFT_EDGE_MM,
            Kernel::Lung => 0.0,
        };
        let to_anatomy =
            DAffine3::from_mat3(DMat3::from_diagonal(DVec3::splat(1.0 / params.chest_scale)));
        let index_to_anatomy = to_anatomy * geometry.index_to_lps;
        let width_mm = cell_mm.hypot(blur_mm) / params.chest_scale;
        Self {
            subject,
            shapes: boxed(&subject.shapes, &geometry, &index_to_anatomy, width_mm),
            geometry,
            index_to_anatomy,
            sub_slices,
            width_mm,
        }
    }

    /// Attenuation of slice `z` before noise: the mean over its thickness.
    fn slice_hu(&self, z: usize) -> Vec<f32> {
        let [_, ny, nx] = self.geometry.size;
        let mut sum = vec![0.0_f32; ny * nx];
        let mut plane = vec![0.0_f32; ny * nx];
        for sub in 0..self.sub_slices {
            let at = z as f64 + (sub as f64 + 0.5) / self.sub_slices as f64 - 0.5;
            self.draw_plane(at, &mut plane);
            sum.iter_mut().zip(&plane).for_each(|(s, hu)| *s += hu);
        }
        let part = 1.0 / self.sub_slices as f32;
        sum.iter_mut().for_each(|s| *s *= part);
        sum
    }

    fn place(&self, x: usize, y: usize, z: f64) -> DVec3 {
        let index = DVec3::new(x as f64, y as f64, z);
        self.index_to_anatomy.transform_point3(index)
    }

    fn draw_plane(&self, z: f64, plane: &mut [f32]) {
        let [_, ny, nx] = self.geometry.size;
        for (i, hu) in plane.iter_mut().enumerate() {
            *hu = self
                .subject
                .hu(self.place(i % nx, i / nx, z), self.width_mm);
        }
        for item in self
            .shapes
            .iter()
            .filter(|s| s.lower.z <= z && z <= s.upper.z)
        {
            let rows = whole(item.lower.y, item.upper.y, ny);
            for y in rows {
                for x in whole(item.lower.x, item.upper.x, nx) {
                    item.shape
                        .draw(&mut plane[y * nx + x], self.place(x, y, z), self.width_mm);
                }
            }
        }
    }
}

/// Whole indices from `lower` to `upper` within `0..count`.
fn whole(lower: f64, upper: f64, count: usize) -> std::ops::Range<usize> {
    let clamp = |v: f64| v.clamp(0.0, count as f64) as usize;
    clamp(lower.ceil())..clamp(upper.floor() + 1.0)
}

/// The shapes that touch the grid, each with its index box, in order.
fn boxed<'a>(
    shapes: &'a [Shape],
    geometry: &Geometry,
    index_to_anatomy: &DAffine3,
    width_mm: f64,
) -> Vec<Boxed<'a>> {
    let to_index = index_to_anatomy.inverse();
    let m = to_index.matrix3;
    let magnitude = DMat3::from_cols(m.x_axis.abs(), m.y_axis.abs(), m.z_axis.abs());
    let [nz, ny, nx] = geometry.size.map(|n| n as f64);
    let last = DVec3::new(nx, ny, nz);
    shapes
        .iter()
        .map(|shape| {
            let (centre, half) = shape.form.bounds();
            let centre = to_index.transform_point3(centre);
            let reach = magnitude * (half + 2.0 * width_mm);
            let (lower, upper) = (centre - reach, centre + reach);
            Boxed {
                shape,
                lower,
                upper,
            }
        })
        .filter(|b| b.upper.cmpge(DVec3::NEG_ONE).all() && b.lower.cmple(last).all())
        .collect()
}
