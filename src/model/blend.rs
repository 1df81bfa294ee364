//! Adds a patch's probabilities, weighted by importance, to a box of the volume.
//!
//! In: a patch's logits and where it lies in a box. Out: sums of weighted probabilities and of weights. Refused: logits
//! that are NaN or infinite. Patches are added in a fixed order, so two runs give equal bits.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "box indices are below 2^31 and are clamped before they are cast"
)]

use super::manifest::Activation;
use super::window::Importance;
use crate::gpu::{
    self, Access, Binding, Dispatch, Extent, Grid, Kernel, Pass, Storage, Variant, params,
};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

/// Differences of logits beyond it would overflow `exp` in 32 bits; the probability is 0 or 1 there anyhow.
const MAX_LOGIT: f32 = 80.0;

/// Which probability is taken from a patch's logits `[classes, z, y, x]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    /// The output channel of the label.
    pub(crate) index: usize,
    /// Number of output channels.
    pub(crate) classes: usize,
    /// From logits to probabilities.
    pub(crate) activation: Activation,
}

/// A patch in a box of the grid: the box is the accumulators' extent, the patch may hang over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Size of the box, `[z, y, x]`.
    pub(crate) box_size: [usize; 3],
    /// First voxel of the patch within the box, `[z, y, x]`.
    pub(crate) start: [i64; 3],
    /// Size of the patch, `[z, y, x]`.
    pub(crate) patch: [usize; 3],
}

params! {
    /// Mirrors `Params` in `shaders/blend.wgsl`.
    struct Params {
        patch_grid: Grid,
        slab_grid: Grid,
        start: [i32; 3],
        patch_number: u32,
        classes: u32,
        channel: u32,
        is_softmax: u32,
        _pad0: u32,
    }
}

/// `shaders/blend.wgsl`
pub(crate) static KERNEL: Kernel = Kernel {
    label: "blend",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/blend.wgsl"),
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
        Access::ReadWrite,
    ],
};

/// One addition on the GPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Add {
    pub(crate) channel: Channel,
    pub(crate) placement: Placement,
    /// Number of the patch, from 1; it marks logits that are not finite.
    pub(crate) number: usize,
    /// How the logits are stored.
    pub(crate) storage: Storage,
}

impl Placement {
    /// Whether any voxel of the patch lies in the box.
    pub(crate) fn overlaps(&self) -> bool {
        (0..3).all(|axis| {
            let end = self.start[axis] + self.patch[axis] as i64;
            self.start[axis] < self.box_size[axis] as i64 && end > 0
        })
    }
}

impl Channel {
    /// Probability of the label at a voxel of a patch of `voxels` voxels.
    ///
    /// `1 / sum(exp(other - own))` over the channels; with a sigmoid the only other logit is 0.
    pub(crate) fn probability(&self, logits: &[f32], voxels: usize, voxel: usize) -> f32 {
        let own = logits[self.index * voxels + voxel];
        let term = |other: f32| (other - own).clamp(-MAX_LOGIT, MAX_LOGIT).exp();
        let sum = match self.activation {
            Activation::Sigmoid => 1.0 + term(0.0),
            Activation::Softmax => (0..self.classes)
                .map(|class| term(logits[class * voxels + voxel]))
                .fold(0.0, |sum, term| sum + term),
        };
        1.0 / sum
    }
}

/// Records the addition; `buffers` are importance, logits, sums, weights, not finite.
///
/// # Errors
/// [`gpu::Error`] when a buffer does not fit the device.
pub(crate) fn record(
    pass: &mut Pass<'_>,
    add: Add,
    buffers: [Binding<'_>; 5],
) -> Result<(), gpu::Error> {
    let Placement {
        box_size,
        start: [z, y, x],
        patch,
    } = add.placement;
    let params = Params {
        patch_grid: Grid::new(patch)?,
        slab_grid: Grid::new(box_size)?,
        start: [x, y, z].map(|i| i as i32),
        patch_number: add.number as u32,
        classes: add.channel.classes as u32,
        channel: add.channel.index as u32,
        is_softmax: u32::from(add.channel.activation == Activation::Softmax),
        _pad0: 0,
    };
    let variant = Variant {
        storage: add.storage,
        constants: Vec::new(),
    };
    let extent = Extent::Voxels(patch);
    pass.run(&Dispatch::new(
        pass.gpu(),
        (&KERNEL, &variant),
        &params,
        &buffers,
        extent,
    )?);
    Ok(())
}

/// Adds a patch's weighted probabilities to `sums` and its weights to `weights`; the definition.
///
/// The shader's `exp` and fused additions may differ in the last bits.
///
/// Returns whether all logits were finite; nothing is added otherwise.
pub(crate) fn accumulate(
    logits: &[f32],
    channel: Channel,
    placement: Placement,
    importance: &Importance,
    (sums, weights): (&mut [f32], &mut [f32]),
) -> bool {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return false;
    }
    let Placement {
        box_size,
        start,
        patch,
    } = placement;
    let [range_z, range_y, range_x] = [0, 1, 2].map(|axis| {
        let last = (box_size[axis] as i64 - start[axis]).clamp(0, patch[axis] as i64);
        (-start[axis]).max(0) as usize..last as usize
    });
    if range_z.is_empty() {
        return true;
    }
    let plane = box_size[1] * box_size[2];
    let first = (start[0] + range_z.start as i64) as usize * plane;
    let planes = first..first + range_z.len() * plane;
    let add = Addition {
        logits,
        channel,
        placement,
        importance,
        ranges: [range_y, range_x],
    };
    // Each voxel is added to by one plane of the patch alone, so the threads change no bit.
    sums[planes.clone()]
        .par_chunks_exact_mut(plane)
        .zip(weights[planes].par_chunks_exact_mut(plane))
        .zip(range_z)
        .for_each(|((sums, weights), z)| add.plane(z, sums, weights));
    true
}

/// What every plane of a patch needs.
struct Addition<'a> {
    logits: &'a [f32],
    channel: Channel,
    placement: Placement,
    importance: &'a Importance,
    /// Rows and columns of the patch that lie in the box.
    ranges: [std::ops::Range<usize>; 2],
}

impl Addition<'_> {
    /// Adds plane `z` of the patch to a plane of the box.
    fn plane(&self, z: usize, sums: &mut [f32], weights: &mut [f32]) {
        let Placement {
            box_size,
            start,
            patch,
        } = self.placement;
        let voxels = patch.iter().product();
        let [weights_z, weights_y, weights_x] = &self.importance.axes;
        let [range_y, range_x] = &self.ranges;
        for y in range_y.clone() {
            let from = (z * patch[1] + y) * patch[2];
            let to = (y as i64 + start[1]) as usize * box_size[2];
            for x in range_x.clone() {
                let weight = weights_z[z] * weights_y[y] * weights_x[x];
                let voxel = to + (x as i64 + start[2]) as usize;
                let probability = self.channel.probability(self.logits, voxels, from + x);
                sums[voxel] += weight * probability;
                weights[voxel] += weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGMOID: Channel = Channel {
        index: 0,
        classes: 1,
        activation: Activation::Sigmoid,
    };

    #[test]
    fn sigmoid_and_softmax_agree_with_their_definitions() {
        assert!((SIGMOID.probability(&[0.0], 1, 0) - 0.5).abs() < 1e-7);
        assert!((SIGMOID.probability(&[-2.0], 1, 0) - 0.119_202_92).abs() < 1e-7);
        assert!((SIGMOID.probability(&[1e30], 1, 0) - 1.0).abs() < 1e-7);
        assert!(SIGMOID.probability(&[-1e30], 1, 0) < 1e-30);
        let softmax = Channel {
            index: 1,
            classes: 3,
            activation: Activation::Softmax,
        };
        let logits = [1.0, 2.0, 0.5];
        let expected = 2f32.exp() / (1f32.exp() + 2f32.exp() + 0.5f32.exp());
        assert!((softmax.probability(&logits, 1, 0) - expected).abs() < 1e-6);
    }

    #[test]
    fn overlapping_patches_are_averaged_by_their_weights() {
        let importance = Importance {
            axes: [vec![1.0], vec![1.0], vec![1.0, 3.0]],
        };
        let (mut sums, mut weights) = (vec![0.0; 4], vec![0.0; 4]);
        let place = |start| Placement {
            box_size: [1, 1, 4],
            start: [0, 0, start],
            patch: [1, 1, 2],
        };
        for (start, logit) in [(-1, 0.0f32), (0, 80.0), (1, -80.0)] {
            let logits = [logit; 2];
            assert!(accumulate(
                &logits,
                SIGMOID,
                place(start),
                &importance,
                (&mut sums, &mut weights)
            ));
        }
        crate::model::divide::reference(&mut sums, &weights);
        let expected = [0.625, 0.75, 0.0, 0.0];
        assert!(
            sums.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{sums:?}"
        );
    }

    #[test]
    fn a_patch_beyond_the_box_adds_nothing_and_one_that_hangs_over_adds_its_part() {
        let importance = Importance {
            axes: [vec![1.0, 2.0], vec![1.0, 3.0], vec![1.0, 5.0]],
        };
        let add = |start| {
            let (mut sums, mut weights) = (vec![0.0; 8], vec![0.0; 8]);
            let place = Placement {
                box_size: [2; 3],
                start,
                patch: [2; 3],
            };
            let both = (&mut sums[..], &mut weights[..]);
            assert!(accumulate(&[0.0; 8], SIGMOID, place, &importance, both));
            weights
        };
        for beyond in [[2, 0, 0], [-2, 0, 0], [0, 3, 0], [0, 0, -9]] {
            assert_eq!(add(beyond), [0.0; 8], "{beyond:?}");
        }
        assert_eq!(add([1, 0, 0]), [0., 0., 0., 0., 1., 5., 3., 15.]);
        assert_eq!(add([-1, 0, 1]), [0., 2., 0., 6., 0., 0., 0., 0.]);
    }

    #[test]
    fn logits_that_are_not_finite_are_refused() {
        let importance = Importance::gaussian([1, 1, 2]);
        let place = Placement {
            box_size: [1, 1, 2],
            start: [0; 3],
            patch: [1, 1, 2],
        };
        let (mut sums, mut weights) = (vec![0.0; 2], vec![0.0; 2]);
        let mut add = |logits: [f32; 2]| {
            accumulate(
                &logits,
                SIGMOID,
                place,
                &importance,
                (&mut sums, &mut weights),
            )
        };
        assert!(!add([0.0, f32::NAN]));
        assert!(!add([f32::INFINITY, 0.0]));
        assert!(sums.iter().chain(&weights).all(|v| *v == 0.0));
    }
}
