//! Resampling on the CPU between grids whose axes are parallel: each source slice is read on the target's rows and columns once.

use super::Interpolation;
use super::mapping::Mapping;
use super::taps::Taps;
use crate::volume::{Rescale, StoredVolume};
use rayon::prelude::*;
use std::ops::Range;

/// Source position of each target slice, row and column; none in the background.
pub(super) type Axes = [Vec<Option<f32>>; 3];

/// Equal to [`super::resample::reference`] to the bit: it weights each voxel along y, then x, then z as well.
pub(super) fn resample(mapping: &Mapping, axes: &Axes, stored: &StoredVolume) -> Vec<f32> {
    match mapping.interpolation {
        Interpolation::Trilinear => resample_with::<2>(mapping, axes, stored),
        Interpolation::Cubic => resample_with::<4>(mapping, axes, stored),
    }
}

fn resample_with<const TAPS: usize>(
    mapping: &Mapping,
    [zs, ys, xs]: &Axes,
    stored: &StoredVolume,
) -> Vec<f32> {
    let slice_taps = |slice: &Option<f32>| slice.map(|s| mapping.slice_taps::<TAPS>(s));
    let zs: Vec<Option<Taps<TAPS>>> = zs.iter().map(slice_taps).collect();
    let [_, rows, columns] = stored.geometry.size;
    let reader = Reader {
        stored,
        ys: Inside::new(ys, rows),
        xs: Inside::new(xs, columns),
    };
    let slice_voxels = (ys.len() * xs.len()).max(1);
    // Zeros of the system: each page is first touched where it is filled.
    let mut output = vec![0.0; zs.len() * ys.len() * xs.len()];
    let runs = output.par_chunks_mut(SLICES_OF_A_TASK * slice_voxels);
    runs.zip(zs.par_chunks(SLICES_OF_A_TASK))
        .for_each(|(output, zs)| {
            let mut planes = Vec::new();
            for (output, z) in output.chunks_mut(slice_voxels).zip(zs) {
                output.fill(mapping.outside);
                if let Some(z) = z {
                    reader.read_between(z, &mut planes);
                    reader.blend(z, &planes, output);
                }
            }
        });
    output
}

/// So many target slices in a row share what was read of the source slices between them.
const SLICES_OF_A_TASK: usize = 16;

/// The target's rows or columns that lie in the source. Source positions go one way, so that is one range.
struct Inside<const TAPS: usize> {
    range: Range<usize>,
    taps: Vec<Taps<TAPS>>,
    /// Of the target, with what lies in the background.
    count: usize,
}

impl<const TAPS: usize> Inside<TAPS> {
    fn new(positions: &[Option<f32>], n: usize) -> Self {
        let first = positions.iter().position(Option::is_some).unwrap_or(0);
        let taps: Vec<_> = positions
            .iter()
            .flatten()
            .map(|p| Taps::at(*p, n))
            .collect();
        Self {
            range: first..first + taps.len(),
            taps,
            count: positions.len(),
        }
    }
}

/// A source slice on the rows and columns of the target that lie in it, `[y, x]`.
struct Plane {
    slice: usize,
    values: Vec<f32>,
}

/// Reads source slices on the rows and columns of the target.
struct Reader<'a, const TAPS: usize> {
    stored: &'a StoredVolume,
    ys: Inside<TAPS>,
    xs: Inside<TAPS>,
}

impl<const TAPS: usize> Reader<'_, TAPS> {
    /// Sees to it that `planes` hold the source slices around one target slice; those of the last that are not needed go.
    fn read_between(&self, z: &Taps<TAPS>, planes: &mut Vec<Plane>) {
        let is_needed = |slice: usize| weighted(z).any(|(needed, _)| needed == slice);
        let (mut kept, mut spare): (Vec<Plane>, Vec<Plane>) =
            planes.drain(..).partition(|plane| is_needed(plane.slice));
        for (slice, _) in weighted(z) {
            if kept.iter().all(|plane| plane.slice != slice) {
                let mut values = spare.pop().map(|plane| plane.values).unwrap_or_default();
                self.read(slice, &mut values);
                kept.push(Plane { slice, values });
            }
        }
        *planes = kept;
    }

    fn read(&self, slice: usize, values: &mut Vec<f32>) {
        let width = self.xs.taps.len();
        values.resize(self.ys.taps.len() * width, 0.0);
        let mut line = vec![0.0; self.stored.geometry.size[2]];
        for (values, y) in values.chunks_mut(width.max(1)).zip(&self.ys.taps) {
            self.weigh_rows(slice, y, &mut line);
            for (value, x) in values.iter_mut().zip(&self.xs.taps) {
                *value = x.sum(|x| line[x]);
            }
        }
    }

    fn weigh_rows(&self, slice: usize, y: &Taps<TAPS>, line: &mut [f32]) {
        let [_, rows, columns] = self.stored.geometry.size;
        let rescale = self.stored.rescale[slice];
        // First after last marks the absence of padding.
        let padding = self.stored.padding.unwrap_or((1, 0));
        let padding = (padding, self.stored.padding_value);
        for (i, (row, weight)) in weighted(y).enumerate() {
            let samples = &self.stored.samples[(slice * rows + row) * columns..][..columns];
            // One loop for each kind of sample, so that none of it branches.
            match self.stored.signed {
                true => add(line, samples, i == 0, weight, |raw| {
                    to_hu(i32::from(raw.cast_signed()), rescale, padding)
                }),
                false => add(line, samples, i == 0, weight, |raw| {
                    to_hu(i32::from(raw), rescale, padding)
                }),
            }
        }
    }

    /// Weighs the planes of one target slice.
    fn blend(&self, z: &Taps<TAPS>, planes: &[Plane], output: &mut [f32]) {
        let width = self.xs.taps.len();
        let rows = output.chunks_mut(self.xs.count.max(1));
        let rows = rows.skip(self.ys.range.start).take(self.ys.taps.len());
        for (y, row) in rows.enumerate() {
            let row = &mut row[self.xs.range.clone()];
            for (i, (slice, weight)) in weighted(z).enumerate() {
                let plane = planes.iter().find(|plane| plane.slice == slice);
                let values = plane.map_or(&[][..], |plane| &plane.values[y * width..][..width]);
                add(row, values, i == 0, weight, |value| value);
            }
        }
    }
}

/// What taps read, and how much of it. But for the first one, a tap that adds nothing is spared: where a target slice lies on
/// a source slice, that is half the work.
fn weighted<const TAPS: usize>(taps: &Taps<TAPS>) -> impl Iterator<Item = (usize, f32)> {
    let all = taps.index.into_iter().zip(taps.weight).enumerate();
    all.filter(|(i, (_, weight))| *i == 0 || weight.abs() >= f32::MIN_POSITIVE)
        .map(|(_, tap)| tap)
}

/// Adds weighted values to the sums, or starts them.
fn add<T: Copy>(sums: &mut [f32], values: &[T], first: bool, weight: f32, hu: impl Fn(T) -> f32) {
    let pairs = sums.iter_mut().zip(values);
    if first {
        pairs.for_each(|(sum, &value)| *sum = weight * hu(value));
    } else {
        pairs.for_each(|(sum, &value)| *sum += weight * hu(value));
    }
}

fn to_hu(stored: i32, rescale: Rescale, ((first, last), value): ((i32, i32), f32)) -> f32 {
    let hu = stored as f32 * rescale.slope + rescale.intercept;
    if (first <= stored) & (stored <= last) {
        value
    } else {
        hu
    }
}
