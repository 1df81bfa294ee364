//! A MONAI bundle, or a file of weights, with a `model.toml` that a person wrote.
//!
//! What a bundle does before and after its network is a program of Python objects: the manifest says it instead. Its
//! network must be a `DynUNet` of the same blocks as nnU-Net's.

use super::card::{Origin, Source};
use super::checkpoint::StateDict;
use super::dialect::Dialect;
use super::json::Json;
use super::{Error, Feature, Model, Request, Unsupported, folder, json, tensors, text};
use crate::model::unet::Architecture;
use crate::model::{Error as ModelError, Manifest, UNetConfig};
use serde_json::Value;
use std::path::{Path, PathBuf};

const CONFIG: &str = "configs/inference.json";
const MAX_MANIFEST_BYTES: u64 = 64 << 10;
/// What PyTorch's norms add to the variance where nobody says otherwise.
const USUAL_EPSILON: f64 = 1e-5;

/// Reads a bundle or a file of weights.
///
/// # Errors
/// [`ModelError::Import`], [`ModelError::Manifest`], [`ModelError::OutOfRange`].
pub(super) fn read(request: &Request, name: &str) -> Result<Model, ModelError> {
    let source = &request.source;
    let (Some(weights), Some(path)) = (weights_file(source), &request.manifest) else {
        return Err(Error::NotAModel {
            path: source.clone(),
        }
        .into());
    };
    let manifest = manifest(path, name, 1)?;
    let config = source.join(CONFIG);
    if config.is_file() {
        check_network(&json::read(&config)?)?;
    }
    let file = StateDict::open(&weights)?;
    if Dialect::of(&file) == Dialect::DynUNet {
        check_dynunet(&manifest.network)?;
    }
    let tensors = tensors::read(&file, &manifest.network, USUAL_EPSILON)?;
    let origin = Origin {
        what: format!("{} and a model.toml made by hand", json::name(source)),
        sources: vec![Source {
            name: json::name(&weights),
            sha256: text::sha256(&weights)?,
            trainer: None,
            epochs: None,
        }],
    };
    Ok(Model {
        manifest,
        folds: vec![tensors],
        classifier: Vec::new(),
        origin,
    })
}

/// A file, or the weights of a bundle.
fn weights_file(source: &Path) -> Option<PathBuf> {
    let of_bundle = ["models/model.pt", "models/model.pth"].map(|name| source.join(name));
    let files = std::iter::once(source.to_owned()).chain(of_bundle);
    files.into_iter().find(|path| path.is_file())
}

/// The manifest with its name, and with hash and tolerances that are set when the weights are written.
///
/// # Errors
/// [`ModelError::Manifest`], [`ModelError::OutOfRange`], [`Error::Read`], [`Error::Limit`].
pub(super) fn manifest(path: &Path, name: &str, folds: usize) -> Result<Manifest, ModelError> {
    let invalid = |message: String| ModelError::Manifest { message };
    let text = text::read(path, MAX_MANIFEST_BYTES)?;
    let mut table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| invalid(e.to_string()))?;
    let weights = toml::Table::try_from(folder::unknown_weights(folds))
        .map_err(|e| invalid(e.to_string()))?;
    table.insert("weights".into(), weights.into());
    table.insert("name".into(), name.into());
    Manifest::parse(&toml::to_string(&table).map_err(|e| invalid(e.to_string()))?)
}

/// The network of a bundle's configuration must be a `DynUNet` with the blocks that run here.
fn check_network(config: &Value) -> Result<(), Error> {
    let file = Json::new(CONFIG, config);
    let network = file
        .find("network_def")
        .map_or_else(|| file.get("network"), Ok)?;
    let class = network.get("_target_")?;
    if class.text()?.rsplit('.').next() != Some("DynUNet") {
        return Err(class.unsupported(Feature::Architecture));
    }
    let features = [
        ("spatial_dims", Feature::TwoAxes, &["3"][..]),
        ("res_block", Feature::Block, &["false"]),
        ("trans_bias", Feature::Convolution, &["true", "false"]),
        (
            "norm_name",
            Feature::Norm,
            &["instance", "instance_nvfuser", "batch"],
        ),
        ("act_name", Feature::Activation, &["leakyrelu"]),
    ];
    for (key, feature, known) in features {
        let Some(value) = network.find(key) else {
            continue;
        };
        // A name, or a list of a name and arguments.
        let first = if value.is_list() {
            value.items()?.into_iter().next()
        } else {
            Some(value.clone())
        };
        let name = first.map(|first| match first.text() {
            Ok(text) => text.to_lowercase(),
            Err(_) => first.value().to_string(),
        });
        if !name.is_some_and(|name| known.contains(&name.as_str())) {
            return Err(value.unsupported(feature));
        }
        check_arguments(&value, feature)?;
    }
    Ok(())
}

/// Arguments beside a name: those that change nothing.
fn check_arguments(value: &Json, feature: Feature) -> Result<(), Error> {
    if !value.is_list() {
        return Ok(());
    }
    for arguments in value.items()?.iter().skip(1) {
        for (key, argument) in arguments.entries()? {
            let usual = match key {
                "affine" | "inplace" => argument.flag()?,
                "negative_slope" => {
                    (argument.number()? - crate::model::block::NEGATIVE_SLOPE).abs() < 1e-9
                }
                "eps" => (argument.number()? - USUAL_EPSILON).abs() < 1e-9,
                _ => false,
            };
            if !usual {
                return Err(argument.unsupported(feature));
            }
        }
    }
    Ok(())
}

/// MONAI pads by (kernel - stride + 1) / 2, which is half the kernel up to a stride of 2; its blocks have two
/// convolutions, and those of the decoder the kernel of the stage below.
fn check_dynunet(network: &UNetConfig) -> Result<(), Error> {
    let convs = network.encoder_convs.iter().chain(&network.decoder_convs);
    let fits = network.architecture == Architecture::Plain
        && network.strides.iter().flatten().all(|stride| *stride <= 2)
        && network.kernels.windows(2).all(|pair| pair[0] == pair[1])
        && convs.clone().all(|convs| *convs == 2);
    if fits {
        return Ok(());
    }
    Err(Error::Unsupported(Unsupported {
        feature: Feature::Convolution,
        file: "model.toml".into(),
        key: "network".into(),
        found: "not a DynUNet's: plain, one kernel for all stages, two convolutions a stage, strides of at most 2".into(),
    }))
}
