//! The network's parameters, handed to the engine: the same layers in the same order as `UNet::forward`.

use super::block::{Block, NEGATIVE_SLOPE};
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
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a constant with few digits"
        )]
        let slope = NEGATIVE_SLOPE as f32;
        let [_, input_channels, ..] = self.encoder[0][0].conv.weight.dims();
        let mut layers = Layers::new(input_channels, slope);
        let mut x = layers.input();
        let mut skips = Vec::with_capacity(self.encoder.len());
        for stage in &self.encoder {
            x = through(&mut layers, stage, &[x]);
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

fn through(layers: &mut Layers, stage: &[Block], inputs: &[Activation]) -> Activation {
    let mut inputs = inputs.to_vec();
    for block in stage {
        let conv = Parameters::from(&block.conv);
        let channels = conv.bias.len();
        let norm = NormParams {
            gamma: &values(block.norm.gamma.as_ref(), 1.0, channels),
            beta: &values(block.norm.beta.as_ref(), 0.0, channels),
            epsilon: block.norm.epsilon,
        };
        inputs = vec![layers.block(&inputs, &conv.conv(), &norm)];
    }
    inputs[0]
}

/// Values of a parameter; where the layer has none, what leaves the result alone.
fn values<const D: usize>(
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
    fn conv(&self) -> ConvParams<'_> {
        ConvParams {
            weights: &self.weights,
            bias: &self.bias,
            kernel: self.kernel,
            stride: self.stride,
        }
    }
}
