//! Resamples on the GPU: weighted sums of neighbours along one axis after another, in slabs of slices.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are made in f64 and used in f32; indices lie on a grid whose voxels fit 32 bits"
)]

use super::resize::{Order, Resize};
use super::taps::Row;
use crate::gpu::{Access, Buffer, Extent, Gpu, Grid, Kernel, Pass, params};
use crate::preprocess::Error;
use crate::preprocess::slab::{self, Slab};
use std::ops::Range;

params! {
    /// Mirrors `Params` in `shaders/gather.wgsl`.
    struct Params {
        output_grid: Grid,
        input_grid: Grid,
        step: [u32; 3],
        taps: u32,
        clip_step: [u32; 3],
        clip_first: u32,
        output_first: u32,
        input_first: u32,
        output_offset: u32,
        clips: u32,
    }
}

/// `shaders/gather.wgsl`; [`Resize::cubic`] is its reference.
pub static KERNEL: Kernel = Kernel {
    label: "gather",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/gather.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::ReadWrite,
    ],
};

/// One voxel along each array axis z, y, x, as x, y, z.
const STEPS: [[u32; 3]; 3] = [[0, 0, 1], [0, 1, 0], [1, 0, 0]];

/// As [`Resize::cubic`], in slabs that each fit one binding.
///
/// # Errors
/// [`Error::Gpu`]: a slice exceeds the device's limits, or the device failed.
///
/// # Panics
/// As [`Resize::cubic`].
pub fn cubic(gpu: &Gpu, resize: &Resize, values: &[f32]) -> Result<Vec<Slab>, Error> {
    assert_eq!(values.len(), resize.from.iter().product::<usize>());
    let slabs = slab::allocate(gpu, resize.to)?;
    let plan = Plan::new(gpu, resize, values)?;
    for slab in &slabs {
        let mut first = slab.slices.start;
        while first < slab.slices.end {
            let part = plan.part(gpu, first..slab.slices.end);
            first = part.end;
            plan.run(gpu, values, part, slab)?;
        }
    }
    Ok(slabs)
}

/// Which values along an axis each target voxel reads: the same number for all.
struct Axis {
    firsts: Vec<u32>,
    taps: usize,
    /// `firsts` and weights on the GPU.
    tables: (Buffer<u32>, Buffer<f32>),
}

impl Axis {
    fn new(gpu: &Gpu, rows: &[Row]) -> Result<Self, Error> {
        let firsts: Vec<u32> = rows.iter().map(|row| row.first as u32).collect();
        let weights = rows.iter().flat_map(|row| &row.weights);
        let weights: Vec<f32> = weights.map(|&weight| weight as f32).collect();
        let tables = (
            gpu.upload("first voxels", &firsts)?,
            gpu.upload("weights", &weights)?,
        );
        Ok(Self {
            taps: weights.len() / rows.len(),
            firsts,
            tables,
        })
    }

    /// What the target voxels `along` read.
    fn source(&self, along: &Range<usize>) -> Range<usize> {
        let first = self.firsts[along.start] as usize;
        first..self.firsts[along.end - 1] as usize + self.taps
    }
}

struct Plan<'a> {
    resize: &'a Resize,
    axes: [Axis; 3],
    ranges: Buffer<[f32; 2]>,
}

/// Slices on the GPU, `[z, y, x]`.
struct Slices<'a> {
    size: [usize; 3],
    /// Number of the first.
    first: usize,
    values: &'a Buffer<f32>,
}

impl<'a> Plan<'a> {
    fn new(gpu: &Gpu, resize: &'a Resize, values: &[f32]) -> Result<Self, Error> {
        let axis = |axis| Axis::new(gpu, &resize.rows(axis, Order::Cubic));
        Ok(Self {
            resize,
            axes: [axis(0)?, axis(1)?, axis(2)?],
            ranges: gpu.upload("ranges", &resize.ranges(values))?,
        })
    }

    /// The longest beginning of `slices` whose source slices, as wide as the target, fit one binding; or one slice.
    fn part(&self, gpu: &Gpu, slices: Range<usize>) -> Range<usize> {
        let [_, rows, columns] = self.resize.to;
        let fits = |end: &usize| {
            let loaded = self.axes[0].source(&(slices.start..*end)).len();
            voxel_bytes(&[loaded, rows, columns]) <= gpu.binding_limit_bytes()
        };
        let end = (slices.start + 1..=slices.end).rev().find(fits);
        slices.start..end.unwrap_or(slices.start + 1)
    }

    /// Fills the slices `part` of a slab.
    fn run(&self, gpu: &Gpu, values: &[f32], part: Range<usize>, slab: &Slab) -> Result<(), Error> {
        let [_, rows, columns] = self.resize.to;
        let loaded = self.axes[0].source(&part);
        let size = [loaded.len(), rows, columns];
        let wide = gpu.output("source slices", size.iter().product())?;
        for chunk in self.chunks(gpu, loaded.clone()) {
            let offset = (chunk.start - loaded.start) * rows * columns;
            self.within_slices(gpu, values, chunk, (&wide, offset))?;
        }
        let source = Slices {
            size,
            first: loaded.start,
            values: &wide,
        };
        let offset = (part.start - slab.slices.start) * rows * columns;
        let mut pass = Pass::new(gpu)?;
        self.record(&mut pass, 0, &source, &part, (&slab.hu, offset))?;
        pass.submit()?;
        // Frees this part's memory before the next is allocated.
        Ok(gpu.wait()?)
    }

    /// Runs of source slices that fit one binding as they are and with the target's columns.
    fn chunks(&self, gpu: &Gpu, loaded: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let [_, rows, columns] = self.resize.from;
        let slice_bytes = voxel_bytes(&[rows, columns.max(self.resize.to[2])]);
        let slices = (gpu.binding_limit_bytes() / slice_bytes).max(1) as usize;
        let starts = loaded.clone().step_by(slices);
        starts.map(move |start| start..(start + slices).min(loaded.end))
    }

    /// Resamples source slices along x and y, into `output` from an offset on.
    fn within_slices(
        &self,
        gpu: &Gpu,
        values: &[f32],
        chunk: Range<usize>,
        output: (&Buffer<f32>, usize),
    ) -> Result<(), Error> {
        let [_, rows, columns] = self.resize.from;
        let slice = rows * columns;
        let values = &values[chunk.start * slice..chunk.end * slice];
        let values = gpu.upload("slices", values)?;
        let size = [chunk.len(), rows, columns];
        let source = Slices {
            size,
            first: 0,
            values: &values,
        };
        let wide = gpu.output("wide slices", chunk.len() * rows * self.resize.to[2])?;
        let mut pass = Pass::new(gpu)?;
        let columns = 0..self.resize.to[2];
        self.record(&mut pass, 2, &source, &columns, (&wide, 0))?;
        let source = Slices {
            size: [chunk.len(), rows, columns.len()],
            first: 0,
            values: &wide,
        };
        self.record(&mut pass, 1, &source, &(0..self.resize.to[1]), output)?;
        pass.submit()?;
        Ok(gpu.wait()?)
    }

    /// Resamples along one axis to the target voxels `along`; clips after the last, which is z.
    fn record(
        &self,
        pass: &mut Pass<'_>,
        axis: usize,
        source: &Slices<'_>,
        along: &Range<usize>,
        (output, offset): (&Buffer<f32>, usize),
    ) -> Result<(), Error> {
        let mut size = source.size;
        size[axis] = along.len();
        let separate = self.resize.separate;
        let table = &self.axes[axis];
        let params = Params {
            output_grid: Grid::new(size)?,
            input_grid: Grid::new(source.size)?,
            step: STEPS[axis],
            taps: table.taps as u32,
            clip_step: separate.map_or([0; 3], |axis| STEPS[axis]),
            clip_first: if separate == Some(0) {
                along.start as u32
            } else {
                0
            },
            output_first: along.start as u32,
            input_first: source.first as u32,
            output_offset: offset as u32,
            clips: u32::from(axis == 0),
        };
        let buffers = [
            source.values.binding(),
            table.tables.0.binding(),
            table.tables.1.binding(),
            self.ranges.binding(),
            output.binding(),
        ];
        pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(size))?;
        Ok(())
    }
}

fn voxel_bytes(size: &[usize]) -> u64 {
    let voxels: usize = size.iter().product();
    (voxels * size_of::<f32>()) as u64
}
