//! `hilum model verify`: hash, tensors and golden patch of models, on the chosen device.

use super::super::devices::DeviceArgs;
use super::ModelsDir;
use crate::Error;
use crate::config::DeviceConfig;
use crate::engine::cpu::InstructionSet;
use crate::gpu::Compute;
use crate::model::{ModelSource, Segmenter};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Verifies that models are whole and that this device computes them as their golden patch says.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Names, or folders that hold model.toml.
    #[arg(value_name = "MODEL", required_unless_present = "all")]
    names: Vec<String>,
    /// Verify every model that `hilum model list` lists.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    #[command(flatten)]
    models: ModelsDir,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

#[expect(
    clippy::print_stdout,
    reason = "the outcomes are this command's result"
)]
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let mut device = DeviceConfig::default();
    args.device.apply(&mut device);
    let instructions = InstructionSet::select(device.instructions).map_err(Error::from)?;
    let (compute, _) = Compute::select(&device).map_err(Error::from)?;
    let sources = if args.all {
        ModelSource::all(&args.models.path())
    } else {
        let found = args.names.iter().map(|name| args.models.find(name));
        found.collect::<Result<_, _>>()?
    };
    let verify = |source: &ModelSource| {
        let segmenter = Segmenter::load(source, &compute, instructions)?;
        segmenter.self_check()?;
        Ok(segmenter.manifest().name.clone())
    };
    let outcomes: Vec<_> = sources
        .iter()
        .map(|source| (source, verify(source)))
        .collect();
    if args.json {
        let models: Vec<Value> = outcomes.iter().map(|(s, o)| as_json(s, o)).collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "models": models }))?
        );
    } else {
        outcomes
            .iter()
            .for_each(|(s, o)| println!("{}", line(s, o)));
    }
    let failed = outcomes.iter().any(|(_, outcome)| outcome.is_err());
    Ok(ExitCode::from(u8::from(failed)))
}

type Outcome = Result<String, crate::model::Error>;

fn line(source: &ModelSource, outcome: &Outcome) -> String {
    let place = super::place(source);
    match outcome {
        Ok(name) => format!("ok      {name}  {place}"),
        Err(error) => format!("failed  {place}  [{}] {error}", error.code()),
    }
}

fn as_json(source: &ModelSource, outcome: &Outcome) -> Value {
    let place = super::place(source);
    match outcome {
        Ok(name) => json!({ "name": name, "source": place, "outcome": "ok" }),
        Err(error) => json!({
            "source": place,
            "outcome": "failed",
            "reason": { "code": error.code(), "text": error.to_string() },
        }),
    }
}
