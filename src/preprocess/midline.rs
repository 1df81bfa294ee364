//! Where the right lung ends and the left begins: in goes smoothed HU and the body's centre; out comes, for each row of
//! voxels, the x at which the mediastinum or the line where both lungs meet is crossed.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are clamped to 0..=1000 and indices to the grid before they are cast"
)]

use glam::DVec3;
use rayon::prelude::*;

use crate::volume::{Geometry, Laterality};

/// The mediastinum may be pushed this far from the body's centre, mm.
const REACH_MM: f64 = 40.0;
/// Nearer to the midline than this, no side is stated, mm.
const MARGIN_MM: f64 = 5.0;
/// What a voxel of distance from the centre costs, in HU: decides only where tissue leaves the way open.
const COST_OFF_CENTRE_HU: u32 = 2;

/// A surface from front to back between the lungs, one x a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Midline {
    /// First x of the left side, `[z, y]`.
    x: Vec<u32>,
}

impl Midline {
    /// Finds in each slice the path from front to back that crosses as little air as possible.
    ///
    /// `hu` is `[z, y, x]` on `grid`, whose axes are the patient's; `centre_x` is the body's, as a voxel index.
    pub fn reference(hu: &[f32], grid: &Geometry, centre_x: usize) -> Self {
        let [_, ny, nx] = grid.size;
        if hu.is_empty() {
            return Self::unknown();
        }
        let reach = (REACH_MM / grid.spacing_mm()[2]) as usize;
        let first = centre_x.saturating_sub(reach);
        let last = (centre_x + reach).min(nx - 1);
        let slices = hu.par_chunks(ny * nx);
        let paths = slices.map(|slice| path(slice, nx, first, last, centre_x));
        let x = paths.collect::<Vec<_>>().concat();
        Self { x }
    }

    /// The midline of a volume without lungs: no side is ever told.
    pub fn unknown() -> Self {
        Self { x: Vec::new() }
    }

    /// The side of the patient on which a position lies; `None` within 5 mm of the midline or if that is unknown.
    pub fn side(&self, grid: &Geometry, position_lps_mm: DVec3) -> Option<Laterality> {
        let index = grid.lps_to_index().transform_point3(position_lps_mm);
        let [nz, ny, _] = grid.size;
        let nearest = |v: f64, n: usize| v.round().clamp(0.0, n.saturating_sub(1) as f64) as usize;
        let row = nearest(index.z, nz) * ny + nearest(index.y, ny);
        // The border runs between two voxels.
        let border = f64::from(*self.x.get(row)?) - 0.5;
        let to_the_left_mm = (index.x - border) * grid.spacing_mm()[2];
        if to_the_left_mm.abs() < MARGIN_MM {
            None
        } else if to_the_left_mm > 0.0 {
            Some(Laterality::Left)
        } else {
            Some(Laterality::Right)
        }
    }
}

/// Cheapest x of each row of a slice, `first..=last`, where neighbouring rows differ by one voxel at most.
fn path(slice: &[f32], nx: usize, first: usize, last: usize, centre_x: usize) -> Vec<u32> {
    let width = last - first + 1;
    let nearby = |k: usize| k.saturating_sub(1)..=(k + 1).min(width - 1);
    let mut total: Vec<Vec<u32>> = Vec::with_capacity(slice.len() / nx);
    for row in slice.chunks_exact(nx) {
        let cost = |k: usize| {
            let air = (-row[first + k]).clamp(0.0, 1000.0) as u32;
            air + COST_OFF_CENTRE_HU * (first + k).abs_diff(centre_x) as u32
        };
        let before = |k: usize| {
            let above = total.last().map(|t| nearby(k).map(|n| t[n]).min());
            above.flatten().unwrap_or(0)
        };
        let row_total = (0..width).map(|k| cost(k) + before(k)).collect();
        total.push(row_total);
    }
    let mut allowed = 0..=width - 1;
    let mut x = vec![0; total.len()];
    for (row, costs) in total.iter().enumerate().rev() {
        let k = allowed.min_by_key(|&k| costs[k]).unwrap_or(0);
        x[row] = (first + k) as u32;
        allowed = nearby(k);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lungs of -850 HU that touch at the plane `x = y + 5`, -600 HU.
    fn touching_lungs() -> (Vec<f32>, Geometry) {
        let grid = Geometry::axis_aligned([2, 10, 21], [2.0; 3], DVec3::new(-20.0, 0.0, 0.0));
        let hu = (0..grid.voxel_count())
            .map(|i| {
                if i % 21 == i / 21 % 10 + 5 {
                    -600.0
                } else {
                    -850.0
                }
            })
            .collect();
        (hu, grid)
    }

    #[test]
    fn the_midline_follows_the_line_where_the_lungs_meet() {
        let (hu, grid) = touching_lungs();
        let midline = Midline::reference(&hu, &grid, 10);
        let slanted: Vec<u32> = (5..15).chain(5..15).collect();
        assert_eq!(midline.x, slanted);
    }

    #[test]
    fn lower_x_is_the_patients_right_and_near_the_midline_no_side_is_told() {
        let (hu, grid) = touching_lungs();
        let midline = Midline::reference(&hu, &grid, 10);
        let side = |x_mm| midline.side(&grid, DVec3::new(x_mm, 10.0, 2.0));
        assert_eq!(side(-15.0), Some(Laterality::Right));
        assert_eq!(side(15.0), Some(Laterality::Left));
        assert_eq!(side(2.0), None);
    }

    #[test]
    fn a_grid_without_voxels_tells_no_side() {
        let grid = Geometry::axis_aligned([0, 3, 3], [2.0; 3], DVec3::ZERO);
        let midline = Midline::reference(&[], &grid, 1);
        assert_eq!(midline.side(&grid, DVec3::ZERO), None);
    }
}
