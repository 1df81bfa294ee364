//! The network that says of one candidate how likely it is a lesion, and of what type: a U-Net's encoder, the mean and the
//! maximum of each channel of its last stage, a linear head.

use super::Error;
use super::block::Block;
use super::manifest::ClassifierSpec;
use super::novelty::{self, Familiar};
use super::unet::through;
use super::weights::Tensors;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

/// One network. Parameter names are the keys of `weights.safetensors`.
#[derive(Module, Debug)]
pub(crate) struct Classifier {
    pub(super) encoder: Vec<Vec<Block>>,
    pub(super) head: Head,
}

/// `weight * features + bias`
#[derive(Module, Debug)]
pub(crate) struct Head {
    /// `[outputs, features]`
    pub(super) weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub(super) bias: Param<Tensor<1>>,
}

/// The networks of an ensemble, and what is known of the features of its training data.
#[derive(Debug)]
pub(crate) struct Ensemble {
    pub(crate) networks: Vec<Classifier>,
    /// Features of candidates.
    pub(super) candidates: Familiar,
    /// Features of places in the lungs, of which the mean stands for a scan.
    pub(super) input: Familiar,
}

impl ClassifierSpec {
    /// A network whose weights are drawn only if they are used before others are loaded.
    pub(crate) fn init(&self, input_channels: usize, device: &Device) -> Classifier {
        let (outputs, features) = (self.outputs(), self.features());
        Classifier {
            encoder: self.encoder(input_channels).plain_encoder(device),
            head: Head {
                weight: Initializer::Zeros.init([outputs, features], device),
                bias: Initializer::Zeros.init([outputs], device),
            },
        }
    }
}

impl Ensemble {
    /// Takes the ensemble from a model's tensors.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorMismatch`].
    pub(crate) fn load(
        file: &mut Tensors<'_>,
        spec: &ClassifierSpec,
        input_channels: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let network = |fold: usize| {
            let prefix = Some(format!("{FOLDS}.{fold}"));
            file.module(prefix, spec.init(input_channels, device), device)
        };
        let networks = (0..spec.folds).map(network).collect::<Result<_, _>>()?;
        let features = spec.features();
        Ok(Self {
            networks,
            candidates: Familiar::load(file, novelty::CANDIDATES, features)?,
            input: Familiar::load(file, novelty::INPUT, features)?,
        })
    }

    /// The definition, on burn's own operations: outputs `[n, outputs]` of an input `[n, input_channels, z, y, x]`, the mean
    /// over the networks and the copies mirrored along every combination of `axes`.
    pub(crate) fn forward(&self, input: Tensor<5>, axes: &[usize]) -> Tensor<2> {
        let copies = axes.iter().fold(vec![input], |copies, axis| {
            let mirrored = copies.iter().map(|copy| flipped(copy.clone(), *axis));
            copies.iter().cloned().chain(mirrored).collect()
        });
        let of = |network: &Classifier| {
            let outputs = copies.iter().map(|copy| network.forward(copy.clone()));
            outputs.collect::<Vec<_>>()
        };
        let all: Vec<Tensor<2>> = self.networks.iter().flat_map(of).collect(); // [n, outputs] each
        Tensor::stack::<3>(all, 0).mean_dim(0).squeeze_dim(0) // [n, outputs]
    }
}

/// How the tensors of an ensemble begin.
pub(super) const FOLDS: &str = "classifier.folds";

impl Classifier {
    /// Outputs `[n, outputs]` of an input `[n, input_channels, z, y, x]`.
    fn forward(&self, input: Tensor<5>) -> Tensor<2> {
        let map = self
            .encoder
            .iter()
            .fold(input, |x, stage| through(stage, x)); // [n, c, z, y, x]
        let [n, c, z, y, x] = map.dims();
        let map = map.reshape([n, c, z * y * x]); // [n, c, voxels]
        let pooled = vec![map.clone().mean_dim(2), map.max_dim(2)];
        let features = Tensor::cat(pooled, 1).reshape([n, 2 * c]); // [n, 2 * c]
        let bias = self.head.bias.val().unsqueeze_dim(0); // [1, outputs]
        features.matmul(self.head.weight.val().transpose()) + bias // [n, outputs]
    }
}

fn flipped(volume: Tensor<5>, axis: usize) -> Tensor<5> {
    volume.flip([axis + 2]) // [n, c, z, y, x]
}
