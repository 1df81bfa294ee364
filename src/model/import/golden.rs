//! The golden patch of an imported model: noise, and what the definition of the network makes of it.
//!
//! It is computed by burn's own operations, which share nothing with the engine's kernels that are checked by it.

use crate::model::unet::UNet;
use crate::model::weights::Golden;
use crate::model::{Error, Manifest};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Voxels that the deepest stage has along each axis; an instance norm needs some.
const DEEPEST_VOXELS: usize = 2;
const SEED: u64 = 1;

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
/// Those of [`patch`].
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
    let mut logits = vec![0.0; network.classes * z * y * x];
    for network in networks {
        let found = network.forward(source.clone()).into_data();
        for (sum, logit) in logits.iter_mut().zip(found.iter::<f32>()) {
            *sum += logit / folds(networks);
        }
    }
    Ok(Golden {
        patch,
        input,
        logits,
    })
}

fn folds(networks: &[UNet]) -> f32 {
    u16::try_from(networks.len()).map_or(f32::INFINITY, f32::from)
}
