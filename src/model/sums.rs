//! The accumulators of a region on the GPU, in slabs that each fit one binding.

use super::blend::{self, Channel, Placement};
use super::divide;
use super::window::Importance;
use crate::gpu::{self, Binding, Buffer, Gpu, Pass, Storage};

/// Sums of weighted probabilities and of weights over the box of a region, and whether a logit was not finite.
#[derive(Debug)]
pub(crate) struct Sums {
    box_size: [usize; 3],
    slabs: Vec<Slab>,
    importance: Buffer<f32>,
    not_finite: Buffer<u32>,
}

/// Some planes of the box.
#[derive(Debug)]
struct Slab {
    first_plane: usize,
    size: [usize; 3],
    sums: Buffer<f32>,
    weights: Buffer<f32>,
}

impl Sums {
    /// Zeros for a box, and the importance of a patch's voxels.
    ///
    /// # Errors
    /// [`gpu::Error`] when there is too little memory, or one plane exceeds a binding.
    pub(crate) fn new(
        gpu: &Gpu,
        box_size: [usize; 3],
        importance: &Importance,
    ) -> Result<Self, gpu::Error> {
        let [planes, ny, nx] = box_size;
        let plane_bytes = (ny * nx * size_of::<f32>()) as u64;
        let fitting = gpu.binding_limit_bytes() / plane_bytes.max(1);
        // A plane that does not fit is refused by the allocation.
        let capacity = usize::try_from(fitting).unwrap_or(planes).max(1);
        let slabs = (0..planes).step_by(capacity).map(|first_plane| {
            let size = [capacity.min(planes - first_plane), ny, nx];
            let voxels = size.iter().product();
            Ok(Slab {
                first_plane,
                size,
                sums: gpu.zeroed("sums of probabilities", voxels)?,
                weights: gpu.zeroed("sums of weights", voxels)?,
            })
        });
        Ok(Self {
            box_size,
            slabs: slabs.collect::<Result<_, gpu::Error>>()?,
            importance: gpu.upload("patch importance", &importance.axes.concat())?,
            not_finite: gpu.zeroed("not finite", 1)?,
        })
    }

    /// Records adding the patch that starts at `start` (`[z, y, x]` in the box); `number` counts patches from 1.
    ///
    /// # Errors
    /// [`gpu::Error`] of the dispatch.
    pub(crate) fn record(
        &self,
        pass: &mut Pass<'_>,
        logits: (Binding<'_>, Storage),
        channel: Channel,
        placement: Placement,
        number: usize,
    ) -> Result<(), gpu::Error> {
        debug_assert_eq!(placement.box_size, self.box_size);
        for slab in &self.slabs {
            let [start_z, start_y, start_x] = placement.start;
            let in_slab = Placement {
                box_size: slab.size,
                start: [start_z - slab.first_plane as i64, start_y, start_x],
                ..placement
            };
            if in_slab.overlaps() {
                let add = blend::Add {
                    channel,
                    placement: in_slab,
                    number,
                    storage: logits.1,
                };
                let buffers = [
                    self.importance.binding(),
                    logits.0,
                    slab.sums.binding(),
                    slab.weights.binding(),
                    self.not_finite.binding(),
                ];
                blend::record(pass, add, buffers)?;
            }
        }
        Ok(())
    }

    /// Mean probabilities of the box; or the number of a patch with a logit that is NaN or infinite.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device since the last check.
    pub(crate) fn finish(&self, gpu: &Gpu) -> Result<Result<Vec<f32>, usize>, gpu::Error> {
        let mut pass = Pass::new(gpu)?;
        for slab in &self.slabs {
            divide::record(&mut pass, &slab.sums, &slab.weights)?;
        }
        pass.submit()?;
        if let Some(number @ 1..) = gpu.download(&self.not_finite)?.first() {
            return Ok(Err(*number as usize));
        }
        let mut probability = Vec::with_capacity(self.box_size.iter().product());
        for slab in &self.slabs {
            probability.extend(gpu.download(&slab.sums)?);
        }
        Ok(Ok(probability))
    }
}
