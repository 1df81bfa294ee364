//! All figures of an evaluation, as `summary.json` holds them.

use super::assessed::{self, Assessments};
use super::bootstrap::{Estimate, Resamples};
use super::calibration::{self, Bin, Sample, Samples};
use super::froc::{self, OPERATING_POINTS, Point};
use super::matching::Outcome;
use super::results::Model;
use super::scan::{Finder, Scan, WithoutOverlap};
use super::strata::{self, Strata};
use super::truth::{Case, Format};
use super::{Inputs, Options};
use serde::Serialize;

/// Grows when a key changes its meaning or goes; new keys alone leave it as it is.
const SCHEMA_VERSION: u32 = 1;

const HIT_RULE: &str = "a candidate hits a nodule whose voxels lie in the box of 2 mm (at least one voxel) around the voxel of its centroid, or \
whose centroid is no further away than half its diameter or 3 mm; of several that hit one nodule the most confident one counts, \
and what hits marks of fewer readers alone is neither a hit nor a false positive";
const FROC_RULE: &str = "as noduleCADEvaluationLUNA16.py: a point for each confidence that occurs, linear between points, beyond the last point its sensitivity";

/// What `summary.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    schema_version: u32,
    /// How it was counted.
    pub parameters: Parameters,
    /// The weights that made the results.
    pub models: Vec<Model>,
    /// Evaluated series.
    pub series: Vec<Series>,
    /// Series of the truth that the results lack; their nodules are in no figure.
    pub not_processed: Vec<NotProcessed>,
    /// Of the candidates at the threshold.
    pub detection: Detection,
    /// Over all thresholds.
    pub froc: Froc,
    /// By size, type and attachment.
    pub strata: Strata,
    /// How well found lesions are outlined.
    pub overlap: OverlapSummary,
    /// Whether confidences are shares.
    pub calibration: Calibration,
    /// Bands, requests for review and types; none without a classifier.
    pub assessments: Option<Assessments>,
}

/// How it was counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameters {
    truth: Format,
    /// Marks of fewer readers are neither hits nor false positives.
    pub readers: u32,
    /// Candidates of at least this confidence count as found.
    pub threshold: f64,
    /// Resamples of an interval.
    pub bootstrap: u32,
    seed: u64,
    hit_rule: &'static str,
    froc_rule: &'static str,
}

/// One evaluated series, at the threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// `done`, `skipped` or `failed`.
    pub status: String,
    /// Code of why it is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of enough readers.
    pub nodules: usize,
    /// Of these found.
    pub found: usize,
    /// Candidates that hit nothing.
    pub false_positives: usize,
    /// Candidates that hit marks of fewer readers alone.
    pub ignored: usize,
    /// Candidates of any confidence.
    pub candidates: usize,
    /// Why no lesion has an overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_overlap: Option<WithoutOverlap>,
}

/// A series that was to be evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotProcessed {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Of enough readers.
    pub nodules: usize,
}

/// Counts and rates at the threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detection {
    /// Evaluated series.
    pub scans: usize,
    /// Of enough readers.
    pub nodules: usize,
    /// Of these found.
    pub found: usize,
    /// Candidates that hit nothing.
    pub false_positives: usize,
    /// Share of the nodules that were found.
    pub sensitivity: Estimate,
    /// Mean over scans.
    pub false_positives_per_scan: Estimate,
}

/// Sensitivity over false positives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Froc {
    /// At LUNA16's rates.
    pub operating_points: Vec<OperatingPoint>,
    /// Their mean.
    pub competition_performance_metric: Estimate,
    /// Least confidence of the results: below it, `process` wrote nothing.
    pub lowest_confidence: Option<f64>,
}

/// Sensitivity at one rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// False positives a scan.
    pub false_positives_per_scan: f64,
    /// Interpolated.
    pub sensitivity: Estimate,
}

/// Means over the nodules found at the threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlapSummary {
    /// Dice's coefficient.
    pub dice: Estimate,
    /// Average symmetric surface distance, mm.
    pub surface_distance_mm: Estimate,
    /// Reported volume over the truth's, less one, %.
    pub volume_error_percent: Estimate,
    /// The same without its sign.
    pub absolute_volume_error_percent: Estimate,
}

/// Confidence against outcome of all candidates but the ignored ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Candidates.
    pub n: usize,
    /// Of these hits.
    pub hits: usize,
    /// Over the bins.
    pub expected_calibration_error: Estimate,
    /// Mean squared difference.
    pub brier: Estimate,
    /// The reliability table.
    pub bins: Vec<Bin>,
}

impl Summary {
    pub(super) fn new(inputs: &Inputs, options: &Options) -> (Self, Vec<Point>) {
        let scans = &inputs.scans;
        let resamples = Resamples::new(scans.len(), options.bootstrap, options.seed);
        let events = strata::events(scans, |_| true);
        let curve = events.curve(resamples.all()).unwrap_or_default();
        let summary = Self {
            schema_version: SCHEMA_VERSION,
            parameters: parameters(inputs.format, options),
            models: inputs.models.clone(),
            series: scans.iter().map(|s| series(s, options.threshold)).collect(),
            not_processed: inputs.missing.iter().map(|c| missing(c, options)).collect(),
            detection: detection(scans, &resamples, options.threshold),
            froc: operating_points(scans, &resamples),
            strata: Strata::new(scans, &resamples, options.threshold),
            overlap: overlap(scans, &resamples, options.threshold),
            calibration: calibration(scans, &resamples),
            assessments: assessed::assessments(scans, &resamples, options.threshold),
        };
        (summary, curve)
    }
}

fn parameters(truth: Format, options: &Options) -> Parameters {
    Parameters {
        truth,
        readers: options.readers,
        threshold: options.threshold,
        bootstrap: options.bootstrap,
        seed: options.seed,
        hit_rule: HIT_RULE,
        froc_rule: FROC_RULE,
    }
}

fn series(scan: &Scan, threshold: f64) -> Series {
    Series {
        series_instance_uid: scan.series_instance_uid.clone(),
        status: scan.status.clone(),
        reason: scan.reason.clone(),
        nodules: scan.counted().count(),
        found: found(scan, threshold).count(),
        false_positives: scan.count(Outcome::FalsePositive, threshold),
        ignored: scan.count(Outcome::Ignored, threshold),
        candidates: scan.candidates.len(),
        without_overlap: scan.without_overlap,
    }
}

/// What found the nodules that count.
fn found(scan: &Scan, threshold: f64) -> impl Iterator<Item = &Finder> {
    scan.counted().filter_map(move |c| c.found_at(threshold))
}

fn missing(case: &Case, options: &Options) -> NotProcessed {
    let counts = |readers: u32| readers >= options.readers;
    NotProcessed {
        series_instance_uid: case.series_instance_uid.clone(),
        nodules: case.nodules.iter().filter(|n| counts(n.readers)).count(),
    }
}

fn detection(scans: &[Scan], resamples: &Resamples, threshold: f64) -> Detection {
    let sum = |of: &dyn Fn(&Scan) -> usize| scans.iter().map(of).sum::<usize>();
    let nodules = |scan: &Scan| scan.counted().count();
    let found = |scan: &Scan| found(scan, threshold).count();
    let wrong = |scan: &Scan| scan.count(Outcome::FalsePositive, threshold);
    Detection {
        scans: scans.len(),
        nodules: sum(&nodules),
        found: sum(&found),
        false_positives: sum(&wrong),
        sensitivity: ratio(scans, resamples, sum(&nodules), |s| [found(s), nodules(s)]),
        false_positives_per_scan: ratio(scans, resamples, scans.len(), |s| [wrong(s), 1]),
    }
}

/// A sum over scans by another.
fn ratio(
    scans: &[Scan],
    resamples: &Resamples,
    n: usize,
    parts: impl Fn(&Scan) -> [usize; 2],
) -> Estimate {
    let parts: Vec<[f64; 2]> = scans
        .iter()
        .map(|s| parts(s).map(|part| part as f64))
        .collect();
    resamples.estimate(n, |weights| {
        let sum = |part: usize| -> f64 {
            let pairs = parts.iter().zip(weights);
            pairs
                .map(|(parts, weight)| parts[part] * f64::from(*weight))
                .sum()
        };
        (sum(1) > 0.0).then(|| sum(0) / sum(1))
    })
}

fn operating_points(scans: &[Scan], resamples: &Resamples) -> Froc {
    let events = strata::events(scans, |_| true);
    let figures = |weights: &[u32]| Some(froc::operating_points(&events.curve(weights)?));
    let estimates = resamples.estimates(events.nodules() as usize, figures);
    let points = OPERATING_POINTS.iter().zip(estimates);
    let point = |(rate, sensitivity): (&f64, Estimate)| OperatingPoint {
        false_positives_per_scan: *rate,
        sensitivity,
    };
    let confidences = scans.iter().flat_map(|scan| &scan.candidates);
    Froc {
        operating_points: points.map(point).collect(),
        competition_performance_metric: estimates[OPERATING_POINTS.len()],
        lowest_confidence: confidences.map(|c| c.confidence).min_by(f64::total_cmp),
    }
}

fn overlap(scans: &[Scan], resamples: &Resamples, threshold: f64) -> OverlapSummary {
    let mean = |value: fn(&Finder) -> Option<f64>| {
        let of_scan =
            |scan: &Scan| -> Vec<f64> { found(scan, threshold).filter_map(value).collect() };
        let values: Vec<Vec<f64>> = scans.iter().map(of_scan).collect();
        let n = values.iter().map(Vec::len).sum();
        resamples.estimate(n, |weights| {
            let weighted = || values.iter().zip(weights).map(|(v, w)| (v, f64::from(*w)));
            let count: f64 = weighted().map(|(v, w)| w * v.len() as f64).sum();
            let sum: f64 = weighted().map(|(v, w)| w * v.iter().sum::<f64>()).sum();
            (count > 0.0).then(|| sum / count)
        })
    };
    OverlapSummary {
        dice: mean(|finder| Some(finder.overlap?.dice)),
        surface_distance_mm: mean(|finder| Some(finder.overlap?.surface_distance_mm)),
        volume_error_percent: mean(|finder| finder.volume_error_percent),
        absolute_volume_error_percent: mean(|finder| finder.volume_error_percent.map(f64::abs)),
    }
}

fn calibration(scans: &[Scan], resamples: &Resamples) -> Calibration {
    let of_scan = |(index, scan): (usize, &Scan)| -> Vec<Sample> {
        let pairs = scan.candidates.iter().zip(&scan.outcomes);
        let counted = pairs.filter(|(_, outcome)| **outcome != Outcome::Ignored);
        let sample = |(candidate, outcome): (&super::results::Candidate, &Outcome)| Sample {
            confidence: candidate.confidence,
            hit: *outcome == Outcome::Hit,
            scan: index,
        };
        counted.map(sample).collect()
    };
    let samples = Samples::new(scans.iter().enumerate().flat_map(of_scan).collect());
    let n = samples.count();
    let error = |weights: &[u32]| calibration::expected_error(&samples.table(weights));
    Calibration {
        n,
        hits: samples.hits(),
        expected_calibration_error: resamples.estimate(n, error),
        brier: resamples.estimate(n, |weights| samples.brier(weights)),
        bins: samples.table(resamples.all()),
    }
}
