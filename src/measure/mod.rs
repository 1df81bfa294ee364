//! Numbers of one lesion, as the report states them.
//!
//! Volume is that of the SEG's voxels, each as thick as half the way to both neighbouring slices; both axes lie in one
//! acquired slice; the side is the lung's. On CT the mean HU, on PET the uptake.

mod axis;
mod ball;
mod node;
mod on_pet;
mod peak;
mod pet;

use crate::code::Code;
use crate::lesion::LesionMask;
use crate::volume::StoredVolume;
use glam::DVec3;

pub use crate::volume::Laterality;
pub use node::NodeSize;
pub use on_pet::{UptakeOnPet, uptake_on_pet};
pub use peak::{SUV_PEAK_VARIANT, SuvPeak};
pub use pet::{
    Delineation, PetMeasurement, PetSummary, RuleVolume, USUAL_RULES, least_suv, measure_pet,
};

/// Measurements of one lesion on the source grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Mean position of the lesion's voxel centres, weighted by their volumes.
    pub centroid_lps_mm: DVec3,
    /// Sum over slices of the SEG's area times half the distance between the slices below and above.
    pub volume_mm3: f64,
    /// Index of the acquired slice that holds both axes.
    pub axis_slice: usize,
    /// Largest diameter in one acquired slice.
    pub long_axis: Axis,
    /// Largest diameter perpendicular to the long axis, in the same slice.
    pub short_axis: Axis,
    /// Mean HU of the lesion's voxels, weighted by their volumes; of a CT.
    pub mean_hu: Option<f64>,
    /// Uptake; of a PET.
    pub pet: Option<PetMeasurement>,
    /// Uptake where it lies on the study's PET; of a CT that has one.
    pub on_pet: Option<UptakeOnPet>,
    /// The organ or region that it is in, where that is known better than by the lesion's kind.
    pub site: Option<Code>,
    /// Which side it is on, as far as that is known.
    pub laterality: Option<Laterality>,
}

/// A diameter drawn on one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// Length in mm, in the slice plane.
    pub length_mm: f64,
    /// End points as image coordinates `[column, row]`: the centre of the first pixel is (0.5, 0.5) as in SCOORD (PS3.3 C.18.6.1.1).
    pub ends_column_row: [[f64; 2]; 2],
}

/// Measures `mask` on the slices of a CT; `side` tells the lung at a patient position.
///
/// `None` for a mask without voxels.
pub fn measure(
    mask: &LesionMask,
    stored: &StoredVolume,
    side: impl Fn(DVec3) -> Option<Laterality>,
) -> Option<Measurement> {
    let (mut steps, mut sum_hu) = (0.0, 0.0);
    for voxel in mask.voxels() {
        let extent = stored.slices.extent(voxel[0]);
        steps += extent;
        sum_hu += f64::from(stored.rescaled(voxel)) * extent;
    }
    Some(Measurement {
        mean_hu: Some(sum_hu / steps),
        ..measure_shape(mask, stored, side)?
    })
}

/// Measures `mask` on the slices of a PET in SUV; `side` tells the lung at a patient position.
///
/// `None` for a mask without voxels.
pub fn measure_on_pet(
    mask: &LesionMask,
    suv: &StoredVolume,
    side: impl Fn(DVec3) -> Option<Laterality>,
) -> Option<Measurement> {
    Some(Measurement {
        pet: Some(measure_pet(mask, suv)?),
        ..measure_shape(mask, suv, side)?
    })
}

/// What does not depend on the values.
fn measure_shape(
    mask: &LesionMask,
    stored: &StoredVolume,
    side: impl Fn(DVec3) -> Option<Laterality>,
) -> Option<Measurement> {
    let geometry = &stored.geometry;
    let (axis_slice, long_axis, short_axis) = axis::axes(mask, geometry)?;
    let mut steps = 0.0;
    let mut sum_index = DVec3::ZERO;
    for [z, y, x] in mask.voxels() {
        let extent = stored.slices.extent(z);
        steps += extent;
        sum_index += DVec3::new(x as f64, y as f64, stored.slices.position(z)) * extent;
    }
    let centroid_lps_mm = geometry.to_lps_mm(sum_index / steps);
    Some(Measurement {
        centroid_lps_mm,
        volume_mm3: steps * geometry.voxel_volume_mm3(),
        axis_slice,
        long_axis,
        short_axis,
        mean_hu: None,
        pet: None,
        on_pet: None,
        site: None,
        laterality: side(centroid_lps_mm),
    })
}

#[cfg(test)]
mod digital;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Geometry, PADDING_HU, Rescale, SlicePositions};

    #[test]
    fn a_block_of_voxels_has_its_volume_centre_and_mean() {
        let geometry =
            Geometry::axis_aligned([2, 4, 4], [2.0, 0.5, 0.5], DVec3::new(10.0, 20.0, 30.0));
        let samples = (0..32).collect();
        let rescale = vec![
            Rescale {
                slope: 2.0,
                intercept: -10.0,
            },
            Rescale {
                slope: 1.0,
                intercept: 0.0,
            },
        ];
        let stored = StoredVolume {
            geometry,
            slices: SlicePositions::even(),
            samples,
            signed: false,
            rescale,
            padding: None,
            padding_value: PADDING_HU,
        };
        let mask = LesionMask {
            origin: [0, 1, 1],
            size: [2, 1, 2],
            inside: vec![true; 4],
        };
        let found = measure(&mask, &stored, |p| (p.x > 0.0).then_some(Laterality::Left))
            .expect("not empty");
        assert!((found.volume_mm3 - 4.0 * 0.5).abs() < 1e-12);
        assert!(
            found
                .centroid_lps_mm
                .distance(DVec3::new(10.75, 20.5, 31.0))
                < 1e-12
        );
        // Stored 5 and 6 in slice 0 are 0 and 2 HU, 21 and 22 in slice 1 stay.
        assert!((found.mean_hu.expect("a CT") - 45.0 / 4.0).abs() < 1e-12);
        assert_eq!(found.laterality, Some(Laterality::Left));
    }

    /// Slices 1 and 2 mm apart in turn cut a ball of 8 mm radius within this.
    const BALL_TOLERANCE: f64 = 0.02;

    #[test]
    fn a_ball_in_uneven_slices_has_its_volume_and_centre() {
        let mut heights_mm = vec![0.0];
        while heights_mm.len() < 21 {
            let gap_mm = if heights_mm.len() % 2 == 1 { 1.0 } else { 2.0 };
            heights_mm.push(heights_mm[heights_mm.len() - 1] + gap_mm);
        }
        let step_mm = heights_mm[20] / 20.0;
        let size = [21, 60, 60];
        let geometry = Geometry::axis_aligned(size, [step_mm, 0.5, 0.5], DVec3::ZERO);
        let places = heights_mm.iter().map(|mm| mm / step_mm).collect();
        let centre = DVec3::new(14.3, 15.1, 15.4);
        let radius_mm = 8.0;
        let inside = (0..size.iter().product::<usize>()).map(|i| {
            let p = DVec3::new(
                (i % 60) as f64 * 0.5,
                (i / 60 % 60) as f64 * 0.5,
                heights_mm[i / 3600],
            );
            p.distance(centre) <= radius_mm
        });
        let mask = LesionMask {
            origin: [0; 3],
            size,
            inside: inside.collect(),
        };
        let line = Rescale {
            slope: 1.0,
            intercept: 0.0,
        };
        let stored = StoredVolume {
            geometry,
            slices: SlicePositions::uneven(places).expect("ascending"),
            samples: vec![7; geometry.voxel_count()].into(),
            signed: false,
            rescale: vec![line; 21],
            padding: None,
            padding_value: PADDING_HU,
        };
        let found = measure(&mask, &stored, |_| None).expect("not empty");
        let volume_mm3 = 4.0 / 3.0 * std::f64::consts::PI * radius_mm.powi(3);
        assert!((found.volume_mm3 / volume_mm3 - 1.0).abs() < BALL_TOLERANCE);
        assert!(found.centroid_lps_mm.distance(centre) < 0.1);
        assert!((found.mean_hu.expect("a CT") - 7.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_mask_has_no_measurement() {
        let geometry = Geometry::axis_aligned([1, 1, 1], [1.0; 3], DVec3::ZERO);
        let rescale = vec![Rescale {
            slope: 1.0,
            intercept: 0.0,
        }];
        let stored = StoredVolume {
            geometry,
            slices: SlicePositions::even(),
            samples: vec![0].into(),
            signed: false,
            rescale,
            padding: None,
            padding_value: PADDING_HU,
        };
        assert!(
            measure(
                &LesionMask {
                    origin: [0; 3],
                    size: [1; 3],
                    inside: vec![false]
                },
                &stored,
                |_| None
            )
            .is_none()
        );
    }
}
