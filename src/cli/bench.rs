//! `hilum bench`: times every stage and kernel on one device, and compares two such runs.

mod compare;
mod kernels;
mod network;
mod tune;

use super::devices::DeviceArgs;
use super::phantom::Preset;
use crate::config::Config;
use crate::cpu;
use crate::dicom;
use crate::phantom::{Phantom, WriteOptions, write_series};
use crate::pipeline::{Pipeline, StageTimings};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Times every stage and kernel on a synthetic chest, cold and warm; or with --network each layer of a network.
///
/// Cold is the first run in this process: it compiles kernels and touches memory for the first time. Warm is the median of
/// the runs after it. Keep the output of --json to compare two machines, devices or versions with `hilum bench compare`.
///
/// With --network: the median time of each layer, as a share of what the device does at most, which is measured in the same
/// run: multiply-adds in registers, and copying of memory. A layer near neither limit has room to become faster.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Run this model: a name, or a folder that holds model.toml; where none is named, the one that suits the device.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Measure on this synthetic chest (see `hilum phantom`).
    #[arg(long, value_enum, default_value = "demo")]
    preset: Preset,
    /// Measure on this many slices instead of the preset's.
    #[arg(long, value_name = "N")]
    slices: Option<usize>,
    /// Repeat warm so many times.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: usize,
    /// Stop before the network: reading and preprocessing alone.
    #[arg(long)]
    no_network: bool,
    /// Time each layer of this network instead: light (16-32-64-128 channels) or full (32-64-128-256-320), both with random
    /// weights; or a model, by its name or a folder that holds model.toml.
    #[arg(long, value_name = "NETWORK", conflicts_with_all = ["model", "preset", "slices", "no_network"])]
    network: Option<String>,
    /// Run the network on a patch of so many voxels along each axis; 96 or the model's own where it is not given.
    #[arg(long, value_name = "N", requires = "network", value_parser = clap::value_parser!(u16).range(1..=256))]
    size: Option<u16>,
    /// Try every tile for the layers of --network on the GPU instead, and keep the best for later runs, in the user's cache
    /// folder. Results change in their last bits; provenance names the table.
    #[arg(long, requires = "network")]
    tune: bool,
    /// Print the figures as JSON, as `hilum bench compare` reads them.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    /// Shows the ratio of every figure of B to that of A.
    Compare {
        /// Output of `hilum bench --json`: the reference.
        a: PathBuf,
        /// Output of another run, for which a ratio below 1 means faster.
        b: PathBuf,
    },
}

/// Figures of one `hilum bench`; the format of `--json`.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    version: String,
    git_hash: String,
    device: String,
    cpu: String,
    threads: usize,
    model: String,
    /// Slices, rows and columns of the phantom.
    size: [usize; 3],
    patches: usize,
    stages: BTreeMap<String, Stage>,
    kernels: BTreeMap<String, KernelFigure>,
    peak_memory_mib: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stage {
    cold_ms: f64,
    /// Absent for what happens once.
    warm_median_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct KernelFigure {
    dispatches: usize,
    total_ms: f64,
}

#[expect(clippy::print_stdout, reason = "the figures are this command's result")]
pub(super) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(BenchCommand::Compare { a, b }) = &args.command {
        print!("{}", compare::table(&read(a)?, &read(b)?));
        return Ok(ExitCode::SUCCESS);
    }
    match &args.network {
        Some(name) if args.tune => tell(args, &tune::measure(name, args)?),
        Some(name) => tell(args, &network::measure(name, args)?),
        None => tell(args, &measure(args)?),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are this command's result")]
fn tell(args: &BenchArgs, report: &(impl Serialize + Display)) -> anyhow::Result<ExitCode> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &PathBuf) -> anyhow::Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no output of `hilum bench --json` without --network",
            path.display()
        )
    })
}

fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let mut params = args.preset.params();
    if let Some(slices) = args.slices {
        params.size[0] = slices;
    }
    let size = params.size;
    let series_dir = write_series(
        &Phantom::new(&params)?,
        folder.path(),
        WriteOptions {
            overwrite: true,
            ..WriteOptions::default()
        },
    )?
    .series;
    let mut config = Config::default();
    args.device.apply(&mut config.device);
    config.models.enabled = args
        .model
        .iter()
        .cloned()
        .chain(config.models.enabled)
        .take(1)
        .collect();

    let pipeline = Pipeline::new(&config).map_err(anyhow::Error::from)?;
    let mut once: BTreeMap<String, Stage> = pipeline
        .timings_ms
        .iter()
        .map(|(k, ms)| {
            (
                k.clone(),
                Stage {
                    cold_ms: *ms,
                    warm_median_ms: None,
                },
            )
        })
        .collect();
    let mut runs = Vec::new();
    let mut patches = 0;
    let mut kernels = BTreeMap::new();
    for _ in 0..=args.repeat.max(1) {
        let start = Instant::now();
        let inventory = dicom::read_paths(std::slice::from_ref(&series_dir), &|_| {});
        let series = inventory
            .studies
            .first()
            .and_then(|s| s.series.first())
            .context("the phantom was not read back")?;
        let headers_ms = ms_since(start);
        let start = Instant::now();
        let volume =
            dicom::load(series, config.input.max_voxels, None).map_err(crate::Error::from)?;
        let mut timings = StageTimings::from([
            ("headers".to_owned(), headers_ms),
            ("read".to_owned(), ms_since(start)),
        ]);
        if args.no_network {
            let start = Instant::now();
            pipeline.prepare(0, &[&volume])?;
            timings.insert("preprocess".into(), ms_since(start));
        } else {
            let outcome = pipeline.run(0, &[&volume], &|_, _| {}, &AtomicBool::new(false))?;
            timings.extend(outcome.timings_ms);
            patches = outcome.patches;
        }
        if runs.len() == args.repeat.max(1) {
            kernels = kernels::measure(&pipeline, &volume, args.no_network)?;
        }
        timings.insert("total".into(), timings.values().sum());
        runs.push(timings);
    }
    once.extend(stages(&runs));
    let device = pipeline.device_name();
    let manifest = pipeline
        .manifests()
        .next()
        .context("one model is enabled")?;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").into(),
        git_hash: env!("HILUM_GIT_HASH").into(),
        device,
        cpu: cpu::model_name(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        model: manifest.name.clone(),
        size,
        patches,
        stages: once,
        kernels,
        peak_memory_mib: cpu::peak_memory_bytes().map(|bytes| bytes >> 20),
    })
}

/// The first run is cold; of the others, the median.
fn stages(runs: &[StageTimings]) -> BTreeMap<String, Stage> {
    let Some((cold, warm)) = runs.split_first() else {
        return BTreeMap::new();
    };
    let stage = |(name, cold_ms): (&String, &f64)| {
        let mut warm: Vec<f64> = warm
            .iter()
            .filter_map(|run| run.get(name).copied())
            .collect();
        warm.sort_by(f64::total_cmp);
        (
            name.clone(),
            Stage {
                cold_ms: *cold_ms,
                warm_median_ms: warm.get(warm.len() / 2).copied(),
            },
        )
    };
    cold.iter().map(stage).collect()
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [z, y, x] = self.size;
        writeln!(f, "hilum {} on {}", self.version, self.device)?;
        writeln!(
            f,
            "cpu {}, {} threads; model {}; {z} × {y} × {x} voxels, {} patches",
            self.cpu, self.threads, self.model, self.patches
        )?;
        writeln!(
            f,
            "\n{:<24}{:>12}{:>16}",
            "stage", "cold ms", "warm median ms"
        )?;
        for (name, stage) in &self.stages {
            let warm = stage
                .warm_median_ms
                .map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
            writeln!(f, "{name:<24}{:>12.1}{warm:>16}", stage.cold_ms)?;
        }
        writeln!(
            f,
            "\n{:<24}{:>12}{:>16}",
            "kernel", "dispatches", "total ms"
        )?;
        for (name, kernel) in &self.kernels {
            writeln!(
                f,
                "{name:<24}{:>12}{:>16.2}",
                kernel.dispatches, kernel.total_ms
            )?;
        }
        if let Some(mib) = self.peak_memory_mib {
            writeln!(
                f,
                "\npeak memory {mib} MiB (this process, phantom included)"
            )?;
        }
        Ok(())
    }
}
