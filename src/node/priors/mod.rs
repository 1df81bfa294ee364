//! Fetches earlier studies of a patient, where a rule asks for them.
//!
//! In: requests that stand in the database. Out: studies beside the one they were asked for, kept and not run. One thread; a
//! request that fails is tried again after a growing wait, and ends as fetched or given up, by code.
//! What a study is asked by, such as the Patient ID, is read from a file for the question and dropped.

mod error;
mod question;
#[cfg(test)]
mod tests;
mod web;

pub use error::PriorsError;

use super::client::{Patience, Service};
use super::metrics::Metrics;
use super::scu::{Retrieved, Scu};
use super::service::{now_s, record};
use super::store::{PriorRequest, PriorsEnded};
use super::{Intake, Store, StoreError, notice};
use crate::audit::{self, Event, Log, Party};
use crate::config::{NodeConfig, PeerConfig, PriorsBy, PriorsConfig};
use crate::dicom::subject;
use question::{Found, Question};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tracing::{error, info, warn};

/// So often the database is asked whether something is to be fetched.
const PAUSE: Duration = Duration::from_secs(1);

/// Most studies of a patient that a peer may name.
const MAX_ANSWERS: usize = 1000;

/// A study over HTTP may take so long.
const TOTAL: Duration = Duration::from_secs(3600);

/// What makes two studies comparable: the modalities that models read.
const MODALITIES: [&str; 2] = ["CT", "PT"];

/// The thread's state.
pub(super) struct Fetcher {
    config: PriorsConfig,
    peer: Option<PeerConfig>,
    store: Store,
    log: Log,
    metrics: Arc<Metrics>,
    intake: Intake,
    scu: Scu,
    patience: Patience,
    stop: Arc<AtomicBool>,
}

/// What of the node a fetcher works with.
pub(super) struct Means {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) metrics: Arc<Metrics>,
    pub(super) intake: Intake,
    pub(super) scu: Scu,
    pub(super) patience: Patience,
}

impl Fetcher {
    /// Fetches as `config` says, until `stop` is set.
    pub(super) fn new(config: &NodeConfig, means: Means, stop: &Arc<AtomicBool>) -> Self {
        let priors = config.priors.clone();
        let peer = config.peers.iter().find(|peer| peer.name == priors.from);
        Self {
            peer: peer.cloned(),
            config: priors,
            store: means.store,
            log: means.log,
            metrics: means.metrics,
            intake: means.intake,
            scu: means.scu.until(stop),
            patience: means.patience,
            stop: stop.clone(),
        }
    }

    /// How long a web service is waited for.
    pub(super) fn patience() -> Patience {
        Patience {
            total: TOTAL,
            ..Patience::default()
        }
    }

    /// Works until the node stops. Requests of an earlier configuration that nobody can answer any more end too.
    pub(super) fn run(&self) {
        while !self.is_stopped() {
            match self.work() {
                Ok(true) => {}
                Ok(false) => thread::park_timeout(PAUSE),
                Err(error) => {
                    error!(code = error.code(), "Cannot fetch earlier studies: {error}");
                    thread::park_timeout(PAUSE);
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tries the request that is due the longest; false where none is due.
    fn work(&self) -> Result<bool, StoreError> {
        let Some(request) = self.store.claim_priors(now_s())? else {
            return Ok(false);
        };
        let fetched = panic::catch_unwind(AssertUnwindSafe(|| self.fetch(&request)));
        match fetched.unwrap_or(Err(PriorsError::Defect)) {
            Ok(()) => self.store.priors_done(&request, now_s())?,
            Err(error) if error.is_stop() => self.store.release_priors(&request)?,
            Err(error) => self.failed(&request, &error)?,
        }
        Ok(true)
    }

    /// Fetches all that is wanted; a study that cannot be fetched keeps no other back.
    fn fetch(&self, request: &PriorRequest) -> Result<(), PriorsError> {
        let studies = match &request.chosen {
            Some(chosen) => chosen.clone(),
            None => self.ask(request)?,
        };
        let mut ended = Ok(());
        for study in studies {
            match self.fetch_study(request, &study) {
                Err(error) if error.is_stop() => return Err(error),
                fetched => ended = ended.and(fetched),
            }
        }
        ended
    }

    /// Asks which earlier studies there are; gives those that are to be fetched.
    fn ask(&self, request: &PriorRequest) -> Result<Vec<String>, PriorsError> {
        let question = self.question(request)?;
        let question = question.ok_or(PriorsError::NothingToAskBy)?;
        let found = match self.config.by {
            PriorsBy::WadoRs => web::studies(self.service()?, &self.patience, &question)?,
            PriorsBy::CGet | PriorsBy::CMove => {
                let read = |study: &_| Some(Found::of_object(study));
                self.scu
                    .find(self.peer()?, &question.identifier(), MAX_ANSWERS, read)?
            }
        };
        let named = found.len();
        let chosen = question.choose(found, request.wanted as usize);
        let to_fetch = self.store.choose_priors(request, &chosen, now_s())?;
        info!(
            study = self.log.key().link(&request.study_instance_uid),
            named,
            chosen = chosen.len(),
            to_fetch = to_fetch.len(),
            "Asked for earlier studies."
        );
        let asked = Event::PriorsAsked {
            study: self.study(request),
            from: self.party(),
            chosen: chosen.len() as u64,
            to_fetch: to_fetch.len() as u64,
        };
        record(&self.log, &asked);
        Ok(to_fetch)
    }

    /// None where no instance that is here says whom and when it is of.
    fn question(&self, request: &PriorRequest) -> Result<Option<Question>, PriorsError> {
        let study = &request.study_instance_uid;
        let inputs = self.store.inputs(study, request.version)?;
        let of = inputs.iter().find_map(|input| subject(&input.path).ok());
        let series = self.store.facts(study)?.series.into_iter();
        let modalities = series.filter_map(|series| series.modality);
        let modalities = modalities.filter(|modality| MODALITIES.contains(&modality.as_str()));
        let max_age_days = self.config.max_age_days;
        Ok(of.and_then(|of| Question::new(study, of, modalities, max_age_days)))
    }

    fn fetch_study(&self, request: &PriorRequest, study: &str) -> Result<(), PriorsError> {
        let retrieved = self.retrieve(study)?;
        for (claim, code) in &retrieved.refused {
            self.metrics.instance_refused(code);
            let refused = Event::InstanceRefused {
                study_instance_uid: claim.study_instance_uid.clone(),
                sop_instance_uid: claim.sop_instance_uid.clone(),
                from: self.party(),
                code: (*code).into(),
            };
            record(&self.log, &refused);
        }
        if self.store.instances_of(study)? == 0 {
            return Err(PriorsError::NotArrived);
        }
        self.store.prior_fetched(study, now_s())?;
        self.metrics.prior("fetched");
        let (instances, left_out) = (retrieved.completed, retrieved.left_out);
        info!(
            study = self.log.key().link(&request.study_instance_uid),
            prior = self.log.key().link(study),
            instances,
            left_out,
            "Fetched an earlier study."
        );
        let fetched = Event::PriorFetched {
            study: self.study(request),
            prior: study.into(),
            from: self.party(),
            instances,
            left_out,
        };
        record(&self.log, &fetched);
        Ok(())
    }

    fn retrieve(&self, study: &str) -> Result<Retrieved, PriorsError> {
        Ok(match self.config.by {
            PriorsBy::CGet => self.scu.get(self.peer()?, study, &self.intake)?,
            PriorsBy::CMove => self.scu.fetch_by_move(self.peer()?, study)?,
            PriorsBy::WadoRs => {
                let to = (&self.intake, self.stop.as_ref());
                web::study(self.service()?, &self.patience, study, to)?
            }
        })
    }

    fn failed(&self, request: &PriorRequest, error: &PriorsError) -> Result<(), StoreError> {
        let (code, reason) = (error.code(), error.to_string());
        let told = self.log.key().linked(&reason);
        let ended = (code, reason.as_str());
        let permanent = error.is_permanent();
        let ended = self
            .store
            .priors_failed(request, ended, permanent, now_s())?;
        warn!(
            code,
            study = self.log.key().link(&request.study_instance_uid),
            ?ended,
            "Earlier studies did not come: {told}."
        );
        self.metrics.prior(code);
        let failed = Event::PriorsFailed {
            study: self.study(request),
            from: self.party(),
            attempt: request.attempt,
            code: code.into(),
            given_up: ended == PriorsEnded::GivenUp,
        };
        record(&self.log, &failed);
        Ok(())
    }

    fn study(&self, request: &PriorRequest) -> audit::Study {
        notice::study(&self.store, &request.study_instance_uid, request.version)
    }

    fn peer(&self) -> Result<&PeerConfig, PriorsError> {
        self.peer.as_ref().ok_or(PriorsError::Nobody)
    }

    fn service(&self) -> Result<Service<'_>, PriorsError> {
        let config = &self.config;
        (!config.url.is_empty())
            .then_some(Service {
                url: &config.url,
                token_file: config.token_file.as_deref(),
                ca: config.ca.as_deref(),
            })
            .ok_or(PriorsError::Nobody)
    }

    fn party(&self) -> Party {
        match &self.peer {
            Some(peer) => Party {
                name: Some(peer.name.clone()),
                ae_title: Some(peer.ae_title.clone()),
                address: Some(peer.host.clone()),
            },
            None => Party {
                address: Some(self.config.url.clone()),
                ..Party::default()
            },
        }
    }
}
