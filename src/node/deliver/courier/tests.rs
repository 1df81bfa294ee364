//! Deliveries from the database to their destinations.

use super::*;
use crate::config::{PeerConfig, RetryConfig};
use crate::node::deliver::Patience;
use crate::node::deliver::folder::sha256;
use crate::node::dimse::Commitment;
use crate::node::scu::Scu;
use crate::node::testing::{ct_instance, image, intake_of, send as receive, sender, store};
use crate::node::{Agenda, Finished, Queue, Work};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::{TempDir, tempdir};

const STUDY: &str = "1.2.826.0.1.3680043.2.1125.9";
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.2";
const TRANSACTION: &str = "2.25.5";

/// A node's folder with a result for these destinations.
struct Node {
    dir: TempDir,
    store: Store,
    log: Log,
}

impl Node {
    fn new(destinations: &[&str]) -> Self {
        let dir = tempdir().expect("a folder");
        let store = store(dir.path());
        receive(&intake_of(&store), image(STUDY, 1)).expect("received");
        let version = store
            .close(STUDY, 1, 0)
            .expect("closed")
            .expect("a version");
        let work = Work {
            study_instance_uid: STUDY.into(),
            version,
            ..Work::default()
        };
        store.enqueue(&work, 0).expect("queued");
        let job = store
            .claim(&Agenda::default())
            .expect("read")
            .expect("a job");
        let finished = Finished {
            run_id: "run".into(),
            outputs: vec![output(&store)],
            destinations: destinations.iter().map(|d| (*d).into()).collect(),
        };
        store.finish(&job, &finished, 0).expect("done");
        let log = Log::open(dir.path()).expect("a log");
        Self { dir, store, log }
    }

    fn courier(&self, destinations: Vec<(&str, DestinationKind)>) -> Courier {
        let named = |(name, to): (&str, DestinationKind)| DestinationConfig {
            name: name.into(),
            to,
        };
        let config = NodeConfig {
            destinations: destinations.into_iter().map(named).collect(),
            retry: RetryConfig::default(),
            ..NodeConfig::default()
        };
        let patience = Patience {
            answer: Duration::from_millis(300),
            ..Patience::default()
        };
        let pacs = PeerConfig {
            name: "pacs".into(),
            ae_title: "PACS".into(),
            host: "127.0.0.1".into(),
            port: None,
            may_store: false,
            tls: None,
        };
        let means = Means {
            scu: Scu::new("HILUM"),
            peers: vec![pacs],
            patience,
        };
        let (store, log) = (self.store.clone(), self.log.clone());
        Courier::start(&config, store, log, Arc::default(), means).expect("started")
    }

    fn log_has(&self, kind: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join(audit::LOG)).expect("a log");
        let kind = format!("\"kind\":\"{kind}\"");
        log.lines().filter(|line| line.contains(&kind)).count()
    }
}

fn output(store: &Store) -> Output {
    let path = format!("results/{STUDY}/1/sr.dcm");
    let file = store.dir().join(&path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(&file, ct_instance(STUDY, "2.25.1", 100)).expect("written");
    Output {
        path,
        sop_class_uid: Some(CLASS.into()),
        sop_instance_uid: Some("2.25.1".into()),
        sha256: sha256(&file).expect("a hash"),
    }
}

fn folder(dir: &Path) -> DestinationKind {
    DestinationKind::Folder { dir: dir.into() }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn waiting(courier: &Courier, name: &str) -> DeliveryStatus {
    courier.status().expect("status").remove(name).expect(name)
}

#[test]
fn one_destination_that_hangs_keeps_no_other_waiting() {
    let node = Node::new(&["hangs", "folder"]);
    let to = tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let hangs = DestinationKind::Stow {
        url,
        token_file: None,
        ca: None,
    };
    let courier = node.courier(vec![("hangs", hangs), ("folder", folder(to.path()))]);
    let arrived: PathBuf = to.path().join(STUDY).join("1/sr.dcm");
    wait_until("the folder has it", || arrived.exists());
    wait_until("the other failed", || {
        waiting(&courier, "hangs").failing.as_deref() == Some("timed-out")
    });
    wait_until("both are recorded", || {
        waiting(&courier, "folder").waiting == 0 && waiting(&courier, "hangs").waiting == 1
    });
    let kinds = ["delivery-started", "delivered", "delivery-failed"];
    assert_eq!(kinds.map(|kind| node.log_has(kind)), [2, 1, 1]);
    courier.stop();
}

#[test]
fn what_is_refused_for_good_is_shown_and_waits_the_longest() {
    let node = Node::new(&["folder"]);
    let to = tempdir().expect("a folder");
    let taken = to.path().join(STUDY).join("1");
    fs::create_dir_all(&taken).expect("made");
    fs::write(taken.join("theirs"), "foreign").expect("written");
    let courier = node.courier(vec![("folder", folder(to.path()))]);
    let expected = DeliveryStatus {
        waiting: 1,
        refused: 1,
        failing: Some("folder-occupied".into()),
    };
    wait_until("it is refused", || waiting(&courier, "folder") == expected);
    courier.stop();
    let due = |at_s| {
        let due = node.store.due_deliveries("folder", now_s() + at_s, 9);
        due.expect("read").len()
    };
    assert_eq!((due(800), due(901)), (0, 1));
}

#[test]
fn a_result_that_was_changed_is_not_sent() {
    let node = Node::new(&["folder"]);
    let to = tempdir().expect("a folder");
    let result = node.dir.path().join(format!("results/{STUDY}/1/sr.dcm"));
    fs::write(result, "changed").expect("written");
    let courier = node.courier(vec![("folder", folder(to.path()))]);
    wait_until("it is refused", || {
        waiting(&courier, "folder").failing.as_deref() == Some("result-damaged")
    });
    courier.stop();
    assert_eq!(fs::read_dir(to.path()).expect("read").count(), 0);
}

/// A node that asked for commitment so long ago, and its courier.
fn asked(ago_s: i64) -> (Node, Courier) {
    let node = Node::new(&["pacs"]);
    let due = node.store.due_deliveries("pacs", now_s(), 1);
    let id = due.expect("read")[0].id;
    let at_s = now_s() - ago_s;
    let sent = node.store.delivery_sent(id, Some(TRANSACTION), at_s);
    sent.expect("written");
    let to = DestinationKind::Dicom {
        peer: "pacs".into(),
        commitment: true,
    };
    let courier = node.courier(vec![("pacs", to)]);
    (node, courier)
}

fn from(ae_title: &str) -> Sender {
    Sender {
        ae_title: Some(ae_title.into()),
        ..sender()
    }
}

fn commitment(transaction_uid: &str, uids: &[&str]) -> Commitment {
    let instance = |uid: &&str| InstanceRef {
        sop_class_uid: CLASS.into(),
        sop_instance_uid: (*uid).into(),
    };
    Commitment {
        transaction_uid: transaction_uid.into(),
        committed: uids.iter().map(instance).collect(),
        failed: Vec::new(),
    }
}

fn state(node: &Node) -> String {
    let counts = node.store.delivery_counts().expect("read");
    counts[0].state.clone()
}

#[test]
fn a_commitment_to_everything_ends_a_delivery() {
    let (node, courier) = asked(10);
    let all = commitment(TRANSACTION, &["2.25.1"]);
    courier.committed(&from("PACS"), &all).expect("written");
    assert_eq!(state(&node), "committed");
    assert_eq!(node.log_has("committed"), 1);
}

#[test]
fn a_commitment_without_an_instance_has_all_sent_again() {
    let (node, courier) = asked(10);
    courier.stop();
    let nothing = commitment(TRANSACTION, &[]);
    courier.committed(&from("PACS"), &nothing).expect("written");
    assert_eq!(state(&node), "waiting");
    let failing = waiting(&courier, "pacs").failing;
    assert_eq!(failing.as_deref(), Some("not-committed"));
}

#[test]
fn a_commitment_that_does_not_come_in_a_day_is_asked_for_anew() {
    let (node, courier) = asked(COMMITMENT_WAIT_S + 60);
    wait_until("it was given up", || node.log_has("delivery-failed") >= 1);
    courier.stop();
    wait_until("it waits", || state(&node) == "waiting");
}

#[test]
fn a_commitment_of_another_peer_or_to_another_question_changes_nothing() {
    let (node, courier) = asked(10);
    for (ae_title, transaction_uid) in [("OTHER", TRANSACTION), ("PACS", "2.25.77")] {
        let all = commitment(transaction_uid, &["2.25.1"]);
        courier.committed(&from(ae_title), &all).expect("read");
    }
    assert_eq!(state(&node), "sent");
    assert_eq!(node.log_has("committed"), 0);
}
