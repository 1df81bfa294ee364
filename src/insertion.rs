//! A real chest CT series to one with synthetic lesions: reads it, finds its lungs, inserts, writes.
//!
//! In: a folder of CT files. Out: a new series with its truth. Refused: several series or none, series without lungs,
//! with uneven slices, of other than 16 bits or in multi-frame objects, and what the stages refuse.
//!
//! It stands above the stages because their functions meet here; what a lesion is stands in [`crate::phantom`].

use crate::dicom::{self, Series};
use crate::error::Class;
use crate::gpu::Compute;
use crate::phantom::insertion::{
    InsertedFiles, Known, KnownTruth, PointSpread, Request, Scan, insert, write_inserted,
};
use crate::phantom::{self, Kernel};
use crate::preprocess::{self, Interpolation, Plan, distance};
use crate::volume::{Mask, StoredVolume, Volume};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Vessels of up to twice as wide belong to the lungs, voxels of the search grid of 2 mm.
const CLOSING_VOXELS: u16 = 3;
/// More nodules than this are no truth of one series.
const MOST_KNOWN: usize = 1000;
/// Depths are known up to this, voxels of that grid.
const DEEPEST_VOXELS: u16 = 8;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The series: a folder of CT files, or one file of each slice's folder.
    pub series: PathBuf,
    /// How many lesions.
    pub lesions: usize,
    /// Seed of the lesions and their places.
    pub seed: u64,
    /// Truth of nodules that the series has, if any.
    pub avoid: Option<PathBuf>,
    /// Where to write; empty or not there.
    pub out: PathBuf,
    /// Largest volume that is read, voxels.
    pub max_voxels: u64,
}

/// Why nothing was inserted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the series.
    #[error(transparent)]
    Dicom(#[from] dicom::Error),
    /// Finding the lungs.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    /// Placing lesions, or writing.
    #[error(transparent)]
    Phantom(#[from] phantom::Error),
    /// There is not exactly one series.
    #[error("{found} CT series are below the folder; give the folder of one")]
    NotOneSeries {
        /// How many there are.
        found: usize,
    },
    /// The series cannot carry lesions.
    #[error("{reason}; take another series (series {uid})")]
    Unsuitable {
        /// What it is that does not suit.
        reason: &'static str,
        /// Series Instance UID.
        uid: String,
    },
    /// The truth of the known nodules cannot be read.
    #[error("{} is no truth file: {reason}", path.display())]
    KnownTruth {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The truth of the known nodules is of another series.
    #[error("the truth of --avoid is of series {found}, not of series {uid}")]
    OtherSeries {
        /// Its Series Instance UID.
        found: String,
        /// The series'.
        uid: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Dicom(e) => e.class(),
            Self::Preprocess(e) => e.class(),
            Self::Phantom(e) => e.class(),
            Self::NotOneSeries { .. } | Self::KnownTruth { .. } | Self::OtherSeries { .. } => {
                Class::Config
            }
            Self::Unsuitable { .. } => Class::Unsupported,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dicom(e) => e.code(),
            Self::Preprocess(e) => e.code(),
            Self::Phantom(e) => e.code(),
            Self::NotOneSeries { .. } => "insertion-not-one-series",
            Self::Unsuitable { .. } => "insertion-unsuitable-series",
            Self::KnownTruth { .. } => "insertion-bad-truth",
            Self::OtherSeries { .. } => "insertion-other-series",
        }
    }
}

/// Inserts lesions into a series; the same job gives the same bytes.
///
/// # Errors
/// What is wrong with the series, its truth or the target; [`phantom::Error::NoRoomInLungs`] for too many lesions.
pub fn run(job: &Job) -> Result<InsertedFiles, Error> {
    let series = only_series(&job.series)?;
    let uid = series.uid().to_owned();
    let known = match &job.avoid {
        Some(path) => known(path, &uid)?.nodules,
        None => Vec::new(),
    };
    let stored = dicom::load(&series, job.max_voxels, None)?;
    let depth_mm = depth_mm(&stored)?;
    let headers: Result<Vec<_>, _> = series.instances.par_iter().map(dicom::header).collect();
    let request = Request {
        lesions: job.lesions,
        seed: job.seed,
        series_instance_uid: uid,
        known,
    };
    let inserted = insert(stored, &scan(&series, &depth_mm), &request)?;
    Ok(write_inserted(&inserted, &headers?, &job.out)?)
}

fn only_series(path: &Path) -> Result<Series, Error> {
    let inventory = dicom::read_paths(&[path.to_owned()], &|_| {});
    let mut reasons: Vec<dicom::Error> =
        inventory.unreadable.into_iter().map(|u| u.error).collect();
    let mut found = Vec::new();
    for study in inventory.studies {
        found.extend(study.series.into_iter().filter(is_ct));
        reasons.extend(study.left_out.into_iter().map(|left_out| left_out.error));
    }
    match (found.pop(), found.len()) {
        (Some(series), 0) => suitable(series),
        (Some(_), others) => Err(Error::NotOneSeries { found: others + 1 }),
        (None, _) => match reasons.into_iter().next() {
            Some(reason) => Err(reason.into()),
            None => Err(Error::NotOneSeries { found: 0 }),
        },
    }
}

fn is_ct(series: &Series) -> bool {
    series.instances.iter().all(|slice| slice.modality == "CT")
}

fn suitable(series: Series) -> Result<Series, Error> {
    let any = |odd: fn(&dicom::Instance) -> bool| series.instances.iter().any(odd);
    let signs = |signed| series.instances.iter().any(|slice| slice.signed == signed);
    let reason = if !series.slices.as_slice().is_empty() {
        "its slices are unevenly spaced, or some are missing"
    } else if any(|slice| slice.frame_number.is_some()) {
        "its slices are frames of multi-frame objects"
    } else if any(|slice| slice.bits_allocated != 16) {
        "its Bits Allocated (0028,0100) is not 16"
    } else if signs(true) && signs(false) {
        "its slices differ in Pixel Representation (0028,0103)"
    } else {
        return Ok(series);
    };
    let uid = series.uid().to_owned();
    Err(Error::Unsuitable { reason, uid })
}

fn known(path: &Path, uid: &str) -> Result<KnownTruth, Error> {
    let bad = |reason: String| Error::KnownTruth {
        path: path.to_owned(),
        reason,
    };
    let json = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let truth: KnownTruth = serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?;
    if truth.nodules.len() > MOST_KNOWN || !truth.nodules.iter().all(Known::is_plausible) {
        return Err(bad(
            "at most 1000 nodules of up to 300 mm are possible".into()
        ));
    }
    match truth.series_instance_uid == uid {
        true => Ok(truth),
        false => Err(Error::OtherSeries {
            found: truth.series_instance_uid,
            uid: uid.to_owned(),
        }),
    }
}

fn scan<'a>(series: &Series, depth_mm: &'a Volume<f32>) -> Scan<'a> {
    let first = &series.instances[0];
    let sharp = first.kernel.as_deref().and_then(dicom::is_sharp_kernel);
    let kernel = match sharp {
        Some(true) => Kernel::Lung,
        Some(false) | None => Kernel::Soft,
    };
    let thickness_mm = first
        .slice_thickness_mm
        .unwrap_or(series.geometry.spacing_mm()[0]);
    let bits = series.instances.iter().map(|slice| slice.bits_stored);
    Scan {
        depth_mm,
        spread: PointSpread::of(kernel, thickness_mm),
        bits_stored: bits.min().unwrap_or(16),
    }
}

/// Depth below the border of the lungs, closed over their vessels, mm, on the grid of the search masks.
fn depth_mm(stored: &StoredVolume) -> Result<Volume<f32>, Error> {
    let plan = Plan {
        grid: stored.geometry.covering([8.0; 3]),
        interpolation: Interpolation::Trilinear,
    };
    let prepared = preprocess::run(&Compute::Cpu, stored, &plan)?;
    prepared.require_lungs()?;
    Ok(depth_of(&prepared.lungs.lung))
}

/// Distance to what lies outside the lungs widened by the closing, less that closing.
fn depth_of(lung: &Mask) -> Volume<f32> {
    let grid = lung.geometry;
    let search = |seeds, radius_voxels| distance::Search {
        seeds,
        size: grid.size,
        radius_voxels,
    };
    let widened = distance::reference(&lung.voxels, &search(1..=1, CLOSING_VOXELS));
    let beyond = distance::beyond(CLOSING_VOXELS);
    let radius_voxels = CLOSING_VOXELS + DEEPEST_VOXELS;
    let within = distance::reference(&widened, &search(beyond..=u16::MAX, radius_voxels));
    // The border lies half a voxel before the first voxel outside.
    let border_voxels = f64::from(CLOSING_VOXELS) + 0.5;
    let [voxel_mm, ..] = grid.spacing_mm();
    #[expect(clippy::cast_possible_truncation, reason = "some mm")]
    let depth = |squared: &u16| ((f64::from(*squared).sqrt() - border_voxels) * voxel_mm) as f32;
    Volume {
        geometry: grid,
        voxels: within.iter().map(depth).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;
    use glam::DVec3;

    #[test]
    fn depth_crosses_zero_at_the_border_and_passes_over_vessels() {
        let geometry = Geometry::axis_aligned([40, 40, 40], [2.0; 3], DVec3::ZERO);
        let mut lung = Mask::filled(geometry, 0);
        let lies_in = |i: usize| (10..30).contains(&(i % 40)) && (8..32).contains(&(i / 40 % 40));
        for (i, voxel) in lung.voxels.iter_mut().enumerate() {
            let vessel = (19..21).contains(&(i % 40)) && (19..21).contains(&(i / 40 % 40));
            *voxel = u8::from(lies_in(i) && !vessel);
        }
        let depth = depth_of(&lung);
        let at = |x| depth.at([20, 20, x]);
        assert!((at(10) - 1.0).abs() < 1e-4 && (at(9) + 1.0).abs() < 1e-4);
        assert!(at(20) > 10.0);
        assert!(at(2) < -5.0);
    }
}
