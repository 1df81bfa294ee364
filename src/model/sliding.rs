//! The network over a region, patch by patch: cut and normalise, forward, blend. On the CPU and on the GPU.

#![expect(clippy::cast_possible_wrap, reason = "grid sizes are below 2^31")]

use super::blend::{self, Placement};
use super::sums::Sums;
use super::window::{Importance, Region};
use super::{Error, Segmenter, divide, mean, network};
use crate::engine;
use crate::engine::cpu;
use crate::gpu::{self, Binding, Gpu, Submission};
use crate::preprocess::normalize::{self, Outside};
use crate::preprocess::slab::Slab;
use crate::volume::Geometry;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// Patches that are sent before the first of them must be done: the GPU never waits for the next.
pub(super) const PATCHES_AHEAD: usize = 2;

/// One pass of a model over a region with patches of one size.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Segmenter,
    pub(super) region: &'a Region,
    /// First voxels of the patches on the grid, in the order in which they are added.
    pub(super) origins: Vec<[i64; 3]>,
    pub(super) patch: [usize; 3],
    pub(super) progress: &'a dyn Fn(usize, usize),
    pub(super) cancel: &'a AtomicBool,
}

impl Pass<'_> {
    /// Mean probability of each voxel of the region's box, from HU in host memory.
    pub(super) fn on_cpu(
        &self,
        grid: &Geometry,
        hu: &[f32],
        networks: &[cpu::Network],
    ) -> Result<Vec<f32>, Error> {
        let voxels = self.region.inside.len();
        let (mut sums, mut weights) = (vec![0.0; voxels], vec![0.0; voxels]);
        let importance = Importance::gaussian(self.patch);
        let normalization = &self.model.manifest.normalization();
        for (done, &origin) in self.origins.iter().enumerate() {
            self.step(done)?;
            let input = normalize::reference(hu, grid, self.at(origin), normalization);
            let forward = |network: &cpu::Network| network.forward(&input, self.patch);
            let logits = mean::reference(networks.iter().map(forward));
            let place = self.placement(origin);
            let channel = self.model.channel();
            let both = (&mut sums[..], &mut weights[..]);
            if !blend::accumulate(&logits, channel, place, &importance, both) {
                return Err(self.model.non_finite(origin));
            }
        }
        self.step(self.origins.len())?;
        divide::reference(&mut sums, &weights);
        Ok(sums)
    }

    /// Mean probability of each voxel of the region's box, from HU on the GPU.
    pub(super) fn on_gpu(
        &self,
        (grid, hu): (&Geometry, &[Slab]),
        networks: &[engine::gpu::Network],
        gpu: &Gpu,
    ) -> Result<Vec<f32>, Error> {
        let importance = Importance::gaussian(self.patch);
        let sums = Sums::new(gpu, self.region.size, &importance)?;
        let programs = network::programs(networks, gpu, self.patch)?;
        // The first network's logits become the mean.
        let (logits, storage) = (programs[0].logits(), programs[0].storage());
        let mut sent: VecDeque<Submission> = VecDeque::with_capacity(PATCHES_AHEAD);
        for (number, &origin) in self.origins.iter().enumerate() {
            if sent.len() == PATCHES_AHEAD
                && let Some(oldest) = sent.pop_front()
            {
                gpu.wait_for(&oldest)?;
            }
            self.step(number - sent.len())?;
            let mut pass = gpu::Pass::new(gpu)?;
            for (before, program) in programs.iter().enumerate() {
                self.cut_on_gpu(&mut pass, (grid, hu), origin, program.patch().binding())?;
                pass = program.record(pass)?;
                if before > 0 {
                    let own = (program.logits(), storage);
                    mean::record(&mut pass, own, logits, before + 1)?;
                }
            }
            let (place, channel) = (self.placement(origin), self.model.channel());
            sums.record(&mut pass, (logits, storage), channel, place, number + 1)?;
            sent.push_back(pass.submit()?);
        }
        let not_finite = |number: usize| self.model.non_finite(self.origins[number - 1]);
        let probability = sums.finish(gpu)?.map_err(not_finite)?;
        self.step(self.origins.len())?;
        Ok(probability)
    }

    /// Records a normalised patch `[1, z, y, x]`.
    fn cut_on_gpu(
        &self,
        pass: &mut gpu::Pass<'_>,
        (grid, hu): (&Geometry, &[Slab]),
        origin: [i64; 3],
        output: Binding<'_>,
    ) -> Result<(), Error> {
        let normalization = &self.model.manifest.normalization();
        let volume = (hu, grid.size);
        normalize::record(pass, volume, self.at(origin), normalization, output)
            .map_err(|error| self.model.preprocessing(error))
    }

    /// The patch at `origin`, beyond whose volume lies air.
    fn at(&self, origin: [i64; 3]) -> normalize::Patch {
        normalize::Patch {
            origin,
            size: self.patch,
            outside: Outside::Padding,
        }
    }

    /// Tells how far it is; ends the run where that was asked for.
    fn step(&self, done: usize) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        (self.progress)(done, self.origins.len());
        Ok(())
    }

    fn placement(&self, origin: [i64; 3]) -> Placement {
        Placement {
            box_size: self.region.size,
            start: [0, 1, 2].map(|axis| origin[axis] - self.region.origin[axis] as i64),
            patch: self.patch,
        }
    }
}
