//! Why results did not arrive.

use crate::node::dimse;
use crate::node::web::TokenError;
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
    /// The bearer token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file of certificates cannot be used.
    #[error("cannot read certificates from {}: {why}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Not an address of a web service.
    #[error("{url} is no http or https address; correct `url` of the destination")]
    Address {
        /// What is configured.
        url: String,
    },
    /// No connection.
    #[error("cannot reach the destination: {why}")]
    Unreachable {
        /// What the network says.
        why: String,
    },
    /// The connection is not trusted.
    #[error("no trust in the destination's certificate, or it has none in ours: {why}")]
    Untrusted {
        /// What TLS says.
        why: String,
    },
    /// It took too long.
    #[error("the destination did not answer in time ({phase})")]
    TimedOut {
        /// While what.
        phase: String,
    },
    /// The connection ended early.
    #[error("the connection ended before the answer: {why}")]
    Cut {
        /// What the network says.
        why: String,
    },
    /// An HTTP status that stands for no instance.
    #[error("the destination answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
    },
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
            Self::Token(e) => e.code(),
            Self::Certificates { .. } => "certificates-not-readable",
            Self::Address { .. } => "address-invalid",
            Self::Unreachable { .. } => "unreachable",
            Self::Untrusted { .. } => "untrusted",
            Self::TimedOut { .. } => "timed-out",
            Self::Cut { .. } => "connection-cut",
            Self::Status { .. } => "http-status",
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
            | Self::Address { .. }
            | Self::NoPeer { .. }
            | Self::Dicom(dimse::Error::NoPort) => true,
            // A token that was renewed (401, 403), patience (408, 425, 429) and the server (5xx) may change.
            Self::Status { status } => {
                (300..500).contains(status) && ![401, 403, 408, 425, 429].contains(status)
            }
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

impl From<ureq::Error> for DeliveryError {
    fn from(error: ureq::Error) -> Self {
        use io::ErrorKind as Kind;
        let why = error.to_string();
        match error {
            ureq::Error::Timeout(phase) => Self::TimedOut {
                phase: phase.to_string(),
            },
            ureq::Error::BadUri(url) => Self::Address { url },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Self::Unreachable { why },
            ureq::Error::Io(source) => match source.kind() {
                Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable => {
                    Self::Unreachable { why }
                }
                // rustls hands its refusals on as such.
                Kind::InvalidData => Self::Untrusted { why },
                _ => Self::Cut { why },
            },
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Self::Untrusted { why },
            _ => Self::Cut { why },
        }
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
