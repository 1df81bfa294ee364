//! A network as a list of layers with their weights: what every device's kernels are compiled from.

/// An activation: the input, or what a layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation(pub(super) usize);

/// Weights and shape of a convolution as a framework keeps them.
#[derive(Debug, Clone, Copy)]
pub struct ConvParams<'a> {
    /// `[c_out, c_in, z, y, x]`, or `[c_in, c_out, z, y, x]` of a transposed convolution.
    pub weights: &'a [f32],
    /// One for each output channel.
    pub bias: &'a [f32],
    /// Kernel along z, y, x; odd, but for a transposed convolution, whose kernel is its stride.
    pub kernel: [usize; 3],
    /// Stride along z, y, x.
    pub stride: [usize; 3],
}

/// Parameters of an instance norm, one gamma and beta for each channel.
#[derive(Debug, Clone, Copy)]
pub struct NormParams<'a> {
    /// Factor of each channel.
    pub gamma: &'a [f32],
    /// Summand of each channel.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f64,
}

/// The layers of a network in the order in which they run; the last gives its output: logits, or features.
#[derive(Debug, Clone)]
pub struct Layers {
    /// Channels of each activation: of the input, then of each layer's output.
    pub(super) channels: Vec<usize>,
    pub(super) steps: Vec<Step>,
    /// Of the leaky ReLU below zero.
    pub(super) slope: f32,
}

/// One layer.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    norm: Option<(Vec<f32>, Vec<f32>, f64)>,
    /// Whether a leaky ReLU follows, after the norm where there is one.
    pub(super) activated: bool,
    /// What it reads.
    pub(super) inputs: Vec<Activation>,
}

/// What a layer computes.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// A convolution of all inputs, joined along the channels.
    Conv(Conv),
    /// The sum of two inputs, activated.
    Sum,
}

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    weights: Vec<f32>,
    bias: Vec<f32>,
    kernel: [usize; 3],
    stride: [usize; 3],
    /// Whether it enlarges its input by its stride.
    pub(super) transposed: bool,
}

impl Conv {
    pub(super) fn params(&self) -> ConvParams<'_> {
        ConvParams {
            weights: &self.weights,
            bias: &self.bias,
            kernel: self.kernel,
            stride: self.stride,
        }
    }
}

impl Step {
    /// `None` of a sum.
    pub(super) fn conv(&self) -> Option<&Conv> {
        match &self.op {
            Op::Conv(conv) => Some(conv),
            Op::Sum => None,
        }
    }

    /// `None` where the output is not normalised.
    pub(super) fn norm(&self) -> Option<NormParams<'_>> {
        let norm = self.norm.as_ref();
        norm.map(|(gamma, beta, epsilon)| NormParams {
            gamma,
            beta,
            epsilon: *epsilon,
        })
    }

    /// Stride along z, y, x.
    pub(super) fn stride(&self) -> [usize; 3] {
        self.conv().map_or([1; 3], |conv| conv.stride)
    }

    /// Whether it enlarges its input by its stride.
    pub(super) fn is_transposed(&self) -> bool {
        self.conv().is_some_and(|conv| conv.transposed)
    }
}

impl Layers {
    /// Of a network yet without layers. `slope`: of the leaky ReLU below zero, 0 to 1.
    ///
    /// # Panics
    /// Where it is not.
    pub fn new(input_channels: usize, slope: f32) -> Self {
        assert!((0.0..=1.0).contains(&slope));
        Self {
            channels: vec![input_channels],
            steps: Vec::new(),
            slope,
        }
    }

    /// The network's input.
    pub fn input(&self) -> Activation {
        Activation(0)
    }

    /// Adds a convolution padded by half its kernel, instance norm where there is one, leaky ReLU; several inputs are
    /// joined along their channels.
    ///
    /// # Panics
    /// Where the lengths of the parameters do not fit each other, or a kernel is even.
    pub fn block(
        &mut self,
        inputs: &[Activation],
        conv: &ConvParams<'_>,
        norm: Option<&NormParams<'_>>,
    ) -> Activation {
        self.push_conv(inputs, conv, false, (norm, true))
    }

    /// Adds one branch of a residual block, for [`Layers::sum`] alone: as [`Layers::block`] without the leaky ReLU.
    ///
    /// # Panics
    /// As [`Layers::block`].
    pub fn branch(
        &mut self,
        input: Activation,
        conv: &ConvParams<'_>,
        norm: Option<&NormParams<'_>>,
    ) -> Activation {
        self.push_conv(&[input], conv, false, (norm, false))
    }

    /// Adds the leaky ReLU of the sum of two activations.
    ///
    /// # Panics
    /// Where they differ in channels, or one is the network's input.
    pub fn sum(&mut self, a: Activation, b: Activation) -> Activation {
        assert!(a.0 > 0 && b.0 > 0, "the input is no branch");
        assert_eq!(self.channels[a.0], self.channels[b.0]);
        self.push(
            Step {
                op: Op::Sum,
                norm: None,
                activated: false,
                inputs: vec![a, b],
            },
            self.channels[a.0],
        )
    }

    /// Adds a transposed convolution without norm, whose kernel is its stride.
    ///
    /// # Panics
    /// Where it is not, or the lengths of the parameters do not fit each other.
    pub fn upsample(&mut self, input: Activation, conv: &ConvParams<'_>) -> Activation {
        self.push_conv(&[input], conv, true, (None, false))
    }

    /// Ends the network at its last block, whose activated channels are its output.
    ///
    /// # Panics
    /// Where that is no block, or has a norm: nothing reads its output, and it is readers that normalise.
    pub fn features(self) -> Self {
        let last = self.steps.last();
        assert!(last.is_some_and(|step| step.activated && step.norm.is_none()));
        self
    }

    /// Adds the last layer, a convolution whose output are the logits.
    ///
    /// # Panics
    /// Where the lengths of the parameters do not fit each other, or a kernel is even.
    pub fn head(mut self, input: Activation, conv: &ConvParams<'_>) -> Self {
        self.push_conv(&[input], conv, false, (None, false));
        self
    }

    /// What the leaky ReLU behind the last layer multiplies values below zero by; 1 where there is none.
    pub(super) fn last_slope(&self) -> f32 {
        match self.steps.last() {
            Some(step) if step.activated => self.slope,
            _ => 1.0,
        }
    }

    fn push_conv(
        &mut self,
        inputs: &[Activation],
        conv: &ConvParams<'_>,
        transposed: bool,
        (norm, activated): (Option<&NormParams<'_>>, bool),
    ) -> Activation {
        let (kernel, stride) = (conv.kernel, conv.stride);
        if transposed {
            assert_eq!(
                kernel, stride,
                "only kernels equal to the stride are supported"
            );
        } else {
            let odd = kernel.iter().all(|k| k % 2 == 1);
            assert!(odd, "a kernel of {kernel:?} has no middle");
        }
        for input in inputs {
            let branch = input.0.checked_sub(1).map(|step| &self.steps[step]);
            let branch = branch.is_some_and(|step| step.norm.is_some() && !step.activated);
            assert!(!branch, "a normalised branch ends in a sum");
        }
        let channels_in: usize = inputs.iter().map(|input| self.channels[input.0]).sum();
        let taps: usize = kernel.iter().product();
        assert_eq!(conv.weights.len(), conv.bias.len() * channels_in * taps);
        let norm = norm.map(|norm| {
            let lengths = [norm.gamma.len(), norm.beta.len()];
            assert_eq!(lengths, [conv.bias.len(); 2]);
            (norm.gamma.to_vec(), norm.beta.to_vec(), norm.epsilon)
        });
        let op = Op::Conv(Conv {
            weights: conv.weights.to_vec(),
            bias: conv.bias.to_vec(),
            kernel,
            stride,
            transposed,
        });
        self.push(
            Step {
                op,
                norm,
                activated,
                inputs: inputs.to_vec(),
            },
            conv.bias.len(),
        )
    }

    fn push(&mut self, step: Step, channels: usize) -> Activation {
        self.channels.push(channels);
        self.steps.push(step);
        Activation(self.steps.len())
    }

    /// Gives each activation a buffer that no other needs at the same time; `None` for the network's input and output,
    /// which lie elsewhere.
    pub(super) fn buffers(&self) -> Vec<Option<usize>> {
        let last_use = |activation: usize| {
            let uses = |step: &Step| step.inputs.contains(&Activation(activation));
            self.steps.iter().rposition(uses).unwrap_or(activation)
        };
        let mut buffers = vec![None; self.steps.len() + 1];
        let mut busy_until: Vec<usize> = Vec::new();
        for step in 0..self.steps.len().saturating_sub(1) {
            // The most recently freed buffer has the size nearest to what is needed, and is in the cache.
            let free = (0..busy_until.len()).filter(|buffer| busy_until[*buffer] < step);
            let buffer = free
                .max_by_key(|buffer| busy_until[*buffer])
                .unwrap_or_else(|| {
                    busy_until.push(0);
                    busy_until.len() - 1
                });
            busy_until[buffer] = last_use(step + 1);
            buffers[step + 1] = Some(buffer);
        }
        buffers
    }
}

/// The leaky ReLU of a network's output, in place; NaN stays.
pub(super) fn activate(output: &mut [f32], slope: f32) {
    if slope < 1.0 {
        let below = output.iter_mut().filter(|value| **value < 0.0);
        below.for_each(|value| *value *= slope);
    }
}
