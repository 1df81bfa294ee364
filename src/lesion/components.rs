//! Connected components of the voxels at or above a probability.

use super::Params;
use crate::volume::{Geometry, LabelMap, ProbabilityMap, Volume};
use glam::DVec3;

/// One component on the model's grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    /// Its number in the label map, from 1.
    pub label: u32,
    /// First voxel of its box, `[z, y, x]`.
    pub first: [usize; 3],
    /// Last voxel of its box, `[z, y, x]`.
    pub last: [usize; 3],
    /// Largest probability.
    pub peak: f32,
    /// Linear index of the first voxel that has it.
    pub peak_index: usize,
    /// Number of voxels.
    pub count: usize,
    /// Mean position of its voxels, weighted by probability.
    pub centre_lps_mm: DVec3,
}

impl Component {
    /// `[z, y, x]` of the peak.
    pub(super) fn peak_voxel(&self, grid: &Geometry) -> [usize; 3] {
        voxel(grid, self.peak_index)
    }
}

/// Labels the components and drops the small ones (their voxels become 0).
///
/// Two voxels are neighbours when they touch (26 neighbours) or lie within the merge distance.
pub(super) fn components(
    probability: &ProbabilityMap,
    params: &Params,
) -> (LabelMap, Vec<Component>) {
    let grid = probability.geometry;
    let mut labels = Volume::filled(grid, 0_u32);
    let offsets = neighbourhood(&grid, params.merge_distance_mm);
    let min_count = params.min_volume_mm3 / grid.voxel_volume_mm3();
    let mut components = Vec::new();
    let mut next = 1;
    for seed in 0..probability.voxels.len() {
        if probability.voxels[seed] < params.threshold || labels.voxels[seed] != 0 {
            continue;
        }
        let members = fill(
            probability,
            &mut labels,
            seed,
            next,
            &offsets,
            params.threshold,
        );
        let component = describe(probability, &members, next);
        if (component.count as f64) < min_count {
            // Marked, so that no later seed visits them again; cleared below.
            members.iter().for_each(|i| labels.voxels[*i] = DROPPED);
        } else {
            components.push(component);
            next += 1;
        }
    }
    labels
        .voxels
        .iter_mut()
        .filter(|l| **l == DROPPED)
        .for_each(|l| *l = 0);
    (labels, components)
}

const DROPPED: u32 = u32::MAX;

/// Gives `label` to everything connected with `seed`; returns the linear indices.
fn fill(
    probability: &ProbabilityMap,
    labels: &mut LabelMap,
    seed: usize,
    label: u32,
    offsets: &[[isize; 3]],
    threshold: f32,
) -> Vec<usize> {
    let grid = probability.geometry;
    labels.voxels[seed] = label;
    let mut members = vec![seed];
    let mut head = 0;
    while head < members.len() {
        let at = voxel(&grid, members[head]);
        head += 1;
        for offset in offsets {
            let Some(neighbour) = shifted(&grid, at, *offset) else {
                continue;
            };
            if labels.voxels[neighbour] == 0 && probability.voxels[neighbour] >= threshold {
                labels.voxels[neighbour] = label;
                members.push(neighbour);
            }
        }
    }
    members
}

fn describe(probability: &ProbabilityMap, members: &[usize], label: u32) -> Component {
    let start = members[0];
    let at = voxel(&probability.geometry, start);
    let count = members.len();
    let mut component = Component {
        label,
        first: at,
        last: at,
        peak: probability.voxels[start],
        peak_index: start,
        count,
        centre_lps_mm: centre_lps_mm(probability, members),
    };
    for &member in members {
        let at = voxel(&probability.geometry, member);
        component.first = std::array::from_fn(|axis| component.first[axis].min(at[axis]));
        component.last = std::array::from_fn(|axis| component.last[axis].max(at[axis]));
        let value = probability.voxels[member];
        let order = value.total_cmp(&component.peak);
        if order.is_gt() || (order.is_eq() && member < component.peak_index) {
            component.peak = value;
            component.peak_index = member;
        }
    }
    component
}

/// Mean position of some voxels of a probability above 0, weighted by it.
fn centre_lps_mm(probability: &ProbabilityMap, members: &[usize]) -> DVec3 {
    let (mut weighted, mut total) = (DVec3::ZERO, 0.0);
    for &member in members {
        let weight = f64::from(probability.voxels[member]);
        let [z, y, x] = voxel(&probability.geometry, member).map(|i| i as f64);
        weighted += weight * DVec3::new(x, y, z);
        total += weight;
    }
    probability.geometry.to_lps_mm(weighted / total)
}

/// Offsets `[z, y, x]` to the neighbours of a voxel.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the merge distance is a few mm (checked in the configuration)"
)]
fn neighbourhood(grid: &Geometry, merge_distance_mm: f64) -> Vec<[isize; 3]> {
    let spacing = grid.spacing_mm();
    let reach = spacing.map(|s| (merge_distance_mm / s).floor().max(1.0) as isize);
    let mut offsets = Vec::new();
    for z in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            for x in -reach[2]..=reach[2] {
                let touches = [z, y, x].iter().all(|o| o.abs() <= 1);
                let distance_mm = (z as f64 * spacing[0])
                    .hypot(y as f64 * spacing[1])
                    .hypot(x as f64 * spacing[2]);
                if [z, y, x] != [0; 3] && (touches || distance_mm <= merge_distance_mm) {
                    offsets.push([z, y, x]);
                }
            }
        }
    }
    offsets
}

fn voxel(grid: &Geometry, linear: usize) -> [usize; 3] {
    let [_, ny, nx] = grid.size;
    [linear / (ny * nx), linear / nx % ny, linear % nx]
}

fn shifted(grid: &Geometry, at: [usize; 3], offset: [isize; 3]) -> Option<usize> {
    let along = |axis: usize| {
        at[axis]
            .checked_add_signed(offset[axis])
            .filter(|i| *i < grid.size[axis])
    };
    Some(grid.linear([along(0)?, along(1)?, along(2)?]))
}
