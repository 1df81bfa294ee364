//! Slices to a volume's grid.
//!
//! In: the instances of one series, in any order. Out: a [`Series`], ordered along the normal, with its affine.
//! Refused: mixed geometry, two slices at one place, gaps, uneven increments, a single slice.

use super::instance::first_difference;
use super::{Error, Instance};
use crate::volume::Geometry;
use crate::warning::Warning;
use glam::{DAffine3, DVec3};
use std::path::Path;

/// Slices of one SeriesInstanceUID, ordered along the normal, on one regular grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Slice `z` of the volume is `instances[z]`.
    pub instances: Vec<Instance>,
    /// The grid of the stacked slices.
    pub geometry: Geometry,
    /// What the reader of the report must know of this series.
    pub warnings: Vec<Warning>,
}

/// How far a slice may lie from its place on the regular grid, mm; half of what a lesion's position may be off.
const POSITION_TOLERANCE_MM: f64 = 0.05;

/// Below this, no tilt is reported: rounded positions look like that. The affine keeps it all the same.
const MIN_TILT_DEG: f64 = 0.1;

/// No gantry tilts further; beyond it the slices are no stack.
const MAX_TILT_DEG: f64 = 45.0;

impl Series {
    /// Orders the slices of one series along their normal and fits the grid to their positions.
    ///
    /// Index `[x, y, z]` goes to LPS mm: x along a row by the column spacing, y along a column by the row spacing, z from
    /// the first to the last slice in equal steps. File names and Instance Number play no part.
    ///
    /// # Errors
    /// Mixed orientation, spacing, matrix or frame of reference; one SOP Instance UID with two contents; fewer than two
    /// slices; slices at one position; missing slices; a slice further than 0.05 mm from its place; a tilt beyond 45°.
    ///
    /// Source: PS3.3 C.7.6.2.1.1 (Image Position and Orientation).
    pub fn from_instances(instances: Vec<Instance>) -> Result<Self, Error> {
        let (mut slices, duplicates) = without_duplicates(instances)?;
        let Some(reference) = slices.first().cloned() else {
            let uid = String::from("unknown");
            return Err(Error::TooFewSlices { count: 0, uid });
        };
        let uid = reference.series_instance_uid.clone();
        if let Some(attribute) = slices.iter().find_map(|s| first_difference(&reference, s)) {
            return Err(Error::Mixed { attribute, uid });
        }
        if slices.len() < 2 {
            return Err(Error::TooFewSlices { count: 1, uid });
        }
        let normal = reference.normal();
        let height_mm = |s: &Instance| s.position_lps_mm.dot(normal);
        slices.sort_by(|a, b| height_mm(a).total_cmp(&height_mm(b)));
        let heights_mm: Vec<f64> = slices.iter().map(height_mm).collect();
        check_heights(&heights_mm, &uid)?;
        let step_mm = check_positions(&slices, &uid)?;
        let warnings = [duplicates, tilt_warning(step_mm, normal, &uid)?];
        Ok(Self {
            geometry: geometry(&slices, step_mm),
            instances: slices,
            warnings: warnings.into_iter().flatten().collect(),
        })
    }

    /// Series Instance UID (0020,000E).
    pub fn uid(&self) -> &str {
        self.instances
            .first()
            .map_or("unknown", |i| &i.series_instance_uid)
    }
}

/// Keeps one of identical objects, the one whose path sorts first; orders by SOP Instance UID.
fn without_duplicates(
    mut instances: Vec<Instance>,
) -> Result<(Vec<Instance>, Option<Warning>), Error> {
    let count = instances.len();
    instances.sort_by(|a, b| (&a.sop_instance_uid, &a.path).cmp(&(&b.sop_instance_uid, &b.path)));
    let mut kept: Vec<Instance> = Vec::with_capacity(count);
    for instance in instances {
        match kept.last() {
            Some(last) if last.sop_instance_uid == instance.sop_instance_uid => {
                if !same_content(last, &instance) {
                    let uid = instance.sop_instance_uid;
                    return Err(Error::ConflictingDuplicates { uid });
                }
            }
            _ => kept.push(instance),
        }
    }
    let dropped = count - kept.len();
    let warning = (dropped > 0).then(|| Warning::InstancesLeftOut {
        count: dropped,
        reason: "copies of an object that is read".into(),
    });
    Ok((kept, warning))
}

fn same_content(a: &Instance, b: &Instance) -> bool {
    let without_path = |i: &Instance| Instance {
        path: Path::new("").to_owned(),
        ..i.clone()
    };
    without_path(a) == without_path(b)
}

/// Refuses slices at one place and gaps of whole slices; `heights_mm` ascend.
fn check_heights(heights_mm: &[f64], uid: &str) -> Result<(), Error> {
    let mut increments_mm: Vec<f64> = heights_mm.windows(2).map(|w| w[1] - w[0]).collect();
    let touching = |mm: &&f64| **mm < POSITION_TOLERANCE_MM;
    let count = increments_mm.iter().filter(touching).count();
    if count > 0 {
        let uid = uid.to_owned();
        return Err(Error::SamePosition { count, uid });
    }
    increments_mm.sort_by(f64::total_cmp);
    let usual_mm = increments_mm[(increments_mm.len() - 1) / 2];
    let slices_away = |mm: &f64| (mm / usual_mm).round();
    let whole = |mm: &f64| (mm - slices_away(mm) * usual_mm).abs() <= 2.0 * POSITION_TOLERANCE_MM;
    let missing: f64 = increments_mm.iter().map(|mm| slices_away(mm) - 1.0).sum();
    if missing >= 1.0 && increments_mm.iter().all(whole) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, positive, and saturating where absurd"
        )]
        let count = missing as usize;
        let uid = uid.to_owned();
        return Err(Error::MissingSlices { count, uid });
    }
    Ok(())
}

/// The equal step between neighbours, mm, if every slice lies where the steps lead.
fn check_positions(slices: &[Instance], uid: &str) -> Result<DVec3, Error> {
    let position = |z: usize| slices[z].position_lps_mm;
    let last = slices.len() - 1;
    let step_mm = (position(last) - position(0)) / last as f64;
    let deviation_mm = (0..=last)
        .map(|z| position(z).distance(position(0) + step_mm * z as f64))
        .fold(0.0, f64::max);
    if deviation_mm > POSITION_TOLERANCE_MM {
        let uid = uid.to_owned();
        return Err(Error::UnevenSpacing { deviation_mm, uid });
    }
    Ok(step_mm)
}

fn tilt_warning(step_mm: DVec3, normal: DVec3, uid: &str) -> Result<Option<Warning>, Error> {
    let tilt_deg = step_mm.angle_between(normal).to_degrees();
    if tilt_deg > MAX_TILT_DEG {
        let uid = uid.to_owned();
        return Err(Error::Tilt { tilt_deg, uid });
    }
    Ok((tilt_deg > MIN_TILT_DEG).then_some(Warning::GantryTilt { tilt_deg }))
}

fn geometry(slices: &[Instance], step_mm: DVec3) -> Geometry {
    let Instance {
        orientation: [row, column],
        pixel_spacing_mm: [between_rows_mm, between_columns_mm],
        rows_columns: [rows, columns],
        position_lps_mm,
        ..
    } = slices[0];
    Geometry {
        size: [slices.len(), rows, columns],
        index_to_lps: DAffine3::from_cols(
            row * between_columns_mm,
            column * between_rows_mm,
            step_mm,
            position_lps_mm,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{COLUMNS, ROWS, at, instances, slice, with};
    use super::*;
    use dicom_core::VR;
    use dicom_dictionary_std::tags;
    use dicom_object::InMemDicomObject;
    use proptest::prelude::*;
    use proptest::sample::Index;

    const AXES: [DVec3; 6] = [
        DVec3::X,
        DVec3::NEG_X,
        DVec3::Y,
        DVec3::NEG_Y,
        DVec3::Z,
        DVec3::NEG_Z,
    ];

    fn stack(heights_mm: &[f64]) -> Result<Series, Error> {
        let place = |(z, height): (u16, &f64)| at(slice(z), DVec3::new(0.0, 0.0, *height));
        Series::from_instances(instances((0..).zip(heights_mm).map(place)))
    }

    fn code(result: Result<Series, Error>) -> &'static str {
        result.unwrap_err().code()
    }

    fn pair(change: impl Fn(InMemDicomObject) -> InMemDicomObject) -> Result<Series, Error> {
        Series::from_instances(instances([slice(0), change(slice(1))]))
    }

    #[test]
    fn slices_are_ordered_by_position_whatever_their_number_says() {
        let series = stack(&[4.0, 0.0, 2.0, 6.0]).unwrap();
        let heights: Vec<f64> = series
            .instances
            .iter()
            .map(|i| i.position_lps_mm.z)
            .collect();
        assert_eq!(heights, [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(series.geometry.size, [4, 4, 6]);
        assert_eq!(series.geometry.spacing_mm(), [2.0, 0.5, 0.75]);
        assert_eq!(series.warnings, []);
    }

    #[test]
    fn rounded_positions_are_still_a_regular_grid() {
        assert!(stack(&[0.0, 0.63, 1.25, 1.88, 2.5]).is_ok());
    }

    #[test]
    fn irregular_stacks_are_refused_by_code() {
        assert_eq!(code(stack(&[])), "too-few-slices");
        assert_eq!(code(stack(&[0.0])), "too-few-slices");
        assert_eq!(code(stack(&[0.0, 2.0, 2.0, 4.0])), "same-position");
        assert_eq!(code(stack(&[0.0, 2.0, 4.0, 6.5, 8.5])), "uneven-spacing");
        let gaps = stack(&[0.0, 2.0, 4.0, 10.0, 12.0]).unwrap_err();
        assert!(
            matches!(gaps, Error::MissingSlices { count: 2, .. }),
            "{gaps}"
        );
    }

    #[test]
    fn slices_that_differ_are_refused_and_the_attribute_is_named() {
        let cases = [
            (tags::PIXEL_SPACING, VR::DS, "0.5\\0.76"),
            (
                tags::IMAGE_ORIENTATION_PATIENT,
                VR::DS,
                "1\\0\\0\\0\\0.999\\0.0447",
            ),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.10"),
            (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.2"),
            (tags::PIXEL_PADDING_VALUE, VR::US, "7"),
        ];
        for (tag, vr, value) in cases {
            let error = pair(|o| with(o, tag, vr, value)).unwrap_err();
            assert!(
                matches!(error, Error::Mixed { attribute, .. } if attribute.0 == tag),
                "{error}"
            );
        }
        let narrow = pair(|o| with(o, tags::COLUMNS, VR::US, 5_u16));
        assert_eq!(code(narrow), "mixed-slices");
    }

    #[test]
    fn an_identical_copy_is_dropped_with_a_warning() {
        let series = Series::from_instances(instances([slice(0), slice(1), slice(1)])).unwrap();
        assert_eq!(series.instances.len(), 2);
        assert_eq!(series.warnings[0].code(), "instances-left-out");
    }

    #[test]
    fn one_uid_with_two_contents_is_refused() {
        let other = at(slice(1), DVec3::new(0.0, 0.0, 9.0));
        let series = Series::from_instances(instances([slice(0), slice(1), other]));
        assert_eq!(code(series), "conflicting-duplicates");
    }

    #[test]
    fn a_tilted_stack_keeps_its_shear_and_warns() {
        let place = |z: u16| at(slice(z), DVec3::new(0.0, f64::from(z), 4.0 * f64::from(z)));
        let series = Series::from_instances(instances((0..3).map(place))).unwrap();
        assert_eq!(
            series.geometry.index_to_lps.matrix3.z_axis,
            DVec3::new(0.0, 1.0, 4.0)
        );
        let [Warning::GantryTilt { tilt_deg }] = series.warnings[..] else {
            panic!("{:?}", series.warnings);
        };
        assert!((tilt_deg - 14.036).abs() < 1e-3);
    }

    #[test]
    fn slices_side_by_side_are_no_stack() {
        let place = |z: u16| at(slice(z), DVec3::new(0.0, 4.0 * f64::from(z), f64::from(z)));
        let series = Series::from_instances(instances((0..3).map(place)));
        assert_eq!(code(series), "tilt");
    }

    proptest! {
        #[test]
        fn the_grid_puts_every_corner_where_the_headers_say(
            axes in (0_usize..6, 0_usize..4, any::<bool>()),
            spacing_mm in (0.1..3.0_f64, 0.1..3.0_f64, 0.3..6.0_f64),
            lean in (-0.5..0.5_f64, -0.5..0.5_f64),
            origin in (-400.0..400.0_f64, -400.0..400.0_f64, -900.0..900.0_f64),
            count in 2_u16..24,
            order in proptest::collection::vec(any::<Index>(), 24),
        ) {
            let row = AXES[axes.0];
            let column = AXES.into_iter().filter(|a| a.dot(row) == 0.0).nth(axes.1).unwrap();
            let upwards = row.cross(column) * if axes.2 { 1.0 } else { -1.0 };
            let step = (upwards + row * lean.0 + column * lean.1) * spacing_mm.2;
            let position = |z: u16| DVec3::from(origin) + step * f64::from(z);
            let orientation = format!(
                "{}\\{}\\{}\\{}\\{}\\{}", row.x, row.y, row.z, column.x, column.y, column.z
            );
            let spacing = format!("{}\\{}", spacing_mm.0, spacing_mm.1);
            let mut objects: Vec<_> = (0..count).map(|z| {
                let object = with(slice(z), tags::PIXEL_SPACING, VR::DS, spacing.clone());
                let object = with(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, orientation.clone());
                at(object, position(z))
            }).collect();
            for (i, index) in order.iter().enumerate().take(objects.len()) {
                let j = index.index(objects.len());
                objects.swap(i, j);
            }
            let series = Series::from_instances(instances(objects)).unwrap();
            for (z, instance) in series.instances.iter().enumerate() {
                for (y, x) in [(0, 0), (0, COLUMNS - 1), (ROWS - 1, 0), (ROWS - 1, COLUMNS - 1)] {
                    let said = instance.position_lps_mm
                        + row * f64::from(x) * spacing_mm.1
                        + column * f64::from(y) * spacing_mm.0;
                    let index = DVec3::new(x.into(), y.into(), z as f64);
                    prop_assert!(series.geometry.to_lps_mm(index).distance(said) < 1e-6);
                }
            }
            let along: Vec<f64> = series.instances.iter().map(|i| i.position_lps_mm.dot(row.cross(column))).collect();
            prop_assert!(along.is_sorted());
        }
    }
}
