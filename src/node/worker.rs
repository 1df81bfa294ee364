//! Runs studies on a device: one after another, the most urgent first, each to a result, a further try or a dead letter.
//!
//! In: jobs of the queue. Out: results in the node's folder, for the courier. The pipeline stays loaded from study to study
//! and is opened anew where the device was lost.

use super::written::{Written, hex};
use super::{Agenda, Ended, Failure, Finished, Hours, Job, Queue, Store, StoreError, notice};
use crate::Error;
use crate::audit::{self, Event, Log};
use crate::batch::{self, Batch, StudyResult};
use crate::config::Config;
use crate::dicom::{read_paths, summary};
use crate::gpu::Compute;
use crate::node::metrics::Metrics;
use crate::node::status::{DeviceStatus, ModelStatus};
use crate::pipeline::Pipeline;
use crate::report::Superseded;
use crate::warning::Warning;
use chrono::{Local, Utc};
use crossbeam_channel::Receiver;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// So often the queue is asked, where nobody says that something waits: wishes for a later hour come true by themselves.
const PAUSE: Duration = Duration::from_secs(1);

/// So often a device that was lost is looked for while nothing is to be done.
const REOPEN: Duration = Duration::from_secs(30);

/// What the worker computes on, for the status; nothing before its first pipeline is open, or while it has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub(super) device: Option<DeviceStatus>,
    pub(super) models: Vec<ModelStatus>,
}

/// A thread that runs studies.
pub(super) struct Worker {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) metrics: Arc<Metrics>,
    pub(super) loaded: Arc<Mutex<Loaded>>,
    /// Something was queued.
    pub(super) bell: Receiver<()>,
    /// The node stops: the study at hand is given back.
    pub(super) stop: Arc<AtomicBool>,
    /// Called after a result was recorded.
    pub(super) on_result: Box<dyn Fn() + Send>,
}

/// A pipeline and the models that it was opened with.
pub(super) struct Opened {
    models: Vec<String>,
    pipeline: Pipeline,
}

/// What came of a job.
#[derive(Default)]
struct Computed {
    /// The folder of the result; none where there was nothing to run.
    dir: Option<PathBuf>,
    supersedes: Option<Superseded>,
}

impl Worker {
    /// Opens the device and the configured models.
    ///
    /// # Errors
    /// Those of [`Pipeline::new`].
    pub(super) fn open(&self, models: &[String]) -> Result<Opened, Error> {
        let config = self.config_of(models);
        let pipeline = Pipeline::new(&config)?;
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = loaded(&pipeline);
        Ok(Opened {
            models: models.to_vec(),
            pipeline,
        })
    }

    /// Runs studies until the node stops.
    pub(super) fn run(&self, opened: Opened) {
        let hours = Hours::new(&self.config.node.calendar);
        let (mut opened, mut looked) = (Some(opened), Instant::now());
        while !self.is_stopped() {
            match self.claim(&hours.agenda(&Local::now())) {
                Some(job) => self.work_on(&job, &mut opened),
                None => drop(self.bell.recv_timeout(PAUSE)),
            }
            // A node that is not ready may be sent nothing: it must not wait for a study to find its device again.
            if opened.is_none() && looked.elapsed() >= REOPEN {
                looked = Instant::now();
                opened = self.open(&[]).inspect_err(not_opened).ok();
            }
        }
    }

    /// The next study opens the device anew; until then the node is not ready.
    fn lose(&self, opened: &mut Option<Opened>) {
        *opened = None;
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Loaded::default();
    }

    fn claim(&self, agenda: &Agenda) -> Option<Job> {
        self.store.claim(agenda).unwrap_or_else(|error| {
            error!(code = error.code(), "The queue cannot be read: {error}");
            std::thread::sleep(PAUSE);
            None
        })
    }

    fn work_on(&self, job: &Job, opened: &mut Option<Opened>) {
        let start = Instant::now();
        let link = self.log.key().link(&job.work.study_instance_uid);
        info!(
            study = link,
            version = job.work.version,
            attempt = job.attempt,
            "Runs a study."
        );
        let worked = std::panic::catch_unwind(AssertUnwindSafe(|| self.compute(job, opened)));
        let computed = worked.unwrap_or_else(|_| {
            // The state behind a panic may be anything.
            self.lose(opened);
            Err(Failure::defect())
        });
        let ended = match computed {
            _ if self.is_stopped() => self.store.release(job, now_s()).map(|()| None),
            Ok(computed) => self.finish(job, computed, start),
            Err(failure) => self.fail(job, &failure),
        };
        match ended {
            Ok(None) => info!(study = link, "Gave a study back: the node stops."),
            Ok(Some(ended)) => info!(study = link, ?ended, "Ended a study."),
            // It stays claimed, and the next start gives it back.
            Err(error) => error!(
                study = link,
                code = error.code(),
                "Cannot record the end of a study: {error}"
            ),
        }
    }

    fn compute(&self, job: &Job, opened: &mut Option<Opened>) -> Result<Computed, Failure> {
        let inputs = self.inputs(job)?;
        if opened
            .as_ref()
            .is_none_or(|opened| opened.models != job.work.models)
        {
            *opened = None;
            *opened = Some(
                self.open(&job.work.models)
                    .map_err(|error| Failure::of_run(&error))?,
            );
        }
        let Some(Opened { pipeline, .. }) = opened.as_ref() else {
            return Err(Failure::defect());
        };
        let inventory = read_paths(&inputs, &|_| ());
        let config = self.config_of(&job.work.models);
        let version = job.work.version;
        let out_dir = self
            .store
            .results_dir(&job.work.study_instance_uid, version);
        let supersedes = self.superseded(job);
        let batch = Batch {
            config: &config,
            volume_files: &BTreeMap::new(),
            out_dir: &out_dir,
            // Of this version alone: an earlier try, or another device.
            overwrite: true,
            supersedes: supersedes.as_ref(),
            cancel: &self.stop,
            progress: &|_| (),
        };
        let results = batch::run(&batch, pipeline, &inventory.studies);
        let Some(result) = results.first() else {
            return Ok(Computed::default());
        };
        let dir = self.judged(result, opened)?;
        Ok(Computed { dir, supersedes })
    }

    /// The folder of a result that is worth keeping.
    fn judged(
        &self,
        result: &StudyResult,
        opened: &mut Option<Opened>,
    ) -> Result<Option<PathBuf>, Failure> {
        if let Some(reason) = result.passing_failure() {
            // The device may be lost: the next try opens it anew, or falls back as the configuration says.
            self.lose(opened);
            return Err(Failure::of_reason(reason, false));
        }
        match result.failure_reason() {
            Some(reason) => Err(Failure::of_reason(reason, true)),
            None => Ok(result.dir().map(Path::to_owned)),
        }
    }

    /// The SR of the last version of the study that has one.
    fn superseded(&self, job: &Job) -> Option<Superseded> {
        let study = &job.work.study_instance_uid;
        let earlier = (1..job.work.version).rev();
        let sr = earlier.map(|version| {
            self.store
                .results_dir(study, version)
                .join(study)
                .join("sr.dcm")
        });
        let sr = summary(&sr.into_iter().find(|path| path.is_file())?).ok()?;
        Some(Superseded {
            series_instance_uid: sr.series_instance_uid,
            sop_instance_uid: sr.sop_instance_uid,
        })
    }

    fn inputs(&self, job: &Job) -> Result<Vec<PathBuf>, Failure> {
        let work = &job.work;
        let inputs = self.store.inputs(&work.study_instance_uid, work.version);
        let inputs = inputs.map_err(|error| Failure::of_store(&error))?;
        self.record(&Event::JobStarted {
            study: self.study(job),
            attempt: job.attempt,
            rule: Some(work.rule.clone()).filter(|rule| !rule.is_empty()),
            models: self.config_of(&work.models).models.enabled,
            inputs: inputs
                .iter()
                .map(|input| audit::Input {
                    sop_instance_uid: input.sop_instance_uid.clone(),
                    sha256: hex(&input.sha256),
                })
                .collect(),
        });
        // A result of the others would look like one of the whole study.
        match inputs.iter().find(|input| !input.path.exists()) {
            Some(input) => Err(Failure::instance_lost(&input.sop_instance_uid)),
            None => Ok(inputs.into_iter().map(|input| input.path).collect()),
        }
    }

    fn finish(
        &self,
        job: &Job,
        Computed { dir, supersedes }: Computed,
        start: Instant,
    ) -> Result<Option<Ended>, StoreError> {
        let written = dir
            .as_deref()
            .map_or_else(|| Ok(Written::default()), Written::read);
        let written = match written {
            Ok(written) => written,
            Err(error) => return self.fail(job, &Failure::result_unreadable(&error)),
        };
        let destinations = self.config.node.destinations.iter();
        let destinations = destinations.map(|destination| destination.name.clone());
        let finished = Finished {
            run_id: written.run_id(),
            outputs: written.outputs(self.store.dir()),
            // What no model looked at says nothing that an archive should have.
            destinations: destinations.filter(|_| written.has_run()).collect(),
        };
        for (stage, duration) in written.stages() {
            self.metrics.stage(stage, duration);
        }
        // Before the result is on its way: what is delivered can be traced.
        self.record(&Event::JobDone {
            study: self.study(job),
            run_id: finished.run_id.clone(),
            device: written.device(),
            models: written.models(),
            config: audit::deciding(&self.config_of(&job.work.models)),
            parameters: written.parameters(),
            supersedes,
            warnings: written.warnings(),
            outputs: written.logged(),
            duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        let ended = self.store.finish(job, &finished, now_s())?;
        let is_superseded = ended == Ended::Superseded;
        self.metrics
            .job(if is_superseded { "superseded" } else { "done" });
        (self.on_result)();
        Ok(Some(ended))
    }

    fn study(&self, job: &Job) -> audit::Study {
        notice::study(&self.store, &job.work.study_instance_uid, job.work.version)
    }

    fn fail(&self, job: &Job, failure: &Failure) -> Result<Option<Ended>, StoreError> {
        let ended = self.store.fail(job, failure, now_s())?;
        let code = failure.code.clone();
        warn!(
            code,
            permanent = failure.permanent,
            "A study failed: {}",
            self.log.key().linked(&failure.message)
        );
        self.record(&Event::JobFailed {
            study: self.study(job),
            attempt: job.attempt,
            code: code.clone(),
        });
        if ended == Ended::DeadLetter {
            let attempts = job.attempt;
            self.record(&Event::DeadLetter {
                study: self.study(job),
                attempts,
                code,
            });
        }
        self.metrics.job(if failure.permanent {
            "failed"
        } else {
            "failed-for-now"
        });
        Ok(Some(ended))
    }

    /// The configuration with the models of a rule.
    fn config_of(&self, models: &[String]) -> Config {
        let mut config = self.config.clone();
        if !models.is_empty() {
            config.models.enabled = models.to_vec();
        }
        config
    }

    fn record(&self, event: &Event) {
        if let Err(error) = self.log.record(event) {
            error!(
                code = error.code(),
                "The decision log cannot be written: {error}"
            );
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn not_opened(error: &Error) {
    warn!(
        code = error.code(),
        "The device or a model cannot be opened: {error}"
    );
}

fn loaded(pipeline: &Pipeline) -> Loaded {
    let planner = pipeline.planner(false);
    let identities = planner.models.iter().map(|model| &model.identity);
    let identities = identities.chain(planner.rules.iter().map(|rules| &rules.identity));
    let models = identities.map(|identity| ModelStatus {
        name: identity.name.clone(),
        version: identity.version.clone(),
        sha256: identity.sha256.clone(),
    });
    Loaded {
        models: models.collect(),
        device: Some(DeviceStatus {
            name: planner.adapter.clone(),
            kind: match pipeline.compute() {
                Compute::Gpu(_) => "gpu",
                Compute::Cpu => "cpu",
            },
            is_fallback: pipeline.warnings.contains(&Warning::CpuFallback),
        }),
    }
}

fn now_s() -> i64 {
    Utc::now().timestamp()
}
