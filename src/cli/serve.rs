//! `hilum serve`: the node that processes every study it is sent.

use super::devices::DeviceArgs;
use super::interrupt;
use crate::Error;
use crate::config::Config;
use crate::node::{self, Addresses};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Example:
  hilum doctor --config hilum.toml && hilum serve --config hilum.toml

Exit codes: 0 stopped by SIGTERM or ctrl-C, 2 wrong configuration or model, 3 environment (port, disk, GPU), 4 defect.";

/// Takes studies by DICOM (C-STORE) and HTTP (STOW-RS), runs each once it is complete, and delivers SR and SEG.
///
/// What was acknowledged survives a power cut; a stopped node goes on where it was. The log on stderr holds no identifiers;
/// the decision log, audit.jsonl in node.dir, holds UIDs (`hilum audit`). docs/node.md sets a node up in ten minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ServeArgs {
    /// Read the configuration from this TOML file (config.example.toml has every key).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

#[expect(
    clippy::print_stderr,
    reason = "whoever starts a node wants to know where it listens"
)]
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(&args.config)?;
    args.device.apply(&mut config.device);
    config.validate()?;
    let stop = interrupt::flag()?;
    let ready = |Addresses { dicom, http }| {
        let ae_title = &config.node.dicom.ae_title;
        eprintln!("{ae_title} takes studies at {dicom}");
        if let Some(http) = http {
            eprintln!("http at {http}");
        }
    };
    node::run(&config, &stop, ready).map_err(Error::from)?;
    Ok(ExitCode::SUCCESS)
}
