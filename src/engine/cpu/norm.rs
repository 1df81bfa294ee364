//! Instance norm: statistics of each row as it is computed, joined in a fixed order.
//!
//! Normalisation and leaky ReLU themselves happen where the next layer gathers its input (`gather.rs`).

use super::lanes::{LANES, Lanes};
use super::simd::Simd;
use crate::engine::NormParams;

/// Gamma, beta and epsilon of one instance norm.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) epsilon: f64,
}

/// What normalises one block of channels: `(x - mean) * scale + shift`. Zeros in lanes beyond the last channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    pub(super) mean: Lanes,
    pub(super) scale: Lanes,
    pub(super) shift: Lanes,
}

impl Norm {
    /// Leaves values as they are.
    pub(super) const IDENTITY: Self = Self {
        mean: Lanes::ZERO,
        scale: Lanes([1.0; LANES]),
        shift: Lanes::ZERO,
    };
}

/// Sum, and squares of the differences from the mean, of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowStats {
    sum: Lanes,
    squares: Lanes,
}

impl RowStats {
    pub(super) const ZERO: Self = Self {
        sum: Lanes::ZERO,
        squares: Lanes::ZERO,
    };

    /// Of a row that was just written; two passes, so that a large mean costs no precision.
    #[inline(always)]
    pub(super) fn of<S: Simd>(simd: S, row: &[Lanes]) -> Self {
        let mut stats = Self::ZERO;
        let sum = total(simd, row, |value| value);
        simd.store(&mut stats.sum, sum);
        let mean = simd.mul(sum, simd.splat(1.0 / row.len() as f32));
        let squares = total(simd, row, |value| {
            let difference = simd.sub(value, mean);
            simd.mul(difference, difference)
        });
        simd.store(&mut stats.squares, squares);
        stats
    }
}

/// Sum over a row in four strands, since one would wait for each addition.
#[inline(always)]
fn total<S: Simd>(simd: S, row: &[Lanes], of: impl Fn(S::Block) -> S::Block) -> S::Block {
    let mut strands = [simd.splat(0.0); 4];
    let (quads, rest) = row.as_chunks::<4>();
    for quad in quads {
        for (strand, lanes) in strands.iter_mut().zip(quad) {
            *strand = simd.add(*strand, of(simd.load(lanes)));
        }
    }
    for lanes in rest {
        strands[0] = simd.add(strands[0], of(simd.load(lanes)));
    }
    let [a, b, c, d] = strands;
    simd.add(simd.add(a, b), simd.add(c, d))
}

impl From<&NormParams<'_>> for Affine {
    fn from(params: &NormParams<'_>) -> Self {
        Self {
            gamma: params.gamma.to_vec(),
            beta: params.beta.to_vec(),
            epsilon: params.epsilon,
        }
    }
}

impl Affine {
    /// Joins the rows of one block, of `width` voxels each, and gives what normalises it.
    pub(super) fn norm(&self, block: usize, rows: &[RowStats], width: usize) -> Norm {
        #![expect(clippy::cast_possible_truncation, reason = "from sums to f32")]
        let (row, all) = (width as f64, (rows.len() * width) as f64);
        let mut mean = [0.0; LANES];
        for stats in rows {
            for (mean, sum) in mean.iter_mut().zip(stats.sum.0) {
                *mean += f64::from(sum);
            }
        }
        mean = mean.map(|sum| sum / all);
        let mut squares = [0.0; LANES];
        for stats in rows {
            for lane in 0..LANES {
                let shift = f64::from(stats.sum.0[lane]) / row - mean[lane];
                squares[lane] += f64::from(stats.squares.0[lane]) + row * shift * shift;
            }
        }
        let mut scale = Lanes::of(&self.gamma, block);
        for (scale, squares) in scale.0.iter_mut().zip(squares) {
            *scale = (f64::from(*scale) / (squares / all + self.epsilon).sqrt()) as f32;
        }
        Norm {
            mean: Lanes(mean.map(|mean| mean as f32)),
            scale,
            shift: Lanes::of(&self.beta, block),
        }
    }
}
