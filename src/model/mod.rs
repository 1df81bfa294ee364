//! From a prepared volume to a probability map: the network, its weights and the sliding window.
//!
//! In: a model's folder (or built-in name) and a volume on the model's grid. Out: probabilities on the searched part of
//! that grid. Refused, by code: damaged model files, a device that miscomputes the golden patch, NaN, too little memory.

mod blend;
mod block;
mod divide;
mod manifest;
mod registry;
mod sliding;
mod sums;
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
use crate::gpu::{self, Compute, Gpu, Kernel};
use crate::preprocess::GridHu;
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

/// Every kernel of this stage; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[&blend::KERNEL, &divide::KERNEL];

/// A loaded model on its device.
#[derive(Debug)]
pub struct Segmenter {
    manifest: Manifest,
    network: UNet,
    golden: Golden,
    compute: Compute,
    device: Device,
}

/// A volume on the model's grid, and where to look in it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The model's grid, axis-aligned with the patient.
    pub grid: &'a Geometry,
    /// HU on it, not yet normalised.
    pub hu: &'a GridHu,
    /// Where to look, on an axis-aligned grid of its own.
    pub search: &'a Mask,
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
    /// Reads a model, checks it and brings its weights to the device.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::FileTooLarge`], [`Error::Manifest`], [`Error::OutOfRange`], [`Error::WeightsHash`],
    /// [`Error::Safetensors`], the tensor errors, [`Error::Gpu`].
    pub fn load(source: &ModelSource, compute: &Compute) -> Result<Self, Error> {
        let files = source.read()?;
        let manifest = Manifest::parse(&files.manifest)?;
        let sha256 = &manifest.weights.sha256;
        let device = match compute {
            Compute::Gpu(gpu) => gpu.burn_device().clone(),
            Compute::Cpu => Device::flex(),
        };
        let load = || weights::load(&files.weights, sha256, &manifest.network, &device);
        let network = guarded(compute, load)??;
        let golden = Golden::parse(&files.golden, &manifest.network)?;
        Ok(Self {
            manifest,
            network,
            golden,
            compute: compute.clone(),
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

    /// Probability of the label wherever the search mask asks for it.
    ///
    /// `progress` is told patches done and patches in all; `cancel` ends the run after the patch at hand.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::OutOfMemory`], [`Error::Device`], [`Error::Gpu`], [`Error::Cancelled`].
    pub fn segment(
        &self,
        input: &Input<'_>,
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Segmentation, Error> {
        let Some(region) = Region::new(input.grid, input.search) else {
            return Ok(nothing_searched(input.grid));
        };
        let InputSpec {
            mut patch,
            step_fraction,
            ..
        } = self.manifest.input;
        loop {
            let pass = Pass {
                model: self,
                region: &region,
                origins: region.patches(patch, step_fraction),
                patch,
                progress,
                cancel,
            };
            match self.run(&pass, input) {
                Ok(probability) => return Ok(self.segmentation(&pass, input.grid, probability)),
                Err(Error::Gpu(e)) if is_memory(&e) => patch = self.smaller(patch)?,
                Err(error) => return Err(error),
            }
        }
    }

    fn run(&self, pass: &Pass<'_>, input: &Input<'_>) -> Result<Vec<f32>, Error> {
        match (&self.compute, input.hu) {
            (_, GridHu::Cpu(hu)) => pass.on_cpu(input.grid, hu),
            (Compute::Gpu(gpu), GridHu::Gpu(slabs)) => {
                self.check_tensors_fit(gpu, pass.patch)?;
                pass.on_gpu(input.grid, slabs, gpu)
            }
            (Compute::Cpu, GridHu::Gpu(_)) => {
                Err(self.failed(&"the volume lies on a GPU, the model does not"))
            }
        }
    }

    fn segmentation(
        &self,
        pass: &Pass<'_>,
        grid: &Geometry,
        mut probability: Vec<f32>,
    ) -> Segmentation {
        for (probability, inside) in probability.iter_mut().zip(&pass.region.inside) {
            *probability *= f32::from(*inside);
        }
        let smaller = pass.patch != self.manifest.input.patch;
        let warning = smaller.then_some(Warning::SmallerPatch { patch: pass.patch });
        Segmentation {
            probability: ProbabilityMap {
                geometry: pass.region.geometry(grid),
                voxels: probability,
            },
            patches: pass.origins.len(),
            warnings: warning.into_iter().collect(),
        }
    }

    /// burn would hand the driver tensors beyond its limit; it is known beforehand.
    fn check_tensors_fit(&self, gpu: &Gpu, patch: [usize; 3]) -> Result<(), gpu::Error> {
        let bytes = self.manifest.network.largest_tensor_bytes(patch);
        let limit_bytes = gpu.binding_limit_bytes();
        if bytes <= limit_bytes {
            return Ok(());
        }
        Err(gpu::Error::BufferTooLarge {
            what: format!("a patch of {patch:?} voxels"),
            bytes,
            limit_bytes,
        })
    }

    /// The patch halved along its largest axis, or a refusal where it would become too small to see a lesion in.
    fn smaller(&self, patch: [usize; 3]) -> Result<[usize; 3], Error> {
        window::smaller(patch, self.manifest.network.total_stride()).ok_or_else(|| {
            Error::OutOfMemory {
                model: self.manifest.name.clone(),
                patch,
            }
        })
    }

    /// Logits `[classes, z, y, x]` of one normalised patch `[input_channels, z, y, x]`.
    fn logits(&self, input: Vec<f32>, [z, y, x]: [usize; 3]) -> Result<Vec<f32>, Error> {
        let shape = [1, self.manifest.network.input_channels, z, y, x];
        let input = Tensor::<5>::from_data(TensorData::new(input, shape), &self.device);
        let logits = self.forward(input)?;
        let data = logits.try_into_data().map_err(|e| self.failed(&e))?;
        data.try_into_vec().map_err(|e| self.failed(&e))
    }

    fn forward(&self, input: Tensor<5>) -> Result<Tensor<5>, Error> {
        Ok(guarded(&self.compute, || self.network.forward(input))?)
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

/// Runs burn work; on a GPU its panics and the device's errors come back as coded errors.
fn guarded<T>(compute: &Compute, work: impl FnOnce() -> T) -> Result<T, gpu::Error> {
    match compute {
        Compute::Gpu(gpu) => gpu.guard(work),
        Compute::Cpu => Ok(work()),
    }
}

fn is_memory(error: &gpu::Error) -> bool {
    matches!(
        error,
        gpu::Error::OutOfMemory { .. } | gpu::Error::BufferTooLarge { .. }
    )
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
            Self::UnknownModel { .. }
            | Self::Manifest { .. }
            | Self::OutOfRange { .. }
            | Self::WeightsHash { .. }
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
            Self::Gpu(e) => e.code(),
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
mod tests;
