//! `hilum suv`: standardised uptake values of PET series, and by which rule.

mod series;

use crate::config::Config;
use crate::dicom::{Inventory, read_paths};
use crate::region::Region;
use crate::suv::Policy;
use serde::Serialize;
use series::{Coded, SeriesSuv};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum suv /data/pet                                            every PET series below, whole volumes
  hilum suv /data/pet --roi tumour.nii.gz --json > suv.json      the voxels of a label map
  hilum suv /data/pet --roi RS.dcm --roi-name GTV --policy lenient

JSON: series[] with series_instance_uid, suvbw {min, median, max, mean, voxels} in g/ml or null, ratios (what SUVbw is
multiplied by for SUVlbm, SUVbsa and SUVibw), branch (the rule, times of day, dose, half-life and weight that were used),
refusal {code, message} or null, warnings [{code, message}].

docs/suv.md has the rules, their sources and every refusal.

Exit codes: 0 every PET series has its SUV; 1 one was refused, a file is broken, or there is no PET; others as for every verb
(hilum --help).";

/// Prints SUVbw of every PET series below PATH, and the rule, times, dose, half-life and weight that it comes from.
///
/// Units BQML, GML (of every SUV type), CM2ML and Philips' CNTS, with decay correction START, ADMIN or NONE. A series whose
/// attributes are missing or contradict each other is refused with a code that names them, never given a wrong value.
///
/// Statistics are over the voxels as they were acquired, without padding: those whose centres lie in the region of --roi, else
/// all.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SuvArgs {
    /// DICOM files, or folders, searched to any depth.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take the voxels in this region: an RT Structure Set, or a label map as NIfTI or MetaImage, on whatever grid.
    #[arg(long, value_name = "FILE")]
    roi: Option<PathBuf>,
    /// Of an RT Structure Set, take the ROI of this name or number; without, what all of them cover together.
    #[arg(long, value_name = "NAME", requires = "roi")]
    roi_name: Option<String>,
    /// Where a published rule must take an attribute for something else than it says (a derived time, a date that cannot be): strict
    /// refuses, lenient follows the rule with a warning.
    #[arg(long, value_parser = super::policy(), value_name = "POLICY", default_value = "strict")]
    policy: Policy,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Printed {
    policy: Policy,
    series: Vec<SeriesSuv>,
    unreadable: Vec<Unreadable>,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    path: PathBuf,
    #[serde(flatten)]
    reason: Coded,
}

/// Reads the series and prints what each comes to.
///
/// # Errors
/// When the region cannot be read.
#[expect(clippy::print_stdout, reason = "the values are this command's result")]
#[expect(
    clippy::print_stderr,
    reason = "files that failed are told to the person"
)]
pub(super) fn run(args: &SuvArgs) -> anyhow::Result<ExitCode> {
    let max_voxels = Config::default().input.max_voxels;
    let region = args
        .roi
        .as_deref()
        .map(|path| Region::read(path, args.roi_name.as_deref(), max_voxels));
    let region = region.transpose()?;
    let inventory = read_paths(&args.paths, &|_| ());
    let options = series::Options {
        policy: args.policy,
        region: region.as_ref(),
        max_voxels,
    };
    let printed = Printed {
        policy: args.policy,
        series: pet_series(&inventory, &options),
        unreadable: unreadable(&inventory),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&printed)?);
    } else {
        printed.series.iter().for_each(|series| print!("{series}"));
    }
    for file in &printed.unreadable {
        let Coded { code, message } = &file.reason;
        eprintln!("unreadable [{code}] {}: {message}", file.path.display());
    }
    if printed.series.is_empty() {
        eprintln!("no PET series was found");
    }
    let refused = printed.series.iter().any(SeriesSuv::is_refused);
    let incomplete = refused || printed.series.is_empty() || !printed.unreadable.is_empty();
    Ok(ExitCode::from(u8::from(incomplete)))
}

/// Every PET series, those that are no volume with why.
fn pet_series(inventory: &Inventory, options: &series::Options) -> Vec<SeriesSuv> {
    let is_pet = |modality: &str| modality == "PT";
    let mut found = Vec::new();
    for study in &inventory.studies {
        let volumes = study.series.iter();
        let volumes = volumes.filter(|s| s.instances.iter().any(|i| is_pet(&i.modality)));
        found.extend(volumes.map(|series| SeriesSuv::of(series, options)));
        let others = study.left_out.iter().filter(|l| is_pet(&l.modality));
        found.extend(others.map(SeriesSuv::left_out));
    }
    found
}

fn unreadable(inventory: &Inventory) -> Vec<Unreadable> {
    let files = inventory.unreadable.iter();
    files
        .map(|file| Unreadable {
            path: file.path.clone(),
            reason: Coded::new(file.error.code(), &file.error),
        })
        .collect()
}
