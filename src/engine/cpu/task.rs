//! Runs a layer: cut into tasks of a block of rows, a run of planes and some output channels, over all cores.
//!
//! The cut follows from the shapes alone, so the bits do not depend on the number of threads.

#![expect(unsafe_code, reason = "tasks write interleaved parts of one output")]

use super::conv::{Conv, Group};
use super::gather::{self, Block, RowLayout, Values};
use super::isa::InstructionSet;
use super::lanes::{LANES, Lanes, voxels};
use super::norm::RowStats;
use super::simd::{Job, Simd};
use super::tile;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use std::cell::RefCell;

/// Scratch of a task should leave room for the weights in a second-level cache of 1 MiB.
const SCRATCH_FLOATS: usize = 448 * 1024 / 4;
/// Weights that a pass over a task's rows uses, in lanes of 64 bytes.
const WEIGHTS_LANES: usize = 256 * 1024 / 64;
/// Tasks that a layer is cut into where it is large enough.
const TASKS: usize = 48;
/// Planes below which a run would gather more padding than input.
const LEAST_PLANES: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Vec<Lanes>> = const { RefCell::new(Vec::new()) };
}

/// Where a layer's output goes.
pub(super) enum Output<'a> {
    /// Blocked, with statistics of each row where a norm follows.
    Blocked {
        lanes: &'a mut [Lanes],
        stats: Option<&'a mut [RowStats]>,
    },
    /// `[channels, z, y, x]`.
    Plain(&'a mut [f32]),
}

/// A pointer that tasks share; each writes its own part.
struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}

// SAFETY: every task writes rows that no other task touches, and the borrow behind it outlives them all.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

#[derive(Clone, Copy)]
enum Target {
    Blocked(Shared<Lanes>, Option<Shared<RowStats>>),
    Plain(Shared<f32>),
}

/// A layer at one size.
struct Layer<'a> {
    conv: &'a Conv,
    input: &'a [Block<'a>],
    slope: f32,
    size_in: [usize; 3],
    /// Positions of the kernel along z, y, x: the output, but for a transposed convolution.
    positions: [usize; 3],
    target: Target,
    layout: RowLayout,
    /// Float at which each tap along x lies.
    columns: Vec<usize>,
    groups: Vec<Group>,
    /// Positions along z and y, and groups, of one task.
    cut: [usize; 3],
}

/// Computes `conv` of `input`, whose volumes have `size_in` voxels.
pub(super) fn run(
    set: InstructionSet,
    conv: &Conv,
    (input, size_in): (&[Block<'_>], [usize; 3]),
    slope: f32,
    output: Output<'_>,
) {
    let layer = Layer::new(set, conv, (input, size_in), slope, output);
    let [planes, rows, groups] = layer.tasks();
    let task = |number: usize| {
        let (group, place) = (number % groups, number / groups);
        SCRATCH.with_borrow_mut(|scratch| {
            let (planes, row) = layer.scratch(scratch);
            // No closure lies between here and the kernel: it would not be translated for the instruction set.
            set.run(Task {
                layer: &layer,
                number: [place / rows, place % rows, group],
                planes,
                row,
            });
        });
    };
    (0..planes * rows * groups)
        .into_par_iter()
        .with_max_len(1)
        .for_each(task);
}

impl<'a> Layer<'a> {
    fn new(
        set: InstructionSet,
        conv: &'a Conv,
        (input, size_in): (&'a [Block<'a>], [usize; 3]),
        slope: f32,
        output: Output<'_>,
    ) -> Self {
        let positions = [0, 1, 2].map(|axis| (size_in[axis] - 1) / conv.stride[axis] + 1);
        let plain = matches!(input[0].values, Values::Plain(_));
        let pitch = if plain { 1 } else { LANES };
        check(conv, input, size_in, pitch);
        let x = [conv.kernel[2], conv.stride[2]];
        let layout = RowLayout::new(size_in[2], x, positions[2], pitch);
        let most = match (set.accumulators() / 2, positions[2]) {
            // Few registers, or so few voxels that the sums would wait for each other.
            (..8, _) => 1,
            (_, ..=5) => 4,
            _ => 2,
        };
        let mut layer = Self {
            conv,
            input,
            slope,
            size_in,
            positions,
            target: Target::new(conv, size_in, output),
            columns: (0..conv.kernel[2]).map(|tap| layout.tap(tap)).collect(),
            layout,
            groups: conv.groups(most),
            cut: [0; 3],
        };
        layer.cut = layer.cut();
        layer
    }

    /// Sizes of a task along z, y and the groups.
    fn cut(&self) -> [usize; 3] {
        let [kernel, stride] = [self.conv.kernel, self.conv.stride];
        let row = kernel[0] * self.input.len() * self.layout.floats();
        let rows = (SCRATCH_FLOATS / row).saturating_sub(kernel[1]) / stride[1] + 1;
        let runs_y = self.positions[1].div_ceil(rows);
        let runs_z = TASKS
            .div_ceil(runs_y)
            .min(self.positions[0].div_ceil(LEAST_PLANES));
        let places = runs_y * runs_z;
        let parts = match self.target {
            // Sums of a plain output lie in scratch: one pass.
            Target::Plain(_) => 1,
            Target::Blocked(..) => TASKS.div_ceil(places).min(self.groups.len()),
        };
        let groups = self.groups.len().div_ceil(parts);
        [
            self.positions[0].div_ceil(runs_z),
            self.positions[1].div_ceil(runs_y),
            groups,
        ]
    }

    /// Tasks along z, y and the groups.
    fn tasks(&self) -> [usize; 3] {
        let whole = [self.positions[0], self.positions[1], self.groups.len()];
        [0, 1, 2].map(|axis| whole[axis].div_ceil(self.cut[axis]))
    }

    /// A task's share of a thread's scratch: planes of gathered input, and a row of output.
    fn scratch<'s>(&self, scratch: &'s mut Vec<Lanes>) -> (&'s mut [Lanes], &'s mut [Lanes]) {
        let planes = self.conv.kernel[0] * self.plane_pitch() / LANES;
        let own = planes + tile::MAX_BLOCKS * self.positions[2];
        if scratch.len() < own {
            scratch.resize(own, Lanes::ZERO);
        }
        #[cfg(test)]
        scratch.fill(Lanes([f32::NAN; LANES]));
        scratch[..own].split_at_mut(planes)
    }

    /// Size of the output.
    fn size_out(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.positions[axis] * self.conv.up[axis])
    }

    /// Input rows that a task's rows need.
    fn rows_in(&self) -> usize {
        (self.cut[1] - 1) * self.conv.stride[1] + self.conv.kernel[1]
    }

    /// Floats of one input block's part of a plane in scratch.
    fn block_pitch(&self) -> usize {
        self.rows_in() * self.layout.floats()
    }

    /// Floats of a plane of all input blocks in scratch.
    fn plane_pitch(&self) -> usize {
        self.input.len() * self.block_pitch()
    }
}

/// The slices are as long as the sizes say: what the kernels rely on.
fn check(conv: &Conv, input: &[Block<'_>], size_in: [usize; 3], pitch: usize) {
    assert_eq!(input.len(), conv.channels_in.len());
    for (block, channels) in input.iter().zip(&conv.channels_in) {
        let found = match block.values {
            Values::Blocked(lanes) => (lanes.len(), LANES),
            Values::Plain(values) => (values.len(), 1),
        };
        assert_eq!(found, (voxels(size_in), pitch));
        assert!(*channels <= pitch);
    }
}

impl Target {
    fn new(conv: &Conv, size_in: [usize; 3], output: Output<'_>) -> Self {
        let [z, y, x] = conv.size_out(size_in);
        match output {
            Output::Blocked { lanes, stats } => {
                assert_eq!(lanes.len(), conv.blocks_out() * z * y * x);
                let stats = stats.map(|stats| {
                    assert_eq!(stats.len(), conv.blocks_out() * z * y);
                    assert_eq!(
                        conv.up, [1; 3],
                        "rows of a transposed convolution are written in parts"
                    );
                    Shared(stats.as_mut_ptr())
                });
                Self::Blocked(Shared(lanes.as_mut_ptr()), stats)
            }
            Output::Plain(values) => {
                assert_eq!(values.len(), conv.channels_out * z * y * x);
                assert_eq!(conv.up, [1; 3], "a plain output is not enlarged");
                Self::Plain(Shared(values.as_mut_ptr()))
            }
        }
    }
}

/// A part of a layer: its number along z, y and the groups.
struct Task<'a> {
    layer: &'a Layer<'a>,
    number: [usize; 3],
    /// Gathered input: as many planes as the kernel has taps along z.
    planes: &'a mut [Lanes],
    /// One row of a plain output, before it leaves the blocked layout.
    row: &'a mut [Lanes],
}

impl Job for Task<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        match self.layer.layout.pitch {
            1 => self.planes::<S, 1>(simd),
            _ => self.planes::<S, LANES>(simd),
        }
    }
}

impl Task<'_> {
    /// The range of this task along an axis of its cut.
    fn range(&self, axis: usize, whole: usize) -> std::ops::Range<usize> {
        let size = self.layer.cut[axis];
        self.number[axis] * size..((self.number[axis] + 1) * size).min(whole)
    }

    /// Plane by plane: gathers the input planes that are new, then computes.
    #[inline(always)]
    fn planes<S: Simd, const PITCH: usize>(mut self, simd: S) {
        let layer = self.layer;
        let (kernel, stride) = (layer.conv.kernel[0], layer.conv.stride[0]);
        let plane_lanes = layer.plane_pitch() / LANES;
        let mut slots = vec![0; kernel];
        let mut next = 0;
        for z in self.range(0, layer.positions[0]) {
            // Counted from the first plane of padding.
            for plane in (z * stride).max(next)..z * stride + kernel {
                let slot = plane % kernel * plane_lanes;
                let plane_in = plane
                    .checked_sub(kernel / 2)
                    .filter(|z| *z < layer.size_in[0]);
                self.gather(simd, plane_in, slot..slot + plane_lanes);
            }
            next = z * stride + kernel;
            for (tap, slot) in slots.iter_mut().enumerate() {
                *slot = (z * stride + tap) % kernel * layer.plane_pitch();
            }
            self.plane::<S, PITCH>(simd, z, &slots);
        }
    }

    /// Brings the rows that this task needs of a plane; `None`: padding.
    #[inline(always)]
    fn gather<S: Simd>(&mut self, simd: S, plane: Option<usize>, slot: std::ops::Range<usize>) {
        let layer = self.layer;
        let first = self.range(1, layer.positions[1]).start * layer.conv.stride[1];
        let [_, height, width] = layer.size_in;
        let mut rows = self.planes[slot].chunks_exact_mut(layer.layout.floats() / LANES);
        for block in layer.input {
            for row in first..first + layer.rows_in() {
                let row = row
                    .checked_sub(layer.conv.kernel[1] / 2)
                    .filter(|y| *y < height);
                let start = plane.zip(row).map(|(z, y)| (z * height + y) * width);
                if let Some(to) = rows.next() {
                    gather::row(simd, &layer.layout, layer.slope, (block, start), to);
                }
            }
        }
    }

    /// Computes the task's rows of one plane from the scratch planes that `slots` tells.
    #[inline(always)]
    fn plane<S: Simd, const PITCH: usize>(&mut self, simd: S, z: usize, slots: &[usize]) {
        let layer = self.layer;
        for group in &layer.groups[self.range(2, layer.groups.len())] {
            let mut blocks = layer.input.len();
            if let Target::Blocked(..) = layer.target {
                blocks = WEIGHTS_LANES / (group.count * layer.conv.weights_of_block());
            }
            for first in (0..layer.input.len()).step_by(blocks.max(1)) {
                let last = (first + blocks.max(1)).min(layer.input.len());
                for y in self.range(1, layer.positions[1]) {
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
        let (layer, group) = (self.layer, part.group);
        let conv = layer.conv;
        let line = (part.y - self.range(1, layer.positions[1]).start) * conv.stride[1];
        let input = part.blocks.start * layer.block_pitch() + line * layer.layout.floats();
        let (output, output_pitch) = layer.place(part, self.row);
        let job = tile::Row {
            // SAFETY: within the scratch planes, which `call` made as large as the layer says.
            input: unsafe { self.planes.as_ptr().cast::<f32>().add(input) },
            channels: &conv.channels_in[part.blocks.clone()],
            block_pitch: layer.block_pitch(),
            planes: slots,
            rows: [conv.kernel[1], layer.layout.floats()],
            columns: &layer.columns,
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
        let layer = self.layer;
        let [depth, height, width] = layer.positions;
        let line = part.z * height + part.y;
        for block in 0..part.group.count {
            let number = part.group.block + block;
            match layer.target {
                Target::Blocked(_, None) => {}
                Target::Blocked(lanes, Some(stats)) => {
                    let rows = number * depth * height + line;
                    // SAFETY: the row that this task has just written; `Target::new` checked both lengths.
                    unsafe {
                        let row = std::slice::from_raw_parts(lanes.0.add(rows * width), width);
                        *stats.0.add(rows) = RowStats::of(simd, row);
                    }
                }
                Target::Plain(values) => {
                    let row = &self.row[block * width..(block + 1) * width];
                    let channels =
                        number * LANES..((number + 1) * LANES).min(layer.conv.channels_out);
                    for (lane, channel) in channels.enumerate() {
                        let start = (channel * depth * height + line) * width;
                        for (x, lanes) in row.iter().enumerate() {
                            // SAFETY: this task alone writes the row; `Target::new` checked the length.
                            unsafe { *values.0.add(start + x) = lanes.0[lane] };
                        }
                    }
                }
            }
        }
    }
}

/// Some input blocks' share of one output row.
struct Part<'a> {
    group: &'a Group,
    blocks: std::ops::Range<usize>,
    z: usize,
    y: usize,
}

impl Layer<'_> {
    /// Where a row's first voxel goes, and the lanes from block to block and from voxel to voxel.
    fn place(&self, part: &Part<'_>, row: &mut [Lanes]) -> (*mut Lanes, [usize; 2]) {
        let Target::Blocked(lanes, _) = self.target else {
            return (row.as_mut_ptr(), [self.positions[2], 1]);
        };
        let [depth, height, width] = self.size_out();
        let [up_z, up_y, up_x] = self.conv.up;
        let [tap_z, tap_y, tap_x] = part.group.tap;
        let (z, y) = (part.z * up_z + tap_z, part.y * up_y + tap_y);
        let start = ((part.group.block * depth + z) * height + y) * width + tap_x;
        // A transposed convolution's blocks of a group are taps along x.
        let transposed = self.conv.up != [1; 3];
        let block_pitch = if transposed {
            1
        } else {
            depth * height * width
        };
        // SAFETY: `start` lies within the output, whose length `Target::new` checked.
        (unsafe { lanes.0.add(start) }, [block_pitch, up_x])
    }
}
