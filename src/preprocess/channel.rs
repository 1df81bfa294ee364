//! One volume on the grid of another: the further input channels of a model, as a PET with its CT.

use super::mapping::Mapping;
use super::{
    Error, Interpolation, check_grid, check_stored, resample, resample_on_gpu, rescale, slab,
};
use crate::gpu::Compute;
use crate::volume::{Geometry, StoredVolume};

/// The values of a volume (HU of a CT, activity of a PET) on a grid of the patient; where that is its own even grid, as they
/// are.
///
/// # Errors
/// [`Error::BadVolume`], [`Error::GridTooLarge`], or [`Error::Gpu`].
pub fn on_grid_of(
    compute: &Compute,
    grid: &Geometry,
    stored: &StoredVolume,
) -> Result<Vec<f32>, Error> {
    check_stored(stored)?;
    check_grid(grid)?;
    if *grid == stored.geometry && stored.slices.as_slice().is_empty() {
        return Ok(rescale::reference(stored));
    }
    let mapping = Mapping::of_stack(stored, grid, Interpolation::Trilinear);
    let Compute::Gpu(gpu) = compute else {
        return Ok(resample::from_stored(&mapping, stored));
    };
    let slabs = slab::allocate(gpu, grid.size)?;
    resample_on_gpu(gpu, stored, &[(&mapping, &slabs)])?;
    let mut values = Vec::with_capacity(grid.voxel_count());
    for slab in &slabs {
        values.extend(gpu.download(&slab.hu)?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::for_tests;
    use crate::volume::{Rescale, SlicePositions};
    use glam::{DMat3, DVec3};
    use proptest::prelude::*;

    /// Activity up to 10 with a slope a slice; slices 3 to 6 mm apart.
    fn pet(samples: Vec<u16>) -> StoredVolume {
        let slope = |slice: u8| Rescale {
            slope: (1.0 + f32::from(slice)) / 80_000.0,
            intercept: 0.0,
        };
        let places = [0.0, 0.75, 2.25, 3.0, 4.5, 5.25, 6.0];
        StoredVolume {
            geometry: Geometry::axis_aligned([7, 9, 8], [4.0; 3], DVec3::new(-16.0, -18.0, 100.0)),
            slices: SlicePositions::uneven(places.to_vec()).expect("ascending"),
            samples: samples.into(),
            signed: false,
            rescale: (0..7).map(slope).collect(),
            padding: None,
            padding_value: 0.0,
        }
    }

    /// A fused rounding moves a position by 2^-18 voxels at most, and neighbours differ by 10.
    const TOLERANCE: f32 = 1e-3;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_pet_of_uneven_slices_comes_onto_the_grid_of_a_ct_alike_on_both_devices_and_in_slabs(
            samples in prop::collection::vec(any::<u16>(), 7 * 9 * 8),
            turn in -0.4_f64..0.4,
            spacing_mm in prop::array::uniform3(0.7_f64..2.5),
            shift_mm in prop::array::uniform3(-9.0_f64..9.0),
        ) {
            let Some(gpu) = for_tests() else { return Ok(()) };
            let mut ct = Geometry::axis_aligned([14, 23, 19], spacing_mm, DVec3::from(shift_mm) + DVec3::new(-16.0, -18.0, 100.0));
            ct.index_to_lps.matrix3 = DMat3::from_rotation_x(turn) * ct.index_to_lps.matrix3;
            let pet = pet(samples);
            let on = |compute| on_grid_of(&compute, &ct, &pet).expect("values");
            let wanted = on(Compute::Cpu);
            let found = on(Compute::Gpu(gpu.clone()));
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((found - wanted).abs() <= TOLERANCE, "{found}, not {wanted}");
            }
            let slabs = on(Compute::Gpu(gpu.with_binding_limit_bytes(5 * 23 * 19 * 4)));
            prop_assert_eq!(found, slabs);
        }
    }
}
