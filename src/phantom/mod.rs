//! Synthetic chest CT with known lesions, and with its PET ([`pet`]).
//!
//! In: [`Params`]. Out: a [`Phantom`] (stored values and truth), and its DICOM series on disk ([`write_series`]).
//! Refused: parameters out of range, and lesions that fit nowhere in the lung within the grid.
//!
//! The anatomy is a function of the patient position, so every grid, orientation and tilt shows the same chest.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "HU fit f32, and positions are clamped to the grid before they become indices"
)]

mod anatomy;
mod defect;
pub mod insertion;
mod lesion;
mod noise;
mod organs;
mod orientation;
mod params;
pub mod pet;
mod scan;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
mod truth;
mod write;

pub use defect::Defect;
pub use orientation::Orientation;
pub use params::{Density, Detail, Dose, Kernel, LesionShape, LesionSpec, Lesions, Params, Place};
pub use truth::{Core, Nodule, PATIENT_ID, Truth};
pub use write::{SERIES_FOLDER, TRUTH_FILE, WriteOptions, Written, write_series};

use crate::error::Class;
use crate::uid::UidSource;
use crate::volume::StoredVolume;
use anatomy::Chest;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
#[cfg(test)]
use {
    crate::volume::{Geometry, Volume},
    glam::DVec3,
};

/// A synthetic chest CT.
#[derive(Debug, Clone, PartialEq)]
pub struct Phantom {
    /// Stored values on the grid.
    pub stored: StoredVolume,
    /// What is in it.
    pub truth: Truth,
}

/// Why a phantom was not made or not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is not usable.
    #[error("phantom parameter {name} is out of range; give {limits}")]
    OutOfRange {
        /// Field of [`Params`].
        name: &'static str,
        /// What is usable.
        limits: &'static str,
    },
    /// A lesion fits nowhere.
    #[error(
        "lesion {label} ({diameter_mm:.1} mm) has no room in the lung within the grid, apart from the others; give a smaller one, fewer, or a larger grid"
    )]
    NoRoom {
        /// Number of the lesion in the list.
        label: usize,
        /// Its diameter.
        diameter_mm: f64,
    },
    /// A PET lesion fits nowhere.
    #[error(
        "PET lesion {label} ({diameter_mm:.1} mm) has no room in its place within the grid, apart from the others; give a smaller one, fewer, or another seed"
    )]
    NoRoomForUptake {
        /// Number of the lesion in the list.
        label: usize,
        /// Its diameter.
        diameter_mm: f64,
    },
    /// A lesion to insert fits nowhere.
    #[error(
        "{placed} of {asked} lesions found room in these lungs, the next one ({diameter_mm:.1} mm) did not; insert fewer, or take another seed"
    )]
    NoRoomInLungs {
        /// How many found room.
        placed: usize,
        /// How many were asked for.
        asked: usize,
        /// Diameter of the one that did not.
        diameter_mm: f64,
    },
    /// The table of lesions that is compiled in does not parse: a defect.
    #[error("the table of lesions is broken: {reason}")]
    Table {
        /// The parser's reason.
        reason: String,
    },
    /// The target folder already holds a phantom or other files.
    #[error("{} is not empty; choose another folder, or overwrite it (--overwrite)", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot write {}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The DICOM writer refused.
    #[error("cannot encode slice {slice}: {reason}")]
    Encode {
        /// Slice index.
        slice: usize,
        /// The writer's reason.
        reason: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::OutOfRange { .. }
            | Self::NoRoom { .. }
            | Self::NoRoomForUptake { .. }
            | Self::NoRoomInLungs { .. }
            | Self::NotEmpty { .. } => Class::Config,
            Self::Write { .. } => Class::Environment,
            Self::Encode { .. } | Self::Table { .. } => Class::Internal,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "phantom-parameter-out-of-range",
            Self::NoRoom { .. } => "phantom-lesion-has-no-room",
            Self::NoRoomForUptake { .. } => "phantom-uptake-has-no-room",
            Self::NoRoomInLungs { .. } => "insertion-no-room",
            Self::Table { .. } => "insertion-table",
            Self::NotEmpty { .. } => "output-folder-not-empty",
            Self::Write { .. } => "write-failed",
            Self::Encode { .. } => "encode-failed",
        }
    }
}

/// Streams of random numbers, so that a change of lesions leaves anatomy and noise as they were.
enum Stream {
    Anatomy,
    Trees,
    Lesions,
    Uptake,
    PetLesions,
    Patient,
}

fn random(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Noise takes stream 1 and up, one a slice.
    rng.set_stream(u64::MAX - stream as u64);
    rng
}

impl Phantom {
    /// Makes the phantom of `params`; the same parameters give the same voxels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for parameters beyond their limits, [`Error::NoRoom`] when a lesion fits nowhere.
    pub fn new(params: &Params) -> Result<Self, Error> {
        params.validate()?;
        let mut scene = Scene::new(params);
        let mut rng = random(params.seed, Stream::Lesions);
        let specs = lesion::specs(&params.lesions, &mut rng);
        let lesions = scene.site(params).place(specs, &mut rng)?;
        scene.draw(&lesions);
        Ok(scene.scanned(params, &uids(params), &lesions))
    }
}

/// What is scanned, before its lesions are known.
struct Scene {
    subject: scan::Subject,
    vessels: Vec<tree::Branch>,
}

impl Scene {
    fn new(params: &Params) -> Self {
        let chest = Chest::new(params.detail, &mut random(params.seed, Stream::Anatomy));
        let mut shapes = organs::organs(&chest);
        let (tubes, vessels) = match params.detail {
            Detail::Full => tree::trees(&chest, &mut random(params.seed, Stream::Trees)),
            Detail::Plain => (Vec::new(), Vec::new()),
        };
        shapes.extend(tubes);
        let subject = scan::Subject {
            chest,
            ends: None,
            shapes,
        };
        Self { subject, vessels }
    }

    fn site<'a>(&'a self, params: &'a Params) -> lesion::Site<'a> {
        lesion::Site {
            params,
            geometry: params.geometry(),
            chest: &self.subject.chest,
            vessels: &self.vessels,
        }
    }

    fn draw(&mut self, lesions: &[lesion::Placed]) {
        let shapes = lesions.iter().flat_map(lesion::Placed::shapes);
        self.subject.shapes.extend(shapes);
    }

    fn scanned(&self, params: &Params, uids: &UidSource, lesions: &[lesion::Placed]) -> Phantom {
        let series_uid = uids.uid("series");
        Phantom {
            stored: scan::scan(params, &self.subject),
            truth: Truth::new(params, &params.geometry(), series_uid, lesions),
        }
    }
}

#[cfg(test)]
impl Phantom {
    /// Depth below the pleura, mm, on a grid.
    fn lung_depth_mm(params: &Params, geometry: Geometry) -> Volume<f32> {
        let chest = Chest::new(params.detail, &mut random(params.seed, Stream::Anatomy));
        let [_, ny, nx] = geometry.size;
        let index =
            |i: usize| DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
        let depth = |i| -chest.lung_distance(geometry.to_lps_mm(index(i))) as f32;
        Volume {
            geometry,
            voxels: (0..geometry.voxel_count()).map(depth).collect(),
        }
    }
}

/// UIDs of a phantom: equal parameters, equal UIDs.
fn uids(params: &Params) -> UidSource {
    let params = serde_json::to_string(params).unwrap_or_default();
    UidSource::new(["hilum phantom", params.as_str()])
}
