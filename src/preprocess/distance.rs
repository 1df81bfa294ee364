//! Exact Euclidean distance on an isotropic grid, up to a radius: in goes one number a voxel, of which some are seeds;
//! out comes, for each voxel, the squared distance to the nearest seed, in squared voxels. Integers, one axis after
//! the other, so every device gives the same numbers.

#![expect(
    clippy::cast_possible_truncation,
    reason = "squared distances within the greatest radius fit 16 bits"
)]

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Gpu, Grid, Kernel, Pass, params};

/// So that a squared distance and one more step fit 16 bits, of which a register holds twice as many as of 32.
pub const MAX_RADIUS_VOXELS: u16 = 180;

/// Stands for "farther than `radius_voxels`"; the first number that is no distance within it.
pub const fn beyond(radius_voxels: u16) -> u16 {
    radius_voxels * radius_voxels + 1
}

/// What is looked for, and how far.
#[derive(Debug, Clone)]
pub struct Search {
    /// Values that mark a seed.
    pub seeds: RangeInclusive<u16>,
    /// Voxels along z, y, x.
    pub size: [usize; 3],
    /// At most [`MAX_RADIUS_VOXELS`].
    pub radius_voxels: u16,
}

params! {
    /// Mirrors `Params` in `shaders/distance.wgsl`.
    struct Params {
        grid: Grid,
        first_seed: u32,
        last_seed: u32,
        radius_voxels: u32,
        axis: u32,
    }
}

const fn kernel(label: &'static str, entry_point: &'static str) -> Kernel {
    Kernel {
        label,
        source: concat!(
            include_str!("../../shaders/shared/grid.wgsl"),
            include_str!("../../shaders/distance.wgsl"),
        ),
        constants: &[],
        unchecked: false,
        entry_point,
        workgroup_size: [32, 4, 2],
        params: Params::LAYOUT,
        buffers: &[Access::Read, Access::ReadWrite],
    }
}

/// `along_x` of `shaders/distance.wgsl`
pub static ALONG_X: Kernel = kernel("distance along x", "along_x");
/// `across_rows` of `shaders/distance.wgsl`
pub static ACROSS_ROWS: Kernel = kernel("distance across rows", "across_rows");

/// Records the kernels, one dispatch an axis; `input` and the result are one word a voxel.
///
/// # Errors
/// [`Error::Gpu`].
pub fn record(
    pass: &mut Pass<'_>,
    input: &Buffer<u32>,
    search: &Search,
) -> Result<Buffer<u32>, Error> {
    let scratch = pass.gpu().output("distance along two axes", input.len())?;
    let output = pass.gpu().output("distance", input.len())?;
    let (first, last) = (*search.seeds.start(), *search.seeds.end());
    let steps = [
        (&ALONG_X, input, &output),
        (&ACROSS_ROWS, &output, &scratch),
        (&ACROSS_ROWS, &scratch, &output),
    ];
    for ((kernel, from, to), axis) in steps.into_iter().zip(0..) {
        let params = Params {
            grid: Grid::new(search.size)?,
            first_seed: u32::from(first),
            last_seed: u32::from(last),
            radius_voxels: u32::from(search.radius_voxels),
            axis,
        };
        let buffers = [from.binding(), to.binding()];
        pass.dispatch(kernel, &params, &buffers, Extent::Voxels(search.size))?;
    }
    Ok(output)
}

/// Copies distances that [`record`] made back.
///
/// # Errors
/// [`Error::Gpu`].
pub fn download(gpu: &Gpu, distances: &Buffer<u32>) -> Result<Vec<u16>, Error> {
    let words = gpu.download(distances)?;
    // All are at most `beyond(MAX_RADIUS_VOXELS)`.
    Ok(words.into_iter().map(|d| d as u16).collect())
}

/// The definition; the shader must give the same numbers, as 32 bits.
///
/// `input` is `[z, y, x]` of `size`; a voxel is a seed where its value lies in `seeds`. Distances above
/// `radius_voxels` (at most [`MAX_RADIUS_VOXELS`]) become [`beyond`]. Outside the grid there is no seed.
pub fn reference<T>(input: &[T], search: &Search) -> Vec<u16>
where
    T: Copy + Into<u16> + Sync,
{
    let Search {
        ref seeds,
        size,
        radius_voxels,
    } = *search;
    debug_assert_eq!(input.len(), size.iter().product::<usize>());
    debug_assert!(radius_voxels <= MAX_RADIUS_VOXELS);
    let row_length = size[2].max(1);
    let mut along_x = vec![0; input.len()];
    along_x
        .par_chunks_mut(row_length)
        .zip(input.par_chunks(row_length))
        .for_each(|(output, row)| within_row(row, seeds, radius_voxels, output));
    let along_y = across_rows(&along_x, size, [0, 1], radius_voxels);
    across_rows(&along_y, size, [1, 0], radius_voxels)
}

/// Squared distance to the nearest seed of the same row, by one sweep each way.
fn within_row<T>(row: &[T], seeds: &RangeInclusive<u16>, radius_voxels: u16, output: &mut [u16])
where
    T: Copy + Into<u16>,
{
    let mut steps = radius_voxels + 1;
    for (out, &value) in output.iter_mut().zip(row) {
        steps = if seeds.contains(&value.into()) {
            0
        } else {
            steps.saturating_add(1)
        };
        *out = steps;
    }
    steps = radius_voxels + 1;
    for out in output.iter_mut().rev() {
        steps = (*out).min(steps.saturating_add(1));
        *out = if steps > radius_voxels {
            beyond(radius_voxels)
        } else {
            steps * steps
        };
    }
}

/// Smallest `input + step²` over the rows within `radius_voxels` steps along `direction` (z, y).
fn across_rows(
    input: &[u16],
    size: [usize; 3],
    direction: [usize; 2],
    radius_voxels: u16,
) -> Vec<u16> {
    let [nz, ny, nx] = size;
    let mut output = input.to_vec();
    let rows = output.par_chunks_mut(nx.max(1)).enumerate();
    rows.for_each(|(row, output)| {
        for step in 1..=radius_voxels {
            let [dz, dy] = direction.map(|d| d * usize::from(step));
            let before = (row / ny).checked_sub(dz).zip((row % ny).checked_sub(dy));
            let after = Some((row / ny + dz, row % ny + dy)).filter(|&(z, y)| z < nz && y < ny);
            for (z, y) in [before, after].into_iter().flatten() {
                let start = (z * ny + y) * nx;
                for (out, &near) in output.iter_mut().zip(&input[start..start + nx]) {
                    *out = (*out).min(near + step * step);
                }
            }
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute_force(mask: &[u8], size: [usize; 3], radius_voxels: u16) -> Vec<u16> {
        let place = |i: usize| [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]];
        let squared = |a: usize, b: usize| {
            let pairs = place(a).into_iter().zip(place(b));
            pairs.map(|(p, q)| p.abs_diff(q).pow(2) as u32).sum::<u32>()
        };
        let far = u32::from(beyond(radius_voxels));
        let seeds: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] == 1).collect();
        (0..mask.len())
            .map(|i| {
                let nearest = seeds.iter().map(|&s| squared(i, s)).min();
                nearest.map_or(far, |d| d.min(far)) as u16
            })
            .collect()
    }

    fn masks() -> impl Strategy<Value = ([usize; 3], Vec<u8>)> {
        (1usize..8, 1usize..9, 1usize..20, 0.0f64..0.2).prop_flat_map(|(z, y, x, density)| {
            let voxel = prop::bool::weighted(density).prop_map(u8::from);
            (Just([z, y, x]), prop::collection::vec(voxel, z * y * x))
        })
    }

    fn around_ones(size: [usize; 3], radius_voxels: u16) -> Search {
        Search {
            seeds: 1..=1,
            size,
            radius_voxels,
        }
    }

    proptest! {
        #[test]
        fn distances_equal_brute_force((size, mask) in masks(), radius in 0u16..12) {
            prop_assert_eq!(
                reference(&mask, &around_ones(size, radius)),
                brute_force(&mask, size, radius)
            );
        }
    }

    #[test]
    fn a_seed_range_selects_by_value() {
        let search = Search {
            seeds: 3..=4,
            ..around_ones([1, 1, 5], 1)
        };
        assert_eq!(reference::<u16>(&[0, 9, 3, 4, 0], &search), [2, 1, 0, 0, 1]);
    }

    #[test]
    fn the_greatest_radius_does_not_overflow() {
        let mut row = vec![0_u8; 400];
        row[0] = 1;
        let distances = reference(&row, &around_ones([1, 1, 400], MAX_RADIUS_VOXELS));
        assert_eq!(distances[180], 180 * 180);
        assert_eq!(distances[181], beyond(MAX_RADIUS_VOXELS));
        let column = reference(&row, &around_ones([20, 20, 1], MAX_RADIUS_VOXELS));
        assert_eq!(column[399], 19 * 19 * 2);
    }

    #[test]
    fn a_grid_without_voxels_has_no_distances() {
        assert!(reference::<u8>(&[], &around_ones([0, 3, 0], 5)).is_empty());
    }
}
