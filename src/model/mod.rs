//! From a prepared volume to a probability map: the network, its weights and the sliding window.
//!
//! In: a model's folder (or built-in name) and a volume on the model's grid. Out: probabilities on the searched part of
//! that grid. Refused, by code: damaged model files, a device that miscomputes the golden patch, NaN, too little memory.

mod blend;
mod block;
mod check;
mod classifier;
mod classify;
mod compile;
mod cut;
mod divide;
mod error;
mod golden;
pub mod import;
mod logits;
mod manifest;
mod mean;
mod network;
mod novelty;
mod registry;
mod sliding;
mod stitch;
mod sums;
mod unet;
mod validate;
mod weights;
mod window;

pub use classify::Evidence;
pub use cut::Channels;
pub use error::Error;
pub use logits::Logits;
pub use manifest::{
    Activation, Bands, Calibration, ChannelNormalization, ClassifierSpec, Confidence, InputChannel,
    InputSpec, IntendedUse, Label, Manifest, ModelGrid, OutputSpec, Review, Unit, WeightsSpec,
};
pub use registry::{BUILTINS, Builtin, ModelSource, automatic};
pub use unet::{Architecture, Norm, UNetConfig};
pub(crate) use weights::sha256_hex;

pub(crate) use check::largest_difference;

use crate::engine::Layers;
use crate::engine::cpu::InstructionSet;
use crate::gpu::{self, Compute, Kernel};
use crate::preprocess::{self, GridHu, Prepared};
use crate::provenance::{Method, ModelIdentity};
use crate::volume::{Geometry, Mask, ProbabilityMap};
use crate::warning::Warning;
use blend::Channel;
use burn::tensor::Device;
use classify::Ensemble;
use golden::{Golden, GoldenCandidate};
use network::Network;
use registry::ModelFiles;
use sliding::Pass;
use std::sync::atomic::AtomicBool;
use unet::UNet;
use weights::Tensors;
use window::Region;

/// Every kernel of this stage; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[
    &blend::KERNEL,
    &cut::KERNEL,
    &divide::KERNEL,
    &mean::KERNEL,
    &stitch::KERNEL,
];

/// A loaded model on its device.
#[derive(Debug)]
pub struct Segmenter {
    manifest: Manifest,
    manifest_sha256: String,
    network: Network,
    golden: Golden,
    classifier: Option<(Ensemble, GoldenCandidate)>,
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
        let Defined {
            manifest,
            networks,
            classifier,
        } = defined(&files)?;
        let golden = Golden::parse(&files.golden, &manifest.network)?;
        let classifier = manifest.classifier.as_ref().zip(classifier);
        let classifier = classifier.map(|(spec, defined)| {
            let channels = manifest.network.input_channels;
            let golden = GoldenCandidate::parse(&files.golden, spec, channels)?;
            let ensemble = Ensemble::new(&defined, spec, compute, instructions)?;
            Ok::<_, Error>((ensemble, golden))
        });
        Ok(Self {
            classifier: classifier.transpose()?,
            network: Network::new(networks.iter().map(UNet::layers), compute, instructions)?,
            manifest_sha256: weights::sha256_hex(files.manifest.as_bytes()),
            manifest,
            golden,
        })
    }

    /// What the model expects, gives and is for.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of `model.toml`, lower-case hex: thresholds and calibration change results as weights do.
    pub fn manifest_sha256(&self) -> &str {
        &self.manifest_sha256
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
            method: Method::TrainedModel,
            experimental: self.manifest.intended_use.experimental,
        }
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
            (Network::Cpu(networks), GridHu::Cpu(hu)) => pass.on_cpu(input.grid, hu, networks),
            (Network::Gpu(networks, gpu), GridHu::Gpu(slabs)) => {
                pass.on_gpu((input.grid, slabs), networks, gpu)
            }
            _ => Err(self.elsewhere()),
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

    fn elsewhere(&self) -> Error {
        self.failed(&"the volume and the model lie on different devices")
    }

    /// Why a patch could not be cut.
    fn preprocessing(&self, error: preprocess::Error) -> Error {
        match error {
            preprocess::Error::Gpu(error) => error.into(),
            other => self.failed(&other),
        }
    }

    fn non_finite(&self, patch: [i64; 3]) -> Error {
        Error::NonFinite {
            model: self.manifest.name.clone(),
            patch,
        }
    }
}

/// A model as every device's kernels are compiled from it.
#[derive(Debug)]
pub struct Definition {
    /// What it expects, gives and is for.
    pub manifest: Manifest,
    /// Its network; of an ensemble the first.
    pub network: Layers,
    /// The encoder of its classifier, likewise.
    pub classifier: Option<Layers>,
}

/// Reads a model without bringing it to a device.
///
/// # Errors
/// As [`Segmenter::load`], but for the device's.
pub fn definition(source: &ModelSource) -> Result<Definition, Error> {
    let defined = defined(&source.read()?)?;
    let classifier = defined.classifier.as_ref();
    Ok(Definition {
        manifest: defined.manifest,
        network: defined.networks[0].layers(),
        classifier: classifier.map(|ensemble| ensemble.networks[0].layers()),
    })
}

/// A model as burn's modules.
struct Defined {
    manifest: Manifest,
    networks: Vec<UNet>,
    classifier: Option<classifier::Ensemble>,
}

fn defined(files: &ModelFiles) -> Result<Defined, Error> {
    let manifest = Manifest::parse(&files.manifest)?;
    let (networks, classifier) = loaded(&files.weights, &manifest)?;
    Ok(Defined {
        manifest,
        networks,
        classifier,
    })
}

/// The networks of a model from exactly the tensors that they have.
fn loaded(
    weights: &[u8],
    manifest: &Manifest,
) -> Result<(Vec<UNet>, Option<classifier::Ensemble>), Error> {
    let (network, device) = (&manifest.network, &Device::flex());
    let mut file = Tensors::open(weights, &manifest.weights)?;
    let networks = file.networks(manifest.weights.folds, network, device)?;
    let ensemble = manifest
        .classifier
        .as_ref()
        .map(|spec| classifier::Ensemble::load(&mut file, spec, network.input_channels, device));
    let ensemble = ensemble.transpose()?;
    file.finish()?;
    Ok((networks, ensemble))
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

#[cfg(test)]
mod tests;
