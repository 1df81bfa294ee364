//! Takes instances in: streamed to a temporary file, checked, made durable, acknowledged.
//!
//! In: the bytes of a Part 10 file, and what the sender said of them. Out: a file and a row that survive a power cut.
//! Refused: what is no such object, what came before with other content, anything while the disk is nearly full.

mod arrivals;
mod committer;
mod recover;

pub use recover::Recovery;

use super::store::{self, Arrival, Arrived, NewInstance, Store, sync_folder};
use crate::audit::Key;
use crate::config::NodeConfig;
use crate::dicom::{ObjectSummary, summary};
use arrivals::Arrivals;
use committer::Committer;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

/// Who brought an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Calling AE title; none over HTTP.
    pub ae_title: Option<String>,
    /// Where the connection came from.
    pub address: IpAddr,
}

/// What the sender said the instance is; the file has to say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Affected SOP Class UID.
    pub sop_class_uid: Option<String>,
    /// Affected SOP Instance UID.
    pub sop_instance_uid: Option<String>,
    /// Study Instance UID, of a STOW-RS request to one study.
    pub study_instance_uid: Option<String>,
}

/// Why an instance was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Too little room on the disk, or the database cannot be written: the sender should try again later.
    #[error("there is no room for further instances")]
    OutOfResources,
    /// More bytes than `node.dicom.max_object_bytes`.
    #[error("the object is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
    /// Not a DICOM object with the attributes that every composite instance has.
    #[error("the object cannot be read as DICOM")]
    NotReadable,
    /// The object is not what the sender said it is.
    #[error("the object is not of the {attribute} that was announced")]
    NotAsAnnounced {
        /// Keyword of the attribute.
        attribute: &'static str,
    },
    /// This SOP Instance UID came before, with other content.
    #[error("another object with this SOP Instance UID was received before")]
    OtherContent,
    /// The disk failed.
    #[error("cannot store the object: {0}")]
    Io(#[from] io::Error),
}

impl Refusal {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfResources => "out-of-resources",
            Self::TooLarge { .. } => "object-too-large",
            Self::NotReadable => "not-readable",
            Self::NotAsAnnounced { .. } => "not-as-announced",
            Self::OtherContent => "other-content",
            Self::Io(_) => "io",
        }
    }

    /// Another try may end otherwise: the fault is this side's.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::OutOfResources | Self::Io(_))
    }

    /// C-STORE status (PS3.4 B.2.3, PS3.7 C).
    pub fn dimse_status(&self) -> u16 {
        match self {
            Self::OutOfResources | Self::TooLarge { .. } | Self::Io(_) => 0xA700,
            Self::NotAsAnnounced { .. } => 0xA900,
            Self::NotReadable => 0xC000,
            Self::OtherContent => 0x0111,
        }
    }
}

/// An instance on its way in; dropped before it is accepted, nothing of it stays.
#[derive(Debug)]
pub struct Incoming {
    file: NamedTempFile,
    sha256: Sha256,
    bytes: u64,
    max_bytes: u64,
}

impl Incoming {
    /// Appends bytes of the Part 10 file.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::OutOfResources`], [`Refusal::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            let max_bytes = self.max_bytes;
            return Err(Refusal::TooLarge { max_bytes });
        }
        self.sha256.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => Refusal::OutOfResources,
                _ => Refusal::Io(error),
            })
    }
}

/// An instance that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The same bytes had not come before.
    pub is_new: bool,
}

/// Takes instances in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    key: Key,
    max_bytes: u64,
    min_free_bytes: u64,
    committer: Committer,
    turns: Turns,
    arrivals: Arrivals,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Intake {
    /// Opens the intake of a node's folder, and tidies what a crash left there. `key` hashes the patients' ids.
    ///
    /// `on_arrivals` hears of instances, in groups and on a thread of its own, moments after they are acknowledged; of those
    /// of which it does not say that they are told, it hears again at the next start.
    ///
    /// # Errors
    /// The folder or the database cannot be used.
    pub fn open(
        store: &Store,
        key: Key,
        config: &NodeConfig,
        on_arrivals: impl Fn(&[Arrival]) -> bool + Send + 'static,
    ) -> Result<(Self, Recovery), store::Error> {
        let recovery = recover::recover(store)?;
        let shared = Shared {
            store: store.clone(),
            key,
            max_bytes: config.dicom.max_object_bytes,
            min_free_bytes: config.storage.min_free_bytes,
            committer: Committer::start(store)?,
            turns: Turns::default(),
            arrivals: Arrivals::start(store, Box::new(on_arrivals))?,
        };
        let shared = Arc::new(shared);
        Ok((Self { shared }, recovery))
    }

    /// Begins to take an instance.
    ///
    /// # Errors
    /// [`Refusal::OutOfResources`] where the disk is nearly full, [`Refusal::Io`].
    pub fn begin(&self) -> Result<Incoming, Refusal> {
        let dir = self.shared.store.dir().join("incoming");
        if fs4::available_space(&dir)? < self.shared.min_free_bytes {
            return Err(Refusal::OutOfResources);
        }
        Ok(Incoming {
            file: NamedTempFile::new_in(dir)?,
            sha256: Sha256::new(),
            bytes: 0,
            max_bytes: self.shared.max_bytes,
        })
    }

    /// Checks an instance and makes it durable; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing of the instance stays then.
    pub async fn accept(
        &self,
        incoming: Incoming,
        claim: Claim,
        sender: Sender,
    ) -> Result<Accepted, Refusal> {
        let shared = Arc::clone(&self.shared);
        let kept = tokio::task::spawn_blocking(move || shared.keep(incoming, &claim, sender));
        // A task that panicked or was cancelled with its runtime has acknowledged nothing.
        kept.await
            .unwrap_or_else(|error| Err(Refusal::Io(error.into())))
    }

    /// As [`Intake::accept`], for tests that have no runtime.
    #[cfg(test)]
    pub(super) fn keep(
        &self,
        incoming: Incoming,
        claim: &Claim,
        sender: Sender,
    ) -> Result<Accepted, Refusal> {
        self.shared.keep(incoming, claim, sender)
    }
}

impl Shared {
    fn keep(&self, incoming: Incoming, claim: &Claim, sender: Sender) -> Result<Accepted, Refusal> {
        let object = summary(incoming.file.path()).map_err(|error| {
            tracing::warn!(code = error.code(), "An object was refused: {error}.");
            Refusal::NotReadable
        })?;
        claim.check(&object)?;
        let _turn = self.turns.take(&object.sop_instance_uid);
        let _adding = self.store.adding();
        let instance = NewInstance {
            sha256: incoming.sha256.finalize().into(),
            bytes: incoming.bytes,
            received_s: chrono::Utc::now().timestamp(),
            sender: sender.ae_title,
            address: sender.address.to_string(),
            patient: object.patient.as_ref().map(|p| self.key.link(p.id())),
            object,
        };
        let study = &instance.object.study_instance_uid;
        let path = self
            .store
            .instance_path(study, &instance.object.sop_instance_uid);
        let known = self.store.known(&instance.object.sop_instance_uid, study);
        let (known, is_new_study) = known.map_err(|error| unwritable(&error))?;
        if let Some(known) = known {
            if known.sha256 != instance.sha256 || known.study_instance_uid != *study {
                return Err(Refusal::OtherContent);
            }
            self.keep_again(incoming.file, &instance, &path)?;
            return Ok(Accepted { is_new: false });
        }
        self.publish(incoming.file, &path, is_new_study)?;
        let arrived = self.committer.commit(instance.clone()).inspect_err(|_| {
            // Without a row it counts as never received; what cannot be removed now, the next start removes.
            drop(fs::remove_file(&path));
        })?;
        self.tell(Some(instance), arrived)?;
        Ok(Accepted { is_new: true })
    }

    /// The same bytes came before; where their file was lost since, it is there again.
    fn keep_again(
        &self,
        file: NamedTempFile,
        instance: &NewInstance,
        path: &Path,
    ) -> Result<(), Refusal> {
        if !path.exists() {
            // Its row is there already, so the name must not stand before the bytes.
            file.as_file().sync_all()?;
            self.publish(file, path, true)?;
        }
        let arrived = self.store.arrived_again(instance);
        self.tell(None, arrived.map_err(|error| unwritable(&error))?)
    }

    /// Where nobody can hear of it, the sender sends again.
    fn tell(&self, instance: Option<NewInstance>, arrived: Arrived) -> Result<(), Refusal> {
        let receipt = instance.map(Into::into);
        let told = self.arrivals.push(Arrival { receipt, arrived });
        told.then_some(()).ok_or(Refusal::OutOfResources)
    }

    /// Gives the file its name, and makes both durable.
    ///
    /// The name comes first: journals of file systems then write both at once. A crash in between leaves a file without a
    /// row, which the next start removes.
    fn publish(&self, file: NamedTempFile, path: &Path, is_new_study: bool) -> io::Result<()> {
        let instances = self.store.dir().join("instances");
        let folder = path.parent().unwrap_or(&instances);
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = file.persist(path).map_err(|error| error.error)?;
        let synced = file.sync_all().and_then(|()| sync_folder(folder));
        let synced = synced.and_then(|()| match is_new_study {
            true => sync_folder(&instances),
            false => Ok(()),
        });
        synced.inspect_err(|_| drop(fs::remove_file(path)))
    }
}

impl Claim {
    /// Refuses an object that says something else.
    fn check(&self, object: &ObjectSummary) -> Result<(), Refusal> {
        let claims = [
            ("SOPClassUID", &self.sop_class_uid, &object.sop_class_uid),
            (
                "SOPInstanceUID",
                &self.sop_instance_uid,
                &object.sop_instance_uid,
            ),
            (
                "StudyInstanceUID",
                &self.study_instance_uid,
                &object.study_instance_uid,
            ),
        ];
        let differs = |claim: &Option<String>, found: &str| {
            let claim = claim.as_deref().unwrap_or(found);
            claim.trim_end_matches(['\0', ' ']) != found
        };
        match claims
            .iter()
            .find(|(_, claim, found)| differs(claim, found))
        {
            Some((attribute, ..)) => Err(Refusal::NotAsAnnounced { attribute }),
            None => Ok(()),
        }
    }
}

/// The sender should try again later; what is wrong is for whoever runs the node.
fn unwritable(error: &store::Error) -> Refusal {
    tracing::error!(code = error.code(), "The database cannot be used: {error}");
    Refusal::OutOfResources
}

/// SOP Instance UIDs that are being taken in: of several objects with one UID, one comes after the other.
#[derive(Debug, Default)]
struct Turns {
    busy: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// Ends when it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    uid: String,
}

impl Turns {
    fn take(&self, uid: &str) -> Turn<'_> {
        let busy = self
            .freed
            .wait_while(self.lock(), |busy| busy.contains(uid));
        let mut busy = busy.unwrap_or_else(PoisonError::into_inner);
        busy.insert(uid.to_owned());
        Turn {
            turns: self,
            uid: uid.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.uid);
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
