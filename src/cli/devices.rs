//! `hilum devices`: what this machine can compute on; and the options of other verbs that choose among it.

use crate::config::{DeviceConfig, DeviceKind, Instructions, MatrixUnits, Precision};
use crate::cpu;
use crate::engine::cpu::InstructionSet;
use crate::gpu::{AdapterInfo, AdapterKind, adapters};
use serde::Serialize;
use std::process::ExitCode;

/// Lists the GPUs and the CPU of this machine, and which of them `--device auto` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DevicesArgs {
    /// Print the list as JSON, with the limits of each GPU.
    #[arg(long)]
    json: bool,
}

// No doc comment: it would become the description of every verb that has these options.
#[derive(Debug, clap::Args)]
pub(super) struct DeviceArgs {
    /// Run on this device: auto takes a hardware GPU or else the CPU; gpu never falls back.
    #[arg(long, value_parser = super::device_kind())]
    device: Option<DeviceKind>,
    /// Take the first GPU whose name contains this text (see `hilum devices`).
    #[arg(long, value_name = "TEXT")]
    adapter: Option<String>,
    /// Where a network runs on the CPU, use these vector instructions of it: auto takes the fastest that it has.
    #[arg(long, value_parser = super::instructions(), value_name = "SET")]
    instructions: Option<Instructions>,
    /// Where a network runs on a GPU, store its activations so: f16 takes half the memory and costs some digits.
    #[arg(long, value_parser = super::precision())]
    precision: Option<Precision>,
    /// Where a network runs on a GPU, use its matrix units ("tensor cores"): auto where it has some for the precision and
    /// they pass the model's self-check.
    #[arg(long, value_parser = super::matrices(), value_name = "USE")]
    matrices: Option<MatrixUnits>,
}

impl DeviceArgs {
    /// What was given on the command line wins.
    pub(super) fn apply(&self, config: &mut DeviceConfig) {
        if let Some(kind) = self.device {
            config.kind = kind;
        }
        if let Some(adapter) = &self.adapter {
            config.adapter.clone_from(adapter);
        }
        if let Some(instructions) = self.instructions {
            config.instructions = instructions;
        }
        if let Some(precision) = self.precision {
            config.precision = precision;
        }
        if let Some(matrices) = self.matrices {
            config.matrices = matrices;
        }
    }
}

#[derive(Serialize)]
struct Devices {
    adapters: Vec<AdapterInfo>,
    cpu: Cpu,
    auto: String,
}

#[derive(Serialize)]
struct Cpu {
    name: String,
    threads: usize,
    code_path: String,
}

#[expect(clippy::print_stdout, reason = "the list is this command's result")]
pub(super) fn run(args: &DevicesArgs) -> anyhow::Result<ExitCode> {
    let adapters = adapters();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = Cpu {
        name: cpu::model_name(),
        threads,
        code_path: InstructionSet::detect().name().to_owned(),
    };
    let hardware = adapters.iter().find(|a| a.kind != AdapterKind::Software);
    let auto = hardware.map_or_else(|| cpu.name.clone(), |a| a.name.clone());
    let devices = Devices {
        adapters,
        cpu,
        auto,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&devices)?);
        return Ok(ExitCode::SUCCESS);
    }
    for adapter in &devices.adapters {
        let note = if adapter.kind == AdapterKind::Software {
            " (software: right, but slow; only with --device gpu)"
        } else {
            ""
        };
        println!(
            "gpu  {}, {}, {}{note}",
            adapter.name, adapter.api, adapter.driver
        );
    }
    println!(
        "cpu  {}, {} threads, {}",
        devices.cpu.name, devices.cpu.threads, devices.cpu.code_path
    );
    println!("auto takes {}", devices.auto);
    Ok(ExitCode::SUCCESS)
}
