//! The queue, as rows of the database.

use super::{Error, Store};
use crate::node::Failure;
use crate::node::calendar::Agenda;
use crate::node::queue::{
    DeadLetter, Depth, Ended, Enqueued, Finished, Job, Queue, Work, back_off_s,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// A study takes so long as long as none was run, s.
const FIRST_GUESS_S: i64 = 600;

/// Of so many jobs that were done last, the longest tells how long one takes.
const REMEMBERED_JOBS: u32 = 20;

/// At most so many jobs that have to be ready are looked at.
const MAX_READY_BY: u32 = 1000;

const FEWER_INSTANCES: (&str, &str) = (
    "fewer-instances",
    "instances of an earlier version were removed since; send the whole study again",
);

const PROGRAM_ENDED: (&str, &str) = (
    "program-ended",
    "the program ended each time while it ran this study; look for the cause before it is tried again",
);

impl Queue for Store {
    fn enqueue(&self, work: &Work, now_s: i64) -> Result<Enqueued, Error> {
        self.write(|transaction| enqueue(transaction, work, now_s))
    }

    fn claim(&self, agenda: &Agenda) -> Result<Option<Job>, Error> {
        // A look without the lock for writing, since most of them find nothing.
        if agenda.quiet
            || self
                .read(|connection| self.next(connection, agenda))?
                .is_none()
        {
            return Ok(None);
        }
        self.write(|transaction| {
            let Some(id) = self.next(transaction, agenda)? else {
                return Ok(None);
            };
            let mut claim = transaction.prepare_cached(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_s = ?2 WHERE id = ?1
                 RETURNING id, attempts, study_instance_uid, version, rule, models, priority, off_peak, ready_by_s",
            )?;
            Ok(Some(claim.query_row(params![id, agenda.now_s], job)?))
        })
    }

    fn finish(&self, job: &Job, finished: &Finished, now_s: i64) -> Result<Ended, Error> {
        self.write(|transaction| {
            expect_claimed(transaction, job)?;
            if !is_current(transaction, job)? {
                return supersede(transaction, job, now_s);
            }
            let mut done = transaction.prepare_cached(
                "UPDATE jobs SET state = 'done', ended_s = ?2, run_id = ?3, reason_code = NULL, reason = NULL
                 WHERE id = ?1",
            )?;
            done.execute(params![job.id, now_s, finished.run_id])?;
            super::deliveries::add(transaction, job, finished, now_s)?;
            Ok(Ended::Done)
        })
    }

    fn fail(&self, job: &Job, failure: &Failure, now_s: i64) -> Result<Ended, Error> {
        let retry = &self.shared.retry;
        self.write(|transaction| {
            expect_claimed(transaction, job)?;
            if !is_current(transaction, job)? {
                return supersede(transaction, job, now_s);
            }
            let ended = match failure.permanent || job.attempt >= retry.max_attempts {
                true => Ended::DeadLetter,
                false => Ended::Retry {
                    not_before_s: now_s.saturating_add(back_off_s(retry, job.attempt)),
                },
            };
            let (state, not_before_s) = match ended {
                Ended::Retry { not_before_s } => ("waiting", not_before_s),
                _ => ("dead", now_s),
            };
            let mut update = transaction.prepare_cached(
                "UPDATE jobs SET state = ?2, not_before_s = ?3, ended_s = ?4, reason_code = ?5, reason = ?6
                 WHERE id = ?1",
            )?;
            let (code, message) = (&failure.code, &failure.message);
            update.execute(params![job.id, state, not_before_s, now_s, code, message])?;
            Ok(ended)
        })
    }

    fn release(&self, job: &Job, now_s: i64) -> Result<(), Error> {
        self.write(|transaction| {
            expect_claimed(transaction, job)?;
            if !is_current(transaction, job)? {
                supersede(transaction, job, now_s)?;
                return Ok(());
            }
            let mut release = transaction.prepare_cached(
                "UPDATE jobs SET state = 'waiting', attempts = attempts - 1 WHERE id = ?1",
            )?;
            release.execute([job.id])?;
            Ok(())
        })
    }

    fn recover(&self, now_s: i64) -> Result<Vec<DeadLetter>, Error> {
        let max_attempts = self.shared.retry.max_attempts;
        self.write(|transaction| {
            let mut supersede = transaction.prepare_cached(
                "UPDATE jobs SET state = 'superseded', ended_s = ?1 WHERE state = 'running' AND NOT EXISTS
                 (SELECT 1 FROM studies WHERE studies.study_instance_uid = jobs.study_instance_uid
                  AND studies.version = jobs.version AND studies.state = 'queued')",
            )?;
            supersede.execute([now_s])?;
            let (code, reason) = PROGRAM_ENDED;
            let mut give_up = transaction.prepare_cached(
                "UPDATE jobs SET state = 'dead', ended_s = ?1, reason_code = ?3, reason = ?4
                 WHERE state = 'running' AND attempts >= ?2
                 RETURNING study_instance_uid, version, attempts, reason_code, reason, ended_s",
            )?;
            let dead = give_up.query_map(params![now_s, max_attempts, code, reason], dead_letter)?;
            let dead = dead.collect::<Result<_, _>>()?;
            transaction.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'running'", [])?;
            Ok(dead)
        })
    }

    fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT study_instance_uid, version, attempts, reason_code, reason, ended_s FROM jobs
                 WHERE state = 'dead' ORDER BY ended_s DESC, id DESC",
            )?;
            let letters = select.query_map([], dead_letter)?;
            Ok(letters.collect::<Result<_, _>>()?)
        })
    }

    fn retry(&self, study_instance_uid: &str, now_s: i64) -> Result<bool, Error> {
        self.write(|transaction| {
            let mut retry = transaction.prepare_cached(
                "UPDATE jobs SET state = 'waiting', attempts = 0, not_before_s = ?2
                 WHERE study_instance_uid = ?1 AND state = 'dead'",
            )?;
            Ok(retry.execute(params![study_instance_uid, now_s])? > 0)
        })
    }

    fn depth(&self) -> Result<Depth, Error> {
        self.read(|connection| {
            let count = |state: &str| -> Result<u32, rusqlite::Error> {
                let mut select =
                    connection.prepare_cached("SELECT count(*) FROM jobs WHERE state = ?1")?;
                select.query_row([state], |row| row.get(0))
            };
            Ok(Depth {
                waiting: count("waiting")?,
                running: count("running")?,
                done: count("done")?,
                dead: count("dead")?,
                oldest_s: connection.query_row(
                    "SELECT min(enqueued_s) FROM jobs WHERE state = 'waiting'",
                    [],
                    |row| row.get(0),
                )?,
            })
        })
    }
}

impl Store {
    /// The most urgent job that may begin.
    fn next(&self, connection: &Connection, agenda: &Agenda) -> Result<Option<i64>, Error> {
        // A wait longer than any that is given comes from a clock that was set back: it is over.
        let longest_s = i64::try_from(self.shared.retry.max_wait_s).unwrap_or(i64::MAX);
        let clock_s = agenda.now_s.saturating_add(longest_s);
        if let Some(id) = next_due(connection, agenda, clock_s)? {
            return Ok(Some(id));
        }
        let mut select = connection.prepare_cached(
            "SELECT id FROM jobs WHERE state = 'waiting' AND off_peak <= ?1
             AND (not_before_s <= ?2 OR not_before_s > ?3)
             ORDER BY priority DESC, enqueued_s, id LIMIT 1",
        )?;
        let id = select.query_row(params![agenda.off_peak, agenda.now_s, clock_s], |row| {
            row.get(0)
        });
        Ok(id.optional()?)
    }
}

/// Of the jobs that have to be ready at some time the first one, if it or one behind it has to begin now.
fn next_due(connection: &Connection, agenda: &Agenda, clock_s: i64) -> Result<Option<i64>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT id, ready_by_s FROM jobs WHERE state = 'waiting' AND ready_by_s IS NOT NULL
         AND (not_before_s <= ?1 OR not_before_s > ?2)
         ORDER BY ready_by_s, priority DESC, enqueued_s, id LIMIT ?3",
    )?;
    let waiting = select.query_map(params![agenda.now_s, clock_s, MAX_READY_BY], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let waiting = waiting.collect::<Result<Vec<(i64, i64)>, _>>()?;
    let Some((first, _)) = waiting.first() else {
        return Ok(None);
    };
    let job_s = job_s(connection)?;
    // One more job than there are: a margin.
    let mut needed_s = job_s;
    let late = waiting.iter().any(|(_, ready_by_s)| {
        needed_s += job_s;
        agenda.latest_start_s(*ready_by_s, needed_s) <= agenda.now_s
    });
    Ok(late.then_some(*first))
}

/// How long a job takes, s.
fn job_s(connection: &Connection) -> Result<i64, Error> {
    let mut select = connection.prepare_cached(
        "SELECT max(ended_s - started_s) FROM
         (SELECT started_s, ended_s FROM jobs WHERE state = 'done' ORDER BY id DESC LIMIT ?1)",
    )?;
    let longest_s: Option<i64> = select.query_row([REMEMBERED_JOBS], |row| row.get(0))?;
    // A clock that was set makes any difference; a job takes a second to a day.
    Ok(longest_s.map_or(FIRST_GUESS_S, |s| s.clamp(1, 86_400)))
}

fn enqueue(transaction: &Transaction, work: &Work, now_s: i64) -> Result<Enqueued, Error> {
    let study = &work.study_instance_uid;
    let mut queue = transaction.prepare_cached(
        "UPDATE studies SET state = 'queued', changed_s = ?3
         WHERE study_instance_uid = ?1 AND version = ?2 AND state = 'complete'
         RETURNING most_instances, (SELECT count(*) FROM instances WHERE study_instance_uid = ?1)",
    )?;
    let counts = queue.query_row(params![study, work.version, now_s], |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    let Some((most, instances)): Option<(u32, u32)> = counts.optional()? else {
        return enqueued_before(transaction, work);
    };
    let fewer = instances < most;
    insert(transaction, work, now_s, fewer.then_some(FEWER_INSTANCES))?;
    let mut count = transaction
        .prepare_cached("UPDATE studies SET most_instances = ?2 WHERE study_instance_uid = ?1")?;
    count.execute(params![study, most.max(instances)])?;
    Ok(match fewer {
        true => Enqueued::DeadLetter,
        false => Enqueued::Waiting,
    })
}

fn enqueued_before(transaction: &Transaction, work: &Work) -> Result<Enqueued, Error> {
    let mut find = transaction.prepare_cached(
        "SELECT 1 FROM jobs WHERE study_instance_uid = ?1 AND version = ?2 AND state <> 'superseded'",
    )?;
    Ok(
        match find.exists(params![work.study_instance_uid, work.version])? {
            true => Enqueued::Waiting,
            false => Enqueued::Outdated,
        },
    )
}

/// A job that waits, or one that is dead for a reason.
fn insert(
    transaction: &Transaction,
    work: &Work,
    now_s: i64,
    dead: Option<(&str, &str)>,
) -> Result<(), Error> {
    let models = serde_json::to_string(&work.models);
    let models = models.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO jobs (study_instance_uid, version, state, rule, models, priority, off_peak, ready_by_s, enqueued_s,
         not_before_s, ended_s, reason_code, reason)
         VALUES (?1, ?2, iif(?9 IS NULL, 'waiting', 'dead'), ?3, ?4, ?5, ?6, ?7, ?8, ?8,
         iif(?9 IS NULL, NULL, ?8), ?9, ?10)",
    )?;
    insert.execute(params![
        work.study_instance_uid,
        work.version,
        work.rule,
        models,
        work.priority,
        work.off_peak,
        work.ready_by_s,
        now_s,
        dead.map(|(code, _)| code),
        dead.map(|(_, reason)| reason),
    ])?;
    Ok(())
}

/// Refuses an attempt that is not the one which runs.
fn expect_claimed(transaction: &Transaction, job: &Job) -> Result<(), Error> {
    let mut find = transaction.prepare_cached(
        "SELECT 1 FROM jobs WHERE id = ?1 AND state = 'running' AND attempts = ?2",
    )?;
    match find.exists(params![job.id, job.attempt])? {
        true => Ok(()),
        false => Err(Error::NotClaimed {
            study_instance_uid: job.work.study_instance_uid.clone(),
        }),
    }
}

/// Whether the study is still what the job works on.
fn is_current(transaction: &Transaction, job: &Job) -> Result<bool, Error> {
    let mut find = transaction.prepare_cached(
        "SELECT 1 FROM studies WHERE study_instance_uid = ?1 AND version = ?2 AND state = 'queued'",
    )?;
    Ok(find.exists(params![job.work.study_instance_uid, job.work.version])?)
}

fn supersede(transaction: &Transaction, job: &Job, now_s: i64) -> Result<Ended, Error> {
    let mut supersede = transaction
        .prepare_cached("UPDATE jobs SET state = 'superseded', ended_s = ?2 WHERE id = ?1")?;
    supersede.execute([job.id, now_s])?;
    Ok(Ended::Superseded)
}

fn job(row: &Row) -> Result<Job, rusqlite::Error> {
    let models: String = row.get(5)?;
    let text = rusqlite::types::Type::Text;
    let models = serde_json::from_str(&models)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, text, error.into()))?;
    Ok(Job {
        id: row.get(0)?,
        attempt: row.get(1)?,
        work: Work {
            study_instance_uid: row.get(2)?,
            version: row.get(3)?,
            rule: row.get(4)?,
            models,
            priority: row.get(6)?,
            off_peak: row.get(7)?,
            ready_by_s: row.get(8)?,
        },
    })
}

fn dead_letter(row: &Row) -> Result<DeadLetter, rusqlite::Error> {
    Ok(DeadLetter {
        study_instance_uid: row.get(0)?,
        version: row.get(1)?,
        attempts: row.get(2)?,
        code: row.get(3)?,
        reason: row.get(4)?,
        ended_s: row.get(5)?,
    })
}
