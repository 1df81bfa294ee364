//! A network in GPU memory, and its program for patches of one size: buffers, and dispatches in their order.

use super::conv::{Conv, Input, MAX_FLOP, Memory, Plan};
use super::norm::Norm;
use super::tile::Shape;
use super::tuning::Tuned;
use super::{QUAD, pack, quads, sum, voxels};
use crate::engine::layers::{Activation, Layers, activate};
use crate::gpu::{Binding, Buffer, Dispatch, Error, Gpu, Pass, Storage};
use std::time::{Duration, Instant};

/// A network's weights in GPU memory.
#[derive(Debug)]
pub struct Network {
    storage: Storage,
    layers: Vec<Layer>,
    /// Channels of each activation: of the input, then of each layer's output.
    channels: Vec<usize>,
    /// Buffer of each activation but the first and the last.
    slots: Vec<Option<usize>>,
    slope: f32,
    /// Of the output below zero.
    last_slope: f32,
    /// Work of one submission at most.
    max_flop: f64,
}

#[derive(Debug)]
struct Layer {
    /// `None`: the sum of its inputs.
    conv: Option<Conv>,
    norm: Option<Norm>,
    activated: bool,
    inputs: Vec<Activation>,
}

/// A network for patches of one size; it may run any number of times.
#[derive(Debug)]
pub struct Program {
    patch: Buffer<f32>,
    logits: Buffer<u32>,
    /// Voxels of each class.
    voxels: usize,
    classes: usize,
    last_slope: f32,
    storage: Storage,
    steps: Vec<Step>,
    max_flop: f64,
}

/// One dispatch, and its work.
#[derive(Debug)]
struct Step {
    /// Number of the layer that it belongs to.
    layer: usize,
    dispatch: Dispatch,
    flop: f64,
}

impl Network {
    /// Brings the weights of `layers` to the GPU; its activations will be stored as [`Gpu::storage`] says.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`], [`Error::OutOfMemory`].
    pub fn new(layers: &Layers, gpu: &Gpu) -> Result<Self, Error> {
        Self::with_tiles(layers, gpu, &Tuned::of(gpu))
    }

    /// As [`Network::new`], with these tiles.
    pub(super) fn with_tiles(layers: &Layers, gpu: &Gpu, tuned: &Tuned) -> Result<Self, Error> {
        let channels = &layers.channels;
        let steps = layers.steps.iter().map(|step| {
            let channels_in: Vec<usize> = step.inputs.iter().map(|i| channels[i.0]).collect();
            let conv = step.conv().map(|conv| {
                let params = conv.params();
                Conv::new((gpu, tuned), &params, conv.transposed, &channels_in)
            });
            let norm = step.norm().map(|norm| Norm::new(gpu, &norm));
            Ok(Layer {
                conv: conv.transpose()?,
                norm: norm.transpose()?,
                activated: step.activated,
                inputs: step.inputs.clone(),
            })
        });
        Ok(Self {
            storage: gpu.storage(),
            layers: steps.collect::<Result<_, Error>>()?,
            channels: channels.clone(),
            slots: layers.buffers(),
            slope: layers.slope,
            last_slope: layers.last_slope(),
            max_flop: MAX_FLOP,
        })
    }

    /// Shape of each layer whose tile can be chosen.
    pub(super) fn shapes(&self) -> Vec<Option<Shape>> {
        let convs = self.layers.iter().map(|layer| layer.conv.as_ref());
        convs.map(|conv| conv.and_then(Conv::shape)).collect()
    }
}

impl Network {
    /// The same network in smaller submissions.
    #[cfg(test)]
    pub(super) fn with_max_flop(self, max_flop: f64) -> Self {
        Self { max_flop, ..self }
    }

    /// Buffers and dispatches for patches of `size` voxels.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`] where one activation exceeds a binding; [`Error::OutOfMemory`]; [`Error::Rejected`].
    ///
    /// # Panics
    /// Where the strides do not divide `size`.
    pub fn program(&self, gpu: &Gpu, size: [usize; 3]) -> Result<Program, Error> {
        let memory = self.allocate(gpu, size)?;
        let mut steps = vec![Step {
            layer: 0,
            dispatch: pack::dispatch(
                gpu,
                self.storage,
                (self.channels[0], size),
                [memory.patch.binding(), memory.of(self, 0)],
            )?,
            flop: 0.0,
        }];
        for number in 0..self.layers.len() {
            self.record(gpu, number, &memory, &mut steps)?;
        }
        Ok(Program {
            voxels: voxels(*memory.sizes.last().unwrap_or(&size)),
            last_slope: self.last_slope,
            patch: memory.patch,
            logits: memory.logits,
            classes: *self.channels.last().unwrap_or(&0),
            storage: self.storage,
            steps,
            max_flop: self.max_flop,
        })
    }

    fn allocate(&self, gpu: &Gpu, size: [usize; 3]) -> Result<Activations, Error> {
        let sizes = self.sizes(size);
        let words = |activation: usize| self.words(activation, sizes[activation]);
        let slot_count = self.slots.iter().flatten().max().map_or(0, |s| s + 1);
        let slots = (0..slot_count).map(|slot| {
            let own = (0..sizes.len()).filter(|a| self.slots[*a] == Some(slot));
            gpu.output("activations", own.map(words).max().unwrap_or(0))
        });
        let normed = self.layers.iter().zip(self.sizes_in(&sizes));
        let statistics = normed.filter(|(layer, _)| layer.norm.is_some());
        let statistics = statistics.filter_map(|(layer, size)| {
            let conv = layer.conv.as_ref()?;
            Some(conv.statistics_len(size))
        });
        // As if every activation were taken as it is, until a norm's kernel has run.
        let entries = self.first_norm(sizes.len()) / 3;
        let identity = [[0.0; QUAD], [1.0; QUAD], [0.0; QUAD]];
        Ok(Activations {
            patch: gpu.output("a patch", self.channels[0] * voxels(size))?,
            packed: gpu.output("a packed patch", words(0))?,
            slots: slots.collect::<Result<_, Error>>()?,
            logits: gpu.output("logits", words(sizes.len() - 1))?,
            norms: gpu.upload("norms", &identity.repeat(entries))?,
            statistics: gpu.output("statistics", statistics.max().unwrap_or(1))?,
            sizes,
        })
    }

    /// Adds one layer's dispatches.
    fn record(
        &self,
        gpu: &Gpu,
        number: usize,
        memory: &Activations,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let layer = &self.layers[number];
        let size_in = memory.sizes[layer.inputs[0].0];
        let inputs: Vec<Input<'_>> = layer
            .inputs
            .iter()
            .map(|&Activation(input)| Input {
                quads: memory.of(self, input),
                norm: self.first_norm(input),
                slope: if self.is_activated(input) {
                    self.slope
                } else {
                    1.0
                },
            })
            .collect();
        let target = Memory {
            norms: memory.norms.binding(),
            output: memory.of(self, number + 1),
            statistics: memory.statistics.binding(),
        };
        let Some(conv) = &layer.conv else {
            let branches = [inputs[0], inputs[1]];
            let voxels = voxels(size_in);
            steps.push(Step {
                layer: number,
                dispatch: sum::dispatch(gpu, self.storage, (branches, voxels), self.slope, target)?,
                flop: 0.0,
            });
            return Ok(());
        };
        let plan = Plan {
            storage: self.storage,
            with_statistics: layer.norm.is_some(),
            max_flop: self.max_flop,
        };
        let input = (&inputs[..], size_in);
        let dispatches = conv.dispatches(gpu, plan, input, target)?;
        steps.extend(dispatches.into_iter().map(|(dispatch, flop)| Step {
            layer: number,
            dispatch,
            flop,
        }));
        if let Some(norm) = &layer.norm {
            let statistics = (target.statistics, conv.tile_count(size_in));
            let norms = (target.norms, self.first_norm(number + 1));
            steps.push(Step {
                layer: number,
                dispatch: norm.dispatch(gpu, statistics, norms)?,
                flop: 0.0,
            });
        }
        Ok(())
    }

    /// Whether an activation passes a leaky ReLU where it is read.
    fn is_activated(&self, activation: usize) -> bool {
        activation > 0 && self.layers[activation - 1].activated
    }

    /// First entry of an activation in the norms: three for each quad.
    fn first_norm(&self, activation: usize) -> usize {
        self.channels[..activation]
            .iter()
            .map(|channels| 3 * quads(*channels))
            .sum()
    }

    /// Sizes of all activations for a patch of `size` voxels.
    fn sizes(&self, size: [usize; 3]) -> Vec<[usize; 3]> {
        let mut sizes = vec![size];
        for layer in &self.layers {
            let size_in = sizes[layer.inputs[0].0];
            assert!(layer.inputs.iter().all(|input| sizes[input.0] == size_in));
            let conv = layer.conv.as_ref();
            sizes.push(conv.map_or(size_in, |conv| conv.size_out(size_in)));
        }
        sizes
    }

    /// Size of each layer's input.
    fn sizes_in(&self, sizes: &[[usize; 3]]) -> Vec<[usize; 3]> {
        let inputs = self.layers.iter().map(|layer| layer.inputs[0].0);
        inputs.map(|input| sizes[input]).collect()
    }

    /// 32-bit words of an activation of `size` voxels.
    fn words(&self, activation: usize, size: [usize; 3]) -> usize {
        quads(self.channels[activation]) * voxels(size) * self.storage.bytes()
    }
}

/// The buffers of a program.
struct Activations {
    sizes: Vec<[usize; 3]>,
    patch: Buffer<f32>,
    packed: Buffer<u32>,
    slots: Vec<Buffer<u32>>,
    logits: Buffer<u32>,
    norms: Buffer<[f32; QUAD]>,
    statistics: Buffer<[f32; QUAD]>,
}

impl Activations {
    /// The memory of an activation.
    fn of(&self, network: &Network, activation: usize) -> Binding<'_> {
        let words = network.words(activation, self.sizes[activation]);
        match network.slots[activation] {
            Some(slot) => self.slots[slot].slice(0, words),
            None if activation == 0 => self.packed.binding(),
            None => self.logits.binding(),
        }
    }
}

impl Program {
    /// Where a patch `[input_channels, z, y, x]` is to be written.
    pub fn patch(&self) -> &Buffer<f32> {
        &self.patch
    }

    /// Logits `[classes / 4, z, y, x]` in quads, stored as the network's activations are.
    pub fn logits(&self) -> Binding<'_> {
        self.logits.binding()
    }

    /// How the logits are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Records the network; where it is much work for one submission, sends what is recorded so far.
    ///
    /// # Errors
    /// As [`Pass::submit`].
    pub fn record<'a>(&self, mut pass: Pass<'a>) -> Result<Pass<'a>, Error> {
        let mut flop = 0.0;
        for step in &self.steps {
            if flop + step.flop > self.max_flop && flop > 0.0 {
                let gpu = pass.gpu();
                pass.submit()?;
                pass = Pass::new(gpu)?;
                flop = 0.0;
            }
            pass.run(&step.dispatch);
            flop += step.flop;
        }
        Ok(pass)
    }

    /// Time of each layer on the patch at hand; packing the patch is the first layer's, each norm its convolution's.
    ///
    /// By the GPU's own clock where it has one; else each layer with its start and its end.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub fn profile(&self, gpu: &Gpu) -> Result<Vec<Duration>, Error> {
        let mut times = vec![Duration::ZERO; self.steps.last().map_or(0, |step| step.layer + 1)];
        let has_clock = gpu.start_profile();
        for step in &self.steps {
            gpu.wait()?;
            let start = Instant::now();
            let mut pass = Pass::new(gpu)?;
            pass.run(&step.dispatch);
            pass.submit()?;
            gpu.wait()?;
            if !has_clock {
                times[step.layer] += start.elapsed();
            }
        }
        for (step, time) in self.steps.iter().zip(gpu.finish_profile()) {
            times[step.layer] += Duration::from_secs_f64(time.ms / 1e3);
        }
        Ok(times)
    }

    /// Logits `[classes, z, y, x]` of a patch `[input_channels, z, y, x]`, from and to host memory; of a network that ends
    /// at features, these.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    ///
    /// # Panics
    /// Where `input` is not as long as the patch.
    pub fn forward(&self, gpu: &Gpu, input: &[f32]) -> Result<Vec<f32>, Error> {
        self.send(gpu, input)?;
        self.receive(gpu)
    }

    /// The first half of [`Program::forward`]: what [`Program::receive`] will wait for.
    ///
    /// # Errors
    /// As [`Pass::submit`].
    ///
    /// # Panics
    /// Where `input` is not as long as the patch.
    pub fn send(&self, gpu: &Gpu, input: &[f32]) -> Result<(), Error> {
        gpu.write(&self.patch, input)?;
        self.record(Pass::new(gpu)?)?.submit().map(drop)
    }

    /// The second half of [`Program::forward`]: its output for the patch that was sent last.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    pub fn receive(&self, gpu: &Gpu) -> Result<Vec<f32>, Error> {
        let words = gpu.download(&self.logits)?;
        let values: Vec<f32> = match self.storage {
            Storage::F32 => bytemuck::cast_vec(words),
            Storage::F16 => words.into_iter().flat_map(halves).collect(),
        };
        let voxels = self.voxels;
        let plain = (0..self.classes).flat_map(|class| {
            let quad = values[class / QUAD * voxels * QUAD..].chunks_exact(QUAD);
            quad.take(voxels).map(move |quad| quad[class % QUAD])
        });
        let mut plain: Vec<f32> = plain.collect();
        activate(&mut plain, self.last_slope);
        Ok(plain)
    }
}

/// Two values of 16 bits, the lower first.
fn halves(word: u32) -> [f32; 2] {
    let [a, b, c, d] = word.to_le_bytes();
    [[a, b], [c, d]].map(|bytes| half::f16::from_le_bytes(bytes).to_f32())
}
