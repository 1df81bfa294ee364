//! Why the database or its folders cannot be used.

use crate::error::Class;
use std::path::{Path, PathBuf};

/// Why the node's database or folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder.
    #[error("{dir} is used by another process; stop that one first, or set another node.dir")]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// Instances without the database that knows of them.
    #[error(
        "{path} is missing while instances are there; restore it, or move all of the folder away to start anew"
    )]
    Lost {
        /// Where the database should be.
        path: PathBuf,
    },
    /// Not a database, or one that contradicts itself.
    #[error(
        "{path} is damaged ({found}); restore it from a backup, or move all of the folder away to start anew"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found first.
        found: String,
    },
    /// Made by a later version of this program.
    #[error("{path} was written by a newer version of hilum; run that version")]
    TooNew {
        /// The database.
        path: PathBuf,
    },
    /// The tables could not be brought to the form of this version; nothing was changed.
    #[error("{path} cannot be upgraded: {source}")]
    Upgrade {
        /// The database.
        path: PathBuf,
        /// The cause.
        source: rusqlite_migration::Error,
    },
    /// A statement failed; nothing of its transaction stays.
    #[error("the database cannot be used: {0}; check the disk")]
    Database(#[from] rusqlite::Error),
    /// The disk refused a file or folder.
    #[error("{path} cannot be used: {source}")]
    Folder {
        /// The node's folder or one in it.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The job was not running as this attempt: its study was purged, or another attempt has it.
    #[error("this attempt does not run any more; drop its results (study {study_instance_uid})")]
    NotClaimed {
        /// Study Instance UID.
        study_instance_uid: String,
    },
    /// A study cannot be removed while a model runs on it.
    #[error("the study is being processed; try again when that ended (study {study_instance_uid})")]
    Running {
        /// Study Instance UID.
        study_instance_uid: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::InUse { .. } => Class::Config,
            Self::NotClaimed { .. } => Class::Internal,
            Self::Lost { .. }
            | Self::Damaged { .. }
            | Self::TooNew { .. }
            | Self::Upgrade { .. }
            | Self::Database(_)
            | Self::Folder { .. }
            | Self::Running { .. } => Class::Environment,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "node-dir-in-use",
            Self::Lost { .. } => "database-lost",
            Self::Damaged { .. } => "database-damaged",
            Self::TooNew { .. } => "database-too-new",
            Self::Upgrade { .. } => "database-upgrade",
            Self::Database(_) => "database-failed",
            Self::Folder { .. } => "node-dir-failed",
            Self::NotClaimed { .. } => "job-not-claimed",
            Self::Running { .. } => "study-running",
        }
    }

    /// What a failed check of the whole database means.
    pub(super) fn of_open(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged {
                path: path.into(),
                found: error.to_string(),
            },
            _ => Self::Database(error),
        }
    }

    /// What a failed migration means.
    pub(super) fn of_upgrade(path: &Path, source: rusqlite_migration::Error) -> Self {
        use rusqlite_migration::{Error as Migration, MigrationDefinitionError};
        let path = path.into();
        match source {
            Migration::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
                Self::TooNew { path }
            }
            source => Self::Upgrade { path, source },
        }
    }
}
