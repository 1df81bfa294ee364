//! The time that values with Decay Correction START are corrected to, by every published order.
//!
//! In: the images of a series. Out: one time a slice and what each order would have given.
//! Source: QIBA's pseudo-code (docest.com/doc/550456); IBSI's manual, option B; MITK's `mitkSUVCalculationHelper.h`.

use super::branch::{Candidate, ReferenceRule};
use super::decay::average_time_s;
use super::{Error, Maker, PetImage, Policy, Timestamp, Warning};

/// Orders that differ by more are told.
const AGREEMENT: f64 = 0.01;

/// Two times within this are the same second.
const SAME_S: f64 = 1.0;

/// A rule and its time for each slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference {
    pub(super) rule: ReferenceRule,
    pub(super) times: Vec<Timestamp>,
}

/// The reference that is taken, and what each order gives.
pub(super) struct Found {
    pub(super) reference: Reference,
    pub(super) candidates: Vec<Candidate>,
}

/// What an attribute states comes first; else, if the policy allows, what is derived: MITK's way, which is IBSI's but for GE,
/// then QIBA's.
pub(super) fn find(
    images: &[&PetImage],
    half_life_s: f64,
    policy: Policy,
    warnings: &mut Vec<Warning>,
) -> Result<Found, Error> {
    let stated = stated(images);
    let orders = [
        ("qiba", stated_by_enhanced(images).or_else(|| qiba(images))),
        (
            "ibsi",
            stated_by_enhanced(images).or_else(|| ibsi(images, half_life_s)),
        ),
        (
            "mitk",
            stated.clone().or_else(|| derived(images, half_life_s)),
        ),
    ];
    let reference = match stated {
        Some(stated) => stated,
        None => {
            let [(_, qiba), _, (_, mitk)] = &orders;
            let derived = mitk.clone().or_else(|| qiba.clone());
            let derived = derived.ok_or(Error::NoReferenceTime)?;
            policy.admit(Warning::ReferenceTimeDerived, warnings)?;
            derived
        }
    };
    warnings.extend(scatter(&reference, half_life_s));
    let candidates = orders.into_iter().filter_map(|(order, found)| {
        let found = found?;
        Some(Candidate {
            order,
            rule: found.rule,
            suv_ratio: suv_ratio(&found, &reference, half_life_s),
        })
    });
    let candidates: Vec<Candidate> = candidates.collect();
    warnings.extend(disagreement(&candidates));
    Ok(Found {
        reference,
        candidates,
    })
}

/// An attribute says the time: that of an enhanced PET, MITK's steps 1 and 2.
fn stated(images: &[&PetImage]) -> Option<Reference> {
    let by_maker = || {
        let has_element = |image: &&PetImage| matches!(image.maker, Maker::Siemens | Maker::Ge);
        let known = images.iter().all(has_element);
        known.then(|| private(images)).flatten()
    };
    stated_by_enhanced(images)
        .or_else(by_maker)
        .or_else(|| at_series_time(images))
}

fn stated_by_enhanced(images: &[&PetImage]) -> Option<Reference> {
    each(images, ReferenceRule::DecayCorrectionDateTime, |image| {
        image.decay_correction_time
    })
}

fn private(images: &[&PetImage]) -> Option<Reference> {
    each(images, ReferenceRule::PrivateTime, |image| {
        image.private_time
    })
}

fn at_series_time(images: &[&PetImage]) -> Option<Reference> {
    let series = series_time(images)?;
    let away_s = earliest_acquisition(images)?.seconds_after(series);
    (away_s.abs() < SAME_S).then(|| one(images, ReferenceRule::AcquisitionAtSeriesTime, series))
}

/// Series Time unless it lies after an acquisition; else GE's element; else the earliest acquisition.
fn qiba(images: &[&PetImage]) -> Option<Reference> {
    let earliest = earliest_acquisition(images);
    let before = |series: &Timestamp| earliest.is_none_or(|e| e.seconds_after(*series) > -SAME_S);
    let of_ge = || {
        let is_ge = |image: &&PetImage| image.maker == Maker::Ge;
        images.iter().all(is_ge).then(|| private(images)).flatten()
    };
    series_time(images)
        .filter(before)
        .map(|series| one(images, ReferenceRule::SeriesTime, series))
        .or_else(of_ge)
        .or_else(|| Some(one(images, ReferenceRule::EarliestAcquisition, earliest?)))
}

/// Always from the frame.
fn ibsi(images: &[&PetImage], half_life_s: f64) -> Option<Reference> {
    each(images, ReferenceRule::FrameReference, |image| {
        let frame_s = image.frame_duration_s.filter(|s| *s > 0.0)?;
        let into_frame_s = average_time_s(half_life_s, frame_s) - image.frame_reference_s?;
        Some(image.acquisition_time?.plus_s(into_frame_s))
    })
}

/// MITK's steps 3 and 4: GE counts Frame Reference Time to the start of the frame, others to its average.
fn derived(images: &[&PetImage], half_life_s: f64) -> Option<Reference> {
    if images.iter().any(|image| image.maker != Maker::Ge) {
        return ibsi(images, half_life_s);
    }
    each(images, ReferenceRule::FrameReferenceOfGe, |image| {
        let acquisition = image.acquisition_time?;
        Some(acquisition.plus_s(-image.frame_reference_s?))
    })
}

fn each(
    images: &[&PetImage],
    rule: ReferenceRule,
    time: impl Fn(&PetImage) -> Option<Timestamp>,
) -> Option<Reference> {
    let times = images.iter().map(|image| time(image));
    let times = times.collect::<Option<Vec<_>>>()?;
    Some(Reference { rule, times })
}

fn one(images: &[&PetImage], rule: ReferenceRule, time: Timestamp) -> Reference {
    Reference {
        rule,
        times: vec![time; images.len()],
    }
}

fn series_time(images: &[&PetImage]) -> Option<Timestamp> {
    images.first()?.series_time
}

/// The earliest acquisition, if every slice has one.
pub(super) fn earliest_acquisition(images: &[&PetImage]) -> Option<Timestamp> {
    let times = images.iter().map(|image| image.acquisition_time);
    earliest(&times.collect::<Option<Vec<_>>>()?)
}

/// The earliest of some times.
pub(super) fn earliest(times: &[Timestamp]) -> Option<Timestamp> {
    let earlier = |a: Timestamp, b: Timestamp| if b.seconds_after(a) < 0.0 { b } else { a };
    times.iter().copied().reduce(earlier)
}

/// A later reference leaves less of the dose, so SUV is higher.
fn suv_ratio(other: &Reference, taken: &Reference, half_life_s: f64) -> f64 {
    let pairs = other.times.iter().zip(&taken.times);
    let later_s = pairs.map(|(other, taken)| other.seconds_after(*taken));
    let furthest = |a: f64, b: f64| if b.abs() > a.abs() { b } else { a };
    (later_s.fold(0.0, furthest) / half_life_s).exp2()
}

/// How much higher or lower, as a share of the lower one.
fn difference(suv_ratio: f64) -> f64 {
    suv_ratio.max(1.0 / suv_ratio) - 1.0
}

fn disagreement(candidates: &[Candidate]) -> Option<Warning> {
    let differences = candidates.iter().map(|c| difference(c.suv_ratio));
    let widest = differences.fold(0.0, f64::max);
    (widest > AGREEMENT).then_some(Warning::ReferenceTimesDisagree {
        percent: widest * 100.0,
    })
}

fn scatter(reference: &Reference, half_life_s: f64) -> Option<Warning> {
    let first = earliest(&reference.times)?;
    let later_s = reference.times.iter().map(|t| t.seconds_after(first));
    let widest = difference((later_s.fold(0.0, f64::max) / half_life_s).exp2());
    (widest > AGREEMENT).then_some(Warning::ReferenceTimeScatter {
        percent: widest * 100.0,
    })
}
