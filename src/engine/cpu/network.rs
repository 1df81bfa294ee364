//! A network compiled for this CPU: packed weights, the order of its layers, and buffers that are used again.

use super::conv::Conv;
use super::gather::{Block, Values};
use super::isa::InstructionSet;
use super::lanes::{Lanes, block_channels, blocks, voxels};
use super::norm::{Affine, Norm, RowStats};
use super::sum::{self, Branch};
use super::task::{self, Output};
use crate::engine::layers::{self, Activation, Layers, Op, activate};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A network ready to run, one patch at a time.
#[derive(Debug)]
pub struct Network {
    set: InstructionSet,
    channels: Vec<usize>,
    steps: Vec<Step>,
    slope: f32,
    /// Of the output below zero.
    last_slope: f32,
    /// Buffer of each activation.
    slots: Vec<Option<usize>>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Step {
    /// `None`: the sum of its inputs.
    conv: Option<Conv>,
    norm: Option<Affine>,
    activated: bool,
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

impl Network {
    /// Packs the weights of `layers` for a CPU with these instructions.
    pub fn new(layers: &Layers, set: InstructionSet) -> Self {
        let steps = layers.steps.iter().map(|step| Step {
            conv: conv(layers, step),
            norm: step.norm().as_ref().map(Affine::from),
            activated: step.activated,
            inputs: step.inputs.clone(),
        });
        Self {
            set,
            channels: layers.channels.clone(),
            steps: steps.collect(),
            slope: layers.slope,
            last_slope: layers.last_slope(),
            slots: layers.buffers(),
            memory: Mutex::default(),
        }
    }

    /// The instructions that it runs on.
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// Logits `[classes, z, y, x]` of a patch `[input_channels, z, y, x]` of `size` voxels; of a network that ends at
    /// features, these.
    ///
    /// The same bits on any number of threads. A second caller waits for the first.
    ///
    /// # Panics
    /// Where `input` is not that long, or the strides do not divide `size`.
    pub fn forward(&self, input: &[f32], size: [usize; 3]) -> Vec<f32> {
        self.run(input, size, || ())
    }

    /// As [`Network::forward`], with the time of each layer. Gathering and normalising what a layer reads is its own work.
    ///
    /// # Panics
    /// As [`Network::forward`].
    pub fn profile(&self, input: &[f32], size: [usize; 3]) -> (Vec<f32>, Vec<Duration>) {
        let mut times = Vec::with_capacity(self.steps.len());
        let mut start = Instant::now();
        let logits = self.run(input, size, || {
            let end = Instant::now();
            times.push(end - std::mem::replace(&mut start, end));
        });
        (logits, times)
    }

    /// Calls `after_layer` after each.
    fn run(&self, input: &[f32], size: [usize; 3], mut after_layer: impl FnMut()) -> Vec<f32> {
        assert_eq!(input.len(), self.channels[0] * voxels(size));
        // Every buffer is written before it is read, so what a panic left there does no harm.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = self.slots.iter().flatten().max().map_or(0, |s| s + 1);
        memory.slots.resize(slots, Vec::new());
        memory.norms.resize(self.channels.len(), Vec::new());
        let mut sizes = vec![size];
        let mut logits = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let size_in = sizes[step.inputs[0].0];
            assert!(step.inputs.iter().all(|input| sizes[input.0] == size_in));
            sizes.push(step.size_out(size_in));
            if number + 1 == self.steps.len() {
                logits = vec![0.0; self.channels[number + 1] * voxels(sizes[number + 1])];
            }
            self.step(number, (input, size_in), &mut memory, &mut logits);
            after_layer();
        }
        activate(&mut logits, self.last_slope);
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
        let own = self.slots[number + 1];
        let mut lanes = own
            .map(|own| std::mem::take(&mut memory.slots[own]))
            .unwrap_or_default();
        memory.norms[number + 1].clear();
        match &step.conv {
            Some(conv) => {
                let into = own.map(|_| &mut lanes).ok_or(logits);
                self.conv(number, conv, (patch, size_in), memory, into);
            }
            None => self.sum(number, size_in, memory, &mut lanes),
        }
        if let Some(own) = own {
            memory.slots[own] = lanes;
        }
    }

    /// Into a buffer, or into the logits.
    fn conv(
        &self,
        number: usize,
        conv: &Conv,
        (patch, size_in): (&[f32], [usize; 3]),
        memory: &mut Memory,
        into: Result<&mut Vec<Lanes>, &mut [f32]>,
    ) {
        let step = &self.steps[number];
        let [z, y, x] = conv.size_out(size_in);
        let rows = conv.blocks_out() * z * y;
        let mut stats = std::mem::take(&mut memory.stats);
        let output = match into {
            Err(logits) => Output::Plain(logits),
            Ok(lanes) => {
                grow(lanes, rows * x, Lanes::ZERO);
                grow(&mut stats, rows, RowStats::ZERO);
                Output::Blocked {
                    lanes: &mut lanes[..rows * x],
                    stats: step.norm.is_some().then_some(&mut stats[..rows]),
                }
            }
        };
        let input = self.input(step, (patch, size_in), memory);
        task::run(self.set, conv, (&input, size_in), self.slope, output);
        memory.norms[number + 1] = match &step.norm {
            Some(affine) => {
                let blocks = stats[..rows].chunks_exact(z * y).enumerate();
                let norms = blocks.map(|(block, rows)| affine.norm(block, rows, x));
                norms.collect()
            }
            None if step.activated => vec![Norm::IDENTITY; conv.blocks_out()],
            None => Vec::new(),
        };
        memory.stats = stats;
    }

    fn sum(&self, number: usize, size: [usize; 3], memory: &Memory, lanes: &mut Vec<Lanes>) {
        let step = &self.steps[number];
        let length = blocks(self.channels[number + 1]) * voxels(size);
        grow(lanes, length, Lanes::ZERO);
        let branches = [0, 1].map(|branch| {
            let Activation(input) = step.inputs[branch];
            let slot = self.slots[input].expect("a branch is no output of the network");
            Branch {
                lanes: &memory.slots[slot][..length],
                norms: &memory.norms[input],
                slope: if self.steps[input - 1].activated {
                    self.slope
                } else {
                    1.0
                },
            }
        });
        sum::run(branches, voxels(size), self.slope, &mut lanes[..length]);
    }

    /// The blocks that a step reads, of all its inputs.
    fn input<'a>(
        &self,
        step: &Step,
        (patch, size): (&'a [f32], [usize; 3]),
        memory: &'a Memory,
    ) -> Vec<Block<'a>> {
        let mut found = Vec::new();
        for &Activation(input) in &step.inputs {
            if input == 0 {
                found.extend(patch.chunks_exact(voxels(size)).map(|channel| Block {
                    values: Values::Plain(channel),
                    norm: None,
                }));
                continue;
            }
            let slot = self.slots[input].expect("an input is no output of the network");
            let lanes = &memory.slots[slot][..blocks(self.channels[input]) * voxels(size)];
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

impl Step {
    fn size_out(&self, size_in: [usize; 3]) -> [usize; 3] {
        let conv = self.conv.as_ref();
        conv.map_or(size_in, |conv| conv.size_out(size_in))
    }
}

fn conv(layers: &Layers, step: &layers::Step) -> Option<Conv> {
    let Op::Conv(conv) = &step.op else {
        return None;
    };
    let channels_in = block_channels_of(layers, &step.inputs);
    Some(if conv.transposed {
        Conv::transposed(&conv.params(), channels_in)
    } else {
        Conv::new(&conv.params(), channels_in)
    })
}

/// Channels of each block of the inputs; the network's own input is taken channel by channel.
fn block_channels_of(layers: &Layers, inputs: &[Activation]) -> Vec<usize> {
    let blocks = inputs.iter().flat_map(|input| match input.0 {
        0 => vec![1; layers.channels[0]],
        other => block_channels(layers.channels[other]).collect(),
    });
    blocks.collect()
}

fn grow<T: Clone>(buffer: &mut Vec<T>, length: usize, value: T) {
    if buffer.len() < length {
        buffer.resize(length, value);
    }
}
