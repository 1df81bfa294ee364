//! What each layer computes, in `f64` and plain loops: the definition that the kernels must meet.

use super::{ConvParams, NormParams};

/// Voxels of a volume of `size`.
fn voxels(size: [usize; 3]) -> usize {
    size.iter().product()
}

/// Values `[channels, z, y, x]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Volume {
    pub(super) size: [usize; 3],
    pub(super) values: Vec<f64>,
}

impl Volume {
    pub(super) fn channels(&self) -> usize {
        self.values.len() / voxels(self.size)
    }

    fn at(&self, channel: usize, [z, y, x]: [usize; 3]) -> f64 {
        let [_, height, width] = self.size;
        self.values[channel * voxels(self.size) + (z * height + y) * width + x]
    }

    /// The channels of both.
    pub(super) fn joined(&self, other: &Self) -> Self {
        assert_eq!(self.size, other.size);
        Self {
            size: self.size,
            values: [&self.values[..], &other.values].concat(),
        }
    }
}

impl Volume {
    /// The sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        assert_eq!(self.size, other.size);
        let pairs = self.values.iter().zip(&other.values);
        Self {
            size: self.size,
            values: pairs.map(|(a, b)| a + b).collect(),
        }
    }

    /// Its leaky ReLU.
    pub(super) fn activated(&self, slope: f64) -> Self {
        let leaky = |value: &f64| if *value < 0.0 { value * slope } else { *value };
        Self {
            size: self.size,
            values: self.values.iter().map(leaky).collect(),
        }
    }
}

/// Every voxel of `size`, x fastest.
fn positions([depth, height, width]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let rows = (0..depth).flat_map(move |z| (0..height).map(move |y| (z, y)));
    rows.flat_map(move |(z, y)| (0..width).map(move |x| [z, y, x]))
}

/// Convolution padded with zeros by half the kernel.
pub(super) fn conv(input: &Volume, params: &ConvParams<'_>) -> Volume {
    let (kernel, stride) = (params.kernel, params.stride);
    let size = [0, 1, 2].map(|axis| (input.size[axis] - 1) / stride[axis] + 1);
    let mut values = Vec::new();
    for (c_out, bias) in params.bias.iter().enumerate() {
        for position in positions(size) {
            let mut sum = f64::from(*bias);
            for c_in in 0..input.channels() {
                for (number, tap) in positions(kernel).enumerate() {
                    let place = [0, 1, 2].map(|axis| {
                        let padded = position[axis] * stride[axis] + tap[axis];
                        let place = padded.checked_sub(kernel[axis] / 2);
                        place.filter(|place| *place < input.size[axis])
                    });
                    if let [Some(z), Some(y), Some(x)] = place {
                        let weight = (c_out * input.channels() + c_in) * voxels(kernel) + number;
                        sum += input.at(c_in, [z, y, x]) * f64::from(params.weights[weight]);
                    }
                }
            }
            values.push(sum);
        }
    }
    Volume { size, values }
}

/// Transposed convolution whose kernel is its stride.
pub(super) fn transposed(input: &Volume, params: &ConvParams<'_>) -> Volume {
    let kernel = params.kernel;
    let size = [0, 1, 2].map(|axis| input.size[axis] * kernel[axis]);
    let mut values = Vec::new();
    for (c_out, bias) in params.bias.iter().enumerate() {
        for position in positions(size) {
            let from = [0, 1, 2].map(|axis| position[axis] / kernel[axis]);
            let [z, y, x] = [0, 1, 2].map(|axis| position[axis] % kernel[axis]);
            let tap = (z * kernel[1] + y) * kernel[2] + x;
            let weight = |c_in| (c_in * params.bias.len() + c_out) * voxels(kernel) + tap;
            let product = |c_in| input.at(c_in, from) * f64::from(params.weights[weight(c_in)]);
            values.push(f64::from(*bias) + (0..input.channels()).map(product).sum::<f64>());
        }
    }
    Volume { size, values }
}

/// Instance norm.
pub(super) fn normalised(input: &Volume, params: &NormParams<'_>) -> Volume {
    let mut values = Vec::new();
    for (channel, own) in input.values.chunks(voxels(input.size)).enumerate() {
        let count = own.len() as f64;
        let mean = own.iter().sum::<f64>() / count;
        let variance = own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let scale = f64::from(params.gamma[channel]) / (variance + params.epsilon).sqrt();
        let shift = f64::from(params.beta[channel]);
        values.extend(own.iter().map(|value| (value - mean) * scale + shift));
    }
    Volume {
        size: input.size,
        values,
    }
}
