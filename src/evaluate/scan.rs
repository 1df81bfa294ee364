//! One series: its truth and its results, put together.

use super::Error;
use super::matching::{self, Matches, Outcome};
use super::overlap::{self, Overlap, Voxels};
use super::results::{self, Candidate, SeriesResult};
use super::truth::{Case, Nodule};
use crate::volume_file::{self, LabelVoxels};
use glam::DVec3;
use std::collections::BTreeSet;
use std::path::Path;

/// A nodule's voxels may lie this far from its stated centroid, or its diameter where that is more, mm.
const MISPLACED_MM: f64 = 10.0;

/// A series of the truth that was processed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scan {
    pub(super) series_instance_uid: String,
    /// `done`, `skipped` or `failed`.
    pub(super) status: String,
    /// Code of why it is not done.
    pub(super) reason: Option<String>,
    pub(super) candidates: Vec<Candidate>,
    /// Of each candidate.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) nodules: Vec<Compared>,
    /// Why no lesion of it has an overlap.
    pub(super) without_overlap: Option<WithoutOverlap>,
}

/// A nodule of the truth, and what was found of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compared {
    pub(super) nodule: Nodule,
    /// Enough readers marked it.
    pub(super) counts: bool,
    pub(super) finder: Option<Finder>,
}

/// The most confident candidate that hits a nodule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finder {
    /// Index of the candidate.
    pub(super) candidate: usize,
    /// Number of the lesion within its study.
    pub(super) id: u64,
    pub(super) confidence: f64,
    /// Between centroids.
    pub(super) distance_mm: f64,
    /// As reported.
    pub(super) volume_mm3: f64,
    /// Reported volume over the truth's, less one.
    pub(super) volume_error_percent: Option<f64>,
    pub(super) overlap: Option<Overlap>,
}

/// Why the lesions of a series have neither Dice nor surface distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutOverlap {
    /// The truth is centres and diameters.
    NoLabelMap,
    /// The results have no SEG, as those of volume files.
    NoSeg,
    /// SEG and label map lie on different grids.
    OtherGrid,
}

/// Compares the results of a series with its truth.
pub(super) fn compare(
    case: &Case,
    result: &SeriesResult,
    readers: u32,
    max_voxels: u64,
) -> Result<Scan, Error> {
    let label_map = case.label_map.as_deref();
    let labels = label_map.map(|path| read_labels(path, case, max_voxels));
    let labels = labels.transpose()?;
    let Matches { outcomes, finders } =
        matching::matches(&result.candidates, &case.nodules, labels.as_ref(), readers);
    let nodules = case.nodules.iter().zip(finders);
    let compared = |(nodule, finder): (&Nodule, Option<usize>)| Compared {
        nodule: nodule.clone(),
        counts: nodule.readers >= readers,
        finder: finder.map(|index| found(index, &result.candidates, nodule, labels.as_ref())),
    };
    let mut scan = Scan {
        series_instance_uid: case.series_instance_uid.clone(),
        status: result.status.clone(),
        reason: result.reason.clone(),
        candidates: result.candidates.clone(),
        outcomes,
        nodules: nodules.map(compared).collect(),
        without_overlap: None,
    };
    scan.without_overlap = match labels {
        Some(labels) => scan.add_overlaps(&labels, result)?,
        None => Some(WithoutOverlap::NoLabelMap),
    };
    Ok(scan)
}

fn found(
    index: usize,
    candidates: &[Candidate],
    nodule: &Nodule,
    labels: Option<&LabelVoxels>,
) -> Finder {
    let candidate = &candidates[index];
    let voxels = labels.and_then(|labels| {
        let count = labels.voxels.get(&nodule.label)?.len();
        Some(count as f64 * labels.geometry.voxel_volume_mm3())
    });
    let truth_mm3 = voxels.or(nodule.volume_mm3);
    Finder {
        candidate: index,
        id: candidate.id,
        confidence: candidate.confidence,
        distance_mm: matching::distance_mm(candidate, nodule),
        volume_mm3: candidate.volume_mm3,
        volume_error_percent: truth_mm3.map(|mm3| 100.0 * (candidate.volume_mm3 / mm3 - 1.0)),
        overlap: None,
    }
}

/// The label map of a case, checked against its truth file.
fn read_labels(path: &Path, case: &Case, max_voxels: u64) -> Result<LabelVoxels, Error> {
    let labels = LabelVoxels::read(path, max_voxels);
    let labels = labels.map_err(|source: volume_file::Error| Error::LabelMap {
        file: path.into(),
        source,
    })?;
    let found = labels.geometry.size;
    if let Some(declared) = case.shape_zyx.filter(|declared| *declared != found) {
        return Err(Error::Shape {
            file: path.into(),
            found,
            declared,
        });
    }
    for nodule in &case.nodules {
        let Some(centre) = labels.voxels.get(&nodule.label).and_then(|v| mean_index(v)) else {
            continue;
        };
        let centre_lps_mm = labels.geometry.to_lps_mm(centre);
        let distance_mm = centre_lps_mm.distance(DVec3::from_array(nodule.centroid_lps_mm));
        if distance_mm > nodule.diameter_mm.max(MISPLACED_MM) {
            return Err(Error::Misplaced {
                file: path.into(),
                label: nodule.label,
                distance_mm,
            });
        }
    }
    Ok(labels)
}

/// Mean index `[x, y, z]`.
fn mean_index(voxels: &[[u16; 3]]) -> Option<DVec3> {
    let sum: DVec3 = voxels
        .iter()
        .map(|[z, y, x]| DVec3::new((*x).into(), (*y).into(), (*z).into()))
        .sum();
    (!voxels.is_empty()).then(|| sum / voxels.len() as f64)
}

impl Scan {
    /// Compares the segment of every found nodule with its voxels; says why there are none to compare.
    fn add_overlaps(
        &mut self,
        labels: &LabelVoxels,
        result: &SeriesResult,
    ) -> Result<Option<WithoutOverlap>, Error> {
        let (candidates, nodules) = (&self.candidates, &mut self.nodules);
        let found = || {
            nodules
                .iter()
                .filter_map(|compared| compared.finder.as_ref())
        };
        let uid = |finder: &Finder| candidates[finder.candidate].tracking_uid.as_str();
        let wanted: BTreeSet<&str> = found().map(uid).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let Some(segments) = results::segments(&result.findings, &wanted)? else {
            return Ok(Some(WithoutOverlap::NoSeg));
        };
        for compared in nodules {
            let Some(finder) = &mut compared.finder else {
                continue;
            };
            let segment = segments.get(uid(finder));
            let segment = segment.ok_or_else(|| Error::SegmentMissing {
                file: result.findings.clone(),
                lesion: finder.id,
            })?;
            let Some(segment) = overlap::on_grid(segment, &labels.geometry) else {
                return Ok(Some(WithoutOverlap::OtherGrid));
            };
            let truth = labels.voxels.get(&compared.nodule.label).into_iter();
            let truth: Voxels = truth.flatten().copied().collect();
            finder.overlap = overlap::overlap(&segment, &truth, &labels.geometry);
        }
        Ok(None)
    }

    /// Nodules of enough readers.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Compared> {
        self.nodules.iter().filter(|compared| compared.counts)
    }

    /// Candidates of an outcome, of at least a confidence.
    pub(super) fn count(&self, outcome: Outcome, threshold: f64) -> usize {
        let pairs = self.candidates.iter().zip(&self.outcomes);
        pairs
            .filter(|(candidate, own)| **own == outcome && candidate.confidence >= threshold)
            .count()
    }
}

impl Compared {
    /// Found by a candidate of at least a confidence.
    pub(super) fn found_at(&self, threshold: f64) -> Option<&Finder> {
        let finder = self.finder.as_ref();
        finder.filter(|finder| finder.confidence >= threshold)
    }
}
