//! Where lesions fit.

use super::super::Error;
use super::super::anatomy::LIVER;
use super::super::lesion::{Placed, Site, apart, sphere_directions};
use super::super::params::LesionShape;
use super::super::shape::{Form, Shape};
use super::body::BLADDER;
use super::params::{Extent, PetLesionSpec, PetLesions, PetParams, PetPlace};
use super::sites::{anchors, places};
use super::uptake::Part;
use crate::volume::Geometry;
use glam::DVec3;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Least distance between two lesions that do not touch, mm: two widths of the point spread.
const APART_MM: f64 = 12.0;
/// Least distance to what takes up more than this without being a lesion, mm.
const FREE_MM: f64 = 12.0;
const HOT_SUV: f32 = 3.0;
/// What lies beside physiologic uptake is so far from it, mm.
const BESIDE_MM: f64 = 4.0;

const NODE_HU: f32 = 42.0;
const METASTASIS_HU: f32 = 40.0;
const LYTIC_HU: f32 = 60.0;

/// A lesion in its place.
#[derive(Debug, Clone)]
pub(super) struct PetLesion {
    pub(super) spec: PetLesionSpec,
    pub(super) placed: Placed,
    /// Number, from 1, of the lesion that it touches.
    pub(super) touches: Option<usize>,
}

impl PetLesion {
    /// What PET shows of it.
    pub(super) fn part(&self) -> Part {
        Part::unnamed(self.placed.form.clone(), self.spec.suv as f32)
    }

    /// What CT shows of it; a lung nodule is drawn with the others.
    pub(super) fn shape(&self) -> Option<Shape> {
        let hu = match self.spec.place {
            PetPlace::Lung => return None,
            PetPlace::Liver => METASTASIS_HU,
            PetPlace::Bone => LYTIC_HU,
            _ => NODE_HU,
        };
        Some(Shape::solid(self.placed.form.clone(), hu))
    }
}

/// The lesions asked for, in order; of a number, each may go elsewhere where its place has no room.
pub(super) fn specs(params: &PetParams, rng: &mut ChaCha8Rng) -> Vec<PetLesionSpec> {
    let count = match &params.lesions {
        PetLesions::List(specs) => return specs.clone(),
        PetLesions::Count(count) => *count,
    };
    let [smallest, largest] = params.diameter_mm;
    // Spread evenly by their logarithm, in any order.
    let mut parts: Vec<usize> = (0..count).collect();
    parts.shuffle(rng);
    let order = places(params.extent);
    let mut spec = |(i, part): (usize, usize)| {
        let share = (part as f64 + rng.random_range(0.0..1.0)) / count as f64;
        let (place, touching) = order[i % order.len()];
        let has_partner = order[(i + 1) % order.len()].1;
        PetLesionSpec {
            diameter_mm: smallest * (largest / smallest).powf(share),
            suv: rng.random_range(params.suv[0]..=params.suv[1]),
            place,
            shape: match touching || has_partner || i % 2 == 0 {
                true => LesionShape::Sphere,
                false => LesionShape::Ellipsoid,
            },
            touching,
        }
    };
    parts.into_iter().enumerate().map(&mut spec).collect()
}

/// The surroundings that decide where a lesion fits.
pub(super) struct Surroundings<'a> {
    pub(super) site: Site<'a>,
    pub(super) pet: &'a PetParams,
    /// The PET's grid, in the CT's frame.
    pub(super) grid: Geometry,
    pub(super) parts: &'a [Part],
}

impl Surroundings<'_> {
    /// Places every lesion, in order, apart from the nodules without uptake.
    ///
    /// # Errors
    /// [`Error::NoRoomForUptake`] when a lesion fits nowhere; [`Error::OutOfRange`] when its place is not in the extent.
    pub(super) fn place(
        &self,
        specs: Vec<PetLesionSpec>,
        nodules: &[Placed],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<PetLesion>, Error> {
        let mut found: Vec<PetLesion> = Vec::new();
        for mut spec in specs {
            let in_lung = |lesion: &PetLesion| lesion.spec.place == PetPlace::Lung;
            if self.may_move() && found.last().is_none_or(in_lung) {
                spec.touching = false;
            }
            self.check(&spec, &found)?;
            let lesion = self.find_or_move(&spec, &found, nodules, rng);
            found.push(lesion.ok_or(Error::NoRoomForUptake {
                label: found.len() + 1,
                diameter_mm: spec.diameter_mm,
            })?);
        }
        Ok(found)
    }

    fn check(&self, spec: &PetLesionSpec, before: &[PetLesion]) -> Result<(), Error> {
        use PetPlace::{Abdomen, BesideBladder, Groin, Lung, Neck};
        let refuse = |limits| {
            let name = "pet lesions";
            Err(Error::OutOfRange { name, limits })
        };
        let beyond_chest = matches!(spec.place, Neck | Abdomen | BesideBladder | Groin);
        if beyond_chest && self.pet.extent == Extent::Chest {
            return refuse("neck, abdomen, beside-bladder and groin only with the extent body");
        }
        let partner = before.last().map(|lesion| lesion.spec.place);
        if spec.touching && (spec.place == Lung || partner.is_none_or(|place| place == Lung)) {
            return refuse("touching only after another lesion, both outside of the lung");
        }
        Ok(())
    }

    /// Lesions of a number may lie elsewhere than planned.
    fn may_move(&self) -> bool {
        matches!(self.pet.lesions, PetLesions::Count(_))
    }

    /// In its place, or of a number of lesions anywhere.
    fn find_or_move(
        &self,
        spec: &PetLesionSpec,
        found: &[PetLesion],
        nodules: &[Placed],
        rng: &mut ChaCha8Rng,
    ) -> Option<PetLesion> {
        let lesion = self.find(spec, found, nodules, rng);
        if lesion.is_some() || !self.may_move() {
            return lesion;
        }
        places(self.pet.extent).iter().find_map(|&(place, _)| {
            let elsewhere = PetLesionSpec {
                place,
                touching: false,
                ..spec.clone()
            };
            self.find(&elsewhere, found, nodules, rng)
        })
    }

    fn find(
        &self,
        spec: &PetLesionSpec,
        found: &[PetLesion],
        nodules: &[Placed],
        rng: &mut ChaCha8Rng,
    ) -> Option<PetLesion> {
        const TRIES: usize = 2_000;
        const NODULE_TRIES: usize = 4;
        let mut others: Vec<Placed> = found.iter().map(|lesion| lesion.placed.clone()).collect();
        others.extend_from_slice(nodules);
        let lesion = |placed, touches| PetLesion {
            spec: spec.clone(),
            placed,
            touches,
        };
        if spec.place == PetPlace::Lung {
            let nodule = |_| {
                let nodule = self.site.find(&spec.nodule(), &others, rng)?;
                let is_free = apart(&nodule, &others, APART_MM);
                is_free.then(|| lesion(nodule, None))
            };
            return (0..NODULE_TRIES).find_map(nodule);
        }
        let partner = found.last().filter(|_| spec.touching);
        if partner.is_some() {
            others.swap_remove(found.len() - 1);
        }
        (0..TRIES).find_map(|_| {
            let outline = self.site.outline(&spec.nodule(), DVec3::ZERO, rng);
            let centre = match partner {
                Some(partner) => touching(&outline, &partner.placed, rng),
                None => self.somewhere(spec.place, reach_mm(&outline), rng),
            };
            let placed = outline.moved(centre);
            let fits = apart(&placed, &others, APART_MM) && self.fits(spec.place, &placed);
            fits.then(|| lesion(placed, partner.map(|_| found.len())))
        })
    }

    /// A centre of that place, not yet known to have room.
    fn somewhere(&self, place: PetPlace, reach_mm: f64, rng: &mut ChaCha8Rng) -> DVec3 {
        let [liver, liver_semi] = LIVER.map(DVec3::from);
        let mut part = || DVec3::from_array(std::array::from_fn(|_| rng.random_range(-1.0..1.0)));
        let jitter = part();
        match place {
            PetPlace::Liver => liver + liver_semi * jitter,
            PetPlace::BesideHeart => {
                // Below the heart lies the liver.
                let side = jitter.with_z(jitter.z.abs()).normalize_or(DVec3::Z);
                self.beside("myocardium", side, reach_mm)
            }
            PetPlace::BesideBladder => {
                let side = DVec3::new(jitter.x.signum(), 0.3 * jitter.y, 0.3 * jitter.z);
                self.beside("bladder", side.normalize(), reach_mm)
            }
            _ => {
                let (anchors, around_mm) = anchors(place);
                let anchor = DVec3::from(anchors[rng.random_range(0..anchors.len())]);
                anchor + jitter * around_mm
            }
        }
    }

    /// Just outside of an organ.
    fn beside(&self, name: &str, direction: DVec3, reach_mm: f64) -> DVec3 {
        let organ = self.parts.iter().find(|part| part.name == Some(name));
        let centre = DVec3::from(BLADDER[0]);
        organ.map_or(centre, |organ| {
            let to_surface_mm = radial_mm(&organ.form, direction);
            organ.form.bounds().0 + direction * (to_surface_mm + reach_mm + BESIDE_MM)
        })
    }

    /// It lies within both grids, in its organ, and away from what is hot.
    fn fits(&self, place: PetPlace, lesion: &Placed) -> bool {
        let (centre, reach_mm) = (lesion.form.bounds().0, reach_mm(lesion));
        let scale = self.site.params.chest_scale;
        let in_grids = [self.grid, self.site.geometry].iter().all(|grid| {
            let [nz, ny, nx] = grid.size.map(|n| n as f64 - 1.0);
            let last = DVec3::new(nx, ny, nz);
            sphere_directions(60).all(|u| {
                let p = (centre + u * (reach_mm + 4.0)) * scale;
                let index = grid.lps_to_index().transform_point3(p);
                index.cmpge(DVec3::ZERO).all() && index.cmple(last).all()
            })
        });
        let free_mm = match place {
            // Distances from an ellipsoid are to first order.
            PetPlace::BesideHeart | PetPlace::BesideBladder => BESIDE_MM - 3.0,
            _ => FREE_MM,
        };
        let is_own = |part: &Part| place == PetPlace::Liver && part.name == Some("liver");
        let is_hot = |part: &&Part| part.suv > HOT_SUV && !is_own(part);
        let mut hot = self.parts.iter().filter(is_hot);
        let is_free = hot.all(|part| part.form.signed_distance(centre) > reach_mm + free_mm);
        in_grids && is_free && (place != PetPlace::Liver || self.in_liver(centre, reach_mm))
    }

    fn in_liver(&self, centre: DVec3, reach_mm: f64) -> bool {
        let liver = super::body::ellipsoid(LIVER);
        let edge_mm = 2.0 * reach_mm + 8.0;
        // Half of a cell is covered where the middle lies on the border: a wide cell tells the depth.
        let depth = self.site.chest.abdominal(centre, edge_mm);
        liver.signed_distance(centre) < -reach_mm && depth > 0.95
    }
}

/// The farthest that a lesion reaches from its middle.
fn reach_mm(lesion: &Placed) -> f64 {
    lesion.form.bounds().1.max_element()
}

/// A centre from which the lesion meets its partner's surface.
fn touching(lesion: &Placed, partner: &Placed, rng: &mut ChaCha8Rng) -> DVec3 {
    let mut part = || rng.random_range(-1.0..1.0);
    let direction = DVec3::new(part(), part(), part()).normalize_or(DVec3::X);
    let apart_mm = radial_mm(&partner.form, direction) + radial_mm(&lesion.form, -direction);
    partner.form.bounds().0 + direction * apart_mm
}

/// Distance from the middle to the surface along a unit vector.
fn radial_mm(form: &Form, direction: DVec3) -> f64 {
    match form {
        Form::Ellipsoid { axes, semi_mm, .. } => {
            1.0 / (axes.transpose() * direction / *semi_mm).length()
        }
        _ => form.reach_mm(direction),
    }
}
