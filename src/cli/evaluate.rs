//! `hilum evaluate`: results against a truth.

use crate::Error;
use crate::config::Config;
use crate::evaluate::{Evaluation, Format, LunaFiles, Options, Results, Truth};
use crate::report::{check_folder, write_folder};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum process cases/dicom --out results
  hilum evaluate --truth cases/truth --results results --out evaluation

  hilum process luna16/*.mhd --out results
  hilum evaluate --truth annotations.csv --excluded annotations_excluded.csv --series seriesuids.csv \\
      --volumes luna16 --results results --out evaluation

  hilum phantom --out phantom
  hilum process phantom/series --out results
  hilum evaluate --truth phantom/truth.json --results results --out evaluation

OUT gets
  summary.md, summary.json   every figure with its n and its 95 % interval
  lesions.csv                a row for each nodule of the truth: found or missed, by which lesion, Dice, distances
  candidates.csv             every candidate, as LUNA16 takes results
  froc.csv                   threshold, false positives a scan, sensitivity
  froc.svg, reliability.svg, size.svg

docs/evaluation.md has the keys of a truth file and what each figure counts.

Exit codes: 0 every series of the truth was evaluated; 1 some were not processed, or failed, or a file is broken; others as
for every verb (hilum --help).";

/// Compares what `hilum process` found with a truth: sensitivity, false positives, outlines and calibration.
///
/// TRUTH is a folder of <case>.truth.json with <case>.truth.nii.gz (nodules by readers, and their label map), or the truth.json
/// of a phantom, or LUNA16's annotations.csv. Series are matched by their Series Instance UID.
///
/// A lesion hits a nodule when its centroid lies in it, or within 2 mm, or no further from its centre than its radius or 3 mm.
/// Marks of fewer readers than --readers are neither hits nor false positives. Nothing of a patient is written: series are named
/// by their UIDs.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct EvaluateArgs {
    /// Take the truth from this folder or file.
    #[arg(long, value_name = "TRUTH")]
    truth: PathBuf,
    /// Take the results from this folder, the --out of `hilum process`; searched to any depth for findings.json.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// Write tables and plots to this folder, whole or not at all.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Ignore what hits the marks in LUNA16's annotations_excluded.csv.
    #[arg(long, value_name = "FILE")]
    excluded: Option<PathBuf>,
    /// Evaluate the series in LUNA16's seriesuids.csv too, which have no nodules unless annotations.csv says so.
    #[arg(long, value_name = "FILE")]
    series: Option<PathBuf>,
    /// Match results of volume files by the names of these files or folders, <SeriesInstanceUID>.mhd, as LUNA16 has them.
    #[arg(long, value_name = "PATH")]
    volumes: Vec<PathBuf>,
    /// Count nodules that at least so many readers marked.
    #[arg(long, value_name = "N", default_value_t = 3)]
    readers: u32,
    /// Count lesions of at least this confidence, 0 to 1; FROC and calibration take all.
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = share)]
    threshold: f64,
    /// Draw so many resamples of the series for the intervals; 0 leaves them out.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    bootstrap: u32,
    /// Vary the resamples.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Replace an evaluation that OUT holds.
    #[arg(long)]
    overwrite: bool,
    /// Print summary.json instead of a table.
    #[arg(long)]
    json: bool,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|p| (0.0..=1.0).contains(p));
    number.ok_or_else(|| "a number from 0 to 1 is needed".into())
}

/// Evaluates, writes OUT and prints the most important figures.
///
/// # Errors
/// When truth, results or OUT are not usable.
#[expect(clippy::print_stdout, reason = "the figures are this command's result")]
pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let luna = LunaFiles {
        excluded: args.excluded.clone(),
        series: args.series.clone(),
    };
    let options = Options {
        readers: args.readers,
        threshold: args.threshold,
        bootstrap: args.bootstrap,
        seed: args.seed,
        max_voxels: Config::default().input.max_voxels,
    };
    // Told before the work rather than after it.
    check_folder(&args.out, &Evaluation::FILES, args.overwrite).map_err(Error::from)?;
    let truth = Truth::read(&args.truth, &luna).map_err(Error::from)?;
    if truth.format == Format::Json && luna != LunaFiles::default() {
        anyhow::bail!("--excluded and --series go with LUNA16's annotations.csv; leave them out");
    }
    let mut results = Results::read(&args.results).map_err(Error::from)?;
    results.name_volumes(&args.volumes).map_err(Error::from)?;
    let evaluation = Evaluation::new(truth, &results, &options).map_err(Error::from)?;
    let files = evaluation.files().map_err(Error::from)?;
    write_folder(&args.out, &files, args.overwrite).map_err(Error::from)?;
    let summary = &evaluation.summary;
    if args.json {
        println!("{}", serde_json::to_string_pretty(summary)?);
    } else {
        print!("{}", evaluation.table());
        println!("\n{}", args.out.display());
    }
    let undone = summary.series.iter().any(|series| series.status != "done");
    let incomplete = undone || !summary.not_processed.is_empty();
    Ok(ExitCode::from(u8::from(incomplete)))
}
