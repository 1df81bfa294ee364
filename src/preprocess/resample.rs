//! Reads a source volume at the voxel centres of a target grid, through a full affine.

use super::mapping::Mapping;
use super::slab::{Slab, SourceSlices};
use super::taps::Taps;
use super::{Error, Interpolation, aligned};
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};
use crate::volume::StoredVolume;
use rayon::prelude::*;

params! {
    /// Mirrors `Params` in `shaders/resample.wgsl`.
    struct Params {
        output_grid: Grid,
        source_grid: Grid,
        to_source_x: [f32; 4],
        to_source_y: [f32; 4],
        to_source_z: [f32; 4],
        reach: [f32; 4],
        output_first: u32,
        loaded_first: u32,
        owned_first: u32,
        owned_end: u32,
        cubic: u32,
        outside: f32,
        uneven: u32,
        _pad0: u32,
    }
}

/// `shaders/resample.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "resample",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/shared/sample.wgsl"),
        include_str!("../../shaders/resample.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::ReadWrite],
};

/// Records the part of a target slab that `source` owns; all source slabs together fill it.
///
/// # Errors
/// [`Error::Gpu`] when a buffer exceeds the device's limits.
pub fn record(
    pass: &mut Pass<'_>,
    mapping: &Mapping,
    (source, source_hu): (&SourceSlices, &Buffer<f32>),
    target: &Slab,
) -> Result<(), Error> {
    let [_, rows, columns] = mapping.target_size;
    let size = [target.slices.len(), rows, columns];
    let [to_source_x, to_source_y, to_source_z] = mapping.to_source;
    let [reach_x, reach_y, reach_z] = mapping.reach;
    // Slice numbers are below the voxel counts that Grid::new proved to fit 32 bits.
    let slice = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let params = Params {
        output_grid: Grid::new(size)?,
        source_grid: Grid::new(mapping.source_size)?,
        to_source_x,
        to_source_y,
        to_source_z,
        reach: [reach_x, reach_y, reach_z, 0.0],
        output_first: slice(target.slices.start),
        loaded_first: slice(source.loaded.start),
        owned_first: slice(source.owned.start),
        owned_end: slice(source.owned.end),
        cubic: u32::from(mapping.interpolation == Interpolation::Cubic),
        outside: mapping.outside,
        uneven: u32::from(!mapping.slices.is_empty()),
        _pad0: 0,
    };
    // A buffer may not be empty.
    let slices = match &mapping.slices[..] {
        [] => &[0.0],
        slices => slices,
    };
    let slices = pass.gpu().upload("slice positions", slices)?;
    let buffers = [source_hu.binding(), slices.binding(), target.hu.binding()];
    pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(size))?;
    Ok(())
}

/// The definition: `source_hu` on the mapping's source grid, read at every target voxel.
pub fn reference(mapping: &Mapping, source_hu: &[f32]) -> Vec<f32> {
    let [_, rows, columns] = mapping.source_size;
    resample(mapping, |z, y, x| source_hu[(z * rows + y) * columns + x])
}

/// The path for the CPU: rescales each sample as it is read, so that the source is never copied to `f32`.
///
/// Equal to [`reference()`] of [`super::rescale::reference`], to the bit.
pub fn from_stored(mapping: &Mapping, stored: &StoredVolume) -> Vec<f32> {
    match mapping.aligned() {
        Some(axes) => aligned::resample(mapping, &axes, stored),
        None => resample(mapping, |z, y, x| stored.rescaled([z, y, x])),
    }
}

fn resample(mapping: &Mapping, hu_at: impl Fn(usize, usize, usize) -> f32 + Sync) -> Vec<f32> {
    match mapping.interpolation {
        Interpolation::Trilinear => resample_with::<2>(mapping, hu_at),
        Interpolation::Cubic => resample_with::<4>(mapping, hu_at),
    }
}

fn resample_with<const TAPS: usize>(
    mapping: &Mapping,
    hu_at: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> Vec<f32> {
    let [slices, rows, columns] = mapping.target_size;
    let [_, ny, nx] = mapping.source_size;
    let mut output = vec![mapping.outside; slices * rows * columns];
    let lines = output.par_chunks_mut(columns.max(1)).enumerate();
    lines.for_each(|(line, output)| {
        for (x, output) in output.iter_mut().enumerate() {
            let Some([sx, sy, sz]) = mapping.position([line / rows, line % rows, x]) else {
                continue;
            };
            let [tx, ty] = [Taps::<TAPS>::at(sx, nx), Taps::at(sy, ny)];
            let tz: Taps<TAPS> = mapping.slice_taps(sz);
            *output = tz.sum(|z| tx.sum(|x| ty.sum(|y| hu_at(z, y, x))));
        }
    });
    output
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_possible_truncation,
        reason = "values are made in f64 and read in f32"
    )]

    use super::*;
    use crate::volume::{Geometry, PADDING_HU, SlicePositions};
    use glam::{DAffine3, DMat3, DVec3};
    use proptest::prelude::*;

    const BOTH: [Interpolation; 2] = [Interpolation::Trilinear, Interpolation::Cubic];

    fn source() -> Geometry {
        Geometry::axis_aligned([9, 10, 11], [2.5, 0.7, 0.9], DVec3::new(-30.0, 12.0, 100.0))
    }

    fn sampled(geometry: &Geometry, hu: impl Fn(DVec3) -> f64) -> Vec<f32> {
        let [nz, ny, nx] = geometry.size;
        let at = |x, y, z| hu(geometry.to_lps_mm(DVec3::new(x as f64, y as f64, z as f64))) as f32;
        (0..nz)
            .flat_map(|z| (0..ny).flat_map(move |y| (0..nx).map(move |x| (x, y, z))))
            .map(|(x, y, z)| at(x, y, z))
            .collect()
    }

    #[test]
    fn midway_between_two_voxels_lies_their_mean_and_beyond_half_a_voxel_the_background() {
        let source = Geometry::axis_aligned([1, 1, 2], [1.0; 3], DVec3::ZERO);
        let target = Geometry::axis_aligned([1, 1, 8], [0.5; 3], DVec3::new(-1.0, 0.0, 0.0));
        let mapping = Mapping::new(&source, &target, Interpolation::Trilinear);
        let outside = PADDING_HU;
        let wanted = [outside, 10.0, 10.0, 15.0, 20.0, 20.0, outside, outside];
        assert_eq!(reference(&mapping, &[10.0, 20.0]), wanted);
    }

    #[test]
    fn cubic_midway_is_catmull_rom() {
        let source = Geometry::axis_aligned([1, 1, 4], [1.0; 3], DVec3::ZERO);
        let target = Geometry::axis_aligned([1, 1, 1], [1.0; 3], DVec3::new(1.5, 0.0, 0.0));
        let mapping = Mapping::new(&source, &target, Interpolation::Cubic);
        assert_eq!(reference(&mapping, &[16.0, 32.0, 64.0, 0.0]), [53.0]);
    }

    #[test]
    fn the_same_grid_is_copied_bit_for_bit() {
        let hu = sampled(&source(), |p| (p.x * 37.0).sin() * 1000.0 + p.y + p.z);
        for interpolation in BOTH {
            let mapping = Mapping::new(&source(), &source(), interpolation);
            assert_eq!(reference(&mapping, &hu), hu);
        }
    }

    #[test]
    fn each_of_the_48_orientations_is_undone_exactly() {
        let axes = [DVec3::X, DVec3::Y, DVec3::Z];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let upright = source();
        let hu = sampled(&upright, |p| {
            p.x * 3.0 + (p.y * 5.0).cos() * 40.0 + p.z * p.z * 0.01
        });
        for (order, flips) in orders.iter().flat_map(|o| (0..8_u32).map(move |f| (o, f))) {
            let [nz, ny, nx] = upright.size;
            let lengths = order.map(|axis: usize| [nx, ny, nz][axis]);
            let mut origin = DVec3::ZERO;
            let mut columns = order.map(|axis| axes[axis]);
            for (k, column) in columns.iter_mut().enumerate() {
                if flips >> k & 1 == 1 {
                    origin += *column * (lengths[k] - 1) as f64;
                    *column = -*column;
                }
            }
            let turn = DAffine3::from_mat3_translation(
                DMat3::from_cols_array_2d(&columns.map(|c| c.to_array())),
                origin,
            );
            let turned = Geometry {
                size: [lengths[2], lengths[1], lengths[0]],
                index_to_lps: upright.index_to_lps * turn,
            };
            let there = reference(
                &Mapping::new(&upright, &turned, Interpolation::Trilinear),
                &hu,
            );
            let back = reference(
                &Mapping::new(&turned, &upright, Interpolation::Cubic),
                &there,
            );
            assert_eq!(back, hu, "order {order:?}, flips {flips:03b}");
        }
    }

    #[test]
    fn around_a_pet_lies_no_activity() {
        let stored = StoredVolume {
            geometry: Geometry::axis_aligned([1, 1, 1], [1.0; 3], DVec3::ZERO),
            slices: SlicePositions::even(),
            samples: vec![7].into(),
            signed: false,
            rescale: vec![crate::volume::Rescale {
                slope: 1.0,
                intercept: 0.0,
            }],
            padding: None,
            padding_value: 0.0,
        };
        let upright = Geometry::axis_aligned([1, 1, 3], [1.0; 3], DVec3::new(-1.0, 0.0, 0.0));
        let mut sheared = upright;
        sheared.index_to_lps.matrix3.x_axis.y = 0.3;
        for target in [upright, sheared] {
            let mapping = Mapping::of_stack(&stored, &target, Interpolation::Trilinear);
            assert_eq!(from_stored(&mapping, &stored), [0.0, 7.0, 0.0]);
        }
    }

    /// Source indices are f32 and below 16: positions are exact to 2^-20 voxels, and the ramp rises 200 HU a voxel.
    const RAMP_TOLERANCE_HU: f32 = 0.01;

    #[test]
    fn between_uneven_slices_a_ramp_is_read_where_they_lie() {
        let geometry = Geometry::axis_aligned([4, 1, 1], [1.0; 3], DVec3::ZERO);
        let stored = StoredVolume {
            geometry,
            slices: SlicePositions::uneven(vec![0.0, 0.5, 2.5, 3.0]).expect("ascending"),
            samples: vec![0, 5, 25, 30].into(),
            signed: false,
            rescale: vec![
                crate::volume::Rescale {
                    slope: 1.0,
                    intercept: 0.0
                };
                4
            ],
            padding: None,
            padding_value: PADDING_HU,
        };
        let target = Geometry::axis_aligned([7, 1, 1], [0.5, 1.0, 1.0], DVec3::ZERO);
        for interpolation in BOTH {
            let mapping = Mapping::of_stack(&stored, &target, interpolation);
            let wanted = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0];
            assert_eq!(from_stored(&mapping, &stored), wanted);
        }
    }

    proptest! {
        #[test]
        fn a_linear_ramp_stays_a_linear_ramp_through_any_affine(
            columns in prop::array::uniform9(-1.5_f64..1.5),
            slope in prop::array::uniform3(-80.0_f64..80.0),
        ) {
            let matrix = DMat3::from_cols_array(&columns);
            prop_assume!(matrix.determinant().abs() > 0.05);
            let middle_lps_mm = source().to_lps_mm(DVec3::new(5.0, 4.5, 4.0));
            let target = Geometry {
                size: [6, 5, 7],
                index_to_lps: DAffine3::from_mat3_translation(matrix, middle_lps_mm - matrix * DVec3::new(3.0, 2.0, 2.5)),
            };
            let ramp = |p: DVec3| DVec3::from_array(slope).dot(p - middle_lps_mm);
            let hu = sampled(&source(), ramp);
            let wanted = sampled(&target, ramp);
            for interpolation in BOTH {
                let mapping = Mapping::new(&source(), &target, interpolation);
                let found = reference(&mapping, &hu);
                for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    let [_, rows, columns] = target.size;
                    let index = [i / columns / rows, i / columns % rows, i % columns];
                    let at = mapping.position(index);
                    let last = [10.0, 9.0, 8.0];
                    // Repeated edge voxels bend the ramp within one voxel of the border.
                    let inner = at.is_some_and(|at| (0..3).all(|k| at[k] >= 1.0 && at[k] <= last[k] - 1.0));
                    if inner {
                        prop_assert!((found - wanted).abs() < RAMP_TOLERANCE_HU, "{found}, not {wanted}, at {index:?}");
                    }
                }
            }
        }

        #[test]
        fn the_path_from_stored_values_equals_the_references_to_the_bit(
            samples in prop::collection::vec(any::<u16>(), 3 * 4 * 5),
            signed: bool,
            shift in -2.0_f64..2.0,
            places in prop::option::of(0.1..1.9_f64),
        ) {
            let geometry = Geometry::axis_aligned([3, 4, 5], [2.0, 1.0, 1.0], DVec3::ZERO);
            let line = |slice| crate::volume::Rescale { slope: 1.5 + slice as f32, intercept: -1000.0 };
            let stored = StoredVolume {
                geometry,
                slices: places
                    .and_then(|middle| SlicePositions::uneven(vec![0.0, middle, 2.0]))
                    .unwrap_or_default(),
                samples: samples.into(),
                signed,
                rescale: (0..3).map(line).collect(),
                padding: Some((-100, 2000)),
                padding_value: if signed { 0.0 } else { PADDING_HU },
            };
            let hu = crate::preprocess::rescale::reference(&stored);
            let aligned = Geometry::axis_aligned([4, 5, 6], [-1.3, 0.7, 0.8], DVec3::splat(2.0 + shift));
            let mut sheared = aligned;
            sheared.index_to_lps.matrix3.z_axis.y = 0.3;
            for (interpolation, target) in BOTH.into_iter().flat_map(|i| [(i, aligned), (i, sheared)]) {
                let mapping = Mapping::of_stack(&stored, &target, interpolation);
                prop_assert_eq!(from_stored(&mapping, &stored), reference(&mapping, &hu));
            }
        }
    }
}
