//! Where voxels lie in the patient: an affine from voxel index to LPS millimetres.
//!
//! Shear is allowed (gantry tilt), so spacing is the length of the affine's columns and distances go through the affine.

use glam::{DAffine3, DMat3, DVec3};

/// The grid of a volume: its size and where its voxel centres lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Voxels along z, y, x.
    pub size: [usize; 3],
    /// Maps a voxel index `[x, y, z]` (centre of voxel 0 at the origin) to LPS mm.
    pub index_to_lps: DAffine3,
}

impl Geometry {
    /// A grid whose axes are the patient's: x to the left, y to the back, z to the head.
    pub fn axis_aligned(size: [usize; 3], spacing_mm: [f64; 3], origin_lps_mm: DVec3) -> Self {
        let [z, y, x] = spacing_mm;
        let index_to_lps = DAffine3::from_mat3_translation(
            DMat3::from_diagonal(DVec3::new(x, y, z)),
            origin_lps_mm,
        );
        Self { size, index_to_lps }
    }

    /// Number of voxels.
    pub fn voxel_count(&self) -> usize {
        self.size.iter().product()
    }

    /// Distance between neighbouring voxel centres along z, y, x, in mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        let m = self.index_to_lps.matrix3;
        [m.z_axis.length(), m.y_axis.length(), m.x_axis.length()]
    }

    /// Volume of one voxel, mm³ (the parallelepiped's, where the grid is sheared).
    pub fn voxel_volume_mm3(&self) -> f64 {
        self.index_to_lps.matrix3.determinant().abs()
    }

    /// Patient position of a (fractional) voxel index `[x, y, z]`.
    pub fn to_lps_mm(&self, index_xyz: DVec3) -> DVec3 {
        self.index_to_lps.transform_point3(index_xyz)
    }

    /// The affine from LPS mm to voxel index `[x, y, z]`.
    pub fn lps_to_index(&self) -> DAffine3 {
        self.index_to_lps.inverse()
    }

    /// Linear index of voxel `[z, y, x]`.
    pub fn linear(&self, [z, y, x]: [usize; 3]) -> usize {
        (z * self.size[1] + y) * self.size[2] + x
    }

    /// The smallest axis-aligned box that holds every voxel centre, `(lower, upper)` in LPS mm.
    pub fn bounds_lps_mm(&self) -> (DVec3, DVec3) {
        let [nz, ny, nx] = self.size.map(|n| n.saturating_sub(1) as f64);
        let mut lower = DVec3::INFINITY;
        let mut upper = DVec3::NEG_INFINITY;
        for corner in 0..8 {
            let pick = |bit: u32, n: f64| if corner >> bit & 1 == 1 { n } else { 0.0 };
            let p = self.to_lps_mm(DVec3::new(pick(0, nx), pick(1, ny), pick(2, nz)));
            lower = lower.min(p);
            upper = upper.max(p);
        }
        (lower, upper)
    }

    /// The axis-aligned grid of `spacing_mm` (z, y, x) that covers this one, starting at its lower corner.
    pub fn covering(&self, spacing_mm: [f64; 3]) -> Self {
        let (lower, upper) = self.bounds_lps_mm();
        let extent = upper - lower;
        let [sz, sy, sx] = spacing_mm;
        // Half a voxel of slack, so that rounding never adds a plane that lies wholly outside.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a float that is too large saturates"
        )]
        let count = |length: f64, step: f64| (length / step + 0.5).floor().max(0.0) as usize + 1;
        let size = [
            count(extent.z, sz),
            count(extent.y, sy),
            count(extent.x, sx),
        ];
        Self::axis_aligned(size, spacing_mm, lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_and_volume_of_a_sheared_grid_follow_its_columns() {
        let index_to_lps = DAffine3::from_cols(
            DVec3::new(0.5, 0.0, 0.0),
            DVec3::new(0.0, 0.5, 0.0),
            DVec3::new(0.0, 3.0, 4.0),
            DVec3::ZERO,
        );
        let g = Geometry {
            size: [2, 2, 2],
            index_to_lps,
        };
        let expected = [5.0, 0.5, 0.5];
        assert!(std::iter::zip(g.spacing_mm(), expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!((g.voxel_volume_mm3() - 0.5 * 0.5 * 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_covering_grid_of_the_same_spacing_is_the_same_grid() {
        let g = Geometry::axis_aligned([5, 6, 7], [2.5, 0.7, 0.7], DVec3::new(-10.0, 3.0, 8.0));
        assert_eq!(g.covering([2.5, 0.7, 0.7]), g);
    }

    #[test]
    fn index_and_position_are_inverse() {
        let g = Geometry::axis_aligned([5, 6, 7], [2.5, 0.7, 0.8], DVec3::new(-10.0, 3.0, 8.0));
        let i = DVec3::new(1.5, 2.0, 3.25);
        assert!(
            g.lps_to_index()
                .transform_point3(g.to_lps_mm(i))
                .distance(i)
                < 1e-9
        );
    }
}
