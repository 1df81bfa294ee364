//! What is known of a series: its nodules, by readers or by construction.
//!
//! In: LIDC-IDRI truth files with label maps, truth files of phantoms, or LUNA16's CSV files. Out: a [`Truth`].
//! Refused, by code: files that are broken or contradict themselves. Patients' names and ids are not read.

mod json;
mod luna;

pub(super) use json::told;

use super::Error;
use crate::code::NoduleType;
use std::path::{Path, PathBuf};

/// All series that results are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// How it was written.
    pub format: Format,
    /// By series, in the order of their UIDs.
    pub cases: Vec<Case>,
}

/// How a truth was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON file a series, with a label map or of a phantom.
    Json,
    /// LUNA16's `annotations.csv`.
    Luna16,
}

/// What is known of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Every nodule that somebody marked.
    pub nodules: Vec<Nodule>,
    /// The label map of the nodules; none for a phantom or LUNA16.
    pub label_map: Option<PathBuf>,
    /// Slices, rows, columns that the label map must have.
    pub shape_zyx: Option<[usize; 3]>,
}

/// One nodule.
#[derive(Debug, Clone, PartialEq)]
pub struct Nodule {
    /// Its voxels in the label map.
    pub label: u16,
    /// How many readers marked it; 4 by construction or where LUNA16 counts it, 0 where LUNA16 leaves it out.
    pub readers: u32,
    /// LPS mm.
    pub centroid_lps_mm: [f64; 3],
    /// Diameter of the ball of its volume; of LUNA16 the mean diameter of its readers.
    pub diameter_mm: f64,
    /// Volume as the truth states it, mm³.
    pub volume_mm3: Option<f64>,
    /// Where known; of LIDC-IDRI by the median of the readers' texture: 1 and 2 ground glass, to 3.5 part-solid.
    pub nodule_type: Option<NoduleType>,
    /// What it touches, such as `juxtapleural`, where known.
    pub attachment: Option<String>,
}

impl Truth {
    /// Reads the truth at `path`: a folder, one of its JSON files, or LUNA16's annotations.
    ///
    /// A folder is searched for JSON files with nodules, those of its folders included; where it has none, for
    /// `annotations.csv`.
    ///
    /// # Errors
    /// [`Error::NoTruth`] where nothing is there; else what is wrong with a file.
    pub fn read(path: &Path, luna: &LunaFiles) -> Result<Self, Error> {
        let is_csv = |path: &Path| {
            path.extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("csv"))
        };
        let annotations = path.join("annotations.csv");
        let (format, mut cases) = if is_csv(path) {
            (Format::Luna16, luna::read(path, luna)?)
        } else {
            match json::read(path)? {
                cases if !cases.is_empty() => (Format::Json, cases),
                _ if annotations.is_file() => (Format::Luna16, luna::read(&annotations, luna)?),
                _ => return Err(Error::NoTruth { path: path.into() }),
            }
        };
        cases.sort_by(|a, b| a.series_instance_uid.cmp(&b.series_instance_uid));
        let twice = cases
            .windows(2)
            .find(|pair| pair[0].series_instance_uid == pair[1].series_instance_uid);
        if let Some([case, _]) = twice {
            let uid = case.series_instance_uid.clone();
            return Err(Error::TruthDuplicate { uid });
        }
        Ok(Self { format, cases })
    }
}

/// What LUNA16 has beside its annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LunaFiles {
    /// `annotations_excluded.csv`: marks that are neither hits nor false positives.
    pub excluded: Option<PathBuf>,
    /// `seriesuids.csv`: all series, those without nodules included.
    pub series: Option<PathBuf>,
}
