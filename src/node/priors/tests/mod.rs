//! What is fetched from peers and services, and from those that behave badly.

mod dicom;
mod web;

use super::*;
use crate::node::scu::Timeouts;
use crate::node::status::PriorsStatus;
use crate::node::testing::{config, image, key, send, store};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// The study that asks, and one that was made before it.
const STUDY: &str = "1.2.9";
const PRIOR: &str = "1.2.1";

/// What test images say of the patient.
const PATIENT: &str = "Secret-ID";

/// A node's folder with a study that asks for two earlier ones.
struct Rig {
    dir: TempDir,
    store: Store,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    config: NodeConfig,
}

/// The first image of the asking study, of the 30th of June.
fn asking() -> InMemDicomObject {
    let mut image = image(STUDY, 1);
    let date = PrimitiveValue::from("20240630");
    image.put(DataElement::new(tags::STUDY_DATE, VR::DA, date));
    image
}

fn rig(by: PriorsBy) -> Rig {
    rig_of(by, asking())
}

fn rig_of(by: PriorsBy, image: InMemDicomObject) -> Rig {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = config();
    config.priors.by = by;
    let store = store(dir.path());
    let rig = Rig {
        dir,
        store,
        metrics: Arc::new(Metrics::new()),
        stop: Arc::default(),
        config,
    };
    send(&rig.intake(), image).expect("kept");
    rig.store.close(STUDY, 1, 0).expect("closed");
    rig.store.ask_for_priors(STUDY, 1, 2, 0).expect("asked");
    rig
}

impl Rig {
    fn intake(&self) -> Intake {
        let key = key(self.dir.path());
        let opened = Intake::open(&self.store, key, &self.config, |_| true);
        opened.expect("an intake").0
    }

    /// One try with a peer or service.
    fn work(&self) {
        let quick = Duration::from_millis(500);
        let means = Means {
            store: self.store.clone(),
            log: Log::open(self.dir.path()).expect("a log"),
            metrics: self.metrics.clone(),
            intake: self.intake(),
            scu: Scu::new("HILUM").with_timeouts(Timeouts {
                response: quick,
                moving: quick,
                ..Timeouts::default()
            }),
            patience: Patience {
                answer: quick,
                ..Fetcher::patience()
            },
        };
        let worked = Fetcher::new(&self.config, means, &self.stop).work();
        assert!(worked.expect("the database works"), "nothing was due");
    }

    /// Has the request be due again.
    fn work_again(&self) {
        let connection = rusqlite::Connection::open(self.dir.path().join("node.sqlite"));
        let connection = connection.expect("the database");
        let due = connection.execute("UPDATE prior_requests SET next_s = 0", []);
        assert_eq!(due.expect("written"), 1);
        self.work();
    }

    fn instances(&self, study: &str) -> u64 {
        self.store.instances_of(study).expect("read")
    }

    fn is_prior(&self) -> bool {
        self.store.facts(PRIOR).expect("read").is_prior
    }

    fn counts(&self) -> PriorsStatus {
        self.store.prior_counts().expect("read")
    }

    /// Code of the failure of a request that is tried again.
    fn failing(&self) -> Option<String> {
        self.counts().failing
    }

    /// Nothing is left to do, and nothing was given up.
    fn is_done(&self) -> bool {
        self.counts() == PriorsStatus::default()
    }

    /// The events of a kind in the decision log, which names no patient.
    fn logged(&self, kind: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap_or_default();
        assert!(!log.contains("Secret"), "{log}");
        let records = log.lines().map(|line| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            record["event"].clone()
        });
        records.filter(|event| event["kind"] == kind).collect()
    }
}
