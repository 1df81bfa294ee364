//! The networks of an ensemble on the engine's kernels.

use super::mean;
use crate::engine::cpu::{self, InstructionSet};
use crate::engine::{self, Layers};
use crate::gpu::{self, Compute, Gpu, Storage};

/// The networks of an ensemble, compiled for a device; at least one.
#[derive(Debug)]
pub(super) enum Network {
    Cpu(Vec<cpu::Network>),
    Gpu(Vec<engine::gpu::Network>, Gpu),
}

/// The networks of an ensemble, ready for patches of one size.
pub(super) enum Runner<'a> {
    Cpu(&'a [cpu::Network], [usize; 3]),
    Gpu(Vec<engine::gpu::Program>, &'a Gpu),
}

impl Network {
    /// Compiles the networks of an ensemble; `instructions` are a CPU's.
    ///
    /// # Errors
    /// [`gpu::Error`] where there is too little memory.
    pub(super) fn new(
        ensemble: impl Iterator<Item = Layers>,
        compute: &Compute,
        instructions: InstructionSet,
    ) -> Result<Self, gpu::Error> {
        Ok(match compute {
            Compute::Cpu => Self::Cpu(
                ensemble
                    .map(|layers| cpu::Network::new(&layers, instructions))
                    .collect(),
            ),
            Compute::Gpu(gpu) => {
                let networks = ensemble.map(|layers| engine::gpu::Network::new(&layers, gpu));
                Self::Gpu(networks.collect::<Result<_, _>>()?, gpu.clone())
            }
        })
    }

    /// The networks, ready for patches of one size.
    ///
    /// # Errors
    /// [`gpu::Error`] where there is too little memory.
    pub(super) fn runner(&self, patch: [usize; 3]) -> Result<Runner<'_>, gpu::Error> {
        Ok(match self {
            Self::Cpu(networks) => Runner::Cpu(networks, patch),
            Self::Gpu(networks, gpu) => Runner::Gpu(programs(networks, gpu, patch)?, gpu),
        })
    }

    /// Whether activations have 16 bits, for which the tolerances of `model.toml` are not made.
    pub(super) fn stores_halves(&self) -> bool {
        matches!(self, Self::Gpu(_, gpu) if gpu.storage() == Storage::F16)
    }
}

/// A program of each network.
///
/// # Errors
/// As [`engine::gpu::Network::program`].
pub(super) fn programs(
    networks: &[engine::gpu::Network],
    gpu: &Gpu,
    patch: [usize; 3],
) -> Result<Vec<engine::gpu::Program>, gpu::Error> {
    let programs = networks.iter().map(|network| network.program(gpu, patch));
    programs.collect()
}

impl Runner<'_> {
    /// Output `[channels, z, y, x]` of every network for one normalised patch `[input_channels, z, y, x]`.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device.
    pub(super) fn each(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, gpu::Error> {
        match self {
            Self::Cpu(networks, patch) => {
                Ok(networks.iter().map(|n| n.forward(input, *patch)).collect())
            }
            // The GPU works on one network's patch while the next is sent.
            Self::Gpu(programs, gpu) => {
                programs.iter().try_for_each(|p| p.send(gpu, input))?;
                programs.iter().map(|p| p.receive(gpu)).collect()
            }
        }
    }

    /// Output `[channels, z, y, x]` of the first network alone.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device.
    pub(super) fn first(&self, input: &[f32]) -> Result<Vec<f32>, gpu::Error> {
        match self {
            Self::Cpu(networks, patch) => Ok(networks[0].forward(input, *patch)),
            Self::Gpu(programs, gpu) => {
                programs[0].send(gpu, input)?;
                programs[0].receive(gpu)
            }
        }
    }

    /// The mean of [`Runner::each`].
    ///
    /// # Errors
    /// [`gpu::Error`] of the device.
    pub(super) fn logits(&self, input: &[f32]) -> Result<Vec<f32>, gpu::Error> {
        Ok(mean::reference(self.each(input)?))
    }
}
