//! Which PET series of a study are searched for uptake, with which CT, and how their values become SUV.

use super::{Finder, Job, PassedOver, Task};
use crate::Error;
use crate::dicom::{Companion, KernelPreference, Request, Series, Study, companion, select};
use crate::lesion::pet::TracerKind;
use crate::suv::{Policy, Suv};
use crate::warning::Warning;

/// A shorter stack shows no organ by which uptake could be judged, mm.
const MIN_COVERAGE_MM: f64 = 100.0;
/// Wider than any scanner's slices, mm.
const MAX_SLICE_SPACING_MM: f64 = 8.0;

/// What is done with the PET series of a study.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) tasks: Vec<Task>,
    pub(super) passed_over: Vec<PassedOver>,
}

/// Takes the best PET series whose SUV can be computed, or with `all` every one; tells of every other PET series why not.
pub(super) fn plan(study: &Study, policy: Policy, all: bool) -> Plan {
    let request = Request {
        modality: "PT".into(),
        body_parts: Vec::new(),
        kernel: KernelPreference::Any,
        min_coverage_mm: MIN_COVERAGE_MM,
        max_slice_spacing_mm: MAX_SLICE_SPACING_MM,
    };
    let selection = select(study, &request, true);
    let mut plan = Plan::default();
    for series in selection.chosen {
        // Uncorrected images lie beside the corrected ones: what is refused does not stand in the way of another.
        match suv(&study.series[series], policy) {
            Ok(_) if !all && !plan.tasks.is_empty() => {
                let text = "another PET series has thinner slices or more coverage";
                plan.pass_over(series, "better-series", text.into());
            }
            Ok(suv) => plan.tasks.push(task(study, series, suv)),
            Err((code, text)) => plan.pass_over(series, code, text),
        }
    }
    let others = selection.passed_over.into_iter();
    for other in others.filter(|other| other.code != "modality") {
        plan.pass_over(other.series, other.code, other.text);
    }
    plan
}

impl Plan {
    fn pass_over(&mut self, series: usize, code: &'static str, text: String) {
        self.passed_over.push(PassedOver {
            finder: Finder::Uptake,
            series,
            code,
            text,
        });
    }
}

/// How the values become SUV; of another tracer than FDG there are no rules for them.
fn suv(series: &Series, policy: Policy) -> Result<Suv, (&'static str, String)> {
    let refused = |error: Error| (error.code(), error.to_string());
    let images = series.pet_images().map_err(|error| refused(error.into()))?;
    let tracer = |wrong: &str| {
        format!("the tracer in RadiopharmaceuticalInformationSequence (0054,0016) {wrong}")
    };
    match TracerKind::of(&images) {
        TracerKind::Fdg => Suv::new(&images, policy).map_err(|error| refused(error.into())),
        TracerKind::Other => Err((
            "tracer-not-fdg",
            tracer("is not F-18 FDG, which alone has rules"),
        )),
        TracerKind::Unknown => Err(("tracer-unknown", tracer("is missing or contradicts itself"))),
    }
}

fn task(study: &Study, series: usize, suv: Suv) -> Task {
    let mut warnings: Vec<Warning> = suv.warnings.iter().cloned().map(Warning::Suv).collect();
    let ct = Companion {
        modality: "CT",
        units: None,
    };
    let ct = companion(study, series, ct).ok();
    let is_ct = |other: &Series| other.instances.iter().any(|i| i.modality == "CT");
    if ct.is_none() && study.series.iter().any(is_ct) {
        warnings.push(Warning::PetWithoutCt);
    }
    Task {
        job: Job::Uptake(Box::new(suv)),
        series,
        companions: ct.into_iter().collect(),
        warnings,
    }
}
