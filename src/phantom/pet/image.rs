//! The PET as the scanner shows it, and its slices as files hold them.

use super::super::Params;
use super::super::shape::Form;
use super::super::write::decimal;
use super::defect::PetDefect;
use super::params::PetParams;
use super::scanner::{FINE, PetNoiseSource, Source, fine_uptake, first_planes, geometry, imaged};
use crate::volume::Geometry;
use glam::DVec3;

/// Largest stored value: positive also where values are signed.
const MAX_STORED: f64 = 32_767.0;

/// SUVbw on the slices of the PET.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Image {
    /// The even grid; uneven slices lie on it by [`Self::position_lps_mm`].
    pub(super) geometry: Geometry,
    pub(super) suv: Vec<f32>,
    /// Fine plane at which each slice begins.
    starts: Vec<usize>,
}

/// A slice as a file holds it.
pub(super) struct Stored {
    /// Rescale Slope (0028,1053).
    pub(super) slope: String,
    pub(super) samples: Vec<u16>,
}

impl Image {
    pub(super) fn new(ct: &Params, pet: &PetParams, source: &Source) -> Self {
        let geometry = geometry(ct, pet);
        let [nz, ny, nx] = geometry.size;
        let starts = first_planes(nz * FINE, pet.has(PetDefect::Uneven));
        let mut fine = fine_uptake(ct, pet, source);
        let mut suv = imaged(&mut fine, pet, &starts);
        let size = [starts.len(), ny, nx];
        PetNoiseSource::new(ct.seed, pet, source.uptake.liver).add(&mut suv, size);
        Self {
            geometry,
            suv,
            starts,
        }
    }

    /// Slices, rows, columns.
    pub(super) fn size(&self) -> [usize; 3] {
        let [_, ny, nx] = self.geometry.size;
        [self.starts.len(), ny, nx]
    }

    /// Middle of the first voxel of a slice.
    pub(super) fn position_lps_mm(&self, slice: usize) -> DVec3 {
        self.place([slice, 0, 0])
    }

    fn place(&self, [z, y, x]: [usize; 3]) -> DVec3 {
        let height = self.starts[z] as f64 / FINE as f64;
        self.geometry
            .to_lps_mm(DVec3::new(x as f64, y as f64, height))
    }

    /// Highest SUV of the voxels that touch a form, given in anatomy coordinates.
    pub(super) fn highest(&self, form: &Form, ct: &Params, pet: &PetParams) -> f64 {
        let shift = DVec3::from(pet.misregistration_mm);
        let scale = ct.chest_scale;
        let edge = pet.voxel_mm / 2.0 / scale;
        let [_, ny, nx] = self.size();
        let inside = |i: usize| {
            let p = (self.place([i / nx / ny, i / nx % ny, i % nx]) - shift) / scale;
            let (centre, half) = form.bounds();
            (p - centre).abs().cmple(half + edge).all() && form.signed_distance(p) <= edge
        };
        let values = self.suv.iter().enumerate();
        let values = values.filter(|(i, _)| inside(*i)).map(|(_, v)| *v);
        f64::from(values.fold(0.0, f32::max))
    }

    /// A slice in values of which `value_of_one` is SUVbw 1, with a slope of its own or that of all.
    pub(super) fn stored(&self, slice: usize, value_of_one: f64, pet: &PetParams) -> Stored {
        let [_, ny, nx] = self.size();
        let plane = &self.suv[slice * ny * nx..][..ny * nx];
        let all = if pet.has(PetDefect::OneSlope) {
            &self.suv
        } else {
            plane
        };
        let highest = all.iter().fold(0.0_f32, |most, suv| most.max(suv.abs()));
        // A slice without uptake has a slope as well, and none so small that readers take it for 0.
        let highest = f64::from(highest).max(0.2) * value_of_one;
        // Rounded up, so that the highest value still fits.
        let slope = decimal(highest / MAX_STORED * (1.0 + 1e-6));
        let step: f64 = slope.parse().unwrap_or(1.0);
        let store = |suv: &f32| {
            let value = (f64::from(*suv) * value_of_one / step).round();
            (value.clamp(-MAX_STORED, MAX_STORED) as i16).cast_unsigned()
        };
        let samples = plane.iter().map(store).collect();
        Stored { slope, samples }
    }
}
