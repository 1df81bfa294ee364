//! The golden patches of an imported model: noise, and what the networks make of it.
//!
//! The engine's portable kernels compute it, which any CPU has. burn's own operations, the network's definition, which share
//! nothing with them, must agree; they round too coarsely to be the golden values themselves.

use crate::config::Instructions;
use crate::engine::cpu::{self, InstructionSet};
use crate::gpu::Compute;
use crate::model::classify::Ensemble;
use crate::model::golden::{Golden, GoldenCandidate};
use crate::model::unet::UNet;
use crate::model::{ClassifierSpec, Error, Manifest, classifier, largest_difference, mean};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Voxels that the deepest stage has along each axis; an instance norm needs some.
const DEEPEST_VOXELS: usize = 2;
const SEED: u64 = 1;

/// Largest difference of the definition's logits, as a fraction of the largest, or of 1: deep norms over few voxels magnify rounding.
const AGREEMENT: f32 = 1e-3;

/// A golden patch of more voxels would take a minute and a file of its own size.
const MAX_VOXELS: usize = 1 << 22;

/// Size of the golden patch, voxels along z, y, x.
///
/// # Errors
/// [`Error::OutOfRange`] for strides whose product is larger than any trained network's.
pub(super) fn patch(manifest: &Manifest) -> Result<[usize; 3], Error> {
    let stride = manifest.network.total_stride();
    let patch = small(manifest.input.patch, stride);
    if patch.iter().product::<usize>() <= MAX_VOXELS {
        return Ok(patch);
    }
    Err(Error::OutOfRange {
        key: "network.strides",
        found: format!("{stride:?} in all"),
        wanted: "a product of at most half a million",
    })
}

/// The part of a patch that leaves the deepest stage few voxels.
fn small(patch: [usize; 3], stride: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|axis| (DEEPEST_VOXELS * stride[axis]).min(patch[axis]))
}

/// Noise in the range of normalised values, and the mean of the networks' logits for it.
///
/// # Errors
/// Those of [`patch`]; [`Error::NonFinite`], [`Error::SelfCheck`].
pub(super) fn golden(manifest: &Manifest, networks: &[UNet]) -> Result<Golden, Error> {
    let patch = patch(manifest)?;
    let (input, source) = noise(manifest, patch);
    let portable = portable(manifest)?;
    let all = networks.iter().map(|network| {
        let found = cpu::Network::new(&network.layers(), portable).forward(&input, patch);
        let defined = network.forward(source.clone()).into_data();
        agree(manifest, &found, &defined.iter::<f32>().collect::<Vec<_>>())?;
        Ok(found)
    });
    let logits = mean::reference(all.collect::<Result<Vec<_>, Error>>()?);
    Ok(Golden {
        patch,
        input,
        logits,
    })
}

/// Noise likewise, and the outputs of a classifier for it.
///
/// # Errors
/// [`Error::NonFinite`], [`Error::SelfCheck`].
pub(super) fn candidate(
    manifest: &Manifest,
    spec: &ClassifierSpec,
    defined: &classifier::Ensemble,
) -> Result<GoldenCandidate, Error> {
    let patch = small(spec.patch, spec.total_stride());
    let (input, source) = noise(manifest, patch);
    let ensemble = Ensemble::new(defined, spec, &Compute::Cpu, portable(manifest)?)?;
    let found = ensemble.evidence(&ensemble.runner(patch)?, &input, patch)?;
    let outputs = [&[found.logit][..], &found.type_logits].concat();
    let defined = defined.forward(source, &spec.mirror_axes).into_data();
    agree(
        manifest,
        &outputs,
        &defined.iter::<f32>().collect::<Vec<_>>(),
    )?;
    Ok(GoldenCandidate {
        patch,
        input,
        outputs,
    })
}

/// An input in host memory, and the same for the definition.
fn noise(manifest: &Manifest, [z, y, x]: [usize; 3]) -> (Vec<f32>, Tensor<5>) {
    let shape = [1, manifest.network.input_channels, z, y, x];
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-2.0..2.0));
    let values: Vec<f32> = values.collect();
    let data = TensorData::new(values.clone(), shape);
    (values, Tensor::from_data(data, &Device::flex()))
}

fn portable(manifest: &Manifest) -> Result<InstructionSet, Error> {
    InstructionSet::select(Instructions::Portable).map_err(|error| Error::Device {
        model: manifest.name.clone(),
        message: error.to_string(),
    })
}

/// # Errors
/// [`Error::NonFinite`] for a network that gives no numbers; [`Error::SelfCheck`], which would be a defect of this program.
fn agree(manifest: &Manifest, found: &[f32], defined: &[f32]) -> Result<(), Error> {
    if !found.iter().all(|logit| logit.is_finite()) {
        return Err(Error::NonFinite {
            model: manifest.name.clone(),
            patch: [0; 3],
        });
    }
    let largest = found
        .iter()
        .fold(1.0, |max: f32, logit| max.max(logit.abs()));
    let (difference, tolerance) = (largest_difference(found, defined), AGREEMENT * largest);
    if difference <= tolerance {
        return Ok(());
    }
    Err(Error::SelfCheck {
        model: manifest.name.clone(),
        quantity: "logit",
        difference,
        tolerance,
    })
}
