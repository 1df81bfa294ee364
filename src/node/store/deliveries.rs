//! Results on their way: one row for each version and destination, each with its own tries.

use super::{Error, Store};
use crate::node::queue::{Finished, Job, Output, back_off_s};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// A result that is to go to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What the database calls it.
    pub id: i64,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Version of the study.
    pub version: u32,
    /// Name of the destination.
    pub destination: String,
    /// Tries that failed.
    pub failures: u32,
    /// Transaction UID of the storage commitment that was asked for last.
    pub transaction_uid: Option<String>,
    /// The files.
    pub outputs: Vec<Output>,
}

/// Results at one stage of their way to one destination.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeliveryCount {
    /// Name of the destination.
    pub destination: String,
    /// `waiting`, `sent`, `committed` or `superseded`.
    pub state: String,
    /// How many.
    pub count: u32,
}

const COLUMNS: &str = "deliveries.id, study_instance_uid, version, destination, deliveries.attempts, transaction_uid, job
    FROM deliveries JOIN jobs ON jobs.id = deliveries.job";

/// Records what a job wrote and where it goes; what waits of earlier versions of the study does not go any more.
pub(super) fn add(
    transaction: &Transaction,
    job: &Job,
    finished: &Finished,
    now_s: i64,
) -> Result<(), Error> {
    let mut supersede = transaction.prepare_cached(
        "UPDATE deliveries SET state = 'superseded', changed_s = ?2 WHERE state = 'waiting'
         AND job IN (SELECT id FROM jobs WHERE study_instance_uid = ?1)",
    )?;
    supersede.execute(params![job.work.study_instance_uid, now_s])?;
    let mut insert =
        transaction.prepare_cached("INSERT INTO outputs VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for output in &finished.outputs {
        insert.execute(params![
            job.id,
            output.path,
            output.sop_class_uid,
            output.sop_instance_uid,
            output.sha256,
        ])?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO deliveries (job, destination, state, next_s, changed_s) VALUES (?1, ?2, 'waiting', ?3, ?3)",
    )?;
    for destination in &finished.destinations {
        insert.execute(params![job.id, destination, now_s])?;
    }
    Ok(())
}

impl Store {
    /// Deliveries to one destination that are to be tried now, the longest due first, at most `limit`: a destination that
    /// hangs keeps no other waiting.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn due_deliveries(
        &self,
        destination: &str,
        now_s: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        // As for jobs: a wait longer than any that is given comes from a clock that was set back.
        let longest_s = i64::try_from(self.shared.retry.max_wait_s).unwrap_or(i64::MAX);
        let clock_s = now_s.saturating_add(longest_s);
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} WHERE deliveries.state = 'waiting' AND (next_s <= ?1 OR next_s > ?2)
                 AND destination = ?4 ORDER BY next_s, deliveries.id LIMIT ?3"
            ))?;
            let values = params![now_s, clock_s, limit, destination];
            let due = select.query_map(values, delivery)?;
            let due = due.collect::<Result<Vec<_>, _>>()?;
            let with_outputs = |(job, due)| with_outputs(connection, job, due);
            due.into_iter().map(with_outputs).collect()
        })
    }

    /// The result has arrived. With a Transaction UID the destination was asked to commit to it, and the answer is waited
    /// for.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn delivery_sent(
        &self,
        id: i64,
        transaction_uid: Option<&str>,
        now_s: i64,
    ) -> Result<(), Error> {
        self.change(
            "UPDATE deliveries SET state = 'sent', transaction_uid = ?2, changed_s = ?3, reason_code = NULL, reason = NULL
             WHERE id = ?1",
            params![id, transaction_uid, now_s],
        )
    }

    /// The destination commits to what it was sent; none where nobody asked with this Transaction UID.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn delivery_committed(
        &self,
        transaction_uid: &str,
        now_s: i64,
    ) -> Result<Option<Delivery>, Error> {
        self.change(
            "UPDATE deliveries SET state = 'committed', changed_s = ?2
             WHERE transaction_uid = ?1 AND state = 'sent'",
            params![transaction_uid, now_s],
        )?;
        self.delivery_of(transaction_uid)
    }

    /// The delivery that a Transaction UID stands for.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn delivery_of(&self, transaction_uid: &str) -> Result<Option<Delivery>, Error> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached(&format!("SELECT {COLUMNS} WHERE transaction_uid = ?1"))?;
            let found = select.query_row([transaction_uid], delivery).optional()?;
            found
                .map(|(job, delivery)| with_outputs(connection, job, delivery))
                .transpose()
        })
    }

    /// Deliveries whose commitment was asked for before `before_s` and not answered, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn uncommitted_deliveries(
        &self,
        before_s: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} WHERE deliveries.state = 'sent' AND transaction_uid IS NOT NULL AND changed_s < ?1
                 ORDER BY changed_s, deliveries.id LIMIT ?2"
            ))?;
            let late = select.query_map(params![before_s, limit], delivery)?;
            let late = late.collect::<Result<Vec<_>, _>>()?;
            let with_outputs = |(job, late)| with_outputs(connection, job, late);
            late.into_iter().map(with_outputs).collect()
        })
    }

    /// A try failed, or a commitment was refused; gives when the next one is due, seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn delivery_failed(
        &self,
        delivery: &Delivery,
        code: &str,
        reason: &str,
        now_s: i64,
    ) -> Result<i64, Error> {
        let wait_s = back_off_s(&self.shared.retry, delivery.failures.saturating_add(1));
        let next_s = now_s.saturating_add(wait_s);
        self.change(
            "UPDATE deliveries SET state = 'waiting', attempts = attempts + 1, next_s = ?2, transaction_uid = NULL,
             reason_code = ?3, reason = ?4, changed_s = ?5 WHERE id = ?1 AND state IN ('waiting', 'sent')",
            params![delivery.id, next_s, code, reason, now_s],
        )?;
        Ok(next_s)
    }

    /// How many results are at which stage, by destination.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state
                 ORDER BY destination, state",
            )?;
            let counts = select.query_map([], |row| {
                Ok(DeliveryCount {
                    destination: row.get(0)?,
                    state: row.get(1)?,
                    count: row.get(2)?,
                })
            })?;
            Ok(counts.collect::<Result<_, _>>()?)
        })
    }

    fn change(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }
}

/// The job and the delivery, still without files.
fn delivery(row: &Row) -> Result<(i64, Delivery), rusqlite::Error> {
    let delivery = Delivery {
        id: row.get(0)?,
        study_instance_uid: row.get(1)?,
        version: row.get(2)?,
        destination: row.get(3)?,
        failures: row.get(4)?,
        transaction_uid: row.get(5)?,
        outputs: Vec::new(),
    };
    Ok((row.get(6)?, delivery))
}

fn with_outputs(
    connection: &Connection,
    job: i64,
    mut delivery: Delivery,
) -> Result<Delivery, Error> {
    let mut select = connection.prepare_cached(
        "SELECT path, sop_class_uid, sop_instance_uid, sha256 FROM outputs WHERE job = ?1 ORDER BY path",
    )?;
    let outputs = select.query_map([job], |row| {
        Ok(Output {
            path: row.get(0)?,
            sop_class_uid: row.get(1)?,
            sop_instance_uid: row.get(2)?,
            sha256: row.get(3)?,
        })
    })?;
    delivery.outputs = outputs.collect::<Result<_, _>>()?;
    Ok(delivery)
}
