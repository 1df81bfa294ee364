//! `hilum model`: brings trained models, lists them, describes and verifies them.

mod import;
mod inspect;
mod verify;

use crate::Error;
use crate::config::ModelsConfig;
use crate::model::{Manifest, ModelSource};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Imports trained models (nnU-Net v2, MONAI), lists, describes and verifies those that are here.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ModelCommand {
    Import(import::ImportArgs),
    List(ListArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
}

pub(super) fn run(args: &ModelArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ModelCommand::Import(args) => import::run(args),
        ModelCommand::List(args) => list(args),
        ModelCommand::Inspect(args) => inspect::run(args),
        ModelCommand::Verify(args) => verify::run(args),
    }
}

// No doc comment: it would become the description of every verb that has this option.
#[derive(Debug, clap::Args)]
struct ModelsDir {
    /// Look for models below this folder; `models` where it is not given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ModelsDir {
    fn path(&self) -> PathBuf {
        let default = || ModelsConfig::default().dir;
        self.dir.clone().unwrap_or_else(default)
    }

    fn find(&self, name: &str) -> Result<ModelSource, Error> {
        Ok(ModelSource::find(name, &self.path())?)
    }
}

/// Lists the models that the program brings and those in the folder of models.
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    models: ModelsDir,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the list is this command's result")]
fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let models = ModelSource::all(&args.models.path());
    let found: Vec<_> = models.iter().map(|m| (m, m.manifest())).collect();
    if args.json {
        let models: Vec<Value> = found.iter().map(|(m, read)| as_json(m, read)).collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "models": models }))?
        );
    } else {
        found
            .iter()
            .for_each(|(m, read)| println!("{}", line(m, read)));
    }
    let failed = found.iter().any(|(_, read)| read.is_err());
    Ok(ExitCode::from(u8::from(failed)))
}

type Read = Result<Manifest, crate::model::Error>;

fn line(source: &ModelSource, read: &Read) -> String {
    let place = place(source);
    match read {
        Ok(manifest) => {
            let Manifest {
                name,
                version,
                licence,
                ..
            } = manifest;
            let (kinds, mib) = (kinds(manifest).join(", "), mib(source));
            format!("{name} {version}  {kinds}  {mib:.1} MiB  {place}  {licence}")
        }
        Err(error) => format!("{place}  [{}] {error}", error.code()),
    }
}

fn as_json(source: &ModelSource, read: &Read) -> Value {
    match read {
        Ok(manifest) => json!({
            "name": manifest.name,
            "version": manifest.version,
            "licence": manifest.licence,
            "kinds": kinds(manifest),
            "labels": manifest.labels.len(),
            "weights_bytes": source.weights_bytes().ok(),
            "source": place(source),
        }),
        Err(error) => json!({
            "source": place(source),
            "reason": { "code": error.code(), "text": error.to_string() },
        }),
    }
}

/// `built-in`, or the folder.
fn place(source: &ModelSource) -> String {
    match source {
        ModelSource::Builtin(_) => "built-in".into(),
        ModelSource::Folder(folder) => folder.display().to_string(),
    }
}

/// What a model finds, each kind once.
fn kinds(manifest: &Manifest) -> Vec<String> {
    let kind = |label: &crate::model::Label| {
        let kind = serde_json::to_value(label.kind).ok()?;
        kind.as_str().map(str::to_owned)
    };
    let mut kinds: Vec<String> = manifest.labels.iter().filter_map(kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn mib(source: &ModelSource) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let bytes = source.weights_bytes().unwrap_or(0) as f64;
    bytes / f64::from(1 << 20)
}
