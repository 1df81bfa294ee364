//! Requests for earlier studies, and what is known of the studies that were fetched.

use super::*;
use crate::node::StudyState;
use crate::node::store::{PriorRequest, PriorsEnded};

const PRIOR: &str = "1.2.1";

/// A study that asks for so many earlier ones at second 0.
fn asking(store: &Store, wanted: u8) -> PriorRequest {
    queued(store, STUDY, 1);
    store.ask_for_priors(STUDY, 1, wanted, 0).unwrap();
    store.claim_priors(0).unwrap().expect("it is due")
}

fn choose(store: &Store, request: &PriorRequest, studies: &[&str]) -> Vec<String> {
    let studies: Vec<String> = studies.iter().map(|&uid| uid.into()).collect();
    store.choose_priors(request, &studies, 1).unwrap()
}

fn failed(store: &Store, request: &PriorRequest, is_permanent: bool, now_s: i64) -> PriorsEnded {
    let why = ("peer-status", "the peer failed");
    store
        .priors_failed(request, why, is_permanent, now_s)
        .unwrap()
}

fn is_prior(store: &Store) -> bool {
    store.facts(PRIOR).unwrap().is_prior
}

#[test]
fn a_version_asks_once_and_a_later_one_anew() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 2);
    assert_eq!(
        (request.version, request.wanted, request.attempt),
        (1, 2, 1)
    );
    assert_eq!(request.chosen, None);
    store.priors_done(&request, 1).unwrap();
    store.ask_for_priors(STUDY, 1, 2, 2).unwrap();
    assert_eq!(store.claim_priors(9).unwrap(), None);
    store.ask_for_priors(STUDY, 2, 2, 3).unwrap();
    let later = store.claim_priors(9).unwrap().expect("it is due");
    assert_eq!((later.version, later.attempt), (2, 1));
    assert_eq!(failed(&store, &request, false, 9), PriorsEnded::Outdated);
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 3);
    send(&intake_of(&store), image("1.2.2", 1)).unwrap();
    assert_eq!(choose(&store, &request, &["1.2.2", PRIOR]), [PRIOR]);
    assert!(!store.facts("1.2.2").unwrap().is_prior);
    send(&intake_of(&store), image(PRIOR, 1)).unwrap();
    store.prior_fetched(PRIOR, 2).unwrap();
    assert_eq!(choose(&store, &request, &["1.2.2", PRIOR]), [""; 0]);
    assert!(is_prior(&store));
}

#[test]
fn a_restart_goes_on_with_what_was_chosen_and_not_fetched() {
    let dir = tempdir().unwrap();
    let first = store(dir.path());
    let request = asking(&first, 2);
    choose(&first, &request, &[PRIOR, "1.2.2"]);
    first.prior_fetched(PRIOR, 2).unwrap();
    drop(first);
    let second = store(dir.path());
    let request = second.claim_priors(3).unwrap().expect("it is due");
    assert_eq!(request.chosen, Some(vec!["1.2.2".to_owned()]));
    assert_eq!(request.attempt, 2);
    second.release_priors(&request).unwrap();
    assert_eq!(second.claim_priors(3).unwrap().unwrap().attempt, 2);
    assert_eq!(second.claim_priors(3).unwrap().unwrap().attempt, 3);
    assert_eq!(second.claim_priors(3).unwrap(), None);
    let counts = second.prior_counts().unwrap();
    assert_eq!(counts.failed.get("program-ended"), Some(&1));
}

#[test]
fn a_request_that_fails_waits_longer_each_time_and_is_given_up() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 1);
    choose(&store, &request, &[PRIOR]);
    assert_eq!(failed(&store, &request, false, 0), PriorsEnded::Retry);
    assert_eq!(store.claim_priors(29).unwrap(), None);
    let request = store.claim_priors(30).unwrap().expect("it is due");
    let counts = store.prior_counts().unwrap();
    assert_eq!(
        (counts.waiting, counts.failing.as_deref()),
        (1, Some("peer-status"))
    );
    assert_eq!(failed(&store, &request, false, 30), PriorsEnded::Retry);
    assert_eq!(store.claim_priors(89).unwrap(), None);
    let request = store.claim_priors(90).unwrap().expect("it is due");
    assert_eq!(failed(&store, &request, false, 90), PriorsEnded::GivenUp);
    assert_eq!(store.claim_priors(90_000).unwrap(), None);
    let counts = store.prior_counts().unwrap();
    assert_eq!(
        (counts.waiting, counts.failed.get("peer-status")),
        (0, Some(&1))
    );
}

#[test]
fn what_a_person_has_to_change_is_given_up_at_once() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 1);
    assert_eq!(failed(&store, &request, true, 0), PriorsEnded::GivenUp);
}

#[test]
fn what_comes_of_a_study_while_it_is_fetched_makes_it_a_prior() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 1);
    choose(&store, &request, &[PRIOR]);
    let intake = intake_of(&store);
    for number in [1, 2, 2] {
        send(&intake, image(PRIOR, number)).unwrap();
    }
    assert!(is_prior(&store));
    assert_eq!(store.close(PRIOR, 2, 2).unwrap(), Some(1));
    assert!(store.keep(PRIOR, 1, 2).unwrap());
}

#[test]
fn a_prior_that_somebody_sends_is_a_study_like_any_other() {
    for further in [1, 2] {
        let dir = tempdir().unwrap();
        let store = store(dir.path());
        let request = asking(&store, 1);
        choose(&store, &request, &[PRIOR]);
        let intake = intake_of(&store);
        send(&intake, image(PRIOR, 1)).unwrap();
        store.prior_fetched(PRIOR, 2).unwrap();
        store.close(PRIOR, 1, 3).unwrap();
        store.keep(PRIOR, 1, 3).unwrap();
        assert!(is_prior(&store));
        send(&intake, image(PRIOR, further)).unwrap();
        assert!(!is_prior(&store));
        let state = store.study(PRIOR).unwrap();
        assert_eq!(state, Some((StudyState::Receiving, 1)), "{further}");
    }
}

#[test]
fn a_removed_prior_and_what_was_to_be_fetched_for_a_removed_study_are_forgotten() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 2);
    choose(&store, &request, &[PRIOR, "1.2.2"]);
    send(&intake_of(&store), image(PRIOR, 1)).unwrap();
    store.purge(STUDY).unwrap();
    assert_eq!(store.claim_priors(9).unwrap(), None);
    let rows = || {
        store.read(|connection| {
            let mut select = connection.prepare("SELECT study_instance_uid FROM priors")?;
            let studies = select.query_map([], |row| row.get::<_, String>(0))?;
            Ok(studies.collect::<Result<Vec<_>, _>>()?)
        })
    };
    assert_eq!(rows().unwrap(), [PRIOR]);
    assert!(is_prior(&store));
    store.purge(PRIOR).unwrap();
    assert_eq!(rows().unwrap(), [""; 0]);
}

#[test]
fn a_study_that_was_purged_may_be_fetched_again() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let request = asking(&store, 1);
    choose(&store, &request, &[PRIOR]);
    send(&intake_of(&store), image(PRIOR, 1)).unwrap();
    store.prior_fetched(PRIOR, 2).unwrap();
    store.purge(PRIOR).unwrap();
    assert_eq!(choose(&store, &request, &[PRIOR]), [PRIOR]);
}
