//! What a run found, as DICOM SR and SEG and as JSON.
//!
//! In: a [`StudyReport`]. Out: the bytes of `sr.dcm`, `seg*.dcm` and `findings.json`, or a folder that holds them.
//! Refused, by code: lesions that contradict their grid, numbers that are not finite, folders that may not be replaced.

use crate::dicom::Series;
use crate::error::Class;
use crate::lesion::{Lesion, Structure};
use crate::measure::Measurement;
use crate::provenance::{Method, ModelIdentity, Provenance};
use crate::uid::UidSource;
use crate::warning::Warning;
use dicom_object::InMemDicomObject;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

mod assessment;
mod codes;
mod content;
mod element;
mod finding;
mod header;
mod json;
mod label_map;
mod pet;
mod seg;
mod sr;
mod write;

pub use pet::PetRun;
pub use write::{Existing, Written, check_folder, existing_run, write_folder, write_study};

/// Everything that is reported of one study.
#[derive(Debug)]
pub struct StudyReport<'a> {
    /// Study Instance UID (0020,000D); also the name of the output folder.
    pub study_instance_uid: String,
    /// All attributes but the pixel data of one source instance; patient, study and character set are copied from it.
    pub source_header: InMemDicomObject,
    /// Which files there are beside `findings.json`.
    pub outputs: Outputs,
    /// The result that this one replaces: its predecessor (PS3.3 C.17.2).
    pub supersedes: Option<Superseded>,
    /// One entry for each series and model that was meant to run.
    pub runs: Vec<SeriesRun<'a>>,
    /// Series that no model ran on.
    pub left_out: Vec<LeftOutSeries>,
    /// Warnings of the whole study, such as those of the device.
    pub warnings: Vec<Warning>,
    /// Milliseconds by stage; JSON only, so that SR and SEG do not change from run to run.
    pub timings_ms: BTreeMap<String, f64>,
    /// What ran.
    pub provenance: Provenance,
    /// Where the output UIDs come from. Must depend on all that this report holds but the timings, the adapter included:
    /// a SOP Instance UID may not name two contents (PS3.5 9).
    pub uid_source: UidSource,
}

/// Which files there are beside `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outputs {
    /// `sr.dcm` and the SEGs; none where the source is no DICOM, for there is no patient's study that they belong to.
    pub dicom: bool,
    /// A label map of each series that a model ran on.
    pub label_maps: bool,
}

/// The header of a source that is no DICOM: nothing is known of patient and study.
pub fn no_header() -> InMemDicomObject {
    InMemDicomObject::new_empty()
}

/// One model on one series.
#[derive(Debug)]
pub struct SeriesRun<'a> {
    /// The series; its own warnings are reported too.
    pub series: &'a Series,
    /// The series of the model's further input channels.
    pub companions: Vec<&'a Series>,
    /// The model that ran, or was meant to.
    pub model: ModelIdentity,
    /// What the model says that its confidence means; reported where a classifier or rules gave it.
    pub confidence_meaning: String,
    /// How it ended.
    pub status: Status,
    /// Why, unless it is done.
    pub reason: Option<Reason>,
    /// Lesions with their measurements, in the order of the report.
    pub lesions: Vec<(Lesion, Measurement)>,
    /// What is segmented beside lesions.
    pub structures: Vec<Structure>,
    /// What was measured of a PET as a whole, in SUV.
    pub pet: Option<PetRun>,
    /// Warnings of this run.
    pub warnings: Vec<Warning>,
}

impl SeriesRun<'_> {
    /// Warnings of the series, then of the run.
    fn all_warnings(&self) -> impl Iterator<Item = &Warning> {
        self.series.warnings.iter().chain(&self.warnings)
    }

    /// What the confidence of the lesions means; `None` where neither a classifier nor rules gave it.
    fn stated_confidence_meaning(&self) -> Option<&str> {
        let mut lesions = self.lesions.iter();
        let assessed = lesions.any(|(lesion, _)| lesion.assessment.is_some());
        let by_rules = self.model.method == Method::Rules;
        (assessed || by_rules).then_some(&*self.confidence_meaning)
    }

    /// Series Instance UID (0020,000E).
    fn series_instance_uid(&self) -> &str {
        let first = self.series.instances.first();
        first.map_or("", |instance| &instance.series_instance_uid)
    }

    /// Modality (0008,0060).
    fn modality(&self) -> &str {
        let first = self.series.instances.first();
        first.map_or("", |instance| &instance.modality)
    }
}

/// The SR of an earlier result of the same study, which this one replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Superseded {
    /// Its Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Its SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
}

/// A series that no model ran on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutSeries {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Modality (0008,0060), empty where unknown.
    pub modality: String,
    /// Skipped where it is sound but nothing for a model, failed where it is broken.
    pub status: Status,
    /// Why.
    pub reason: Reason,
}

/// How a run on a series ended; `status` in `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The model ran to its end, whether or not it found anything.
    Done,
    /// The model was not run.
    Skipped,
    /// The model was started, or the series was read, and that failed.
    Failed,
}

/// Why a series was skipped or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A stable kebab-case code.
    pub code: String,
    /// The same for people.
    pub text: String,
    /// Whose fault it is; tells those who run studies by themselves whether another try may end otherwise.
    #[serde(skip)]
    pub class: Class,
}

/// One output file before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Name inside the study's folder.
    pub name: String,
    /// The whole file.
    pub bytes: Vec<u8>,
}

/// The output files of a study in memory: `sr.dcm`, one SEG per source grid that has segments, label maps, `findings.json`.
///
/// The same report gives the same bytes.
///
/// # Errors
/// [`Error::LesionMask`] and [`Error::Measurement`] for lesions that cannot be true, [`Error::TooManySegments`] and
/// [`Error::SegTooLarge`] at the limits, [`Error::InvalidStudyUid`], [`Error::Text`] and [`Error::Encode`].
pub fn encode(report: &StudyReport) -> Result<Vec<OutputFile>, Error> {
    if !crate::uid::is_valid(&report.study_instance_uid) {
        return Err(Error::InvalidStudyUid);
    }
    let findings = finding::Findings::new(report)?;
    let mut files = Vec::new();
    if report.outputs.dicom {
        files.push(dicom_file("sr.dcm", sr::document(report, &findings)?)?);
        for grid in 0..findings.grids.len() {
            let segmentation = seg::segmentation(report, &findings, grid)?;
            files.push(dicom_file(&findings.seg_name(grid), segmentation)?);
        }
    }
    if report.outputs.label_maps {
        files.extend(label_map::files(report, &findings)?);
    }
    files.push(OutputFile {
        name: write::FINDINGS_JSON.into(),
        bytes: json::document(report, &findings)?,
    });
    Ok(files)
}

fn dicom_file(name: &str, object: InMemDicomObject) -> Result<OutputFile, Error> {
    let bytes = element::file_bytes(object).map_err(|source| Error::Encode {
        file: name.into(),
        source,
    })?;
    Ok(OutputFile {
        name: name.into(),
        bytes,
    })
}

/// Why a report could not be made or written. Never names the patient.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Study Instance UID cannot name a folder.
    #[error(
        "Study Instance UID (0020,000D) is not a UID (PS3.5 9.1); no folder can be named by it"
    )]
    InvalidStudyUid,
    /// A text of the source cannot be written in its own character set.
    #[error(
        "{keyword} {tag} cannot be written in Specific Character Set (0008,0005) of its source"
    )]
    Text {
        /// Keyword of the attribute.
        keyword: &'static str,
        /// Its tag, as `(gggg,eeee)`.
        tag: String,
    },
    /// A lesion's mask is empty or leaves the grid of its series.
    #[error("lesion {id} has an empty mask or leaves its grid; series {series_instance_uid}")]
    LesionMask {
        /// Number of the lesion in the report.
        id: usize,
        /// Series Instance UID.
        series_instance_uid: String,
    },
    /// A number of a lesion is not finite or out of its range.
    #[error("{what} of lesion {id} is not finite or out of range; series {series_instance_uid}")]
    Measurement {
        /// Which number.
        what: &'static str,
        /// Number of the lesion in the report.
        id: usize,
        /// Series Instance UID.
        series_instance_uid: String,
    },
    /// Segment Number (0062,0004) has 16 bits.
    #[error(
        "more than 65,535 segments in one SEG; raise candidates.min_confidence; series {series_instance_uid}"
    )]
    TooManySegments {
        /// Series Instance UID.
        series_instance_uid: String,
    },
    /// The SEG would be larger than any reader can take.
    #[error(
        "the SEG needs {bytes} bytes of pixel data, {limit} are allowed; lower candidates.max_lesions; series {series_instance_uid}"
    )]
    SegTooLarge {
        /// Bytes needed.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
        /// Series Instance UID.
        series_instance_uid: String,
    },
    /// The DICOM or JSON writer refused.
    #[error("cannot encode {file}: {source}")]
    Encode {
        /// Name of the output file.
        file: String,
        /// The writer's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The study's folder holds another run.
    #[error("{dir} holds the results of another run; pass --overwrite to replace them")]
    Exists {
        /// The study's folder.
        dir: PathBuf,
    },
    /// The study's folder was not written by this program, so it is never replaced.
    #[error(
        "{dir} holds something else than results of this program; move it away or choose another --out"
    )]
    NotOurs {
        /// The study's folder.
        dir: PathBuf,
    },
    /// No space left.
    #[error("no space left for {path}; nothing of this study was kept ({source})")]
    DiskFull {
        /// File or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Permission denied or a read-only file system.
    #[error("{path} may not be written; nothing of this study was kept ({source})")]
    NotWritable {
        /// File or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Any other failure of the file system.
    #[error("cannot write {path}; nothing of this study was kept ({source})")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::InvalidStudyUid | Self::Text { .. } => Class::Input,
            Self::LesionMask { .. } | Self::Measurement { .. } | Self::Encode { .. } => {
                Class::Internal
            }
            Self::TooManySegments { .. } | Self::SegTooLarge { .. } => Class::Limits,
            Self::Exists { .. } | Self::NotOurs { .. } => Class::Config,
            Self::DiskFull { .. } | Self::NotWritable { .. } | Self::Io { .. } => {
                Class::Environment
            }
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidStudyUid => "study-uid-invalid",
            Self::Text { .. } => "text-not-encodable",
            Self::LesionMask { .. } => "lesion-mask-invalid",
            Self::Measurement { .. } => "measurement-invalid",
            Self::TooManySegments { .. } => "too-many-segments",
            Self::SegTooLarge { .. } => "seg-too-large",
            Self::Encode { .. } => "encode-failed",
            Self::Exists { .. } => "output-exists",
            Self::NotOurs { .. } => "output-not-ours",
            Self::DiskFull { .. } => "disk-full",
            Self::NotWritable { .. } => "output-not-writable",
            Self::Io { .. } => "output-io",
        }
    }
}
