//! One component, from the model's grid to the source grid.

use super::LesionMask;
use super::components::Component;
use crate::volume::{Geometry, LabelMap, ProbabilityMap, SlicePositions};
use glam::{DVec3, IVec3};

/// From where to where components are carried.
pub(super) struct Carry<'a> {
    pub(super) probability: &'a ProbabilityMap,
    /// Components of the probability map.
    pub(super) labels: &'a LabelMap,
    pub(super) threshold: f32,
    pub(super) source: &'a Geometry,
    pub(super) slices: &'a SlicePositions,
}

impl Carry<'_> {
    /// The source voxels whose interpolated probability reaches the threshold and of whose eight model-grid neighbours the
    /// component weighs most. `None` when the component lies outside the source grid.
    pub(super) fn to_source(&self, component: &Component) -> Option<LesionMask> {
        let Self {
            probability,
            labels,
            threshold,
            source,
            slices,
        } = *self;
        let model = &probability.geometry;
        let (first, last) = self.source_box(component)?;
        let to_model = model.lps_to_index() * source.index_to_lps;
        let size = [0, 1, 2].map(|axis| last[axis] - first[axis] + 1);
        let mut inside = Vec::with_capacity(size.iter().product());
        for z in first[0]..=last[0] {
            for y in first[1]..=last[1] {
                for x in first[2]..=last[2] {
                    let at = to_model.transform_point3(DVec3::new(
                        x as f64,
                        y as f64,
                        slices.position(z),
                    ));
                    inside.push(belongs(probability, labels, component.label, at, threshold));
                }
            }
        }
        let mask = LesionMask {
            origin: first,
            size,
            inside,
        };
        if mask.count() > 0 {
            Some(mask)
        } else {
            self.nearest_voxel(component)
        }
    }

    /// First and last source voxel `[z, y, x]` of the box that holds the component.
    fn source_box(&self, component: &Component) -> Option<([usize; 3], [usize; 3])> {
        let (model, source) = (&self.probability.geometry, self.source);
        let to_source = source.lps_to_index() * model.index_to_lps;
        let (mut lower, mut upper) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
        for corner in 0..8 {
            // One voxel of margin: interpolation reaches that far.
            let pick = |axis: usize, bit: u32| {
                if corner >> bit & 1 == 1 {
                    component.last[axis] as f64 + 1.0
                } else {
                    component.first[axis] as f64 - 1.0
                }
            };
            let p = to_source.transform_point3(DVec3::new(pick(2, 0), pick(1, 1), pick(0, 2)));
            lower = lower.min(p);
            upper = upper.max(p);
        }
        let mut first = [0; 3];
        let mut last = [0; 3];
        for (axis, (low, high)) in [
            (self.slices.slice_at(lower.z), self.slices.slice_at(upper.z)),
            (lower.y, upper.y),
            (lower.x, upper.x),
        ]
        .into_iter()
        .enumerate()
        {
            let end = source.size[axis] as f64 - 1.0;
            if high < 0.0 || low > end {
                return None;
            }
            first[axis] = index(low.ceil().clamp(0.0, end));
            last[axis] = index(high.floor().clamp(0.0, end)).max(first[axis]);
        }
        Some((first, last))
    }

    /// The source voxel nearest to the component's peak, if it lies on the source grid.
    fn nearest_voxel(&self, component: &Component) -> Option<LesionMask> {
        let (model, source) = (&self.probability.geometry, self.source);
        let [z, y, x] = component.peak_voxel(model).map(|i| i as f64);
        let mut at = source
            .lps_to_index()
            .transform_point3(model.to_lps_mm(DVec3::new(x, y, z)));
        at.z = self.slices.slice_at(at.z);
        let origin = voxel_of(source, at.round().as_ivec3())?;
        Some(LesionMask {
            origin,
            size: [1; 3],
            inside: vec![true],
        })
    }
}

/// Interpolated probability reaches the threshold, and this label weighs most among the neighbours that have one.
fn belongs(
    probability: &ProbabilityMap,
    labels: &LabelMap,
    label: u32,
    at_xyz: DVec3,
    threshold: f32,
) -> bool {
    let base = at_xyz.floor();
    let fraction = at_xyz - base;
    let base = base.as_ivec3();
    let mut value = 0.0;
    let mut weights = [(0_u32, 0.0_f64); 8];
    for corner in 0..8_i32 {
        let offset = IVec3::new(corner & 1, corner >> 1 & 1, corner >> 2);
        let along = |o: i32, f: f64| if o == 1 { f } else { 1.0 - f };
        let weight =
            along(offset.x, fraction.x) * along(offset.y, fraction.y) * along(offset.z, fraction.z);
        let Some(voxel) = voxel_of(&probability.geometry, base + offset).filter(|_| weight > 0.0)
        else {
            continue;
        };
        value += weight * f64::from(probability.at(voxel));
        let owner = labels.at(voxel);
        if owner != 0 {
            let slot = weights.iter_mut().find(|(l, _)| *l == owner || *l == 0);
            let (l, sum) = slot.expect("eight corners have at most eight labels");
            (*l, *sum) = (owner, *sum + weight);
        }
    }
    let own = weights
        .iter()
        .find(|(l, _)| *l == label)
        .map_or(0.0, |(_, sum)| *sum);
    // Equal weights go to the lower label, so that exactly one lesion takes the voxel.
    let beaten = weights
        .iter()
        .any(|(l, sum)| *l != 0 && (*sum > own || (*sum >= own && *l < label)));
    // Interpolating equal values may fall short of them by rounding.
    own > 0.0 && !beaten && value >= f64::from(threshold) - 1e-9
}

/// `[z, y, x]` of an index `[x, y, z]`, where it lies on the grid.
fn voxel_of(grid: &Geometry, index_xyz: IVec3) -> Option<[usize; 3]> {
    let [nz, ny, nx] = grid.size;
    let along = |i: i32, n: usize| usize::try_from(i).ok().filter(|i| *i < n);
    Some([
        along(index_xyz.z, nz)?,
        along(index_xyz.y, ny)?,
        along(index_xyz.x, nx)?,
    ])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers clamp to the grid first"
)]
fn index(value: f64) -> usize {
    value as usize
}
