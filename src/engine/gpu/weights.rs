//! A layer's weights and bias, in the orders in which kernels read them.

use super::{QUAD, quad_of, quads, voxels};
use crate::engine::ConvParams;

/// Weights as the model has them, with the place of every lane of every input quad.
pub(super) struct Weights<'a> {
    params: &'a ConvParams<'a>,
    transposed: bool,
    /// Number of the input channel of each lane; `None` beyond the last channel of an input.
    lanes: Vec<[Option<usize>; QUAD]>,
    channels_in: usize,
}

impl<'a> Weights<'a> {
    /// `channels_in`: of each input, together those of the weights.
    pub(super) fn new(params: &'a ConvParams<'a>, transposed: bool, channels_in: &[usize]) -> Self {
        let mut lanes = Vec::new();
        let mut before = 0;
        for &channels in channels_in {
            for quad in 0..quads(channels) {
                lanes.push(std::array::from_fn(|lane| {
                    let channel = quad * QUAD + lane;
                    (channel < channels).then_some(before + channel)
                }));
            }
            before += channels;
        }
        Self {
            params,
            transposed,
            lanes,
            channels_in: before,
        }
    }

    /// Quads of all inputs.
    pub(super) fn quads_in(&self) -> usize {
        self.lanes.len()
    }

    /// Bias of each quad of output channels.
    pub(super) fn bias(&self) -> impl Iterator<Item = [f32; QUAD]> {
        let quads = 0..quads(self.params.bias.len());
        quads.map(|quad| quad_of(self.params.bias, quad))
    }

    /// `[column][quad in][z][y][x][channel in]` of four output channels each; of every input quad its first `lanes`.
    pub(super) fn by_column(&self, columns: usize, lanes: usize) -> Vec<[f32; QUAD]> {
        let taps = if self.transposed {
            1
        } else {
            voxels(self.params.kernel)
        };
        let mut packed = Vec::with_capacity(columns * self.quads_in() * taps * lanes);
        for column in 0..columns {
            for quad in 0..self.quads_in() {
                for tap in 0..taps {
                    packed.extend((0..lanes).map(|lane| self.quad(column, [quad, lane], tap)));
                }
            }
        }
        packed
    }

    /// Weights from one lane of an input quad to the output channels of a column; 0 beyond the last of either.
    ///
    /// Of a transposed convolution each tap has columns of its own.
    pub(super) fn quad(&self, column: usize, from: [usize; 2], tap: usize) -> [f32; QUAD] {
        let [quad, lane] = from;
        let Some(c_in) = self.lanes.get(quad).and_then(|lanes| lanes[lane]) else {
            return [0.0; QUAD];
        };
        let (taps, channels_out) = (voxels(self.params.kernel), self.params.bias.len());
        let (quad_out, tap) = match self.transposed {
            true => (column / taps, column % taps),
            false => (column, tap),
        };
        std::array::from_fn(|lane| {
            let c_out = quad_out * QUAD + lane;
            match (c_out < channels_out, self.transposed) {
                (false, _) => 0.0,
                (true, false) => {
                    self.params.weights[(c_out * self.channels_in + c_in) * taps + tap]
                }
                (true, true) => self.params.weights[(c_in * channels_out + c_out) * taps + tap],
            }
        })
    }
}
