//! `hilum process`: a folder of studies in, SR, SEG and `findings.json` out.

use super::devices::DeviceArgs;
use super::interrupt;
use super::volumes::{UnreadableFile, VolumeFiles};
use crate::batch::{self, Batch, StudyResult};
use crate::config::{AlsoFormat, Config};
use crate::dicom::{Inventory, read_paths};
use crate::pipeline::Pipeline;
use crate::volume_file;
use crate::volume_study;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

const AFTER_HELP: &str = "\
Examples:
  hilum process /data/studies --out results
  hilum process a.dcm b.dcm more/ --out results --device cpu --json > results.json

Exit codes: 0 everything was done, 1 something failed, 2 wrong options or model, 3 environment, 4 defect, 130 interrupted.";

/// Finds lesions in every study below PATH and writes DIR/<StudyInstanceUID>/{sr.dcm,seg.dcm,findings.json}.
///
/// NIfTI-1 (.nii, .nii.gz) and MetaImage (.mhd, .mha) files of HU are studies of one series; their results are
/// findings.json and labels.nii.gz, in a folder named by a UID that derives from the file's bytes.
///
/// Files and folders are searched to any depth and grouped to studies and series by their UIDs; names and folders play no
/// part. Of each study the best series for each model runs: the model's kernel first, then the thinnest slices, then the
/// longest coverage. findings.json says which series were passed over or failed, and why.
///
/// An FDG PET of the study is searched for uptake by published SUV rules, with its CT where there is one, and measured;
/// [pet] of the configuration has the rules (docs/pet-lesions.md).
///
/// A study without lesions has an SR that says so and no SEG. A study whose results are there already is left alone,
/// unless a series of it failed. What fails is told on stderr with a code (docs/codes.md); the rest goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ProcessArgs {
    /// DICOM, NIfTI or MetaImage files, or folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write the results below this folder, one folder a study.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read the configuration from this TOML file (config.example.toml has every key); options given here win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Run this model: a name, or a folder that holds model.toml; may be given several times. Where none is named, `auto`,
    /// which is lung-nodule on a GPU and lung-nodule-lite on a CPU, and lymph-node, which is experimental. Lesions that only one of several models has are marked for review.
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Move the network's patch by this fraction of its size, 0.1 to 1: larger is faster, smaller averages more patches a
    /// voxel. 0, the default, is each model's own; nnU-Net's is 0.5. docs/performance.md shows what it costs.
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    step: Option<f64>,
    /// Average over mirrored patches, where an imported nnU-Net allows it (test-time augmentation): up to 8 times the work.
    #[arg(long)]
    tta: bool,
    /// Drop lesions of lower confidence, 0 to 1; 0.1 where nothing else is configured.
    #[arg(long, value_name = "P")]
    min_confidence: Option<f64>,
    /// Drop lesions whose long axis is shorter, mm; 3.0 where nothing else is configured.
    #[arg(long, value_name = "MM")]
    min_long_axis_mm: Option<f64>,
    /// Run every series of a study that fits a model, not only the best.
    #[arg(long)]
    all_series: bool,
    /// Search the whole volume where a model for lungs recognises none, instead of skipping the series.
    #[arg(long)]
    search_without_lungs: bool,
    /// Write this format too: nifti is a label map, labels.nii.gz, whose values are the segment numbers.
    #[arg(long, value_parser = super::also_format(), value_name = "FORMAT")]
    also: Vec<AlsoFormat>,
    /// Replace the results of another run: other model, parameters, version or device. Other folders are never replaced.
    #[arg(long)]
    overwrite: bool,
    /// Print to stdout, as JSON, how each study ended and which files could not be read.
    #[arg(long)]
    json: bool,
}

impl ProcessArgs {
    fn config(&self) -> Result<Config, crate::Error> {
        let mut config = self
            .config
            .as_deref()
            .map_or_else(|| Ok(Config::default()), Config::load)?;
        self.device.apply(&mut config.device);
        if !self.model.is_empty() {
            config.models.enabled.clone_from(&self.model);
        }
        if let Some(min) = self.min_confidence {
            config.candidates.min_confidence = min;
        }
        if let Some(min) = self.min_long_axis_mm {
            config.candidates.min_long_axis_mm = min;
        }
        if let Some(step) = self.step {
            config.inference.step = step;
        }
        config.inference.tta |= self.tta;
        config.input.all_series |= self.all_series;
        config.input.search_without_lungs |= self.search_without_lungs;
        config.output.also.extend(&self.also);
        config.validate()?;
        Ok(config)
    }
}

pub(super) fn run(args: &ProcessArgs) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    let cancel = interrupt::flag()?;
    let bar = progress_bar();
    let (inventory, pipeline) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let on_file = |files| bar.set_message(format!("read {files} files"));
            (
                read_paths(&paths_for_dicom(args), &on_file),
                VolumeFiles::open(&args.paths, &args.out),
            )
        });
        let pipeline = Pipeline::new(&config);
        (reader.join(), pipeline)
    });
    let (mut inventory, volume_files) =
        inventory.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let pipeline = pipeline?;
    let volume_studies = volume_files.studies.values().map(volume_study::study);
    inventory.studies.extend(volume_studies);
    let batch = Batch {
        config: &config,
        volume_files: &volume_files.studies,
        out_dir: &args.out,
        overwrite: args.overwrite,
        supersedes: None,
        cancel: &cancel,
        progress: &|message| bar.set_message(message),
    };
    let mut results = batch::run(&batch, &pipeline, &inventory.studies);
    bar.finish_and_clear();
    for result in &mut results {
        let file = volume_files.studies.get(result.study_instance_uid());
        result.name_source(file.map(|file| shown(args, &file.path)));
    }
    let dicom = inventory.unreadable.iter().map(UnreadableFile::from);
    let mut unreadable: Vec<UnreadableFile> = dicom.chain(volume_files.unreadable).collect();
    for file in &mut unreadable {
        file.path = shown(args, &file.path);
    }
    tell(args, &inventory, &unreadable, &results)?;
    if cancel.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    let failed = !unreadable.is_empty()
        || inventory.studies.is_empty()
        || results.iter().any(StudyResult::failed);
    Ok(ExitCode::from(u8::from(failed)))
}

/// What is left for the reader of DICOM: volume files that were named are none.
fn paths_for_dicom(args: &ProcessArgs) -> Vec<PathBuf> {
    let is_dicom = |path: &&PathBuf| !(path.is_file() && volume_file::is_volume_file(path));
    args.paths.iter().filter(is_dicom).cloned().collect()
}

/// On stderr, and only where a person looks at it.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results go to stdout, failures to stderr"
)]
fn tell(
    args: &ProcessArgs,
    inventory: &Inventory,
    unreadable: &[UnreadableFile],
    results: &[StudyResult],
) -> anyhow::Result<()> {
    for file in unreadable {
        eprintln!(
            "unreadable [{}] {}: {}",
            file.code,
            file.text,
            file.path.display()
        );
    }
    if inventory.studies.is_empty() {
        eprintln!("no DICOM image and no volume file was found in what was given");
    }
    for failure in results.iter().flat_map(StudyResult::failures) {
        eprintln!("{failure}");
    }
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(
                &json!({ "studies": results, "unreadable": unreadable, "skipped_files": inventory.skipped })
            )?
        );
    } else {
        results.iter().for_each(|result| println!("{result}"));
    }
    Ok(())
}

/// A path as the person who gave it knows it: below what was named on the command line.
fn shown(args: &ProcessArgs, path: &std::path::Path) -> PathBuf {
    for root in &args.paths {
        if let Ok(canonical) = root.canonicalize()
            && let Ok(below) = path.strip_prefix(&canonical)
        {
            return if below.as_os_str().is_empty() {
                root.clone()
            } else {
                root.join(below)
            };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CandidatesConfig;
    use clap::Args;

    #[test]
    fn the_help_states_the_defaults_of_the_configuration() {
        let mut command = ProcessArgs::augment_args(clap::Command::new("process"));
        let help = command.render_long_help().to_string();
        let default = CandidatesConfig::default();
        for value in [default.min_confidence, default.min_long_axis_mm] {
            let stated = format!("{value:?} where nothing else is configured");
            assert!(help.contains(&stated), "{stated}: {help}");
        }
    }
}
