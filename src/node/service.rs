//! The node as a whole: opens what it needs, starts its threads, and ends them again.

use super::deliver::{Courier, Means, Patience};
use super::metrics::Metrics;
use super::network::{Addresses, Network};
use super::priors::{self, Fetcher};
use super::scu::Scu;
use super::steward::{Message, Steward};
use super::store::Removed;
use super::worker::{Loaded, Worker};
use super::{Arrival, Error, Intake, Queue, Store, notice, tls};
use crate::audit::{Event, Forwarder, Log, Repository, Source};
use crate::config::Config;
use chrono::{SecondsFormat, Utc};
use crossbeam_channel::{Sender, bounded, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How often the end of the node is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// So long what is being fetched is waited for at the end.
const FETCHER_GRACE: Duration = Duration::from_secs(5);
/// What has been kept long enough is looked for so often.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// What all threads of a node share.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) metrics: Arc<Metrics>,
    pub(super) loaded: Arc<Mutex<Loaded>>,
    pub(super) courier: Courier,
    pub(super) started: String,
}

/// Runs a node until `stop` is set. `ready` is called once, when it takes studies.
///
/// # Errors
/// What keeps it from starting: the folder, the ports, certificates, a model, the device.
pub fn run(
    config: &Config,
    stop: &Arc<AtomicBool>,
    ready: impl FnOnce(Addresses),
) -> Result<(), Error> {
    let log = Log::open(&make_dir(config)?)?;
    let store = Store::open(&config.node.dir, &config.node.retry)?;
    record(
        &log,
        &Event::Started {
            version: env!("CARGO_PKG_VERSION").into(),
            git_hash: env!("HILUM_GIT_HASH").into(),
            ae_title: config.node.dicom.ae_title.clone(),
        },
    );
    let ended = serve(config, store, &log, stop, ready);
    let reason = ended.as_ref().map_or_else(Error::code, |()| "asked-to");
    record(
        &log,
        &Event::Stopped {
            reason: reason.into(),
        },
    );
    ended
}

fn make_dir(config: &Config) -> Result<std::path::PathBuf, Error> {
    let dir = &config.node.dir;
    let io = |source| Error::Folder {
        path: dir.clone(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(io)?;
    dir.canonicalize().map_err(io)
}

fn serve(
    config: &Config,
    store: Store,
    log: &Log,
    stop: &Arc<AtomicBool>,
    ready: impl FnOnce(Addresses),
) -> Result<(), Error> {
    let node = node(config, store, log)?;
    let (told, messages) = unbounded();
    let (bell, rung) = bounded(1);
    let intake = node.intake(told.clone())?;
    let threads = [
        node.start_worker(rung, stop)?,
        node.start_steward((told, messages), bell, stop)?,
        node.start_janitor(stop)?,
    ];
    let forwarding = node.start_forwarder()?;
    let network = Network::open(&node, intake.clone())?;
    let fetcher = node.start_fetcher(intake, stop)?;
    ready(network.addresses);
    notify(&sd_notify::NotifyState::Ready);
    info!(dicom = %network.addresses.dicom, http = ?network.addresses.http, "The node takes studies.");
    while !stop.load(Ordering::Relaxed) && threads.iter().all(|thread| !thread.is_finished()) {
        thread::sleep(LOOK);
    }
    // Set also where a thread ended by itself: the others follow.
    stop.store(true, Ordering::Relaxed);
    notify(&sd_notify::NotifyState::Stopping);
    info!("The node stops.");
    network.close();
    wait_for(&fetcher);
    node.courier.stop();
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    drop(forwarding);
    match ended.iter().all(Result::is_ok) {
        true => Ok(()),
        false => Err(Error::Thread),
    }
}

fn node(config: &Config, store: Store, log: &Log) -> Result<Arc<Node>, Error> {
    for letter in store.recover(now_s())? {
        record(
            log,
            &Event::DeadLetter {
                study: notice::study(&store, &letter.study_instance_uid, letter.version),
                attempts: letter.attempts,
                code: letter.code,
            },
        );
    }
    let metrics = Arc::new(Metrics::new());
    let means = Means {
        scu: Scu::new(&config.node.dicom.ae_title),
        peers: config.node.peers.clone(),
        patience: Patience::default(),
    };
    let courier = Courier::start(
        &config.node,
        store.clone(),
        log.clone(),
        metrics.clone(),
        means,
    );
    Ok(Arc::new(Node {
        config: config.clone(),
        store,
        log: log.clone(),
        metrics,
        loaded: Arc::default(),
        courier: courier.map_err(Error::Start)?,
        started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    }))
}

impl Node {
    /// The decision log has an instance before anything is decided of its study.
    fn intake(self: &Arc<Self>, told: Sender<Message>) -> Result<Intake, Error> {
        let node = Arc::clone(self);
        let on_arrivals = move |arrivals: &[Arrival]| {
            let is_recorded = node.record_arrivals(arrivals);
            for Arrival { receipt, arrived } in arrivals {
                if receipt.is_some() {
                    node.metrics.instance_received();
                }
                // The steward ends with the node alone.
                drop(told.send(Message::Arrived(arrived.clone())));
            }
            is_recorded
        };
        let (intake, recovery) =
            Intake::open(&self.store, self.log.key(), &self.config.node, on_arrivals)?;
        if recovery != super::Recovery::default() {
            let (unfinished, unrecorded) = (recovery.unfinished, recovery.unrecorded);
            let missing = recovery.missing.len();
            warn!(
                unfinished,
                unrecorded, missing, "The last end of the node left something to tidy."
            );
        }
        Ok(intake)
    }

    /// Opens the device and the models before anything is taken: a node that cannot compute must not start.
    fn start_worker(
        self: &Arc<Self>,
        bell: crossbeam_channel::Receiver<()>,
        stop: &Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, Error> {
        let node = Arc::clone(self);
        let worker = Worker {
            config: self.config.clone(),
            store: self.store.clone(),
            log: self.log.clone(),
            metrics: self.metrics.clone(),
            loaded: self.loaded.clone(),
            bell,
            stop: stop.clone(),
            on_result: Box::new(move || node.courier.wake()),
        };
        let (opened, is_open) = bounded(1);
        let thread = start("worker", move || {
            // A pipeline lives on one thread.
            match worker.open(&[]) {
                Ok(pipeline) => {
                    drop(opened.send(Ok(())));
                    worker.run(pipeline);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })?;
        is_open
            .recv()
            .map_err(|_| Error::Thread)?
            .map_err(Error::pipeline)?;
        Ok(thread)
    }

    fn start_steward(
        &self,
        messages: (Sender<Message>, crossbeam_channel::Receiver<Message>),
        bell: Sender<()>,
        stop: &Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, Error> {
        let node = &self.config.node;
        let steward = Steward::new(node, self.store.clone(), self.log.clone(), messages, bell)?;
        let stop = stop.clone();
        start("steward", move || steward.run(&stop))
    }

    /// Fetches earlier studies.
    fn start_fetcher(
        &self,
        intake: Intake,
        stop: &Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, Error> {
        let means = priors::Means {
            store: self.store.clone(),
            log: self.log.clone(),
            metrics: self.metrics.clone(),
            intake,
            scu: Scu::new(&self.config.node.dicom.ae_title),
            patience: Fetcher::patience(),
        };
        let fetcher = Fetcher::new(&self.config.node, means, stop);
        start("priors", move || fetcher.run())
    }

    /// Removes what has been kept long enough.
    fn start_janitor(self: &Arc<Self>, stop: &Arc<AtomicBool>) -> Result<JoinHandle<()>, Error> {
        let (node, stop) = (Arc::clone(self), stop.clone());
        start("janitor", move || {
            let mut since = EXPIRE_EVERY;
            while !stop.load(Ordering::Relaxed) {
                if since >= EXPIRE_EVERY {
                    since = Duration::ZERO;
                    node.expire();
                }
                thread::sleep(LOOK);
                since += LOOK;
            }
        })
    }

    fn expire(&self) {
        match self.store.expire(&self.config.node.storage, now_s()) {
            Ok(removed) => {
                for removed in removed {
                    record(&self.log, &purged(&removed, "expired"));
                }
            }
            Err(error) => error!(code = error.code(), "Cannot remove what is old: {error}"),
        }
    }

    /// Sends the decision log to the audit repository, where there is one; ends when what is returned is dropped.
    fn start_forwarder(&self) -> Result<Option<std::sync::mpsc::Sender<()>>, Error> {
        let audit = &self.config.node.audit;
        if audit.repository.is_empty() {
            return Ok(None);
        }
        let repository = Repository {
            address: audit.repository.clone(),
            tls: tls::client_config(&audit.tls.clone().unwrap_or_default())?,
        };
        let source = Source {
            ae_title: self.config.node.dicom.ae_title.clone(),
            host: None,
        };
        let forwarder = Forwarder::new(&self.config.node.dir, repository, source);
        let (stop, stopped) = std::sync::mpsc::channel();
        start("audit", move || forwarder.run(&stopped))?;
        Ok(Some(stop))
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(Error::Start)
}

/// What was fetched is told of before the end; a web service that keeps the thread for minutes is not waited for, and the
/// next start tells then.
fn wait_for(fetcher: &JoinHandle<()>) {
    fetcher.thread().unpark();
    let end = Instant::now() + FETCHER_GRACE;
    while !fetcher.is_finished() && Instant::now() < end {
        thread::sleep(LOOK);
    }
}

/// What the decision log says of what was removed.
pub fn purged(removed: &Removed, code: &str) -> Event {
    let what = match (removed.entirely, removed.instances > 0) {
        (true, _) => "all",
        (false, true) => "instances",
        (false, false) => "results",
    };
    Event::Purged {
        study_instance_uid: removed.study_instance_uid.clone(),
        what: what.into(),
        code: code.into(),
        patient: removed.patient.clone(),
    }
}

pub(super) fn record(log: &Log, event: &Event) {
    if let Err(error) = log.record(event) {
        error!(
            code = error.code(),
            "The decision log cannot be written: {error}"
        );
    }
}

/// Whoever started the node may wait for it; without systemd nobody does.
fn notify(state: &sd_notify::NotifyState<'_>) {
    drop(sd_notify::notify(std::slice::from_ref(state)));
}

pub(super) fn now_s() -> i64 {
    Utc::now().timestamp()
}
