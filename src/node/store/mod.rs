//! The node's database and folders: what was received, what is to be done, what was delivered.
//!
//! In: facts, each in one transaction that survives a power cut. Out: the same facts after any restart.
//! Refused: a folder that another process uses, a damaged database, one of a newer program, one that was lost.

mod deliveries;
mod error;
mod instances;
mod jobs;
mod priors;
mod purge;
mod status;
mod studies;

pub use deliveries::{Delivery, DeliveryCount};
pub use error::Error;
pub use instances::{Arrival, Arrived, Input, NewInstance, Receipt};
pub(in crate::node) use priors::{PriorRequest, PriorsEnded};
pub use purge::Removed;
pub use status::StudyStatus;
pub use studies::{SeriesFacts, StudyFacts, StudyState};

use crate::config::RetryConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rusqlite_migration::{M, Migrations};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// Each step is never changed once it was released; what is new comes in a further one.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/1-reception.sql")),
    M::up(include_str!("migrations/2-delivery.sql")),
    M::up(include_str!("migrations/3-patient.sql")),
    M::up(include_str!("migrations/4-untold.sql")),
    M::up(include_str!("migrations/5-priors.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// So long a connection waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The database and the folders beside it; cheap to clone, for any thread that may block.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    retry: RetryConfig,
    /// Closed before the writer, which empties the log as the last one.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
    /// Read while an instance's file and its row are made, written while those of a study are removed.
    files: RwLock<()>,
    /// Held by the operating system until this process ends.
    _lock: File,
}

impl Store {
    /// Opens the database of the node's folder `dir`, and makes both where there are none.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Lost`], [`Error::Damaged`], [`Error::TooNew`], or what the disk says.
    pub fn open(dir: &Path, retry: &RetryConfig) -> Result<Self, Error> {
        let io = |source| Error::Folder {
            path: dir.into(),
            source,
        };
        for folder in ["incoming", "instances", "results"] {
            fs::create_dir_all(dir.join(folder)).map_err(io)?;
        }
        let lock = File::create(dir.join("node.lock")).map_err(io)?;
        lock.try_lock()
            .map_err(|_| Error::InUse { dir: dir.into() })?;
        let path = dir.join("node.sqlite");
        let lost = !path.exists() && !is_empty(&dir.join("instances")).map_err(io)?;
        if lost {
            return Err(Error::Lost { path });
        }
        let writer = open_writer(&path)?;
        let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reader.busy_timeout(BUSY_TIMEOUT)?;
        sync_folder(dir).map_err(io)?;
        Ok(Self {
            shared: Arc::new(Shared {
                dir: dir.into(),
                retry: retry.clone(),
                writer: Mutex::new(writer),
                reader: Mutex::new(reader),
                files: RwLock::new(()),
                _lock: lock,
            }),
        })
    }

    /// The node's folder.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Where instances of a study lie.
    pub fn instances_dir(&self, study_instance_uid: &str) -> PathBuf {
        self.dir().join("instances").join(study_instance_uid)
    }

    /// Where the results of a version of a study are written.
    pub fn results_dir(&self, study_instance_uid: &str, version: u32) -> PathBuf {
        let study = self.dir().join("results").join(study_instance_uid);
        study.join(version.to_string())
    }

    /// Whether the database can be written: a health check.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn check(&self) -> Result<(), Error> {
        self.write(|_| Ok(()))
    }

    /// The database cannot grow any more, as on a full disk.
    #[cfg(test)]
    pub(super) fn allow_no_more_pages(&self, full: bool) {
        let most = if full { 1 } else { u32::MAX };
        let connection = lock(&self.shared.writer);
        let set = connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()));
        set.expect("SQLite takes at least its present size");
    }

    /// Held while the file and the row of an instance are made.
    pub(super) fn adding(&self) -> RwLockReadGuard<'_, ()> {
        let files = self.shared.files.read();
        files.unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one transaction; it is durable when this returns, or nothing of it stays.
    fn write<T>(&self, run: impl FnOnce(&Transaction) -> Result<T, Error>) -> Result<T, Error> {
        let mut connection = lock(&self.shared.writer);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = run(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Reads, beside any writer.
    fn read<T>(&self, run: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        run(&lock(&self.shared.reader))
    }
}

/// A panic under the lock left a transaction that was rolled back, so what it guards is whole.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_writer(path: &Path) -> Result<Connection, Error> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mut found = String::new();
    connection
        .pragma(None, "integrity_check", 1, |row| {
            found = row.get(0)?;
            Ok(())
        })
        .map_err(|error| Error::of_open(path, error))?;
    if found != "ok" {
        let path = path.into();
        return Err(Error::Damaged { path, found });
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // What was purged is overwritten.
    connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
    MIGRATIONS
        .to_latest(&mut connection)
        .map_err(|error| Error::of_upgrade(path, error))?;
    Ok(connection)
}

fn is_empty(folder: &Path) -> std::io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
