//! What the node notices: peers and instances into the decision log and the counters, itself into the status.

use super::scp::Event as PeerEvent;
use super::service::{Node, now_s, record};
use super::status::{DiskStatus, Parts, Status, StudyCounts, StudyStatus};
use super::{Arrival, Queue, Sender, Store, written};
use crate::audit::{self, Event, Party};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use tracing::error;

/// Studies that the status names.
const MAX_STUDIES: u32 = 200;

impl Node {
    /// Writes what came into the decision log; whether it is there.
    pub(super) fn record_arrivals(&self, arrivals: &[Arrival]) -> bool {
        let events: Vec<Event> = arrivals
            .iter()
            .flat_map(|arrival| events(&self.store, arrival))
            .collect();
        let recorded = self.log.record_all(&events);
        if let Err(error) = &recorded {
            error!(
                code = error.code(),
                "The decision log cannot be written: {error}"
            );
        }
        recorded.is_ok()
    }

    pub(super) fn status(&self) -> Status {
        let loaded = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let min_free_bytes = self.config.node.storage.min_free_bytes;
        let free_bytes = fs4::available_space(&self.config.node.dir).unwrap_or(0);
        let studies = self.store.recent(MAX_STUDIES);
        let depth = self.store.depth().unwrap_or_default();
        let receiving = self
            .store
            .receiving()
            .map_or(0, |studies| studies.len() as u64);
        let mut dead_letters = BTreeMap::new();
        for letter in self.store.dead_letters().unwrap_or_default() {
            *dead_letters.entry(letter.code).or_default() += 1;
        }
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            git_hash: env!("HILUM_GIT_HASH").into(),
            started: self.started.clone(),
            parts: Parts {
                worker: loaded.device.is_some(),
                database: self.store.check().is_ok(),
                disk: free_bytes >= min_free_bytes,
            },
            studies: StudyCounts {
                receiving,
                queued: depth.waiting.into(),
                running: depth.running.into(),
                done: depth.done.into(),
                failed: depth.dead.into(),
            },
            oldest_waiting_s: depth.oldest_s.map(|since| now_s().abs_diff(since)),
            dead_letters,
            deliveries: self.courier.status().unwrap_or_default(),
            priors: self.store.prior_counts().unwrap_or_default(),
            disk: DiskStatus {
                free_bytes,
                min_free_bytes,
            },
            devices: loaded.device.into_iter().collect(),
            models: loaded.models,
            open_studies: studies
                .into_iter()
                .flatten()
                .filter_map(open_study)
                .collect(),
        }
    }

    /// What peers did, into the log and the counters.
    pub(super) fn take(&self, event: PeerEvent) {
        let event = match event {
            PeerEvent::Accepted { sender } => {
                self.metrics.association("accepted");
                Event::AssociationAccepted {
                    peer: party(&sender),
                }
            }
            PeerEvent::Rejected { sender, code } => {
                self.metrics.association(code);
                Event::AssociationRejected {
                    peer: party(&sender),
                    code: code.into(),
                }
            }
            PeerEvent::Unheard { address, code } => {
                self.metrics.association(code);
                let peer = Party::sender(None, address);
                Event::AssociationRejected {
                    peer,
                    code: code.into(),
                }
            }
            PeerEvent::Ended { code, .. } => return self.metrics.association(code),
            PeerEvent::Refused {
                sender,
                claim,
                code,
                ..
            } => {
                self.metrics.instance_refused(code);
                Event::InstanceRefused {
                    study_instance_uid: claim.study_instance_uid,
                    sop_instance_uid: claim.sop_instance_uid,
                    from: party(&sender),
                    code: code.into(),
                }
            }
            PeerEvent::Committed { sender, commitment } => {
                if let Err(error) = self.courier.committed(&sender, &commitment) {
                    error!(code = error.code(), "Cannot record a commitment: {error}");
                }
                return;
            }
        };
        record(&self.log, &event);
    }
}

/// That an instance came, and that it came late.
fn events(store: &Store, arrival: &Arrival) -> Vec<Event> {
    let Some(receipt) = &arrival.receipt else {
        return Vec::new();
    };
    let received = Event::InstanceReceived {
        study_instance_uid: receipt.study_instance_uid.clone(),
        series_instance_uid: receipt.series_instance_uid.clone(),
        sop_instance_uid: receipt.sop_instance_uid.clone(),
        sop_class_uid: receipt.sop_class_uid.clone(),
        sha256: written::hex(&receipt.sha256),
        bytes: receipt.bytes,
        from: Party {
            name: None,
            ae_title: receipt.sender.clone(),
            address: Some(receipt.address.clone()),
        },
    };
    let reopened = arrival.arrived.reopens.map(|version| Event::StudyReopened {
        study: study(store, &receipt.study_instance_uid, version),
    });
    [Some(received), reopened].into_iter().flatten().collect()
}

fn party(sender: &Sender) -> Party {
    Party::sender(sender.ae_title.as_deref(), sender.address)
}

fn open_study(study: super::store::StudyStatus) -> Option<StudyStatus> {
    let state = match study.state.as_str() {
        "receiving" => "receiving",
        "waiting" | "complete" => "queued",
        "running" => "running",
        "dead" => "failed",
        _ => return None,
    };
    Some(StudyStatus {
        study_instance_uid: study.study_instance_uid,
        state,
        code: study.reason,
    })
}
/// A version of a study, for the decision log; without its patient where the database does not say.
pub(super) fn study(store: &Store, study_instance_uid: &str, version: u32) -> audit::Study {
    audit::Study {
        study_instance_uid: study_instance_uid.to_owned(),
        version,
        patient: store.patient(study_instance_uid).unwrap_or_default(),
    }
}
