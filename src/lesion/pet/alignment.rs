//! Whether PET and CT show the patient in one place: lungs take up little, and what lies around them more.

use super::body::nearest_voxel;
use super::field::Field;
use crate::volume::Mask;
use glam::DVec3;
use std::ops::Range;

/// Higher uptake says no more about where a lung ends, SUV.
const CAP_SUV: f32 = 1.5;
/// What lies around the lungs ends so far from them, mm.
const AROUND_MM: f64 = 12.0;
/// The furthest that lungs are looked for along each axis, mm.
const MAX_OFFSET_MM: f64 = 60.0;
/// Steps of the search, mm.
const STEPS_MM: [f64; 3] = [12.0, 6.0, 3.0];
/// Voxels of either kind that are looked at.
const MAX_PLACES: usize = 4000;
/// Fewer voxels of lung in the PET tell nothing.
const MIN_PLACES: usize = 200;

/// How far the lungs of the PET lie from where those of the CT are, mm; `None` where too little of them is in the PET.
///
/// The offset at which uptake falls most from around the lungs into them, found along one axis after the other.
pub(super) fn lung_offset_mm(field: &Field, lungs: &Mask) -> Option<DVec3> {
    let places = Places::of(field, lungs)?;
    let mut best = (DVec3::ZERO, places.contrast(field, DVec3::ZERO));
    for step_mm in STEPS_MM {
        while let Some(better) = neighbours(best.0, step_mm)
            .map(|offset| (offset, places.contrast(field, offset)))
            .filter(|(_, contrast)| *contrast > best.1)
            .max_by(|a, b| a.1.total_cmp(&b.1))
        {
            best = better;
        }
    }
    Some(best.0)
}

/// One step along each axis, as far as lungs are looked for.
fn neighbours(offset: DVec3, step_mm: f64) -> impl Iterator<Item = DVec3> {
    let ways = DVec3::AXES.into_iter().flat_map(|axis| [axis, -axis]);
    let moved = ways.map(move |way| offset + way * step_mm);
    moved.filter(|offset| offset.abs().max_element() <= MAX_OFFSET_MM)
}

/// Where the CT has lung, and where what lies around it.
struct Places {
    lung: Vec<DVec3>,
    around: Vec<DVec3>,
}

impl Places {
    fn of(field: &Field, lungs: &Mask) -> Option<Self> {
        let [nz, ny, nx] = lungs.geometry.size;
        let spacing_mm = lungs.geometry.spacing_mm();
        let reach = spacing_mm.map(|mm| steps(AROUND_MM / mm));
        let holds = |z: usize, y: usize, x: usize| lungs.voxels[(z * ny + y) * nx + x] != 0;
        let (mut lung, mut around) = (Vec::new(), Vec::new());
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let at = lungs
                        .geometry
                        .to_lps_mm(DVec3::new(x as f64, y as f64, z as f64));
                    let index = field.stored().geometry.lps_to_index().transform_point3(at);
                    if nearest_voxel(&field.stored().geometry, index).is_none() {
                        continue;
                    }
                    // Along the axes alone: a shell need not be round.
                    let near = |at: usize, n: usize, reach: usize| {
                        at.saturating_sub(reach)..(at + reach + 1).min(n)
                    };
                    let [zs, ys, xs]: [Range<usize>; 3] = [
                        near(z, nz, reach[0]),
                        near(y, ny, reach[1]),
                        near(x, nx, reach[2]),
                    ];
                    if holds(z, y, x) {
                        lung.push(at);
                    } else if zs.clone().any(|z| holds(z, y, x))
                        || ys.clone().any(|y| holds(z, y, x))
                        || xs.clone().any(|x| holds(z, y, x))
                    {
                        around.push(at);
                    }
                }
            }
        }
        let enough = lung.len() >= MIN_PLACES && around.len() >= MIN_PLACES;
        enough.then(|| Self {
            lung: thinned(lung),
            around: thinned(around),
        })
    }

    /// Mean uptake around the lungs less that in them, were the PET moved back by `offset`.
    fn contrast(&self, field: &Field, offset: DVec3) -> f64 {
        let to_index = field.stored().geometry.lps_to_index();
        let mean = |places: &[DVec3]| {
            let value = |at: &DVec3| {
                let index = to_index.transform_point3(*at + offset);
                f64::from(field.at_index(index).min(CAP_SUV))
            };
            places.iter().map(value).sum::<f64>() / places.len() as f64
        };
        mean(&self.around) - mean(&self.lung)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few voxels"
)]
fn steps(voxels: f64) -> usize {
    voxels.round() as usize
}

/// Every so many of them, in order.
fn thinned(places: Vec<DVec3>) -> Vec<DVec3> {
    let every = places.len().div_ceil(MAX_PLACES);
    places.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{LUNGS, parts_at, patient, pet};
    use super::*;
    use crate::volume::{Geometry, Volume};

    /// The lungs of the patient, as a CT shows them.
    fn lungs() -> Mask {
        let geometry =
            Geometry::axis_aligned([64, 42, 72], [4.0; 3], DVec3::new(-142.0, -82.0, 64.0));
        let [nz, ny, nx] = geometry.size;
        let at = |i: usize| DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
        let is_lung = |i: usize| {
            let p = geometry.to_lps_mm(at(i));
            LUNGS.iter().any(|(centre, semi, _)| {
                ((p - DVec3::from(*centre)) / DVec3::from(*semi)).length() <= 1.0
            })
        };
        Volume {
            voxels: (0..nz * ny * nx).map(|i| u8::from(is_lung(i))).collect(),
            geometry,
        }
    }

    #[test]
    fn lungs_are_found_where_the_pet_has_them() {
        for shift in [
            [0.0; 3],
            [0.0, 0.0, -24.0],
            [18.0, -9.0, 0.0],
            [-6.0, 12.0, 36.0],
        ] {
            let shift = DVec3::from(shift);
            let moved = pet(&parts_at(&patient(), shift), 0.1);
            let found = lung_offset_mm(&Field::new(&moved, [6.5, 4.5]), &lungs()).expect("lungs");
            assert!(found.distance(shift) <= 6.0, "{shift} {found}");
        }
    }

    #[test]
    fn nothing_is_said_of_lungs_that_the_pet_does_not_show() {
        let away = pet(&patient(), 0.0);
        let mut lungs = lungs();
        lungs.geometry =
            Geometry::axis_aligned(lungs.geometry.size, [4.0; 3], DVec3::splat(2000.0));
        assert_eq!(lung_offset_mm(&Field::new(&away, [6.5, 4.5]), &lungs), None);
    }
}
