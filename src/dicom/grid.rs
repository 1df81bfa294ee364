//! Positions of slices to a grid.
//!
//! In: slices of one plane, ordered along their normal. Out: the grid, where the slices lie on it, and what is odd about them.
//! Refused: two slices at one place, gaps too wide to be bridged, slices off one line, and stacks that lean too far.

use super::{Error, Instance};
use crate::volume::{Geometry, SlicePositions};
use crate::warning::Warning;
use glam::{DAffine3, DVec3};

/// How far a slice may lie from its place, mm; half of what a lesion's position may be off.
const POSITION_TOLERANCE_MM: f64 = 0.05;

/// Between neighbouring slices of an uneven stack at most this many usual increments lie: three missing slices.
const MAX_GAP_INCREMENTS: f64 = 4.0;

/// Neighbouring slices of an uneven stack lie at most so far apart, mm: a larger nodule touches one of them.
const MAX_GAP_MM: f64 = 10.0;

/// Below this, no tilt is reported: rounded positions look like that. The affine keeps it all the same.
const MIN_TILT_DEG: f64 = 0.1;

/// No gantry tilts further; beyond it the slices are no stack.
const MAX_TILT_DEG: f64 = 45.0;

/// A stack that leans further from the patient's long axis is a reformat, not a table that was not quite straight.
const MAX_AXIAL_DEG: f64 = 10.0;

/// Slices thicker than this many increments overlap; less is rounding.
const OVERLAP: f64 = 1.05;

/// The grid of a stack.
pub(super) struct Grid {
    pub(super) geometry: Geometry,
    pub(super) slices: SlicePositions,
    pub(super) warnings: Vec<Warning>,
}

/// Fits the grid to two or more slices that ascend along their normal and are equal in all but position.
pub(super) fn fit(stack: &[Instance], uid: &str) -> Result<Grid, Error> {
    let position = |z: usize| stack[z].position_lps_mm;
    let last = stack.len() - 1;
    let normal = stack[0].normal();
    let heights_mm: Vec<f64> = stack
        .iter()
        .map(|s| s.position_lps_mm.dot(normal))
        .collect();
    check_apart(&heights_mm, uid)?;
    let step_mm = (position(last) - position(0)) / last as f64;
    let farthest_mm = |place: &dyn Fn(usize) -> f64| {
        (0..=last)
            .map(|z| position(z).distance(position(0) + step_mm * place(z)))
            .fold(0.0, f64::max)
    };
    let tilt = tilt_warning(step_mm, normal, uid)?;
    let mut warnings: Vec<Warning> = tilt.into_iter().collect();
    warnings.extend(plane_warning(step_mm, normal));
    let even = farthest_mm(&|z| z as f64) <= POSITION_TOLERANCE_MM;
    let slices = if even {
        SlicePositions::even()
    } else {
        let height_mm = heights_mm[last] - heights_mm[0];
        let place = |z: usize| (heights_mm[z] - heights_mm[0]) / height_mm * last as f64;
        let deviation_mm = farthest_mm(&place);
        if deviation_mm > POSITION_TOLERANCE_MM {
            let uid = uid.to_owned();
            return Err(Error::NotInLine { deviation_mm, uid });
        }
        let places: Vec<f64> = (0..=last).map(place).collect();
        warnings.push(gap_warning(&places, step_mm.length(), uid)?);
        SlicePositions::uneven(places).unwrap_or_default()
    };
    warnings.extend(overlap_warning(stack, &heights_mm));
    Ok(Grid {
        geometry: geometry(stack, step_mm),
        slices,
        warnings,
    })
}

/// Refuses slices at one place; `heights_mm` ascend.
fn check_apart(heights_mm: &[f64], uid: &str) -> Result<(), Error> {
    let touching = |pair: &&[f64]| pair[1] - pair[0] < POSITION_TOLERANCE_MM;
    match heights_mm.windows(2).filter(touching).count() {
        0 => Ok(()),
        count => Err(Error::SamePosition {
            count,
            uid: uid.to_owned(),
        }),
    }
}

/// The lower median of the distances between neighbours.
fn usual(ascending: &[f64]) -> f64 {
    let mut increments: Vec<f64> = ascending.windows(2).map(|w| w[1] - w[0]).collect();
    increments.sort_by(f64::total_cmp);
    increments[(increments.len() - 1) / 2]
}

/// Says whether slices are missing or unevenly spaced; refuses gaps that are too wide. `places` are in steps.
fn gap_warning(places: &[f64], step_mm: f64, uid: &str) -> Result<Warning, Error> {
    let places_mm: Vec<f64> = places.iter().map(|p| p * step_mm).collect();
    let usual_mm = usual(&places_mm);
    let gaps_mm = || places_mm.windows(2).map(|w| w[1] - w[0]);
    let (least_mm, largest_mm) = gaps_mm().fold((f64::INFINITY, 0.0_f64), |(low, high), mm| {
        (low.min(mm), high.max(mm))
    });
    let limit_mm = MAX_GAP_MM.min(MAX_GAP_INCREMENTS * usual_mm);
    if largest_mm > limit_mm + 2.0 * POSITION_TOLERANCE_MM {
        return Err(Error::Gap {
            gap_mm: largest_mm,
            limit_mm,
            uid: uid.to_owned(),
        });
    }
    let whole = |mm: f64| {
        let away = (mm / usual_mm).round() * usual_mm - mm;
        away.abs() <= 2.0 * POSITION_TOLERANCE_MM
    };
    let missing: f64 = gaps_mm().map(|mm| (mm / usual_mm).round() - 1.0).sum();
    if missing < 1.0 || !gaps_mm().all(whole) {
        return Ok(Warning::UnevenSpacing {
            least_mm,
            largest_mm,
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive; each gap is bounded above"
    )]
    let count = missing as usize;
    Ok(Warning::MissingSlices {
        count,
        gap_mm: largest_mm,
    })
}

fn tilt_warning(step_mm: DVec3, normal: DVec3, uid: &str) -> Result<Option<Warning>, Error> {
    let tilt_deg = step_mm.angle_between(normal).to_degrees();
    if tilt_deg > MAX_TILT_DEG {
        let uid = uid.to_owned();
        return Err(Error::Tilt { tilt_deg, uid });
    }
    Ok((tilt_deg > MIN_TILT_DEG).then_some(Warning::GantryTilt { tilt_deg }))
}

/// By the direction of stacking or the normal: a tilted gantry leaves one of them along the patient.
fn plane_warning(step_mm: DVec3, normal: DVec3) -> Option<Warning> {
    let along = |axis: DVec3| {
        [step_mm, normal].iter().any(|direction| {
            let angle_deg = direction.angle_between(axis).to_degrees();
            angle_deg.min(180.0 - angle_deg) <= MAX_AXIAL_DEG
        })
    };
    if along(DVec3::Z) {
        return None;
    }
    let plane = match () {
        () if along(DVec3::Y) => "coronal",
        () if along(DVec3::X) => "sagittal",
        () => "oblique",
    };
    Some(Warning::NotAxial { plane })
}

fn overlap_warning(stack: &[Instance], heights_mm: &[f64]) -> Option<Warning> {
    let thickness_mm = stack[0].slice_thickness_mm?;
    let increment_mm = usual(heights_mm);
    (thickness_mm > OVERLAP * increment_mm).then_some(Warning::OverlappingSlices {
        thickness_mm,
        increment_mm,
    })
}

fn geometry(stack: &[Instance], step_mm: DVec3) -> Geometry {
    let Instance {
        orientation: [row, column],
        pixel_spacing_mm: [between_rows_mm, between_columns_mm],
        rows_columns: [rows, columns],
        position_lps_mm,
        ..
    } = stack[0];
    Geometry {
        size: [stack.len(), rows, columns],
        index_to_lps: DAffine3::from_cols(
            row * between_columns_mm,
            column * between_rows_mm,
            step_mm,
            position_lps_mm,
        ),
    }
}
