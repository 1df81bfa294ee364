//! A results folder of nnU-Net v2: `dataset.json`, `plans.json`, `fold_*/checkpoint_*.pth`.

use super::card::{Origin, Source};
use super::checkpoint::StateDict;
use super::dataset::Dataset;
use super::labels::Mapping;
use super::plans::{self, Plan, Scheme};
use super::{
    Error, Feature, Model, Request, Unsupported, check_cancel, folder, json, tensors, text,
};
use crate::dicom::KernelPreference;
use crate::model::manifest::{ChannelNormalization, InputChannel, ModelGrid, Unit};
use crate::model::unet::{Architecture, Norm};
use crate::model::{
    Activation, Confidence, Error as ModelError, InputSpec, IntendedUse, Manifest, OutputSpec,
    UNetConfig,
};
use crate::preprocess::SearchRegion;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const PLANS: &str = "plans.json";
const DATASET: &str = "dataset.json";
const MAX_DATASET_BYTES: u64 = 8 << 20;
const MAX_LABELS_BYTES: u64 = 1 << 20;

/// Whether a folder is a trained nnU-Net.
pub(super) fn is_results_folder(folder: &Path) -> bool {
    folder.join(PLANS).is_file() && folder.join(DATASET).is_file()
}

/// Reads the model of a results folder.
///
/// # Errors
/// [`ModelError::Import`], [`ModelError::OutOfRange`], [`ModelError::Cancelled`].
pub(super) fn read(
    request: &Request,
    name: &str,
    cancel: &AtomicBool,
) -> Result<Model, ModelError> {
    let folder = &request.source;
    let dataset = dataset(folder)?;
    let plans = json::read(&folder.join(PLANS))?;
    let configuration = configuration(request, &plans)?;
    let plan = Plan::read(&plans, &configuration)?;
    let labels = mapping(request)?.labels(&dataset.labels)?;
    let checkpoints = checkpoints(request)?;
    let first = StateDict::open(&checkpoints[0].1)?;
    let batch_norms = plan.architecture.batch_norm || tensors::has_batch_norms(&first);
    let manifest = Manifest {
        format: 1,
        name: name.to_owned(),
        version: "1".into(),
        description: description(&dataset, &configuration),
        licence: said(&request.licence, &dataset.licence, UNKNOWN_LICENCE),
        attribution: said(
            &request.attribution,
            &dataset.reference,
            UNKNOWN_ATTRIBUTION,
        ),
        weights: folder::unknown_weights(checkpoints.len()),
        network: network(&plan, &dataset, batch_norms),
        input: input(&plan, &dataset, &first, request)?,
        output: output(dataset.regions),
        labels,
        classifier: None,
        intended_use: intended_use(),
    };
    // Before anything large is read: the network and all else must be one that runs here.
    manifest.validate()?;
    let mut folds = Vec::new();
    let mut sources = Vec::new();
    for (fold, path) in &checkpoints {
        check_cancel(cancel)?;
        let file = StateDict::open(path)?;
        folds.push(tensors::read(
            &file,
            &manifest.network,
            plan.architecture.norm_epsilon,
        )?);
        sources.push(source(fold, &file)?);
    }
    let origin = Origin {
        what: format!("an nnU-Net v2 results folder, configuration {configuration}"),
        sources,
    };
    Ok(Model {
        manifest,
        folds,
        classifier: Vec::new(),
        origin,
    })
}

const UNKNOWN_LICENCE: &str = "unknown: ask whoever trained it before it is used or passed on";
const UNKNOWN_ATTRIBUTION: &str = "unknown: name whoever trained it and the training data";

/// A `labels.toml` of the model, to complete.
///
/// # Errors
/// Those of reading `dataset.json`.
pub(super) fn template(folder: &Path) -> Result<String, Error> {
    if !is_results_folder(folder) {
        return Err(Error::NotAModel {
            path: folder.into(),
        });
    }
    Mapping::default().template(&dataset(folder)?.labels)
}

fn dataset(folder: &Path) -> Result<Dataset, Error> {
    let text = text::read(&folder.join(DATASET), MAX_DATASET_BYTES)?;
    Dataset::parse(text.as_bytes())
}

fn mapping(request: &Request) -> Result<Mapping, Error> {
    let Some(path) = &request.labels else {
        return Ok(Mapping::default());
    };
    Mapping::parse(&text::read(path, MAX_LABELS_BYTES)?)
}

/// That of the request, else that of the folder's name (`Trainer__Plans__Configuration`), else the only one.
fn configuration(request: &Request, plans: &Value) -> Result<String, Error> {
    let known = plans::configurations(plans)?;
    let folder = json::name(&request.source);
    let of_folder = folder.rsplit_once("__").map(|(_, name)| name);
    let of_folder = of_folder.filter(|name| known.contains(name));
    let asked = request.configuration.as_deref().or(of_folder);
    match (asked, &known[..]) {
        (Some(asked), _) => Ok(asked.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(Error::Configuration {
            asked: "that of no name".into(),
            known: known.join(", ").escape_debug().to_string(),
        }),
    }
}

/// The asked-for folds, else every numbered one, else the one of all training data, with their checkpoints.
fn checkpoints(request: &Request) -> Result<Vec<(String, PathBuf)>, Error> {
    let file = request.checkpoint.file_name();
    let path = |fold: &str| request.source.join(format!("fold_{fold}")).join(file);
    let known = folds(&request.source)?;
    let mut wanted = request.folds.clone();
    if wanted.is_empty() {
        let numbered = known.iter().filter(|fold| fold.parse::<usize>().is_ok());
        wanted = numbered
            .filter(|fold| path(fold).is_file())
            .cloned()
            .collect();
    }
    if wanted.is_empty() {
        wanted.push("all".into());
    }
    let found: Vec<_> = wanted
        .into_iter()
        .map(|fold| (fold.clone(), path(&fold)))
        .collect();
    match found.iter().find(|(_, path)| !path.is_file()) {
        None => Ok(found),
        Some((_, path)) => Err(Error::Fold {
            path: path.clone(),
            known: format!("the folds {}", known.join(", ").escape_debug()),
        }),
    }
}

/// Names of the folds that the folder has, in order.
fn folds(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::Read {
        path: folder.into(),
        source,
    })?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let folds = names.filter_map(|name| name.strip_prefix("fold_").map(str::to_owned));
    let mut folds: Vec<String> = folds.collect();
    folds.sort();
    Ok(folds)
}

fn network(plan: &Plan, dataset: &Dataset, batch_norms: bool) -> UNetConfig {
    let shape = plan.architecture.clone();
    UNetConfig {
        architecture: if shape.residual {
            Architecture::Residual
        } else {
            Architecture::Plain
        },
        norm: if batch_norms {
            Norm::None
        } else {
            Norm::Instance
        },
        input_channels: dataset.channels.len(),
        classes: dataset.classes,
        channels: shape.channels,
        kernels: shape.kernels,
        strides: shape.strides,
        encoder_convs: shape.encoder_convs,
        decoder_convs: shape.decoder_convs,
    }
}

fn input(
    plan: &Plan,
    dataset: &Dataset,
    checkpoint: &StateDict,
    request: &Request,
) -> Result<InputSpec, Error> {
    let mirrored = checkpoint.ints("inference_allowed_mirroring_axes");
    let axes = mirrored.unwrap_or_default();
    let channels = dataset.channels.iter().zip(&plan.normalization).enumerate();
    let channel = |(i, (name, scheme)): (usize, (&String, &Scheme))| {
        let modality = modality(request, i, name, *scheme)?;
        Ok(InputChannel {
            name: name.clone(),
            unit: match modality.as_str() {
                "PT" => Unit::Bqml,
                _ => Unit::Hu,
            },
            modality,
            normalization: normalization(*scheme),
        })
    };
    let channels: Vec<InputChannel> = channels.map(channel).collect::<Result<_, Error>>()?;
    Ok(InputSpec {
        spacing_mm: plan.spacing_mm,
        grid: ModelGrid::Source {
            transpose: plan.transpose,
            orientation: request
                .orientation
                .clone()
                .unwrap_or_else(|| plan.orientation.into()),
        },
        region: SearchRegion::default(),
        patch: plan.patch,
        step_fraction: 0.5,
        mirror_axes: axes
            .into_iter()
            .filter_map(|axis| usize::try_from(axis).ok())
            .collect(),
        channels,
    })
}

/// What a channel is must be known: its name says only how it was normalised.
fn modality(request: &Request, number: usize, name: &str, scheme: Scheme) -> Result<String, Error> {
    let of_name = match name.to_lowercase().as_str() {
        "ct" => Some("CT"),
        "pet" | "pt" => Some("PT"),
        _ => None,
    };
    let asked = request.modalities.get(number).map(String::as_str);
    let modality = asked.or(of_name);
    let refuse = |feature, found: &str| {
        Err(Error::Unsupported(Unsupported {
            feature,
            file: DATASET.into(),
            key: format!("channel_names.{number}"),
            found: found.to_owned(),
        }))
    };
    match (modality, scheme) {
        (Some("CT"), _) if number == 0 => Ok("CT".into()),
        (Some("PT"), Scheme::Window { .. } | Scheme::None)
            if number > 0 && !request.pet_in_bqml =>
        {
            refuse(Feature::Unit, "PET in its own unit")
        }
        (Some("PT"), _) if number > 0 => Ok("PT".into()),
        (modality, _) => refuse(Feature::Modality, modality.unwrap_or(name)),
    }
}

fn normalization(scheme: Scheme) -> ChannelNormalization {
    match scheme {
        Scheme::Window {
            lower,
            upper,
            subtract,
            divide,
        } => ChannelNormalization::Window {
            lower,
            upper,
            subtract,
            divide,
        },
        Scheme::ZScore { nonzero } => ChannelNormalization::ZScore { nonzero },
        Scheme::Rescale => ChannelNormalization::Rescale,
        Scheme::None => ChannelNormalization::None,
    }
}

fn output(regions: bool) -> OutputSpec {
    OutputSpec {
        activation: if regions {
            Activation::Sigmoid
        } else {
            Activation::Softmax
        },
        probability_threshold: 0.5,
        min_component_volume_mm3: 0.0,
        min_short_axis_mm: 0.0,
        confidence: Confidence::MaxProbability,
        confidence_meaning: "Highest voxel probability of the component; uncalibrated.".into(),
    }
}

/// Nothing is known of what a model was trained on beyond its modality: nothing warns.
fn intended_use() -> IntendedUse {
    IntendedUse {
        modality: "CT".into(),
        body_parts: Vec::new(),
        min_slice_spacing_mm: 0.1,
        max_slice_spacing_mm: 50.0,
        vendors_seen: Vec::new(),
        kernel: KernelPreference::Any,
        contrast_seen: true,
        requires_lungs: false,
        experimental: false,
    }
}

fn description(dataset: &Dataset, configuration: &str) -> String {
    let names: Vec<&str> = dataset
        .labels
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 8 { ", …" } else { "" };
    let own = dataset.description.as_ref().map(|text| format!(" {text}"));
    format!(
        "nnU-Net {configuration}: {shown}{more}.{}",
        own.unwrap_or_default()
    )
}

fn said(asked: &Option<String>, found: &Option<String>, unknown: &str) -> String {
    let said = asked.as_deref().or(found.as_deref());
    said.unwrap_or(unknown).to_owned()
}

fn source(fold: &str, file: &StateDict) -> Result<Source, Error> {
    Ok(Source {
        name: format!("fold_{fold}/{}", json::name(file.path())),
        sha256: text::sha256(file.path())?,
        trainer: file.text("trainer_name").map(str::to_owned),
        epochs: file.int("current_epoch"),
    })
}
