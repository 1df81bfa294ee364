//! All arrows of the flow, in order: the one module that knows every stage.
//!
//! In: a configuration once, then stored volumes. Out: lesions with their measurements. No files are read or written here.

mod agreement;
mod assess;
mod models;
mod source;
mod uptake;

use crate::config::{CandidatesConfig, Config, PetConfig};
use crate::engine::cpu::InstructionSet;
use crate::engine::gpu::Tuned;
use crate::gpu::{Compute, Gpu, KernelTime, Storage};
use crate::lesion::{self, Lesion, Structure};
use crate::measure::{self, Laterality, Measurement};
use crate::model::{self, Label, Manifest, ModelGrid, OutputSpec, Segmenter};
use crate::plan::{PlannedModel, Planner};
use crate::preprocess::{self, Interpolation, Plan, Prepared};
use crate::report::PetRun;
use crate::volume::{ProbabilityMap, StoredVolume};
use crate::warning::Warning;
use crate::{Error, cpu};
use glam::DVec3;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

pub use agreement::compare;

/// Milliseconds by stage.
pub type StageTimings = BTreeMap<String, f64>;

/// Device and models, ready to run.
///
/// Lives on one thread: the GPU's error scopes belong to it.
#[derive(Debug)]
pub struct Pipeline {
    candidates: CandidatesConfig,
    pet: PetConfig,
    search_without_lungs: bool,
    tta: bool,
    compute: Compute,
    instructions: InstructionSet,
    segmenters: Vec<Segmenter>,
    /// Of the device; they belong to every report.
    pub warnings: Vec<Warning>,
    /// Milliseconds to open the device and to load and check the models.
    pub timings_ms: StageTimings,
}

/// What one model found in one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The most confident first.
    pub lesions: Vec<(Lesion, Measurement)>,
    /// What is segmented beside lesions.
    pub structures: Vec<Structure>,
    /// What was measured of a PET as a whole.
    pub pet: Option<PetRun>,
    /// What the reader of the report must know.
    pub warnings: Vec<Warning>,
    /// Milliseconds by stage.
    pub timings_ms: StageTimings,
    /// Patches that the network ran on.
    pub patches: usize,
}

impl Pipeline {
    /// Opens the device, loads the models and checks each on its golden patch.
    ///
    /// # Errors
    /// No such device, instructions or model, damaged weights, or a device that miscomputes the golden patch even without
    /// its matrix units.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let start = Instant::now();
        let (mut compute, mut warnings) = Compute::select(&config.device)?;
        let instructions = InstructionSet::select(config.device.instructions)?;
        let mut timings_ms = StageTimings::from([("open-device".into(), ms_since(start))]);
        let start = Instant::now();
        let mut segmenters = models::load(config, &compute, instructions)?;
        timings_ms.insert("load-models".into(), ms_since(start));
        let start = Instant::now();
        if let Err(error) = models::check(&segmenters) {
            let warning = models::leave_matrices(&mut compute, error)?;
            tracing::warn!(code = warning.code(), "{warning}");
            warnings.push(warning);
            segmenters = models::load(config, &compute, instructions)?;
            models::check(&segmenters)?;
        }
        timings_ms.insert("self-check".into(), ms_since(start));
        let candidates = config.candidates;
        Ok(Self {
            candidates,
            pet: config.pet,
            search_without_lungs: config.input.search_without_lungs,
            tta: config.inference.tta,
            compute,
            instructions,
            segmenters,
            warnings,
            timings_ms,
        })
    }

    /// The models, in the order of the configuration.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.segmenters.iter().map(Segmenter::manifest)
    }

    /// Where the numbers are crunched.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Model number `model` on one volume for each of its input channels.
    ///
    /// `progress` is told patches done and patches in all; `cancel` ends the run soon.
    ///
    /// # Errors
    /// Those of preprocessing and of the model, and a volume without lungs for a model that requires them; nothing is
    /// lost but this run.
    pub fn run(
        &self,
        model: usize,
        volumes: &[&StoredVolume],
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let mut outcome = match self.segmenters[model].manifest().input.grid {
            ModelGrid::Patient { interpolation } => {
                self.on_patient_grid(model, interpolation, volumes[0], progress, cancel)
            }
            ModelGrid::Source { .. } => self.on_source_grid(model, volumes, progress, cancel),
        }?;
        let count = volumes.iter().map(|stored| stored.blank_slices()).sum();
        if count > 0 {
            outcome.warnings.push(Warning::BlankSlices { count });
        }
        Ok(outcome)
    }

    fn on_patient_grid(
        &self,
        model: usize,
        interpolation: Interpolation,
        stored: &StoredVolume,
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let segmenter = &self.segmenters[model];
        let manifest = segmenter.manifest();
        let mut laps = Laps::start();
        let prepared = self.patient_grid(model, interpolation, stored)?;
        if manifest.intended_use.requires_lungs && !self.search_without_lungs {
            prepared.require_lungs()?;
        }
        laps.lap("preprocess");
        let segmentation = segmenter.segment(&model::Input::from(&prepared), progress, cancel)?;
        laps.lap("network");
        let params = lesion_params(manifest.label(), &manifest.output, &self.candidates);
        let mut found = found(&segmentation.probability, stored, &params);
        laps.lap("measure");
        let input = model::Input::from(&prepared);
        assess::assess(segmenter, &input, &mut found, cancel)?;
        let unfamiliar = assess::familiarity(segmenter, &input, &prepared.lungs.lung, cancel)?;
        if manifest.classifier.is_some() {
            laps.lap("classify");
        }
        let side = |position| prepared.lungs.side(position);
        let mut lesions = measured(found, stored, &self.candidates, side);
        let min_short_axis_mm = manifest.output.min_short_axis_mm;
        lesions.retain(|(_, measurement)| measurement.short_axis.length_mm >= min_short_axis_mm);
        laps.lap("measure");
        let mut warnings = prepared.warnings;
        warnings.extend(segmentation.warnings);
        warnings.extend(unfamiliar);
        Ok(Outcome {
            lesions,
            structures: Vec::new(),
            pet: None,
            warnings,
            timings_ms: laps.timings_ms,
            patches: segmentation.patches,
        })
    }

    /// The first part of [`Pipeline::run`] alone, for those who measure it.
    ///
    /// # Errors
    /// Those of preprocessing.
    pub fn prepare(&self, model: usize, volumes: &[&StoredVolume]) -> Result<(), Error> {
        match self.segmenters[model].manifest().input.grid {
            ModelGrid::Patient { interpolation } => self
                .patient_grid(model, interpolation, volumes[0])
                .map(drop),
            ModelGrid::Source { .. } => self.source_grid(model, volumes).map(drop),
        }
    }

    fn patient_grid(
        &self,
        model: usize,
        interpolation: Interpolation,
        stored: &StoredVolume,
    ) -> Result<Prepared, Error> {
        let input = &self.segmenters[model].manifest().input;
        let plan = Plan {
            grid: stored.geometry.covering(input.spacing_mm),
            interpolation,
        };
        Ok(preprocess::run(&self.compute, stored, &plan)?.searched_in(input.region))
    }

    /// Name of the adapter or of the CPU.
    pub fn device_name(&self) -> String {
        match &self.compute {
            Compute::Gpu(gpu) => gpu.info().name.clone(),
            Compute::Cpu => cpu::model_name(),
        }
    }

    /// Times every kernel of one run, or of its preparation alone, on the GPU; empty where the adapter has no timestamps
    /// or there is no GPU.
    ///
    /// # Errors
    /// As [`Pipeline::run`].
    pub fn profile(
        &self,
        model: usize,
        stored: &StoredVolume,
        preparation_alone: bool,
    ) -> Result<Vec<KernelTime>, Error> {
        let Compute::Gpu(gpu) = &self.compute else {
            return Ok(Vec::new());
        };
        if !gpu.start_profile() {
            return Ok(Vec::new());
        }
        let run = if preparation_alone {
            self.prepare(model, &[stored])
        } else {
            self.run(model, &[stored], &|_, _| {}, &AtomicBool::new(false))
                .map(drop)
        };
        let times = gpu.finish_profile();
        run.map(|()| times)
    }

    /// What the thread that reads files needs to know: which series each model takes, and what identifies a run.
    pub fn planner(&self, all_series: bool) -> Planner {
        let models = self
            .segmenters
            .iter()
            .map(|segmenter| PlannedModel {
                identity: segmenter.identity(),
                intended: segmenter.manifest().intended_use.clone(),
                confidence_meaning: segmenter.manifest().output.confidence_meaning.clone(),
                companions: segmenter.manifest().input.channels[1..].to_vec(),
            })
            .collect();
        let adapter = self.device_name();
        let driver = match &self.compute {
            Compute::Gpu(gpu) => driver(gpu),
            Compute::Cpu => format!("engine {}", self.instructions.name()),
        };
        let step_fraction: BTreeMap<&str, f64> = self
            .manifests()
            .map(|manifest| (manifest.name.as_str(), manifest.input.step_fraction))
            .collect();
        let manifests: BTreeMap<&str, &str> = self
            .segmenters
            .iter()
            .map(|segmenter| {
                (
                    segmenter.manifest().name.as_str(),
                    segmenter.manifest_sha256(),
                )
            })
            .collect();
        let parameters = json!({
            "candidates": self.candidates,
            "all_series": all_series,
            "manifest_sha256": manifests,
            "pet": self.pet,
            "step_fraction": step_fraction,
            "search_without_lungs": self.search_without_lungs,
            "tta": self.tta,
        });
        Planner {
            models,
            rules: uptake::planned(&self.pet),
            all_series,
            adapter,
            driver,
            parameters,
            warnings: self.warnings.clone(),
        }
    }
}

/// Lesions of a probability map with their measurements, filtered by size and confidence, the most confident first.
///
/// `side` tells the lung at a patient position.
pub fn lesions(
    probability: &ProbabilityMap,
    stored: &StoredVolume,
    params: &lesion::Params,
    keep: &CandidatesConfig,
    side: impl Fn(DVec3) -> Option<Laterality>,
) -> Vec<(Lesion, Measurement)> {
    measured(found(probability, stored, params), stored, keep, side)
}

/// Lesions of a probability map on the source's slices.
fn found(
    probability: &ProbabilityMap,
    stored: &StoredVolume,
    params: &lesion::Params,
) -> Vec<Lesion> {
    lesion::find(probability, &stored.geometry, &stored.slices, params)
}

/// Lesions on the source's slices with their measurements, filtered by size and confidence.
fn measured(
    found: Vec<Lesion>,
    stored: &StoredVolume,
    keep: &CandidatesConfig,
    side: impl Fn(DVec3) -> Option<Laterality>,
) -> Vec<(Lesion, Measurement)> {
    found
        .into_iter()
        .filter(|lesion| f64::from(lesion.confidence) >= keep.min_confidence)
        .filter_map(|lesion| {
            measure::measure(&lesion.mask, stored, &side).map(|measurement| (lesion, measurement))
        })
        .filter(|(_, measurement)| measurement.long_axis.length_mm >= keep.min_long_axis_mm)
        .take(keep.max_lesions)
        .collect()
}

fn lesion_params(
    label: &Label,
    output: &OutputSpec,
    candidates: &CandidatesConfig,
) -> lesion::Params {
    lesion::Params {
        kind: label.kind,
        terms: label.terms(),
        threshold: output.probability_threshold,
        min_volume_mm3: output.min_component_volume_mm3,
        merge_distance_mm: candidates.merge_distance_mm,
    }
}

/// A stopwatch that names its laps.
struct Laps {
    timings_ms: StageTimings,
    stage: Instant,
}

impl Laps {
    fn start() -> Self {
        Self {
            timings_ms: StageTimings::new(),
            stage: Instant::now(),
        }
    }

    /// Ends a lap; laps of one name add up.
    fn lap(&mut self, name: &str) {
        *self.timings_ms.entry(name.into()).or_default() += ms_since(self.stage);
        self.stage = Instant::now();
    }
}

/// The driver, and what of the GPU changes results.
fn driver(gpu: &Gpu) -> String {
    let mut driver = gpu.info().driver.clone();
    if gpu.storage() == Storage::F16 {
        driver += ", activations of 16 bits";
    }
    if let Some(table) = Tuned::of(gpu).identity() {
        driver += &format!(", tiles {table}");
    }
    if let Some(matrices) = gpu.matrices() {
        driver += &format!(", matrices {0} × {0}", matrices.size);
    }
    driver
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
