//! Why results did not arrive.

use crate::node::client::ClientError;
use crate::node::dimse;
use std::io;
use std::path::{Path, PathBuf};

/// Failure Reasons (PS3.18 I.2.2, PS3.7 C) that another try does not change: SOP class or transfer syntax not supported,
/// data set that does not fit its class, not understood.
const PERMANENT_REASONS: [std::ops::RangeInclusive<u16>; 3] =
    [0x0122..=0x0122, 0xA900..=0xA9FF, 0xC000..=0xCFFF];

/// An instance that a destination did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedInstance {
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Failure Reason (0008,1197) or DIMSE status; none where the destination says nothing of the instance.
    pub reason: Option<u16>,
}

/// Why results did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A file of the result cannot be read.
    #[error("cannot read the result {}: {source}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the result is not as it was written.
    #[error("the result {} was changed after it was written; run the study again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("cannot write to {}: {source}; is it mounted, and may this user write there?", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Other files lie where these belong.
    #[error("{} holds other files and is left as it is; move it away", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// The web service could not be called.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No Store Instances Response as JSON.
    #[error("the destination's answer does not say which instances it stored")]
    Answer,
    /// No such peer.
    #[error("no peer is called {name}; correct `peer` of the destination")]
    NoPeer {
        /// What is configured.
        name: String,
    },
    /// The association or the request for commitment failed.
    #[error(transparent)]
    Dicom(#[from] dimse::Error),
    /// A peer does not commit to all that it was sent.
    #[error("the destination does not commit to {missing} instances, so all are sent again")]
    NotCommitted {
        /// How many.
        missing: usize,
    },
    /// A peer has not said whether it commits.
    #[error(
        "the destination did not answer a request for storage commitment, so all are sent again"
    )]
    CommitmentLate,
    /// Some or all instances were not taken.
    #[error("the destination took {stored} instances and not {}", list(refused))]
    Refused {
        /// How many it has.
        stored: usize,
        /// Those that it has not.
        refused: Vec<RefusedInstance>,
    },
}

impl DeliveryError {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } => "result-not-readable",
            Self::Damaged { .. } => "result-damaged",
            Self::Folder { .. } => "folder-not-writable",
            Self::Occupied { .. } => "folder-occupied",
            Self::Client(e) => e.code(),
            Self::Answer => "answer-not-understood",
            Self::NoPeer { .. } => "peer-unknown",
            Self::Dicom(e) => e.code(),
            Self::NotCommitted { .. } => "not-committed",
            Self::CommitmentLate => "commitment-late",
            Self::Refused { .. } => "instances-refused",
        }
    }

    /// Whether another try will end alike unless a person changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Damaged { .. }
            | Self::Occupied { .. }
            | Self::NoPeer { .. }
            | Self::Dicom(dimse::Error::NoPort) => true,
            Self::Client(e) => e.is_permanent(),
            Self::Refused { refused, .. } => refused.iter().all(|instance| {
                let reason = instance.reason;
                reason.is_some_and(|r| PERMANENT_REASONS.iter().any(|range| range.contains(&r)))
            }),
            _ => false,
        }
    }

    pub(super) fn source(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Source { path, source }
    }

    pub(super) fn folder(dir: &Path) -> impl FnOnce(io::Error) -> Self {
        let dir = dir.to_owned();
        move |source| Self::Folder { dir, source }
    }
}

/// The first few refused instances, for people.
fn list(refused: &[RefusedInstance]) -> String {
    let told = |instance: &RefusedInstance| {
        let reason = match instance.reason {
            Some(reason) => format!("{reason:04X}H"),
            None => "no reason".to_owned(),
        };
        format!("{} ({reason})", instance.sop_instance_uid)
    };
    let first: Vec<_> = refused.iter().take(3).map(told).collect();
    match refused.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
