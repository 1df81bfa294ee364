//! `hilum doctor`: whether a node can run as it is configured.

use super::devices::DeviceArgs;
use crate::config::Config;
use crate::node::{Check, Finding, examine};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes: 0 all is well, 1 something would keep the node from working, 2 the configuration cannot be read.";

/// Looks at all that a node needs: folder, disk, key, decision log, certificates, ports, device, models, peers, destinations.
///
/// Peers with a port are asked by C-ECHO. Nothing is changed; a node may be running meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DoctorArgs {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(&args.config)?;
    args.device.apply(&mut config.device);
    config.validate()?;
    let checks = examine(&config);
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "checks": checks }))?
        );
    } else {
        checks.iter().for_each(|check| println!("{}", line(check)));
    }
    let failed = checks.iter().any(|check| check.finding == Finding::Failed);
    Ok(ExitCode::from(u8::from(failed)))
}

fn line(check: &Check) -> String {
    let finding = match check.finding {
        Finding::Well => "ok",
        Finding::Doubtful => "doubtful",
        Finding::Failed => "FAILED",
    };
    format!("{finding:<9}{}: {}", check.what, check.detail)
}
