//! What runs on a study, and what identifies that run.
//!
//! In: the models' intended use and a study. Out: which model or rule runs on which series, why not on the others, and
//! provenance.

mod uptake;

use crate::dicom::{Companion, Request, Series, Study, companion, select};
use crate::model::{InputChannel, IntendedUse, Unit};
use crate::provenance::{ModelIdentity, Provenance};
use crate::suv::{Policy, Suv};
use crate::uid::UidSource;
use crate::warning::Warning;

/// Decides what runs on a study and what identifies that run; free of device handles, so any thread may have one.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(crate) models: Vec<PlannedModel>,
    /// `None`: PET is not searched by rules.
    pub(crate) rules: Option<PlannedRules>,
    pub(crate) all_series: bool,
    pub(crate) adapter: String,
    pub(crate) driver: String,
    pub(crate) parameters: serde_json::Value,
    pub(crate) warnings: Vec<Warning>,
}

/// What is to be known of a model to plan with it.
#[derive(Debug, Clone)]
pub(crate) struct PlannedModel {
    pub(crate) identity: ModelIdentity,
    pub(crate) intended: IntendedUse,
    /// What its confidence means, in a sentence for the reader.
    pub(crate) confidence_meaning: String,
    /// Input channels but the first.
    pub(crate) companions: Vec<InputChannel>,
}

/// What is to be known of the rules that find uptake in a PET.
#[derive(Debug, Clone)]
pub(crate) struct PlannedRules {
    pub(crate) identity: ModelIdentity,
    /// What becomes of a doubtful SUV.
    pub(crate) policy: Policy,
    /// What their score means, in a sentence for the reader.
    pub(crate) confidence_meaning: String,
}

/// What looks for lesions in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// A model, by its number.
    Model(usize),
    /// The rules for uptake in a PET.
    Uptake,
}

/// What is to be done with one study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyPlan {
    /// Runs of a finder on a series, by finder, best series first.
    pub tasks: Vec<Task>,
    /// Series that a finder could take but does not.
    pub passed_over: Vec<PassedOver>,
    /// What will have run.
    pub provenance: Provenance,
}

/// A finder, with what it needs to know of the series.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// A model, by its number.
    Model(usize),
    /// The rules for uptake, on a PET whose values become SUV in this way.
    Uptake(Box<Suv>),
}

impl Job {
    /// What runs.
    pub fn finder(&self) -> Finder {
        match self {
            Self::Model(model) => Finder::Model(*model),
            Self::Uptake(_) => Finder::Uptake,
        }
    }
}

/// One finder on one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// What runs.
    pub job: Job,
    /// Index into [`Study::series`].
    pub series: usize,
    /// The series of a model's further input channels, in order; of a PET, its CT where there is one.
    pub companions: Vec<usize>,
    /// How the series differs from what the model was made for.
    pub warnings: Vec<Warning>,
}

impl Task {
    /// The series of all input channels.
    pub fn all_series(&self) -> Vec<usize> {
        let further = self.companions.iter().copied();
        std::iter::once(self.series).chain(further).collect()
    }
}

/// A series that a finder does not run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// What does not run.
    pub finder: Finder,
    /// Index into [`Study::series`].
    pub series: usize,
    /// Stable kebab-case code.
    pub code: &'static str,
    /// The reason in words.
    pub text: String,
}

impl Planner {
    /// Name, version and hash of a finder.
    pub fn identity(&self, finder: Finder) -> &ModelIdentity {
        self.planned(finder).0
    }

    /// What the confidence of a finder means, in a sentence for the reader.
    pub fn confidence_meaning(&self, finder: Finder) -> &str {
        self.planned(finder).1
    }

    fn planned(&self, finder: Finder) -> (&ModelIdentity, &str) {
        match (finder, &self.rules) {
            (Finder::Model(model), _) => {
                let planned = &self.models[model];
                (&planned.identity, &planned.confidence_meaning)
            }
            (Finder::Uptake, Some(rules)) => (&rules.identity, &rules.confidence_meaning),
            // Only `plan` makes one, from the rules.
            (Finder::Uptake, None) => unreachable!("no rules were planned with"),
        }
    }

    /// Warnings of the device, for every report.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Adds to what identifies a run.
    pub(crate) fn add_parameter(&mut self, key: &str, value: &str) {
        self.parameters[key] = value.into();
    }

    /// Chooses the series of each model.
    pub fn plan(&self, study: &Study) -> StudyPlan {
        let mut tasks = Vec::new();
        let mut passed_over = Vec::new();
        for (model, planned) in self.models.iter().enumerate() {
            let finder = Finder::Model(model);
            let intended = &planned.intended;
            let selection = select(study, &request(intended), self.all_series);
            for series in selection.chosen {
                match companions(study, series, &planned.companions) {
                    Ok(companions) => tasks.push(Task {
                        job: Job::Model(model),
                        series,
                        companions,
                        warnings: outside_intended_use(intended, &study.series[series]),
                    }),
                    Err((code, text)) => passed_over.push(PassedOver {
                        finder,
                        series,
                        code,
                        text,
                    }),
                }
            }
            for other in selection.passed_over {
                passed_over.push(PassedOver {
                    finder,
                    series: other.series,
                    code: other.code,
                    text: other.text,
                });
            }
        }
        if let Some(rules) = &self.rules {
            let found = uptake::plan(study, rules.policy, self.all_series);
            tasks.extend(found.tasks);
            passed_over.extend(found.passed_over);
        }
        let provenance = self.provenance(study, &tasks, &passed_over);
        StudyPlan {
            tasks,
            passed_over,
            provenance,
        }
    }

    fn provenance(&self, study: &Study, tasks: &[Task], passed_over: &[PassedOver]) -> Provenance {
        let models = self.models.iter().map(|planned| &planned.identity);
        // The rules are named where there is a PET to speak of.
        let asked = tasks.iter().map(|task| task.job.finder());
        let mut asked = asked.chain(passed_over.iter().map(|over| over.finder));
        let rules = self.rules.iter().map(|rules| &rules.identity);
        let rules = rules.filter(|_| asked.any(|finder| finder == Finder::Uptake));
        let mut provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            git_hash: env!("HILUM_GIT_HASH").into(),
            adapter: self.adapter.clone(),
            driver: self.driver.clone(),
            models: models.chain(rules).cloned().collect(),
            parameters: self.parameters.clone(),
            run_id: String::new(),
        };
        let identity =
            serde_json::to_string(&provenance).expect("strings and JSON values always serialise");
        let mut parts = vec![identity, study.study_instance_uid.clone()];
        for task in tasks {
            parts.push(match &task.job {
                Job::Model(model) => format!("task/{model}"),
                Job::Uptake(suv) => format!("uptake/{suv:?}"),
            });
            for series in std::iter::once(&task.series).chain(&task.companions) {
                parts.extend(study.series[*series].instances.iter().map(
                    |i| match i.frame_number {
                        Some(frame) => format!("{}/{frame}", i.sop_instance_uid),
                        None => i.sop_instance_uid.clone(),
                    },
                ));
            }
        }
        parts.extend(study.series.iter().map(|s| s.uid().to_owned()));
        parts.extend(
            study
                .left_out
                .iter()
                .map(|l| format!("{} {}", l.series_instance_uid, l.error.code())),
        );
        provenance.run_id = UidSource::new(parts.iter().map(String::as_str)).run_id();
        provenance
    }
}

/// Shortest stack that is worth a run, mm: less is no lung.
const MIN_COVERAGE_MM: f64 = 40.0;

/// Slices further apart than this many times the model's widest are refused, nearer ones run with a warning.
const SPACING_TOLERANCE: f64 = 2.0;

fn request(intended: &IntendedUse) -> Request {
    Request {
        modality: intended.modality.clone(),
        body_parts: intended.body_parts.clone(),
        kernel: intended.kernel,
        min_coverage_mm: MIN_COVERAGE_MM,
        max_slice_spacing_mm: intended.max_slice_spacing_mm * SPACING_TOLERANCE,
    }
}

/// The series of the further channels, or why there is none, as a code and in words.
fn companions(
    study: &Study,
    series: usize,
    channels: &[InputChannel],
) -> Result<Vec<usize>, (&'static str, String)> {
    let of = |channel: &InputChannel| {
        let wanted = Companion {
            modality: &channel.modality,
            units: (channel.unit == Unit::Bqml).then_some("BQML"),
        };
        companion(study, series, wanted)
    };
    channels.iter().map(of).collect()
}

fn outside_intended_use(intended: &IntendedUse, series: &Series) -> Vec<Warning> {
    let mut reasons = Vec::new();
    let [spacing_mm, _, _] = series.geometry.spacing_mm();
    let seen_mm = intended.min_slice_spacing_mm..=intended.max_slice_spacing_mm;
    // Positions are written with few decimals; a hundredth of a millimetre is no difference.
    if spacing_mm < seen_mm.start() - 0.01 || spacing_mm > seen_mm.end() + 0.01 {
        reasons.push(format!(
            "slices {spacing_mm:.2} mm apart, trained on {} to {} mm",
            seen_mm.start(),
            seen_mm.end()
        ));
    }
    let first = &series.instances[0];
    if let Some(vendor) = &first.manufacturer
        && !intended.vendors_seen.is_empty()
        && !intended
            .vendors_seen
            .iter()
            .any(|seen| seen.eq_ignore_ascii_case(vendor))
    {
        reasons.push(format!(
            "Manufacturer (0008,0070) is none of {}",
            intended.vendors_seen.join(", ")
        ));
    }
    if first.contrast && !intended.contrast_seen {
        reasons.push("contrast medium, trained without".into());
    }
    reasons
        .into_iter()
        .map(|reason| Warning::OutsideIntendedUse { reason })
        .collect()
}
