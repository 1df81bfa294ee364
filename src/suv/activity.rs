//! Activity concentration to SUV: the dose, and how much of it had decayed.

use super::branch::{Branch, Decay, DecayCorrection};
use super::checks::missing;
use super::decay::{frame_loss, half_life_s, remaining};
use super::{
    Error, PetImage, Policy, Timestamp, Tracer, Warning, administration, names, reference,
};

/// Below this a dose is in MBq: doses lie around 4e8 Bq.
///
/// Source: IBSI's manual of SUV computation.
const MIN_DOSE_BQ: f64 = 1e4;

/// Half-lives that are believed, s: from 10 s to 100 days.
const HALF_LIFE_RANGE_S: std::ops::RangeInclusive<f64> = 10.0..=8.64e6;

/// Published half-lives of one nuclide differ by less than this share.
const HALF_LIFE_TOLERANCE: f64 = 0.02;

/// The dose, and for each slice how much of it its values count as.
pub(super) struct Activity {
    dose_bq: f64,
    half_life_s: Option<f64>,
    /// Injected dose over that to which the values relate, one a slice.
    decays: Vec<f64>,
    decay: Option<Decay>,
}

impl Activity {
    /// Reads the dose and follows Decay Correction.
    pub(super) fn new(
        images: &[&PetImage],
        correction: DecayCorrection,
        policy: Policy,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Error> {
        let tracer = tracer(images)?;
        let dose_bq = dose_bq(tracer, warnings)?;
        if correction == DecayCorrection::Admin {
            return Ok(Self {
                dose_bq,
                half_life_s: None,
                decays: vec![1.0; images.len()],
                decay: None,
            });
        }
        let half_life_s = half_life(tracer, policy, warnings)?;
        let scan = Scan::new(images, correction, half_life_s, policy, warnings)?;
        let earliest = reference::earliest(&scan.times).ok_or(Error::NoReferenceTime)?;
        let injection = administration::find(tracer, earliest, half_life_s, policy, warnings)?;
        let elapsed_s = scan
            .times
            .iter()
            .map(|time| time.seconds_after(injection.time));
        let elapsed_s: Vec<f64> = elapsed_s.collect();
        let decays = elapsed_s.iter().zip(&scan.losses);
        let decays = decays.map(|(s, loss)| loss / remaining(half_life_s, *s));
        Ok(Self {
            dose_bq,
            half_life_s: Some(half_life_s),
            decays: decays.collect(),
            decay: Some(Decay {
                administration: injection.rule,
                administration_clock: injection.time.clock(),
                reference: scan.rule,
                reference_clock: scan.times.first().map_or_else(String::new, |t| t.clock()),
                elapsed_s: extremes(&elapsed_s),
                candidates: scan.candidates,
            }),
        })
    }

    /// SUVbw of 1 Bq/ml for each slice.
    pub(super) fn suv_factors(&self, weight_kg: f64) -> Vec<f64> {
        let undecayed = weight_kg * 1000.0 / self.dose_bq;
        self.decays.iter().map(|decay| undecayed * decay).collect()
    }

    /// Writes down what was used.
    pub(super) fn record(self, branch: &mut Branch) {
        branch.dose_bq = Some(self.dose_bq);
        branch.half_life_s = self.half_life_s;
        branch.decay = self.decay;
    }
}

/// The times that the values relate to.
struct Scan {
    rule: Option<super::ReferenceRule>,
    times: Vec<Timestamp>,
    /// Activity at that time over the stored one, one a slice.
    losses: Vec<f64>,
    candidates: Vec<super::Candidate>,
}

impl Scan {
    fn new(
        images: &[&PetImage],
        correction: DecayCorrection,
        half_life_s: f64,
        policy: Policy,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Error> {
        if correction == DecayCorrection::None {
            return Self::uncorrected(images, half_life_s);
        }
        let found = reference::find(images, half_life_s, policy, warnings)?;
        Ok(Self {
            rule: Some(found.reference.rule),
            losses: vec![1.0; images.len()],
            times: found.reference.times,
            candidates: found.candidates,
        })
    }

    /// A value that was not corrected is the mean over its frame, which starts at the acquisition.
    fn uncorrected(images: &[&PetImage], half_life_s: f64) -> Result<Self, Error> {
        const PURPOSE: &str = "DecayCorrection (0054,1102) NONE";
        let (mut times, mut losses) = (Vec::new(), Vec::new());
        for image in images {
            let time = image.acquisition_time;
            times.push(time.ok_or(missing(names::ACQUISITION_TIME, PURPOSE))?);
            let frame_s = image.frame_duration_s.filter(|s| *s > 0.0);
            let frame_s = frame_s.ok_or(missing(names::FRAME_DURATION, PURPOSE))?;
            losses.push(frame_loss(half_life_s, frame_s));
        }
        Ok(Self {
            rule: None,
            times,
            losses,
            candidates: Vec::new(),
        })
    }
}

fn tracer<'a>(images: &[&'a PetImage]) -> Result<&'a Tracer, Error> {
    let tracers = images.first().map_or(&[][..], |image| &image.tracers);
    match tracers {
        [] => Err(missing(names::TRACERS, "the dose")),
        [tracer] => Ok(tracer),
        _ => Err(Error::SeveralTracers),
    }
}

fn dose_bq(tracer: &Tracer, warnings: &mut Vec<Warning>) -> Result<f64, Error> {
    let dose = tracer.dose.filter(|dose| *dose > 0.0);
    let dose = dose.ok_or(missing(names::DOSE, "SUV"))?;
    if dose >= MIN_DOSE_BQ {
        return Ok(dose);
    }
    warnings.push(Warning::DoseInMbq);
    Ok(dose * 1e6)
}

/// The half-life that the file gives, else that of the radionuclide's code.
fn half_life(tracer: &Tracer, policy: Policy, warnings: &mut Vec<Warning>) -> Result<f64, Error> {
    let by_code = tracer.nuclide.as_deref().and_then(half_life_s);
    let given = tracer.half_life_s.filter(|s| *s > 0.0);
    let Some(given) = given else {
        return by_code.ok_or(missing(names::HALF_LIFE, "the decay of the dose"));
    };
    if !HALF_LIFE_RANGE_S.contains(&given) {
        return Err(Error::BadValue {
            attribute: names::HALF_LIFE,
            needed: "10 s to 100 days is",
        });
    }
    if by_code.is_some_and(|s| (given / s - 1.0).abs() > HALF_LIFE_TOLERANCE) {
        policy.admit(Warning::HalfLifeDisagrees, warnings)?;
    }
    Ok(given)
}

fn extremes(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least, most]
}
