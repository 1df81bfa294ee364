//! The uptake of a lesion that was drawn on a CT: what the PET of the same frame of reference holds where the CT shows it.

use crate::lesion::LesionMask;
use crate::volume::StoredVolume;
use glam::DVec3;

/// Uptake where a CT shows a lesion; SUV is SUVbw, g/ml.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UptakeOnPet {
    /// The highest of the PET's voxels that hold some of the lesion's.
    pub suv_max: f64,
    /// Mean over the lesion: each of its voxels counts with its volume, and has the SUV of the PET's voxel that holds its centre.
    pub suv_mean: f64,
}

/// Reads a PET in SUV where the voxels of a CT's `mask` lie; `None` where any of them lies outside of the PET.
///
/// No value is interpolated, so the maximum is one that a viewer shows. The lesion is taken where the CT has it: breathing may
/// have moved it on the PET.
pub fn uptake_on_pet(
    mask: &LesionMask,
    ct: &StoredVolume,
    suv: &StoredVolume,
) -> Option<UptakeOnPet> {
    let to_pet = suv.geometry.lps_to_index() * ct.geometry.index_to_lps;
    let (mut suv_max, mut sum, mut steps) = (f64::NEG_INFINITY, 0.0, 0.0);
    for [z, y, x] in mask.voxels() {
        let at = DVec3::new(x as f64, y as f64, ct.slices.position(z));
        let value = f64::from(suv.rescaled(holding(suv, to_pet.transform_point3(at))?));
        let extent = ct.slices.extent(z);
        suv_max = suv_max.max(value);
        sum += value * extent;
        steps += extent;
    }
    (steps > 0.0).then(|| UptakeOnPet {
        suv_max,
        suv_mean: sum / steps,
    })
}

/// The voxel `[z, y, x]` that holds an index `[x, y, z]` of the even grid.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the grid"
)]
fn holding(volume: &StoredVolume, index_xyz: DVec3) -> Option<[usize; 3]> {
    let slice = volume.slices.slice_at(index_xyz.z);
    let at = [slice, index_xyz.y, index_xyz.x].map(f64::round);
    let within = at.iter().zip(volume.geometry.size);
    let within = within
        .into_iter()
        .all(|(at, n)| (0.0..n as f64).contains(at));
    within.then(|| at.map(|at| at as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Geometry, Rescale, SlicePositions};

    fn volume(geometry: Geometry, slices: SlicePositions, samples: Vec<u16>) -> StoredVolume {
        let rescale = Rescale {
            slope: 0.5,
            intercept: 0.0,
        };
        StoredVolume {
            rescale: vec![rescale; geometry.size[0]],
            geometry,
            slices,
            samples: samples.into(),
            signed: false,
            padding: None,
            padding_value: 0.0,
        }
    }

    /// Voxels of 4 mm from (0, 0, 0), whose SUV is half their number.
    fn pet() -> StoredVolume {
        let geometry = Geometry::axis_aligned([3, 3, 3], [4.0; 3], DVec3::ZERO);
        volume(geometry, SlicePositions::even(), (0..27).collect())
    }

    fn ct(slices: SlicePositions) -> StoredVolume {
        let geometry = Geometry::axis_aligned([4, 8, 8], [2.0, 1.0, 1.0], DVec3::splat(0.5));
        volume(geometry, slices, vec![0; 256])
    }

    fn mask(origin: [usize; 3], size: [usize; 3]) -> LesionMask {
        LesionMask {
            origin,
            size,
            inside: vec![true; size.iter().product()],
        }
    }

    #[test]
    fn a_lesion_has_the_suv_of_the_voxels_that_hold_it() {
        // x of 1.5 lies in the first column, 2.5 and 3.5 in the second; y and z of 0.5 in the first row and slice.
        let found = uptake_on_pet(
            &mask([0, 0, 1], [1, 1, 3]),
            &ct(SlicePositions::even()),
            &pet(),
        );
        let found = found.expect("within the PET");
        assert!((found.suv_max - 0.5).abs() < 1e-12);
        assert!((found.suv_mean - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn uneven_slices_of_the_ct_count_with_their_thickness_and_lie_where_they_were_acquired() {
        let slices = SlicePositions::uneven(vec![0.0, 0.5, 1.0, 3.0]).expect("ascending");
        // Slices at 0.5, 1.5, 2.5 and 6.5 mm: the last two in the second and third slice of the PET.
        let found = uptake_on_pet(&mask([1, 0, 0], [3, 1, 1]), &ct(slices), &pet());
        let found = found.expect("within the PET");
        assert!((found.suv_max - 9.0).abs() < 1e-12);
        let wanted = (0.0 * 0.5 + 4.5 * 1.25 + 9.0 * 2.0) / 3.75;
        assert!((found.suv_mean - wanted).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_lesion_that_the_pet_does_not_hold_whole_has_no_uptake() {
        let mut away = pet();
        away.geometry.index_to_lps.translation.x = 4.0;
        let ct = ct(SlicePositions::even());
        assert_eq!(uptake_on_pet(&mask([0, 0, 0], [1, 1, 3]), &ct, &away), None);
        assert!(uptake_on_pet(&mask([0, 0, 2], [1, 1, 3]), &ct, &away).is_some());
    }
}
