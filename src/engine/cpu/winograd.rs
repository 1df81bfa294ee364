//! A task of a layer by Winograd convolution in the y-x plane; taps along z stay direct. Source: see `transform.rs`.
//!
//! Each input plane is gathered and transformed once, and kept until the last output plane has used it. Then each
//! product of the transform is a convolution of squares with taps along z alone, which the direct kernel computes.

#![expect(unsafe_code, reason = "tasks write interleaved parts of one output")]

use super::conv::{Conv, Group};
use super::gather::{self, RowLayout};
use super::lanes::{LANES, Lanes};
use super::simd::{Job, Simd};
use super::task::{Layer, Ring, Share, Target};
use super::tile::{self, MAX_BLOCKS};
use super::transform::{self, PRODUCTS, SPAN, SQUARE};

/// Least input channels: what is saved grows with them, what the transform costs does not.
const CHANNELS: usize = 8;
/// Squares of a task's plane, where the plane has as many: enough to fill the registers.
const SQUARES: usize = 24;

/// Whether a layer's weights are transformed: the part of the choice between the methods that its kernel decides.
pub(super) fn suits(kernel: [usize; 3], stride: [usize; 3], channels_in: &[usize]) -> bool {
    kernel[1..] == [3, 3] && stride == [1; 3] && channels_in.iter().sum::<usize>() >= CHANNELS
}

/// How a layer's input lies in scratch.
pub(super) struct Plan {
    /// Of gathered rows, before they are transformed.
    layout: RowLayout,
    /// Squares along x.
    across: usize,
    /// Input blocks.
    blocks: usize,
}

impl Plan {
    /// `None` where direct convolution serves better: the part of the choice that the size decides.
    pub(super) fn new(conv: &Conv, [_, height, width]: [usize; 3]) -> Option<Self> {
        let across = width.div_ceil(SQUARE);
        // In a plane of a square or less, most of a square is padding, and the weights are read for it alone.
        let pays = conv.is_transformed() && height.min(width) > SQUARE;
        pays.then(|| Self {
            layout: RowLayout::new(width, [3, 1], across * SQUARE, LANES),
            across,
            blocks: conv.channels_in.len(),
        })
    }

    /// Rows of a task, whole squares.
    pub(super) fn rows(&self) -> usize {
        SQUARES.div_ceil(self.across) * SQUARE
    }

    /// Lanes from one product's squares to the next's; odd, so that they do not share sets of a cache.
    fn pitch(&self, rows: usize) -> usize {
        (rows / SQUARE * self.across) | 1
    }

    /// Lanes of a plane of transformed input of all input blocks.
    fn plane_lanes(&self, rows: usize) -> usize {
        self.blocks * PRODUCTS * self.pitch(rows)
    }

    /// Lanes of a task's scratch: transformed planes, gathered rows of a plane, sums of products.
    pub(super) fn scratch(&self, layer: &Layer<'_>) -> usize {
        self.parts(layer).iter().sum()
    }

    /// Lanes of each of them.
    fn parts(&self, layer: &Layer<'_>) -> [usize; 3] {
        let rows = layer.cut[1];
        [
            layer.conv.kernel[0] * self.plane_lanes(rows),
            (rows + 2) * self.layout.run,
            MAX_BLOCKS * PRODUCTS * self.pitch(rows),
        ]
    }
}

/// A part of a layer.
pub(super) struct Task<'a> {
    pub(super) layer: &'a Layer<'a>,
    pub(super) plan: &'a Plan,
    pub(super) share: Share,
    /// As long as [`Plan::scratch`] says.
    pub(super) scratch: &'a mut [Lanes],
}

impl Job for Task<'_> {
    /// Plane by plane: gathers and transforms the input planes that are new, then computes.
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let Self {
            layer,
            plan,
            share,
            scratch,
        } = self;
        let [planes, rows, _] = plan.parts(layer);
        let (planes, rest) = scratch.split_at_mut(planes);
        let (rows, sums) = rest.split_at_mut(rows);
        let job = Squares {
            layer,
            plan,
            lines: share.rows.len().div_ceil(SQUARE),
            first_row: share.rows.start,
            pitch: plan.pitch(layer.cut[1]),
        };
        let mut ring = Ring::new(layer.conv, plan.plane_lanes(layer.cut[1]) * LANES);
        for z in share.planes {
            for plane in ring.missing(z) {
                let slot = ring.start(plane) / LANES..(ring.start(plane) + ring.pitch) / LANES;
                job.gather(simd, layer.plane_in(plane), rows, &mut planes[slot]);
            }
            let starts = ring.starts(z);
            for group in &layer.groups[share.groups.clone()] {
                job.multiply(simd, group, (planes, &starts), sums);
                job.finish(simd, group, z, sums);
            }
        }
    }
}

/// The squares of a task's rows in one plane.
struct Squares<'a> {
    layer: &'a Layer<'a>,
    plan: &'a Plan,
    /// Rows of squares.
    lines: usize,
    first_row: usize,
    /// Lanes from one product's squares to the next's.
    pitch: usize,
}

impl Squares<'_> {
    /// Gathers the rows that the squares need of an input plane and transforms them; `None`: padding.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, plane: Option<usize>, rows: &mut [Lanes], to: &mut [Lanes]) {
        let (layer, run) = (self.layer, self.plan.layout.run);
        if plane.is_none() {
            return to.fill(Lanes::ZERO);
        }
        for (block, to) in layer
            .input
            .iter()
            .zip(to.chunks_exact_mut(PRODUCTS * self.pitch))
        {
            let needed = self.lines * SQUARE + 2;
            for (row, to) in rows.chunks_exact_mut(run).take(needed).enumerate() {
                let start = layer.row_in(plane, self.first_row + row);
                gather::row(simd, &self.plan.layout, layer.slope, (block, start), to);
            }
            for line in 0..self.lines {
                let rows = &rows[line * SQUARE * run..][..SPAN * run];
                self.transform(simd, rows, &mut to[line * self.plan.across..]);
            }
        }
    }

    /// Transforms one row of squares.
    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, rows: &[Lanes], to: &mut [Lanes]) {
        let mut columns = [[simd.splat(0.0); SPAN]; SPAN];
        self.columns(simd, rows, &mut columns[SQUARE..]);
        for square in 0..self.plan.across {
            (columns[0], columns[1]) = (columns[4], columns[5]);
            self.columns(simd, &rows[square * SQUARE + 2..], &mut columns[2..]);
            for y in 0..SPAN {
                let mut row = [columns[0][y]; SPAN];
                for (value, column) in row.iter_mut().zip(&columns) {
                    *value = column[y];
                }
                for (x, value) in transform::inputs(simd, row).into_iter().enumerate() {
                    simd.store(&mut to[(y * SPAN + x) * self.pitch + square], value);
                }
            }
        }
    }

    /// Transforms neighbouring columns of six rows along y.
    #[inline(always)]
    fn columns<S: Simd>(&self, simd: S, rows: &[Lanes], to: &mut [[S::Block; SPAN]]) {
        for (x, column) in to.iter_mut().enumerate() {
            let mut values = [simd.splat(0.0); SPAN];
            for (y, value) in values.iter_mut().enumerate() {
                *value = simd.load(&rows[y * self.plan.layout.run + x]);
            }
            *column = transform::inputs(simd, values);
        }
    }

    /// Multiplies the transformed planes with a group's weights, one product of all squares after the other.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        group: &Group,
        (planes, starts): (&[Lanes], &[usize]),
        sums: &mut [Lanes],
    ) {
        let conv = self.layer.conv;
        let width = self.lines * self.plan.across;
        for product in 0..PRODUCTS {
            let row = tile::Row {
                input: planes[product * self.pitch..].as_ptr().cast(),
                channels: &conv.channels_in,
                block_pitch: PRODUCTS * self.pitch * LANES,
                planes: starts,
                rows: [1, 0],
                columns: &[0],
                weights: conv.transformed(group, product).as_ptr(),
                weights_pitch: conv.transformed_pitch(),
                bias: Some(&[Lanes::ZERO; MAX_BLOCKS]),
                output: sums[product * group.count * self.pitch..].as_mut_ptr(),
                output_pitch: [self.pitch, 1],
                blocks: group.count,
                width,
            };
            // SAFETY: `gather` filled `width` squares of every product in each plane of scratch, and `sums` has room for
            // as many of each product and block.
            unsafe { tile::row::<S, LANES>(simd, &row) };
        }
    }

    /// Brings the sums of products back to voxels, and takes the statistics of the rows.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, group: &Group, z: usize, sums: &[Lanes]) {
        let Target::Blocked(lanes, _) = self.layer.target else {
            unreachable!("a plain output is direct");
        };
        let pitch = group.count * self.pitch;
        for (block, bias) in self.layer.conv.bias(group).iter().enumerate() {
            for line in 0..self.lines {
                let from = &sums[block * self.pitch + line * self.plan.across..];
                let first = self.first_row + line * SQUARE;
                let at = |y: usize| [group.block + block, z, first + y];
                let mut rows: [&mut [Lanes]; SQUARE] = Default::default();
                for (y, row) in rows.iter_mut().enumerate() {
                    // SAFETY: these rows are this task's own.
                    *row = unsafe { &mut *self.layer.row_out(lanes, at(y)) };
                }
                self.restore(simd, (from, pitch), bias, &mut rows);
                for y in 0..SQUARE {
                    // SAFETY: this task has just written the row.
                    unsafe { self.layer.measure(simd, at(y)) };
                }
            }
        }
    }

    /// Writes one row of squares, as far as it lies in the output.
    #[inline(always)]
    fn restore<S: Simd>(
        &self,
        simd: S,
        (sums, pitch): (&[Lanes], usize),
        bias: &Lanes,
        to: &mut [&mut [Lanes]; SQUARE],
    ) {
        let bias = simd.load(bias);
        for square in 0..self.plan.across {
            let mut rows = [[bias; SQUARE]; SPAN];
            for (y, row) in rows.iter_mut().enumerate() {
                let mut values = [bias; SPAN];
                for (x, value) in values.iter_mut().enumerate() {
                    *value = simd.load(&sums[(y * SPAN + x) * pitch + square]);
                }
                *row = transform::outputs(simd, values);
            }
            for x in 0..SQUARE {
                let mut column = [bias; SPAN];
                for (value, row) in column.iter_mut().zip(&rows) {
                    *value = row[x];
                }
                let column = transform::outputs(simd, column);
                for (row, value) in to.iter_mut().zip(column) {
                    if let Some(voxel) = row.get_mut(square * SQUARE + x) {
                        simd.store(voxel, simd.add(value, bias));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ConvParams;
    use crate::engine::cases::{Numbers, difference};
    use crate::engine::cpu::InstructionSet;
    use crate::engine::cpu::gather::{Block, Values};
    use crate::engine::cpu::lanes::{block_channels, blocks, voxels};
    use crate::engine::cpu::task::{self, Output};
    use crate::engine::reference::{self, Volume};
    use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

    /// Between sums of at most 1080 products of 32 bits, relative to the largest.
    const TOLERANCE: f64 = 1e-5;

    /// From channel by channel to blocks.
    fn blocked(values: &[f32], channels: usize) -> Vec<Lanes> {
        let voxels = values.len() / channels;
        let mut lanes = vec![Lanes::ZERO; blocks(channels) * voxels];
        for (at, value) in values.iter().enumerate() {
            let (channel, voxel) = (at / voxels, at % voxels);
            lanes[channel / LANES * voxels + voxel].0[channel % LANES] = *value;
        }
        lanes
    }

    fn computed(set: InstructionSet, conv: &Conv, input: &[Lanes], size: [usize; 3]) -> Vec<f32> {
        let mut lanes = vec![Lanes([f32::NAN; LANES]); conv.blocks_out() * voxels(size)];
        let input: Vec<Block<'_>> = input
            .chunks_exact(voxels(size))
            .map(|lanes| Block {
                values: Values::Blocked(lanes),
                norm: None,
            })
            .collect();
        let output = Output::Blocked {
            lanes: &mut lanes,
            stats: None,
        };
        task::run(set, conv, (&input, size), 0.01, output);
        let channel = |channel: usize| {
            let own = &lanes[channel / LANES * voxels(size)..][..voxels(size)];
            own.iter().map(move |lanes| lanes.0[channel % LANES])
        };
        (0..conv.channels_out).flat_map(channel).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn both_methods_compute_what_the_reference_defines(
            size in (1usize..6, 5usize..30, 5usize..30),
            channels in (8usize..=40, 1usize..=70),
            depth in prop::sample::select(vec![1usize, 3]),
            seed in proptest::num::u64::ANY,
        ) {
            let (size, (c_in, c_out)) = ([size.0, size.1, size.2], channels);
            let mut numbers = Numbers(seed);
            let [input, weights, bias] = [c_in * voxels(size), c_out * c_in * depth * 9, c_out]
                .map(|count| numbers.take(count));
            let params = ConvParams {
                weights: &weights,
                bias: &bias,
                kernel: [depth, 3, 3],
                stride: [1; 3],
            };
            let volume = Volume { size, values: input.iter().map(|v| f64::from(*v)).collect() };
            let expected = reference::conv(&volume, &params).values;
            let conv = || Conv::new(&params, block_channels(c_in).collect());
            let (transformed, direct) = (conv(), conv().without_transform());
            prop_assert!(Plan::new(&transformed, size).is_some());
            prop_assert!(Plan::new(&direct, size).is_none());
            let input = blocked(&input, c_in);
            for set in InstructionSet::available() {
                for conv in [&transformed, &direct] {
                    let found = computed(set, conv, &input, size);
                    let difference = difference(&found, &expected);
                    prop_assert!(difference < TOLERANCE, "{}: {difference}", set.name());
                }
            }
        }
    }
}
