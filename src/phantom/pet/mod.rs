//! PET and CT of one synthetic patient: the same anatomy with known uptake and known lesions.
//!
//! In: [`Params`] of the CT and [`PetParams`]. Out: a [`PetPhantom`] and both series on disk with their truth
//! ([`write_pet_ct`]). Refused: parameters out of range, and lesions that fit nowhere.

mod body;
mod branch;
mod defect;
mod header;
mod image;
mod params;
mod patient;
mod place;
mod scanner;
mod sites;
#[cfg(test)]
mod tests;
mod times;
mod tracer;
mod truth;
mod uptake;
mod write;

pub use branch::SuvBranch;
pub use defect::PetDefect;
pub use params::{Extent, PetLesionSpec, PetLesions, PetNoise, PetParams, PetPlace};
pub use patient::Patient;
pub use tracer::TracerName;
pub use truth::{PetCtTruth, PetLesionTruth, PetTruth, Physiologic};
pub use write::{WrittenPair, write_pet_ct};

use super::lesion::{self, Placed};
use super::{Detail, Error, Params, Phantom, Scene, Stream, random};
use crate::uid::UidSource;
use glam::DVec3;
use image::Image;
use place::{PetLesion, Surroundings};
use scanner::Source;
use times::Times;
use uptake::Part;

/// A synthetic PET with its CT.
#[derive(Debug, Clone, PartialEq)]
pub struct PetPhantom {
    /// The CT, which shows the lesions as well.
    pub ct: Phantom,
    /// What is in both.
    pub truth: PetCtTruth,
    image: Image,
    times: Times,
}

impl PetPhantom {
    /// Makes both; the same parameters give the same voxels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for parameters beyond their limits, [`Error::NoRoom`] and [`Error::NoRoomForUptake`] when a
    /// lesion fits nowhere.
    pub fn new(ct: &Params, pet: &PetParams) -> Result<Self, Error> {
        ct.validate()?;
        pet.validate()?;
        let mut rng = random(ct.seed, Stream::Patient);
        let patient = Patient::new(&pet.tracer.tracer(), &mut rng);
        let times = Times::new(pet, &mut rng);
        let mut rng = random(ct.seed, Stream::Uptake);
        let uptake = pet.tracer.uptake(&mut rng);
        let scene = scene(ct, pet);
        let organs = uptake::parts(pet.extent, &scene.subject.chest, &uptake, &mut rng);
        let (cold, lesions) = placed(ct, pet, &scene, &organs)?;
        let uids = uids(ct, pet);
        let ct_phantom =
            shown(scene, &cold, &lesions).scanned(ct, &uids, &nodules(&cold, &lesions));
        let parts = [
            organs.clone(),
            lesions.iter().map(PetLesion::part).collect(),
        ]
        .concat();
        let source = Source {
            subject: &shown(plain(ct, pet), &cold, &lesions).subject,
            uptake: &uptake,
            parts: &parts,
        };
        let image = Image::new(ct, pet, &source);
        let facts = truth::Facts {
            ct,
            pet,
            image: &image,
            series_uid: uids.uid("pet/series"),
            patient,
            uptake: &uptake,
            lesions: &lesions,
            cold_nodules: cold.len(),
            organs: &organs,
        };
        let truth = PetCtTruth {
            ct: ct_phantom.truth.clone(),
            pet: facts.truth(),
        };
        Ok(Self {
            ct: ct_phantom,
            truth,
            image,
            times,
        })
    }

    /// SUVbw as the scanner shows it, `[z, y, x]`, before it is stored in 16 bits.
    pub fn suv(&self) -> &[f32] {
        &self.image.suv
    }

    /// Middle of the first voxel of a slice of the PET.
    pub fn position_lps_mm(&self, slice: usize) -> DVec3 {
        self.image.position_lps_mm(slice)
    }

    fn params(&self) -> &PetParams {
        &self.truth.pet.params
    }

    /// A slice of the PET as its file holds it.
    fn stored(&self, slice: usize) -> image::Stored {
        let patient = &self.truth.pet.patient;
        let branch = self.params().branch;
        let value_of_one = branch.value_of_one(patient, &self.times, slice);
        self.image.stored(slice, value_of_one, self.params())
    }
}

/// The patient without lesions.
fn scene(ct: &Params, pet: &PetParams) -> Scene {
    let mut scene = Scene::new(ct);
    if pet.extent == Extent::Body {
        scene.subject.ends = Some(body::ENDS);
        let organs = std::mem::take(&mut scene.subject.shapes);
        scene.subject.shapes = [body::shapes(), organs].concat();
    }
    scene
}

/// The same without vessels in the lungs and texture, which take up nothing of their own.
fn plain(ct: &Params, pet: &PetParams) -> Scene {
    let plain = Params {
        detail: Detail::Plain,
        ..ct.clone()
    };
    scene(&plain, pet)
}

/// The nodules of the CT that take up nothing, and the lesions of the PET.
fn placed(
    ct: &Params,
    pet: &PetParams,
    scene: &Scene,
    organs: &[Part],
) -> Result<(Vec<Placed>, Vec<PetLesion>), Error> {
    let mut rng = random(ct.seed, Stream::Lesions);
    let specs = lesion::specs(&ct.lesions, &mut rng);
    let cold = scene.site(ct).place(specs, &mut rng)?;
    let mut rng = random(ct.seed, Stream::PetLesions);
    let specs = place::specs(pet, &mut rng);
    let unmoved = PetParams {
        misregistration_mm: [0.0; 3],
        ..pet.clone()
    };
    let surroundings = Surroundings {
        site: scene.site(ct),
        pet,
        grid: scanner::geometry(ct, &unmoved),
        parts: organs,
    };
    let lesions = surroundings.place(specs, &cold, &mut rng)?;
    Ok((cold, lesions))
}

/// Every nodule of the CT: those without uptake, then those of the PET.
fn nodules(cold: &[Placed], lesions: &[PetLesion]) -> Vec<Placed> {
    let hot = lesions.iter().filter(|l| l.spec.place == PetPlace::Lung);
    let hot = hot.map(|lesion| lesion.placed.clone());
    cold.iter().cloned().chain(hot).collect()
}

/// The patient with every lesion as CT shows it.
fn shown(mut scene: Scene, cold: &[Placed], lesions: &[PetLesion]) -> Scene {
    scene.draw(&nodules(cold, lesions));
    let shapes = lesions.iter().filter_map(PetLesion::shape);
    scene.subject.shapes.extend(shapes);
    scene
}

/// UIDs of both series: equal parameters, equal UIDs.
fn uids(ct: &Params, pet: &PetParams) -> UidSource {
    let ct = serde_json::to_string(ct).unwrap_or_default();
    let pet = serde_json::to_string(pet).unwrap_or_default();
    UidSource::new(["hilum phantom pet", ct.as_str(), pet.as_str()])
}
