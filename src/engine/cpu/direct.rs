//! A task of a layer by direct convolution: gathers each input plane once, then computes row by row.

#![expect(unsafe_code, reason = "tasks write interleaved parts of one output")]

use super::conv::{Conv, Group};
use super::gather::{self, RowLayout};
use super::lanes::{LANES, Lanes};
use super::simd::{Job, Simd};
use super::task::{Layer, Ring, SCRATCH_FLOATS, Share, Shared, Target};
use super::tile;

/// Weights that a pass over a task's rows uses, in lanes of 64 bytes.
const WEIGHTS_LANES: usize = 256 * 1024 / 64;

/// How a layer's input lies in scratch.
pub(super) struct Plan {
    layout: RowLayout,
    /// Float at which each tap along x lies.
    columns: Vec<usize>,
    /// Input blocks.
    blocks: usize,
}

impl Plan {
    /// For `outputs` positions along x of rows of `width` voxels, `pitch` floats each.
    pub(super) fn new(conv: &Conv, width: usize, outputs: usize, pitch: usize) -> Self {
        let along_x = [conv.kernel[2], conv.stride[2]];
        let layout = RowLayout::new(width, along_x, outputs, pitch);
        Self {
            columns: (0..conv.kernel[2]).map(|tap| layout.tap(tap)).collect(),
            layout,
            blocks: conv.channels_in.len(),
        }
    }

    /// Rows of a task, so that its input planes fit scratch.
    pub(super) fn rows(&self, conv: &Conv) -> usize {
        let row = conv.kernel[0] * self.blocks * self.layout.floats();
        (SCRATCH_FLOATS / row).saturating_sub(conv.kernel[1]) / conv.stride[1] + 1
    }

    /// Floats of one input block's part of a plane in scratch, for tasks of `rows` rows.
    fn block_pitch(&self, conv: &Conv, rows: usize) -> usize {
        ((rows - 1) * conv.stride[1] + conv.kernel[1]) * self.layout.floats()
    }

    /// Floats of a plane of all input blocks in scratch.
    fn plane_pitch(&self, conv: &Conv, rows: usize) -> usize {
        self.blocks * self.block_pitch(conv, rows)
    }

    /// Lanes of a task's scratch: planes of gathered input, and a row of output.
    pub(super) fn scratch(&self, layer: &Layer<'_>) -> usize {
        let planes = layer.conv.kernel[0] * self.plane_pitch(layer.conv, layer.cut[1]) / LANES;
        planes + tile::MAX_BLOCKS * layer.positions[2]
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

/// Some input blocks' share of one output row.
struct Part<'a> {
    group: &'a Group,
    blocks: std::ops::Range<usize>,
    z: usize,
    y: usize,
}

impl Job for Task<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        match self.plan.layout.pitch {
            1 => self.planes::<S, 1>(simd),
            _ => self.planes::<S, LANES>(simd),
        }
    }
}

impl Task<'_> {
    /// Plane by plane: gathers the input planes that are new, then computes.
    #[inline(always)]
    fn planes<S: Simd, const PITCH: usize>(mut self, simd: S) {
        let (conv, rows) = (self.layer.conv, self.layer.cut[1]);
        let mut ring = Ring::new(conv, self.plan.plane_pitch(conv, rows));
        for z in self.share.planes.clone() {
            for plane in ring.missing(z) {
                let slot = ring.start(plane) / LANES..(ring.start(plane) + ring.pitch) / LANES;
                self.gather(simd, self.layer.plane_in(plane), slot);
            }
            self.plane::<S, PITCH>(simd, z, &ring.starts(z));
        }
    }

    /// Brings the rows that this task needs of a plane; `None`: padding.
    #[inline(always)]
    fn gather<S: Simd>(&mut self, simd: S, plane: Option<usize>, slot: std::ops::Range<usize>) {
        let (layer, layout) = (self.layer, &self.plan.layout);
        let first = self.share.rows.start * layer.conv.stride[1];
        let count = self.plan.block_pitch(layer.conv, layer.cut[1]) / layout.floats();
        let mut to = self.scratch[slot].chunks_exact_mut(layout.floats() / LANES);
        for block in layer.input {
            for row in first..first + count {
                let start = layer.row_in(plane, row);
                if let Some(to) = to.next() {
                    gather::row(simd, layout, layer.slope, (block, start), to);
                }
            }
        }
    }

    /// Computes the task's rows of one plane from the scratch planes that `slots` tells.
    #[inline(always)]
    fn plane<S: Simd, const PITCH: usize>(&mut self, simd: S, z: usize, slots: &[usize]) {
        let layer = self.layer;
        for group in &layer.groups[self.share.groups.clone()] {
            let mut blocks = layer.input.len();
            if let Target::Blocked(..) = layer.target {
                blocks = WEIGHTS_LANES / (group.count * layer.conv.weights_of_block());
            }
            for first in (0..layer.input.len()).step_by(blocks.max(1)) {
                let last = (first + blocks.max(1)).min(layer.input.len());
                for y in self.share.rows.clone() {
                    let part = Part {
                        group,
                        blocks: first..last,
                        z,
                        y,
                    };
                    self.row::<S, PITCH>(simd, &part, slots);
                }
            }
        }
    }

    /// Adds some input blocks to one row of a group's blocks.
    #[inline(always)]
    fn row<S: Simd, const PITCH: usize>(&mut self, simd: S, part: &Part<'_>, slots: &[usize]) {
        let (layer, plan, group) = (self.layer, self.plan, part.group);
        let conv = layer.conv;
        let block_pitch = plan.block_pitch(conv, layer.cut[1]);
        let line = (part.y - self.share.rows.start) * conv.stride[1];
        let input = part.blocks.start * block_pitch + line * plan.layout.floats();
        let planes = conv.kernel[0] * plan.plane_pitch(conv, layer.cut[1]) / LANES;
        let (planes, row) = self.scratch.split_at_mut(planes);
        let (output, output_pitch) = place(layer, part, row);
        let job = tile::Row {
            // SAFETY: within the scratch planes, which `run` made as large as the plan says.
            input: unsafe { planes.as_ptr().cast::<f32>().add(input) },
            channels: &conv.channels_in[part.blocks.clone()],
            block_pitch,
            planes: slots,
            rows: [conv.kernel[1], plan.layout.floats()],
            columns: &plan.columns,
            weights: conv.weights(group, part.blocks.start).as_ptr(),
            weights_pitch: conv.weights_pitch(),
            bias: (part.blocks.start == 0).then(|| conv.bias(group)),
            output,
            output_pitch,
            blocks: group.count,
            width: layer.positions[2],
        };
        // SAFETY: scratch holds every tap of these rows; the output row is this task's own (`place`).
        unsafe { tile::row::<S, PITCH>(simd, &job) };
        if part.blocks.end == layer.input.len() {
            self.finish(simd, part);
        }
    }

    /// After the last input block: the row's statistics, or its copy to a plain output.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, part: &Part<'_>) {
        for block in 0..part.group.count {
            let number = part.group.block + block;
            match self.layer.target {
                // SAFETY: this task has just written the row.
                Target::Blocked(..) => unsafe {
                    self.layer.measure(simd, [number, part.z, part.y]);
                },
                Target::Plain(values) => self.copy(values, part, block),
            }
        }
    }

    /// Copies a row of one of the group's blocks to a plain output.
    fn copy(&self, values: Shared<f32>, part: &Part<'_>, block: usize) {
        let [depth, height, width] = self.layer.positions;
        let row = &self.scratch[self.scratch.len() - tile::MAX_BLOCKS * width..];
        let row = &row[block * width..(block + 1) * width];
        let first = (part.group.block + block) * LANES;
        let channels = first..(first + LANES).min(self.layer.conv.channels_out);
        for (lane, channel) in channels.enumerate() {
            let start = ((channel * depth + part.z) * height + part.y) * width;
            for (x, lanes) in row.iter().enumerate() {
                // SAFETY: this task alone writes the row; `Target::new` checked the length.
                unsafe { *values.0.add(start + x) = lanes.0[lane] };
            }
        }
    }
}

/// Where a row's first voxel goes, and the lanes from block to block and from voxel to voxel.
fn place(layer: &Layer<'_>, part: &Part<'_>, row: &mut [Lanes]) -> (*mut Lanes, [usize; 2]) {
    let Target::Blocked(lanes, _) = layer.target else {
        return (row.as_mut_ptr(), [layer.positions[2], 1]);
    };
    let [up_z, up_y, up_x] = layer.conv.up;
    let [depth, height, width] = [0, 1, 2].map(|axis| layer.positions[axis] * layer.conv.up[axis]);
    let [tap_z, tap_y, tap_x] = part.group.tap;
    let (z, y) = (part.z * up_z + tap_z, part.y * up_y + tap_y);
    let start = ((part.group.block * depth + z) * height + y) * width + tap_x;
    // A transposed convolution's blocks of a group are taps along x.
    let transposed = layer.conv.up != [1; 3];
    let block_pitch = if transposed {
        1
    } else {
        depth * height * width
    };
    // SAFETY: `start` lies within the output, whose length `Target::new` checked.
    (unsafe { lanes.0.add(start) }, [block_pitch, up_x])
}
