//! Turns stored pixel values into HU: slope and intercept of each slice, padding to its own value, air in a CT.
//!
//! Source: PS3.3 C.11.1.1.2 (rescale), C.7.5.1.1.2 (pixel padding).

use super::Error;
use crate::gpu::{Access, Buffer, Extent, Grid, Kernel, Pass, params};
use crate::volume::{Rescale, StoredVolume};
use rayon::prelude::*;
use std::ops::Range;

params! {
    /// Mirrors `Params` in `shaders/rescale.wgsl`.
    struct Params {
        grid: Grid,
        is_signed: u32,
        padding_first: i32,
        padding_last: i32,
        padding_value: f32,
    }
}

/// `shaders/rescale.wgsl`
pub static KERNEL: Kernel = Kernel {
    label: "rescale",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/rescale.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::ReadWrite],
};

/// Uploads the samples of some slices and records their rescaling; returns the HU.
///
/// # Errors
/// [`Error::Gpu`] when a buffer exceeds the device's limits.
pub fn record(
    pass: &mut Pass<'_>,
    stored: &StoredVolume,
    slices: Range<usize>,
) -> Result<Buffer<f32>, Error> {
    let [_, rows, columns] = stored.geometry.size;
    let range = slices.start * rows * columns..slices.end * rows * columns;
    let gpu = pass.gpu();
    let lines = stored.rescale[slices.clone()].iter();
    let lines: Vec<[f32; 2]> = lines.map(|r| [r.slope, r.intercept]).collect();
    let samples = gpu.upload("stored samples", &stored.samples[range])?;
    let lines = gpu.upload("rescale slopes", &lines)?;
    let hu = gpu.output("HU of source slices", samples.len())?;
    // First after last marks the absence of padding.
    let (padding_first, padding_last) = stored.padding.unwrap_or((1, 0));
    let params = Params {
        grid: Grid::new([slices.len(), rows, columns])?,
        is_signed: u32::from(stored.signed),
        padding_first,
        padding_last,
        padding_value: stored.padding_value,
    };
    let buffers = [samples.binding(), lines.binding(), hu.binding()];
    pass.dispatch(&KERNEL, &params, &buffers, Extent::Linear(hu.len()))?;
    Ok(hu)
}

/// The definition, for all slices. The shader may fuse the multiplication and the addition into one rounding.
pub fn reference(stored: &StoredVolume) -> Vec<f32> {
    let [_, rows, columns] = stored.geometry.size;
    let slices = stored.samples.par_chunks(rows * columns);
    slices
        .zip(&stored.rescale)
        .flat_map_iter(|(samples, &rescale)| {
            samples.iter().map(move |&raw| to_hu(raw, stored, rescale))
        })
        .collect()
}

fn to_hu(raw: u16, stored: &StoredVolume, Rescale { slope, intercept }: Rescale) -> f32 {
    let value = if stored.signed {
        i32::from(raw.cast_signed())
    } else {
        i32::from(raw)
    };
    match stored.padding {
        Some((first, last)) if (first..=last).contains(&value) => stored.padding_value,
        _ => value as f32 * slope + intercept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Geometry, PADDING_HU, SlicePositions};
    use glam::DVec3;

    #[test]
    fn signed_samples_take_their_slices_line_and_padding_becomes_air() {
        let line = |slope, intercept| Rescale { slope, intercept };
        let stored = StoredVolume {
            geometry: Geometry::axis_aligned([2, 1, 2], [1.0; 3], DVec3::ZERO),
            slices: SlicePositions::even(),
            samples: [-2000_i16, 10, -5, 7]
                .map(i16::cast_unsigned)
                .to_vec()
                .into(),
            signed: true,
            rescale: vec![line(1.0, -24.0), line(2.0, 1.0)],
            padding: Some((-2000, -1999)),
            padding_value: PADDING_HU,
        };
        assert_eq!(reference(&stored), [PADDING_HU, -14.0, -9.0, 15.0]);
        let pet = StoredVolume {
            padding_value: 0.0,
            ..stored.clone()
        };
        assert_eq!(reference(&pet), [0.0, -14.0, -9.0, 15.0]);
        let unsigned = StoredVolume {
            signed: false,
            padding: None,
            ..stored
        };
        assert_eq!(reference(&unsigned)[..1], [63536.0 - 24.0]);
    }
}
