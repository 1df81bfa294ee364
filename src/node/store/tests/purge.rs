use super::*;
use crate::config::StorageConfig;
use crate::node::{Enqueued, Output, Removed};

const DAY_S: i64 = 86_400;

/// A study that was received today; its result was written at second 10 and is for these destinations.
fn done(store: &Store, study: &str, destinations: &[&str]) {
    queued(store, study, 2);
    let job = store.claim(&at(9)).unwrap().unwrap();
    let folder = store.results_dir(study, job.work.version);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("sr.dcm"), "SR").unwrap();
    let output = Output {
        path: format!("results/{study}/1/sr.dcm"),
        sop_class_uid: None,
        sop_instance_uid: None,
        sha256: [7; 32],
    };
    let finished = Finished {
        outputs: vec![output],
        ..finished(destinations)
    };
    store.finish(&job, &finished, 10).unwrap();
}

fn deliver(store: &Store) {
    for delivery in due(store, 10) {
        store.delivery_sent(delivery.id, None, 11).unwrap();
    }
}

fn storage(keep_instances_days: u32, keep_results_days: u32) -> StorageConfig {
    StorageConfig {
        min_free_bytes: 0,
        keep_instances_days,
        keep_results_days,
    }
}

/// So many days after today.
fn after_days(days: i64) -> i64 {
    chrono::Utc::now().timestamp() + days * DAY_S
}

#[test]
fn a_purged_study_is_gone_with_files_rows_and_words() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    done(&store, "1.2.4", &[]);
    let removed = store.purge(STUDY).unwrap().unwrap();
    assert_eq!(
        (removed.instances, removed.outputs, removed.entirely),
        (2, 1, true)
    );
    assert!(removed.bytes > 0);
    for folder in ["instances", "results"] {
        assert!(!dir.path().join(folder).join(STUDY).exists(), "{folder}");
        assert!(dir.path().join(folder).join("1.2.4").exists(), "{folder}");
    }
    assert_eq!(store.study(STUDY).unwrap(), None);
    assert_eq!(due(&store, 99), []);
    assert_eq!(store.purge(STUDY).unwrap(), None);
    for file in ["node.sqlite", "node.sqlite-wal"] {
        let bytes = fs::read(dir.path().join(file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("1.2.3.1.1"), "{file}");
    }
}

#[test]
fn a_purged_study_may_come_again() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &[]);
    store.purge(STUDY).unwrap();
    done(&store, STUDY, &[]);
    assert_eq!(store.inputs(STUDY, 1).unwrap().len(), 2);
}

#[test]
fn a_study_is_not_purged_while_it_runs() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 1);
    store.claim(&at(1)).unwrap().unwrap();
    assert_eq!(store.purge(STUDY).unwrap_err().code(), "study-running");
    assert!(dir.path().join("instances/1.2.3/1.2.3.1.1.dcm").exists());
}

#[test]
fn instances_go_before_results_and_both_only_after_delivery() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    assert_eq!(store.expire(&storage(7, 30), after_days(99)).unwrap(), []);
    deliver(&store);
    assert_eq!(store.expire(&storage(7, 30), after_days(6)).unwrap(), []);
    let week = store.expire(&storage(7, 30), after_days(8)).unwrap();
    assert_eq!(
        (week[0].instances, week[0].outputs, week[0].entirely),
        (2, 0, false)
    );
    assert!(!dir.path().join("instances").join(STUDY).exists());
    assert!(store.results_dir(STUDY, 1).exists());
    let month = store.expire(&storage(7, 30), after_days(31)).unwrap();
    let wanted = Removed {
        study_instance_uid: STUDY.into(),
        instances: 0,
        bytes: 0,
        outputs: 1,
        patient: Some(testing::key(dir.path()).link("Secret-ID")),
        entirely: true,
    };
    assert_eq!(month, [wanted]);
    assert_eq!(store.study(STUDY).unwrap(), None);
}

#[test]
fn zero_days_keep_for_ever_and_so_do_results_without_a_destination() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    deliver(&store);
    assert_eq!(store.expire(&storage(0, 0), after_days(9999)).unwrap(), []);
    done(&store, "1.2.4", &[]);
    store.expire(&storage(1, 1), after_days(9999)).unwrap();
    assert_eq!(store.study(STUDY).unwrap(), None);
    assert!(store.results_dir("1.2.4", 1).exists());
    assert!(!store.instances_dir("1.2.4").exists());
}

#[test]
fn what_awaits_a_commitment_or_a_person_stays() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    ask_to_commit(&store);
    queued(&store, "1.2.4", 1);
    let job = store.claim(&at(9)).unwrap().unwrap();
    store.fail(&job, &failure(true), 10).unwrap();
    assert_eq!(store.expire(&storage(1, 1), after_days(9999)).unwrap(), []);
}

#[test]
fn what_no_model_runs_on_goes_after_its_days() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    send(&intake_of(&store), image(STUDY, 1)).unwrap();
    assert_eq!(store.expire(&storage(7, 30), after_days(99)).unwrap(), []);
    let version = store.close(STUDY, 1, 0).unwrap().unwrap();
    assert!(store.keep(STUDY, version, 0).unwrap());
    let removed = store.expire(&storage(7, 30), after_days(8)).unwrap();
    assert!(removed[0].entirely);
}

#[test]
fn a_slice_that_comes_after_the_others_were_removed_makes_no_result_of_one_slice() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    deliver(&store);
    store.expire(&storage(1, 0), after_days(2)).unwrap();
    send(&intake_of(&store), image(STUDY, 3)).unwrap();
    let version = store.close(STUDY, 1, 20).unwrap().unwrap();
    let work = Work {
        study_instance_uid: STUDY.into(),
        version,
        ..Work::default()
    };
    assert_eq!(store.enqueue(&work, 20).unwrap(), Enqueued::DeadLetter);
    assert_eq!(store.dead_letters().unwrap()[0].code, "fewer-instances");
}
