//! From a prepared volume to a probability map: the network, its weights and the sliding window.
//!
//! In: a model's folder (or built-in name) and a volume on the model's grid. Out: probabilities on the searched part of
//! that grid. Refused, by code: damaged model files, a device that miscomputes the golden patch, NaN, too little memory.

mod blend;
mod block;
mod compile;
mod cut;
mod divide;
mod error;
pub mod import;
mod logits;
mod manifest;
mod registry;
mod sliding;
mod stitch;
mod sums;
mod unet;
mod validate;
mod weights;
mod window;

pub use cut::Channels;
pub use error::Error;
pub use logits::Logits;
pub use manifest::{
    Activation, ChannelNormalization, Confidence, InputChannel, InputSpec, IntendedUse, Label,
    Manifest, ModelGrid, OutputSpec, Unit, WeightsSpec,
};
pub use registry::{BUILTINS, Builtin, ModelSource, automatic};
pub use unet::{Architecture, Norm, UNetConfig};

use crate::engine::cpu::{self, InstructionSet};
use crate::engine::{self, Layers};
use crate::gpu::{self, Compute, Gpu, Kernel, Storage};
use crate::preprocess::{GridHu, Prepared};
use crate::provenance::ModelIdentity;
use crate::volume::{Geometry, Mask, ProbabilityMap};
use crate::warning::Warning;
use blend::Channel;
use burn::tensor::Device;
use registry::ModelFiles;
use sliding::Pass;
use std::sync::atomic::AtomicBool;
use unet::UNet;
use weights::Golden;
use window::Region;

/// Every kernel of this stage; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[
    &blend::KERNEL,
    &cut::KERNEL,
    &divide::KERNEL,
    &stitch::KERNEL,
];

/// Largest error of a probability that activations of 16 bits may cost on the golden patch.
const HALF_TOLERANCE_PROBABILITY: f32 = 1e-2;

/// A loaded model on its device.
#[derive(Debug)]
pub struct Segmenter {
    manifest: Manifest,
    network: Network,
    golden: Golden,
}

/// The networks of an ensemble on the engine's kernels; at least one.
#[derive(Debug)]
enum Network {
    Cpu(Vec<cpu::Network>),
    Gpu(Vec<engine::gpu::Network>, Gpu),
}

/// The networks of an ensemble, ready for patches of one size.
enum Runner<'a> {
    Cpu(&'a [cpu::Network], [usize; 3]),
    Gpu(Vec<engine::gpu::Program>, &'a Gpu),
}

impl Runner<'_> {
    /// Logits `[classes, z, y, x]` of one normalised patch `[input_channels, z, y, x]`, the mean over the ensemble.
    fn logits(&self, input: &[f32]) -> Result<Vec<f32>, Error> {
        let logits: Vec<Vec<f32>> = match self {
            Self::Cpu(networks, patch) => {
                networks.iter().map(|n| n.forward(input, *patch)).collect()
            }
            Self::Gpu(programs, gpu) => {
                let run = |program: &engine::gpu::Program| program.forward(gpu, input);
                programs.iter().map(run).collect::<Result<_, _>>()?
            }
        };
        Ok(mean(logits))
    }
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

impl<'a> From<&'a Prepared> for Input<'a> {
    fn from(prepared: &'a Prepared) -> Self {
        Self {
            grid: &prepared.grid,
            hu: &prepared.hu,
            search: &prepared.lungs.search,
        }
    }
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
    /// Reads a model, checks it and brings its weights to the device; `instructions` are a CPU's.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::FileTooLarge`], [`Error::Manifest`], [`Error::OutOfRange`], [`Error::WeightsHash`],
    /// [`Error::Safetensors`], the tensor errors, [`Error::Gpu`].
    pub fn load(
        source: &ModelSource,
        compute: &Compute,
        instructions: InstructionSet,
    ) -> Result<Self, Error> {
        let files = source.read()?;
        let (manifest, defined) = defined(&files)?;
        let golden = Golden::parse(&files.golden, &manifest.network)?;
        Ok(Self {
            network: Network::new(&defined, compute, instructions)?,
            manifest,
            golden,
        })
    }

    /// What the model expects, gives and is for.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Overrides how far patches lie apart, as a fraction of the patch, 0.1 to 1.
    pub fn set_step_fraction(&mut self, fraction: f64) {
        self.manifest.input.step_fraction = fraction;
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
        let logits = self.runner(*patch)?.logits(input)?;
        let weights = &self.manifest.weights;
        if !self.stores_halves() {
            self.compare("logit", &logits, expected, weights.golden_tolerance_logit)?;
        }
        let (channel, voxels) = (self.channel(), patch.iter().product());
        let [found, expected] = [&logits, expected].map(|logits| -> Vec<f32> {
            let probability = |voxel| channel.probability(logits, voxels, voxel);
            (0..voxels).map(probability).collect()
        });
        let mut tolerance = weights.golden_tolerance_probability;
        if self.stores_halves() {
            tolerance = tolerance.max(HALF_TOLERANCE_PROBABILITY);
        }
        self.compare("probability", &found, &expected, tolerance)
    }

    /// Whether activations have 16 bits, for which the tolerances of `model.toml` are not made.
    fn stores_halves(&self) -> bool {
        matches!(&self.network, Network::Gpu(_, gpu) if gpu.storage() == Storage::F16)
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
        match (&self.network, input.hu) {
            (Network::Cpu(networks), GridHu::Cpu(hu)) => pass.on_cpu(input.grid, hu, &networks[0]),
            (Network::Gpu(networks, gpu), GridHu::Gpu(slabs)) => {
                pass.on_gpu((input.grid, slabs), &networks[0], gpu)
            }
            _ => Err(self.failed(&"the volume and the model lie on different devices")),
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

    /// The patch halved along its largest axis, or a refusal where it would become too small to see a lesion in.
    fn smaller(&self, patch: [usize; 3]) -> Result<[usize; 3], Error> {
        window::smaller(patch, self.manifest.network.total_stride()).ok_or_else(|| {
            Error::OutOfMemory {
                model: self.manifest.name.clone(),
                patch,
            }
        })
    }

    /// The networks, ready for patches of one size.
    fn runner(&self, patch: [usize; 3]) -> Result<Runner<'_>, Error> {
        Ok(match &self.network {
            Network::Cpu(networks) => Runner::Cpu(networks, patch),
            Network::Gpu(networks, gpu) => {
                let programs = networks.iter().map(|network| network.program(gpu, patch));
                Runner::Gpu(programs.collect::<Result<_, _>>()?, gpu)
            }
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

/// What a model expects, gives and is for, and its network (of an ensemble the first) as every device's kernels are
/// compiled from it.
///
/// # Errors
/// As [`Segmenter::load`], but for the device's.
pub fn layers(source: &ModelSource) -> Result<(Manifest, Layers), Error> {
    let (manifest, defined) = defined(&source.read()?)?;
    Ok((manifest, defined[0].layers()))
}

fn defined(files: &ModelFiles) -> Result<(Manifest, Vec<UNet>), Error> {
    let manifest = Manifest::parse(&files.manifest)?;
    let (spec, network) = (&manifest.weights, &manifest.network);
    let networks = weights::load(&files.weights, spec, network, &Device::flex())?;
    Ok((manifest, networks))
}

impl Network {
    /// The defined networks, compiled for a device.
    fn new(
        defined: &[UNet],
        compute: &Compute,
        instructions: InstructionSet,
    ) -> Result<Self, gpu::Error> {
        let layers = defined.iter().map(UNet::layers);
        Ok(match compute {
            Compute::Cpu => Self::Cpu(
                layers
                    .map(|layers| cpu::Network::new(&layers, instructions))
                    .collect(),
            ),
            Compute::Gpu(gpu) => {
                let networks = layers.map(|layers| engine::gpu::Network::new(&layers, gpu));
                Self::Gpu(networks.collect::<Result<_, _>>()?, gpu.clone())
            }
        })
    }
}

/// The mean of each value, added in order; of one, that one.
fn mean(all: Vec<Vec<f32>>) -> Vec<f32> {
    let count = all.len() as f32;
    let sum = all.into_iter().reduce(|mut sum, other| {
        sum.iter_mut().zip(other).for_each(|(sum, v)| *sum += v);
        sum
    });
    let mut mean = sum.unwrap_or_default();
    if count > 1.0 {
        mean.iter_mut().for_each(|value| *value /= count);
    }
    mean
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
pub(crate) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| {
        if d.is_nan() {
            f32::INFINITY
        } else {
            largest.max(d)
        }
    })
}

#[cfg(test)]
mod tests;
