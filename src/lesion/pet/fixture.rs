//! A patient made of ellipsoids in a blurred PET, for tests.

use crate::volume::{Geometry, Rescale, SlicePositions, StoredVolume};
use glam::DVec3;

/// Centre and semi-axes, LPS mm, and SUV; later ones lie on top.
pub(super) type Part = ([f64; 3], [f64; 3], f32);

pub(super) const LIVER: Part = ([-70.0, 0.0, 0.0], [85.0, 75.0, 80.0], 2.0);
pub(super) const HEART: [Part; 2] = [
    ([45.0, -35.0, 95.0], [42.0, 34.0, 36.0], 9.0),
    ([45.0, -35.0, 95.0], [26.0, 18.0, 20.0], 1.6),
];
const KIDNEYS: [Part; 2] = [
    ([-65.0, 50.0, -110.0], [25.0, 22.0, 50.0], 4.5),
    ([65.0, 50.0, -90.0], [25.0, 22.0, 50.0], 4.5),
];
const BLADDER: Part = ([0.0, -25.0, -300.0], [38.0, 32.0, 30.0], 20.0);
const BRAIN: Part = ([0.0, 0.0, 470.0], [65.0, 80.0, 60.0], 8.0);
const AORTA: Part = ([22.0, 45.0, 150.0], [13.0, 13.0, 90.0], 1.6);

pub(super) const LUNGS: [Part; 2] = [
    ([-85.0, 0.0, 190.0], [55.0, 80.0, 120.0], 0.4),
    ([85.0, 0.0, 190.0], [55.0, 80.0, 120.0], 0.4),
];

/// A patient without lesions: trunk, head, lungs and organs.
pub(super) fn patient() -> Vec<Part> {
    let mut parts = vec![
        ([0.0, 0.0, 0.0], [180.0, 110.0, 560.0], 0.6),
        ([0.0, 0.0, 460.0], [80.0, 95.0, 120.0], 0.6),
    ];
    parts.extend(LUNGS);
    parts.extend([LIVER, AORTA]);
    parts.extend(HEART);
    parts.extend(KIDNEYS);
    parts.extend([BLADDER, BRAIN]);
    parts
}

/// The same parts elsewhere.
pub(super) fn parts_at(parts: &[Part], shift: DVec3) -> Vec<Part> {
    let moved =
        |(centre, semi, suv): &Part| ((DVec3::from(*centre) + shift).to_array(), *semi, *suv);
    parts.iter().map(moved).collect()
}

/// From the lower right front to the upper left back.
const FIRST_LPS_MM: DVec3 = DVec3::new(-195.0, -123.0, -585.0);

pub(super) fn grid() -> Geometry {
    Geometry::axis_aligned([196, 42, 66], [6.0; 3], FIRST_LPS_MM)
}

/// The same with voxels of 4 mm, from the pelvis to the lungs.
pub(super) fn fine_grid() -> Geometry {
    Geometry::axis_aligned([230, 63, 99], [4.0; 3], FIRST_LPS_MM)
}

/// The parts on a grid, blurred to 6 mm, with noise of a share of the value.
pub(super) fn pet(parts: &[Part], noise: f64) -> StoredVolume {
    pet_on(grid(), parts, noise)
}

/// The same on another grid.
pub(super) fn pet_on(grid: Geometry, parts: &[Part], noise: f64) -> StoredVolume {
    let [_, ny, nx] = grid.size;
    let at = |i: usize| {
        let index = [i % nx, i / nx % ny, i / (ny * nx)].map(|v| v as f64);
        grid.to_lps_mm(DVec3::from_array(index))
    };
    let holds = |(centre, semi, _): &&Part, p: DVec3| {
        ((p - DVec3::from_array(*centre)) / DVec3::from_array(*semi)).length() <= 1.0
    };
    let value = |i: usize| {
        let part = parts.iter().rev().find(|part| holds(part, at(i)));
        part.map_or(0.0, |part| part.2)
    };
    let sharp = (0..grid.voxel_count()).map(value).collect();
    let blurred = super::blur::smoothed(sharp, grid.size, super::blur::sigma(&grid, 6.0));
    let noisy = |(i, v): (usize, f32)| f64::from(v) * (1.0 + noise * unit(i as u64));
    stored(grid, blurred.into_iter().enumerate().map(noisy))
}

/// A fixed draw from about -1.7 to 1.7, of deviation 1.
pub(super) fn unit(seed: u64) -> f64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 31;
    ((bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 12.0_f64.sqrt()
}

const SLOPE: f64 = 0.002;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "SUVs below 100"
)]
pub(super) fn stored(geometry: Geometry, suv: impl Iterator<Item = f64>) -> StoredVolume {
    let rescale = Rescale {
        slope: SLOPE as f32,
        intercept: 0.0,
    };
    StoredVolume {
        geometry,
        slices: SlicePositions::even(),
        samples: suv.map(|v| (v.max(0.0) / SLOPE).round() as u16).collect(),
        signed: false,
        rescale: vec![rescale; geometry.size[0]],
        padding: None,
        padding_value: 0.0,
    }
}
