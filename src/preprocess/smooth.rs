//! Gaussian smoothing, one axis after another, edges clamped.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a radius is small and positive, and kernels compute in f32"
)]

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};
use rayon::prelude::*;

params! {
    /// Mirrors `Params` in `shaders/smooth.wgsl`.
    struct Params {
        grid: Grid,
        step: [i32; 3],
        radius: i32,
    }
}

/// `shaders/smooth.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "smooth",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/shared/sample.wgsl"),
        include_str!("../../shaders/smooth.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [8, 8, 4],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::ReadWrite],
};

/// Where the Gaussian is cut off, in standard deviations.
const TRUNCATE_SIGMAS: f64 = 4.0;

/// One voxel along each array axis z, y, x, as x, y, z.
const STEPS: [[i32; 3]; 3] = [[0, 0, 1], [0, 1, 0], [1, 0, 0]];

/// Records the smoothing of `hu`; returns the result and uses `hu` as scratch.
///
/// `size` and `sigma_voxels` are `[z, y, x]`.
///
/// # Errors
/// [`Error::Gpu`] when a buffer exceeds the device's limits.
pub fn record(
    pass: &mut Pass<'_>,
    size: [usize; 3],
    sigma_voxels: [f64; 3],
    hu: &Buffer<f32>,
) -> Result<Buffer<f32>, Error> {
    let grid = Grid::new(size)?;
    let gpu = pass.gpu();
    let smoothed = gpu.output("smoothed HU", hu.len())?;
    let mut ends = [hu, &smoothed];
    for (step, sigma) in STEPS.into_iter().zip(sigma_voxels) {
        let weights = weights(sigma);
        let radius = i32::try_from(weights.len() - 1).unwrap_or(i32::MAX);
        let weights = gpu.upload("Gaussian weights", &weights)?;
        let [from, to] = ends;
        let buffers = [from.binding(), weights.binding(), to.binding()];
        let params = Params { grid, step, radius };
        pass.dispatch(&KERNEL, &params, &buffers, Extent::Voxels(size))?;
        ends.reverse();
    }
    Ok(smoothed)
}

/// The definition. The shader may fuse multiplications with additions.
pub fn reference(size: [usize; 3], sigma_voxels: [f64; 3], hu: &[f32]) -> Vec<f32> {
    let [_, rows, columns] = size;
    let [wz, wy, wx] = sigma_voxels.map(weights);
    let across_slices = smooth_blocks(hu, rows * columns, &wz);
    let mut across_rows = vec![0.0; hu.len()];
    let slices = across_rows.par_chunks_mut(rows * columns);
    slices
        .zip(across_slices.par_chunks(rows * columns))
        .for_each(|(output, slice)| {
            for (row, output) in output.chunks_mut(columns).enumerate() {
                smooth_block(slice, columns, row, &wy, output);
            }
        });
    let mut output = across_slices;
    let lines = output.par_chunks_mut(columns);
    lines
        .zip(across_rows.par_chunks(columns))
        .for_each(|(output, line)| smooth_line(line, &wx, output));
    output
}

/// Each block of `length` values as the weighted sum of its neighbour blocks.
fn smooth_blocks(hu: &[f32], length: usize, weights: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; hu.len()];
    let blocks = output.par_chunks_mut(length).enumerate();
    blocks.for_each(|(block, output)| smooth_block(hu, length, block, weights, output));
    output
}

fn smooth_block(hu: &[f32], length: usize, block: usize, weights: &[f32], output: &mut [f32]) {
    let blocks = hu.len() / length;
    output.fill(0.0);
    for (tap, weight) in taps(block, blocks, weights) {
        let values = &hu[tap * length..][..length];
        for (sum, value) in output.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
}

fn smooth_line(line: &[f32], weights: &[f32], output: &mut [f32]) {
    for (x, sum) in output.iter_mut().enumerate() {
        *sum = 0.0;
        for (tap, weight) in taps(x, line.len(), weights) {
            *sum += weight * line[tap];
        }
    }
}

/// Index and weight of every tap around `centre`, from the lowest on, edges repeated.
fn taps(centre: usize, n: usize, weights: &[f32]) -> impl Iterator<Item = (usize, f32)> {
    let below = (1..weights.len()).rev();
    let below = below.map(move |k| (centre.saturating_sub(k), weights[k]));
    let above = (0..weights.len()).map(move |k| ((centre + k).min(n - 1), weights[k]));
    below.chain(above)
}

/// Weights of distance 0, 1, …; both sides together sum to one.
fn weights(sigma_voxels: f64) -> Vec<f32> {
    let radius = (TRUNCATE_SIGMAS * sigma_voxels + 0.5) as usize;
    let gauss = |k: usize| match k {
        0 => 1.0,
        _ => (-0.5 * (k as f64 / sigma_voxels).powi(2)).exp(),
    };
    let sum: f64 = 1.0 + 2.0 * (1..=radius).map(gauss).sum::<f64>();
    (0..=radius).map(|k| (gauss(k) / sum) as f32).collect()
}
