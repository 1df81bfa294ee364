//! Results against a truth: how many nodules are found at how many false positives, how well they are outlined, and
//! whether the confidence can be believed.
//!
//! In: a truth and the folder that `hilum process` wrote. Out: an [`Evaluation`] and the bytes of its tables and plots.
//! Refused, by code: truths and results that are broken or do not fit. Nothing but UIDs and numbers is repeated.

mod assessed;
mod bootstrap;
mod calibration;
mod error;
mod froc;
mod markdown;
mod matching;
mod overlap;
mod plot;
mod results;
mod scan;
mod strata;
mod summary;
mod table;
mod truth;

pub use assessed::{Assessments, Group, TypePair};
pub use bootstrap::Estimate;
pub use calibration::Bin;
pub use error::Error;
pub use froc::{OPERATING_POINTS, Point};
pub use results::{Assessed, Candidate, Model, Results, SeriesResult};
pub use scan::WithoutOverlap;
pub use strata::{Strata, Stratum};
pub use summary::Summary;
pub use truth::{Case, Format, LunaFiles, Nodule, Truth};

use crate::report::OutputFile;
use rayon::prelude::*;
use scan::Scan;

/// How to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Nodules that fewer readers marked are neither hits nor false positives.
    pub readers: u32,
    /// Candidates of at least this confidence count, 0 to 1.
    pub threshold: f64,
    /// Resamples of every interval.
    pub bootstrap: u32,
    /// Of the resamples.
    pub seed: u64,
    /// Larger label maps are refused.
    pub max_voxels: u64,
}

/// All that came of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The figures.
    pub summary: Summary,
    inputs: Inputs,
    curve: Vec<Point>,
}

/// What figures are computed from.
#[derive(Debug, Clone, PartialEq)]
struct Inputs {
    format: Format,
    models: Vec<Model>,
    /// Series that were processed.
    scans: Vec<Scan>,
    /// Series that were not.
    missing: Vec<Case>,
}

impl Evaluation {
    /// Compares results with a truth.
    ///
    /// # Errors
    /// [`Error::NothingInCommon`]; what is wrong with a label map or a SEG.
    pub fn new(truth: Truth, results: &Results, options: &Options) -> Result<Self, Error> {
        let (format, of_truth) = (truth.format, truth.cases.len());
        let (cases, missing): (Vec<Case>, Vec<Case>) = truth
            .cases
            .into_iter()
            .partition(|case| results.series.contains_key(&case.series_instance_uid));
        if cases.is_empty() {
            return Err(Error::NothingInCommon {
                truth: of_truth,
                results: results.series.len(),
            });
        }
        let compare = |case: &Case| {
            let result = &results.series[&case.series_instance_uid];
            scan::compare(case, result, options.readers, options.max_voxels)
        };
        // Collected before the first error is looked for, so that it does not depend on the threads.
        let scans: Vec<Result<Scan, Error>> = cases.par_iter().map(compare).collect();
        let inputs = Inputs {
            format,
            models: results.models.iter().cloned().collect(),
            scans: scans.into_iter().collect::<Result<_, _>>()?,
            missing,
        };
        let (summary, curve) = Summary::new(&inputs, options);
        Ok(Self {
            summary,
            inputs,
            curve,
        })
    }

    /// Names of the tables and plots.
    pub const FILES: [&str; 8] = [
        "summary.json",
        "summary.md",
        "lesions.csv",
        "candidates.csv",
        "froc.csv",
        "froc.svg",
        "reliability.svg",
        "size.svg",
    ];

    /// The tables and plots.
    ///
    /// # Errors
    /// [`Error::Encode`] and [`Error::Plot`], which are defects of this program.
    pub fn files(&self) -> Result<Vec<OutputFile>, Error> {
        let Self {
            summary,
            inputs,
            curve,
        } = self;
        let contents = [
            table::json(summary)?,
            markdown::page(summary).into_bytes(),
            table::lesions(inputs, summary)?,
            table::candidates(&inputs.scans)?,
            table::froc(curve)?,
            plot::froc(curve, summary)?,
            plot::reliability(summary)?,
            plot::size(summary)?,
        ];
        let file = |(name, bytes): (&str, Vec<u8>)| OutputFile {
            name: name.into(),
            bytes,
        };
        Ok(Self::FILES.into_iter().zip(contents).map(file).collect())
    }

    /// The most important figures as a few lines.
    pub fn table(&self) -> String {
        markdown::short(&self.summary)
    }
}
