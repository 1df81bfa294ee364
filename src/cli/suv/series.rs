//! What one PET series comes to, for people and as JSON.

use crate::Error;
use crate::dicom::{self, LeftOut, Series};
use crate::region::{self, Region};
use crate::suv::{Branch, Decay, Policy, Ratios, Statistics, Suv};
use crate::volume::Mask;
use serde::Serialize;
use std::fmt;

/// What holds for every series.
pub(super) struct Options<'a> {
    pub(super) policy: Policy,
    pub(super) region: Option<&'a Region>,
    pub(super) max_voxels: u64,
}

/// A code and its words.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Coded {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Coded {
    pub(super) fn new(code: &'static str, message: &impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { code, message }
    }
}

/// SUV of one series, or why there is none.
#[derive(Debug, Serialize)]
pub(super) struct SeriesSuv {
    series_instance_uid: String,
    slices: usize,
    suvbw: Option<Statistics>,
    ratios: Option<Ratios>,
    branch: Option<Branch>,
    refusal: Option<Coded>,
    warnings: Vec<Coded>,
}

impl SeriesSuv {
    /// Computes it.
    pub(super) fn of(series: &Series, options: &Options) -> Self {
        let warnings = series.warnings.iter();
        let mut found = Self {
            series_instance_uid: series.uid().to_owned(),
            slices: series.instances.len(),
            suvbw: None,
            ratios: None,
            branch: None,
            refusal: None,
            warnings: warnings.map(|w| Coded::new(w.code(), w)).collect(),
        };
        if let Err(error) = found.compute(series, options) {
            found.suvbw = None;
            found.refusal = Some(Coded::new(error.code(), &error));
        }
        found
    }

    /// A series that is no volume.
    pub(super) fn left_out(left_out: &LeftOut) -> Self {
        Self {
            series_instance_uid: left_out.series_instance_uid.clone(),
            slices: 0,
            suvbw: None,
            ratios: None,
            branch: None,
            refusal: Some(Coded::new(left_out.error.code(), &left_out.error)),
            warnings: Vec::new(),
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    fn compute(&mut self, series: &Series, options: &Options) -> Result<(), Error> {
        let suv = Suv::new(&series.pet_images()?, options.policy)?;
        self.warn(suv.warnings.iter().map(|w| Coded::new(w.code(), w)));
        self.ratios = suv.ratios;
        self.branch = Some(suv.branch.clone());
        let mask = self.mask(series, options)?;
        let mut stored = dicom::load(series, options.max_voxels, None)?;
        suv.apply(&mut stored);
        let found = Statistics::inside(&stored, mask.as_ref());
        let found = found.ok_or(region::Error::NoOverlap)?;
        self.warn(found.warning().iter().map(|w| Coded::new(w.code(), w)));
        self.suvbw = Some(found);
        Ok(())
    }

    fn mask(&mut self, series: &Series, options: &Options) -> Result<Option<Mask>, Error> {
        let Some(region) = options.region else {
            return Ok(None);
        };
        let (mask, warnings) = region.on(series)?;
        self.warn(warnings.iter().map(|w| Coded::new(w.code(), w)));
        Ok(Some(mask))
    }

    fn warn(&mut self, warnings: impl Iterator<Item = Coded>) {
        self.warnings.extend(warnings);
    }
}

impl fmt::Display for SeriesSuv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} slices)", self.series_instance_uid, self.slices)?;
        if let Some(found) = &self.suvbw {
            writeln!(
                f,
                "  SUVbw    min {:.2}  median {:.2}  max {:.2}  mean {:.2} g/ml, {} voxels",
                found.min, found.median, found.max, found.mean, found.voxels
            )?;
        }
        if let Some(branch) = self.branch.as_ref().filter(|_| !self.is_refused()) {
            write_branch(f, branch)?;
        }
        if let Some(Coded { code, message }) = &self.refusal {
            writeln!(f, "  refused  [{code}] {message}")?;
        }
        for Coded { code, message } in &self.warnings {
            writeln!(f, "  warning  [{code}] {message}")?;
        }
        Ok(())
    }
}

fn write_branch(f: &mut fmt::Formatter<'_>, branch: &Branch) -> fmt::Result {
    write!(f, "  rule     {}", word(&branch.meaning))?;
    if let Some(correction) = &branch.decay_correction {
        write!(f, ", decay correction {}", word(correction))?;
    }
    if let Some(dose_bq) = branch.dose_bq {
        write!(f, ", dose {:.2} MBq", dose_bq / 1e6)?;
    }
    if let Some(half_life_s) = branch.half_life_s {
        write!(f, ", half-life {half_life_s:.1} s")?;
    }
    if let Some(weight_kg) = branch.weight_kg {
        write!(f, ", weight {weight_kg:.1} kg")?;
    }
    writeln!(f)?;
    branch
        .decay
        .iter()
        .try_for_each(|decay| write_decay(f, decay))
}

fn write_decay(f: &mut fmt::Formatter<'_>, decay: &Decay) -> fmt::Result {
    let reference = decay.reference.as_ref().map(word);
    let [least_s, most_s] = decay.elapsed_s.map(|s| format!("{s:.0}"));
    let last_s = Some(&most_s).filter(|most_s| **most_s != least_s);
    let last_s = last_s.map(|s| format!(" to {s}")).unwrap_or_default();
    writeln!(
        f,
        "  times    injected {} ({}), values of {} ({}), {least_s}{last_s} s later",
        decay.administration_clock,
        word(&decay.administration),
        decay.reference_clock,
        reference.unwrap_or_else(|| "acquisition".into()),
    )?;
    for candidate in &decay.candidates {
        let rule = word(&candidate.rule);
        let times = candidate.suv_ratio;
        writeln!(
            f,
            "  order    {:5} {rule}, SUV x {times:.4}",
            candidate.order
        )?;
    }
    Ok(())
}

/// A term as JSON has it.
fn word(term: &impl Serialize) -> String {
    let value = serde_json::to_value(term).ok();
    let text = value.and_then(|value| value.as_str().map(str::to_owned));
    text.unwrap_or_default()
}
