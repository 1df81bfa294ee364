//! Reading, inference and writing of many studies at once: three threads, one volume in flight between each two.

mod result;
mod study_report;

pub use result::StudyResult;

use crate::config::{AlsoFormat, Config};
use crate::dicom::{self, Study};
use crate::lesion::Lesion;
use crate::measure::Measurement;
use crate::pipeline::{Outcome, Pipeline, StageTimings};
use crate::plan::{Finder, Job, PassedOver, Planner, StudyPlan, Task};
use crate::report::{
    self, Existing, Outputs, Reason, SeriesRun, Status, Superseded, existing_run, write_study,
};
use crate::volume::StoredVolume;
use crate::volume_file::VolumeFile;
use crate::{Class, Error};
use crossbeam_channel::{Receiver, Sender, bounded};
use result::reason_of;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tracing::info;

/// What all studies of a batch share.
pub struct Batch<'a> {
    /// The parameters of every run.
    pub config: &'a Config,
    /// Studies that are volume files, by their Study Instance UID.
    pub volume_files: &'a BTreeMap<String, VolumeFile>,
    /// Results lie in a folder a study below it.
    pub out_dir: &'a Path,
    /// Results of other runs are replaced.
    pub overwrite: bool,
    /// The result that those of this batch replace, where it is of one study.
    pub supersedes: Option<&'a Superseded>,
    /// Set, it ends the batch soon; studies without results yet have none then.
    pub cancel: &'a AtomicBool,
    /// Is told what is being done.
    pub progress: &'a (dyn Fn(String) + Sync),
}

impl Batch<'_> {
    fn label_maps(&self) -> bool {
        self.config.output.also.contains(&AlsoFormat::Nifti)
    }

    /// What is written of a study: volume files belong to no patient's study, so DICOM is not.
    fn outputs(&self, study: &Study) -> Outputs {
        let dicom = !self.volume_files.contains_key(&study.study_instance_uid);
        Outputs {
            dicom,
            label_maps: !dicom || self.label_maps(),
        }
    }

    fn load(&self, study: &Study, series: usize) -> Result<StoredVolume, Error> {
        let max_voxels = self.config.input.max_voxels;
        let cancel = Some(self.cancel);
        Ok(match self.volume_files.get(&study.study_instance_uid) {
            Some(file) => file.load(max_voxels, cancel)?,
            None => dicom::load(&study.series[series], max_voxels, cancel)?,
        })
    }
}

/// From the reader to the pipeline.
enum Read {
    Series {
        study: usize,
        /// One for each input channel.
        series: Vec<usize>,
        volumes: Result<Vec<StoredVolume>, Error>,
        ms: f64,
    },
    StudyDone {
        study: usize,
    },
}

/// From the pipeline to the writer.
struct Finished<'a> {
    study: usize,
    runs: Vec<SeriesRun<'a>>,
    timings_ms: StageTimings,
}

/// Runs every study; the results come in the order of `studies`.
pub fn run(batch: &Batch<'_>, pipeline: &Pipeline, studies: &[Study]) -> Vec<StudyResult> {
    let mut planner = pipeline.planner(batch.config.input.all_series);
    if batch.label_maps() {
        planner.add_parameter("also", "nifti");
    }
    let plans: Vec<StudyPlan> = studies.iter().map(|study| planner.plan(study)).collect();
    let mut results: Vec<Option<StudyResult>> = studies
        .iter()
        .zip(&plans)
        .map(|(study, plan)| settled(batch, study, plan))
        .collect();
    let pending: Vec<usize> = (0..studies.len())
        .filter(|i| results[*i].is_none())
        .collect();
    let work = Work {
        batch,
        planner: &planner,
        studies,
        plans: &plans,
    };
    // Rendezvous channels: one volume is read while another runs, and no more wait in memory.
    let (to_run, volumes) = bounded(0);
    let (to_write, finished) = bounded(1);
    let written = std::thread::scope(|scope| {
        scope.spawn(|| work.read(&pending, to_run));
        let writer = scope.spawn(|| work.write(&finished));
        work.infer(pipeline, &volumes, &to_write);
        drop((to_write, volumes));
        writer.join()
    });
    let written = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (study, result) in written {
        results[study] = Some(result);
    }
    results.into_iter().flatten().collect()
}

/// The result of a study that needs no run.
fn settled(batch: &Batch<'_>, study: &Study, plan: &StudyPlan) -> Option<StudyResult> {
    if let Some(refusal) = study.refusal() {
        return Some(StudyResult::failure(study, &refusal.clone().into()));
    }
    let dir = batch.out_dir.join(&study.study_instance_uid);
    let refusal = match existing_run(batch.out_dir, &study.study_instance_uid) {
        Ok(Existing::Run(run_id)) if run_id == plan.provenance.run_id => {
            return Some(StudyResult::unchanged(study, dir));
        }
        Ok(Existing::Run(_)) if !batch.overwrite => report::Error::Exists { dir },
        Ok(Existing::Foreign) => report::Error::NotOurs { dir },
        Ok(_) => return None,
        Err(error) => error,
    };
    Some(StudyResult::failure(study, &refusal.into()))
}

struct Work<'a> {
    batch: &'a Batch<'a>,
    planner: &'a Planner,
    studies: &'a [Study],
    plans: &'a [StudyPlan],
}

impl<'a> Work<'a> {
    fn cancelled(&self) -> bool {
        self.batch.cancel.load(Ordering::Relaxed)
    }

    /// Loads each series once, however many models run on it; again where a model reads it with others.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the channel closes when the reader ends"
    )]
    fn read(&self, pending: &[usize], to_run: Sender<Read>) {
        for &study in pending {
            let tasks = &self.plans[study].tasks;
            let mut series: Vec<Vec<usize>> = tasks.iter().map(Task::all_series).collect();
            // A PET comes last: what was found on its CT is measured there.
            series.sort_unstable_by_key(|series| (is_pet(tasks, series), series.clone()));
            series.dedup();
            for series in series {
                let start = Instant::now();
                let load = |series: &usize| self.batch.load(&self.studies[study], *series);
                let volumes = series.iter().map(load).collect();
                let ms = start.elapsed().as_secs_f64() * 1e3;
                if self.cancelled()
                    || to_run
                        .send(Read::Series {
                            study,
                            series,
                            volumes,
                            ms,
                        })
                        .is_err()
                {
                    return;
                }
            }
            if to_run.send(Read::StudyDone { study }).is_err() {
                return;
            }
        }
    }

    fn infer(
        &self,
        pipeline: &Pipeline,
        volumes: &Receiver<Read>,
        to_write: &Sender<Finished<'a>>,
    ) {
        let mut runs = Vec::new();
        let mut timings_ms = pipeline.timings_ms.clone();
        for message in volumes {
            if self.cancelled() {
                return;
            }
            match message {
                Read::Series {
                    study,
                    series,
                    volumes,
                    ms,
                } => {
                    add(&mut timings_ms, "read", ms);
                    let found = self.infer_series(
                        pipeline,
                        study,
                        &series,
                        &volumes,
                        &mut runs,
                        &mut timings_ms,
                    );
                    runs.extend(found);
                }
                Read::StudyDone { study } => {
                    pipeline.compare(&mut runs);
                    runs.extend(self.passed_over(study));
                    let finished = Finished {
                        study,
                        runs: std::mem::take(&mut runs),
                        timings_ms: std::mem::replace(&mut timings_ms, pipeline.timings_ms.clone()),
                    };
                    if to_write.send(finished).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn infer_series(
        &self,
        pipeline: &Pipeline,
        study: usize,
        series: &[usize],
        volumes: &Result<Vec<StoredVolume>, Error>,
        earlier: &mut [SeriesRun<'a>],
        timings_ms: &mut StageTimings,
    ) -> Vec<SeriesRun<'a>> {
        let tasks = self.plans[study]
            .tasks
            .iter()
            .filter(|task| task.all_series() == series);
        let run = |task: &Task| {
            let model = self.planner.identity(task.job.finder());
            let (at, all) = (study + 1, self.studies.len());
            let progress = |done, patches| {
                (self.batch.progress)(format!(
                    "study {at} of {all}: {} patch {done} of {patches}",
                    model.name
                ));
            };
            let outcome = volumes.as_ref().map_err(reason_of).and_then(|volumes| {
                let volumes: Vec<&StoredVolume> = volumes.iter().collect();
                let outcome = match &task.job {
                    Job::Model(model) => {
                        pipeline.run(*model, &volumes, &progress, self.batch.cancel)
                    }
                    Job::Uptake(suv) => {
                        let mut on_ct = self.found_on(study, &task.companions, earlier);
                        pipeline.uptake(&volumes, suv, &mut on_ct)
                    }
                };
                outcome.map_err(|error| reason_of(&error))
            });
            let mut run =
                self.series_run(study, task.series, task.job.finder(), Status::Done, None);
            let companions = task.companions.iter();
            run.companions = companions
                .map(|series| &self.studies[study].series[*series])
                .collect();
            run.warnings.clone_from(&task.warnings);
            match outcome {
                Ok(Outcome {
                    lesions,
                    structures,
                    pet,
                    warnings,
                    timings_ms: stages,
                    ..
                }) => {
                    stages
                        .iter()
                        .for_each(|(stage, ms)| add(timings_ms, stage, *ms));
                    run.lesions = lesions;
                    run.structures = structures;
                    run.pet = pet;
                    run.warnings.extend(warnings);
                }
                Err(reason) => {
                    run.status = match reason.class {
                        // Valid, but not what the model is for.
                        Class::Unsupported => Status::Skipped,
                        _ => Status::Failed,
                    };
                    run.reason = Some(reason);
                }
            }
            info!(lesions = run.lesions.len(), status = ?run.status, "Ran a series.");
            run
        };
        tasks.map(run).collect()
    }

    /// What earlier runs found on some series of a study.
    fn found_on<'r>(
        &self,
        study: usize,
        series: &[usize],
        runs: &'r mut [SeriesRun<'a>],
    ) -> Vec<&'r mut (Lesion, Measurement)> {
        let of = |index: &usize| &self.studies[study].series[*index];
        let own = runs.iter_mut().filter(|run| {
            let mut wanted = series.iter().map(of);
            wanted.any(|series| std::ptr::eq(series, run.series))
        });
        own.flat_map(|run| &mut run.lesions).collect()
    }

    fn passed_over(&self, study: usize) -> Vec<SeriesRun<'a>> {
        let run = |over: &PassedOver| {
            let reason = Reason {
                code: over.code.into(),
                text: over.text.clone(),
                class: Class::Unsupported,
            };
            self.series_run(
                study,
                over.series,
                over.finder,
                Status::Skipped,
                Some(reason),
            )
        };
        self.plans[study].passed_over.iter().map(run).collect()
    }

    fn series_run(
        &self,
        study: usize,
        series: usize,
        finder: Finder,
        status: Status,
        reason: Option<Reason>,
    ) -> SeriesRun<'a> {
        let series = &self.studies[study].series[series];
        SeriesRun {
            series,
            companions: Vec::new(),
            model: self.planner.identity(finder).clone(),
            confidence_meaning: self.planner.confidence_meaning(finder).into(),
            status,
            reason,
            lesions: Vec::new(),
            structures: Vec::new(),
            pet: None,
            warnings: Vec::new(),
        }
    }

    fn write(&self, finished: &Receiver<Finished<'a>>) -> Vec<(usize, StudyResult)> {
        finished
            .iter()
            .map(|f| (f.study, self.write_study(f)))
            .collect()
    }

    fn write_study(&self, finished: Finished<'a>) -> StudyResult {
        let study = &self.studies[finished.study];
        let written = self.report(finished).and_then(|report| {
            let written = write_study(self.batch.out_dir, &report, self.batch.overwrite)?;
            Ok(StudyResult::written(study, &report, written.dir))
        });
        written.unwrap_or_else(|error| StudyResult::failure(study, &error))
    }
}

/// Whether the rules for uptake read these series.
fn is_pet(tasks: &[Task], series: &[usize]) -> bool {
    let mut pets = tasks
        .iter()
        .filter(|task| task.job.finder() == Finder::Uptake);
    pets.any(|task| task.all_series() == series)
}

fn add(timings_ms: &mut StageTimings, stage: &str, ms: f64) {
    *timings_ms.entry(stage.into()).or_default() += ms;
}
