//! Watches over studies that are coming in: closes them when they are complete, and hands them to the queue by rule.
//!
//! In: arrivals, and the counts that a peer gives. Out: work for the queue. One thread; it sleeps until something is due.

use super::complete::Completion;
use super::route::{Plan, plan};
use super::scu::Scu;
use super::{Arrived, Complete, Enqueued, Queue, Store, StoreError, StudyState, notice};
use crate::audit::{Event, Log, Party};
use crate::config::{NodeConfig, PeerConfig};
use chrono::{Local, Utc};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Longest sleep, so that the end of the node is noticed.
const PAUSE: Duration = Duration::from_millis(500);

/// Wait before the database is asked again that did not answer.
const TROUBLE: Duration = Duration::from_secs(5);

/// What the steward is told.
#[derive(Debug)]
pub(super) enum Message {
    /// An instance came.
    Arrived(Arrived),
    /// A peer says how many instances a study has.
    Counted {
        /// Study Instance UID.
        study_instance_uid: String,
        /// How many.
        instances: u32,
    },
}

/// The thread's state.
pub(super) struct Steward {
    store: Store,
    log: Log,
    config: NodeConfig,
    completion: Completion,
    messages: Receiver<Message>,
    /// Studies to be counted, for the thread that asks.
    to_count: Sender<String>,
    bell: Sender<()>,
}

impl Steward {
    /// Goes on with the studies that were open at the last end of the node. `bell` is rung where work was queued.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(super) fn new(
        config: &NodeConfig,
        store: Store,
        log: Log,
        (told, messages): (Sender<Message>, Receiver<Message>),
        bell: Sender<()>,
    ) -> Result<Self, StoreError> {
        let completion = Completion::new(&config.completion, store.receiving()?, Instant::now());
        let (to_count, questions) = unbounded();
        let peer = config
            .peers
            .iter()
            .find(|p| p.name == config.completion.count_by);
        if let Some(peer) = peer {
            let (scu, peer) = (Scu::new(&config.dicom.ae_title), peer.clone());
            std::thread::spawn(move || count(&scu, &peer, &questions, &told));
        }
        let steward = Self {
            store,
            log,
            config: config.clone(),
            completion,
            messages,
            to_count,
            bell,
        };
        steward.decide_complete()?;
        Ok(steward)
    }

    /// Works until the node stops.
    pub(super) fn run(mut self, stop: &Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let due = self.completion.next_look(now);
            let wait = due.map_or(PAUSE, |due| due.saturating_duration_since(now).min(PAUSE));
            match self.messages.recv_timeout(wait) {
                Ok(message) => {
                    self.take(message);
                    while let Ok(message) = self.messages.try_recv() {
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for study in self.completion.to_count(Instant::now()) {
                // Its thread ends with the node alone.
                drop(self.to_count.send(study));
            }
            for complete in self.completion.take_complete(Instant::now()) {
                if let Err(error) = self.close(&complete) {
                    error!(code = error.code(), "Cannot close a study: {error}");
                    let (study, instances) = (&complete.study_instance_uid, complete.instances);
                    self.completion
                        .put_back(study, instances, Instant::now() + TROUBLE);
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Arrived(arrived) => self.completion.arrived(&arrived, Instant::now()),
            Message::Counted {
                study_instance_uid,
                instances,
            } => self.completion.counted(&study_instance_uid, instances),
        }
    }

    fn close(&mut self, complete: &Complete) -> Result<(), StoreError> {
        let study = &complete.study_instance_uid;
        let closed = self
            .store
            .close(study, complete.instances, Utc::now().timestamp())?;
        let Some(version) = closed else {
            return self.not_closed(complete);
        };
        self.record_complete(version, complete)?;
        self.decide(study, version)
    }

    fn not_closed(&mut self, complete: &Complete) -> Result<(), StoreError> {
        let study = &complete.study_instance_uid;
        match self.store.study(study)? {
            // More came meanwhile, and what told of it may have been overtaken.
            Some((StudyState::Receiving, _)) => {
                self.completion
                    .put_back(study, complete.instances, Instant::now());
                Ok(())
            }
            // Closed the last time, when the database failed before it was decided.
            Some((StudyState::Complete, version)) => self.decide(study, version),
            _ => Ok(()),
        }
    }

    fn record_complete(&self, version: u32, complete: &Complete) -> Result<(), StoreError> {
        let (study, reason) = (&complete.study_instance_uid, complete.reason);
        let mut sop_classes: BTreeMap<String, u64> = BTreeMap::new();
        for input in self.store.inputs(study, version)? {
            *sop_classes.entry(input.sop_class_uid).or_default() += 1;
        }
        let senders = self.store.facts(study)?.senders.into_iter();
        let from = senders.map(|title| Party {
            ae_title: Some(title),
            ..Party::default()
        });
        let instances: u64 = sop_classes.values().sum();
        let link = self.log.key().link(study);
        info!(
            study = link,
            version,
            instances,
            waited_ms = complete.waited.as_millis(),
            ?reason,
            "A study is complete."
        );
        let event = Event::StudyComplete {
            study: notice::study(&self.store, study, version),
            code: reason.code().into(),
            sop_classes,
            from: from.collect(),
        };
        if let Err(error) = self.log.record(&event) {
            error!(
                code = error.code(),
                "The decision log cannot be written: {error}"
            );
        }
        Ok(())
    }

    /// Versions that were closed before a crash, and not yet decided.
    fn decide_complete(&self) -> Result<(), StoreError> {
        for (study, version) in self.store.complete()? {
            self.decide(&study, version)?;
        }
        Ok(())
    }

    fn decide(&self, study: &str, version: u32) -> Result<(), StoreError> {
        let facts = self.store.facts(study)?;
        let now_s = Utc::now().timestamp();
        let link = self.log.key().link(study);
        match plan(study, version, &facts, &self.config.rules, &Local::now()) {
            Plan::Run { work, priors } => {
                // First, so that a crash in between asks all the same; they are asked for once.
                if priors > 0 {
                    self.store.ask_for_priors(study, version, priors, now_s)?;
                }
                match self.store.enqueue(&work, now_s)? {
                    // The bell may ring already.
                    Enqueued::Waiting => drop(self.bell.try_send(())),
                    ended => warn!(study = link, version, ?ended, "A study was not queued."),
                }
            }
            Plan::Keep { rule, why } => {
                self.store.keep(study, version, now_s)?;
                info!(
                    study = link,
                    version, rule, why, "A study is kept and not run."
                );
            }
        }
        Ok(())
    }
}

/// Asks the peer for one study after the other, while there are any.
fn count(scu: &Scu, peer: &PeerConfig, questions: &Receiver<String>, told: &Sender<Message>) {
    for study_instance_uid in questions {
        match scu.count(peer, &study_instance_uid) {
            Ok(Some(instances)) => {
                let counted = Message::Counted {
                    study_instance_uid,
                    instances,
                };
                if told.send(counted).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            // The study waits its full time then.
            Err(error) => warn!(
                code = error.code(),
                peer = peer.name,
                "A peer does not count: {error}"
            ),
        }
    }
}
