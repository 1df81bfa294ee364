//! The networks of an ensemble over a whole grid: the logits of every class, averaged over overlapping patches, mirrored
//! patches and networks.
//!
//! Source: Isensee et al., Nat Methods 2021 (nnU-Net). Patches are added in a fixed order, so two runs give equal bits.

#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "grid sizes are below 2^31, and indices are clamped before they are cast"
)]

use super::window::{Importance, starts};
use super::{Error, Segmenter};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Logits of more bytes are not begun: two thirds of what a workstation has.
const MAX_LOGIT_BYTES: usize = 16 << 30;

/// Normalised channels on a network's grid.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    /// `[channel, z, y, x]`
    pub values: &'a [f32],
    /// Voxels along z, y, x.
    pub size: [usize; 3],
}

/// What an ensemble gives for a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// `[class, z, y, x]`
    pub values: Vec<f32>,
    /// Voxels along z, y, x.
    pub size: [usize; 3],
    /// Number of patches that each network ran on.
    pub patches: usize,
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
        let (classes, voxels) = (self.manifest.network.classes, input.size.iter().product());
        self.check_memory(classes, voxels)?;
        let axes = if mirrored { &spec.mirror_axes[..] } else { &[] };
        let mirrorings = mirrorings(axes);
        let starts =
            [0, 1, 2].map(|axis| starts(input.size[axis], spec.patch[axis], spec.step_fraction));
        let origins = grid_of(&starts);
        let runner = self.runner(spec.patch)?;
        let mut sums = Sums::new(classes, input.size, spec.patch);
        for (done, &origin) in origins.iter().enumerate() {
            progress(done, origins.len());
            let patch = cut(input, origin, spec.patch);
            for mirroring in &mirrorings {
                if cancel.load(Ordering::Relaxed) {
                    return Err(Error::Cancelled);
                }
                let patch = mirror(&patch, spec.patch, *mirroring);
                let logits = runner.logits(&patch)?;
                if !logits.par_iter().all(|logit| logit.is_finite()) {
                    return Err(self.non_finite(origin));
                }
                sums.add(&mirror(&logits, spec.patch, *mirroring), origin);
            }
        }
        progress(origins.len(), origins.len());
        Ok(Logits {
            values: sums.mean(&starts, mirrorings.len()),
            size: input.size,
            patches: origins.len(),
        })
    }

    fn check_memory(&self, classes: usize, voxels: usize) -> Result<(), Error> {
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

/// Every combination of the axes, none first: whether each axis is mirrored.
fn mirrorings(axes: &[usize]) -> Vec<[bool; 3]> {
    let combination = |bits: usize| {
        [0, 1, 2].map(|axis| {
            let position = axes.iter().position(|own| *own == axis);
            position.is_some_and(|position| bits >> position & 1 == 1)
        })
    };
    (0..1 << axes.len()).map(combination).collect()
}

fn grid_of([z, y, x]: &[Vec<i64>; 3]) -> Vec<[i64; 3]> {
    let mut origins = Vec::with_capacity(z.len() * y.len() * x.len());
    for &z in z {
        for &y in y {
            origins.extend(x.iter().map(|&x| [z, y, x]));
        }
    }
    origins
}

/// Voxels of a patch that lie on the grid, along one axis.
fn on_grid(origin: i64, patch: usize, size: usize) -> Range<usize> {
    (-origin).max(0) as usize..(size as i64 - origin).clamp(0, patch as i64) as usize
}

/// A patch `[channel, z, y, x]`; zeros beyond the grid.
fn cut(input: Channels<'_>, origin: [i64; 3], patch: [usize; 3]) -> Vec<f32> {
    let (voxels, grid) = (patch.iter().product(), input.size.iter().product());
    let [range_z, range_y, range_x] =
        [0, 1, 2].map(|i| on_grid(origin[i], patch[i], input.size[i]));
    let mut values = vec![0.0; input.values.len() / grid * voxels];
    for (patch_values, channel) in values
        .chunks_exact_mut(voxels)
        .zip(input.values.chunks_exact(grid))
    {
        for z in range_z.clone() {
            for y in range_y.clone() {
                let to = (z * patch[1] + y) * patch[2] + range_x.start;
                let [z, y, x] = [
                    z as i64 + origin[0],
                    y as i64 + origin[1],
                    range_x.start as i64 + origin[2],
                ];
                let from = (z as usize * input.size[1] + y as usize) * input.size[2] + x as usize;
                patch_values[to..to + range_x.len()]
                    .copy_from_slice(&channel[from..from + range_x.len()]);
            }
        }
    }
    values
}

/// Each channel of a patch with some axes reversed.
fn mirror(values: &[f32], [nz, ny, nx]: [usize; 3], [z, y, x]: [bool; 3]) -> Vec<f32> {
    let at = |reversed: bool, count: usize, i: usize| if reversed { count - 1 - i } else { i };
    let mut mirrored = Vec::with_capacity(values.len());
    for channel in values.chunks_exact(nz * ny * nx) {
        for row in 0..nz * ny {
            let (iz, iy) = (at(z, nz, row / ny), at(y, ny, row % ny));
            let row = &channel[(iz * ny + iy) * nx..][..nx];
            if x {
                mirrored.extend(row.iter().rev());
            } else {
                mirrored.extend_from_slice(row);
            }
        }
    }
    mirrored
}

/// Weighted sums of logits.
struct Sums {
    values: Vec<f32>,
    size: [usize; 3],
    patch: [usize; 3],
    importance: Importance,
}

impl Sums {
    fn new(classes: usize, size: [usize; 3], patch: [usize; 3]) -> Self {
        Self {
            values: vec![0.0; classes * size.iter().product::<usize>()],
            size,
            patch,
            importance: Importance::gaussian(patch),
        }
    }

    /// Each voxel is added to by one row of the patch alone, so the threads change no bit.
    fn add(&mut self, logits: &[f32], origin: [i64; 3]) {
        let (size, patch) = (self.size, self.patch);
        let [range_z, range_y, range_x] = [0, 1, 2].map(|i| on_grid(origin[i], patch[i], size[i]));
        let [weights_z, weights_y, weights_x] = &self.importance.axes;
        let plane = size[1] * size[2];
        let planes = self.values.par_chunks_exact_mut(plane).enumerate();
        planes.for_each(|(number, sums)| {
            let (class, z) = (number / size[0], (number % size[0]) as i64 - origin[0]);
            let Some(z) = usize::try_from(z).ok().filter(|z| range_z.contains(z)) else {
                return;
            };
            for y in range_y.clone() {
                let weight = weights_z[z] * weights_y[y];
                let from = ((class * patch[0] + z) * patch[1] + y) * patch[2];
                let row = (y as i64 + origin[1]) as usize * size[2];
                let to = row + (range_x.start as i64 + origin[2]) as usize;
                let sums = sums[to..to + range_x.len()].iter_mut();
                let logits = &logits[from..from + patch[2]][range_x.clone()];
                for ((sum, logit), weight_x) in sums.zip(logits).zip(&weights_x[range_x.clone()]) {
                    *sum += weight * weight_x * logit;
                }
            }
        });
    }

    /// Divides by the weights: patches lie on a grid, so they are the product of one sum for each axis.
    fn mean(mut self, starts: &[Vec<i64>; 3], times: usize) -> Vec<f32> {
        let size = self.size;
        let [totals_z, totals_y, totals_x] = [0, 1, 2].map(|axis| {
            let mut totals = vec![0.0f32; size[axis]];
            for &start in &starts[axis] {
                for i in on_grid(start, self.patch[axis], size[axis]) {
                    totals[(i as i64 + start) as usize] += self.importance.axes[axis][i];
                }
            }
            totals
        });
        let rows = self.values.par_chunks_exact_mut(size[2]).enumerate();
        rows.for_each(|(row, sums)| {
            let (z, y) = (row / size[1] % size[0], row % size[1]);
            let weight = totals_z[z] * totals_y[y] * times as f32;
            for (sum, total) in sums.iter_mut().zip(&totals_x) {
                *sum /= weight * total;
            }
        });
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrorings_are_all_combinations_of_the_axes() {
        assert_eq!(mirrorings(&[]), [[false; 3]]);
        let found = mirrorings(&[0, 2]);
        let expected = [[false, false], [true, false], [false, true], [true, true]];
        assert_eq!(found, expected.map(|[z, x]| [z, false, x]));
    }

    #[test]
    fn a_patch_mirrored_twice_is_itself() {
        let values: Vec<f32> = (0..2 * 24).map(|i| i as f32).collect();
        for axes in mirrorings(&[0, 1, 2]) {
            let once = mirror(&values, [2, 3, 4], axes);
            assert_eq!(once == values, axes == [false; 3]);
            assert_eq!(mirror(&once, [2, 3, 4], axes), values);
        }
        assert_eq!(
            mirror(&[1.0, 2.0, 3.0, 4.0], [1, 2, 2], [false, true, false]),
            [3.0, 4.0, 1.0, 2.0]
        );
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
        for origin in grid_of(&starts) {
            for _ in 0..3 {
                sums.add(&cut(input, origin, patch), origin);
            }
        }
        let found = sums.mean(&starts, 3);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
        assert!(found.iter().zip(&values).all(close), "{found:?}");
    }

    #[test]
    fn a_patch_larger_than_the_grid_sees_zeros_around_it() {
        let input = Channels {
            values: &[1.0, 2.0, 3.0],
            size: [1, 1, 3],
        };
        let origin = [
            starts(1, 2, 0.5)[0],
            starts(1, 1, 0.5)[0],
            starts(3, 6, 0.5)[0],
        ];
        let patch = cut(input, origin, [2, 1, 6]);
        let expected = [0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(patch, expected);
    }
}
