//! Whether bands, requests for review and types are right, where the model has a classifier that gives them.

use super::bootstrap::{Estimate, Resamples};
use super::matching::Outcome;
use super::results::{Assessed, Candidate};
use super::scan::Scan;
use crate::code::NoduleType;
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of the classifier's statements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessments {
    /// Candidates by the band of their confidence.
    pub bands: Vec<Group>,
    /// Candidates by whether a person is asked to look.
    pub review: Vec<Group>,
    /// Nodules found at the threshold whose type is known and told.
    pub types: Vec<TypePair>,
    /// Share of these whose type is right.
    pub type_agreement: Estimate,
}

/// Candidates of which the same is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Such as `high`, or `asked`.
    pub name: String,
    /// Candidates but the ignored ones.
    pub n: usize,
    /// Of these hits.
    pub hits: usize,
}

/// Nodules of one type that are said to be of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypePair {
    /// Of the truth.
    pub truth: NoduleType,
    /// Of the results.
    pub told: NoduleType,
    /// Nodules.
    pub n: usize,
}

/// None where no candidate was assessed.
pub(super) fn assessments(
    scans: &[Scan],
    resamples: &Resamples,
    threshold: f64,
) -> Option<Assessments> {
    let bands = groups(scans, |assessed| assessed.band.clone());
    if bands.is_empty() {
        return None;
    }
    let asked = |assessed: &Assessed| match assessed.asks_for_review {
        true => "asked".to_owned(),
        false => "not asked".to_owned(),
    };
    let of_scan = |scan: &Scan| pairs(scan, threshold);
    let pairs: Vec<Vec<[NoduleType; 2]>> = scans.iter().map(of_scan).collect();
    let n = pairs.iter().map(Vec::len).sum();
    Some(Assessments {
        bands,
        review: groups(scans, asked),
        types: counted(&pairs),
        type_agreement: resamples.estimate(n, |weights| {
            let weighted = || pairs.iter().zip(weights).map(|(p, w)| (p, f64::from(*w)));
            let right = |p: &Vec<[NoduleType; 2]>| p.iter().filter(|[a, b]| a == b).count();
            let all: f64 = weighted().map(|(p, w)| w * p.len() as f64).sum();
            let right: f64 = weighted().map(|(p, w)| w * right(p) as f64).sum();
            (all > 0.0).then(|| right / all)
        }),
    })
}

/// Assessed candidates by what is said of them.
fn groups(scans: &[Scan], name: impl Fn(&Assessed) -> String) -> Vec<Group> {
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let candidates = scans
        .iter()
        .flat_map(|s| s.candidates.iter().zip(&s.outcomes));
    for (Candidate { assessed, .. }, outcome) in candidates {
        let Some(assessed) = assessed.as_ref().filter(|_| *outcome != Outcome::Ignored) else {
            continue;
        };
        let [n, hits] = counts.entry(name(assessed)).or_default();
        *n += 1;
        *hits += usize::from(*outcome == Outcome::Hit);
    }
    let group = |(name, [n, hits]): (String, [usize; 2])| Group { name, n, hits };
    counts.into_iter().map(group).collect()
}

/// True and told type of the nodules that were found.
fn pairs(scan: &Scan, threshold: f64) -> Vec<[NoduleType; 2]> {
    let counted = scan.counted();
    let pair = counted.filter_map(|compared| {
        let finder = compared.found_at(threshold)?;
        let told = scan.candidates[finder.candidate].assessed.as_ref()?;
        Some([compared.nodule.nodule_type?, told.nodule_type?])
    });
    pair.collect()
}

fn counted(pairs: &[Vec<[NoduleType; 2]>]) -> Vec<TypePair> {
    const TYPES: [NoduleType; 3] = [
        NoduleType::Solid,
        NoduleType::PartSolid,
        NoduleType::GroundGlass,
    ];
    let of = |truth, told| {
        let same = pairs
            .iter()
            .flatten()
            .filter(|pair| **pair == [truth, told]);
        let n = same.count();
        (n > 0).then_some(TypePair { truth, told, n })
    };
    let all = TYPES
        .iter()
        .flat_map(|truth| TYPES.iter().map(|told| (*truth, *told)));
    all.filter_map(|(truth, told)| of(truth, told)).collect()
}
