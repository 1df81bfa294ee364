//! The networks of an ensemble over a whole grid: the logits of every class, averaged over overlapping patches, mirrored
//! patches and networks.
//!
//! Source: Isensee et al., Nat Methods 2021 (nnU-Net). Patches are added in a fixed order, so two runs give equal bits.

use super::cut::{self, Channels, Patch, Slabs, mirrorings};
use super::network::Network;
use super::sliding::PATCHES_AHEAD;
use super::stitch::{GpuSums, Sums};
use super::window::starts;
use super::{Error, Segmenter, is_memory};
use crate::engine;
use crate::gpu::{Gpu, Pass, Submission};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// Logits of more bytes are not begun: two thirds of what a workstation has.
const MAX_LOGIT_BYTES: usize = 16 << 30;

/// What an ensemble gives for a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// `[class, z, y, x]`
    pub values: Vec<f32>,
    /// Voxels along z, y, x.
    pub size: [usize; 3],
    /// Number of patches that each network ran on, each mirroring counted.
    pub patches: usize,
}

/// One run over a grid.
struct Run<'a> {
    model: &'a Segmenter,
    input: Channels<'a>,
    /// In the order in which they are added.
    patches: Vec<Patch>,
    progress: &'a dyn Fn(usize, usize),
    cancel: &'a AtomicBool,
}

impl Segmenter {
    /// Logits of every class on a whole grid; a patch that is larger than the grid sees zeros around it.
    ///
    /// `mirrored`: average over all mirrorings that the model allows. `progress` is told patches done and patches in all;
    /// `cancel` ends the run after the patch at hand.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::TooManyLogits`], [`Error::Gpu`], [`Error::Cancelled`].
    pub fn logits_of(
        &self,
        input: Channels<'_>,
        mirrored: bool,
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Logits, Error> {
        let spec = &self.manifest.input;
        self.check_memory(input.size.iter().product())?;
        let axes = if mirrored { &spec.mirror_axes[..] } else { &[] };
        let starts =
            [0, 1, 2].map(|axis| starts(input.size[axis], spec.patch[axis], spec.step_fraction));
        let run = Run {
            model: self,
            input,
            patches: patches(&starts, spec.patch, &mirrorings(axes)),
            progress,
            cancel,
        };
        let values = match &self.network {
            Network::Cpu(_) => run.on_host()?,
            Network::Gpu(networks, gpu) => match run.on_gpu(networks, gpu) {
                // The sums of all classes: the patches alone may fit.
                Err(Error::Gpu(error)) if is_memory(&error) => run.on_host()?,
                other => other?,
            },
        };
        Ok(Logits {
            values,
            size: input.size,
            patches: run.patches.len(),
        })
    }

    fn check_memory(&self, voxels: usize) -> Result<(), Error> {
        let classes = self.manifest.network.classes;
        let bytes = voxels
            .saturating_mul(classes)
            .saturating_mul(size_of::<f32>());
        if bytes <= MAX_LOGIT_BYTES {
            return Ok(());
        }
        Err(Error::TooManyLogits {
            model: self.manifest.name.clone(),
            classes,
            bytes,
            limit_bytes: MAX_LOGIT_BYTES,
        })
    }
}

impl Run<'_> {
    /// Cut and added in host memory, wherever the networks run.
    fn on_host(&self) -> Result<Vec<f32>, Error> {
        let manifest = &self.model.manifest;
        let patch = manifest.input.patch;
        let runner = self.model.network.runner(patch)?;
        let mut sums = Sums::new(manifest.network.classes, self.input.size, patch);
        for (done, &patch) in self.patches.iter().enumerate() {
            self.step(done)?;
            let logits = runner.logits(&cut::reference(self.input, patch))?;
            if !logits.par_iter().all(|logit| logit.is_finite()) {
                return Err(self.model.non_finite(patch.origin));
            }
            sums.add(&logits, patch);
        }
        self.step(self.patches.len())?;
        Ok(sums.mean(&self.patches, 1))
    }

    /// Nothing comes back before the last patch.
    fn on_gpu(&self, networks: &[engine::gpu::Network], gpu: &Gpu) -> Result<Vec<f32>, Error> {
        let manifest = &self.model.manifest;
        let patch = manifest.input.patch;
        let programs = networks.iter().map(|network| network.program(gpu, patch));
        let programs = programs.collect::<Result<Vec<_>, _>>()?;
        let slabs = Slabs::upload(gpu, self.input)?;
        let sums = GpuSums::new(gpu, manifest.network.classes, self.input.size, patch)?;
        let mut sent: VecDeque<Submission> = VecDeque::with_capacity(PATCHES_AHEAD);
        for (number, &patch) in self.patches.iter().enumerate() {
            if sent.len() == PATCHES_AHEAD
                && let Some(oldest) = sent.pop_front()
            {
                gpu.wait_for(&oldest)?;
            }
            self.step(number - sent.len())?;
            let mut pass = Pass::new(gpu)?;
            for program in &programs {
                slabs.record(&mut pass, patch, program.patch().binding())?;
                pass = program.record(pass)?;
                let logits = (program.logits(), program.storage());
                sums.record(&mut pass, logits, patch, number + 1)?;
            }
            sent.push_back(pass.submit()?);
        }
        let not_finite = |number: usize| self.model.non_finite(self.patches[number - 1].origin);
        let sums = sums.finish(gpu)?.map_err(not_finite)?;
        self.step(self.patches.len())?;
        Ok(sums.mean(&self.patches, programs.len()))
    }

    /// Tells how far it is; ends the run where that was asked for.
    fn step(&self, done: usize) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        (self.progress)(done, self.patches.len());
        Ok(())
    }
}

fn patches([z, y, x]: &[Vec<i64>; 3], size: [usize; 3], mirrorings: &[[bool; 3]]) -> Vec<Patch> {
    let mut patches = Vec::new();
    for &z in z {
        for &y in y {
            for &x in x {
                patches.extend(mirrorings.iter().map(|&mirrored| Patch {
                    origin: [z, y, x],
                    size,
                    mirrored,
                }));
            }
        }
    }
    patches
}
