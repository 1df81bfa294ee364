//! Lesions of an FDG PET by published SUV rules, and uptake that is physiological, told apart by place and shape.
//!
//! In: a PET whose rescale gives SUV; the lungs of a CT where there are any. Out: regions on the PET's own slices, each with the
//! rule that made it, and the reference regions. docs/pet-lesions.md has the rules, their sources, and where they fail.

mod alignment;
mod blur;
mod body;
mod candidate;
mod divide;
mod field;
#[cfg(test)]
mod fixture;
mod landmarks;
mod organ;
mod params;
mod recognise;
mod reference;
mod score;
#[cfg(test)]
mod tests;
mod tracer;

pub use organ::Organ;
pub use params::{PetParams, Threshold};
pub use reference::{NoReference, Reference, Site};
pub use tracer::TracerKind;

use super::watershed::neighbours;
use super::{Kind, Lesion, LesionMask};
use crate::volume::{Mask, StoredVolume};
use body::Body;
use candidate::{Candidate, Regions};
use field::Field;
use glam::DVec3;
use recognise::{Recognised, Surroundings};
use reference::Liver;
use score::Score;

/// What was found in a PET.
#[derive(Debug, Clone, PartialEq)]
pub struct PetOutcome {
    /// Lesions, the highest score first, and then the organs, the best fit first.
    pub findings: Vec<PetFinding>,
    /// The liver that uptake was compared with.
    pub liver: Result<Reference, NoReference>,
    /// The mediastinal blood pool.
    pub blood_pool: Result<Reference, NoReference>,
    /// How far the PET's lungs lie from those that were given; `None` without lungs.
    pub lung_offset_mm: Option<f64>,
}

/// A region of high uptake, and how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct PetFinding {
    /// The region. Its confidence is no probability: of a [`Kind::PetLesion`] a score of contrast and size, of a
    /// [`Kind::PhysiologicUptake`] how well place and shape fit the organ.
    pub lesion: Lesion,
    /// What it is taken for, if no lesion.
    pub organ: Option<Organ>,
    /// What rule made it.
    pub threshold: Threshold,
    /// The SUV that its voxels have at least.
    pub threshold_suv: f64,
    /// The threshold is above the rule's, or the region would have run into what lies around it.
    pub is_raised: bool,
    /// Largest SUV.
    pub suv_max: f64,
    /// Median SUV of the tissue around it.
    pub background_suv: f64,
    /// Why a person must look; empty where nothing speaks for that.
    pub review: Vec<PetReview>,
}

/// Why a person must look at a region of high uptake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PetReview {
    /// A lesion that touches physiological uptake, and may be part of it.
    BesidePhysiologic,
    /// An organ whose place and shape may be a lesion's as well.
    OrganUncertain,
    /// The threshold was raised, so the volume depends on what lies around.
    ThresholdRaised,
}

impl PetReview {
    /// A stable kebab-case code, as it stands in reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BesidePhysiologic => "beside-physiologic",
            Self::OrganUncertain => "organ-uncertain",
            Self::ThresholdRaised => "threshold-raised",
        }
    }
}

/// A lesion so near to an organ may be part of it, mm.
const BESIDE_MM: f64 = 20.0;
/// An organ that fits less is uncertain.
const CERTAIN_FIT: f32 = 0.5;

/// Lungs of PET and CT that lie farther apart were not in one place, mm: breathing moves their lower border as far.
pub const MAX_LUNG_OFFSET_MM: f64 = 15.0;

/// Finds the regions of high uptake of an FDG PET and says which are organs.
///
/// `suv` has a rescale to SUV by body weight; `lungs`, of a CT of the same frame of reference, keeps what lies in them from
/// being taken for an organ, unless they lie more than [`MAX_LUNG_OFFSET_MM`] from the lungs of the PET. Equal input gives equal output, whatever the orientation of the slices.
pub fn find(suv: &StoredVolume, lungs: Option<&Mask>, params: &PetParams) -> PetOutcome {
    let field = Field::new(suv, [params.peak_fwhm_mm, params.saddle_fwhm_mm]);
    let body = Body::new(&field);
    let offset = lungs.and_then(|lungs| alignment::lung_offset_mm(&field, lungs));
    let lung_offset_mm = offset.map(DVec3::length);
    let lungs = lungs.filter(|_| lung_offset_mm.is_none_or(|mm| mm <= MAX_LUNG_OFFSET_MM));
    let liver = reference::liver(&field, &body);
    let found = liver.as_ref().ok();
    let blood_pool = match found {
        Some(liver) => reference::blood_pool(&field, &body, liver),
        None => Err(NoReference::BloodPoolNotFound),
    };
    let mut regions = Regions::new(&field, params, found.map(|liver| &liver.reference));
    let candidates = regions.candidates();
    let surroundings = Surroundings {
        in_lungs: shares(&field, &candidates, |at| {
            lungs.is_some_and(|lungs| at_position(lungs, at))
        }),
        in_liver: shares(&field, &candidates, |at| {
            found.is_some_and(|liver| liver.holds(&body, at))
        }),
        body: &body,
        liver: found,
    };
    let names = recognise::recognise(&candidates, &surroundings);
    let named = regions.divide_lesions(candidates.into_iter().zip(names));
    let findings = findings(&field, params, &merged(named), found);
    PetOutcome {
        findings,
        liver: liver.map(|liver| liver.reference),
        blood_pool,
        lung_offset_mm,
    }
}

fn at_position(mask: &Mask, position_lps_mm: DVec3) -> bool {
    let index = mask
        .geometry
        .lps_to_index()
        .transform_point3(position_lps_mm);
    body::nearest_voxel(&mask.geometry, index).is_some_and(|voxel| mask.voxels[voxel] != 0)
}

/// Part of each candidate's voxels that lie in something, 0 to 1.
fn shares(field: &Field, candidates: &[Candidate], holds: impl Fn(DVec3) -> bool) -> Vec<f64> {
    let share = |candidate: &Candidate| {
        let held = candidate
            .voxels
            .iter()
            .filter(|i| holds(field.position_lps_mm(**i)));
        held.count() as f64 / candidate.voxels.len() as f64
    };
    candidates.iter().map(share).collect()
}

fn findings(
    field: &Field,
    params: &PetParams,
    merged: &[Named],
    liver: Option<&Liver>,
) -> Vec<PetFinding> {
    let warm_suv = reference::warm_suv(liver.map(|liver| &liver.reference));
    let mut is_organ = vec![false; field.suv.len()];
    for (candidate, name) in merged {
        // What stands out of the liver is compared with the liver itself.
        if name.is_some_and(|name| name.organ != Organ::Liver) {
            let hot = |i: &&usize| f64::from(field.suv[**i]) >= warm_suv;
            candidate
                .voxels
                .iter()
                .filter(hot)
                .for_each(|i| is_organ[*i] = true);
        }
    }
    let finding = |(candidate, name): &Named| match name {
        Some(name) => organ_finding(field, params, candidate, *name),
        None => {
            let beside = touches(field, candidate, &is_organ);
            lesion_finding(field, params, candidate, beside, liver)
        }
    };
    let mut findings: Vec<PetFinding> = merged.iter().map(finding).collect();
    findings.sort_by(|a, b| {
        let confidence = |of: &PetFinding| of.lesion.confidence;
        let lesions_first = a.organ.is_some().cmp(&b.organ.is_some());
        lesions_first.then(confidence(b).total_cmp(&confidence(a)))
    });
    findings
}

/// A region and the organ that it is taken for.
type Named = (Candidate, Option<Recognised>);

/// The parts of each organ as one.
fn merged(named: Vec<Named>) -> Vec<Named> {
    let mut merged: Vec<Named> = Vec::new();
    for (candidate, name) in named {
        let same = |(_, other): &&mut Named| {
            name.is_some() && other.map(|o| o.organ) == name.map(|n| n.organ)
        };
        match merged.iter_mut().find(same) {
            Some((whole, _)) => whole.join(candidate),
            None => merged.push((candidate, name)),
        }
    }
    merged
}

/// Whether a region lies beside an organ, whose rim lies outside of its threshold.
fn touches(field: &Field, candidate: &Candidate, is_organ: &[bool]) -> bool {
    let beside = |i: usize| field.around(field.position_lps_mm(i), BESIDE_MM);
    let near = |i: usize, j: usize| {
        is_organ[j] && field.position_lps_mm(i).distance(field.position_lps_mm(j)) <= BESIDE_MM
    };
    let is_edge = |i: &usize| {
        let own = |j: usize| candidate.voxels.binary_search(&j).is_ok();
        !neighbours(field.size(), *i).all(own)
    };
    let mut edge = candidate.voxels.iter().copied().filter(is_edge);
    edge.any(|i| beside(i).any(|j| near(i, j)))
}

fn lesion_finding(
    field: &Field,
    params: &PetParams,
    candidate: &Candidate,
    beside: bool,
    liver: Option<&Liver>,
) -> PetFinding {
    let score = Score {
        peak_suv: candidate.peak_suv,
        background_suv: candidate.background_suv,
        liver_suv: liver.map(|liver| liver.reference.mean_suv),
        volume_ml: candidate.volume_ml,
        beside,
    };
    let mut finding = PetFinding::new(field, params, candidate, Kind::PetLesion);
    finding.lesion.confidence = score.value();
    if beside {
        finding.review.insert(0, PetReview::BesidePhysiologic);
    }
    finding
}

fn organ_finding(
    field: &Field,
    params: &PetParams,
    candidate: &Candidate,
    name: Recognised,
) -> PetFinding {
    let mut finding = PetFinding::new(field, params, candidate, Kind::PhysiologicUptake);
    finding.lesion.terms = name.organ.terms();
    finding.lesion.confidence = name.fit;
    finding.organ = Some(name.organ);
    if name.fit < CERTAIN_FIT {
        finding.review.insert(0, PetReview::OrganUncertain);
    }
    finding
}

impl PetFinding {
    fn new(field: &Field, params: &PetParams, candidate: &Candidate, kind: Kind) -> Self {
        let raised = candidate.is_raised.then_some(PetReview::ThresholdRaised);
        Self {
            lesion: Lesion {
                kind,
                terms: kind.into(),
                confidence: 0.0,
                assessment: None,
                centre_lps_mm: candidate.centre_lps_mm,
                mask: mask(field, &candidate.voxels),
            },
            organ: None,
            threshold: params.threshold,
            threshold_suv: candidate.threshold_suv,
            is_raised: candidate.is_raised,
            suv_max: candidate.suv_max,
            background_suv: candidate.background_suv,
            review: raised.into_iter().collect(),
        }
    }
}

/// The box of some voxels and which of it they are.
fn mask(field: &Field, voxels: &[usize]) -> LesionMask {
    let at = || voxels.iter().map(|i| field.voxel(*i));
    let first = at().fold([usize::MAX; 3], |a, b| {
        std::array::from_fn(|k| a[k].min(b[k]))
    });
    let last = at().fold([0; 3], |a, b| std::array::from_fn(|k| a[k].max(b[k])));
    let size: [usize; 3] = std::array::from_fn(|k| last[k] + 1 - first[k]);
    let mut inside = vec![false; size.iter().product()];
    for [z, y, x] in at() {
        inside[((z - first[0]) * size[1] + y - first[1]) * size[2] + x - first[2]] = true;
    }
    LesionMask {
        origin: first,
        size,
        inside,
    }
}
