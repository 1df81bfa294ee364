//! From a prepared volume to a probability map: the network, its weights and the sliding window.
//!
//! In: a model's folder (or built-in name) and a volume on the model's grid. Out: probabilities on the searched part of
//! that grid. Refused, by code: damaged model files, a device that miscomputes the golden patch, NaN, too little memory.

mod blend;
mod block;
mod manifest;
mod registry;
mod sliding;
mod unet;
mod weights;
mod window;

pub use manifest::{
    Activation, Confidence, InputSpec, IntendedUse, KernelPreference, Label, Manifest, OutputSpec,
    WeightsSpec,
};
pub use registry::{BUILTINS, Builtin, ModelSource};
pub use unet::UNetConfig;

use crate::error::Class;
use crate::provenance::ModelIdentity;
use crate::volume::{Geometry, Mask, ProbabilityMap};
use crate::warning::Warning;
use blend::Channel;
use burn::tensor::{Device, Tensor, TensorData};
use sliding::Pass;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use unet::UNet;
use weights::Golden;
use window::Region;

/// A loaded model on its device.
#[derive(Debug)]
pub struct Segmenter {
    manifest: Manifest,
    network: UNet,
    golden: Golden,
    device: Device,
}

/// What the network found in a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Probability of the label on the part of the model grid that was searched; 0 outside the search mask.
    pub probability: ProbabilityMap,
    /// Number of patches that were run.
    pub patches: usize,
    /// What the reader of the report must know.
    pub warnings: Vec<Warning>,
}

impl Segmenter {
    fn on_device(source: &ModelSource, device: Device) -> Result<Self, Error> {
        let files = source.read()?;
        let manifest = Manifest::parse(&files.manifest)?;
        let sha256 = &manifest.weights.sha256;
        let network = weights::load(&files.weights, sha256, &manifest.network, &device)?;
        let golden = Golden::parse(&files.golden, &manifest.network)?;
        Ok(Self {
            manifest,
            network,
            golden,
            device,
        })
    }

    /// What the model expects, gives and is for.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Which weights these are, for reports.
    pub fn identity(&self) -> ModelIdentity {
        ModelIdentity {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            sha256: self.manifest.weights.sha256.clone(),
        }
    }

    /// Runs the golden patch on the device and compares logits and probabilities.
    ///
    /// # Errors
    /// [`Error::SelfCheck`] when the device miscomputes; [`Error::Device`].
    pub fn self_check(&self) -> Result<(), Error> {
        let Golden {
            patch,
            input,
            logits: expected,
        } = &self.golden;
        let logits = self.logits(input.clone(), *patch)?;
        let weights = &self.manifest.weights;
        self.compare("logit", &logits, expected, weights.golden_tolerance_logit)?;
        let (channel, voxels) = (self.channel(), patch.iter().product());
        let [found, expected] = [&logits, expected].map(|logits| -> Vec<f32> {
            let probability = |voxel| channel.probability(logits, voxels, voxel);
            (0..voxels).map(probability).collect()
        });
        let tolerance = weights.golden_tolerance_probability;
        self.compare("probability", &found, &expected, tolerance)
    }

    fn compare(
        &self,
        quantity: &'static str,
        found: &[f32],
        expected: &[f32],
        tolerance: f32,
    ) -> Result<(), Error> {
        let difference = largest_difference(found, expected);
        // Written so that NaN fails.
        if difference <= tolerance {
            return Ok(());
        }
        Err(Error::SelfCheck {
            model: self.manifest.name.clone(),
            quantity,
            difference,
            tolerance,
        })
    }

    /// Logits `[classes, z, y, x]` of one normalised patch `[input_channels, z, y, x]`.
    fn logits(&self, input: Vec<f32>, [z, y, x]: [usize; 3]) -> Result<Vec<f32>, Error> {
        let shape = [1, self.manifest.network.input_channels, z, y, x];
        let input = Tensor::<5>::from_data(TensorData::new(input, shape), &self.device);
        let logits = self.network.forward(input);
        let data = logits.try_into_data().map_err(|e| self.failed(&e))?;
        data.try_into_vec().map_err(|e| self.failed(&e))
    }

    fn segment_hu(
        &self,
        grid: &Geometry,
        hu: &[f32],
        search: &Mask,
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Segmentation, Error> {
        let Some(region) = Region::new(grid, search) else {
            return Ok(nothing_searched(grid));
        };
        let InputSpec {
            patch,
            step_fraction,
            ..
        } = self.manifest.input;
        let pass = Pass {
            model: self,
            region: &region,
            origins: region.patches(patch, step_fraction),
            patch,
            progress,
            cancel,
        };
        let mut voxels = pass.on_cpu(grid, hu)?;
        for (probability, inside) in voxels.iter_mut().zip(&region.inside) {
            *probability *= f32::from(*inside);
        }
        Ok(Segmentation {
            patches: pass.origins.len(),
            probability: ProbabilityMap {
                geometry: region.geometry(grid),
                voxels,
            },
            warnings: Vec::new(),
        })
    }

    fn channel(&self) -> Channel {
        Channel {
            index: self.manifest.label().channel,
            classes: self.manifest.network.classes,
            activation: self.manifest.output.activation,
        }
    }

    fn failed(&self, message: &impl std::fmt::Display) -> Error {
        Error::Device {
            model: self.manifest.name.clone(),
            message: message.to_string(),
        }
    }

    fn non_finite(&self, origin: [i64; 3]) -> Error {
        Error::NonFinite {
            model: self.manifest.name.clone(),
            origin,
        }
    }
}

/// The result for an empty search mask: one voxel of probability 0.
fn nothing_searched(grid: &Geometry) -> Segmentation {
    let geometry = Geometry {
        size: [1; 3],
        ..*grid
    };
    Segmentation {
        probability: ProbabilityMap::filled(geometry, 0.0),
        patches: 0,
        warnings: Vec::new(),
    }
}

/// Infinite where any value is NaN, so that no comparison passes.
fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| {
        if d.is_nan() {
            f32::INFINITY
        } else {
            largest.max(d)
        }
    })
}

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
    #[error("model {model}: NaN or infinite logits in the patch at {origin:?} (z, y, x)")]
    NonFinite {
        /// Name of the model.
        model: String,
        /// First voxel of the patch on the model grid.
        origin: [i64; 3],
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
    /// The device failed while the network ran.
    #[error("model {model}: the device failed: {message}")]
    Device {
        /// Name of the model.
        model: String,
        /// The backend's message.
        message: String,
    },
    /// The run was stopped from outside.
    #[error("stopped before the volume was finished")]
    Cancelled,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::UnknownModel { .. } | Self::Manifest { .. } | Self::OutOfRange { .. } => {
                Class::Config
            }
            Self::WeightsHash { .. }
            | Self::Safetensors { .. }
            | Self::MissingTensor { .. }
            | Self::SurplusTensor { .. }
            | Self::TensorMismatch { .. } => Class::Config,
            Self::FileTooLarge { .. } | Self::OutOfMemory { .. } => Class::Limits,
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
            Self::Device { .. } => "model-device",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lite() -> Segmenter {
        let source = ModelSource::Builtin(&BUILTINS[0]);
        Segmenter::on_device(&source, Device::flex()).expect("loads")
    }

    #[test]
    fn flex_reproduces_pytorch_logits() {
        // Both are f32 and differ in the order of summation only.
        const TOLERANCE: f32 = 1e-4;
        let model = lite();
        let Golden {
            patch,
            input,
            logits,
        } = &model.golden;
        let found = model.logits(input.clone(), *patch).expect("runs");
        let difference = largest_difference(&found, logits);
        println!("largest difference of a logit: {difference:e}");
        assert!(difference < TOLERANCE, "{difference:e}");
        model.self_check().expect("passes");
    }
}
