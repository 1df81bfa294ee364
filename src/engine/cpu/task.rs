//! Runs a layer: cut into tasks of a block of rows, a run of planes and some output channels, over all cores.
//!
//! Method and cut follow from the shapes alone, so the bits do not depend on the number of threads.

#![expect(unsafe_code, reason = "tasks write interleaved parts of one output")]

use super::conv::{Conv, Group};
use super::direct;
use super::gather::{Block, Values};
use super::isa::InstructionSet;
use super::lanes::{LANES, Lanes, voxels};
use super::norm::RowStats;
use super::simd::Simd;
use super::transform::SQUARE;
use super::winograd;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use std::cell::RefCell;
use std::ops::Range;

/// Scratch of a task should leave room for the weights in a second-level cache of 1 MiB.
pub(super) const SCRATCH_FLOATS: usize = 448 * 1024 / 4;
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
pub(super) struct Shared<T>(pub(super) *mut T);

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
pub(super) enum Target {
    Blocked(Shared<Lanes>, Option<Shared<RowStats>>),
    Plain(Shared<f32>),
}

/// A layer at one size.
pub(super) struct Layer<'a> {
    pub(super) conv: &'a Conv,
    pub(super) input: &'a [Block<'a>],
    pub(super) slope: f32,
    size_in: [usize; 3],
    /// Positions of the kernel along z, y, x: the output, but for a transposed convolution.
    pub(super) positions: [usize; 3],
    pub(super) target: Target,
    pub(super) groups: Vec<Group>,
    /// Positions along z and y, and groups, of one task: what `cut` finds.
    pub(super) cut: [usize; 3],
}

/// How a layer is computed: what its shape alone decides.
enum Plan {
    Direct(direct::Plan),
    Winograd(winograd::Plan),
}

/// What one task computes.
pub(super) struct Share {
    pub(super) planes: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) groups: Range<usize>,
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
    let plan = layer.plan();
    let layer = layer.cut(&plan);
    (0..layer.tasks().iter().product())
        .into_par_iter()
        .with_max_len(1)
        .for_each(|number| task(set, &layer, &plan, number));
}

/// Computes one task. No closure lies between the set's `run` and the kernel: it would not be translated for the set.
fn task(set: InstructionSet, layer: &Layer<'_>, plan: &Plan, number: usize) {
    let share = layer.share(number);
    SCRATCH.with_borrow_mut(|scratch| match plan {
        Plan::Direct(plan) => set.run(direct::Task {
            layer,
            plan,
            share,
            scratch: sized(scratch, plan.scratch(layer)),
        }),
        Plan::Winograd(plan) => set.run(winograd::Task {
            layer,
            plan,
            share,
            scratch: sized(scratch, plan.scratch(layer)),
        }),
    });
}

/// The first `length` lanes of a thread's scratch.
fn sized(scratch: &mut Vec<Lanes>, length: usize) -> &mut [Lanes] {
    if scratch.len() < length {
        scratch.resize(length, Lanes::ZERO);
    }
    #[cfg(test)]
    scratch.fill(Lanes([f32::NAN; LANES]));
    &mut scratch[..length]
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
        check(conv, input, size_in);
        let most = match (set.accumulators() / 2, positions[2]) {
            // Few registers, or so few voxels that the sums would wait for each other.
            (..8, _) => 1,
            (_, ..=5) => 4,
            _ => 2,
        };
        Self {
            conv,
            input,
            slope,
            size_in,
            positions,
            target: Target::new(conv, size_in, output),
            groups: conv.groups(most),
            cut: positions,
        }
    }

    /// Winograd where it pays and both input and output are blocked, else direct.
    fn plan(&self) -> Plan {
        let blocked = pitch(self.input) == LANES && matches!(self.target, Target::Blocked(..));
        let winograd = blocked.then(|| winograd::Plan::new(self.conv, self.size_in));
        match winograd.flatten() {
            Some(plan) => Plan::Winograd(plan),
            None => Plan::Direct(direct::Plan::new(
                self.conv,
                self.size_in[2],
                self.positions[2],
                pitch(self.input),
            )),
        }
    }

    /// Cuts it into tasks along z, y and the groups.
    fn cut(mut self, plan: &Plan) -> Self {
        let (rows, step) = match plan {
            Plan::Direct(plan) => (plan.rows(self.conv), 1),
            Plan::Winograd(plan) => (plan.rows(), SQUARE),
        };
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
        self.cut = [
            self.positions[0].div_ceil(runs_z),
            self.positions[1].div_ceil(runs_y).next_multiple_of(step),
            self.groups.len().div_ceil(parts),
        ];
        self
    }

    /// Tasks along z, y and the groups.
    fn tasks(&self) -> [usize; 3] {
        let whole = [self.positions[0], self.positions[1], self.groups.len()];
        [0, 1, 2].map(|axis| whole[axis].div_ceil(self.cut[axis]))
    }

    fn share(&self, task: usize) -> Share {
        let [_, rows, groups] = self.tasks();
        let range = |axis: usize, number: usize, whole: usize| {
            number * self.cut[axis]..((number + 1) * self.cut[axis]).min(whole)
        };
        Share {
            planes: range(0, task / groups / rows, self.positions[0]),
            rows: range(1, task / groups % rows, self.positions[1]),
            groups: range(2, task % groups, self.groups.len()),
        }
    }

    /// The input plane that is number `plane` counted from the first plane of padding; `None`: padding.
    pub(super) fn plane_in(&self, plane: usize) -> Option<usize> {
        let plane = plane.checked_sub(self.conv.kernel[0] / 2);
        plane.filter(|z| *z < self.size_in[0])
    }

    /// First voxel of the row of a plane that is number `row` counted from the first row of padding; `None`: padding.
    pub(super) fn row_in(&self, plane: Option<usize>, row: usize) -> Option<usize> {
        let [_, height, width] = self.size_in;
        let row = row.checked_sub(self.conv.kernel[1] / 2);
        let row = row.filter(|y| *y < height);
        plane.zip(row).map(|(z, y)| (z * height + y) * width)
    }
}

impl Layer<'_> {
    /// A row of a block of the output, which is not enlarged; empty beyond the last row.
    pub(super) fn row_out(&self, lanes: Shared<Lanes>, [block, z, y]: [usize; 3]) -> *mut [Lanes] {
        let [depth, height, width] = self.positions;
        let start = ((block * depth + z) * height + y) * width;
        let length = if y < height { width } else { 0 };
        std::ptr::slice_from_raw_parts_mut(lanes.0.wrapping_add(start), length)
    }

    /// Takes the statistics of a row of a block of the output, where a norm follows.
    ///
    /// # Safety
    /// The calling task, and it alone, has written the row.
    #[inline(always)]
    pub(super) unsafe fn measure<S: Simd>(&self, simd: S, [block, z, y]: [usize; 3]) {
        let [depth, height, _] = self.positions;
        if let Target::Blocked(lanes, Some(stats)) = self.target
            && y < height
        {
            // SAFETY: the caller's promise; `Target::new` checked both lengths.
            unsafe {
                let row = &*self.row_out(lanes, [block, z, y]);
                *stats.0.add((block * depth + z) * height + y) = RowStats::of(simd, row);
            }
        }
    }
}

/// The planes of a task's scratch, each of which holds an input plane until no output plane needs it any more. Input
/// planes are counted from the first plane of padding.
pub(super) struct Ring {
    kernel: usize,
    stride: usize,
    /// Floats of a plane.
    pub(super) pitch: usize,
    next: usize,
}

impl Ring {
    pub(super) fn new(conv: &Conv, pitch: usize) -> Self {
        Self {
            kernel: conv.kernel[0],
            stride: conv.stride[0],
            pitch,
            next: 0,
        }
    }

    /// The input planes to be gathered before output plane `z` is computed.
    pub(super) fn missing(&mut self, z: usize) -> Range<usize> {
        let end = z * self.stride + self.kernel;
        let first = (z * self.stride).max(self.next);
        self.next = end;
        first..end
    }

    /// Float at which an input plane lies.
    pub(super) fn start(&self, plane: usize) -> usize {
        plane % self.kernel * self.pitch
    }

    /// Float at which each tap along z of output plane `z` lies.
    pub(super) fn starts(&self, z: usize) -> Vec<usize> {
        (0..self.kernel)
            .map(|tap| self.start(z * self.stride + tap))
            .collect()
    }
}

/// Floats of a voxel of the input.
fn pitch(input: &[Block<'_>]) -> usize {
    match input[0].values {
        Values::Plain(_) => 1,
        Values::Blocked(_) => LANES,
    }
}

/// The slices are as long as the sizes say: what the kernels rely on.
fn check(conv: &Conv, input: &[Block<'_>], size_in: [usize; 3]) {
    assert_eq!(input.len(), conv.channels_in.len());
    for (block, channels) in input.iter().zip(&conv.channels_in) {
        let found = match block.values {
            Values::Blocked(lanes) => (lanes.len(), LANES),
            Values::Plain(values) => (values.len(), 1),
        };
        assert_eq!(found, (voxels(size_in), pitch(input)));
        assert!(*channels <= pitch(input));
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
