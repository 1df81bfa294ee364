use super::*;
use crate::node::testing::{self, image, intake_of, send, store};
use crate::node::{Agenda, Ended, Failure, Finished, Queue, Work};
use tempfile::tempdir;

mod delivery;
mod priors;
mod purge;
mod queue;

const STUDY: &str = "1.2.3";

/// A study of this number of instances, closed as its first version and handed to the queue.
fn queued(store: &Store, study: &str, instances: u32) -> Work {
    let intake = intake_of(store);
    for number in 1..=instances {
        send(&intake, image(study, number)).unwrap();
    }
    enqueue(store, study, instances)
}

/// Closes an open study and hands it to the queue.
fn enqueue(store: &Store, study: &str, instances: u32) -> Work {
    let version = store
        .close(study, instances, 0)
        .unwrap()
        .expect("it is open");
    let work = Work {
        study_instance_uid: study.into(),
        version,
        ..Work::default()
    };
    store.enqueue(&work, 0).unwrap();
    work
}

fn at(now_s: i64) -> Agenda {
    Agenda {
        now_s,
        ..Agenda::default()
    }
}

fn finished(destinations: &[&str]) -> Finished {
    Finished {
        run_id: "run".into(),
        outputs: Vec::new(),
        destinations: destinations.iter().map(|name| (*name).into()).collect(),
    }
}

fn failure(permanent: bool) -> Failure {
    Failure {
        code: "gpu-lost".into(),
        message: "the GPU is lost".into(),
        permanent,
    }
}

/// What waits for the destinations of these tests.
fn due(store: &Store, now_s: i64) -> Vec<Delivery> {
    let of = |name: &&str| store.due_deliveries(name, now_s, 10).unwrap();
    ["pacs", "archive"].iter().flat_map(of).collect()
}

/// What waits is sent at 20 s, and the commitment "2.25.9" asked for.
fn ask_to_commit(store: &Store) {
    let delivery = due(store, 10).remove(0);
    store
        .delivery_sent(delivery.id, Some("2.25.9"), 20)
        .unwrap();
}

#[test]
fn the_migrations_are_valid() {
    MIGRATIONS.validate().unwrap();
}

#[test]
fn released_migrations_are_as_they_were() {
    let digests = [
        include_str!("migrations/1-reception.sql"),
        include_str!("migrations/2-delivery.sql"),
        include_str!("migrations/3-patient.sql"),
        include_str!("migrations/4-untold.sql"),
        include_str!("migrations/5-priors.sql"),
    ];
    let digests = digests.map(|sql| {
        use sha2::{Digest, Sha256};
        let digest: [u8; 32] = Sha256::digest(sql).into();
        digest[..4]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    });
    let released = ["c3154e39", "267249f4", "e042fc49", "fbdef1f0", "ed002525"];
    assert_eq!(digests, released);
}

#[test]
fn a_database_of_an_earlier_version_is_upgraded_with_all_that_it_holds() {
    let dir = tempdir().unwrap();
    let mut first = Connection::open(dir.path().join("node.sqlite")).unwrap();
    MIGRATIONS.to_version(&mut first, 1).unwrap();
    first
        .execute_batch(include_str!("tests/version-1.sql"))
        .unwrap();
    drop(first);
    let store = store(dir.path());
    assert_eq!(store.receiving().unwrap(), [("1.2.1".to_owned(), 2)]);
    assert_eq!(store.complete().unwrap(), [("1.2.2".to_owned(), 1)]);
    assert_eq!(store.dead_letters().unwrap()[0].study_instance_uid, "1.2.4");
    let job = store.claim(&at(100)).unwrap().expect("a job waits");
    assert_eq!(
        (job.work.study_instance_uid.as_str(), job.attempt),
        ("1.2.3", 2)
    );
    assert_eq!(job.work.models, ["lung-nodule"]);
    store.finish(&job, &finished(&["pacs"]), 101).unwrap();
    assert_eq!(due(&store, 101).len(), 1);
    store.ask_for_priors("1.2.3", 1, 2, 102).unwrap();
    assert_eq!(store.claim_priors(102).unwrap().unwrap().wanted, 2);
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let dir = tempdir().unwrap();
    drop(store(dir.path()));
    let newer = Connection::open(dir.path().join("node.sqlite")).unwrap();
    newer.pragma_update(None, "user_version", 1000).unwrap();
    drop(newer);
    assert_eq!(refusal(dir.path()), "database-too-new");
}

#[test]
fn a_damaged_database_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("node.sqlite");
    fs::write(&path, "no database, ".repeat(1000)).unwrap();
    assert_eq!(refusal(dir.path()), "database-damaged");
    fs::remove_file(&path).unwrap();
    drop(queued(&store(dir.path()), STUDY, 40));
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.chunks_exact_mut(4096).nth(3).unwrap();
    page.fill(0xff);
    fs::write(&path, bytes).unwrap();
    assert_eq!(refusal(dir.path()), "database-damaged");
}

#[test]
fn instances_without_their_database_are_not_taken_for_rubbish() {
    let dir = tempdir().unwrap();
    drop(queued(&store(dir.path()), STUDY, 1));
    fs::remove_file(dir.path().join("node.sqlite")).unwrap();
    assert_eq!(refusal(dir.path()), "database-lost");
    assert!(dir.path().join("instances/1.2.3/1.2.3.1.1.dcm").exists());
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let dir = tempdir().unwrap();
    let first = store(dir.path());
    assert_eq!(refusal(dir.path()), "node-dir-in-use");
    drop(first);
    drop(store(dir.path()));
}

#[test]
fn every_commit_is_synced() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let writer = lock(&store.shared.writer);
    let text = |name| writer.pragma_query_value(None, name, |row| row.get::<_, String>(0));
    let number = |name| writer.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    assert_eq!(text("journal_mode").unwrap(), "wal");
    assert_eq!(number("synchronous").unwrap(), 2);
    assert_eq!(number("foreign_keys").unwrap(), 1);
}

#[test]
fn a_study_is_closed_only_with_the_instances_that_were_counted() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let intake = intake_of(&store);
    for number in [1, 2] {
        send(&intake, image(STUDY, number)).unwrap();
    }
    assert_eq!(store.close(STUDY, 1, 0).unwrap(), None);
    assert_eq!(store.close(STUDY, 2, 0).unwrap(), Some(1));
    assert_eq!(store.close(STUDY, 2, 0).unwrap(), None);
    assert_eq!(store.complete().unwrap(), [(STUDY.to_owned(), 1)]);
}

#[test]
fn a_version_has_the_instances_that_had_come_when_it_was_closed() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 2);
    send(&intake_of(&store), image(STUDY, 3)).unwrap();
    enqueue(&store, STUDY, 3);
    let count = |version| store.inputs(STUDY, version).unwrap().len();
    assert_eq!((count(1), count(2)), (2, 3));
    let input = &store.inputs(STUDY, 1).unwrap()[0];
    assert_eq!(input.path, dir.path().join("instances/1.2.3/1.2.3.1.1.dcm"));
}

#[test]
fn facts_are_those_of_all_series_and_senders() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    queued(&store, STUDY, 2);
    let facts = store.facts(STUDY).unwrap();
    assert_eq!(facts.senders, ["CT1"]);
    assert_eq!(facts.series.len(), 1);
    assert_eq!(facts.series[0].modality.as_deref(), Some("CT"));
}

#[test]
fn the_status_tells_where_a_study_is() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let state = || {
        let status = store.recent(9).unwrap().remove(0);
        (status.state, status.attempts, status.reason)
    };
    send(&intake_of(&store), image(STUDY, 1)).unwrap();
    assert_eq!(state(), ("receiving".into(), 0, None));
    enqueue(&store, STUDY, 1);
    assert_eq!(state(), ("waiting".into(), 0, None));
    let job = store.claim(&at(1)).unwrap().unwrap();
    assert_eq!(state(), ("running".into(), 1, None));
    store.fail(&job, &failure(true), 2).unwrap();
    assert_eq!(state(), ("dead".into(), 1, Some("gpu-lost".into())));
}

/// Why a folder is not opened.
fn refusal(dir: &Path) -> &'static str {
    let opened = Store::open(dir, &testing::config().retry);
    opened.expect_err("it cannot be used").code()
}
