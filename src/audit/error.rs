//! Every refusal of the log.

use super::{Break, MAX_COMMIT_BYTES};
use crate::Class;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why something was not recorded, read or sent.
///
/// It can be cloned, since all who wait for one write share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The system refused a file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// Others than its owner may read the key.
    #[error("{path} may be read by others than its owner; take that right away (chmod 600)")]
    KeyExposed {
        /// The key.
        path: PathBuf,
    },
    /// Not a key.
    #[error("{path} holds no key of 32 bytes; put the node's own key back")]
    KeyMalformed {
        /// The key.
        path: PathBuf,
    },
    /// There is a log, but not the key that it was signed with.
    #[error(
        "{path} is missing, and a decision log was signed with it; put the node's own key back"
    )]
    KeyMissing {
        /// The key.
        path: PathBuf,
    },
    /// The log does not go on where it ended, or the position up to which it was sent is not ours.
    #[error("{path} {found}; `hilum audit verify` says where, docs/audit.md what to do")]
    Broken {
        /// The log, or the file with the position.
        path: PathBuf,
        /// What is wrong.
        found: Break,
    },
    /// More than one write may hold.
    #[error("a record of {bytes} bytes; at most {MAX_COMMIT_BYTES} are written")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The audit repository did not take the messages; they are sent again.
    #[error("the audit repository {repository} {reason}")]
    NotSent {
        /// `host:port`.
        repository: String,
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// Sorts a system error by its file.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path: path.clone(),
            source: Arc::new(source),
        }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Broken { .. } | Self::NotSent { .. } => Class::Environment,
            Self::KeyExposed { .. } | Self::KeyMalformed { .. } | Self::KeyMissing { .. } => {
                Class::Config
            }
            Self::TooLarge { .. } => Class::Limits,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "audit-io",
            Self::KeyExposed { .. } => "audit-key-exposed",
            Self::KeyMalformed { .. } => "audit-key-malformed",
            Self::KeyMissing { .. } => "audit-key-missing",
            Self::Broken { .. } => "audit-broken",
            Self::TooLarge { .. } => "audit-record-too-large",
            Self::NotSent { .. } => "audit-not-sent",
        }
    }
}
