//! What a queue of studies does, so that another one than the database can do it.
//!
//! In: versions of studies that a rule chose. Out: one at a time to whoever runs it, the most urgent first, until it is done
//! or a dead letter. `docs/node-queue.md` says why the queue is the node's own database.

use super::Failure;
use super::calendar::Agenda;
use super::store::Error;
use crate::config::RetryConfig;

/// What is to be done with a version of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Version of the study: how many sets of its instances were closed.
    pub version: u32,
    /// Name of the rule that chose it.
    pub rule: String,
    /// Models that run; empty: those of `models.enabled`.
    pub models: Vec<String>,
    /// Higher runs first, 0 to 9.
    pub priority: u8,
    /// Waits for off-peak hours.
    pub off_peak: bool,
    /// When it has to be ready, seconds since 1970.
    pub ready_by_s: Option<i64>,
}

/// Work that somebody has taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the queue calls it.
    pub id: i64,
    /// How often it was begun, this time included.
    pub attempt: u32,
    /// What is to be done.
    pub work: Work,
}

/// What became of work that was handed to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits, or had been handed over before.
    Waiting,
    /// The study has fewer instances than an earlier version of it had: the others were removed since.
    DeadLetter,
    /// The study was opened again or has another version by now: nothing was done.
    Outdated,
}

/// A file that a job wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Relative to the node's folder.
    pub path: String,
    /// SOP Class UID, of a DICOM object.
    pub sop_class_uid: Option<String>,
    /// SOP Instance UID, of a DICOM object.
    pub sop_instance_uid: Option<String>,
    /// Of the file.
    pub sha256: [u8; 32],
}

/// What a job led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// What identifies the run.
    pub run_id: String,
    /// All files of the result.
    pub outputs: Vec<Output>,
    /// Names of the destinations that the result is for.
    pub destinations: Vec<String>,
}

/// What comes after the end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The result stands and is on its way.
    Done,
    /// It is tried again from then on, seconds since 1970.
    Retry {
        /// Not before this moment.
        not_before_s: i64,
    },
    /// Nobody tries again until a person asks for it.
    DeadLetter,
    /// Further instances came meanwhile: the next version replaces it, nothing is delivered.
    Superseded,
}

/// Work that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeadLetter {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Version of the study.
    pub version: u32,
    /// Attempts that were made.
    pub attempts: u32,
    /// A stable kebab-case code.
    pub code: String,
    /// What was wrong.
    pub reason: String,
    /// When it was given up, seconds since 1970.
    pub ended_s: i64,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    /// Jobs that wait.
    pub waiting: u32,
    /// Jobs that are being done.
    pub running: u32,
    /// Jobs with a result.
    pub done: u32,
    /// Jobs that failed for good.
    pub dead: u32,
    /// When the oldest that waits was handed over, seconds since 1970.
    pub oldest_s: Option<i64>,
}

/// A queue that loses nothing and does nothing twice: what a call returned, holds after a power cut.
///
/// Times are seconds since 1970.
pub trait Queue: Send + Sync {
    /// Takes on a version of a study, once.
    ///
    /// # Errors
    /// The queue cannot be written.
    fn enqueue(&self, work: &Work, now_s: i64) -> Result<Enqueued, Error>;

    /// Gives the most urgent job that may begin: first what has to begin to be ready in time, then by priority, then by
    /// age. The attempt is counted before it runs.
    ///
    /// # Errors
    /// The queue cannot be written.
    fn claim(&self, agenda: &Agenda) -> Result<Option<Job>, Error>;

    /// Records a result and, in the same step, what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotClaimed`], or the queue cannot be written.
    fn finish(&self, job: &Job, finished: &Finished, now_s: i64) -> Result<Ended, Error>;

    /// Records a failure: another attempt after a growing wait, or a dead letter.
    ///
    /// # Errors
    /// [`Error::NotClaimed`], or the queue cannot be written.
    fn fail(&self, job: &Job, failure: &Failure, now_s: i64) -> Result<Ended, Error>;

    /// Gives a job back that was stopped on purpose; the attempt does not count.
    ///
    /// # Errors
    /// [`Error::NotClaimed`], or the queue cannot be written.
    fn release(&self, job: &Job, now_s: i64) -> Result<(), Error>;

    /// At a start: gives back what a crash left running. Gives the dead letters that came of it.
    ///
    /// # Errors
    /// The queue cannot be written.
    fn recover(&self, now_s: i64) -> Result<Vec<DeadLetter>, Error>;

    /// All dead letters, the latest first.
    ///
    /// # Errors
    /// The queue cannot be read.
    fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error>;

    /// Tries a study's dead letter anew, with all its attempts; false where it has none.
    ///
    /// # Errors
    /// The queue cannot be written.
    fn retry(&self, study_instance_uid: &str, now_s: i64) -> Result<bool, Error>;

    /// How much there is to do.
    ///
    /// # Errors
    /// The queue cannot be read.
    fn depth(&self) -> Result<Depth, Error>;
}

/// Wait after a number of failures, s: doubled by each, up to the longest.
pub fn back_off_s(retry: &RetryConfig, failures: u32) -> i64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1));
    let wait_s = doubled.map_or(u64::MAX, |factor| retry.first_wait_s.saturating_mul(factor));
    i64::try_from(wait_s.min(retry.max_wait_s)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_with_each_failure_up_to_the_longest() {
        let retry = RetryConfig {
            first_wait_s: 30,
            max_wait_s: 900,
            ..RetryConfig::default()
        };
        let waits = [1, 2, 3, 5, 6, 64, 65, u32::MAX].map(|n| back_off_s(&retry, n));
        assert_eq!(waits, [30, 60, 120, 480, 900, 900, 900, 900]);
    }
}
