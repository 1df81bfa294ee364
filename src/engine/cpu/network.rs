//! A network compiled for this CPU: packed weights, the order of its layers, and buffers that are used again.

use super::conv::{Conv, ConvParams};
use super::gather::{Block, Values};
use super::isa::InstructionSet;
use super::lanes::{Lanes, block_channels, blocks, voxels};
use super::norm::{Affine, Norm, RowStats};
use super::task::{self, Output};
use std::sync::{Mutex, PoisonError};

/// An activation: the input, or what a layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation(usize);

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

/// A network under construction, layer by layer in the order in which they run.
#[derive(Debug)]
pub struct Builder {
    /// Channels of each activation.
    channels: Vec<usize>,
    steps: Vec<Step>,
    slope: f32,
}

/// A network ready to run, one patch at a time.
#[derive(Debug)]
pub struct Network {
    set: InstructionSet,
    channels: Vec<usize>,
    steps: Vec<Step>,
    slope: f32,
    /// Buffer of each activation.
    slots: Vec<usize>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Step {
    conv: Conv,
    norm: Option<Affine>,
    inputs: Vec<Activation>,
}

/// Kept from patch to patch.
#[derive(Debug, Default)]
struct Memory {
    slots: Vec<Vec<Lanes>>,
    /// Of each activation, a block each; empty where none follows.
    norms: Vec<Vec<Norm>>,
    stats: Vec<RowStats>,
}

impl Builder {
    /// `slope`: of the leaky ReLU below zero, 0 to 1.
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

    /// Convolution padded by half its kernel, instance norm, leaky ReLU; several inputs are joined along their channels.
    ///
    /// # Panics
    /// Where the lengths of the parameters do not fit each other, or a kernel is even.
    pub fn block(
        &mut self,
        inputs: &[Activation],
        conv: &ConvParams<'_>,
        norm: &NormParams<'_>,
    ) -> Activation {
        let lengths = [norm.gamma.len(), norm.beta.len()];
        assert_eq!(lengths, [conv.bias.len(); 2]);
        let affine = Affine {
            gamma: norm.gamma.to_vec(),
            beta: norm.beta.to_vec(),
            epsilon: norm.epsilon,
        };
        let conv = Conv::new(conv, self.channels_of(inputs));
        self.push(conv, Some(affine), inputs)
    }

    /// Transposed convolution without norm, whose kernel is its stride.
    ///
    /// # Panics
    /// Where it is not, or the lengths of the parameters do not fit each other.
    pub fn upsample(&mut self, input: Activation, conv: &ConvParams<'_>) -> Activation {
        let conv = Conv::transposed(conv, self.channels_of(&[input]));
        self.push(conv, None, &[input])
    }

    /// The last layer, a convolution whose output are the logits.
    ///
    /// # Panics
    /// Where the lengths of the parameters do not fit each other, or a kernel is even.
    pub fn head(
        mut self,
        input: Activation,
        conv: &ConvParams<'_>,
        set: InstructionSet,
    ) -> Network {
        let conv = Conv::new(conv, self.channels_of(&[input]));
        self.push(conv, None, &[input]);
        let slots = slots(&self.steps);
        Network {
            set,
            channels: self.channels,
            steps: self.steps,
            slope: self.slope,
            slots,
            memory: Mutex::default(),
        }
    }

    fn push(&mut self, conv: Conv, norm: Option<Affine>, inputs: &[Activation]) -> Activation {
        self.channels.push(conv.channels_out);
        self.steps.push(Step {
            conv,
            norm,
            inputs: inputs.to_vec(),
        });
        Activation(self.steps.len())
    }

    /// Channels of each block of the inputs; the network's own input is taken channel by channel.
    fn channels_of(&self, inputs: &[Activation]) -> Vec<usize> {
        let blocks = inputs.iter().flat_map(|input| match input.0 {
            0 => vec![1; self.channels[0]],
            other => block_channels(self.channels[other]).collect(),
        });
        blocks.collect()
    }
}

/// Gives each activation a buffer that no other needs at the same time.
fn slots(steps: &[Step]) -> Vec<usize> {
    let last_use = |activation: usize| {
        let uses = |step: &Step| step.inputs.contains(&Activation(activation));
        steps.iter().rposition(uses).unwrap_or(activation)
    };
    // The network's input and output lie elsewhere.
    let mut slots = vec![usize::MAX; steps.len() + 1];
    let mut busy_until: Vec<usize> = Vec::new();
    for step in 0..steps.len().saturating_sub(1) {
        // The most recently freed buffer has the size nearest to what is needed, and is in the cache.
        let free = (0..busy_until.len()).filter(|slot| busy_until[*slot] < step);
        let slot = free
            .max_by_key(|slot| busy_until[*slot])
            .unwrap_or_else(|| {
                busy_until.push(0);
                busy_until.len() - 1
            });
        busy_until[slot] = last_use(step + 1);
        slots[step + 1] = slot;
    }
    slots
}

impl Network {
    /// The instructions that it runs on.
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// Logits `[classes, z, y, x]` of a patch `[input_channels, z, y, x]` of `size` voxels.
    ///
    /// The same bits on any number of threads. A second caller waits for the first.
    ///
    /// # Panics
    /// Where `input` is not that long, or the strides do not divide `size`.
    pub fn forward(&self, input: &[f32], size: [usize; 3]) -> Vec<f32> {
        assert_eq!(input.len(), self.channels[0] * voxels(size));
        // Every buffer is written before it is read, so what a panic left there does no harm.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.slots.resize(
            self.slots
                .iter()
                .filter(|s| **s != usize::MAX)
                .max()
                .map_or(0, |s| s + 1),
            Vec::new(),
        );
        memory.norms.resize(self.channels.len(), Vec::new());
        let mut sizes = vec![size];
        let mut logits = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let size_in = sizes[step.inputs[0].0];
            assert!(step.inputs.iter().all(|input| sizes[input.0] == size_in));
            sizes.push(step.conv.size_out(size_in));
            if number + 1 == self.steps.len() {
                logits = vec![0.0; self.channels[number + 1] * voxels(sizes[number + 1])];
            }
            self.step(number, (input, size_in), &mut memory, &mut logits);
        }
        logits
    }

    /// Fills every buffer with NaN.
    #[cfg(test)]
    pub(super) fn poison(&self) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = memory.slots.iter_mut().flatten();
        lanes.for_each(|lanes| lanes.0.fill(f32::NAN));
    }

    fn step(
        &self,
        number: usize,
        (patch, size_in): (&[f32], [usize; 3]),
        memory: &mut Memory,
        logits: &mut [f32],
    ) {
        let step = &self.steps[number];
        let [z, y, x] = step.conv.size_out(size_in);
        let own = self.slots[number + 1];
        let mut lanes = memory
            .slots
            .get_mut(own)
            .map(std::mem::take)
            .unwrap_or_default();
        let mut stats = std::mem::take(&mut memory.stats);
        let length = step.conv.blocks_out() * z * y * x;
        let rows = step.conv.blocks_out() * z * y;
        let output = if own == usize::MAX {
            Output::Plain(logits)
        } else {
            grow(&mut lanes, length, Lanes::ZERO);
            grow(&mut stats, rows, RowStats::ZERO);
            Output::Blocked {
                lanes: &mut lanes[..length],
                stats: step.norm.is_some().then_some(&mut stats[..rows]),
            }
        };
        let input = self.input(step, (patch, size_in), memory);
        task::run(self.set, &step.conv, (&input, size_in), self.slope, output);
        if let Some(affine) = &step.norm {
            let blocks = stats[..rows].chunks_exact(z * y).enumerate();
            let norms = blocks
                .map(|(block, rows)| affine.norm(block, rows, x))
                .collect();
            memory.norms[number + 1] = norms;
        }
        memory.stats = stats;
        if let Some(slot) = memory.slots.get_mut(own) {
            *slot = lanes;
        }
    }

    /// The blocks that a step reads, of all its inputs.
    fn input<'a>(
        &self,
        step: &Step,
        (patch, size): (&'a [f32], [usize; 3]),
        memory: &'a Memory,
    ) -> Vec<Block<'a>> {
        let mut found = Vec::with_capacity(step.conv.channels_in.len());
        for &Activation(input) in &step.inputs {
            if input == 0 {
                found.extend(patch.chunks_exact(voxels(size)).map(|channel| Block {
                    values: Values::Plain(channel),
                    norm: None,
                }));
                continue;
            }
            let lanes =
                &memory.slots[self.slots[input]][..blocks(self.channels[input]) * voxels(size)];
            let norms = &memory.norms[input];
            let blocks = lanes.chunks_exact(voxels(size)).enumerate();
            found.extend(blocks.map(|(block, lanes)| Block {
                values: Values::Blocked(lanes),
                norm: norms.get(block),
            }));
        }
        found
    }
}

fn grow<T: Clone>(buffer: &mut Vec<T>, length: usize, value: T) {
    if buffer.len() < length {
        buffer.resize(length, value);
    }
}
