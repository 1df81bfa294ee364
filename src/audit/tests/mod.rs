//! The log as a whole: what a crash leaves, what a forger tries, what a repository gets.

mod crash;
mod forwarding;
mod messages;
mod tampering;

use super::{Event, HEAD, LOG, Log, Party, Snapshot, Study, Verdict, verify};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// The end of a study that was received.
fn study() -> Study {
    Study {
        study_instance_uid: "1.2.840.1".into(),
        version: 1,
        patient: Some("0123456789abcdef".into()),
    }
}

fn peer() -> Party {
    Party::sender(Some("CT_1"), IpAddr::from([192, 0, 2, 7]))
}

/// An event that tells its number.
fn numbered(attempt: u32) -> Event {
    let (study, code) = (study(), "io".into());
    Event::JobFailed {
        study,
        attempt,
        code,
    }
}

/// A log of `count` numbered events.
fn log_of(dir: &Path, count: u32) -> Log {
    let log = Log::open(dir).expect("opened");
    for number in 1..=count {
        log.record(&numbered(number)).expect("recorded");
    }
    log
}

fn verdict(dir: &Path) -> Verdict {
    verify(&Snapshot::take(dir).expect("readable")).expect("read")
}

/// Kinds of all records.
fn kinds(dir: &Path) -> Vec<String> {
    let snapshot = Snapshot::take(dir).expect("readable");
    let records = snapshot.records().expect("readable");
    let kind = |record: Result<super::Record, _>| record.expect("read").kind().to_owned();
    records.map(kind).collect()
}

/// The log's lines, with their line feeds.
fn lines(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join(LOG)).expect("UTF-8");
    text.split_inclusive('\n').map(Into::into).collect()
}

fn write_lines(dir: &Path, lines: &[String]) {
    fs::write(dir.join(LOG), lines.concat()).expect("written");
}
