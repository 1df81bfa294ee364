//! Random networks for the tests of every device, and what the reference gives for them.

use super::reference::{self, Volume};
use super::{Activation, ConvParams, Layers, NormParams};
use proptest::prelude::{Strategy, prop};

pub(super) const SLOPE: f32 = 0.01;

/// Even numbers between -1 and 1, the same for the same seed.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }
}

/// One layer with its random parameters.
pub(super) struct Layer {
    weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    kernel: [usize; 3],
    stride: [usize; 3],
}

impl Layer {
    fn new(
        numbers: &mut Numbers,
        [c_in, c_out]: [usize; 2],
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Self {
        Self {
            weights: numbers.take(c_in * c_out * kernel.iter().product::<usize>()),
            bias: numbers.take(c_out),
            gamma: numbers.take(c_out),
            beta: numbers.take(c_out),
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

    fn norm(&self) -> NormParams<'_> {
        NormParams {
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: 1e-5,
        }
    }
}

/// A U-Net of two stages: every kind of layer once, with the shapes of one case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) channels: [usize; 3],
    pub(super) classes: usize,
    pub(super) kernels: [[usize; 3]; 2],
    pub(super) stride: [usize; 3],
    pub(super) bottom: [usize; 3],
    /// The deeper stage is a residual block, and the decoder has no norm.
    pub(super) residual: bool,
    pub(super) seed: u64,
}

pub(super) struct Net {
    pub(super) case: Case,
    pub(super) layers: Vec<Layer>,
}

impl Case {
    pub(super) fn size(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.bottom[axis] * self.stride[axis])
    }

    pub(super) fn net(&self) -> Net {
        let mut numbers = Numbers(self.seed);
        let [input, top, bottom] = self.channels;
        let [kernel, deep] = self.kernels;
        let layers = vec![
            Layer::new(&mut numbers, [input, top], kernel, [1; 3]),
            Layer::new(&mut numbers, [top, bottom], deep, self.stride),
            Layer::new(&mut numbers, [bottom, top], self.stride, self.stride),
            Layer::new(&mut numbers, [2 * top, top], kernel, [1; 3]),
            Layer::new(&mut numbers, [top, self.classes], [1; 3], [1; 3]),
            Layer::new(&mut numbers, [bottom, bottom], deep, [1; 3]),
            Layer::new(&mut numbers, [top, bottom], [1; 3], self.stride),
        ];
        Net {
            case: self.clone(),
            layers,
        }
    }

    pub(super) fn input(&self) -> Vec<f32> {
        Numbers(!self.seed).take(self.channels[0] * self.size().iter().product::<usize>())
    }
}

impl Net {
    pub(super) fn layers(&self) -> Layers {
        let [down, deep, up, joined, head, second, project] = &self.layers[..] else {
            unreachable!("seven layers")
        };
        let mut layers = Layers::new(self.case.channels[0], SLOPE);
        let block = |b: &mut Layers, inputs: &[Activation], layer: &Layer| {
            b.block(inputs, &layer.conv(), Some(&layer.norm()))
        };
        let input = layers.input();
        let skip = block(&mut layers, &[input], down);
        let mut x = block(&mut layers, &[skip], deep);
        if self.case.residual {
            let first = x;
            let main = layers.branch(first, &second.conv(), Some(&second.norm()));
            let side = layers.branch(skip, &project.conv(), Some(&project.norm()));
            x = layers.sum(main, side);
            // The second block of a stage adds what it was given: here an activated norm.
            x = layers.sum(x, first);
        }
        let x = layers.upsample(x, &up.conv());
        let norm = joined.norm();
        let norm = (!self.case.residual).then_some(&norm);
        let x = layers.block(&[x, skip], &joined.conv(), norm);
        layers.head(x, &head.conv())
    }

    pub(super) fn reference(&self, input: &[f32]) -> Vec<f64> {
        let slope = f64::from(SLOPE);
        let block = |x: &Volume, layer: &Layer| {
            let x = reference::conv(x, &layer.conv());
            reference::normalised(&x, &layer.norm()).activated(slope)
        };
        let branch = |x: &Volume, layer: &Layer| {
            reference::normalised(&reference::conv(x, &layer.conv()), &layer.norm())
        };
        let input = Volume {
            size: self.case.size(),
            values: input.iter().map(|v| f64::from(*v)).collect(),
        };
        let skip = block(&input, &self.layers[0]);
        let mut x = block(&skip, &self.layers[1]);
        if self.case.residual {
            let first = x;
            let main = branch(&first, &self.layers[5]);
            let side = branch(&skip, &self.layers[6]);
            x = main.plus(&side).activated(slope);
            x = x.plus(&first).activated(slope);
        }
        let x = reference::transposed(&x, &self.layers[2].conv()).joined(&skip);
        let x = if self.case.residual {
            reference::conv(&x, &self.layers[3].conv()).activated(slope)
        } else {
            block(&x, &self.layers[3])
        };
        reference::conv(&x, &self.layers[4].conv()).values
    }
}

/// Largest difference, relative to the largest value; infinite where any is NaN.
pub(super) fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |l: f64, v| l.max(v.abs()));
    let pairs = found.iter().zip(expected);
    let differences = pairs.map(|(a, b)| (f64::from(*a) - b).abs());
    differences.fold(0.0, |l: f64, d| {
        if d.is_nan() {
            f64::INFINITY
        } else {
            l.max(d / largest)
        }
    })
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let channels = || {
        prop::sample::select(vec![
            1usize, 2, 3, 8, 12, 15, 16, 17, 24, 32, 33, 48, 50, 64, 80,
        ])
    };
    let kernel = || prop::array::uniform3(prop::sample::select(vec![1usize, 3, 3, 5]));
    (
        (
            prop::sample::select(vec![1usize, 1, 2, 5]),
            channels(),
            channels(),
        ),
        1usize..20,
        (kernel(), kernel()),
        prop::array::uniform3(1usize..=4),
        (1usize..4, 2usize..6, 3usize..10),
        (proptest::bool::ANY, proptest::num::u64::ANY),
    )
        .prop_map(
            |(
                (input, top, bottom),
                classes,
                (first, second),
                stride,
                (z, y, x),
                (residual, seed),
            )| Case {
                channels: [input, top, bottom],
                classes,
                kernels: [first, second],
                stride,
                bottom: [z, y, x],
                residual,
                seed,
            },
        )
        .prop_filter("a norm of few voxels magnifies rounding", |case| {
            case.bottom.iter().product::<usize>() >= 24
        })
        .prop_filter("short in debug builds too", |case| {
            let [_, top, _] = case.channels;
            let taps: usize = case.kernels[0].iter().product();
            top * top * taps * case.size().iter().product::<usize>() < 20_000_000
        })
}

pub(super) fn wide() -> Case {
    Case {
        channels: [1, 24, 160],
        classes: 3,
        kernels: [[3; 3], [3; 3]],
        stride: [1, 2, 2],
        bottom: [6, 20, 26],
        residual: true,
        seed: 1,
    }
}

/// A network whose first layer gives values around 1000, of which 24 bits tell the rest.
pub(super) fn large_mean() -> Net {
    let case = Case {
        channels: [1, 16, 16],
        stride: [1; 3],
        bottom: [8, 16, 32],
        residual: false,
        ..wide()
    };
    let mut net = case.net();
    net.layers[0].bias.fill(1000.0);
    net
}

/// A convolution alone, and what it makes of the values that 16 bits hold.
pub(super) struct OneLayer {
    pub(super) layers: Layers,
    pub(super) size: [usize; 3],
    pub(super) expected: Vec<f64>,
}

/// One layer all of whose factors 16 bits hold exactly, and its input.
pub(super) fn one_layer() -> (OneLayer, Vec<f32>) {
    let (channels_in, size) = (40, [5, 9, 21]);
    let mut numbers = Numbers(3);
    let mut layer = Layer::new(&mut numbers, [channels_in, 24], [3; 3], [1; 3]);
    let rounded = |values: &[f32]| -> Vec<f32> {
        let halves = values.iter().map(|v| half::f16::from_f32(*v).to_f32());
        halves.collect()
    };
    layer.weights = rounded(&layer.weights);
    let input = rounded(&numbers.take(channels_in * size.iter().product::<usize>()));
    let volume = Volume {
        size,
        values: input.iter().map(|v| f64::from(*v)).collect(),
    };
    let layers = Layers::new(channels_in, SLOPE);
    let first = layers.input();
    let layer_out = OneLayer {
        layers: layers.head(first, &layer.conv()),
        size,
        expected: reference::conv(&volume, &layer.conv()).values,
    };
    (layer_out, input)
}

/// Two blocks without a norm, of which the second strides, that end a network at their features; and its input.
pub(super) fn features() -> (OneLayer, Vec<f32>) {
    let size = [4, 6, 10];
    let mut numbers = Numbers(5);
    let first = Layer::new(&mut numbers, [1, 18], [3; 3], [1; 3]);
    let second = Layer::new(&mut numbers, [18, 21], [3; 3], [2; 3]);
    let input = numbers.take(size.iter().product());
    let volume = Volume {
        size,
        values: input.iter().map(|v| f64::from(*v)).collect(),
    };
    let slope = f64::from(SLOPE);
    let block = |x: &Volume, layer: &Layer| reference::conv(x, &layer.conv()).activated(slope);
    let mut layers = Layers::new(1, SLOPE);
    let mut x = layers.input();
    for layer in [&first, &second] {
        x = layers.block(&[x], &layer.conv(), None);
    }
    let features = OneLayer {
        layers: layers.features(),
        size,
        expected: block(&block(&volume, &first), &second).values,
    };
    (features, input)
}
