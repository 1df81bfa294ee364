//! Delivers what waits: a thread for each destination, so that one that hangs keeps no other waiting.
//!
//! A delivery is never given up. What the destination refuses for good is shown, and tried again at the longest distance:
//! somebody may have changed its mind.

use super::{DeliveryError, Means, Parcel, Sent, send};
use crate::audit::{self, Event, Log, Party};
use crate::config::{DestinationConfig, DestinationKind, NodeConfig};
use crate::node::dimse::{Commitment, InstanceRef};
use crate::node::metrics::Metrics;
use crate::node::status::DeliveryStatus;
use crate::node::{Delivery, Output, Sender, Store, StoreError, notice};
use crate::uid::UidSource;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// So often the database is asked, where nobody says that something waits.
const PAUSE: Duration = Duration::from_secs(1);

/// Deliveries that are taken from the database at once.
const BATCH: u32 = 16;

/// A commitment that is not answered for so long is asked for anew, s. Some archives commit at night.
const COMMITMENT_WAIT_S: i64 = 24 * 3600;

/// Delivers results until it is stopped.
#[derive(Debug)]
pub struct Courier {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    log: Log,
    metrics: Arc<Metrics>,
    means: Means,
    destinations: Vec<DestinationConfig>,
    failing: Mutex<BTreeMap<String, Failing>>,
    is_stopped: AtomicBool,
}

/// What does not arrive at a destination.
#[derive(Debug, Clone, Default)]
struct Failing {
    code: Option<&'static str>,
    refused: BTreeSet<i64>,
}

impl Courier {
    /// Begins to deliver.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        config: &NodeConfig,
        store: Store,
        log: Log,
        metrics: Arc<Metrics>,
        means: Means,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            log,
            metrics,
            means,
            destinations: config.destinations.clone(),
            failing: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let threads = shared.destinations.iter().map(|destination| {
            let (shared, destination) = (Arc::clone(&shared), destination.clone());
            let name = format!("to {}", destination.name);
            let run = move || shared.run(&destination);
            let thread = thread::Builder::new().name(name).spawn(run)?;
            Ok(thread.thread().clone())
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    /// Says that something waits, rather than letting it be found.
    pub fn wake(&self) {
        self.threads.iter().for_each(Thread::unpark);
    }

    /// Begins no further delivery. One under way may end, or be cut off with the process: it is sent again then.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// A peer says what it has committed to.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn committed(&self, from: &Sender, commitment: &Commitment) -> Result<(), StoreError> {
        self.shared.committed(from, commitment)
    }

    /// What waits and fails, by destination.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn status(&self) -> Result<BTreeMap<String, DeliveryStatus>, StoreError> {
        let names = self.shared.destinations.iter().map(|d| d.name.clone());
        let mut status: BTreeMap<_, _> = names.map(|n| (n, DeliveryStatus::default())).collect();
        for count in self.shared.store.delivery_counts()? {
            if count.state == "waiting" {
                status.entry(count.destination).or_default().waiting += u64::from(count.count);
            }
        }
        for (destination, failing) in self.shared.failing().iter() {
            let status = status.entry(destination.clone()).or_default();
            // What was superseded or purged meanwhile fails no more.
            status.refused = status.waiting.min(failing.refused.len() as u64);
            status.failing = failing.code.filter(|_| status.waiting > 0).map(Into::into);
        }
        Ok(status)
    }
}

impl Shared {
    fn run(&self, destination: &DestinationConfig) {
        while !self.is_stopped() {
            let delivered = self.deliver_due(destination);
            let delivered = delivered.unwrap_or_else(|error| {
                tracing::error!(code = error.code(), "Cannot look for deliveries: {error}.");
                0
            });
            if delivered == 0 {
                thread::park_timeout(PAUSE);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn failing(&self) -> MutexGuard<'_, BTreeMap<String, Failing>> {
        let failing = self.failing.lock();
        failing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries what is due, and gives how much that was.
    fn deliver_due(&self, destination: &DestinationConfig) -> Result<usize, StoreError> {
        let now_s = now_s();
        let late = self
            .store
            .uncommitted_deliveries(now_s - COMMITMENT_WAIT_S, BATCH)?;
        for delivery in late.iter().filter(|d| d.destination == destination.name) {
            self.failed(destination, delivery, &DeliveryError::CommitmentLate)?;
        }
        let due = self.store.due_deliveries(&destination.name, now_s, BATCH)?;
        for delivery in &due {
            if self.is_stopped() {
                break;
            }
            self.deliver(destination, delivery)?;
        }
        Ok(due.len())
    }

    fn deliver(&self, to: &DestinationConfig, delivery: &Delivery) -> Result<(), StoreError> {
        let study = self.study(delivery);
        let sop_classes = sop_classes(&delivery.outputs);
        let party = self.party(to);
        self.record(&Event::DeliveryStarted {
            study: study.clone(),
            to: party.clone(),
            sop_classes: sop_classes.clone(),
        });
        let sent = self
            .parcel(delivery)
            .and_then(|parcel| send(&to.to, &parcel, &self.means));
        match sent {
            Ok(Sent { objects, bytes }) => {
                tracing::info!(
                    objects,
                    bytes,
                    to = to.name,
                    study = self.log.key().link(&delivery.study_instance_uid),
                    "Delivered results."
                );
                self.record(&Event::Delivered {
                    study,
                    to: party,
                    sop_classes,
                });
                self.arrived(to, delivery)
            }
            Err(error) => self.failed(to, delivery, &error),
        }
    }

    /// The files, whole as the worker wrote them.
    fn parcel(&self, delivery: &Delivery) -> Result<Parcel, DeliveryError> {
        let files = delivery.outputs.iter().map(|output| {
            let path = self.store.dir().join(&output.path);
            match super::folder::sha256(&path) {
                Ok(hash) if hash == output.sha256 => Ok(path),
                Ok(_) => Err(DeliveryError::Damaged { path }),
                Err(source) => Err(DeliveryError::Source { path, source }),
            }
        });
        Ok(Parcel {
            study_instance_uid: delivery.study_instance_uid.clone(),
            version: delivery.version,
            files: files.collect::<Result<_, _>>()?,
        })
    }

    fn arrived(&self, to: &DestinationConfig, delivery: &Delivery) -> Result<(), StoreError> {
        self.metrics.delivery(&to.name, "delivered");
        self.note(to, delivery, None);
        match &to.to {
            DestinationKind::Dicom {
                peer,
                commitment: true,
            } => self.ask_to_commit(to, peer, delivery),
            _ => self.store.delivery_sent(delivery.id, None, now_s()),
        }
    }

    /// Asks for storage commitment; the answer may come before this returns, or days later.
    fn ask_to_commit(
        &self,
        to: &DestinationConfig,
        peer: &str,
        delivery: &Delivery,
    ) -> Result<(), StoreError> {
        let now_s = now_s();
        let parts = [delivery.id, now_s].map(|part| part.to_string());
        let source = UidSource::new(parts.iter().map(String::as_str));
        let transaction_uid = source.uid(&delivery.study_instance_uid);
        self.store
            .delivery_sent(delivery.id, Some(&transaction_uid), now_s)?;
        let asked = self.means.peer(peer).and_then(|peer| {
            let instances = instances(&delivery.outputs);
            let scu = &self.means.scu;
            Ok(scu.request_commitment(peer, &transaction_uid, &instances)?)
        });
        match asked {
            Ok(None) => Ok(()),
            Ok(Some(commitment)) => self.judge(to, delivery, &commitment),
            Err(error) => self.failed(to, delivery, &error),
        }
    }

    fn committed(&self, from: &Sender, commitment: &Commitment) -> Result<(), StoreError> {
        let transaction_uid = commitment.transaction_uid.as_str();
        let delivery = self.store.delivery_of(transaction_uid)?;
        let known = delivery.and_then(|delivery| {
            let mut destinations = self.destinations.iter();
            let to = destinations.find(|to| to.name == delivery.destination)?;
            let is_asked = self.party(to).ae_title == from.ae_title;
            is_asked.then_some((to, delivery))
        });
        match known {
            Some((to, delivery)) => self.judge(to, &delivery, commitment),
            None => {
                tracing::warn!("A peer commits to what it was not asked for.");
                Ok(())
            }
        }
    }

    fn judge(
        &self,
        to: &DestinationConfig,
        delivery: &Delivery,
        commitment: &Commitment,
    ) -> Result<(), StoreError> {
        let instances = instances(&delivery.outputs);
        let missing = instances
            .iter()
            .filter(|i| !commitment.committed.contains(i));
        let missing = missing.count();
        if missing > 0 {
            return self.failed(to, delivery, &DeliveryError::NotCommitted { missing });
        }
        self.store
            .delivery_committed(&commitment.transaction_uid, now_s())?;
        self.record(&Event::Committed {
            study: self.study(delivery),
            by: self.party(to),
            instances: instances.len() as u64,
        });
        self.metrics.delivery(&to.name, "committed");
        Ok(())
    }

    fn study(&self, delivery: &Delivery) -> audit::Study {
        notice::study(&self.store, &delivery.study_instance_uid, delivery.version)
    }

    fn failed(
        &self,
        to: &DestinationConfig,
        delivery: &Delivery,
        error: &DeliveryError,
    ) -> Result<(), StoreError> {
        let code = error.code();
        let reason = self.log.key().linked(&error.to_string());
        let study_link = self.log.key().link(&delivery.study_instance_uid);
        tracing::warn!(
            code,
            to = to.name,
            study = study_link,
            "Results did not arrive: {reason}."
        );
        self.metrics.delivery(&to.name, code);
        self.record(&Event::DeliveryFailed {
            study: self.study(delivery),
            to: self.party(to),
            attempt: delivery.failures.saturating_add(1),
            code: code.into(),
        });
        let mut counted = delivery.clone();
        if error.is_permanent() {
            // The longest wait is that after the most failures.
            counted.failures = u32::MAX;
        }
        self.store
            .delivery_failed(&counted, code, &error.to_string(), now_s())?;
        self.note(to, delivery, Some(error));
        Ok(())
    }

    /// Keeps how the last try ended, for the status.
    fn note(&self, to: &DestinationConfig, delivery: &Delivery, error: Option<&DeliveryError>) {
        let mut failing = self.failing();
        let of_destination = failing.entry(to.name.clone()).or_default();
        of_destination.code = error.map(DeliveryError::code);
        if error.is_some_and(DeliveryError::is_permanent) {
            of_destination.refused.insert(delivery.id);
        } else {
            of_destination.refused.remove(&delivery.id);
        }
    }

    /// Results travel although the log cannot be written; the node's health says that it cannot.
    fn record(&self, event: &Event) {
        if let Err(error) = self.log.record(event) {
            tracing::error!("Cannot write the decision log: {error}.");
        }
    }

    fn party(&self, to: &DestinationConfig) -> Party {
        let (ae_title, address) = match &to.to {
            DestinationKind::Folder { dir } => (None, Some(dir.display().to_string())),
            DestinationKind::Stow { url, .. } => (None, Some(url.clone())),
            DestinationKind::Dicom { peer, .. } => {
                let peer = self.means.peer(peer).ok();
                let ae_title = peer.map(|peer| peer.ae_title.clone());
                (ae_title, peer.map(|peer| peer.host.clone()))
            }
        };
        Party {
            name: Some(to.name.clone()),
            ae_title,
            address,
        }
    }
}

fn now_s() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The DICOM objects among the files.
fn instances(outputs: &[Output]) -> Vec<InstanceRef> {
    let instance = |output: &Output| {
        Some(InstanceRef {
            sop_class_uid: output.sop_class_uid.clone()?,
            sop_instance_uid: output.sop_instance_uid.clone()?,
        })
    };
    outputs.iter().filter_map(instance).collect()
}

fn sop_classes(outputs: &[Output]) -> BTreeMap<String, u64> {
    let mut classes = BTreeMap::new();
    for instance in instances(outputs) {
        *classes.entry(instance.sop_class_uid).or_default() += 1;
    }
    classes
}

#[cfg(test)]
mod tests;
