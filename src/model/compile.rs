//! The network's parameters, handed to the engine: the same layers in the same order as `UNet::forward`.

use super::block::{Block, NEGATIVE_SLOPE, ResidualBlock};
use super::classifier::Classifier;
use super::unet::UNet;
use crate::engine::{Activation, ConvParams, Layers, NormParams};
use burn::module::Param;
use burn::nn::conv::{Conv3d, ConvTranspose3d};
use burn::tensor::Tensor;

/// A convolution's parameters in host memory.
struct Parameters {
    weights: Vec<f32>,
    bias: Vec<f32>,
    kernel: [usize; 3],
    stride: [usize; 3],
}

impl UNet {
    /// The network as the engine's kernels are compiled from it.
    pub(super) fn layers(&self) -> Layers {
        let first = self.stem.as_ref().unwrap_or_else(|| &self.encoder[0][0]);
        let [_, input_channels, ..] = first.conv.weight.dims();
        let mut layers = Layers::new(input_channels, slope());
        let mut x = layers.input();
        let mut skips = Vec::new();
        for stage in &self.encoder {
            x = through(&mut layers, stage, &[x]);
            skips.push(x);
        }
        if let Some(stem) = &self.stem {
            x = through(&mut layers, std::slice::from_ref(stem), &[x]);
        }
        for stage in &self.residual {
            for block in stage {
                x = residual(&mut layers, block, x);
            }
            skips.push(x);
        }
        // The deepest stage is the bottom, not a skip.
        skips.pop();
        for ((upsample, stage), skip) in self
            .upsample
            .iter()
            .zip(&self.decoder)
            .zip(skips.into_iter().rev())
        {
            x = layers.upsample(x, &Parameters::from(upsample).conv());
            x = through(&mut layers, stage, &[x, skip]);
        }
        layers.head(x, &Parameters::from(&self.head).conv())
    }
}

impl Classifier {
    /// The encoder as the engine's kernels are compiled from it; pooling and head are the host's.
    pub(super) fn layers(&self) -> Layers {
        let [_, input_channels, ..] = self.encoder[0][0].conv.weight.dims();
        let mut layers = Layers::new(input_channels, slope());
        let mut x = layers.input();
        for stage in &self.encoder {
            x = through(&mut layers, stage, &[x]);
        }
        layers.features()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a constant with few digits"
)]
fn slope() -> f32 {
    NEGATIVE_SLOPE as f32
}

fn through(layers: &mut Layers, stage: &[Block], inputs: &[Activation]) -> Activation {
    let mut inputs = inputs.to_vec();
    for block in stage {
        let (conv, norm) = (Parameters::from(&block.conv), Affine::of(block));
        let norm = norm.as_ref().map(Affine::params);
        inputs = vec![layers.block(&inputs, &conv.conv(), norm.as_ref())];
    }
    inputs[0]
}

fn residual(layers: &mut Layers, block: &ResidualBlock, input: Activation) -> Activation {
    let first = through(layers, std::slice::from_ref(&block.first), &[input]);
    let main = branch(
        layers,
        &block.second,
        &Parameters::from(&block.second.conv),
        first,
    );
    let stride = block.first.conv.stride;
    let side = match &block.project {
        Some(project) => {
            let conv = Parameters::from(&project.conv).averaging(stride);
            branch(layers, project, &conv, input)
        }
        None if stride == [1; 3] => input,
        None => {
            let [channels, ..] = block.second.conv.weight.dims();
            let conv = Parameters::identity(channels).averaging(stride);
            layers.branch(input, &conv.conv(), None)
        }
    };
    layers.sum(main, side)
}

fn branch(layers: &mut Layers, block: &Block, conv: &Parameters, input: Activation) -> Activation {
    let norm = Affine::of(block);
    let norm = norm.as_ref().map(Affine::params);
    layers.branch(input, &conv.conv(), norm.as_ref())
}

/// An instance norm's parameters in host memory.
struct Affine {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f64,
}

impl Affine {
    fn of(block: &Block) -> Option<Self> {
        let norm = block.norm.as_ref()?;
        let [channels, ..] = block.conv.weight.dims();
        Some(Self {
            gamma: values(norm.gamma.as_ref(), 1.0, channels),
            beta: values(norm.beta.as_ref(), 0.0, channels),
            epsilon: norm.epsilon,
        })
    }

    fn params(&self) -> NormParams<'_> {
        NormParams {
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: self.epsilon,
        }
    }
}

/// Values of a parameter; where the layer has none, what leaves the result alone.
pub(super) fn values<const D: usize>(
    parameter: Option<&Param<Tensor<D>>>,
    neutral: f32,
    count: usize,
) -> Vec<f32> {
    parameter.map_or_else(
        || vec![neutral; count],
        |parameter| parameter.val().into_data().iter::<f32>().collect(),
    )
}

impl From<&Conv3d> for Parameters {
    fn from(conv: &Conv3d) -> Self {
        let [channels_out, ..] = conv.weight.dims();
        Self {
            weights: values(Some(&conv.weight), 0.0, 0),
            bias: values(conv.bias.as_ref(), 0.0, channels_out),
            kernel: conv.kernel_size,
            stride: conv.stride,
        }
    }
}

impl From<&ConvTranspose3d> for Parameters {
    fn from(conv: &ConvTranspose3d) -> Self {
        let [_, channels_out, ..] = conv.weight.dims();
        Self {
            weights: values(Some(&conv.weight), 0.0, 0),
            bias: values(conv.bias.as_ref(), 0.0, channels_out),
            kernel: conv.kernel_size,
            stride: conv.stride,
        }
    }
}

impl Parameters {
    /// A kernel of one tap that leaves `channels` channels as they are.
    fn identity(channels: usize) -> Self {
        let mut weights = vec![0.0; channels * channels];
        weights
            .iter_mut()
            .step_by(channels + 1)
            .for_each(|w| *w = 1.0);
        Self {
            weights,
            bias: vec![0.0; channels],
            kernel: [1; 3],
            stride: [1; 3],
        }
    }

    /// A kernel of one tap, applied to the means of cells of `stride` voxels: one convolution whose kernel reaches from
    /// the middle over the cell, with zeros before it.
    fn averaging(self, stride: [usize; 3]) -> Self {
        let kernel = stride.map(|s| 2 * s - 1);
        let cell: usize = stride.iter().product();
        let in_cell = |tap: usize| {
            let [_, y, x] = kernel;
            let at = [tap / (y * x), tap / x % y, tap % x];
            at.iter().zip(stride).all(|(at, s)| at + 1 >= s)
        };
        let taps = 0..kernel.iter().product();
        let spread = |weight: f32| {
            let share = weight / cell as f32;
            taps.clone()
                .map(move |tap| if in_cell(tap) { share } else { 0.0 })
        };
        Self {
            weights: self.weights.iter().copied().flat_map(spread).collect(),
            bias: self.bias,
            kernel,
            stride,
        }
    }

    fn conv(&self) -> ConvParams<'_> {
        ConvParams {
            weights: &self.weights,
            bias: &self.bias,
            kernel: self.kernel,
            stride: self.stride,
        }
    }
}
