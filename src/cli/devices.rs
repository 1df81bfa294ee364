//! `hilum devices`: what this machine can compute on.

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
