//! Earlier studies: for which study they were asked, and which of the studies here are such.

use super::{Error, Store};
use crate::node::queue::back_off_s;
use crate::node::status::PriorsStatus;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Why a request is given up that was never heard of again after it was begun.
const PROGRAM_ENDED: (&str, &str) = (
    "program-ended",
    "the program ended each time while it fetched earlier studies",
);

/// What no longer counts as being fetched: whatever comes of it was sent by somebody.
const IS_OVER: &str = "(state <> 'waiting' OR asked_for IS NULL)";

/// Earlier studies that are wanted for a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct PriorRequest {
    /// Study Instance UID of the study that they are wanted for.
    pub(in crate::node) study_instance_uid: String,
    /// Its version.
    pub(in crate::node) version: u32,
    /// How many.
    pub(in crate::node) wanted: u32,
    /// How often it was tried, this time included.
    pub(in crate::node) attempt: u32,
    /// The studies that the peer named and that are to be fetched still; none where it was not asked yet.
    pub(in crate::node) chosen: Option<Vec<String>>,
}

/// What comes after a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum PriorsEnded {
    /// It is tried again.
    Retry,
    /// Nobody tries again.
    GivenUp,
    /// A later version of the study asks anew.
    Outdated,
}

impl Store {
    /// Asks for earlier studies of a version of a study; once for each version.
    pub(in crate::node) fn ask_for_priors(
        &self,
        study: &str,
        version: u32,
        wanted: u8,
        now_s: i64,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let mut ask = transaction.prepare_cached(
                "INSERT INTO prior_requests (study_instance_uid, version, wanted, state, next_s, changed_s)
                 VALUES (?1, ?2, ?3, 'waiting', ?4, ?4)
                 ON CONFLICT DO UPDATE SET version = excluded.version, wanted = excluded.wanted, state = 'waiting',
                 attempts = 0, next_s = excluded.next_s, reason_code = NULL, reason = NULL, changed_s = excluded.changed_s
                 WHERE excluded.version > version",
            )?;
            ask.execute(params![study, version, wanted, now_s])?;
            Ok(())
        })
    }

    /// Gives the request that is due the longest; the attempt is counted before it is made.
    pub(in crate::node) fn claim_priors(&self, now_s: i64) -> Result<Option<PriorRequest>, Error> {
        // A look without the lock for writing, since most of them find nothing.
        if self
            .read(|connection| self.next_priors(connection, now_s))?
            .is_none()
        {
            return Ok(None);
        }
        self.write(|transaction| {
            while let Some(study) = self.next_priors(transaction, now_s)? {
                let mut claim = transaction.prepare_cached(
                    "UPDATE prior_requests SET attempts = attempts + 1, next_s = ?2 WHERE study_instance_uid = ?1
                     RETURNING version, wanted, attempts, state = 'chosen'",
                )?;
                let (request, is_chosen) = claim.query_row(params![study, now_s], |row| {
                    let request = PriorRequest {
                        study_instance_uid: study.clone(),
                        version: row.get(0)?,
                        wanted: row.get(1)?,
                        attempt: row.get(2)?,
                        chosen: None,
                    };
                    Ok((request, row.get(3)?))
                })?;
                if request.attempt > self.shared.retry.max_attempts {
                    let (code, reason) = PROGRAM_ENDED;
                    give_up(transaction, &request, code, reason, now_s)?;
                    continue;
                }
                let chosen = match is_chosen {
                    true => Some(to_fetch(transaction, &study)?),
                    false => None,
                };
                return Ok(Some(PriorRequest { chosen, ..request }));
            }
            Ok(None)
        })
    }

    /// Records which studies the peer named, the latest first; gives those that are to be fetched: the others are here.
    pub(in crate::node) fn choose_priors(
        &self,
        request: &PriorRequest,
        studies: &[String],
        now_s: i64,
    ) -> Result<Vec<String>, Error> {
        let asked_for = &request.study_instance_uid;
        self.write(|transaction| {
            let mut chosen = transaction.prepare_cached(
                "UPDATE prior_requests SET state = 'chosen', changed_s = ?3
                 WHERE study_instance_uid = ?1 AND version = ?2 AND state = 'waiting'",
            )?;
            chosen.execute(params![asked_for, request.version, now_s])?;
            for study in studies {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO priors SELECT ?1, ?2, 'waiting', ?3
                     WHERE NOT EXISTS (SELECT 1 FROM instances WHERE study_instance_uid = ?1)
                     OR EXISTS (SELECT 1 FROM priors WHERE study_instance_uid = ?1 AND state <> 'fetched')
                     ON CONFLICT DO UPDATE SET asked_for = ?2, state = 'waiting', changed_s = ?3",
                )?;
                insert.execute(params![study, asked_for, now_s])?;
            }
            to_fetch(transaction, asked_for)
        })
    }

    /// An earlier study is here.
    pub(in crate::node) fn prior_fetched(&self, study: &str, now_s: i64) -> Result<(), Error> {
        self.write(|transaction| {
            let mut fetched = transaction.prepare_cached(
                "UPDATE priors SET state = 'fetched', changed_s = ?2
                 WHERE study_instance_uid = ?1 AND state = 'waiting'",
            )?;
            fetched.execute(params![study, now_s])?;
            Ok(())
        })
    }

    /// All that was to be fetched is here.
    pub(in crate::node) fn priors_done(
        &self,
        request: &PriorRequest,
        now_s: i64,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let mut done = transaction.prepare_cached(
                "UPDATE prior_requests SET state = 'done', reason_code = NULL, reason = NULL, changed_s = ?3
                 WHERE study_instance_uid = ?1 AND version = ?2",
            )?;
            done.execute(params![request.study_instance_uid, request.version, now_s])?;
            Ok(())
        })
    }

    /// The node stops: the attempt does not count.
    pub(in crate::node) fn release_priors(&self, request: &PriorRequest) -> Result<(), Error> {
        self.write(|transaction| {
            let mut release = transaction.prepare_cached(
                "UPDATE prior_requests SET attempts = attempts - 1
                 WHERE study_instance_uid = ?1 AND version = ?2 AND attempts > 0",
            )?;
            release.execute(params![request.study_instance_uid, request.version])?;
            Ok(())
        })
    }

    /// Records a failure: another attempt after a growing wait, or the end.
    pub(in crate::node) fn priors_failed(
        &self,
        request: &PriorRequest,
        (code, reason): (&str, &str),
        is_permanent: bool,
        now_s: i64,
    ) -> Result<PriorsEnded, Error> {
        let retry = &self.shared.retry;
        self.write(|transaction| {
            let mut retried = transaction.prepare_cached(
                "UPDATE prior_requests SET next_s = ?3, reason_code = ?4, reason = ?5, changed_s = ?6
                 WHERE study_instance_uid = ?1 AND version = ?2",
            )?;
            let next_s = now_s.saturating_add(back_off_s(retry, request.attempt));
            let (study, version) = (&request.study_instance_uid, request.version);
            if retried.execute(params![study, version, next_s, code, reason, now_s])? == 0 {
                return Ok(PriorsEnded::Outdated);
            }
            if !is_permanent && request.attempt < retry.max_attempts {
                return Ok(PriorsEnded::Retry);
            }
            give_up(transaction, request, code, reason, now_s)?;
            Ok(PriorsEnded::GivenUp)
        })
    }

    /// Instances that are here of a study.
    pub(in crate::node) fn instances_of(&self, study: &str) -> Result<u64, Error> {
        self.read(|connection| {
            let mut count = connection
                .prepare_cached("SELECT count(*) FROM instances WHERE study_instance_uid = ?1")?;
            Ok(count.query_row([study], |row| row.get::<_, u32>(0))?.into())
        })
    }

    /// How many requests are where.
    pub(in crate::node) fn prior_counts(&self) -> Result<PriorsStatus, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT state = 'failed', reason_code, count(*) FROM prior_requests WHERE state <> 'done'
                 GROUP BY 1, 2 ORDER BY max(changed_s)",
            )?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let mut counts = PriorsStatus::default();
            for row in rows {
                let (is_failed, code, count): (bool, Option<String>, u32) = row?;
                if is_failed {
                    counts.failed.insert(code.unwrap_or_default(), count.into());
                } else {
                    counts.waiting += u64::from(count);
                    counts.failing = code.or(counts.failing);
                }
            }
            Ok(counts)
        })
    }

    fn next_priors(&self, connection: &Connection, now_s: i64) -> Result<Option<String>, Error> {
        // As for jobs: a wait longer than any that is given comes from a clock that was set back.
        let longest_s = i64::try_from(self.shared.retry.max_wait_s).unwrap_or(i64::MAX);
        let clock_s = now_s.saturating_add(longest_s);
        let mut select = connection.prepare_cached(
            "SELECT study_instance_uid FROM prior_requests WHERE state IN ('waiting', 'chosen')
             AND (next_s <= ?1 OR next_s > ?2) ORDER BY next_s, study_instance_uid LIMIT 1",
        )?;
        let study = select.query_row(params![now_s, clock_s], |row| row.get(0));
        Ok(study.optional()?)
    }
}

/// Whether a study is here because it was fetched.
pub(super) fn is_prior(connection: &Connection, study: &str) -> Result<bool, Error> {
    let mut find =
        connection.prepare_cached("SELECT 1 FROM priors WHERE study_instance_uid = ?1")?;
    Ok(find.exists([study])?)
}

/// Whether a study was fetched, and what comes of it now is sent by somebody.
pub(super) fn is_over(connection: &Connection, study: &str) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM priors WHERE study_instance_uid = ?1 AND {IS_OVER}");
    Ok(connection.prepare_cached(&sql)?.exists([study])?)
}

/// An image came: a study that was fetched before is one like any other now.
pub(super) fn sent(transaction: &Transaction, study: &str) -> Result<(), Error> {
    let sql = format!("DELETE FROM priors WHERE study_instance_uid = ?1 AND {IS_OVER}");
    transaction.prepare_cached(&sql)?.execute([study])?;
    Ok(())
}

/// The instances of a study are removed: it is here no more.
pub(super) fn forget(transaction: &Transaction, study: &str) -> Result<(), Error> {
    let sql = "DELETE FROM priors WHERE study_instance_uid = ?1";
    transaction.prepare_cached(sql)?.execute([study])?;
    Ok(())
}

/// A study is removed: what was to be fetched for it, and did not come, is not named any more.
pub(super) fn forget_asked(transaction: &Transaction, study: &str) -> Result<(), Error> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM priors WHERE asked_for = ?1 AND NOT EXISTS
         (SELECT 1 FROM studies WHERE studies.study_instance_uid = priors.study_instance_uid)",
    )?;
    delete.execute([study])?;
    Ok(())
}

fn to_fetch(connection: &Connection, asked_for: &str) -> Result<Vec<String>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT study_instance_uid FROM priors WHERE asked_for = ?1 AND state = 'waiting' ORDER BY rowid",
    )?;
    let studies = select.query_map([asked_for], |row| row.get(0))?;
    Ok(studies.collect::<Result<_, _>>()?)
}

fn give_up(
    transaction: &Transaction,
    request: &PriorRequest,
    code: &str,
    reason: &str,
    now_s: i64,
) -> Result<(), Error> {
    let study = &request.study_instance_uid;
    let mut fail = transaction.prepare_cached(
        "UPDATE prior_requests SET state = 'failed', reason_code = ?2, reason = ?3, changed_s = ?4
         WHERE study_instance_uid = ?1",
    )?;
    fail.execute(params![study, code, reason, now_s])?;
    let mut fail = transaction.prepare_cached(
        "UPDATE priors SET state = 'failed', changed_s = ?2 WHERE asked_for = ?1 AND state = 'waiting'",
    )?;
    fail.execute(params![study, now_s])?;
    Ok(())
}
