//! The kernel: a run of voxels of one row times up to four blocks of output channels, summed in registers.

#![expect(unsafe_code, reason = "bounds checks cost more than the arithmetic")]

use super::lanes::Lanes;
use super::simd::Simd;

/// Most output blocks of one tile.
pub(super) const MAX_BLOCKS: usize = 4;
/// Most voxels of one tile.
pub(super) const MAX_VOXELS: usize = 24;

/// Everything that the tiles of one output row share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Scratch of the first input block, at the first tap of the row's first output.
    pub(super) input: *const f32,
    /// Channels of each input block to be summed.
    pub(super) channels: &'a [usize],
    /// Floats from one input block to the next.
    pub(super) block_pitch: usize,
    /// Float at which each tap along z lies.
    pub(super) planes: &'a [usize],
    /// Taps along y, and floats from one to the next.
    pub(super) rows: [usize; 2],
    /// Float at which each tap along x lies.
    pub(super) columns: &'a [usize],
    /// Weights of the first output block: input block, taps z, y, x, input channel.
    pub(super) weights: *const Lanes,
    /// Lanes from one output block's weights to the next's.
    pub(super) weights_pitch: usize,
    /// What the sums begin with, a block each; `None`: what the output holds.
    pub(super) bias: Option<&'a [Lanes]>,
    /// First voxel of the first output block.
    pub(super) output: *mut Lanes,
    /// Lanes from one output block to the next, and from one voxel to the next.
    pub(super) output_pitch: [usize; 2],
    /// Output blocks.
    pub(super) blocks: usize,
    /// Voxels of the row.
    pub(super) width: usize,
}

/// Computes a row, cut into tiles of nearly equal size.
///
/// # Safety
/// Every voxel, tap and weight that `row` describes lies in memory that is valid, and nothing else writes there or reads
/// the output meanwhile.
#[inline(always)]
pub(super) unsafe fn row<S: Simd, const PITCH: usize>(simd: S, row: &Row<'_>) {
    let most = (S::ACCUMULATORS / row.blocks).clamp(1, MAX_VOXELS);
    let tiles = row.width.div_ceil(most);
    let (size, larger) = (row.width / tiles, row.width % tiles);
    let mut start = 0;
    for tile in 0..tiles {
        let voxels = size + usize::from(tile < larger);
        // SAFETY: `start + voxels <= row.width`; the rest is the caller's promise.
        unsafe { sized::<S, PITCH>(simd, row, start, voxels) };
        start += voxels;
    }
}

/// Calls the tile that is compiled for this number of blocks and voxels.
///
/// # Safety
/// As [`row`]; `start + voxels` is at most the width.
#[inline(always)]
unsafe fn sized<S: Simd, const PITCH: usize>(simd: S, row: &Row<'_>, start: usize, voxels: usize) {
    macro_rules! choose {
        ($($blocks:literal: $($voxels:literal)*;)*) => {
            match (row.blocks, voxels) {
                $($(($blocks, $voxels) if const { $voxels == 1 || $blocks * $voxels <= S::ACCUMULATORS } => {
                    // SAFETY: the caller's promise.
                    unsafe { tile::<S, PITCH, $blocks, $voxels>(simd, row, start) }
                })*)*
                (blocks, voxels) => unreachable!("no tile of {blocks} blocks and {voxels} voxels"),
            }
        };
    }
    choose! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// # Safety
/// As [`row`]; `start + VOXELS` is at most the width and `BLOCKS` is `row.blocks`.
#[inline(always)]
unsafe fn tile<S: Simd, const PITCH: usize, const BLOCKS: usize, const VOXELS: usize>(
    simd: S,
    row: &Row<'_>,
    start: usize,
) {
    let [block_pitch, voxel_pitch] = row.output_pitch;
    // SAFETY: within the row's output, as the caller promises.
    let output = unsafe { row.output.add(start * voxel_pitch) };
    let mut sums = [[simd.splat(0.0); BLOCKS]; VOXELS];
    for (voxel, sums) in sums.iter_mut().enumerate() {
        for (block, sum) in sums.iter_mut().enumerate() {
            let offset = block * block_pitch + voxel * voxel_pitch;
            *sum = match row.bias {
                Some(bias) => simd.load(&bias[block]),
                // SAFETY: an earlier pass over other input blocks has written it.
                None => simd.load(unsafe { &*output.add(offset) }),
            };
        }
    }
    let neighbours = *row.columns == [0, PITCH, 2 * PITCH];
    let mut weights = row.weights;
    for (block, &channels) in row.channels.iter().enumerate() {
        for &plane in row.planes {
            for tap in 0..row.rows[0] {
                let line = plane + block * row.block_pitch + tap * row.rows[1] + start * PITCH;
                // SAFETY: the line's taps lie in scratch and its weights are next, as the caller promises.
                unsafe {
                    let input = row.input.add(line);
                    if S::ACCUMULATORS >= MAX_VOXELS && BLOCKS == 1 && neighbours {
                        three::<S, PITCH, BLOCKS, VOXELS>(
                            simd,
                            (input, weights),
                            channels,
                            &mut sums,
                        );
                    } else {
                        taps::<S, PITCH, BLOCKS, VOXELS>(
                            simd,
                            row,
                            (input, weights),
                            channels,
                            &mut sums,
                        );
                    }
                    weights = weights.add(row.columns.len() * channels);
                }
            }
        }
    }
    for (voxel, sums) in sums.into_iter().enumerate() {
        for (block, sum) in sums.into_iter().enumerate() {
            // SAFETY: within the row's output, which this task alone writes.
            let output = unsafe { &mut *output.add(block * block_pitch + voxel * voxel_pitch) };
            simd.store(output, sum);
        }
    }
}

/// Adds the taps of one line along x, channel by channel.
///
/// # Safety
/// `input` and `weights` are the line's, as [`Row`] describes them.
#[inline(always)]
unsafe fn taps<S: Simd, const PITCH: usize, const BLOCKS: usize, const VOXELS: usize>(
    simd: S,
    row: &Row<'_>,
    (input, mut weights): (*const f32, *const Lanes),
    channels: usize,
    sums: &mut [[S::Block; BLOCKS]; VOXELS],
) {
    for &column in row.columns {
        for channel in 0..channels {
            // SAFETY: one lane a channel and tap, for each block, as the caller promises.
            let taken: [S::Block; BLOCKS] = std::array::from_fn(|block| unsafe {
                simd.load(&*weights.add(block * row.weights_pitch))
            });
            for (voxel, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a channel of the tap's voxel for each output voxel.
                let value = simd.splat(unsafe { *input.add(column + voxel * PITCH + channel) });
                for (sum, weight) in sums.iter_mut().zip(taken) {
                    *sum = simd.mul_add(value, weight, *sum);
                }
            }
            // SAFETY: at most one past the last weight.
            weights = unsafe { weights.add(1) };
        }
    }
}

/// [`taps`] for three neighbouring taps: each value is loaded once for all of them, since with one block there would
/// be a load for every multiplication.
///
/// # Safety
/// As [`taps`]; the taps along x are neighbours.
#[inline(always)]
unsafe fn three<S: Simd, const PITCH: usize, const BLOCKS: usize, const VOXELS: usize>(
    simd: S,
    (input, weights): (*const f32, *const Lanes),
    channels: usize,
    sums: &mut [[S::Block; BLOCKS]; VOXELS],
) {
    for channel in 0..channels {
        // SAFETY: one lane a channel and tap.
        let [a, b, c] =
            [0, 1, 2].map(|tap| simd.load(unsafe { &*weights.add(tap * channels + channel) }));
        // SAFETY: a channel of each of the `VOXELS + 2` voxels that the taps reach.
        let value = |voxel: usize| simd.splat(unsafe { *input.add(voxel * PITCH + channel) });
        let (mut first, mut second) = (value(0), value(1));
        for (voxel, sums) in sums.iter_mut().enumerate() {
            let third = value(voxel + 2);
            let sum = simd.mul_add(first, a, sums[0]);
            sums[0] = simd.mul_add(third, c, simd.mul_add(second, b, sum));
            (first, second) = (second, third);
        }
    }
}
