//! Adds the logits of every class of a patch, weighted by importance, to sums over the grid.
//!
//! In: patches of logits in a fixed order, so two runs give equal bits. Out: mean logits `[class, z, y, x]`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "grid sizes are below 2^31, and indices are clamped before they are cast"
)]

use super::cut::{Patch, mirror, on_grid, reversed, slabs};
use crate::gpu::{
    self, Access, Binding, Buffer, Dispatch, Extent, Gpu, Grid, Kernel, Pass, Storage, Variant,
    params,
};
use half::f16;
use rayon::prelude::*;
use std::ops::Range;

params! {
    /// Mirrors `Params` in `shaders/stitch.wgsl`.
    struct Params {
        patch_grid: Grid,
        slab_grid: Grid,
        start: [i32; 3],
        classes: u32,
        mirrored: [u32; 3],
        patch_number: u32,
    }
}

/// `shaders/stitch.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "stitch",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/stitch.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
};

/// nnU-Net's weights of a patch's voxels `[z, y, x]`: a Gaussian of an eighth of the patch, 10 in its middle, rounded to 16
/// bits as nnU-Net rounds it, what would be 0 to the least weight.
///
/// The rounding shows where nothing but corners of patches lies: there nnU-Net's logits are those of the nearest corner.
fn importance(patch: [usize; 3]) -> Vec<f32> {
    const LARGEST: f64 = 10.0;
    let [weights_z, weights_y, weights_x] = patch.map(|size| {
        let (centre, sigma) = ((size / 2) as f64, size as f64 / 8.0);
        let weight = |i| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp();
        (0..size).map(weight).collect::<Vec<f64>>()
    });
    let mut weights = Vec::with_capacity(patch.iter().product());
    for z in &weights_z {
        for y in &weights_y {
            weights.extend(
                weights_x
                    .iter()
                    .map(|x| f16::from_f64(LARGEST * z * y * x).to_f32()),
            );
        }
    }
    let positive = weights.iter().copied().filter(|weight| *weight > 0.0);
    let least = positive.fold(f32::INFINITY, f32::min);
    weights
        .iter_mut()
        .for_each(|weight| *weight = weight.max(least));
    weights
}

/// Weighted sums of logits in host memory; the definition of what the shader adds.
#[derive(Debug)]
pub(super) struct Sums {
    /// `[class, z, y, x]`
    values: Vec<f32>,
    size: [usize; 3],
    importance: Vec<f32>,
}

impl Sums {
    pub(super) fn new(classes: usize, size: [usize; 3], patch: [usize; 3]) -> Self {
        Self {
            values: vec![0.0; classes * size.iter().product::<usize>()],
            size,
            importance: importance(patch),
        }
    }

    /// Adds a patch's logits `[class, z, y, x]`, which were computed mirrored.
    pub(super) fn add(&mut self, logits: &[f32], at: Patch) {
        let logits = mirror(logits, at.size, at.mirrored);
        let (importance, voxels) = (&self.importance, self.importance.len());
        add(&mut self.values, self.size, at, |from| {
            logits[from] * importance[from % voxels]
        });
    }

    /// Divides by the weights of the patches.
    pub(super) fn mean(mut self, patches: &[Patch], networks: usize) -> Vec<f32> {
        let voxels: usize = self.size.iter().product();
        let mut totals = vec![0.0; voxels];
        for patch in patches {
            add(&mut totals, self.size, *patch, |from| self.importance[from]);
        }
        let planes = self.values.par_chunks_exact_mut(voxels);
        planes.for_each(|class| {
            for (sum, total) in class.iter_mut().zip(&totals) {
                *sum /= total * networks as f32;
            }
        });
        self.values
    }
}

/// Adds `of(i)` of every voxel `i` of a patch `[class, z, y, x]` to `sums` `[class, z, y, x]` on a grid of `size`.
///
/// Each voxel is added to by one row of the patch alone, so the threads change no bit.
fn add(sums: &mut [f32], size: [usize; 3], at: Patch, of: impl Fn(usize) -> f32 + Sync) {
    let (patch, origin) = (at.size, at.origin);
    let [range_z, range_y, range_x] = [0, 1, 2].map(|i| on_grid(origin[i], patch[i], size[i]));
    let planes = sums.par_chunks_exact_mut(size[1] * size[2]).enumerate();
    planes.for_each(|(number, sums)| {
        let (class, z) = (number / size[0], (number % size[0]) as i64 - origin[0]);
        let Some(z) = usize::try_from(z).ok().filter(|z| range_z.contains(z)) else {
            return;
        };
        for y in range_y.clone() {
            let from = ((class * patch[0] + z) * patch[1] + y) * patch[2];
            let row = (y as i64 + origin[1]) as usize * size[2];
            let to = row + (range_x.start as i64 + origin[2]) as usize;
            let sums = sums[to..to + range_x.len()].iter_mut();
            for (sum, x) in sums.zip(range_x.clone()) {
                *sum += of(from + x);
            }
        }
    });
}

/// Weighted sums of logits on the GPU, in slabs of planes of every class.
#[derive(Debug)]
pub(super) struct GpuSums {
    host: Sums,
    classes: usize,
    slabs: Vec<(Range<usize>, Buffer<f32>)>,
    importance: Buffer<f32>,
    not_finite: Buffer<u32>,
}

impl GpuSums {
    /// Zeros.
    ///
    /// # Errors
    /// [`gpu::Error`] where there is too little memory, or one plane exceeds a binding.
    pub(super) fn new(
        gpu: &Gpu,
        classes: usize,
        size: [usize; 3],
        patch: [usize; 3],
    ) -> Result<Self, gpu::Error> {
        let host = Sums::new(classes, size, patch);
        let plane = size[1] * size[2];
        let zeroed = |range: Range<usize>| {
            let sums = gpu.zeroed("sums of logits", classes * range.len() * plane)?;
            Ok((range, sums))
        };
        Ok(Self {
            slabs: slabs(gpu, classes, size)
                .map(zeroed)
                .collect::<Result<_, gpu::Error>>()?,
            importance: gpu.upload("patch importance", &host.importance)?,
            not_finite: gpu.zeroed("not finite", 1)?,
            classes,
            host,
        })
    }

    /// Records adding a patch; `number` counts patches from 1.
    ///
    /// # Errors
    /// As [`Dispatch::new`].
    pub(super) fn record(
        &self,
        pass: &mut Pass<'_>,
        (logits, storage): (Binding<'_>, Storage),
        patch: Patch,
        number: usize,
    ) -> Result<(), gpu::Error> {
        let [z, y, x] = patch.origin;
        let [_, rows, columns] = self.host.size;
        for (range, sums) in &self.slabs {
            let start = z - range.start as i64;
            if start >= range.len() as i64 || start + patch.size[0] as i64 <= 0 {
                continue;
            }
            let params = Params {
                patch_grid: Grid::new(patch.size)?,
                slab_grid: Grid::new([range.len(), rows, columns])?,
                start: [x, y, start].map(|i| i as i32),
                classes: self.classes as u32,
                mirrored: reversed(patch.mirrored),
                patch_number: number as u32,
            };
            let variant = Variant {
                storage,
                constants: Vec::new(),
            };
            let buffers = [
                self.importance.binding(),
                logits,
                sums.binding(),
                self.not_finite.binding(),
            ];
            let extent = Extent::Voxels(patch.size);
            pass.run(&Dispatch::new(
                pass.gpu(),
                (&KERNEL, &variant),
                &params,
                &buffers,
                extent,
            )?);
        }
        Ok(())
    }

    /// The sums in host memory; or the number of a patch with a logit that is NaN or infinite.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device since the last check.
    pub(super) fn finish(self, gpu: &Gpu) -> Result<Result<Sums, usize>, gpu::Error> {
        if let Some(number @ 1..) = gpu.download(&self.not_finite)?.first() {
            return Ok(Err(*number as usize));
        }
        let mut host = self.host;
        let [planes, rows, columns] = host.size;
        let plane = rows * columns;
        for (range, sums) in &self.slabs {
            let own = range.start * plane..range.end * plane;
            let found = gpu.download(sums)?;
            let classes = host.values.chunks_exact_mut(planes * plane);
            for (class, found) in classes.zip(found.chunks_exact(own.len())) {
                class[own.clone()].copy_from_slice(found);
            }
        }
        Ok(Ok(host))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::{self, Channels};
    use super::super::window::starts;
    use super::*;

    #[test]
    fn weights_are_those_of_nnunet() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/nnunet/windows.safetensors"
        );
        let bytes = std::fs::read(path).expect("testdata");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
        assert_eq!(file.len(), 3);
        for (name, view) in file.iter() {
            let expected: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
            let size = <[usize; 3]>::try_from(view.shape()).expect("three axes");
            for (found, expected) in importance(size).iter().zip(&expected) {
                // Half a step of 16 bits where the two round to different sides.
                let step = (expected / 1024.0).max(6e-8);
                assert!(
                    (found - expected).abs() <= step,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn patches_that_agree_give_their_own_values_back() {
        let (size, patch) = ([5, 9, 4], [4, 4, 6]);
        let values: Vec<f32> = (0..2 * 180).map(|i| (i * 7 % 31) as f32 - 9.0).collect();
        let input = Channels {
            values: &values,
            size,
        };
        let starts = [0, 1, 2].map(|axis| starts(size[axis], patch[axis], 0.5));
        let mut sums = Sums::new(2, size, patch);
        let mut patches = Vec::new();
        for &z in &starts[0] {
            for &y in &starts[1] {
                for &x in &starts[2] {
                    patches.extend(
                        [[false; 3], [true, false, true], [true; 3]].map(|mirrored| Patch {
                            origin: [z, y, x],
                            size: patch,
                            mirrored,
                        }),
                    );
                }
            }
        }
        for &patch in &patches {
            sums.add(&cut::reference(input, patch), patch);
        }
        let found = sums.mean(&patches, 1);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
        assert!(found.iter().zip(&values).all(close), "{found:?}");
    }
}
