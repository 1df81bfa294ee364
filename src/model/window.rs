//! Sliding window: where patches lie, which of them the search mask needs, and how much each of their voxels counts.
//!
//! Source: Isensee et al., Nat Methods 2021 (nnU-Net): evenly spread patches, Gaussian importance weights.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "grid indices are below 2^31 and are clamped before they are cast"
)]

use crate::volume::{Geometry, Mask};
use glam::{DAffine3, DVec3};

/// The part of a grid that is searched: a box, and which of its voxels count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Region {
    /// First voxel of the box on the grid, `[z, y, x]`.
    pub(crate) origin: [usize; 3],
    /// Size of the box, `[z, y, x]`.
    pub(crate) size: [usize; 3],
    /// One byte a voxel of the box, 1 where it is searched.
    pub(crate) inside: Vec<u8>,
}

impl Region {
    /// The voxels of `grid` whose cells overlap a set cell of `search`, in their bounding box; `None` if there are none.
    ///
    /// Both grids are axis-aligned with the patient; `search` may be coarser or finer and need not reach as far.
    pub(crate) fn new(grid: &Geometry, search: &Mask) -> Option<Self> {
        let cells = [0, 1, 2].map(|axis| overlapping_cells(grid, &search.geometry, axis));
        // One axis after the other: each pass brings one axis from the mask's sampling to the grid's.
        let [nz, ny, _] = search.geometry.size;
        let along_x = expand(&search.voxels, search.geometry.size, 2, &cells[2]);
        let along_y = expand(&along_x, [nz, ny, grid.size[2]], 1, &cells[1]);
        let inside = expand(&along_y, [nz, grid.size[1], grid.size[2]], 0, &cells[0]);
        Self::bounding(grid.size, &inside)
    }

    fn bounding(size: [usize; 3], inside: &[u8]) -> Option<Self> {
        let [_, ny, nx] = size;
        let (mut lower, mut upper) = ([usize::MAX; 3], [0; 3]);
        for (row_index, row) in inside.chunks_exact(nx).enumerate() {
            let Some(first) = row.iter().position(|v| *v != 0) else {
                continue;
            };
            let last = row.iter().rposition(|v| *v != 0).unwrap_or(first);
            let (z, y) = (row_index / ny, row_index % ny);
            lower = [lower[0].min(z), lower[1].min(y), lower[2].min(first)];
            upper = [upper[0].max(z), upper[1].max(y), upper[2].max(last)];
        }
        if lower[0] == usize::MAX {
            return None;
        }
        let box_size = [0, 1, 2].map(|axis| upper[axis] - lower[axis] + 1);
        let mut cropped = Vec::with_capacity(box_size.iter().product());
        for z in lower[0]..=upper[0] {
            for y in lower[1]..=upper[1] {
                let row = (z * ny + y) * nx;
                cropped.extend_from_slice(&inside[row + lower[2]..=row + upper[2]]);
            }
        }
        Some(Self {
            origin: lower,
            size: box_size,
            inside: cropped,
        })
    }

    /// The box as a grid of its own, at the same place in the patient.
    pub(crate) fn geometry(&self, grid: &Geometry) -> Geometry {
        let [z, y, x] = self.origin.map(|n| n as f64);
        Geometry {
            size: self.size,
            index_to_lps: grid.index_to_lps * DAffine3::from_translation(DVec3::new(x, y, z)),
        }
    }

    /// Origins `[z, y, x]` on the grid of the patches that hold a searched voxel, in storage order.
    ///
    /// A patch larger than the box is centred on it and hangs over.
    pub(crate) fn patches(&self, patch: [usize; 3], step_fraction: f64) -> Vec<[i64; 3]> {
        let [z, y, x] = [0, 1, 2].map(|axis| starts(self.size[axis], patch[axis], step_fraction));
        let mut origins = Vec::new();
        for &oz in &z {
            for &oy in &y {
                for &ox in &x {
                    if self.touches([oz, oy, ox], patch) {
                        let on_grid = |axis: usize, start: i64| self.origin[axis] as i64 + start;
                        origins.push([on_grid(0, oz), on_grid(1, oy), on_grid(2, ox)]);
                    }
                }
            }
        }
        origins
    }

    /// Whether a searched voxel lies in the patch that starts at `start` within the box.
    fn touches(&self, start: [i64; 3], patch: [usize; 3]) -> bool {
        let range = |axis: usize| {
            let end = start[axis] + patch[axis] as i64;
            start[axis].max(0) as usize..end.clamp(0, self.size[axis] as i64) as usize
        };
        let [_, ny, nx] = self.size;
        range(0).any(|z| {
            range(1).any(|y| {
                let row = (z * ny + y) * nx;
                self.inside[row..row + nx][range(2)].contains(&1)
            })
        })
    }
}

/// For each voxel of `grid` along `axis`, the cells of `coarse` that its own cell overlaps, first to last.
fn overlapping_cells(
    grid: &Geometry,
    other: &Geometry,
    axis: usize,
) -> Vec<Option<(usize, usize)>> {
    // Cells that only touch do not overlap; a part of 1e-6 of a cell is rounding.
    const ROUNDING: f64 = 1e-6;
    let xyz = 2 - axis;
    let to_other = other.lps_to_index() * grid.index_to_lps;
    let (scale, shift) = (to_other.matrix3.col(xyz)[xyz], to_other.translation[xyz]);
    let count = other.size[axis] as f64;
    (0..grid.size[axis])
        .map(|index| {
            let centre = index as f64 * scale + shift;
            let first = (centre - scale / 2.0 + 0.5 + ROUNDING).floor();
            let last = (centre + scale / 2.0 + 0.5 - ROUNDING).ceil() - 1.0;
            (last >= 0.0 && first < count && last >= first)
                .then(|| (first.max(0.0) as usize, last.min(count - 1.0) as usize))
        })
        .collect()
}

/// Replaces one axis of a mask: voxel `i` of the new axis is the maximum over `cells[i]` of the old one.
fn expand(mask: &[u8], size: [usize; 3], axis: usize, cells: &[Option<(usize, usize)>]) -> Vec<u8> {
    let stride: usize = size[axis + 1..].iter().product();
    let outer: usize = size[..axis].iter().product();
    let mut expanded = Vec::with_capacity(outer * cells.len() * stride);
    for block in 0..outer {
        let base = block * size[axis] * stride;
        for cell in cells {
            let start = expanded.len();
            expanded.resize(start + stride, 0);
            let Some((first, last)) = *cell else { continue };
            for index in first..=last {
                let from = &mask[base + index * stride..][..stride];
                for (to, value) in expanded[start..].iter_mut().zip(from) {
                    *to = (*to).max(*value);
                }
            }
        }
    }
    expanded
}

/// Where patches start along one axis of a box: at most `step_fraction` of a patch apart, evenly spread, the last at the border.
pub(super) fn starts(size: usize, patch: usize, step_fraction: f64) -> Vec<i64> {
    if size <= patch {
        return vec![-(((patch - size) / 2) as i64)];
    }
    let room = (size - patch) as f64;
    let steps = (room / (patch as f64 * step_fraction)).ceil();
    (0..=steps as usize)
        .map(|i| (room / steps * i as f64).round_ties_even() as i64)
        .collect()
}

/// Below it a patch shows too little around a lesion.
const MIN_PATCH: usize = 32;

/// The patch halved along its largest axis and still a multiple of the network's total stride; `None` where it gets too small.
pub(crate) fn smaller(patch: [usize; 3], total_stride: [usize; 3]) -> Option<[usize; 3]> {
    let largest = (0..3).rev().max_by_key(|axis| patch[*axis])?;
    let halved = (patch[largest] / 2).next_multiple_of(total_stride[largest]);
    let mut smaller = patch;
    smaller[largest] = halved;
    (halved >= MIN_PATCH && halved < patch[largest]).then_some(smaller)
}

/// Gaussian importance of the voxels of a patch: the product of one weight per axis, 1 at the centre.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Importance {
    /// Weights along z, y, x.
    pub(crate) axes: [Vec<f32>; 3],
}

impl Importance {
    /// Standard deviation of an eighth of the patch.
    pub(crate) fn gaussian(patch: [usize; 3]) -> Self {
        let axes = patch.map(|size| {
            let (centre, sigma) = ((size / 2) as f64, size as f64 / 8.0);
            (0..size)
                .map(|i| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp() as f32)
                .collect()
        });
        Self { axes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(size: [usize; 3], spacing_mm: [f64; 3], origin: f64) -> Geometry {
        Geometry::axis_aligned(size, spacing_mm, DVec3::splat(origin))
    }

    #[test]
    fn patches_are_spread_as_nnunet_spreads_them() {
        assert_eq!(starts(110, 64, 0.5), [0, 23, 46]);
        assert_eq!(starts(128, 64, 0.5), [0, 32, 64]);
        assert_eq!(starts(65, 64, 0.5), [0, 1]);
        assert_eq!(starts(64, 64, 0.5), [0]);
        assert_eq!(starts(50, 64, 0.5), [-7]);
        assert_eq!(starts(100, 64, 0.625), [0, 36]);
        assert_eq!(starts(300, 64, 0.625), [0, 39, 79, 118, 157, 197, 236]);
    }

    #[test]
    fn patches_start_where_nnunet_starts_them() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/nnunet/windows.safetensors"
        );
        let bytes = std::fs::read(path).expect("testdata");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
        let text = &header.metadata().as_ref().expect("metadata")["hilum"];
        let about: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let steps = about["steps"].as_array().expect("steps");
        assert!(steps.len() > 80);
        for step in steps {
            let count = |key: &str| step[key].as_u64().expect(key) as usize;
            let fraction = step["fraction"].as_f64().expect("fraction");
            let expected: Vec<i64> =
                serde_json::from_value(step["starts"].clone()).expect("starts");
            let found = starts(count("length"), count("patch"), fraction);
            assert_eq!(found, expected, "{step}");
        }
    }

    #[test]
    fn a_patch_is_halved_along_its_largest_axis_until_it_is_too_small() {
        let next = |patch| smaller(patch, [8, 16, 16]);
        assert_eq!(next([64, 64, 64]), Some([32, 64, 64]));
        assert_eq!(next([32, 64, 64]), Some([32, 32, 64]));
        assert_eq!(next([40, 96, 80]), Some([40, 48, 80]));
        assert_eq!(next([32, 32, 32]), None);
    }

    #[test]
    fn importance_is_one_at_the_centre_and_falls_by_eighths_of_the_patch() {
        let [z, ..] = Importance::gaussian([64, 32, 32]).axes;
        assert!((z[32] - 1.0).abs() < 1e-7);
        assert!((z[40] - (-0.5f32).exp()).abs() < 1e-7);
        assert!(z[0] > 0.0);
    }

    #[test]
    fn a_search_voxel_of_two_millimetres_selects_the_grid_voxels_its_cell_overlaps() {
        let mut search = Mask::filled(grid([1, 1, 4], [2.0; 3], 0.0), 0);
        search.voxels[1] = 1;
        let region = Region::new(&grid([1, 1, 8], [1.0; 3], 0.0), &search).expect("a region");
        assert_eq!((region.origin, region.size), ([0, 0, 1], [1, 1, 3]));
    }

    #[test]
    fn an_empty_search_mask_has_no_region() {
        let search = Mask::filled(grid([3; 3], [2.0; 3], 0.0), 0);
        assert_eq!(Region::new(&grid([6; 3], [1.0; 3], 0.0), &search), None);
    }

    #[test]
    fn the_box_lies_at_the_same_place_in_the_patient() {
        let model_grid = grid([6, 7, 8], [2.0, 1.0, 0.5], -10.0);
        let mut search = Mask::filled(model_grid, 0);
        let index = model_grid.linear([3, 2, 5]);
        search.voxels[index] = 1;
        let region = Region::new(&model_grid, &search).expect("a region");
        let expected = model_grid.to_lps_mm(DVec3::new(5.0, 2.0, 3.0));
        let found = region.geometry(&model_grid).to_lps_mm(DVec3::ZERO);
        assert!(found.distance(expected) < 1e-9);
    }

    proptest! {
        #[test]
        fn every_grid_voxel_over_a_search_voxel_lies_in_a_kept_patch(
            size in [4usize..24, 4usize..24, 4usize..24],
            spacing in [0.5f64..3.0, 0.5f64..3.0, 0.5f64..3.0],
            search_mm in 0.7f64..4.0,
            shift_mm in -3.0f64..3.0,
            patch in prop::array::uniform3(prop::sample::select(vec![4usize, 6, 8, 12])),
            step_fraction in 0.3f64..1.0,
            picks in prop::collection::vec(0usize..100_000, 1..12),
        ) {
            let model_grid = grid(size, spacing, 0.0);
            let mut search = Mask::filled(grid(size, [search_mm; 3], shift_mm), 0);
            for pick in picks {
                let count = search.voxels.len();
                search.voxels[pick % count] = 1;
            }
            let region = Region::new(&model_grid, &search);
            let patches = region.as_ref().map_or(vec![], |r| r.patches(patch, step_fraction));
            for linear in (0..search.voxels.len()).filter(|i| search.voxels[*i] == 1) {
                let [_, ny, nx] = search.geometry.size;
                let centre = [(linear / (ny * nx)), linear / nx % ny, linear % nx];
                let lps = search.geometry.to_lps_mm(DVec3::new(
                    centre[2] as f64, centre[1] as f64, centre[0] as f64,
                ));
                let index = model_grid.lps_to_index().transform_point3(lps).round();
                let voxel = [index.z as i64, index.y as i64, index.x as i64];
                let on_grid = index.cmpge(DVec3::ZERO).all()
                    && (0..3).all(|axis| voxel[axis] < size[axis] as i64);
                if on_grid {
                    let covered = patches.iter().any(|origin| (0..3).all(|axis| {
                        (origin[axis]..origin[axis] + patch[axis] as i64).contains(&voxel[axis])
                    }));
                    prop_assert!(covered, "voxel {voxel:?} of {size:?}");
                }
            }
            if let Some(region) = region {
                for (linear, _) in region.inside.iter().enumerate().filter(|(_, v)| **v == 1) {
                    let [_, ny, nx] = region.size;
                    let at = [linear / (ny * nx), linear / nx % ny, linear % nx];
                    let covered = patches.iter().any(|origin| (0..3).all(|axis| {
                        let voxel = (region.origin[axis] + at[axis]) as i64;
                        (origin[axis]..origin[axis] + patch[axis] as i64).contains(&voxel)
                    }));
                    prop_assert!(covered);
                }
            }
        }
    }
}
