//! Slices to a volume's grid.
//!
//! In: the instances of one stack, in any order. Out: a [`Series`], ordered along the normal, with its affine.
//! Refused: mixed geometry, a single slice, and what [`super::grid`] refuses.

use super::{Attribute, Error, Instance, grid};
use crate::suv::{PetImage, Timestamp};
use crate::volume::{Geometry, SlicePositions};
use crate::warning::Warning;
use dicom_dictionary_std::tags;
use glam::DVec3;

/// Slices of one SeriesInstanceUID, ordered along the normal, on one grid.
///
/// A series that holds several stacks, such as two phases, becomes several of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Slice `z` of the volume is `instances[z]`.
    pub instances: Vec<Instance>,
    /// The grid of the stacked slices; of uneven ones, the even grid from the first to the last.
    pub geometry: Geometry,
    /// Where the slices lie along the grid's z axis.
    pub slices: SlicePositions,
    /// What the reader of the report must know of this series.
    pub warnings: Vec<Warning>,
}

impl Series {
    /// Orders the slices of one stack along their normal and fits the grid to their positions.
    ///
    /// Index `[x, y, z]` goes to LPS mm: x along a row by the column spacing, y along a column by the row spacing, z from
    /// the first to the last slice in equal steps. File names and Instance Number play no part. A slice further than
    /// 0.05 mm from its even place makes the stack uneven, and it keeps its own ([`SlicePositions`]).
    ///
    /// # Errors
    /// Mixed orientation, spacing, matrix or frame of reference; fewer than two slices; slices at one position; neighbours
    /// of an uneven stack further apart than 10 mm or four usual increments; slices off one line; a tilt beyond 45°.
    ///
    /// Source: PS3.3 C.7.6.2.1.1 (Image Position and Orientation).
    pub fn from_instances(instances: Vec<Instance>) -> Result<Self, Error> {
        let mut stack = instances;
        stack.sort_by(|a, b| a.key().cmp(&b.key()));
        let Some(reference) = stack.first().cloned() else {
            let uid = String::from("unknown");
            return Err(Error::TooFewSlices { count: 0, uid });
        };
        let uid = reference.series_instance_uid.clone();
        if let Some(attribute) = stack.iter().find_map(|s| first_difference(&reference, s)) {
            return Err(Error::Mixed { attribute, uid });
        }
        if stack.len() < 2 {
            return Err(Error::TooFewSlices { count: 1, uid });
        }
        let normal = reference.normal();
        let height_mm = |s: &Instance| s.position_lps_mm.dot(normal);
        stack.sort_by(|a, b| height_mm(a).total_cmp(&height_mm(b)));
        let grid = grid::fit(&stack, &uid)?;
        Ok(Self {
            instances: stack,
            geometry: grid.geometry,
            slices: grid.slices,
            warnings: grid.warnings,
        })
    }

    /// What SUV needs of each slice of a PET, in the order of the slices.
    ///
    /// # Errors
    /// The first slice's attribute that cannot be read; [`Error::Missing`] for a series that is no PET.
    pub fn pet_images<'a>(&'a self) -> Result<Vec<&'a PetImage>, Error> {
        let image = |instance: &'a Instance| match instance.pet.as_deref() {
            Some(image) => image.as_ref().map_err(Error::clone),
            None => Err(Error::Missing {
                attribute: Attribute(tags::UNITS),
                uid: instance.sop_instance_uid.clone(),
            }),
        };
        self.instances.iter().map(image).collect()
    }

    /// When the first of its slices was acquired; none where no slice says so.
    pub fn acquired(&self) -> Option<Timestamp> {
        let times = self.instances.iter().filter_map(|i| i.acquired);
        times.reduce(|a, b| if b.seconds_after(a) < 0.0 { b } else { a })
    }

    /// Series Instance UID (0020,000E).
    pub fn uid(&self) -> &str {
        self.instances
            .first()
            .map_or("unknown", |i| &i.series_instance_uid)
    }
}

/// What must be equal in all slices of a volume, each with how to compare it.
pub(super) fn first_difference(a: &Instance, b: &Instance) -> Option<Attribute> {
    // At 500 mm from the corner these move a voxel by 0.05 mm.
    const COSINE_TOLERANCE: f64 = 1e-4;
    const SPACING_TOLERANCE_MM: f64 = 1e-4;
    let close = |a: DVec3, b: DVec3| (a - b).abs().max_element() <= COSINE_TOLERANCE;
    let near = |a: f64, b: f64| (a - b).abs() <= SPACING_TOLERANCE_MM;
    let [row, column] = a.orientation;
    let [between_rows, between_columns] = a.pixel_spacing_mm;
    let equal = [
        (
            tags::STUDY_INSTANCE_UID,
            a.study_instance_uid == b.study_instance_uid,
        ),
        (
            tags::SERIES_INSTANCE_UID,
            a.series_instance_uid == b.series_instance_uid,
        ),
        (
            tags::FRAME_OF_REFERENCE_UID,
            a.frame_of_reference_uid == b.frame_of_reference_uid,
        ),
        (tags::MODALITY, a.modality == b.modality),
        (tags::ROWS, a.rows_columns[0] == b.rows_columns[0]),
        (tags::COLUMNS, a.rows_columns[1] == b.rows_columns[1]),
        (tags::PIXEL_REPRESENTATION, a.signed == b.signed),
        (tags::PIXEL_PADDING_VALUE, a.padding == b.padding),
        (
            tags::IMAGE_ORIENTATION_PATIENT,
            close(row, b.orientation[0]) && close(column, b.orientation[1]),
        ),
        (
            tags::PIXEL_SPACING,
            near(between_rows, b.pixel_spacing_mm[0])
                && near(between_columns, b.pixel_spacing_mm[1]),
        ),
    ];
    equal
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(tag, _)| Attribute(tag))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{COLUMNS, ROWS, at, instances, slice, with};
    use super::*;
    use dicom_core::VR;
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
        assert_eq!(
            DVec3::from(series.geometry.spacing_mm()),
            DVec3::new(2.0, 0.5, 0.75)
        );
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
        assert_eq!(code(stack(&[0.0, 3.0, 6.0, 16.5])), "gap-too-wide");
        assert_eq!(code(stack(&[0.0, 1.0, 2.0, 7.0])), "gap-too-wide");
        let sideways = |z: u16| {
            let x = if z < 2 { 0.0 } else { 3.0 };
            at(slice(z), DVec3::new(x, 0.0, 2.0 * f64::from(z)))
        };
        let shifted = Series::from_instances(instances((0..4).map(sideways)));
        assert_eq!(code(shifted), "slices-not-in-line");
    }

    #[test]
    fn uneven_slices_keep_their_places_and_warn() {
        let series = stack(&[0.0, 2.0, 4.0, 6.5, 8.5]).unwrap();
        assert_eq!(series.warnings[0].code(), "uneven-spacing");
        let heights: Vec<f64> = (0..5)
            .map(|z| series.slices.position(z) * series.geometry.spacing_mm()[0])
            .collect();
        assert!(
            heights
                .iter()
                .zip([0.0, 2.0, 4.0, 6.5, 8.5])
                .all(|(a, b)| (a - b).abs() < 1e-9)
        );
        let missing = stack(&[0.0, 2.0, 4.0, 10.0, 12.0]).unwrap();
        assert!(matches!(
            missing.warnings[..],
            [Warning::MissingSlices { count: 2, .. }]
        ));
    }

    #[test]
    fn thick_slices_and_other_planes_are_said() {
        let thick = |z: u16| with(slice(z), tags::SLICE_THICKNESS, VR::DS, "3");
        let series = Series::from_instances(instances((0..3).map(thick))).unwrap();
        assert_eq!(series.warnings[0].code(), "overlapping-slices");
        let coronal = |z: u16| {
            let object = at(slice(z), DVec3::new(0.0, f64::from(z), 0.0));
            let cosines = "1\\0\\0\\0\\0\\-1";
            with(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, cosines)
        };
        let series = Series::from_instances(instances((0..3).map(coronal))).unwrap();
        assert_eq!(series.warnings, [Warning::NotAxial { plane: "coronal" }]);
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
