//! From a probability map on the model's grid to lesions on the source grid.
//!
//! Components of at least the threshold, near ones merged, small ones dropped; each is then carried to the source grid,
//! where it is measured and written as SEG.

mod assessment;
mod carry;
mod components;
pub mod pet;
pub mod watershed;

use crate::volume::{Geometry, ProbabilityMap, SlicePositions};
use components::Component;
use glam::DVec3;

pub use crate::code::{Kind, NoduleType, Terms};
pub use crate::model::Evidence;
pub use assessment::{Assessment, Band, Judge, ReviewReason, TypeEstimate};

/// What makes a lesion of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// What the model's foreground is.
    pub kind: Kind,
    /// Its coded terms.
    pub terms: Terms,
    /// Voxels of at least this probability belong to a component.
    pub threshold: f32,
    /// Smaller components are dropped, mm³ on the model's grid.
    pub min_volume_mm3: f64,
    /// Components nearer than this are one lesion, mm.
    pub merge_distance_mm: f64,
}

/// An accepted candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesion {
    /// What it is.
    pub kind: Kind,
    /// The same in coded terms.
    pub terms: Terms,
    /// 0 to 1: the classifier's where the model has one, else the largest probability within the lesion; what that means
    /// stands in the model's card.
    pub confidence: f32,
    /// What the model's classifier says of it; `None` where the model has none.
    pub assessment: Option<Assessment>,
    /// Its centre: the mean position of its voxels on the model's grid, weighted by probability.
    pub centre_lps_mm: DVec3,
    /// Its voxels on the source grid.
    pub mask: LesionMask,
}

/// A structure that is no lesion, such as an organ.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// Name in the model's training data.
    pub name: String,
    /// What it is.
    pub terms: Terms,
    /// Its voxels on the source grid.
    pub mask: LesionMask,
}

/// Voxels of one lesion or structure: a box of the source grid and which voxels of the box belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LesionMask {
    /// First voxel of the box on the source grid, `[z, y, x]`.
    pub origin: [usize; 3],
    /// Size of the box, `[z, y, x]`.
    pub size: [usize; 3],
    /// One a voxel of the box, `[z, y, x]`, x fastest.
    pub inside: Vec<bool>,
}

impl LesionMask {
    /// Indices `[z, y, x]` on the source grid of the voxels that belong to the lesion, in storage order.
    pub fn voxels(&self) -> impl Iterator<Item = [usize; 3]> {
        let [_, ny, nx] = self.size;
        let [oz, oy, ox] = self.origin;
        let inside = self
            .inside
            .iter()
            .enumerate()
            .filter(|(_, inside)| **inside);
        inside.map(move |(i, _)| [oz + i / (ny * nx), oy + i / nx % ny, ox + i % nx])
    }

    /// Whether a voxel `[z, y, x]` of the source grid belongs to the lesion.
    pub fn holds(&self, voxel: [usize; 3]) -> bool {
        let within = |axis: usize| {
            let at = voxel[axis].checked_sub(self.origin[axis]);
            at.filter(|at| *at < self.size[axis])
        };
        match [0, 1, 2].map(within) {
            [Some(z), Some(y), Some(x)] => self.inside[(z * self.size[1] + y) * self.size[2] + x],
            _ => false,
        }
    }

    /// The same from the even grid of an uneven stack to its slices, each of which takes the even one nearest to it; where
    /// none lies near, the fullest goes to the slice nearest to it.
    pub fn on_slices(&self, slices: &SlicePositions) -> Self {
        let positions = slices.as_slice().len();
        let [depth, ny, nx] = self.size;
        let plane = |z: usize| &self.inside[z * ny * nx..][..ny * nx];
        let even = |slice: usize| {
            let nearest = slices.position(slice).round();
            let own = (0..depth).find(|z| ((self.origin[0] + z) as f64 - nearest).abs() < 0.5);
            own.filter(|z| plane(*z).contains(&true))
        };
        let taken: Vec<(usize, usize)> =
            (0..positions).filter_map(|s| Some((s, even(s)?))).collect();
        let (first, planes) = match taken[..] {
            _ if positions == 0 => return self.clone(),
            [(first, _), .., (last, _)] => (first, (first..=last).map(even).collect()),
            [(only, z)] => (only, vec![Some(z)]),
            [] => {
                let count = |z: &usize| plane(*z).iter().filter(|inside| **inside).count();
                let fullest = (0..depth).max_by_key(count).unwrap_or(0);
                let at = (self.origin[0] + fullest) as f64;
                let off = |slice: &usize| (slices.position(*slice) - at).abs();
                let near = (0..positions).min_by(|a, b| off(a).total_cmp(&off(b)));
                (near.unwrap_or(0), vec![Some(fullest)])
            }
        };
        let empty = vec![false; ny * nx];
        let planes: Vec<&[bool]> = planes
            .into_iter()
            .map(|z| z.map_or(&empty[..], plane))
            .collect();
        Self {
            origin: [first, self.origin[1], self.origin[2]],
            size: [planes.len(), ny, nx],
            inside: planes.concat(),
        }
    }

    /// Number of voxels that belong to the lesion.
    pub fn count(&self) -> usize {
        self.inside.iter().filter(|inside| **inside).count()
    }
}

/// Finds the lesions of `probability`, on the slices of the grid `source`, the most confident first.
///
/// No voxel of `source` belongs to two lesions. A component too small to cover a voxel centre of `source` is the voxel
/// nearest to its peak, so nothing that the network found is lost between two slices.
pub fn find(
    probability: &ProbabilityMap,
    source: &Geometry,
    slices: &SlicePositions,
    params: &Params,
) -> Vec<Lesion> {
    let (labels, mut components) = components::components(probability, params);
    components.sort_by(|a, b| {
        b.peak
            .total_cmp(&a.peak)
            .then(a.peak_index.cmp(&b.peak_index))
    });
    let carry = carry::Carry {
        probability,
        labels: &labels,
        threshold: params.threshold,
        source,
        slices,
    };
    let lesion = |component: &Component| {
        let mask = carry.to_source(component)?;
        Some(Lesion {
            kind: params.kind,
            terms: params.terms.clone(),
            confidence: component.peak,
            assessment: None,
            centre_lps_mm: component.centre_lps_mm,
            mask,
        })
    };
    components.iter().filter_map(lesion).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Volume;
    use proptest::prelude::*;

    const EVEN: SlicePositions = SlicePositions::even();
    fn params() -> Params {
        Params {
            kind: Kind::LungNodule,
            terms: Kind::LungNodule.into(),
            threshold: 0.5,
            min_volume_mm3: 4.0,
            merge_distance_mm: 0.0,
        }
    }

    fn spheres(geometry: Geometry, spheres: &[(DVec3, f64, f32)]) -> ProbabilityMap {
        let [nz, ny, nx] = geometry.size;
        let mut volume = Volume::filled(geometry, 0.0);
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let p = geometry.to_lps_mm(DVec3::new(x as f64, y as f64, z as f64));
                    for (centre, radius_mm, value) in spheres {
                        if p.distance(*centre) <= *radius_mm {
                            volume.voxels[geometry.linear([z, y, x])] = *value;
                        }
                    }
                }
            }
        }
        volume
    }

    fn grid() -> Geometry {
        Geometry::axis_aligned([24, 32, 40], [1.0; 3], DVec3::new(-20.0, -16.0, -100.0))
    }

    #[test]
    fn lesions_come_most_confident_first_and_small_components_are_dropped() {
        let low = (DVec3::new(-10.0, -6.0, -90.0), 4.0, 0.6);
        let high = (DVec3::new(10.0, 6.0, -85.0), 3.0, 0.9);
        let tiny = (DVec3::new(0.0, 8.0, -95.0), 0.1, 1.0);
        let probability = spheres(grid(), &[low, high, tiny]);
        let found = find(&probability, &grid(), &EVEN, &params());
        assert_eq!(
            found.iter().map(|l| l.confidence).collect::<Vec<_>>(),
            [0.9, 0.6]
        );
    }

    #[test]
    fn on_its_own_grid_a_component_keeps_exactly_its_voxels() {
        let probability = spheres(grid(), &[(DVec3::new(0.0, 0.0, -90.0), 5.0, 0.8)]);
        let lesion = &find(&probability, &grid(), &EVEN, &params())[0];
        let expected: Vec<usize> = (0..probability.voxels.len())
            .filter(|i| probability.voxels[*i] >= 0.5)
            .collect();
        assert_eq!(
            lesion
                .mask
                .voxels()
                .map(|v| grid().linear(v))
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn near_components_are_one_lesion_only_within_the_merge_distance() {
        let parts = [
            (DVec3::new(-5.0, 0.0, -90.0), 3.0, 0.8),
            (DVec3::new(4.0, 0.0, -90.0), 3.0, 0.7),
        ];
        let probability = spheres(grid(), &parts);
        assert_eq!(find(&probability, &grid(), &EVEN, &params()).len(), 2);
        assert_eq!(
            find(
                &probability,
                &grid(),
                &EVEN,
                &Params {
                    merge_distance_mm: 3.5,
                    ..params()
                }
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_mask_on_an_even_grid_goes_to_the_uneven_slices_nearest_to_it() {
        let mask = LesionMask {
            origin: [1, 0, 0],
            size: [3, 1, 2],
            inside: vec![true, false, true, true, false, true],
        };
        assert_eq!(mask.on_slices(&EVEN), mask);
        let of = |positions: Vec<f64>| {
            let found = mask.on_slices(&SlicePositions::uneven(positions).expect("uneven"));
            (found.origin[0], found.inside)
        };
        let all = mask.inside.clone();
        assert_eq!(of(vec![0.0, 1.2, 1.9, 3.1, 4.0]), (1, all));
        // Slices 1 and 2 lie at the first even slice of the mask, slice 3 at its last.
        let twice = vec![true, false, true, false, false, true];
        assert_eq!(of(vec![0.0, 0.8, 1.1, 2.9, 4.0]), (1, twice));
        // None lies near: the mask is not lost. Its fullest plane, at 2, is nearer to slice 2.
        assert_eq!(of(vec![0.0, 0.1, 3.8, 3.9, 4.0]), (2, vec![true, true]));
    }

    #[test]
    fn a_mask_holds_exactly_its_voxels() {
        let mask = LesionMask {
            origin: [1, 2, 0],
            size: [2, 1, 2],
            inside: vec![true, false, false, true],
        };
        let grid = (0..4).flat_map(|z| (0..4).flat_map(move |y| (0..4).map(move |x| [z, y, x])));
        let held: Vec<_> = grid.filter(|voxel| mask.holds(*voxel)).collect();
        assert_eq!(held, [[1, 2, 0], [2, 2, 1]]);
    }

    #[test]
    fn a_component_between_two_thick_slices_is_not_lost() {
        let probability = spheres(grid(), &[(DVec3::new(0.0, 0.0, -90.0), 1.2, 0.8)]);
        let thick = Geometry::axis_aligned(
            [3, 32, 40],
            [7.0, 1.0, 1.0],
            DVec3::new(-20.0, -16.0, -100.0),
        );
        let found = find(&probability, &thick, &EVEN, &params());
        assert_eq!(found[0].mask.voxels().collect::<Vec<_>>(), [[1, 16, 20]]);
    }

    #[test]
    fn the_centre_of_a_lesion_is_weighted_by_probability() {
        let mut probability = Volume::filled(grid(), 0.0);
        for (voxel, value) in [([3, 4, 5], 0.6), ([3, 4, 6], 0.6), ([4, 5, 7], 0.8)] {
            probability.voxels[grid().linear(voxel)] = value;
        }
        let any_size = Params {
            min_volume_mm3: 0.0,
            ..params()
        };
        let found = find(&probability, &grid(), &EVEN, &any_size);
        // Weights 0.3, 0.3 and 0.4 of the sum.
        let index = DVec3::new(0.3 * 5.0 + 0.3 * 6.0 + 0.4 * 7.0, 4.4, 3.4);
        let off_mm = found[0].centre_lps_mm.distance(grid().to_lps_mm(index));
        assert!(off_mm < 1e-6, "{off_mm} mm");
    }

    proptest! {
        #[test]
        fn touching_lesions_never_share_a_source_voxel(dx in 6.0..12.0_f64, dy in -4.0..4.0_f64, step in 0.6..1.7_f64) {
            let parts = [(DVec3::new(-5.0, 0.0, -90.0), 4.0, 0.8), (DVec3::new(-5.0 + dx, dy, -88.0), 4.0, 0.7)];
            let source = grid().covering([2.0, step, step]);
            let mut seen = std::collections::BTreeSet::new();
            for lesion in find(&spheres(grid(), &parts), &source, &EVEN, &params()) {
                for voxel in lesion.mask.voxels() {
                    prop_assert!(seen.insert(voxel));
                }
            }
        }
    }
}
