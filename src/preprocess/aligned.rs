//! Resampling on the CPU between grids whose axes are parallel: whole slices are weighted first, then rows, then columns.

use super::Interpolation;
use super::mapping::Mapping;
use super::taps::Taps;
use crate::volume::{Rescale, StoredVolume};
use rayon::prelude::*;
use std::ops::Range;

/// Source position of each target slice, row and column; none in the background.
pub(super) type Axes = [Vec<Option<f32>>; 3];

/// Equal to [`super::resample::reference`] to the bit: it weights each voxel along z, then y, then x as well.
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
    let [_, rows, columns] = stored.geometry.size;
    let taps = |positions: &[Option<f32>], n: usize| -> Vec<Option<Taps<TAPS>>> {
        let tap = |p: &Option<f32>| p.map(|p| Taps::at(p, n));
        positions.iter().map(tap).collect()
    };
    let (ys, xs) = (taps(ys, rows), taps(xs, columns));
    let slice_taps = |slice: &Option<f32>| slice.map(|s| mapping.slice_taps::<TAPS>(s));
    let zs: Vec<Option<Taps<TAPS>>> = zs.iter().map(slice_taps).collect();
    let inside = inside(&xs);
    let xs: Vec<Taps<TAPS>> = xs.into_iter().flatten().collect();
    let width = mapping.target_size[2];
    // Zeros of the system: each page is first touched where it is filled.
    let mut output = vec![0.0; zs.len() * ys.len() * width];
    let target_slices = output.par_chunks_mut((ys.len() * width).max(1));
    target_slices.zip(&zs).for_each_init(
        || (vec![0.0; rows * columns], vec![0.0; columns]),
        |(plane, line), (output, z)| {
            let Some(z) = z else {
                return output.fill(mapping.outside);
            };
            weigh_slices(z, stored, plane);
            for (output, y) in output.chunks_mut(width).zip(&ys) {
                let Some(y) = y else {
                    output.fill(mapping.outside);
                    continue;
                };
                weigh_rows(y, plane, line);
                output[..inside.start].fill(mapping.outside);
                output[inside.end..].fill(mapping.outside);
                for (output, x) in output[inside.clone()].iter_mut().zip(&xs) {
                    *output = x.sum(|x| line[x]);
                }
            }
        },
    );
    output
}

/// Where the taps are not in the background: source positions go one way, so that is one range.
fn inside<T>(taps: &[Option<T>]) -> Range<usize> {
    let first = taps.iter().position(Option::is_some);
    let last = taps.iter().rposition(Option::is_some);
    first
        .zip(last)
        .map_or(0..0, |(first, last)| first..last + 1)
}

fn weigh_slices<const TAPS: usize>(taps: &Taps<TAPS>, stored: &StoredVolume, plane: &mut [f32]) {
    for (i, (&slice, &weight)) in taps.index.iter().zip(&taps.weight).enumerate() {
        if i > 0 && is_none(weight) {
            continue;
        }
        let samples = &stored.samples[slice * plane.len()..][..plane.len()];
        let rescale = stored.rescale[slice];
        // First after last marks the absence of padding.
        let padding = (stored.padding.unwrap_or((1, 0)), stored.padding_value);
        // One loop for each kind of sample, so that none of it branches.
        match stored.signed {
            true => add(plane, samples, i == 0, weight, |raw| {
                to_hu(i32::from(raw.cast_signed()), rescale, padding)
            }),
            false => add(plane, samples, i == 0, weight, |raw| {
                to_hu(i32::from(raw), rescale, padding)
            }),
        }
    }
}

fn weigh_rows<const TAPS: usize>(taps: &Taps<TAPS>, plane: &[f32], line: &mut [f32]) {
    for (i, (&row, &weight)) in taps.index.iter().zip(&taps.weight).enumerate() {
        if i > 0 && is_none(weight) {
            continue;
        }
        let values = &plane[row * line.len()..][..line.len()];
        add(line, values, i == 0, weight, |value| value);
    }
}

/// Whether a tap adds nothing: where a target slice lies on a source slice, half the work is spared.
fn is_none(weight: f32) -> bool {
    weight.abs() < f32::MIN_POSITIVE
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
