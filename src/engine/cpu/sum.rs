//! The sum of a residual block's branches, activated: each branch is normalised and activated as it is read.

use super::lanes::Lanes;
use super::norm::Norm;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

/// Voxels that a thread takes at once.
const CHUNK: usize = 1 << 12;

/// One summand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch<'a> {
    /// `[block][z][y][x]`
    pub(super) lanes: &'a [Lanes],
    /// One for each block; empty: take the values as they are.
    pub(super) norms: &'a [Norm],
    /// Of its leaky ReLU below zero; 1 where it is not activated.
    pub(super) slope: f32,
}

/// Writes every voxel of `output`; a block has `voxels` of them.
pub(super) fn run([a, b]: [Branch<'_>; 2], voxels: usize, slope: f32, output: &mut [Lanes]) {
    let blocks = output.chunks_exact_mut(voxels).enumerate();
    for (block, output) in blocks {
        let own = block * voxels..(block + 1) * voxels;
        let [norm_a, norm_b] = [a, b].map(|branch| branch.norms.get(block).copied());
        let from = a.lanes[own.clone()]
            .par_chunks(CHUNK)
            .zip(b.lanes[own].par_chunks(CHUNK));
        output
            .par_chunks_mut(CHUNK)
            .zip(from)
            .for_each(|(output, (from_a, from_b))| {
                for ((output, from_a), from_b) in output.iter_mut().zip(from_a).zip(from_b) {
                    let [a, b] = [
                        value(from_a, norm_a.as_ref(), a.slope),
                        value(from_b, norm_b.as_ref(), b.slope),
                    ];
                    let sum: [f32; 16] = std::array::from_fn(|lane| a[lane] + b[lane]);
                    output.0 = sum.map(|sum| activated(sum, slope));
                }
            });
    }
}

fn value(lanes: &Lanes, norm: Option<&Norm>, slope: f32) -> [f32; 16] {
    let Some(norm) = norm else {
        return lanes.0;
    };
    std::array::from_fn(|lane| {
        let value = (lanes.0[lane] - norm.mean.0[lane]) * norm.scale.0[lane] + norm.shift.0[lane];
        activated(value, slope)
    })
}

/// The leaky ReLU, which lets NaN through.
fn activated(value: f32, slope: f32) -> f32 {
    if value < 0.0 { value * slope } else { value }
}
