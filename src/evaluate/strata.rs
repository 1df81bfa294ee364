//! Groups of nodules whose sensitivity is told apart.

use super::bootstrap::{Estimate, Resamples};
use super::froc::{self, Event, Events};
use super::matching::Outcome;
use super::scan::{Compared, Scan};
use super::truth::Nodule;
use serde::Serialize;

/// Lower and upper diameter of the size classes, mm; the lower one belongs to the class.
const SIZES_MM: [(f64, f64, &str); 6] = [
    (0.0, 3.0, "below 3 mm"),
    (3.0, 5.0, "3 to 5 mm"),
    (5.0, 8.0, "5 to 8 mm"),
    (8.0, 15.0, "8 to 15 mm"),
    (15.0, 30.0, "15 to 30 mm"),
    (30.0, f64::INFINITY, "30 mm and more"),
];

/// Sensitivity of one group of nodules; false positives are those of whole scans.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stratum {
    /// Such as `5 to 8 mm` or `solid`.
    pub name: String,
    /// Nodules.
    pub n: usize,
    /// Of these found at the threshold.
    pub found: usize,
    /// At the threshold.
    pub sensitivity: Estimate,
    /// At one false positive a scan.
    pub sensitivity_at_1_fp_per_scan: Estimate,
}

/// All groups that have nodules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strata {
    /// By diameter.
    pub by_size: Vec<Stratum>,
    /// Of 5 mm and more.
    pub from_5_mm: Option<Stratum>,
    /// By type, where known.
    pub by_type: Vec<Stratum>,
    /// By what they touch, where known.
    pub by_attachment: Vec<Stratum>,
}

/// Nodules and false positives of all scans, of nodules those of a group.
pub(super) fn events(scans: &[Scan], group: impl Fn(&Nodule) -> bool) -> Events {
    let in_group = |compared: &&Compared| compared.counts && group(&compared.nodule);
    let mut events = Vec::new();
    let mut nodules = Vec::new();
    for (index, scan) in scans.iter().enumerate() {
        let event = |confidence, found| Event {
            confidence,
            scan: index,
            found,
        };
        let own = || scan.nodules.iter().filter(in_group);
        let found = own().filter_map(|c| Some(event(c.finder?.confidence, true)));
        let candidates = scan.candidates.iter().zip(&scan.outcomes);
        let wrong = candidates.filter(|(_, outcome)| **outcome == Outcome::FalsePositive);
        events.extend(found.chain(wrong.map(|(c, _)| event(c.confidence, false))));
        nodules.push(u32::try_from(own().count()).unwrap_or(u32::MAX));
    }
    Events::new(events, nodules)
}

impl Strata {
    pub(super) fn new(scans: &[Scan], resamples: &Resamples, threshold: f64) -> Self {
        let stratum = |name: &str, group: &(dyn Fn(&Nodule) -> bool + Sync)| {
            let stratum = stratum(name, scans, resamples, threshold, group);
            (stratum.n > 0).then_some(stratum)
        };
        let sizes = SIZES_MM.iter().filter_map(|(lower, upper, name)| {
            stratum(name, &|nodule| {
                (*lower..*upper).contains(&nodule.diameter_mm)
            })
        });
        let named = |name: fn(&Nodule) -> Option<String>| {
            let counted = scans.iter().flat_map(Scan::counted);
            let mut names: Vec<String> = counted.filter_map(|c| name(&c.nodule)).collect();
            names.sort();
            names.dedup();
            let of_name = |own: &String| stratum(own, &|n| name(n).as_ref() == Some(own));
            names.iter().filter_map(of_name).collect()
        };
        Self {
            by_size: sizes.collect(),
            from_5_mm: stratum("5 mm and more", &|nodule| nodule.diameter_mm >= 5.0),
            by_type: named(type_name),
            by_attachment: named(|nodule| nodule.attachment.clone()),
        }
    }
}

/// The type as it stands in JSON.
pub(super) fn type_name(nodule: &Nodule) -> Option<String> {
    let name = serde_json::to_value(nodule.nodule_type?).ok()?;
    name.as_str().map(str::to_owned)
}

fn stratum(
    name: &str,
    scans: &[Scan],
    resamples: &Resamples,
    threshold: f64,
    group: &(dyn Fn(&Nodule) -> bool + Sync),
) -> Stratum {
    let events = events(scans, group);
    let n = events.nodules() as usize;
    let figures = |weights: &[u32]| {
        let curve = events.curve(weights)?;
        let [sensitivity, _] = froc::at_threshold(&curve, threshold);
        Some([sensitivity, froc::sensitivity_at(&curve, 1.0)])
    };
    let [sensitivity, sensitivity_at_1_fp_per_scan] = resamples.estimates(n, figures);
    let counted = scans.iter().flat_map(Scan::counted);
    let own = counted.filter(|compared| group(&compared.nodule));
    Stratum {
        name: name.into(),
        n,
        found: own
            .filter(|compared| compared.found_at(threshold).is_some())
            .count(),
        sensitivity,
        sensitivity_at_1_fp_per_scan,
    }
}
