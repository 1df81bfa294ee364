//! Every refusal of the log, and every way in which it can be broken.

use super::MAX_COMMIT_BYTES;
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

/// In what way a log is not the one that was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A line is no record.
    #[error("is no record of a decision log")]
    Unreadable,
    /// The text of a line was changed, or its hash.
    #[error("was changed: its hash is not that of its text")]
    Changed,
    /// Records are missing before a line.
    #[error("has the number {found}, but {expected} was next: records before it were removed")]
    Removed {
        /// The number that was next.
        expected: u64,
        /// The line's own.
        found: u64,
    },
    /// A line has a number that came before.
    #[error("has the number {found}, but {expected} was next: it, or one before it, was inserted")]
    Inserted {
        /// The number that was next.
        expected: u64,
        /// The line's own.
        found: u64,
    },
    /// Two lines stand in each other's place.
    #[error("and the next one changed places")]
    Swapped,
    /// A line does not name the hash of the line before it.
    #[error("does not follow the line before it: one of the two was replaced")]
    Unlinked,
    /// The end is missing.
    #[error("ends with record {found}, but {expected} were written: the end was cut off")]
    Cut {
        /// Number of the last record by the head.
        expected: u64,
        /// Number of the last record that is there.
        found: u64,
    },
    /// The record at the head's position has another hash.
    #[error("is not the record that the signed head names: the chain was written anew")]
    Rewritten,
    /// More records follow the head than one write leaves there.
    #[error("goes on beyond the signed head by more than one write: records were appended")]
    Appended,
    /// There are records, but no head.
    #[error("has records, but no signed head ({})", super::HEAD)]
    HeadMissing,
    /// The head is not signed by the node's key.
    #[error("is not signed by this node's key: it was changed, or the key was")]
    HeadForged,
}

impl Break {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable => "line-unreadable",
            Self::Changed => "line-changed",
            Self::Removed { .. } => "line-removed",
            Self::Inserted { .. } => "line-inserted",
            Self::Swapped => "lines-swapped",
            Self::Unlinked => "line-unlinked",
            Self::Cut { .. } => "end-cut",
            Self::Rewritten => "chain-rewritten",
            Self::Appended => "lines-appended",
            Self::HeadMissing => "head-missing",
            Self::HeadForged => "head-forged",
        }
    }
}
