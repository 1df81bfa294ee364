//! Why earlier studies did not come.

use crate::node::web::Broken;
use crate::node::{ClientError, StoreError, dimse};

/// Why earlier studies did not come.
#[derive(Debug, thiserror::Error)]
pub enum PriorsError {
    /// Nothing to ask by.
    #[error(
        "no instance of the study is here that has an ASCII Patient ID (0010,0020) and a Study Date (0008,0020) to ask by"
    )]
    NothingToAskBy,
    /// Nobody to ask any more.
    #[error("[node.priors] names nobody who can be asked any more")]
    Nobody,
    /// The association or a message of it.
    #[error(transparent)]
    Dicom(#[from] dimse::Error),
    /// The web service.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The instances of a WADO-RS response.
    #[error("the answer cannot be read further: {0}")]
    Broken(#[from] Broken),
    /// Neither studies as JSON nor instances as multipart.
    #[error("the service's answer is no list of studies, or holds no DICOM instances")]
    NotUnderstood,
    /// The peer calls it done, and nothing of the study is here.
    #[error("the peer says that it sent a study, and nothing of it arrived here")]
    NotArrived,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A panic.
    #[error("a defect of this program; please report it with the log")]
    Defect,
}

impl PriorsError {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingToAskBy => "priors-nothing-to-ask-by",
            Self::Nobody => "priors-nobody-to-ask",
            Self::Dicom(e) => e.code(),
            Self::Client(e) => e.code(),
            Self::Broken(e) => e.code(),
            Self::NotUnderstood => "priors-answer-not-understood",
            Self::NotArrived => "priors-not-arrived",
            Self::Store(e) => e.code(),
            Self::Defect => "defect",
        }
    }

    /// Whether another try will end alike unless a person changes something.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::NothingToAskBy | Self::Nobody => true,
            Self::Client(e) => e.is_permanent(),
            _ => false,
        }
    }

    /// Whether it is none: the node stops.
    pub(super) fn is_stop(&self) -> bool {
        matches!(self, Self::Dicom(dimse::Error::Stopped))
    }
}
