//! Why a trained model could not be imported.

use super::Unsupported;
use crate::error::Class;
use std::path::PathBuf;

/// Why a trained model could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// More of something than any trained network has.
    #[error(
        "{path}: {what} (at most {limit}); where the rest of the checkpoint is that large, save its weights alone: \
         torch.save({{'network_weights': checkpoint['network_weights']}}, 'weights.pth')"
    )]
    Limit {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The folder is none that nnU-Net v2, MONAI or this project's training wrote.
    #[error(
        "{path} is no trained model: a results folder of nnU-Net v2 (dataset.json, plans.json, fold_*), a MONAI bundle \
         (configs/inference.json, models/model.pt), a folder with model.toml and segmenter_0.pth, or a .pth, .pt or \
         .safetensors file with --manifest is needed"
    )]
    NotAModel {
        /// What was given.
        path: PathBuf,
    },
    /// A JSON or TOML file is malformed, or a key is missing or of the wrong type.
    #[error("{file}: {key}{message}")]
    Invalid {
        /// The file's name.
        file: String,
        /// Dotted key and a blank, or nothing.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The configuration that was asked for is not in the plans, or none was and the folder's name has none.
    #[error(
        "configuration {asked} is not in plans.json; give one of these by --configuration: {known}"
    )]
    Configuration {
        /// As it was asked for.
        asked: String,
        /// Those that there are.
        known: String,
    },
    /// A fold or its checkpoint is not there.
    #[error("{path} is not there; this model has {known}: choose by --folds and --checkpoint")]
    Fold {
        /// What was looked for.
        path: PathBuf,
        /// What there is.
        known: String,
    },
    /// A part of the model that this program does not run.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A checkpoint is damaged, or is none.
    #[error("{path} is damaged or no checkpoint: {message}; copy it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// A checkpoint of PyTorch before 1.6, or a compressed one.
    #[error(
        "{path}: {found} is not read; load it in Python and save it again: torch.save(torch.load(old), new)"
    )]
    Container {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// A pickle that names a function or class which no state dict needs. Nothing of it was executed.
    #[error(
        "{path} calls {name}, which weights do not need; nothing of it was executed. If you trust where it comes from, \
         save its weights alone: torch.save({{'network_weights': checkpoint['network_weights']}}, 'weights.pth')"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Module and name.
        name: String,
    },
    /// The network needs a tensor that the checkpoint lacks.
    #[error(
        "{path}: tensor {name:?} is missing: these are weights of another network than the plans describe"
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor, as the checkpoint would name it.
        name: String,
    },
    /// The checkpoint has a tensor that the network lacks.
    #[error("{path}: tensor {name:?} is no part of the network that the plans describe")]
    SurplusTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another type or shape, or that cannot be a weight.
    #[error("{path}: tensor {name:?} is {found}; {wanted} is needed")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// Labels without coded terms.
    #[error(
        "labels without coded terms: {names}; write them with `hilum model import … --template > labels.toml`, complete \
         the file and give it by --labels"
    )]
    UnmappedLabels {
        /// Their names.
        names: String,
    },
    /// Files that could not be loaded again.
    #[error(
        "{dir}: a file of the model would have more than {limit} bytes; import fewer folds, or fewer labels"
    )]
    TooLarge {
        /// The folder to write.
        dir: PathBuf,
        /// The limit, bytes.
        limit: u64,
    },
    /// The folder to write is there already.
    #[error("{dir} is there already; pass --overwrite to replace a model, or choose another --out")]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Unsupported(e) => e.feature.class(),
            Self::Read { .. } | Self::Write { .. } => Class::Environment,
            Self::Limit { .. } | Self::TooLarge { .. } => Class::Limits,
            Self::Container { .. } => Class::Unsupported,
            Self::NotAModel { .. }
            | Self::Invalid { .. }
            | Self::Configuration { .. }
            | Self::Fold { .. }
            | Self::Malformed { .. }
            | Self::Foreign { .. }
            | Self::MissingTensor { .. }
            | Self::SurplusTensor { .. }
            | Self::Tensor { .. }
            | Self::UnmappedLabels { .. }
            | Self::Exists { .. } => Class::Config,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported(e) => e.feature.code(),
            Self::Read { .. } => "import-unreadable",
            Self::Write { .. } => "import-unwritable",
            Self::Limit { .. } => "import-limit",
            Self::TooLarge { .. } => "import-too-large",
            Self::NotAModel { .. } => "import-not-a-model",
            Self::Invalid { .. } => "import-invalid",
            Self::Configuration { .. } => "import-configuration",
            Self::Fold { .. } => "import-fold",
            Self::Malformed { .. } => "checkpoint-malformed",
            Self::Container { .. } => "checkpoint-container",
            Self::Foreign { .. } => "checkpoint-foreign",
            Self::MissingTensor { .. } => "checkpoint-tensor-missing",
            Self::SurplusTensor { .. } => "checkpoint-tensor-surplus",
            Self::Tensor { .. } => "checkpoint-tensor-mismatch",
            Self::UnmappedLabels { .. } => "import-labels",
            Self::Exists { .. } => "import-exists",
        }
    }
}
