//! Trained models as a model folder: nnU-Net's results, MONAI's bundles, bare weights, this project's own training.
//!
//! In: a folder or file as it is on a user's disk. Out: `model.toml`, `weights.safetensors`, `golden.safetensors` and
//! `CARD.md` in a new folder, whole or not at all. Refused by code: whatever would not compute as it did in training, and
//! damaged or hostile checkpoints, of which nothing is executed.

mod architecture;
mod bundle;
mod card;
mod checkpoint;
mod dataset;
mod dialect;
mod error;
mod folder;
mod golden;
mod json;
mod labels;
mod nnunet;
mod plans;
mod tensors;
mod text;
mod trained;
mod unsupported;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use unsupported::{Feature, Unsupported};

use crate::model::{Error as ModelError, Manifest};
use card::Origin;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tensors::Named;

/// What to import, and what only a person can say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// nnU-Net's results folder, a MONAI bundle, a file of weights, or what this project's training leaves.
    pub source: PathBuf,
    /// Configuration of the plans; none takes that of the folder's name.
    pub configuration: Option<String>,
    /// Folds by name, such as `0` or `all`; empty takes every numbered one.
    pub folds: Vec<String>,
    /// Which checkpoint of each fold.
    pub checkpoint: Checkpoint,
    /// Where columns, rows and slices of the training images count up to, such as `RAS`; none takes what nnU-Net's reader
    /// turns images to, or leaves them as they lie.
    pub orientation: Option<String>,
    /// Modality (0008,0060) of each input channel; empty takes it from the channels' names.
    pub modalities: Vec<String>,
    /// A PET channel was trained on Bq/ml.
    pub pet_in_bqml: bool,
    /// A file with the coded terms of the labels.
    pub labels: Option<PathBuf>,
    /// A `model.toml` made by hand, for what is no nnU-Net folder.
    pub manifest: Option<PathBuf>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Whom to cite.
    pub attribution: Option<String>,
}

/// Which checkpoint of a fold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// `checkpoint_final.pth`
    #[default]
    Final,
    /// `checkpoint_best.pth`
    Best,
}

impl Checkpoint {
    fn file_name(self) -> &'static str {
        match self {
            Self::Final => "checkpoint_final.pth",
            Self::Best => "checkpoint_best.pth",
        }
    }
}

/// A model that was read and can be written.
struct Model {
    /// Without the hash of its weights.
    manifest: Manifest,
    /// The tensors of each network of the ensemble.
    folds: Vec<Vec<Named>>,
    /// Those of its classifier, under their names in `weights.safetensors`.
    classifier: Vec<Named>,
    origin: Origin,
}

/// Imports a model into the new folder `out`, whose name becomes the model's.
///
/// `overwrite` replaces a folder that is a model. `cancel` ends the work before anything is put in place.
///
/// # Errors
/// [`ModelError::Import`]; [`ModelError::OutOfRange`] for a network that does not run here;
/// [`ModelError::Cancelled`].
pub fn import(
    request: &Request,
    out: &Path,
    overwrite: bool,
    cancel: &AtomicBool,
) -> Result<Manifest, ModelError> {
    folder::check_free(out, overwrite)?;
    let name = json::name(out);
    let model = if nnunet::is_results_folder(&request.source) {
        nnunet::read(request, &name, cancel)?
    } else if trained::is_trained_folder(&request.source) {
        trained::read(request, &name, cancel)?
    } else {
        bundle::read(request, &name)?
    };
    check_cancel(cancel)?;
    folder::write(model, out, cancel)
}

/// The coded terms of an nnU-Net model's labels as far as they are known, for a person to complete.
///
/// # Errors
/// Those of [`import`].
pub fn labels_template(source: &Path) -> Result<String, ModelError> {
    Ok(nnunet::template(source)?)
}

fn check_cancel(cancel: &AtomicBool) -> Result<(), ModelError> {
    if cancel.load(Ordering::Relaxed) {
        return Err(ModelError::Cancelled);
    }
    Ok(())
}
