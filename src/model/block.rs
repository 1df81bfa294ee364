//! Blocks of the U-Net: convolution, norm, leaky ReLU, plain and residual.

use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{InstanceNorm, InstanceNormConfig, PaddingConfig3d};
use burn::tensor::{Device, Tensor, activation};

/// Slope of the leaky ReLU below zero, as nnU-Net sets it.
pub(super) const NEGATIVE_SLOPE: f64 = 0.01;

/// Shape of one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    /// Channels in and out.
    pub(crate) channels: [usize; 2],
    /// Odd kernel sizes along z, y, x; padded so that only the stride shrinks the volume.
    pub(crate) kernel: [usize; 3],
    /// Strides along z, y, x.
    pub(crate) stride: [usize; 3],
    /// Whether an instance norm follows.
    pub(crate) normed: bool,
}

/// Convolution, instance norm with affine parameters where there is one, leaky ReLU.
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(super) conv: Conv3d,
    pub(super) norm: Option<InstanceNorm>,
}

/// The leaky ReLU of the sum of two blocks in a row and of what they were given.
///
/// What they were given is averaged over the stride where there is one, and projected where the channels change: nnU-Net's
/// `BasicBlockD` (He et al., CVPR 2019, ResNet-D).
#[derive(Module, Debug)]
pub(crate) struct ResidualBlock {
    pub(super) first: Block,
    pub(super) second: Block,
    pub(super) project: Option<Block>,
}

impl BlockConfig {
    /// A block whose weights are drawn only if they are used before others are loaded.
    pub(crate) fn init(&self, device: &Device) -> Block {
        let [pz, py, px] = self.kernel.map(|k| k / 2);
        let norm = || InstanceNormConfig::new(self.channels[1]).init(device);
        Block {
            conv: Conv3dConfig::new(self.channels, self.kernel)
                .with_stride(self.stride)
                .with_padding(PaddingConfig3d::Explicit(pz, py, px))
                .init(device),
            norm: self.normed.then(norm),
        }
    }

    /// A residual block whose weights are drawn only if they are used before others are loaded.
    pub(crate) fn init_residual(&self, device: &Device) -> ResidualBlock {
        let [channels_in, channels] = self.channels;
        let second = Self {
            channels: [channels; 2],
            stride: [1; 3],
            ..*self
        };
        let project = Self {
            kernel: [1; 3],
            stride: [1; 3],
            ..*self
        };
        ResidualBlock {
            first: self.init(device),
            second: second.init(device),
            project: (channels_in != channels).then(|| project.init(device)),
        }
    }
}

impl Block {
    /// `[n, c_in, z, y, x]` to `[n, c_out, z / stride, y / stride, x / stride]`.
    pub(crate) fn forward(&self, input: Tensor<5>) -> Tensor<5> {
        activation::leaky_relu(self.branch(input), NEGATIVE_SLOPE) // [n, c_out, z/s, y/s, x/s]
    }

    /// As [`Block::forward`] without the leaky ReLU.
    fn branch(&self, input: Tensor<5>) -> Tensor<5> {
        let x = self.conv.forward(input); // [n, c_out, z/s, y/s, x/s]
        match &self.norm {
            Some(norm) => norm.forward(x), // [n, c_out, z/s, y/s, x/s]
            None => x,
        }
    }
}

impl ResidualBlock {
    /// `[n, c_in, z, y, x]` to `[n, c_out, z / stride, y / stride, x / stride]`.
    pub(crate) fn forward(&self, input: Tensor<5>) -> Tensor<5> {
        let mut side = averaged(input.clone(), self.first.conv.stride); // [n, c_in, z/s, y/s, x/s]
        if let Some(project) = &self.project {
            side = project.branch(side); // [n, c_out, z/s, y/s, x/s]
        }
        let x = self.second.branch(self.first.forward(input)); // [n, c_out, z/s, y/s, x/s]
        activation::leaky_relu(x + side, NEGATIVE_SLOPE) // [n, c_out, z/s, y/s, x/s]
    }
}

/// Mean of each cell of `stride` voxels.
fn averaged(input: Tensor<5>, stride: [usize; 3]) -> Tensor<5> {
    let [n, c, z, y, x] = input.dims();
    let [sz, sy, sx] = stride;
    let [z, y, x] = [z / sz, y / sy, x / sx];
    input
        .reshape([n * c * z, sz, y, sy, x, sx])
        .mean_dim(5)
        .mean_dim(3)
        .mean_dim(1)
        .reshape([n, c, z, y, x]) // [n, c, z/s, y/s, x/s]
}
