//! One block of the U-Net: convolution, instance norm, leaky ReLU.

use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{InstanceNorm, InstanceNormConfig, PaddingConfig3d};
use burn::tensor::{Device, Tensor, activation};

/// Slope of the leaky ReLU below zero, as nnU-Net sets it.
pub(super) const NEGATIVE_SLOPE: f64 = 0.01;

/// Channels, kernel and stride of one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    /// Channels in and out.
    pub(crate) channels: [usize; 2],
    /// Odd kernel sizes along z, y, x; padded so that only the stride shrinks the volume.
    pub(crate) kernel: [usize; 3],
    /// Strides along z, y, x.
    pub(crate) stride: [usize; 3],
}

/// Convolution, instance norm with affine parameters, leaky ReLU.
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(super) conv: Conv3d,
    pub(super) norm: InstanceNorm,
}

impl BlockConfig {
    /// A block whose weights are drawn only if they are used before others are loaded.
    pub(crate) fn init(&self, device: &Device) -> Block {
        let [pz, py, px] = self.kernel.map(|k| k / 2);
        Block {
            conv: Conv3dConfig::new(self.channels, self.kernel)
                .with_stride(self.stride)
                .with_padding(PaddingConfig3d::Explicit(pz, py, px))
                .init(device),
            norm: InstanceNormConfig::new(self.channels[1]).init(device),
        }
    }
}

impl Block {
    /// `[n, c_in, z, y, x]` to `[n, c_out, z / stride, y / stride, x / stride]`.
    pub(crate) fn forward(&self, input: Tensor<5>) -> Tensor<5> {
        let x = self.conv.forward(input); // [n, c_out, z/s, y/s, x/s]
        activation::leaky_relu(self.norm.forward(x), NEGATIVE_SLOPE) // [n, c_out, z/s, y/s, x/s]
    }
}
