//! Brings results to where they are wanted.
//!
//! In: the files of one version of a study, and a destination. Out: that the destination has them, or why not.
//! A delivery may be tried any number of times: what is there already is no failure, and nothing of others is overwritten.

mod courier;
mod dicom;
mod error;
mod folder;
mod stow;
#[cfg(test)]
mod tests;

pub use courier::Courier;
pub use error::{DeliveryError, RefusedInstance};

pub use super::client::Patience;
use super::client::Service;
use super::identity::{HEAD_BYTES, Identity};
use super::scu::Scu;
use crate::config::{DestinationKind, PeerConfig};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Results of one version of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Study Instance UID, valid.
    pub study_instance_uid: String,
    /// Version of the study.
    pub version: u32,
    /// All files of the result.
    pub files: Vec<PathBuf>,
}

/// What arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Files, or instances where only those travel.
    pub objects: usize,
    /// Their size, bytes.
    pub bytes: u64,
}

/// What deliveries are made with.
#[derive(Debug, Clone)]
pub struct Means {
    /// The calling DICOM side, with its own bounds in time.
    pub scu: Scu,
    /// Whom it can call.
    pub peers: Vec<PeerConfig>,
    /// Bounds in time of HTTP.
    pub patience: Patience,
}

impl Means {
    fn peer(&self, name: &str) -> Result<&PeerConfig, DeliveryError> {
        let peer = self.peers.iter().find(|peer| peer.name == name);
        peer.ok_or_else(|| DeliveryError::NoPeer { name: name.into() })
    }
}

/// Brings a parcel to a destination.
///
/// # Errors
/// [`DeliveryError`]; the parcel may be sent again.
pub fn send(to: &DestinationKind, parcel: &Parcel, means: &Means) -> Result<Sent, DeliveryError> {
    match to {
        DestinationKind::Folder { dir } => folder::send(dir, parcel),
        DestinationKind::Stow {
            url,
            token_file,
            ca,
        } => {
            let service = Service {
                url,
                token_file: token_file.as_deref(),
                ca: ca.as_deref(),
            };
            stow::send(service, parcel, &means.patience)
        }
        DestinationKind::Dicom { peer, .. } => dicom::send(&means.scu, means.peer(peer)?, parcel),
    }
}

/// A DICOM object of a result.
#[derive(Debug)]
struct Object<'a> {
    path: &'a Path,
    bytes: u64,
    identity: Identity,
}

impl Parcel {
    /// The files that are DICOM; the others, such as `findings.json`, have no place in an archive.
    fn objects(&self) -> Result<Vec<Object<'_>>, DeliveryError> {
        let objects = self.files.iter().map(|path| {
            let object = object(path).map_err(DeliveryError::source(path));
            object.transpose()
        });
        objects.flatten().collect()
    }
}

fn object(path: &Path) -> io::Result<Option<Object<'_>>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(Identity::of(&head).map(|identity| Object {
        path,
        bytes,
        identity,
    }))
}
