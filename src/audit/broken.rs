//! Every way in which a log can be broken.

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
