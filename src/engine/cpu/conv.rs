//! A convolution, or a transposed one whose kernel is its stride, with its weights packed for the kernel.

use super::lanes::{LANES, Lanes, block_channels, blocks};
use super::tile::MAX_BLOCKS;
use super::transform::{self, PRODUCTS};
use super::winograd;
use crate::engine::ConvParams;

/// A layer ready to run at any size.
#[derive(Debug)]
pub(super) struct Conv {
    pub(super) kernel: [usize; 3],
    pub(super) stride: [usize; 3],
    /// By how much the output is larger along z, y, x: 1, or a transposed convolution's stride.
    pub(super) up: [usize; 3],
    /// Channels of each input block.
    pub(super) channels_in: Vec<usize>,
    pub(super) channels_out: usize,
    /// For each output block (of a transposed convolution: and tap) those of each input block, tap and channel.
    weights: Vec<Lanes>,
    /// For each output block and product of the transform those of each input block, tap along z and channel; empty where
    /// the layer is direct at every size.
    transformed: Vec<Lanes>,
    /// For each output block (and tap).
    bias: Vec<Lanes>,
}

/// Output blocks that one tile computes together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// First of them among the packed weights, and their number.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Output block, and taps along z, y, x of a transposed convolution, of the first.
    pub(super) block: usize,
    pub(super) tap: [usize; 3],
}

impl Conv {
    /// `channels_in`: of each input block; together those of the weights.
    pub(super) fn new(params: &ConvParams<'_>, channels_in: Vec<usize>) -> Self {
        let taps: usize = params.kernel.iter().product();
        let channels_out = params.bias.len();
        let total: usize = channels_in.iter().sum();
        let mut weights = Vec::with_capacity(blocks(channels_out) * total * taps);
        for block in 0..blocks(channels_out) {
            let mut first = 0;
            for &channels in &channels_in {
                for tap in 0..taps {
                    let of = |c_in| move |c_out| (c_out * total + first + c_in) * taps + tap;
                    let lanes = |c| gathered(params.weights, block, channels_out, of(c));
                    weights.extend((0..channels).map(lanes));
                }
                first += channels;
            }
        }
        let transformed = if winograd::suits(params.kernel, params.stride, &channels_in) {
            transformed(params, &channels_in)
        } else {
            Vec::new()
        };
        Self {
            kernel: params.kernel,
            stride: params.stride,
            up: [1; 3],
            transformed,
            channels_in,
            channels_out,
            weights,
            bias: (0..blocks(channels_out))
                .map(|b| Lanes::of(params.bias, b))
                .collect(),
        }
    }

    /// A transposed convolution: each input voxel becomes `stride` voxels of output.
    pub(super) fn transposed(params: &ConvParams<'_>, channels_in: Vec<usize>) -> Self {
        let taps: usize = params.kernel.iter().product();
        let channels_out = params.bias.len();
        let total: usize = channels_in.iter().sum();
        let along_x = params.kernel[2];
        let mut conv = Self {
            kernel: [1; 3],
            stride: [1; 3],
            up: params.stride,
            channels_in,
            channels_out,
            weights: Vec::with_capacity(blocks(channels_out) * total * taps),
            transformed: Vec::new(),
            bias: Vec::with_capacity(blocks(channels_out) * taps),
        };
        for row in 0..taps / along_x {
            for block in 0..blocks(channels_out) {
                for tap in row * along_x..(row + 1) * along_x {
                    let of = |c_in| move |c_out| (c_in * channels_out + c_out) * taps + tap;
                    let lanes = |c| gathered(params.weights, block, channels_out, of(c));
                    conv.weights.extend((0..total).map(lanes));
                    conv.bias.push(Lanes::of(params.bias, block));
                }
            }
        }
        conv
    }

    /// Output blocks.
    pub(super) fn blocks_out(&self) -> usize {
        blocks(self.channels_out)
    }

    /// Size of the output for an input of `size`.
    pub(super) fn size_out(&self, size: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| ((size[axis] - 1) / self.stride[axis] + 1) * self.up[axis])
    }

    /// Lanes of the weights of one output block.
    pub(super) fn weights_pitch(&self) -> usize {
        self.weights.len() / self.bias.len()
    }

    /// Lanes of the weights of one input block of 16 channels.
    pub(super) fn weights_of_block(&self) -> usize {
        LANES * self.kernel.iter().product::<usize>()
    }

    /// Weights of `group`, from the first channel of input block `block` on.
    pub(super) fn weights(&self, group: &Group, block: usize) -> &[Lanes] {
        let taps: usize = self.kernel.iter().product();
        let before: usize = self.channels_in[..block].iter().sum();
        let start = group.first * self.weights_pitch() + before * taps;
        &self.weights[start..(group.first + group.count) * self.weights_pitch()]
    }

    /// Whether it has weights for Winograd convolution.
    pub(super) fn is_transformed(&self) -> bool {
        !self.transformed.is_empty()
    }

    /// The same layer, direct at every size.
    #[cfg(test)]
    pub(super) fn without_transform(mut self) -> Self {
        self.transformed.clear();
        self
    }

    /// Lanes of the transformed weights of one output block.
    pub(super) fn transformed_pitch(&self) -> usize {
        self.transformed.len() / self.bias.len()
    }

    /// Transformed weights of `group` for product `product`.
    pub(super) fn transformed(&self, group: &Group, product: usize) -> &[Lanes] {
        let start = group.first * self.transformed_pitch();
        &self.transformed[start + product * self.transformed_pitch() / PRODUCTS..]
    }

    pub(super) fn bias(&self, group: &Group) -> &[Lanes] {
        &self.bias[group.first..group.first + group.count]
    }

    /// The output in groups of at most `most` blocks. Those of a transposed convolution are neighbours along x.
    pub(super) fn groups(&self, most: usize) -> Vec<Group> {
        let most = most.clamp(1, MAX_BLOCKS);
        if self.up == [1; 3] {
            let group = |(first, count)| Group {
                first,
                count,
                block: first,
                tap: [0; 3],
            };
            return parts(self.blocks_out(), most).map(group).collect();
        }
        let [up_z, up_y, up_x] = self.up;
        let blocks = self.blocks_out();
        let taps = (0..up_z * up_y).flat_map(|row| (0..blocks).map(move |block| (row, block)));
        taps.flat_map(|(row, block)| {
            parts(up_x, MAX_BLOCKS).map(move |(x, count)| Group {
                first: (row * blocks + block) * up_x + x,
                count,
                block,
                tap: [row / up_y, row % up_y, x],
            })
        })
        .collect()
    }
}

/// The weights of a kernel of 3 × 3 along y and x, transformed.
fn transformed(params: &ConvParams<'_>, channels_in: &[usize]) -> Vec<Lanes> {
    #![expect(clippy::cast_possible_truncation, reason = "rounding to f32")]
    let (total, depth) = (channels_in.iter().sum::<usize>(), params.kernel[0]);
    let pitch = PRODUCTS * total * depth;
    let mut lanes = vec![Lanes::ZERO; blocks(params.bias.len()) * pitch];
    for c_out in 0..params.bias.len() {
        let own = &mut lanes[c_out / LANES * pitch..][..pitch];
        let mut first = 0;
        for &channels in channels_in {
            for (z, c) in (0..depth).flat_map(|z| (0..channels).map(move |c| (z, c))) {
                let start = ((c_out * total + first + c) * depth + z) * 9;
                let tap = |y: usize, x: usize| f64::from(params.weights[start + y * 3 + x]);
                let to = first * depth + z * channels + c;
                for (product, value) in transform::taps(tap).into_iter().enumerate() {
                    own[product * total * depth + to].0[c_out % LANES] = value as f32;
                }
            }
            first += channels;
        }
    }
    lanes
}

/// `count` in nearly equal parts of at most `most`: start and length of each.
fn parts(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(most);
    let (size, larger) = (count / parts, count % parts);
    (0..parts).map(move |part| {
        (
            part * size + part.min(larger),
            size + usize::from(part < larger),
        )
    })
}

/// Values of the output channels of block `block`, each at the index that `of` gives; zeros beyond the last channel.
fn gathered(values: &[f32], block: usize, channels: usize, of: impl Fn(usize) -> usize) -> Lanes {
    let mut lanes = Lanes::ZERO;
    let own = block_channels(channels).nth(block).unwrap_or(0);
    for (lane, value) in lanes.0[..own].iter_mut().enumerate() {
        *value = values[of(block * LANES + lane)];
    }
    lanes
}
