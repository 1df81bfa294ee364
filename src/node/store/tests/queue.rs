use super::*;
use crate::config::Calendar;
use crate::node::{Depth, Enqueued, Hours};
use chrono::DateTime;

/// A study of one instance with this work; gives the store's answer.
fn put(store: &Store, study: &str, now_s: i64, change: impl FnOnce(&mut Work)) {
    send(&intake_of(store), image(study, 1)).unwrap();
    let version = store.close(study, 1, now_s).unwrap().unwrap();
    let mut work = Work {
        study_instance_uid: study.into(),
        version,
        ..Work::default()
    };
    change(&mut work);
    assert_eq!(store.enqueue(&work, now_s).unwrap(), Enqueued::Waiting);
}

fn claimed(store: &Store, agenda: &Agenda) -> Option<String> {
    let job = store.claim(agenda).unwrap();
    job.map(|job| job.work.study_instance_uid)
}

fn off_peak(now_s: i64) -> Agenda {
    Agenda {
        off_peak: true,
        ..at(now_s)
    }
}

#[test]
fn a_version_is_claimed_once_and_done_once() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let work = queued(&store, STUDY, 2);
    let job = store.claim(&at(1)).unwrap().unwrap();
    assert_eq!((&job.work, job.attempt), (&work, 1));
    assert_eq!(store.claim(&at(1)).unwrap(), None);
    assert_eq!(store.finish(&job, &finished(&[]), 2).unwrap(), Ended::Done);
    assert_eq!(
        store.finish(&job, &finished(&[]), 2).unwrap_err().code(),
        "job-not-claimed"
    );
    assert_eq!(store.enqueue(&work, 3).unwrap(), Enqueued::Waiting);
    assert_eq!(store.claim(&at(3)).unwrap(), None);
}

#[test]
fn the_higher_priority_runs_first_and_of_equal_ones_the_older() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    put(&store, "1.1", 2, |_| ());
    put(&store, "1.2", 1, |_| ());
    put(&store, "1.3", 3, |work| work.priority = 9);
    let order = [(); 4].map(|()| claimed(&store, &at(9)));
    let names = order.each_ref().map(Option::as_deref);
    assert_eq!(names, [Some("1.3"), Some("1.2"), Some("1.1"), None]);
}

#[test]
fn off_peak_work_waits_for_its_hours_and_nothing_runs_in_quiet_ones() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    put(&store, "1.1", 0, |work| work.off_peak = true);
    assert_eq!(claimed(&store, &at(1)), None);
    put(&store, "1.2", 0, |_| ());
    let quiet = Agenda {
        quiet: true,
        ..off_peak(1)
    };
    assert_eq!(claimed(&store, &quiet), None);
    assert_eq!(claimed(&store, &at(1)).as_deref(), Some("1.2"));
    assert_eq!(claimed(&store, &off_peak(1)).as_deref(), Some("1.1"));
}

#[test]
fn what_has_to_be_ready_begins_in_time_before_all_else() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let ready_by = |ready_by_s| {
        move |work: &mut Work| {
            work.off_peak = true;
            work.ready_by_s = Some(ready_by_s);
        }
    };
    put(&store, "1.1", 0, ready_by(10_000));
    put(&store, "1.2", 0, |work| work.priority = 9);
    // A job takes 600 s as long as none was done, and one more is the margin.
    assert_eq!(claimed(&store, &at(10_000 - 1201)).as_deref(), Some("1.2"));
    assert_eq!(claimed(&store, &at(10_000 - 1201)), None);
    assert_eq!(claimed(&store, &at(10_000 - 1200)).as_deref(), Some("1.1"));
}

#[test]
fn the_first_of_several_begins_early_enough_for_the_last() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    for (study, ready_by_s) in [("1.1", 10_000), ("1.2", 10_100), ("1.3", 10_050)] {
        put(&store, study, 0, |work| {
            work.off_peak = true;
            work.ready_by_s = Some(ready_by_s);
        });
    }
    // Three jobs and a margin before the last one.
    assert_eq!(claimed(&store, &at(10_100 - 2401)), None);
    assert_eq!(claimed(&store, &at(10_100 - 2400)).as_deref(), Some("1.1"));
}

#[test]
fn a_moment_that_is_past_or_too_near_begins_at_once() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    put(&store, "1.1", 0, |work| {
        work.off_peak = true;
        work.ready_by_s = Some(5);
    });
    assert_eq!(claimed(&store, &at(1)).as_deref(), Some("1.1"));
}

#[test]
fn work_begins_before_the_quiet_hours_that_would_make_it_late() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let utc = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap();
    let hours = Hours::new(&Calendar {
        quiet: vec!["12:00".into(), "13:00".into()],
        off_peak: Vec::new(),
    });
    put(&store, "1.1", 0, |work| {
        work.off_peak = true;
        work.ready_by_s = Some(utc("2026-07-01T13:10:00Z").timestamp());
    });
    let at = |text| hours.agenda(&utc(text));
    assert_eq!(claimed(&store, &at("2026-07-01T11:49:59Z")), None);
    let begun = claimed(&store, &at("2026-07-01T11:50:00Z"));
    assert_eq!(begun.as_deref(), Some("1.1"));
}

#[test]
fn a_failure_is_tried_again_after_a_growing_wait_and_then_is_a_dead_letter() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    let mut now_s = 100;
    for wait_s in [30, 60] {
        let job = store.claim(&at(now_s)).unwrap().unwrap();
        let not_before_s = now_s + wait_s;
        let ended = store.fail(&job, &failure(false), now_s).unwrap();
        assert_eq!(ended, Ended::Retry { not_before_s });
        assert_eq!(store.claim(&at(not_before_s - 1)).unwrap(), None);
        now_s = not_before_s;
    }
    let job = store.claim(&at(now_s)).unwrap().unwrap();
    assert_eq!(
        store.fail(&job, &failure(false), now_s).unwrap(),
        Ended::DeadLetter
    );
    let letter = store.dead_letters().unwrap().remove(0);
    assert_eq!((letter.code.as_str(), letter.attempts), ("gpu-lost", 3));
    assert_eq!(store.claim(&at(now_s + 9999)).unwrap(), None);
}

#[test]
fn data_at_fault_are_not_tried_again_until_a_person_asks() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    let job = store.claim(&at(1)).unwrap().unwrap();
    assert_eq!(
        store.fail(&job, &failure(true), 1).unwrap(),
        Ended::DeadLetter
    );
    assert!(!store.retry("1.2.9", 2).unwrap());
    assert!(store.retry(STUDY, 2).unwrap());
    assert_eq!(store.dead_letters().unwrap(), []);
    assert_eq!(store.claim(&at(2)).unwrap().unwrap().attempt, 1);
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_waiting() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    let year_s = 365 * 86_400;
    let job = store.claim(&at(year_s)).unwrap().unwrap();
    store.fail(&job, &failure(false), year_s).unwrap();
    assert!(store.claim(&at(1)).unwrap().is_some());
}

#[test]
fn a_late_image_reopens_a_study_and_its_next_version_replaces_what_waited() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    send(&intake_of(&store), image(STUDY, 2)).unwrap();
    assert_eq!(store.claim(&at(1)).unwrap(), None);
    enqueue(&store, STUDY, 2);
    assert_eq!(store.claim(&at(1)).unwrap().unwrap().work.version, 2);
    assert_eq!(store.claim(&at(1)).unwrap(), None);
}

#[test]
fn a_job_that_runs_while_an_image_comes_delivers_nothing() {
    for fails in [false, true] {
        let dir = tempdir().unwrap();
        let store = store(dir.path());
        queued(&store, STUDY, 1);
        let job = store.claim(&at(1)).unwrap().unwrap();
        send(&intake_of(&store), image(STUDY, 2)).unwrap();
        let ended = match fails {
            true => store.fail(&job, &failure(false), 2),
            false => store.finish(&job, &finished(&["pacs"]), 2),
        };
        assert_eq!(ended.unwrap(), Ended::Superseded);
        assert_eq!(due(&store, 9), []);
        assert_eq!(store.depth().unwrap(), Depth::default());
    }
}

#[test]
fn a_late_report_changes_nothing() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    let class = dicom_dictionary_std::uids::COMPREHENSIVE3_DSR_STORAGE;
    let report = testing::object(STUDY, 9, class, "SR");
    send(&intake_of(&store), report).unwrap();
    let job = store.claim(&at(1)).unwrap().unwrap();
    assert_eq!(store.inputs(STUDY, job.work.version).unwrap().len(), 1);
    assert_eq!(store.finish(&job, &finished(&[]), 2).unwrap(), Ended::Done);
}

#[test]
fn a_version_that_was_opened_again_is_not_taken_on() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let intake = intake_of(&store);
    send(&intake, image(STUDY, 1)).unwrap();
    let version = store.close(STUDY, 1, 0).unwrap().unwrap();
    send(&intake, image(STUDY, 2)).unwrap();
    let work = Work {
        study_instance_uid: STUDY.into(),
        version,
        ..Work::default()
    };
    assert_eq!(store.enqueue(&work, 0).unwrap(), Enqueued::Outdated);
    assert!(!store.keep(STUDY, version, 0).unwrap());
}

#[test]
fn what_ran_at_a_crash_runs_again_and_becomes_a_dead_letter_if_it_is_the_cause() {
    let dir = tempdir().unwrap();
    queued(&store(dir.path()), STUDY, 1);
    for attempt in 1..=3 {
        let store = store(dir.path());
        assert_eq!(store.recover(attempt.into()).unwrap(), []);
        let job = store.claim(&at(attempt.into())).unwrap().unwrap();
        assert_eq!(job.attempt, attempt);
    }
    let store = store(dir.path());
    let dead = store.recover(9).unwrap();
    assert_eq!(
        (dead[0].code.as_str(), dead[0].attempts),
        ("program-ended", 3)
    );
    assert_eq!(store.dead_letters().unwrap(), dead);
}

#[test]
fn a_job_that_was_stopped_on_purpose_keeps_its_attempts() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    for _ in 0..5 {
        let job = store.claim(&at(1)).unwrap().unwrap();
        assert_eq!(job.attempt, 1);
        store.release(&job, 2).unwrap();
    }
}

#[test]
fn depth_counts_what_waits_runs_and_failed() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    for study in ["1.1", "1.2", "1.3"] {
        put(&store, study, 0, |_| ());
    }
    let job = store.claim(&at(1)).unwrap().unwrap();
    store.fail(&job, &failure(true), 1).unwrap();
    store.claim(&at(1)).unwrap().unwrap();
    let wanted = Depth {
        waiting: 1,
        running: 1,
        done: 0,
        dead: 1,
        oldest_s: Some(0),
    };
    assert_eq!(store.depth().unwrap(), wanted);
}
