//! The golden patch of an imported model: noise, and what the network makes of it.
//!
//! The engine's portable kernels compute it, which any CPU has. burn's own operations, the network's definition, which share
//! nothing with them, must agree; they round too coarsely to be the golden values themselves.

use crate::config::Instructions;
use crate::engine;
use crate::engine::cpu::{self, InstructionSet};
use crate::model::unet::UNet;
use crate::model::weights::Golden;
use crate::model::{Error, Manifest, largest_difference};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Voxels that the deepest stage has along each axis; an instance norm needs some.
const DEEPEST_VOXELS: usize = 2;
const SEED: u64 = 1;

/// Largest difference of the definition's logits, as a fraction of the largest: deep norms over few voxels magnify rounding.
const AGREEMENT: f32 = 1e-3;

/// A golden patch of more voxels would take a minute and a file of its own size.
const MAX_VOXELS: usize = 1 << 22;

/// Size of the golden patch, voxels along z, y, x.
///
/// # Errors
/// [`Error::OutOfRange`] for strides whose product is larger than any trained network's.
pub(super) fn patch(manifest: &Manifest) -> Result<[usize; 3], Error> {
    let stride = manifest.network.total_stride();
    let patch =
        [0, 1, 2].map(|axis| (DEEPEST_VOXELS * stride[axis]).min(manifest.input.patch[axis]));
    if patch.iter().product::<usize>() <= MAX_VOXELS {
        return Ok(patch);
    }
    Err(Error::OutOfRange {
        key: "network.strides",
        found: format!("{stride:?} in all"),
        wanted: "a product of at most half a million",
    })
}

/// Noise in the range of normalised values, and the mean of the networks' logits for it.
///
/// # Errors
/// Those of [`patch`]; [`Error::NonFinite`], [`Error::SelfCheck`].
pub(super) fn golden(manifest: &Manifest, networks: &[UNet]) -> Result<Golden, Error> {
    let patch = patch(manifest)?;
    let network = &manifest.network;
    let [z, y, x] = patch;
    let shape = [1, network.input_channels, z, y, x];
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let input: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.random_range(-2.0..2.0))
        .collect();
    let data = TensorData::new(input.clone(), shape);
    let source: Tensor<5> = Tensor::from_data(data, &Device::flex());
    let portable = InstructionSet::select(Instructions::Portable).map_err(device(manifest))?;
    let mut logits = vec![0.0; network.classes * z * y * x];
    for network in networks {
        let found = cpu::Network::new(&network.layers(), portable).forward(&input, patch);
        let defined = network.forward(source.clone()).into_data();
        agree(manifest, &found, &defined.iter::<f32>().collect::<Vec<_>>())?;
        for (sum, logit) in logits.iter_mut().zip(found) {
            *sum += logit / folds(networks);
        }
    }
    Ok(Golden {
        patch,
        input,
        logits,
    })
}

/// # Errors
/// [`Error::NonFinite`] for a network that gives no numbers; [`Error::SelfCheck`], which would be a defect of this program.
fn agree(manifest: &Manifest, found: &[f32], defined: &[f32]) -> Result<(), Error> {
    if !found.iter().all(|logit| logit.is_finite()) {
        return Err(Error::NonFinite {
            model: manifest.name.clone(),
            origin: [0; 3],
        });
    }
    let largest = found
        .iter()
        .fold(0.0, |max: f32, logit| max.max(logit.abs()));
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

fn device(manifest: &Manifest) -> impl FnOnce(engine::Error) -> Error {
    let model = manifest.name.clone();
    move |error| Error::Device {
        model,
        message: error.to_string(),
    }
}

fn folds(networks: &[UNet]) -> f32 {
    u16::try_from(networks.len()).map_or(f32::INFINITY, f32::from)
}
