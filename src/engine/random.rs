//! Networks of random weights, to measure with where no trained one is at hand.

use super::layers::{Activation, ConvParams, Layers, NormParams};

/// Channels of each stage of the light network of `docs/performance.md`.
pub const LIGHT: &[usize] = &[16, 32, 64, 128];
/// Channels of each stage of the full network.
pub const FULL: &[usize] = &[32, 64, 128, 256, 320];
/// Classes of both.
pub const CLASSES: usize = 3;

/// nnU-Net's plain U-Net for one input channel: kernels of 3, two convolutions a stage, every stage half as large.
pub fn unet(channels: &[usize], classes: usize) -> Layers {
    let random = Random::new(channels, classes);
    let mut layers = Layers::new(1, SLOPE);
    let mut x = layers.input();
    let (mut skips, mut before) = (Vec::new(), 1);
    for (stage, &own) in channels.iter().enumerate() {
        let stride = 1 + usize::from(stage > 0);
        x = random.block(&mut layers, &[x], [before, own], stride);
        x = random.block(&mut layers, &[x], [own, own], 1);
        skips.push(x);
        before = own;
    }
    for stage in (0..channels.len() - 1).rev() {
        let own = channels[stage];
        x = layers.upsample(x, &random.conv([before, own], 2, 2));
        x = random.block(&mut layers, &[x, skips[stage]], [2 * own, own], 1);
        x = random.block(&mut layers, &[x], [own, own], 1);
        before = own;
    }
    layers.head(x, &random.conv([before, classes], 1, 1))
}

/// One block of kernel 3, the second of three layers: the first makes `c_in` channels of the input, the last is the head.
pub fn block([c_in, c_out]: [usize; 2]) -> Layers {
    let random = Random::new(&[c_in, c_out], 1);
    let mut layers = Layers::new(1, SLOPE);
    let input = layers.input();
    let x = random.block(&mut layers, &[input], [1, c_in], 1);
    let x = random.block(&mut layers, &[x], [c_in, c_out], 1);
    layers.head(x, &random.conv([c_out, 1], 1, 1))
}

const SLOPE: f32 = 0.01;

/// Numbers that every layer takes its parameters from.
struct Random {
    weights: Vec<f32>,
    ones: Vec<f32>,
}

impl Random {
    /// Enough for any layer of a network of these channels.
    fn new(channels: &[usize], classes: usize) -> Self {
        let most = channels.iter().fold(classes, |most, c| most.max(*c));
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // 24 bits, from -0.1 to 0.1.
            (seed >> 8) as f32 / 8_388_608e1 - 0.1
        };
        Self {
            weights: (0..2 * most * most * 27).map(|_| next()).collect(),
            ones: vec![1.0; most],
        }
    }

    fn conv(&self, [c_in, c_out]: [usize; 2], kernel: usize, stride: usize) -> ConvParams<'_> {
        ConvParams {
            weights: &self.weights[..c_in * c_out * kernel.pow(3)],
            bias: &self.weights[..c_out],
            kernel: [kernel; 3],
            stride: [stride; 3],
        }
    }

    fn block(
        &self,
        layers: &mut Layers,
        inputs: &[Activation],
        channels: [usize; 2],
        stride: usize,
    ) -> Activation {
        let norm = NormParams {
            gamma: &self.ones[..channels[1]],
            beta: &self.weights[..channels[1]],
            epsilon: 1e-5,
        };
        layers.block(inputs, &self.conv(channels, 3, stride), Some(&norm))
    }
}
