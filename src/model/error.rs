//! Why a model was refused or could not run.

use crate::error::Class;
use crate::gpu;
use std::path::PathBuf;

/// Why a model was refused or could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No model of this name or in this place.
    #[error("no model {name}; built in: {builtins}; or give a folder that holds model.toml")]
    UnknownModel {
        /// As it was asked for.
        name: String,
        /// Names of the built-in models.
        builtins: String,
    },
    /// A model's file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A model's file is larger than any that could be used.
    #[error("{path} is larger than {limit} bytes")]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, bytes.
        limit: u64,
    },
    /// `model.toml` is no TOML, or a key is unknown, missing or of the wrong type.
    #[error("model.toml: {message}")]
    Manifest {
        /// The parser's message, with line and column.
        message: String,
    },
    /// A value of `model.toml` out of its range.
    #[error("model.toml: {key} is {found}; {wanted} is needed")]
    OutOfRange {
        /// Dotted key.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// The weights are not those that `model.toml` names.
    #[error(
        "weights.safetensors has SHA-256 {found}; model.toml names {wanted}: copy the model again"
    )]
    WeightsHash {
        /// Hash of the file.
        found: String,
        /// Hash in the manifest.
        wanted: String,
    },
    /// A tensor file that contradicts itself.
    #[error("{file} is malformed: {message}")]
    Safetensors {
        /// Which file.
        file: &'static str,
        /// The parser's message.
        message: String,
    },
    /// A tensor that the network needs is not in the file.
    #[error(
        "tensor {name} is missing: the weights are of another network than model.toml describes"
    )]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor that the network does not have.
    #[error("tensor {name} is not part of the network that model.toml describes")]
    SurplusTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor of another type or shape.
    #[error("tensor {name} is {found}; {wanted} is needed")]
    TensorMismatch {
        /// The tensor.
        name: String,
        /// Its type and shape.
        found: String,
        /// The network's.
        wanted: String,
    },
    /// The device does not reproduce the golden patch.
    #[error(
        "model {model}: the golden patch's {quantity} differs by {difference:e} (at most {tolerance:e}): this device or driver computes wrongly; use --device cpu"
    )]
    SelfCheck {
        /// Name of the model.
        model: String,
        /// Logit or probability.
        quantity: &'static str,
        /// Largest difference.
        difference: f32,
        /// Largest difference allowed.
        tolerance: f32,
    },
    /// The network gave NaN or infinity.
    #[error("model {model}: NaN or infinite values for the patch at {patch:?} (z, y, x)")]
    NonFinite {
        /// Name of the model.
        model: String,
        /// Where it lies on the model's grid: its first voxel, or a classifier's centre.
        patch: [i64; 3],
    },
    /// Even the smallest patch does not fit.
    #[error(
        "model {model}: a patch of {patch:?} voxels (z, y, x) does not fit into the device's memory; use --device cpu"
    )]
    OutOfMemory {
        /// Name of the model.
        model: String,
        /// The smallest patch tried.
        patch: [usize; 3],
    },
    /// The logits of a whole grid would not fit into memory.
    #[error(
        "model {model}: the logits of {classes} classes need {bytes} bytes, {limit_bytes} are allowed: crop the series"
    )]
    TooManyLogits {
        /// Name of the model.
        model: String,
        /// Output channels.
        classes: usize,
        /// Bytes needed.
        bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The device failed while the network ran.
    #[error("model {model}: the device failed: {message}")]
    Device {
        /// Name of the model.
        model: String,
        /// The backend's message.
        message: String,
    },
    /// A trained model could not be imported.
    #[error(transparent)]
    Import(#[from] super::import::Error),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
    /// The run was stopped from outside.
    #[error("stopped before the volume was finished")]
    Cancelled,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Gpu(e) => e.class(),
            Self::Import(e) => e.class(),
            Self::UnknownModel { .. }
            | Self::Manifest { .. }
            | Self::OutOfRange { .. }
            | Self::WeightsHash { .. }
            | Self::Safetensors { .. }
            | Self::MissingTensor { .. }
            | Self::SurplusTensor { .. }
            | Self::TensorMismatch { .. } => Class::Config,
            Self::FileTooLarge { .. } | Self::OutOfMemory { .. } | Self::TooManyLogits { .. } => {
                Class::Limits
            }
            Self::Read { .. }
            | Self::SelfCheck { .. }
            | Self::NonFinite { .. }
            | Self::Device { .. }
            | Self::Cancelled => Class::Environment,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gpu(e) => e.code(),
            Self::Import(e) => e.code(),
            Self::UnknownModel { .. } => "model-unknown",
            Self::Read { .. } => "model-unreadable",
            Self::FileTooLarge { .. } => "model-file-too-large",
            Self::Manifest { .. } => "model-manifest-invalid",
            Self::OutOfRange { .. } => "model-manifest-out-of-range",
            Self::WeightsHash { .. } => "model-weights-hash",
            Self::Safetensors { .. } => "model-tensors-malformed",
            Self::MissingTensor { .. } => "model-tensor-missing",
            Self::SurplusTensor { .. } => "model-tensor-surplus",
            Self::TensorMismatch { .. } => "model-tensor-mismatch",
            Self::SelfCheck { .. } => "model-self-check",
            Self::NonFinite { .. } => "model-non-finite",
            Self::OutOfMemory { .. } => "model-out-of-memory",
            Self::TooManyLogits { .. } => "model-logits-too-large",
            Self::Device { .. } => "model-device",
            Self::Cancelled => "cancelled",
        }
    }
}
