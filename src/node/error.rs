//! What keeps a node from starting, or ends it.

use super::{StoreError, tls, web};
use crate::{Class, audit};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's folder cannot be used.
    #[error("cannot use node.dir, {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The decision log.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The bearer token.
    #[error(transparent)]
    Token(#[from] web::TokenError),
    /// A port that another program has, or that this one may not have.
    #[error("cannot listen on {key}, {address}: {source}")]
    Bind {
        /// Key of the configuration.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The device or a model.
    #[error(transparent)]
    Pipeline(Box<crate::Error>),
    /// The system gives no thread.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// A thread ended by a defect of this program.
    #[error("a thread of the node ended; the log says why")]
    Thread,
}

impl Error {
    pub(super) fn pipeline(error: crate::Error) -> Self {
        Self::Pipeline(Box::new(error))
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Store(e) => e.class(),
            Self::Audit(e) => e.class(),
            Self::Pipeline(e) => e.class(),
            Self::Tls(_) | Self::Token(_) => Class::Config,
            Self::Folder { .. } | Self::Bind { .. } | Self::Start(_) => Class::Environment,
            Self::Thread => Class::Internal,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "node-folder",
            Self::Store(e) => e.code(),
            Self::Audit(e) => e.code(),
            Self::Tls(e) => e.code(),
            Self::Token(e) => e.code(),
            Self::Bind { .. } => "node-port",
            Self::Pipeline(e) => e.code(),
            Self::Start(_) => "node-start",
            Self::Thread => "node-thread",
        }
    }
}
