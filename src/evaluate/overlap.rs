//! How well a segment covers its nodule: Dice's coefficient and the average symmetric surface distance.

use crate::volume::Geometry;
use glam::DVec3;
use std::collections::BTreeSet;

/// A voxel of a segment lies at most so far from a voxel of the truth's grid, in voxels; else the grids differ.
const GRID_TOLERANCE: f64 = 0.1;

/// Voxel indices `[z, y, x]`.
pub(super) type Voxels = BTreeSet<[u16; 3]>;

/// How two sets of voxels agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Overlap {
    /// Twice the common voxels over the voxels of both, 0 to 1.
    pub(super) dice: f64,
    /// Mean distance of all surface voxels of either set to the nearest one of the other, mm (Heimann 2009).
    pub(super) surface_distance_mm: f64,
}

/// The voxels of `geometry` that points lie in; none where the points are of another grid.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be within the grid, whose sides are at most 32767"
)]
pub(super) fn on_grid(points_lps_mm: &[DVec3], geometry: &Geometry) -> Option<Voxels> {
    let to_index = geometry.lps_to_index();
    let [nz, ny, nx] = geometry.size.map(|n| n as f64);
    let voxel = |point: &DVec3| {
        let index = to_index.transform_point3(*point);
        let nearest = index.round();
        let same = (index - nearest).abs().max_element() <= GRID_TOLERANCE;
        let inside =
            nearest.cmpge(DVec3::ZERO).all() && nearest.cmplt(DVec3::new(nx, ny, nz)).all();
        (same && inside).then(|| [nearest.z, nearest.y, nearest.x].map(|i| i as u16))
    };
    points_lps_mm.iter().map(voxel).collect()
}

/// Compares two sets; none where one of them is empty.
pub(super) fn overlap(a: &Voxels, b: &Voxels, geometry: &Geometry) -> Option<Overlap> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let common = a.intersection(b).count() as f64;
    let (surface_a, surface_b) = (surface(a, geometry), surface(b, geometry));
    let sum_mm = distances_mm(&surface_a, &surface_b) + distances_mm(&surface_b, &surface_a);
    Some(Overlap {
        dice: 2.0 * common / (a.len() + b.len()) as f64,
        surface_distance_mm: sum_mm / (surface_a.len() + surface_b.len()) as f64,
    })
}

/// Positions of the voxels of which one of the six neighbours is outside, LPS mm, sorted along z.
fn surface(voxels: &Voxels, geometry: &Geometry) -> Vec<DVec3> {
    let is_inner = |[z, y, x]: [u16; 3]| {
        let neighbours = [
            [z.wrapping_sub(1), y, x],
            [z + 1, y, x],
            [z, y.wrapping_sub(1), x],
            [z, y + 1, x],
            [z, y, x.wrapping_sub(1)],
            [z, y, x + 1],
        ];
        neighbours.iter().all(|n| voxels.contains(n))
    };
    let outer = voxels.iter().filter(|voxel| !is_inner(**voxel));
    let position = |[z, y, x]: &[u16; 3]| {
        geometry.to_lps_mm(DVec3::new((*x).into(), (*y).into(), (*z).into()))
    };
    let mut positions: Vec<DVec3> = outer.map(position).collect();
    positions.sort_by(|a, b| a.z.total_cmp(&b.z));
    positions
}

/// Sum of the distances of all `from` to the nearest of `to`.
fn distances_mm(from: &[DVec3], to: &[DVec3]) -> f64 {
    from.iter().map(|point| nearest_mm(*point, to)).sum()
}

/// Distance to the nearest point; `to` is sorted along z, so that the search ends where z alone is too far.
fn nearest_mm(point: DVec3, to: &[DVec3]) -> f64 {
    let above = to.partition_point(|other| other.z < point.z);
    let (lower, upper) = to.split_at(above);
    let mut nearest = f64::INFINITY;
    let mut search = |points: &mut dyn Iterator<Item = &DVec3>| {
        for other in points {
            if (other.z - point.z).powi(2) >= nearest {
                break;
            }
            nearest = nearest.min(other.distance_squared(point));
        }
    };
    search(&mut upper.iter());
    search(&mut lower.iter().rev());
    nearest.sqrt()
}
