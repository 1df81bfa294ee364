//! Why an evaluation was refused: what, in which file, and what to do.

use crate::error::Class;
use std::path::PathBuf;

/// Why results could not be compared with the truth. Files are named for the person who gave them; patients never.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing below `--truth` is a truth.
    #[error(
        "no truth in {}: give a folder of <case>.truth.json with <case>.truth.nii.gz, a phantom's truth.json, or LUNA16's annotations.csv",
        path.display()
    )]
    NoTruth {
        /// What was given.
        path: PathBuf,
    },
    /// The operating system refused a file.
    #[error("{} cannot be read ({kind}); check that it exists, its permissions and the disk", file.display())]
    Read {
        /// File or folder.
        file: PathBuf,
        /// What the operating system said.
        kind: std::io::ErrorKind,
    },
    /// A truth file that is no JSON, or lacks what is needed, or says what cannot be.
    #[error("{}: {what}; correct the truth file", file.display())]
    TruthMalformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, without the value.
        what: String,
    },
    /// A line of a CSV file that cannot be read.
    #[error("{} line {line}: {what}; correct the line", file.display())]
    TruthLine {
        /// The file.
        file: PathBuf,
        /// From 1, the header included.
        line: u64,
        /// What is wrong, without the value.
        what: String,
    },
    /// A CSV file with other columns than it must have.
    #[error("{}: the columns are {found}, {needed} are needed", file.display())]
    TruthColumns {
        /// The file.
        file: PathBuf,
        /// The header as a message may show it.
        found: String,
        /// The right one.
        needed: String,
    },
    /// A truth file without its label map.
    #[error("{} is missing: the label map that belongs to the truth file of that name; copy it too", file.display())]
    LabelMapMissing {
        /// The label map.
        file: PathBuf,
    },
    /// A label map that was refused.
    #[error("{}: {source}", file.display())]
    LabelMap {
        /// The label map.
        file: PathBuf,
        /// Why.
        source: crate::volume_file::Error,
    },
    /// A volume file that was refused.
    #[error("{}: {source}", file.display())]
    Volume {
        /// The volume.
        file: PathBuf,
        /// Why.
        source: crate::volume_file::Error,
    },
    /// A label map of another size than its truth file says.
    #[error(
        "{} has {found:?} voxels (z, y, x), its truth file says {declared:?}; take the label map of that series", file.display()
    )]
    Shape {
        /// The label map.
        file: PathBuf,
        /// Its size.
        found: [usize; 3],
        /// `shape_zyx`.
        declared: [usize; 3],
    },
    /// A nodule whose voxels lie elsewhere than its centroid.
    #[error(
        "{}: the voxels of label {label} lie {distance_mm:.0} mm from its centroid_lps_mm: is the label map or the centroid mirrored?", file.display()
    )]
    Misplaced {
        /// The label map.
        file: PathBuf,
        /// The nodule.
        label: u16,
        /// Between both centroids.
        distance_mm: f64,
    },
    /// Two truths of one series.
    #[error("two truth files are of one series; keep one of them; series {uid}")]
    TruthDuplicate {
        /// Series Instance UID.
        uid: String,
    },
    /// No findings.json below `--results`.
    #[error("no findings.json below {}; give the --out folder of hilum process", path.display())]
    NoResults {
        /// What was given.
        path: PathBuf,
    },
    /// A findings.json that cannot be one of this program.
    #[error("{}: {what}; process the study again", file.display())]
    ResultsMalformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, without the value.
        what: String,
    },
    /// Two results of one series.
    #[error(
        "two findings.json have results of one series; give the folder of one run; series {uid}"
    )]
    ResultsDuplicate {
        /// Series Instance UID.
        uid: String,
    },
    /// A SEG that was refused.
    #[error("{}: {source}", file.display())]
    Segmentation {
        /// The SEG.
        file: PathBuf,
        /// Why.
        source: crate::dicom::Error,
    },
    /// A lesion without its segment.
    #[error("no SEG beside {} has the segment of lesion {lesion}; process the study again", file.display())]
    SegmentMissing {
        /// The findings.json.
        file: PathBuf,
        /// Number of the lesion.
        lesion: u64,
    },
    /// No series of the truth was processed.
    #[error(
        "none of the {truth} series of the truth is among the {results} of the results; are both of the same data?"
    )]
    NothingInCommon {
        /// Series of the truth.
        truth: usize,
        /// Series of the results.
        results: usize,
    },
    /// A plot could not be drawn.
    #[error("cannot draw {file}: {reason}")]
    Plot {
        /// Name of the output file.
        file: &'static str,
        /// The plotter's reason.
        reason: String,
    },
    /// A table could not be made.
    #[error("cannot encode {file}: {reason}")]
    Encode {
        /// Name of the output file.
        file: &'static str,
        /// The encoder's reason.
        reason: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::NoTruth { .. } | Self::NoResults { .. } | Self::NothingInCommon { .. } => {
                Class::Config
            }
            Self::Read { .. } => Class::Environment,
            Self::TruthMalformed { .. }
            | Self::TruthLine { .. }
            | Self::TruthColumns { .. }
            | Self::LabelMapMissing { .. }
            | Self::Shape { .. }
            | Self::Misplaced { .. }
            | Self::TruthDuplicate { .. }
            | Self::ResultsMalformed { .. }
            | Self::ResultsDuplicate { .. }
            | Self::SegmentMissing { .. } => Class::Input,
            Self::Plot { .. } | Self::Encode { .. } => Class::Internal,
            Self::LabelMap { source: e, .. } | Self::Volume { source: e, .. } => e.class(),
            Self::Segmentation { source: e, .. } => e.class(),
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTruth { .. } => "truth-not-found",
            Self::Read { .. } => "io",
            Self::TruthMalformed { .. } => "truth-malformed",
            Self::TruthLine { .. } => "truth-line",
            Self::TruthColumns { .. } => "truth-columns",
            Self::LabelMapMissing { .. } => "truth-label-map-missing",
            Self::Shape { .. } => "truth-shape",
            Self::Misplaced { .. } => "truth-misplaced",
            Self::TruthDuplicate { .. } => "truth-duplicate",
            Self::NoResults { .. } => "results-not-found",
            Self::ResultsMalformed { .. } => "results-malformed",
            Self::ResultsDuplicate { .. } => "results-duplicate",
            Self::SegmentMissing { .. } => "results-segment-missing",
            Self::NothingInCommon { .. } => "nothing-evaluated",
            Self::Plot { .. } => "plot-failed",
            Self::Encode { .. } => "encode-failed",
            Self::LabelMap { source: e, .. } | Self::Volume { source: e, .. } => e.code(),
            Self::Segmentation { source: e, .. } => e.code(),
        }
    }
}
