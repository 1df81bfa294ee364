//! The network over a region, patch by patch: cut and normalise, forward, blend. On the CPU and on the GPU.

#![expect(clippy::cast_possible_wrap, reason = "grid sizes are below 2^31")]

use super::blend::{self, Placement};
use super::window::{Importance, Region};
use super::{Error, Segmenter};
use crate::volume::Geometry;
use std::sync::atomic::{AtomicBool, Ordering};

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
    pub(super) fn on_cpu(&self, grid: &Geometry, hu: &[f32]) -> Result<Vec<f32>, Error> {
        let voxels = self.region.inside.len();
        let (mut sums, mut weights) = (vec![0.0; voxels], vec![0.0; voxels]);
        let importance = Importance::gaussian(self.patch);
        let normalization = &self.model.manifest.input.normalization;
        for (done, &origin) in self.origins.iter().enumerate() {
            self.step(done)?;
            let input = cut(hu, grid, origin, self.patch, normalization);
            let logits = self.model.logits(input, self.patch)?;
            let place = self.placement(origin);
            let channel = self.model.channel();
            let both = (&mut sums[..], &mut weights[..]);
            if !blend::accumulate(&logits, channel, place, &importance, both) {
                return Err(self.model.non_finite(origin));
            }
        }
        self.step(self.origins.len())?;
        blend::divide(&mut sums, &weights);
        Ok(sums)
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

// STAND-IN until preprocess::normalize lands.
fn cut(
    hu: &[f32],
    grid: &Geometry,
    origin: [i64; 3],
    size: [usize; 3],
    n: &crate::preprocess::Normalization,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(size.iter().product());
    for z in 0..size[0] as i64 {
        for y in 0..size[1] as i64 {
            for x in 0..size[2] as i64 {
                let at = [z + origin[0], y + origin[1], x + origin[2]];
                let inside = (0..3).all(|a| at[a] >= 0 && at[a] < grid.size[a] as i64);
                let v = if inside {
                    hu[grid.linear(at.map(|i| i.unsigned_abs() as usize))]
                } else {
                    crate::volume::PADDING_HU
                };
                out.push((v.clamp(n.lower_hu, n.upper_hu) - n.subtract_hu) / n.divide_hu);
            }
        }
    }
    out
}
