//! What is removed: a study on demand, files after their time.
//!
//! Rows go first: what a crash leaves of the files has no row then, and the next start removes it.

use super::{Error, Store, lock, priors, sync_folder};
use crate::config::StorageConfig;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

const DAY_S: i64 = 86_400;

/// What was removed of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Removed {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Received instances.
    pub instances: u32,
    /// Bytes of these.
    pub bytes: u64,
    /// Files of results.
    pub outputs: u32,
    /// Keyed hash of its Patient ID (0010,0020).
    #[serde(skip)]
    pub patient: Option<String>,
    /// Nothing of the study is left, its rows included.
    pub entirely: bool,
}

/// Which files of a study go.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Parts {
    instances: bool,
    outputs: bool,
}

/// A study with which nothing is to be done any more.
struct Settled {
    study_instance_uid: String,
    /// The last thing that happened to it, seconds since 1970.
    settled_s: i64,
    instances: bool,
    outputs: bool,
    delivered: bool,
}

impl Settled {
    /// What has been kept long enough.
    fn expired(&self, storage: &StorageConfig, now_s: i64) -> Parts {
        let is_old = |days: u32| {
            let end_s = self.settled_s.saturating_add(i64::from(days) * DAY_S);
            days > 0 && end_s <= now_s
        };
        Parts {
            instances: self.instances && is_old(storage.keep_instances_days),
            outputs: self.outputs && self.delivered && is_old(storage.keep_results_days),
        }
    }
}

impl Store {
    /// Removes all of a study: files, rows, results; none where it is not here.
    ///
    /// # Errors
    /// [`Error::Running`] while a model runs on it, [`Error::Database`], [`Error::Folder`].
    pub fn purge(&self, study_instance_uid: &str) -> Result<Option<Removed>, Error> {
        let all = Parts {
            instances: true,
            outputs: true,
        };
        let removed = self.remove(study_instance_uid, |_| Ok(all))?;
        // Pages that were overwritten stand in the log still.
        lock(&self.shared.writer).pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?;
        Ok(removed)
    }

    /// Removes what has been kept long enough since nothing more was to be done with it.
    ///
    /// Studies that wait, failed or were not delivered everywhere stay, and so do results that have no destination.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Folder`].
    pub fn expire(&self, storage: &StorageConfig, now_s: i64) -> Result<Vec<Removed>, Error> {
        let mut removed = Vec::new();
        for candidate in self.read(|connection| settled(connection, None))? {
            if candidate.expired(storage, now_s) == Parts::default() {
                continue;
            }
            let study = &candidate.study_instance_uid;
            // Something may have come since it was looked at.
            removed.extend(self.remove(study, |transaction| {
                let still = settled(transaction, Some(study))?.pop();
                Ok(still.map_or(Parts::default(), |study| study.expired(storage, now_s)))
            })?);
        }
        Ok(removed)
    }

    /// Removes what `choose` names while nothing is received; rows first.
    fn remove(
        &self,
        study: &str,
        choose: impl FnOnce(&Transaction) -> Result<Parts, Error>,
    ) -> Result<Option<Removed>, Error> {
        let files = self.shared.files.write();
        let _files = files.unwrap_or_else(PoisonError::into_inner);
        let removed = self.write(|transaction| {
            let parts = choose(transaction)?;
            let rows = match parts == Parts::default() {
                true => None,
                false => remove_rows(transaction, study, parts)?,
            };
            Ok(rows.map(|rows| (rows, parts)))
        })?;
        let Some((removed, parts)) = removed else {
            return Ok(None);
        };
        if parts.instances {
            remove_folder(&self.dir().join("instances"), study)?;
        }
        if parts.outputs || removed.entirely {
            remove_folder(&self.dir().join("results"), study)?;
        }
        Ok(Some(removed))
    }
}

/// Removes the rows of these parts, and all others where nothing else is left.
fn remove_rows(
    transaction: &Transaction,
    study: &str,
    parts: Parts,
) -> Result<Option<Removed>, Error> {
    let Some(mut removed) = counts(transaction, study)? else {
        return Ok(None);
    };
    if parts.instances {
        let sql = "DELETE FROM instances WHERE study_instance_uid = ?1";
        transaction.prepare_cached(sql)?.execute([study])?;
        priors::forget(transaction, study)?;
    }
    if parts.outputs {
        let sql = "DELETE FROM outputs
                   WHERE job IN (SELECT id FROM jobs WHERE study_instance_uid = ?1)";
        transaction.prepare_cached(sql)?.execute([study])?;
    }
    let left = counts(transaction, study)?.unwrap_or_default();
    removed.instances -= left.instances;
    removed.bytes -= left.bytes;
    removed.outputs -= left.outputs;
    removed.entirely = left.instances + left.outputs == 0;
    if removed.entirely {
        priors::forget_asked(transaction, study)?;
        let sql = "DELETE FROM studies WHERE study_instance_uid = ?1";
        transaction.prepare_cached(sql)?.execute([study])?;
    }
    Ok(Some(removed))
}

/// What there is of a study; refused while it runs.
fn counts(connection: &Connection, study: &str) -> Result<Option<Removed>, Error> {
    let mut running = connection
        .prepare_cached("SELECT 1 FROM jobs WHERE study_instance_uid = ?1 AND state = 'running'")?;
    if running.exists([study])? {
        let study_instance_uid = study.to_owned();
        return Err(Error::Running { study_instance_uid });
    }
    let mut count = connection.prepare_cached(
        "SELECT study_instance_uid,
         (SELECT count(*) FROM instances WHERE study_instance_uid = ?1),
         (SELECT coalesce(sum(bytes), 0) FROM instances WHERE study_instance_uid = ?1),
         (SELECT count(*) FROM outputs JOIN jobs ON job = id WHERE study_instance_uid = ?1),
         patient FROM studies WHERE study_instance_uid = ?1",
    )?;
    let counts = count.query_row(params![study], |row| {
        Ok(Removed {
            study_instance_uid: row.get(0)?,
            instances: row.get(1)?,
            bytes: row.get::<_, i64>(2)?.unsigned_abs(),
            outputs: row.get(3)?,
            patient: row.get(4)?,
            entirely: false,
        })
    });
    Ok(counts.optional()?)
}

/// Studies, or one, of which no job and no delivery is open or has failed.
fn settled(connection: &Connection, study: Option<&str>) -> Result<Vec<Settled>, Error> {
    let mut select = connection.prepare_cached(
        "WITH sent AS (SELECT deliveries.*, study_instance_uid AS study FROM deliveries JOIN jobs ON job = jobs.id)
         SELECT study_instance_uid,
         max(changed_s,
             coalesce((SELECT max(received_s) FROM instances i WHERE i.study_instance_uid = s.study_instance_uid), 0),
             coalesce((SELECT max(ended_s) FROM jobs j WHERE j.study_instance_uid = s.study_instance_uid), 0),
             coalesce((SELECT max(changed_s) FROM sent WHERE study = s.study_instance_uid), 0)),
         EXISTS (SELECT 1 FROM instances i WHERE i.study_instance_uid = s.study_instance_uid),
         EXISTS (SELECT 1 FROM outputs JOIN jobs j ON job = id WHERE j.study_instance_uid = s.study_instance_uid),
         EXISTS (SELECT 1 FROM sent WHERE study = s.study_instance_uid AND state IN ('sent', 'committed'))
         FROM studies s WHERE state IN ('kept', 'queued') AND (?1 IS NULL OR study_instance_uid = ?1)
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.study_instance_uid = s.study_instance_uid
                         AND state IN ('waiting', 'running', 'dead'))
         AND NOT EXISTS (SELECT 1 FROM sent WHERE study = s.study_instance_uid
                         AND (state IN ('waiting', 'failed') OR state = 'sent' AND transaction_uid IS NOT NULL))",
    )?;
    let settled = select.query_map([study], |row: &Row| {
        Ok(Settled {
            study_instance_uid: row.get(0)?,
            settled_s: row.get(1)?,
            instances: row.get(2)?,
            outputs: row.get(3)?,
            delivered: row.get(4)?,
        })
    })?;
    Ok(settled.collect::<Result<_, _>>()?)
}

fn remove_folder(parent: &Path, study: &str) -> Result<(), Error> {
    let path = parent.join(study);
    let removed = match fs::remove_dir_all(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(parent)),
    };
    removed.map_err(|source| Error::Folder { path, source })
}
