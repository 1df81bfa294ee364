//! Where the patient lies in a PET: the body on a coarse grid along the patient's axes, its middle, front and back.

use super::field::Field;
use crate::lesion::watershed::{Split, watershed};
use crate::volume::{Geometry, Volume};
use glam::DVec3;
use rayon::prelude::*;

/// Spacing of the coarse grid, mm.
const SPACING_MM: f64 = 4.0;
/// The coarse grid has no more voxels than this: a PET of huge spacing gets a coarser one.
const MAX_VOXELS: f64 = 2e7;
/// Tissue takes up more of any FDG dose than this; air and table do not. SUV.
const MIN_BODY_SUV: f32 = 0.2;
/// Half the width of the strip around the middle in which front and back are looked for, mm.
const STRIP_MM: f64 = 40.0;
/// Each slice's outline is averaged with those so far above and below, mm.
const SMOOTHING_MM: f64 = 40.0;

/// The body and where its middle runs.
#[derive(Debug)]
pub(super) struct Body {
    /// Smoothed SUV on the coarse grid, `[z, y, x]` from feet to head, front to back, right to left.
    pub coarse: Volume<f32>,
    /// Whether a voxel of the coarse grid belongs to the body.
    pub inside: Vec<bool>,
    /// Of each slice of the coarse grid; `None` outside of the body.
    outlines: Vec<Option<Outline>>,
}

/// Of one slice, mm in the patient.
#[derive(Debug, Clone, Copy)]
struct Outline {
    middle_x: f64,
    front_y: f64,
    back_y: f64,
}

/// A position relative to the body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// From the middle to the patient's left, mm.
    pub left_mm: f64,
    /// 0 at the front of the body, 1 at its back.
    pub depth: f64,
    /// Towards the head, LPS mm.
    pub z_mm: f64,
}

impl Body {
    pub(super) fn new(field: &Field) -> Self {
        let coarse = coarse(field);
        let tissue: Vec<bool> = coarse.voxels.iter().map(|v| *v >= MIN_BODY_SUV).collect();
        let (labels, parts) =
            watershed(&coarse.voxels, &tissue, coarse.geometry.size, Split::NEVER);
        // Of equal ones the first.
        let largest = (0..parts.len()).rev().max_by_key(|part| parts[*part].count);
        let inside: Vec<bool> = labels
            .iter()
            .map(|label| largest.is_some_and(|part| *label as usize == part + 1))
            .collect();
        let outlines = outlines(&inside, &coarse.geometry);
        Self {
            coarse,
            inside,
            outlines,
        }
    }

    /// Lowest and highest z of the body, mm; `None` where nothing of it was found.
    pub(super) fn ends_mm(&self) -> Option<[f64; 2]> {
        let first = self.outlines.iter().position(Option::is_some)?;
        let last = self.outlines.iter().rposition(Option::is_some)?;
        Some([first, last].map(|z| self.z_mm(z)))
    }

    /// Where a position lies in the body; `None` above and below it.
    pub(super) fn place(&self, position_lps_mm: DVec3) -> Option<Place> {
        let z = self.slice(position_lps_mm.z)?;
        let outline = self.outlines[z]?;
        let depth_mm = (outline.back_y - outline.front_y).max(SPACING_MM);
        Some(Place {
            left_mm: position_lps_mm.x - outline.middle_x,
            depth: (position_lps_mm.y - outline.front_y) / depth_mm,
            z_mm: position_lps_mm.z,
        })
    }

    /// Whether a position lies in a limb: a part of its slice of the body that does not hold the middle, and is the smaller.
    pub(super) fn is_limb(&self, position_lps_mm: DVec3) -> bool {
        let geometry = &self.coarse.geometry;
        let Some(z) = self.slice(position_lps_mm.z) else {
            return false;
        };
        let [_, ny, nx] = geometry.size;
        let plane = z * ny * nx..(z + 1) * ny * nx;
        let (labels, parts) = watershed(
            &self.coarse.voxels[plane.clone()],
            &self.inside[plane],
            [1, ny, nx],
            Split::NEVER,
        );
        let index = geometry.lps_to_index().transform_point3(position_lps_mm);
        let [x, y] = [(index.x, nx), (index.y, ny)].map(|(at, n)| nearest(at, n));
        let largest = parts.iter().map(|part| part.count).max().unwrap_or(0);
        let own = labels[y * nx + x].checked_sub(1);
        own.is_some_and(|own| 2 * parts[own as usize].count < largest)
    }

    fn z_mm(&self, slice: usize) -> f64 {
        let at = DVec3::new(0.0, 0.0, slice as f64);
        self.coarse.geometry.to_lps_mm(at).z
    }

    fn slice(&self, z_mm: f64) -> Option<usize> {
        let steps = (z_mm - self.z_mm(0)) / self.coarse.geometry.spacing_mm()[0];
        let within = steps > -0.5 && steps < self.outlines.len() as f64 - 0.5;
        within.then(|| nearest(steps, self.outlines.len()))
    }
}

/// Linear index of the voxel that holds an index `[x, y, z]`; `None` outside of the grid.
pub(super) fn nearest_voxel(geometry: &Geometry, index_xyz: DVec3) -> Option<usize> {
    let [nz, ny, nx] = geometry.size;
    let along = |at: f64, n: usize| {
        let within = at >= -0.5 && at < n as f64 - 0.5;
        within.then(|| nearest(at, n))
    };
    let [x, y, z] = index_xyz.to_array();
    Some(geometry.linear([along(z, nz)?, along(y, ny)?, along(x, nx)?]))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the grid"
)]
fn nearest(at: f64, n: usize) -> usize {
    at.round().clamp(0.0, n.saturating_sub(1) as f64) as usize
}

/// The smoothed PET on a grid along the patient's axes.
fn coarse(field: &Field) -> Volume<f32> {
    let source = &field.stored().geometry;
    let (lower, upper) = source.bounds_lps_mm();
    let [x, y, z] = (upper - lower).to_array().map(|mm| mm / SPACING_MM + 1.0);
    let coarser = (x * y * z / MAX_VOXELS).max(1.0).cbrt();
    let geometry = source.covering([SPACING_MM * coarser; 3]);
    let to_source = source.lps_to_index() * geometry.index_to_lps;
    let [_, ny, nx] = geometry.size;
    let value = |i: usize| {
        let at = [i % nx, i / nx % ny, i / (ny * nx)].map(|v| v as f64);
        field.at_index(to_source.transform_point3(DVec3::from_array(at)))
    };
    let voxels = (0..geometry.voxel_count())
        .into_par_iter()
        .map(value)
        .collect();
    Volume { geometry, voxels }
}

fn outlines(inside: &[bool], geometry: &Geometry) -> Vec<Option<Outline>> {
    let [nz, ny, nx] = geometry.size;
    let [step_z, step_y, step_x] = geometry.spacing_mm();
    let origin = geometry.index_to_lps.translation;
    let plane = |z: usize| &inside[z * ny * nx..(z + 1) * ny * nx];
    let own: Vec<Option<Outline>> = (0..nz)
        .map(|z| {
            let plane = plane(z);
            let columns = (0..plane.len()).filter(|i| plane[*i]).map(|i| i % nx);
            let middle = mean(columns.map(|x| x as f64))?;
            let strip = |i: &usize| ((i % nx) as f64 - middle).abs() * step_x <= STRIP_MM;
            let held = |near: bool| {
                let rows = (0..plane.len()).filter(move |i| plane[*i] && (strip(i) || !near));
                rows.map(|i| i / nx)
            };
            // Between the legs the strip may hold nothing.
            let rows = |near| held(near).min().zip(held(near).max());
            let (front, back) = rows(true).or_else(|| rows(false))?;
            Some(Outline {
                middle_x: origin.x + middle * step_x,
                front_y: origin.y + front as f64 * step_y,
                back_y: origin.y + back as f64 * step_y,
            })
        })
        .collect();
    let reach = nearest(SMOOTHING_MM / step_z, nz);
    (0..nz)
        .map(|z| {
            own[z]?;
            let near = z.saturating_sub(reach)..(z + reach + 1).min(nz);
            let of = |part: fn(&Outline) -> f64| {
                mean(own[near.clone()].iter().flatten().map(part)).unwrap_or_default()
            };
            Some(Outline {
                middle_x: of(|o| o.middle_x),
                front_y: of(|o| o.front_y),
                back_y: of(|o| o.back_y),
            })
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
