use super::*;
use crate::node::Output;

/// A study whose result waits for these destinations since second 10.
fn done(store: &Store, study: &str, destinations: &[&str]) {
    queued(store, study, 1);
    finish(store, destinations);
}

fn finish(store: &Store, destinations: &[&str]) {
    let job = store.claim(&at(9)).unwrap().unwrap();
    let output = Output {
        path: format!("results/{}/1/sr.dcm", job.work.study_instance_uid),
        sop_class_uid: Some("1.2.840.10008.5.1.4.1.1.88.34".into()),
        sop_instance_uid: Some("2.25.1".into()),
        sha256: [7; 32],
    };
    let finished = Finished {
        outputs: vec![output],
        ..finished(destinations)
    };
    store.finish(&job, &finished, 10).unwrap();
}

#[test]
fn a_result_waits_for_each_destination_with_its_own_tries() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs", "archive"]);
    let waiting = due(&store, 10);
    assert_eq!(waiting.len(), 2);
    assert_eq!(
        waiting[0].outputs[0].sop_instance_uid.as_deref(),
        Some("2.25.1")
    );
    store.delivery_sent(waiting[0].id, None, 11).unwrap();
    let next_s = store
        .delivery_failed(&waiting[1], "peer-down", "no answer", 11)
        .unwrap();
    assert_eq!(next_s, 41);
    assert_eq!(due(&store, 40), []);
    let again = due(&store, 41).remove(0);
    assert_eq!((again.destination.as_str(), again.failures), ("archive", 1));
}

#[test]
fn a_destination_that_stays_down_is_tried_for_ever_at_the_longest_wait() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    let mut now_s = 10;
    for _ in 0..50 {
        let delivery = due(&store, now_s).remove(0);
        let next_s = store
            .delivery_failed(&delivery, "peer-down", "", now_s)
            .unwrap();
        assert!(next_s - now_s <= 900);
        now_s = next_s;
    }
    assert_eq!(due(&store, now_s)[0].failures, 50);
}

#[test]
fn a_commitment_is_waited_for_and_an_answer_to_nobodys_question_is_none() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    ask_to_commit(&store);
    assert_eq!(due(&store, 99), []);
    assert_eq!(store.uncommitted_deliveries(20, 9).unwrap(), []);
    assert_eq!(store.uncommitted_deliveries(21, 9).unwrap().len(), 1);
    assert_eq!(store.delivery_committed("2.25.8", 30).unwrap(), None);
    let committed = store.delivery_committed("2.25.9", 30).unwrap().unwrap();
    assert_eq!(committed.destination, "pacs");
    assert_eq!(store.uncommitted_deliveries(99, 9).unwrap(), []);
}

#[test]
fn a_refused_commitment_is_sent_again() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    ask_to_commit(&store);
    let delivery = store.delivery_of("2.25.9").unwrap().unwrap();
    store
        .delivery_failed(&delivery, "not-committed", "", 30)
        .unwrap();
    assert_eq!(due(&store, 60).len(), 1);
    assert_eq!(store.delivery_of("2.25.9").unwrap(), None);
}

#[test]
fn of_two_versions_only_the_later_one_is_still_sent() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    done(&store, STUDY, &["pacs"]);
    send(&intake_of(&store), image(STUDY, 2)).unwrap();
    enqueue(&store, STUDY, 2);
    finish(&store, &["pacs"]);
    let versions: Vec<u32> = due(&store, 10)
        .iter()
        .map(|delivery| delivery.version)
        .collect();
    assert_eq!(versions, [2]);
}

#[test]
fn deliveries_survive_a_restart() {
    let dir = tempdir().unwrap();
    done(&store(dir.path()), STUDY, &["pacs"]);
    assert_eq!(due(&store(dir.path()), 10).len(), 1);
}
