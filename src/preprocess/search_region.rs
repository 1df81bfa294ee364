//! Where a model looks: in go body and lungs; out comes a mask on their grid. Beside the lungs these are the places where
//! lymph nodes of the chest lie, told from the lungs alone, so on the large side: mediastinum and hila as a box between the
//! lungs, the axillae as what lies beside them.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of some mm, in voxels of a grid of at most 2^16 an axis"
)]

use super::lungs::Lungs;
use crate::volume::{Geometry, Mask};
use serde::{Deserialize, Serialize};

/// Mediastinum and hila reach this far to both sides, mm.
const HALF_WIDTH_MM: f64 = 60.0;
/// The last of the lungs' depth lies beside and behind the spine, mm.
const BEHIND_MM: f64 = 30.0;
/// Least section of a lung, mm²: a trachea that is taken for lung has less on each side.
const MIN_SECTION_MM2: f64 = 300.0;
/// Below the lungs' widest section, a smaller share of it says that the abdomen begins.
const MIN_LOWER_SHARE: f64 = 0.35;
/// Pleura and ribs between lung and axilla, mm.
const RIB_MM: f64 = 10.0;
/// The axillae reach this far from the lung, mm.
const AXILLA_WIDTH_MM: f64 = 90.0;
/// The axillae reach this far below the apices, mm.
const AXILLA_HEIGHT_MM: f64 = 150.0;
/// Behind this share of the lungs' depth lie the shoulder blades.
const AXILLA_DEPTH: f64 = 0.7;

/// Where a model looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchRegion {
    /// The lungs with all in and at them.
    #[default]
    Lungs,
    /// Mediastinum, hila and axillae.
    LymphNodes,
}

impl SearchRegion {
    /// Whether this is [`SearchRegion::Lungs`].
    pub fn is_lungs(&self) -> bool {
        *self == Self::Lungs
    }

    /// The mask, on the grid of the lungs', whose axes are the patient's; where no lungs were found, all of it.
    pub(super) fn mask(self, lungs: &Lungs) -> Mask {
        match self {
            Self::LymphNodes if lungs.found => Places::of(lungs).mask(),
            _ => lungs.search.clone(),
        }
    }
}

/// The lungs' first and last row of a slice.
#[derive(Debug, Clone, Copy)]
struct Depth {
    front: usize,
    back: usize,
}

/// What the lungs tell of the places of lymph nodes.
struct Places<'a> {
    body: &'a Mask,
    lung: &'a Mask,
    /// Half the way from the lungs' rightmost to their leftmost voxel.
    middle: usize,
    /// Voxels of lung right and left of the middle, a slice.
    sections: Vec<[usize; 2]>,
    half_width: usize,
}

impl<'a> Places<'a> {
    fn of(lungs: &'a Lungs) -> Self {
        let lung = &lungs.lung;
        let [_, ny, nx] = lung.geometry.size;
        let columns = |row: &[u8]| {
            let first = row.iter().position(|v| *v == 1);
            first.zip(row.iter().rposition(|v| *v == 1))
        };
        let ends = lung.voxels.chunks_exact(nx).filter_map(columns);
        let (first, last) = ends.fold((nx, 0), |(a, b), (c, d)| (a.min(c), b.max(d)));
        let middle = usize::midpoint(first, last);
        let section = |slice: &[u8]| {
            let rows = slice.chunks_exact(nx);
            let count = |side: &[u8]| side.iter().filter(|v| **v == 1).count();
            rows.fold([0, 0], |[right, left], row| {
                let (a, b) = row.split_at(middle.min(nx));
                [right + count(a), left + count(b)]
            })
        };
        Self {
            body: &lungs.body,
            lung,
            middle,
            sections: lung.voxels.chunks_exact(ny * nx).map(section).collect(),
            half_width: voxels(HALF_WIDTH_MM, &lung.geometry),
        }
    }

    fn mask(&self) -> Mask {
        let geometry = self.lung.geometry;
        let mut mask = Mask::filled(geometry, 0);
        let large = MIN_SECTION_MM2 / geometry.spacing_mm()[2].powi(2);
        let is_large = |z: &usize| self.sections[*z].iter().all(|n| *n as f64 >= large);
        let Some(apex) = (0..geometry.size[0]).rev().find(is_large) else {
            return mask;
        };
        let axillae = apex.saturating_sub(voxels(AXILLA_HEIGHT_MM, &geometry));
        for z in (0..=apex).filter(is_large) {
            let Some(depth) = self.depth(z) else { continue };
            if self.is_chest(z) {
                self.mediastinum(&mut mask, z, depth);
            }
            if z >= axillae {
                self.axillae(&mut mask, z, depth);
            }
        }
        mask
    }

    /// Above the widest section of both lungs everything, below it what is not mostly abdomen.
    fn is_chest(&self, z: usize) -> bool {
        let both = |section: &[usize; 2]| section[0] + section[1];
        let widest = self.sections.iter().map(both).max();
        let is_above = self.sections[..=z].iter().any(|s| Some(both(s)) == widest);
        let largest = |side: usize| self.sections.iter().map(|s| s[side]).max().unwrap_or(0);
        let enough = |side| self.sections[z][side] as f64 >= MIN_LOWER_SHARE * largest(side) as f64;
        is_above || (enough(0) && enough(1))
    }

    fn depth(&self, z: usize) -> Option<Depth> {
        let [_, ny, nx] = self.lung.geometry.size;
        let rows = self.lung.voxels[z * ny * nx..][..ny * nx].chunks_exact(nx);
        let mut rows = rows.enumerate().filter(|(_, row)| row.contains(&1));
        let (front, _) = rows.next()?;
        let back = rows.next_back().map_or(front, |(y, _)| y);
        Some(Depth { front, back })
    }

    fn mediastinum(&self, mask: &mut Mask, z: usize, depth: Depth) {
        let last = depth.back.saturating_sub(voxels(BEHIND_MM, &mask.geometry));
        let nx = mask.geometry.size[2];
        let columns = self.middle.saturating_sub(self.half_width)
            ..(self.middle + self.half_width + 1).min(nx);
        for y in depth.front..=last {
            self.fill(mask, [z, y], columns.clone());
        }
    }

    /// Beside each row of lung, beyond the ribs.
    fn axillae(&self, mask: &mut Mask, z: usize, depth: Depth) {
        let nx = mask.geometry.size[2];
        let [ribs, width] = [RIB_MM, AXILLA_WIDTH_MM].map(|mm| voxels(mm, &mask.geometry));
        let share = AXILLA_DEPTH * (depth.back - depth.front) as f64;
        for y in depth.front..=depth.front + share as usize {
            let row = &self.lung.voxels[mask.geometry.linear([z, y, 0])..][..nx];
            let ends = row.iter().position(|v| *v == 1);
            let ends = ends.zip(row.iter().rposition(|v| *v == 1));
            let Some((first, last)) = ends else { continue };
            let inner = self.middle.saturating_sub(self.half_width);
            let right = first.saturating_sub(width)..first.saturating_sub(ribs).min(inner);
            let inner = self.middle + self.half_width + 1;
            let left = (last + ribs + 1).max(inner)..(last + width + 1).min(nx);
            self.fill(mask, [z, y], right);
            self.fill(mask, [z, y], left);
        }
    }

    /// Marks what of a row is body.
    fn fill(&self, mask: &mut Mask, [z, y]: [usize; 2], columns: std::ops::Range<usize>) {
        for x in columns {
            let voxel = mask.geometry.linear([z, y, x]);
            mask.voxels[voxel] = self.body.voxels[voxel];
        }
    }
}

fn voxels(mm: f64, grid: &Geometry) -> usize {
    (mm / grid.spacing_mm()[2]).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::lungs;
    use glam::DVec3;

    const SIZE: [usize; 3] = [100, 110, 170];

    /// A body of fat with two lungs, 2 mm; x y z of a voxel in, HU out.
    fn chest(hu: impl Fn([f64; 3]) -> Option<f32>) -> Lungs {
        let grid = Geometry::axis_aligned(SIZE, [2.0; 3], DVec3::ZERO);
        let [_, ny, nx] = SIZE;
        let ball = |p: [f64; 3], centre: [f64; 3], half: [f64; 3]| {
            let terms = (0..3).map(|k| ((p[k] - centre[k]) / half[k]).powi(2));
            terms.sum::<f64>() < 1.0
        };
        let value = |i: usize| {
            let p = [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
            let lung = [50.0, 120.0]
                .into_iter()
                .any(|x| ball(p, [x, 55.0, 45.0], [26.0, 38.0, 40.0]));
            let body = ball(p, [85.0, 55.0, 45.0], [80.0, 50.0, 1e3]);
            hu(p).unwrap_or(match (lung, body) {
                (true, _) => -850.0,
                (false, true) => -100.0,
                (false, false) => -1000.0,
            })
        };
        lungs::reference(
            &(0..grid.voxel_count()).map(value).collect::<Vec<_>>(),
            &grid,
        )
    }

    #[test]
    fn mediastinum_hila_and_axillae_are_searched_and_the_rest_is_not() {
        let lungs = chest(|_| None);
        let mask = SearchRegion::LymphNodes.mask(&lungs);
        let at = |x, y, z| mask.at([z, y, x]);
        let between = [at(85, 40, 45), at(85, 70, 60), at(70, 50, 45)];
        assert_eq!(between, [1; 3], "between the lungs and at their roots");
        let [right, left] = [at(12, 50, 60), at(157, 50, 60)];
        assert_eq!([right, left], [1; 2], "axillae");
        let rest = [
            at(85, 100, 45),
            at(12, 50, 5),
            at(85, 50, 99),
            at(85, 2, 45),
            at(0, 0, 60),
        ];
        assert_eq!(rest, [0; 5], "back, flank, neck, breast bone and room");
        assert_eq!(at(30, 55, 45), 0, "deep in a lung");
    }

    #[test]
    fn a_trachea_above_the_lungs_is_no_lung() {
        let trachea = |p: [f64; 3]| {
            let across = (p[0] - 85.0).powi(2) + (p[1] - 55.0).powi(2);
            let beside = (p[0] - 85.0).abs() < 40.0 && (p[1] - 55.0).abs() < 3.0;
            let carina = beside && (p[2] - 45.0).abs() < 3.0;
            (across < 16.0 && p[2] > 44.0 || carina).then_some(-900.0)
        };
        let mask = SearchRegion::LymphNodes.mask(&chest(trachea));
        let plain = SearchRegion::LymphNodes.mask(&chest(|_| None));
        let highest = |mask: &Mask| mask.voxels.iter().rposition(|v| *v == 1);
        let slice = SIZE[1] * SIZE[2];
        assert_eq!(
            highest(&mask).map(|v| v / slice),
            highest(&plain).map(|v| v / slice)
        );
    }

    #[test]
    fn for_the_lungs_and_without_lungs_the_mask_is_that_of_the_lungs() {
        let with = chest(|_| None);
        assert!(SearchRegion::Lungs.mask(&with) == with.search);
        let without = chest(|_| Some(40.0));
        assert!(!without.found);
        assert!(SearchRegion::LymphNodes.mask(&without) == without.search);
    }
}
