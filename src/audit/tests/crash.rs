//! Writing, and every state that a crash can leave.

use super::*;
use crate::audit::MAX_COMMIT_BYTES;
use std::collections::BTreeSet;

#[test]
fn what_many_threads_record_at_once_is_there_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = log.clone();
            scope.spawn(move || {
                for number in 0..10 {
                    log.record(&numbered(thread * 10 + number)).unwrap();
                }
            });
        }
    });
    assert_eq!(verdict(dir.path()).records, 80);
    assert_eq!(verdict(dir.path()).broken, None);
    let snapshot = Snapshot::take(dir.path()).unwrap();
    let attempts = snapshot.records().unwrap();
    let attempts = attempts.map(|record| record.unwrap().event["attempt"].as_u64().unwrap());
    assert_eq!(attempts.collect::<BTreeSet<_>>(), (0..80).collect());
}

#[test]
fn two_processes_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let (node, verb) = (
        Log::open(dir.path()).unwrap(),
        Log::open(dir.path()).unwrap(),
    );
    for number in 0..3 {
        node.record(&numbered(number)).unwrap();
        verb.record_all(&[numbered(number), numbered(number)])
            .unwrap();
    }
    assert_eq!(verdict(dir.path()).records, 9);
    assert_eq!(verdict(dir.path()).broken, None);
    assert!(!kinds(dir.path()).contains(&"log-recovered".into()));
}

#[test]
fn a_log_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    drop(log_of(dir.path(), 2));
    log_of(dir.path(), 1);
    assert_eq!(kinds(dir.path()), ["job-failed"; 3]);
    let verdict = verdict(dir.path());
    assert_eq!(
        (verdict.records, verdict.unsigned, verdict.torn_bytes),
        (3, 0, 0)
    );
}

/// A power cut may keep any part of what was written behind the head.
#[test]
fn a_write_that_was_cut_anywhere_is_set_aside_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 2);
    let head = fs::read(dir.path().join(HEAD)).unwrap();
    let confirmed = fs::read(dir.path().join(LOG)).unwrap().len();
    log.record_all(&[numbered(3), numbered(4)]).unwrap();
    let whole = fs::read(dir.path().join(LOG)).unwrap();
    let first_end = confirmed + (whole.len() - confirmed) / 2;
    for cut in (confirmed..=whole.len())
        .step_by(7)
        .chain([first_end, whole.len()])
    {
        fs::write(dir.path().join(LOG), &whole[..cut]).unwrap();
        fs::write(dir.path().join(HEAD), &head).unwrap();
        let left = verdict(dir.path());
        assert_eq!(left.broken, None, "cut at {cut}: a crash is no break");

        Log::open(dir.path()).unwrap();
        let records = [confirmed, first_end, whole.len()]
            .iter()
            .filter(|end| **end <= cut)
            .count()
            - 1;
        let torn = cut - [confirmed, first_end, whole.len()][records];
        assert_eq!(left.unsigned, records as u64, "cut at {cut}");
        assert_eq!(left.torn_bytes, torn as u64, "cut at {cut}");
        let after = verdict(dir.path());
        assert_eq!((after.broken, after.torn_bytes), (None, 0), "cut at {cut}");
        let noted = kinds(dir.path())
            .last()
            .is_some_and(|kind| kind == "log-recovered");
        assert_eq!(noted, cut > confirmed, "cut at {cut}");
    }
}

#[test]
fn what_is_set_aside_keeps_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 1);
    let mut text = fs::read(dir.path().join(LOG)).unwrap();
    // What a file system shows of blocks that were allocated and never written.
    text.extend([0; 4096]);
    fs::write(dir.path().join(LOG), &text).unwrap();
    Log::open(dir.path()).unwrap();
    let snapshot = Snapshot::take(dir.path()).unwrap();
    let last = snapshot.records().unwrap().last().unwrap().unwrap();
    let Some(Event::LogRecovered {
        torn_bytes,
        set_aside,
        records,
    }) = last.event()
    else {
        panic!("{last:?}")
    };
    assert_eq!((records, torn_bytes), (0, 4096));
    let torn = fs::read(dir.path().join(set_aside.unwrap())).unwrap();
    assert_eq!(torn, [0; 4096]);
}

#[test]
fn a_record_is_refused_while_the_head_cannot_be_written_and_taken_over_later() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 1);
    let in_the_way = dir.path().join("audit.head.tmp");
    fs::create_dir(&in_the_way).unwrap();
    assert_eq!(log.record(&numbered(2)).unwrap_err().code(), "audit-io");
    fs::remove_dir(&in_the_way).unwrap();
    log.record(&numbered(3)).unwrap();
    let expected = ["job-failed", "job-failed", "log-recovered", "job-failed"];
    assert_eq!(kinds(dir.path()), expected);
    assert_eq!(verdict(dir.path()).broken, None);
}

#[test]
fn a_log_that_is_moved_away_stops_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 2);
    fs::rename(dir.path().join(LOG), dir.path().join("rotated")).unwrap();
    assert_eq!(log.record(&numbered(3)).unwrap_err().code(), "audit-io");
    assert_eq!(Log::open(dir.path()).unwrap_err().code(), "audit-broken");
}

#[test]
fn a_key_that_is_missing_beside_a_log_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 1);
    fs::remove_file(dir.path().join("key")).unwrap();
    assert_eq!(
        Log::open(dir.path()).unwrap_err().code(),
        "audit-key-missing"
    );
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_the_next_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let reason = "x".repeat(MAX_COMMIT_BYTES);
    let refused = log.record(&Event::Stopped { reason }).unwrap_err();
    assert_eq!(refused.code(), "audit-record-too-large");
    log.record(&numbered(1)).unwrap();
    assert_eq!(verdict(dir.path()).records, 1);
}
