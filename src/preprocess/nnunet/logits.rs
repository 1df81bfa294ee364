//! From logits to labels on the source's grid, on the GPU; [`Export::run`] is the definition.

#![expect(
    clippy::cast_possible_truncation,
    reason = "indices lie on grids whose voxels fit 32 bits, which Grid::new proves"
)]

use super::export::{Decision, Export, Exported};
use super::interpolate::SourceRows;
use super::taps::Pair;
use crate::gpu::{Access, Binding, Buffer, Extent, Gpu, Grid, Kernel, Pass, params};
use crate::preprocess::Error;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

params! {
    /// Mirrors `Params` in `shaders/logits.wgsl`.
    struct Params {
        target_grid: Grid,
        source_grid: Grid,
        source_first: [u32; 3],
        classes: u32,
        along_first: [u32; 3],
        regions: u32,
        class_wanted: u32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

const fn kernel(label: &'static str, entry_point: &'static str) -> Kernel {
    Kernel {
        label,
        source: concat!(
            include_str!("../../../shaders/shared/grid.wgsl"),
            include_str!("../../../shaders/logits.wgsl"),
        ),
        constants: &[],
        unchecked: false,
        entry_point,
        workgroup_size: [8, 8, 4],
        params: Params::LAYOUT,
        buffers: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    }
}

/// `decide` of `shaders/logits.wgsl`
pub static DECIDE: Kernel = kernel("logits: decide", "decide");
/// `probability` of `shaders/logits.wgsl`
pub static PROBABILITY: Kernel = kernel("logits: probability", "probability");

/// Mirrors `Along` in `shaders/logits.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Along {
    lower: u32,
    upper: u32,
    t: f32,
}

/// Logits that are on the GPU.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// `[class, z, y, x]`, whole rows.
    pub logits: Binding<'a>,
    /// Their slices on the network's grid.
    pub slices: Range<usize>,
    /// Their rows.
    pub rows: Range<usize>,
}

/// Slices of the target's grid, or rows of one slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Slices.
    pub slices: Range<usize>,
    /// Rows of each.
    pub rows: Range<usize>,
}

/// An [`Export`] with its tables on the GPU.
#[derive(Debug)]
pub struct GpuExport<'a> {
    export: &'a Export,
    /// Of the target's slices, rows and columns.
    pairs: [Vec<Pair>; 3],
    along: Buffer<Along>,
    labels: Buffer<u32>,
}

impl<'a> GpuExport<'a> {
    /// # Errors
    /// [`Error::Gpu`].
    pub fn new(gpu: &Gpu, export: &'a Export) -> Result<Self, Error> {
        let pairs = [0, 1, 2].map(|axis| export.resize.pairs(axis).collect::<Vec<_>>());
        let along = pairs.iter().flatten().map(|pair| Along {
            lower: pair.lower as u32,
            upper: pair.upper as u32,
            t: pair.t as f32,
        });
        let along: Vec<_> = along.collect();
        let labels = match &export.decision {
            Decision::Regions(labels) => labels.iter().map(|&label| label.into()).collect(),
            Decision::Largest(_) => Vec::new(),
        };
        Ok(Self {
            export,
            pairs,
            along: gpu.upload("source voxels", &along)?,
            labels: gpu.upload::<u32>("labels of regions", &labels)?,
        })
    }

    /// The slices and rows of the network's grid that a part reads.
    pub fn source(&self, part: &Part) -> [Range<usize>; 2] {
        [(0, &part.slices), (1, &part.rows)].map(|(axis, along)| {
            let pairs = &self.pairs[axis][along.clone()];
            pairs[0].lower..pairs[pairs.len() - 1].upper + 1
        })
    }

    /// Records the labels of a part's voxels, one word each.
    ///
    /// # Errors
    /// [`Error::Gpu`] when a buffer exceeds the device's limits.
    pub fn record_labels(
        &self,
        pass: &mut Pass<'_>,
        source: &Source<'_>,
        part: &Part,
    ) -> Result<Buffer<u32>, Error> {
        self.record(pass, &DECIDE, source, part, 0)
    }

    /// Records the probabilities of a class at a part's voxels: the bits of each.
    ///
    /// # Errors
    /// As [`GpuExport::record_labels`].
    pub fn record_probabilities(
        &self,
        pass: &mut Pass<'_>,
        source: &Source<'_>,
        part: &Part,
        class: usize,
    ) -> Result<Buffer<u32>, Error> {
        self.record(pass, &PROBABILITY, source, part, class)
    }

    fn record(
        &self,
        pass: &mut Pass<'_>,
        kernel: &'static Kernel,
        source: &Source<'_>,
        part: &Part,
        class_wanted: usize,
    ) -> Result<Buffer<u32>, Error> {
        let [slices, rows, columns] = self.export.resize.to();
        let size = [part.slices.len(), part.rows.len(), columns];
        let source_columns = self.export.resize.from()[2];
        let params = Params {
            target_grid: Grid::new(size)?,
            source_grid: Grid::new([source.slices.len(), source.rows.len(), source_columns])?,
            source_first: [0, source.rows.start as u32, source.slices.start as u32],
            classes: self.export.decision.classes() as u32,
            along_first: [slices + rows, slices + part.rows.start, part.slices.start]
                .map(|first| first as u32),
            regions: u32::from(matches!(self.export.decision, Decision::Regions(_))),
            class_wanted: class_wanted as u32,
            _pad0: 0,
            _pad1: 0,
            _pad2: 0,
        };
        let output = pass.gpu().output("labels", size.iter().product())?;
        let buffers = [
            source.logits,
            self.along.binding(),
            self.labels.binding(),
            output.binding(),
        ];
        pass.dispatch(kernel, &params, &buffers, Extent::Voxels(size))?;
        Ok(output)
    }

    /// As [`Export::run`], part by part: each with its logits within one binding.
    ///
    /// # Errors
    /// [`Error::Gpu`]: the logits of two rows exceed the device's limits, or the device failed.
    ///
    /// # Panics
    /// As [`Export::run`].
    pub fn run(
        &self,
        gpu: &Gpu,
        read: impl Fn(&SourceRows, &mut [f32]),
    ) -> Result<Exported, Error> {
        let voxels = self.export.resize.to().iter().product();
        let mut exported = Exported {
            labels: Vec::with_capacity(voxels),
            probabilities: vec![Vec::with_capacity(voxels); self.export.probabilities.len()],
        };
        let [slices, rows, _] = self.export.resize.to();
        let mut slice = 0;
        while slice < slices {
            let mut row = 0;
            let mut part = self.part(gpu, slice..slices, 0..rows);
            slice = part.slices.end;
            while row < rows {
                part = self.part(gpu, part.slices, row..rows);
                row = part.rows.end;
                self.append(gpu, &part, &read, &mut exported)?;
            }
        }
        Ok(exported)
    }

    /// The longest beginning of `slices` that fits with all of `rows`; or of one slice, the longest beginning of `rows`.
    fn part(&self, gpu: &Gpu, slices: Range<usize>, rows: Range<usize>) -> Part {
        let whole = |end| Part {
            slices: slices.start..end,
            rows: rows.clone(),
        };
        let one_slice = |end| Part {
            slices: slices.start..slices.start + 1,
            rows: rows.start..end,
        };
        let slices = (slices.start + 1..=slices.end).rev().map(whole);
        let rows_of_one = (rows.start + 1..=rows.end).rev().map(one_slice);
        let mut parts = slices.chain(rows_of_one);
        let fitting = parts.find(|part| self.fits(gpu, part));
        fitting.unwrap_or_else(|| one_slice(rows.start + 1))
    }

    /// Whether a part's logits and labels fit a binding each.
    fn fits(&self, gpu: &Gpu, part: &Part) -> bool {
        let [slices, rows] = self.source(part).map(|range| range.len());
        let classes = self.export.decision.classes();
        let logits = classes * slices * rows * self.export.resize.from()[2];
        let labels = part.slices.len() * part.rows.len() * self.export.resize.to()[2];
        let bytes = logits.max(labels) * size_of::<f32>();
        bytes as u64 <= gpu.binding_limit_bytes()
    }

    /// Uploads a part's logits, and reads its labels and probabilities back.
    fn append(
        &self,
        gpu: &Gpu,
        part: &Part,
        read: &impl Fn(&SourceRows, &mut [f32]),
        exported: &mut Exported,
    ) -> Result<(), Error> {
        let [slices, rows] = self.source(part);
        let logits = self.logits(&slices, &rows, read);
        let logits = gpu.upload("logits", &logits)?;
        let source = Source {
            logits: logits.binding(),
            slices,
            rows,
        };
        let mut pass = Pass::new(gpu)?;
        let labels = self.record_labels(&mut pass, &source, part)?;
        pass.submit()?;
        let labels = gpu.download(&labels)?.into_iter();
        exported.labels.extend(labels.map(|label| label as u16));
        let classes = self.export.probabilities.iter();
        for (&class, probabilities) in classes.zip(&mut exported.probabilities) {
            let mut pass = Pass::new(gpu)?;
            let output = self.record_probabilities(&mut pass, &source, part, class)?;
            pass.submit()?;
            let bits = gpu.download(&output)?.into_iter();
            probabilities.extend(bits.map(f32::from_bits));
        }
        Ok(())
    }

    /// The logits of some rows of some slices, `[class, z, y, x]`.
    fn logits(
        &self,
        slices: &Range<usize>,
        rows: &Range<usize>,
        read: &impl Fn(&SourceRows, &mut [f32]),
    ) -> Vec<f32> {
        let piece = rows.len() * self.export.resize.from()[2];
        let classes = self.export.decision.classes();
        let mut logits = vec![0.0; classes * slices.len() * piece];
        for (i, logits) in logits.chunks_mut(piece).enumerate() {
            let which = SourceRows {
                class: i / slices.len(),
                z: slices.start + i % slices.len(),
                rows: rows.clone(),
            };
            read(&which, logits);
        }
        logits
    }
}
