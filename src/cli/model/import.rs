//! `hilum model import`: a trained model of nnU-Net, MONAI or this project's training becomes a model folder.

use super::super::interrupt;
use crate::Error;
use crate::model::Manifest;
use crate::model::import::{self, Checkpoint, Request};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum model import nnUNetTrainer__nnUNetPlans__3d_fullres --template > labels.toml
  hilum model import nnUNetTrainer__nnUNetPlans__3d_fullres --labels labels.toml --out models/liver
  hilum model import bundle --manifest model.toml --out models/bundle

models/README.md says step by step how to bring a model, and what its licence must allow.";

/// Imports a trained model: nnU-Net's results, a MONAI bundle, what models/training leaves, or a file of weights.
///
/// The folder DIR gets model.toml, weights.safetensors, golden.safetensors and CARD.md, whole or not at all. Nothing of a
/// checkpoint is executed. What would not compute as it did in training is refused with a code (docs/codes.md).
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ImportArgs {
    /// nnU-Net's results folder (dataset.json, plans.json, fold_*), a MONAI bundle, a folder with model.toml and
    /// segmenter_0.pth, or a .pth, .pt or .safetensors file.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Write the model into this new folder, whose name becomes the model's: lower-case letters, digits and '-'.
    #[arg(long, value_name = "DIR", required_unless_present = "template")]
    out: Option<PathBuf>,
    /// Take this configuration of the plans; that of the folder's name where it is not given.
    #[arg(long, value_name = "NAME")]
    configuration: Option<String>,
    /// Take these folds, such as 0,1 or, as nnU-Net names that of all data, all; every numbered one where it is not given.
    #[arg(long, value_name = "FOLDS", value_delimiter = ',')]
    folds: Vec<String>,
    /// Take this checkpoint of each fold.
    #[arg(long, value_parser = checkpoint(), default_value = "final")]
    checkpoint: Checkpoint,
    /// Say where columns, rows and slices of the training images count up to, such as RAS for TotalSegmentator; what nnU-Net's
    /// reader turns images to where it is not given, or else as each series lies.
    #[arg(long, value_name = "LETTERS")]
    orientation: Option<String>,
    /// Say what each input channel is, such as CT,PT, where its name does not.
    #[arg(long, value_name = "MODALITIES", value_delimiter = ',')]
    modality: Vec<String>,
    /// Say that the PET channel was trained on Bq/ml: a network that sees SUV through a fixed window does not run here.
    #[arg(long)]
    pet_bqml: bool,
    /// Read the coded terms of the labels from this TOML file.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Print the file for --labels as far as the terms are known, to be completed, and import nothing.
    #[arg(long, conflicts_with = "out")]
    template: bool,
    /// Read what the model expects and gives from this model.toml, for a MONAI bundle or a file of weights.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "configuration", "folds", "modality", "orientation"])]
    manifest: Option<PathBuf>,
    /// State the licence of the weights.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// State whom to cite for weights and data.
    #[arg(long, value_name = "TEXT")]
    attribution: Option<String>,
    /// Replace a model that DIR already holds; other folders are never replaced.
    #[arg(long)]
    overwrite: bool,
    /// Print what was imported as JSON.
    #[arg(long)]
    json: bool,
}

fn checkpoint() -> impl TypedValueParser<Value = Checkpoint> {
    PossibleValuesParser::new(["final", "best"]).map(|name| match name.as_str() {
        "best" => Checkpoint::Best,
        _ => Checkpoint::Final,
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the template or what was imported is this command's result"
)]
pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let Some(out) = &args.out else {
        print!(
            "{}",
            import::labels_template(&args.source).map_err(Error::from)?
        );
        return Ok(ExitCode::SUCCESS);
    };
    let cancel = interrupt::flag()?;
    let imported = import::import(&args.request(), out, args.overwrite, &cancel);
    let manifest = match imported {
        Err(crate::model::Error::Cancelled) => return Ok(ExitCode::from(interrupt::EXIT_CODE)),
        other => other.map_err(Error::from)?,
    };
    if args.json {
        let imported = json!({
            "name": manifest.name,
            "dir": out,
            "folds": manifest.weights.folds,
            "weights_sha256": manifest.weights.sha256,
            "labels": manifest.labels,
        });
        println!("{}", serde_json::to_string_pretty(&imported)?);
    } else {
        println!("{}", told(&manifest, &out.display().to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

fn told(manifest: &Manifest, out: &str) -> String {
    let labels = manifest.labels.iter().map(|label| {
        let term = &label.property_type;
        let name = if label.name.is_empty() {
            &term.meaning
        } else {
            &label.name
        };
        format!(
            "  {name}: {} ({}, {})",
            term.meaning, term.value, term.scheme
        )
    });
    let labels: Vec<String> = labels.collect();
    format!(
        "{out}: {} network(s), {} label(s)\n{}\nlicence: {}",
        manifest.weights.folds,
        labels.len(),
        labels.join("\n"),
        manifest.licence
    )
}

impl ImportArgs {
    fn request(&self) -> Request {
        Request {
            source: self.source.clone(),
            configuration: self.configuration.clone(),
            folds: self.folds.clone(),
            checkpoint: self.checkpoint,
            orientation: self.orientation.clone(),
            modalities: self.modality.clone(),
            pet_in_bqml: self.pet_bqml,
            labels: self.labels.clone(),
            manifest: self.manifest.clone(),
            licence: self.licence.clone(),
            attribution: self.attribution.clone(),
        }
    }
}
