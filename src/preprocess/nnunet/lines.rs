//! Resamples a volume along one of its axes: many lines at a time, in `f64`.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lines are filtered in f64 and stored in f32"
)]

use super::taps::{POLE, Taps};
use rayon::prelude::*;

/// Lines that are filtered side by side.
const LANES: usize = 16;

/// Columns of a task: neighbours in memory, so that what is fetched with one is used by the next.
const COLUMNS_OF_A_TASK: usize = 512;

/// One value of each line.
type Lanes = [f64; LANES];

/// How lines of `from` values are resampled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) from: usize,
    /// Whether `taps` are of spline coefficients, not of values.
    pub(super) prefilter: bool,
    pub(super) taps: Vec<Taps>,
}

/// Resamples every line of a volume `[z, y, x]` of `size` along `axis`.
pub(super) fn resample(values: &[f32], size: [usize; 3], axis: usize, line: &Line) -> Vec<f32> {
    let inner: usize = size[axis + 1..].iter().product();
    let mut output = vec![0.0; values.len() / line.from * line.taps.len()];
    match inner {
        1 => along_rows(values, line, &mut output),
        _ => across_rows(values, inner, line, &mut output),
    }
    output
}

/// Lines whose values are neighbours in memory.
fn along_rows(values: &[f32], line: &Line, output: &mut [f32]) {
    let to = line.taps.len();
    let blocks = output.par_chunks_mut(to * LANES);
    let blocks = blocks.zip(values.par_chunks(line.from * LANES));
    blocks.for_each_init(
        || line.buffer(),
        |buffer, (output, values)| {
            let lanes = values.len() / line.from;
            for (i, at) in buffer[..line.from].iter_mut().enumerate() {
                for (lane, value) in at[..lanes].iter_mut().enumerate() {
                    *value = f64::from(values[lane * line.from + i]);
                }
            }
            line.filter(buffer);
            for (i, taps) in line.taps.iter().enumerate() {
                let sums = taps.sum(buffer);
                for (lane, sum) in sums[..lanes].iter().enumerate() {
                    output[lane * to + i] = *sum as f32;
                }
            }
        },
    );
}

/// Lines whose neighbours in memory belong to other lines.
fn across_rows(values: &[f32], inner: usize, line: &Line, output: &mut [f32]) {
    let tasks = tasks(output, inner, line);
    tasks.into_par_iter().for_each_init(
        || line.buffer(),
        |buffer, task| task.run(values, inner, line, buffer),
    );
}

/// Some columns of the output: a piece of each row.
struct Task<'a> {
    /// Index of the source's first value.
    first: usize,
    rows: Vec<&'a mut [f32]>,
}

fn tasks<'a>(output: &'a mut [f32], inner: usize, line: &Line) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    for (i, block) in output.chunks_mut(line.taps.len() * inner).enumerate() {
        let start = tasks.len();
        let firsts = (0..inner).step_by(COLUMNS_OF_A_TASK);
        tasks.extend(firsts.map(|column| Task {
            first: i * line.from * inner + column,
            rows: Vec::with_capacity(line.taps.len()),
        }));
        for row in block.chunks_mut(inner) {
            let pieces = row.chunks_mut(COLUMNS_OF_A_TASK);
            let tasks = tasks[start..].iter_mut();
            tasks
                .zip(pieces)
                .for_each(|(task, piece)| task.rows.push(piece));
        }
    }
    tasks
}

impl Task<'_> {
    fn run(mut self, values: &[f32], inner: usize, line: &Line, buffer: &mut [Lanes]) {
        let columns = self.rows.first().map_or(0, |row| row.len());
        for start in (0..columns).step_by(LANES) {
            let lanes = LANES.min(columns - start);
            for (i, at) in buffer[..line.from].iter_mut().enumerate() {
                let values = &values[self.first + start + i * inner..][..lanes];
                for (at, value) in at.iter_mut().zip(values) {
                    *at = f64::from(*value);
                }
            }
            line.filter(buffer);
            for (row, taps) in self.rows.iter_mut().zip(&line.taps) {
                let sums = taps.sum(buffer);
                for (value, sum) in row[start..][..lanes].iter_mut().zip(sums) {
                    *value = sum as f32;
                }
            }
        }
    }
}

impl Line {
    /// For [`LANES`] lines; long enough for the taps of the shortest.
    fn buffer(&self) -> Vec<Lanes> {
        vec![[0.0; LANES]; self.from.max(4)]
    }

    /// From values to a sixth of their spline coefficients, where the taps are of those.
    ///
    /// Both recursions start as if the outer values went on for ever.
    fn filter(&self, buffer: &mut [Lanes]) {
        if !self.prefilter {
            return;
        }
        let lines = &mut buffer[..self.from];
        let last = self.from - 1;
        let after = lines[last].map(|value| value / (1.0 - POLE));
        lines[0] = lines[0].map(|value| value / (1.0 - POLE));
        for i in 1..=last {
            let before = lines[i - 1];
            for (value, before) in lines[i].iter_mut().zip(before) {
                *value += POLE * before;
            }
        }
        for (value, after) in lines[last].iter_mut().zip(after) {
            let decaying = *value - after;
            *value = -POLE * (after / (1.0 - POLE) + decaying / (1.0 - POLE * POLE));
        }
        for i in (0..last).rev() {
            let above = lines[i + 1];
            for (value, above) in lines[i].iter_mut().zip(above) {
                *value = POLE * (above - *value);
            }
        }
    }
}

impl Taps {
    fn sum(&self, buffer: &[Lanes]) -> Lanes {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| &buffer[self.first + k]);
        let w = self.weights;
        std::array::from_fn(|i| w[0] * a[i] + w[1] * b[i] + w[2] * c[i] + w[3] * d[i])
    }
}
