//! nnU-Net's U-Nets, with a plain or a residual encoder: any number of stages, channels, convolutions and anisotropic strides.
//!
//! Source: Isensee et al., Nat Methods 2021 (nnU-Net); Isensee et al., MICCAI 2024 (nnU-Net Revisited: residual encoders).

use super::block::{Block, BlockConfig, ResidualBlock};
use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig, ConvTranspose3d, ConvTranspose3dConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// `[network]` of `model.toml`: the shape of the network. Stage 0 works at full resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Kind of the encoder's blocks.
    #[serde(default)]
    pub architecture: Architecture,
    /// What follows each convolution but upsampling ones and the last.
    #[serde(default)]
    pub norm: Norm,
    /// Channels of the input.
    pub input_channels: usize,
    /// Channels of the output.
    pub classes: usize,
    /// Channels of each stage.
    pub channels: Vec<usize>,
    /// Kernel of each stage along z, y, x; the decoder uses the encoder's. Odd.
    pub kernels: Vec<[usize; 3]>,
    /// Stride on entering each stage along z, y, x; the first is 1.
    pub strides: Vec<[usize; 3]>,
    /// Convolutions of each encoder stage; of a residual encoder its blocks, of two convolutions each.
    pub encoder_convs: Vec<usize>,
    /// Convolutions of each decoder stage, the deepest first; one stage fewer than the encoder has.
    pub decoder_convs: Vec<usize>,
}

/// Kind of an encoder's blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// nnU-Net's `PlainConvUNet`.
    #[default]
    Plain,
    /// nnU-Net's `ResidualEncoderUNet`.
    Residual,
}

/// What follows a convolution, before the leaky ReLU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Instance norm with affine parameters.
    #[default]
    Instance,
    /// Nothing; a batch norm is part of the convolution's weights.
    None,
}

/// The network. Parameter names are the keys of `weights.safetensors`.
#[derive(Module, Debug)]
pub(crate) struct UNet {
    /// Before a residual encoder, at full resolution.
    pub(super) stem: Option<Block>,
    /// Stages of a residual encoder; else empty.
    pub(super) residual: Vec<Vec<ResidualBlock>>,
    /// Stages of a plain encoder; else empty.
    pub(super) encoder: Vec<Vec<Block>>,
    pub(super) upsample: Vec<ConvTranspose3d>,
    pub(super) decoder: Vec<Vec<Block>>,
    pub(super) head: Conv3d,
}

impl UNetConfig {
    /// Product of all strides along z, y, x: a patch must be a multiple of it.
    pub fn total_stride(&self) -> [usize; 3] {
        self.strides.iter().fold([1; 3], |total, stride| {
            [0, 1, 2].map(|axis| total[axis] * stride[axis])
        })
    }

    /// A network whose weights are drawn only if they are used before others are loaded.
    pub(crate) fn init(&self, device: &Device) -> UNet {
        let is_residual = self.architecture == Architecture::Residual;
        let stem = self.block(0, self.input_channels, [1; 3]);
        let (residual, encoder) = if is_residual {
            let stages = 0..self.channels.len();
            let stages = stages.map(|stage| self.residual_stage(stage, device));
            (stages.collect(), Vec::new())
        } else {
            (Vec::new(), self.plain_encoder(device))
        };
        let skips = (0..self.channels.len().saturating_sub(1)).rev();
        let (upsample, decoder) = skips
            .zip(&self.decoder_convs)
            .map(|(stage, convs)| self.decoder_stage(stage, *convs, device))
            .unzip();
        UNet {
            stem: is_residual.then(|| stem.init(device)),
            residual,
            encoder,
            upsample,
            decoder,
            head: Conv3dConfig::new([self.channels[0], self.classes], [1; 3]).init(device),
        }
    }

    /// The stages of a plain encoder, whose weights are drawn only if they are used before others are loaded.
    pub(super) fn plain_encoder(&self, device: &Device) -> Vec<Vec<Block>> {
        let stage = |stage: usize| {
            self.blocks(
                stage,
                self.channels_above(stage),
                self.strides[stage],
                self.encoder_convs[stage],
                device,
            )
        };
        (0..self.channels.len()).map(stage).collect()
    }

    /// Channels that an encoder stage is given; a residual encoder's stem has made those of its first stage.
    fn channels_above(&self, stage: usize) -> usize {
        match (stage.checked_sub(1), self.architecture) {
            (Some(above), _) => self.channels[above],
            (None, Architecture::Plain) => self.input_channels,
            (None, Architecture::Residual) => self.channels[0],
        }
    }

    fn residual_stage(&self, stage: usize, device: &Device) -> Vec<ResidualBlock> {
        let first = self.block(stage, self.channels_above(stage), self.strides[stage]);
        let other = self.block(stage, self.channels[stage], [1; 3]);
        (0..self.encoder_convs[stage])
            .map(|block| if block == 0 { first } else { other })
            .map(|block| block.init_residual(device))
            .collect()
    }

    fn decoder_stage(
        &self,
        stage: usize,
        convs: usize,
        device: &Device,
    ) -> (ConvTranspose3d, Vec<Block>) {
        let (channels, stride) = (self.channels[stage], self.strides[stage + 1]);
        let upsample = ConvTranspose3dConfig::new([self.channels[stage + 1], channels], stride)
            .with_stride(stride)
            .init(device);
        let blocks = self.blocks(stage, 2 * channels, [1; 3], convs, device);
        (upsample, blocks)
    }

    /// `convs` blocks in a row, of which only the first changes channels and resolution.
    fn blocks(
        &self,
        stage: usize,
        channels_in: usize,
        stride: [usize; 3],
        convs: usize,
        device: &Device,
    ) -> Vec<Block> {
        let first = self.block(stage, channels_in, stride);
        let other = self.block(stage, self.channels[stage], [1; 3]);
        (0..convs)
            .map(|conv| if conv == 0 { first } else { other })
            .map(|block| block.init(device))
            .collect()
    }

    fn block(&self, stage: usize, channels_in: usize, stride: [usize; 3]) -> BlockConfig {
        BlockConfig {
            channels: [channels_in, self.channels[stage]],
            kernel: self.kernels[stage],
            stride,
            normed: self.norm == Norm::Instance,
        }
    }
}

impl UNet {
    /// The definition, on burn's own operations.
    ///
    /// Logits `[n, classes, z, y, x]` of an input `[n, input_channels, z, y, x]`; z, y, x are multiples of the total stride.
    pub(crate) fn forward(&self, input: Tensor<5>) -> Tensor<5> {
        let mut x = input; // [n, input_channels, z, y, x]
        let mut skips = Vec::new();
        for stage in &self.encoder {
            x = through(stage, x); // [n, channels[s], z/S, y/S, x/S], S = strides so far
            skips.push(x.clone());
        }
        if let Some(stem) = &self.stem {
            x = stem.forward(x); // [n, channels[0], z, y, x]
        }
        for stage in &self.residual {
            x = stage.iter().fold(x, |x, block| block.forward(x)); // [n, channels[s], z/S, y/S, x/S]
            skips.push(x.clone());
        }
        // The deepest stage is the bottom, not a skip.
        skips.pop();
        for ((upsample, stage), skip) in self
            .upsample
            .iter()
            .zip(&self.decoder)
            .zip(skips.into_iter().rev())
        {
            x = upsample.forward(x); // [n, channels[s], z/S, y/S, x/S]
            x = Tensor::cat(vec![x, skip], 1); // [n, 2 * channels[s], z/S, y/S, x/S]
            x = through(stage, x); // [n, channels[s], z/S, y/S, x/S]
        }
        self.head.forward(x) // [n, classes, z, y, x]
    }
}

pub(super) fn through(stage: &[Block], input: Tensor<5>) -> Tensor<5> {
    stage.iter().fold(input, |x, block| block.forward(x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;
    use crate::engine::cpu::{self, InstructionSet};
    use crate::gpu::for_tests as gpu;
    use crate::model::golden::Golden;
    use crate::model::weights;
    use crate::model::{WeightsSpec, largest_difference};
    use burn::tensor::TensorData;

    /// Both are f32 and differ in the order of summation only.
    const TOLERANCE: f32 = 1e-4;

    fn anisotropic() -> UNetConfig {
        UNetConfig {
            architecture: Architecture::Plain,
            norm: Norm::Instance,
            input_channels: 2,
            classes: 3,
            channels: vec![4, 6, 8],
            kernels: vec![[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            strides: vec![[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            encoder_convs: vec![1, 2, 3],
            decoder_convs: vec![2, 1],
        }
    }

    #[test]
    fn logits_have_the_size_of_the_input_with_anisotropic_strides() {
        let device = Device::flex();
        let network = anisotropic().init(&device);
        let logits = network.forward(Tensor::ones([1, 2, 4, 8, 12], &device));
        assert_eq!(logits.dims(), [1, 3, 4, 8, 12]);
    }

    /// Largest difference of a logit from PyTorch's, of burn's and of the engine's on every instruction set and the GPU;
    /// the files are made by `models/training/unet_parity.py`.
    fn difference_from_pytorch(name: &str, config: &UNetConfig) -> f32 {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/unet");
        let read = |kind: &str| {
            std::fs::read(format!("{folder}/{name}.{kind}.safetensors")).expect("testdata is there")
        };
        let (device, bytes) = (Device::flex(), read("weights"));
        let spec = WeightsSpec {
            sha256: weights::sha256_hex(&bytes),
            folds: 1,
            golden_tolerance_logit: TOLERANCE,
            golden_tolerance_probability: TOLERANCE,
        };
        let networks = weights::tests::networks(&bytes, &spec, config);
        let golden = Golden::parse(&read("golden"), config).expect("well-formed");
        let [z, y, x] = golden.patch;
        let shape = [1, config.input_channels, z, y, x];
        let network = networks.expect("loads").remove(0);
        let layers = network.layers();
        let mut found: Vec<Vec<f32>> = InstructionSet::available()
            .into_iter()
            .map(|set| cpu::Network::new(&layers, set).forward(&golden.input, golden.patch))
            .collect();
        if let Some(gpu) = gpu() {
            let network = engine::gpu::Network::new(&layers, &gpu).expect("uploads");
            let program = network.program(&gpu, golden.patch).expect("fits");
            found.push(program.forward(&gpu, &golden.input).expect("runs"));
        }
        let input = Tensor::from_data(TensorData::new(golden.input, shape), &device);
        let logits = network.forward(input).into_data();
        found.push(logits.try_into_vec::<f32>().expect("f32"));
        let differences = found.iter().map(|found| {
            assert_eq!(found.len(), golden.logits.len());
            largest_difference(found, &golden.logits)
        });
        differences.fold(0.0, f32::max)
    }

    #[test]
    fn anisotropic_networks_give_pytorch_logits() {
        let anisotropic = UNetConfig {
            input_channels: 1,
            ..anisotropic()
        };
        assert!(difference_from_pytorch("anisotropic", &anisotropic) < TOLERANCE);
        let deep = UNetConfig {
            architecture: Architecture::Plain,
            norm: Norm::Instance,
            input_channels: 1,
            classes: 1,
            channels: vec![3, 4, 5, 6],
            kernels: vec![[3; 3], [3; 3], [3, 1, 5], [3; 3]],
            strides: vec![[1; 3], [2, 2, 2], [2, 1, 3], [1, 2, 1]],
            encoder_convs: vec![2; 4],
            decoder_convs: vec![2; 3],
        };
        assert!(difference_from_pytorch("deep", &deep) < TOLERANCE);
    }

    #[test]
    fn total_stride_is_the_product_of_the_stages() {
        assert_eq!(anisotropic().total_stride(), [2, 4, 4]);
    }
}
