//! Samples of any type to 16 bits.

#![expect(
    clippy::cast_possible_truncation,
    reason = "values are checked against the range of 16 bits before"
)]

use super::Error;
use super::layout::{Layout, Sample};
use crate::volume::{PADDING_HU, Rescale, SlicePositions, StoredVolume};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

/// Samples that are read at once.
const CHUNK: usize = 1 << 16;

/// Lung and air lie below, HU; tissue, bone, label maps and other modalities do not.
const AIR_HU: f32 = -500.0;

/// Of all voxels of a chest CT, far more than 1 in so many are lung or air.
const AIR_SHARE: usize = 200;

/// Reads all samples; memory grows with what is read, never with what a header declares.
pub(super) fn read(layout: &Layout, cancel: Option<&AtomicBool>) -> Result<StoredVolume, Error> {
    let voxels = layout.voxels();
    let out_of_memory = |_| Error::OutOfMemory { voxels };
    let mut samples: Vec<u16> = Vec::new();
    read_chunks(layout, cancel, |chunk| {
        let count = chunk.len() / layout.sample.bytes();
        samples.try_reserve(count).map_err(out_of_memory)?;
        append(&mut samples, chunk, layout)
    })?;
    let stored = stored_volume(layout, samples);
    expect_hounsfield(&stored)?;
    Ok(stored)
}

/// Hands the bytes of all samples to `take`, some at a time.
pub(super) fn read_chunks(
    layout: &Layout,
    cancel: Option<&AtomicBool>,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = layout.reader()?;
    let mut bytes = vec![0; CHUNK * layout.sample.bytes()];
    let mut left = layout.voxels();
    while left > 0 {
        if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        let count = left.min(CHUNK as u64) as usize;
        let chunk = &mut bytes[..count * layout.sample.bytes()];
        read_exact(&mut reader, chunk, layout)?;
        take(chunk)?;
        left -= count as u64;
    }
    Ok(())
}

fn read_exact(reader: &mut dyn Read, bytes: &mut [u8], layout: &Layout) -> Result<(), Error> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Truncated {
            needed_bytes: layout.data_bytes(),
        },
        _ => Error::io(e),
    })
}

fn stored_volume(layout: &Layout, samples: Vec<u16>) -> StoredVolume {
    let rescale = if is_kept(layout.sample) {
        Rescale {
            slope: layout.slope as f32,
            intercept: layout.intercept as f32,
        }
    } else {
        Rescale {
            slope: 1.0,
            intercept: 0.0,
        }
    };
    StoredVolume {
        geometry: layout.geometry,
        slices: SlicePositions::even(),
        samples: samples.into(),
        signed: !matches!(layout.sample, Sample::U8 | Sample::U16),
        rescale: vec![rescale; layout.geometry.size[0]],
        padding: None,
        padding_value: PADDING_HU,
    }
}

/// Whether samples of this type are stored as they are; others become HU here.
fn is_kept(sample: Sample) -> bool {
    sample.bytes() <= 2
}

fn append(samples: &mut Vec<u16>, bytes: &[u8], layout: &Layout) -> Result<(), Error> {
    match layout.sample {
        Sample::U8 => samples.extend(bytes.iter().map(|b| u16::from(*b))),
        Sample::I8 => samples.extend(
            bytes
                .iter()
                .map(|b| i16::from(b.cast_signed()).cast_unsigned()),
        ),
        Sample::U16 | Sample::I16 => {
            samples.extend(words(bytes, layout).map(u16::from_le_bytes));
        }
        Sample::U32 => hu(
            samples,
            words(bytes, layout).map(|w| f64::from(u32::from_le_bytes(w))),
            layout,
        )?,
        Sample::I32 => hu(
            samples,
            words(bytes, layout).map(|w| f64::from(i32::from_le_bytes(w))),
            layout,
        )?,
        Sample::F32 => hu(
            samples,
            words(bytes, layout).map(|w| f64::from(f32::from_le_bytes(w))),
            layout,
        )?,
        Sample::F64 => hu(
            samples,
            words(bytes, layout).map(f64::from_le_bytes),
            layout,
        )?,
    }
    Ok(())
}

/// Groups of `N` bytes, least significant first.
pub(super) fn words<'a, const N: usize>(
    bytes: &'a [u8],
    layout: &Layout,
) -> impl Iterator<Item = [u8; N]> + use<'a, N> {
    let big_endian = layout.big_endian;
    bytes.as_chunks().0.iter().map(move |word| {
        let mut word = *word;
        if big_endian {
            word.reverse();
        }
        word
    })
}

/// Appends whole HU.
fn hu(
    samples: &mut Vec<u16>,
    values: impl Iterator<Item = f64>,
    layout: &Layout,
) -> Result<(), Error> {
    for value in values {
        let hu = (value * layout.slope + layout.intercept).round();
        if !(f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&hu) {
            let found = value.to_string();
            return Err(Error::Voxel { found });
        }
        samples.push((hu as i16).cast_unsigned());
    }
    Ok(())
}

/// No header says that the values are HU, so the values must look like it.
fn expect_hounsfield(stored: &StoredVolume) -> Result<(), Error> {
    let Some(Rescale { slope, intercept }) = stored.rescale.first() else {
        return Err(Error::NotHounsfield);
    };
    let is_air = |i: &usize| stored.stored(*i) as f32 * slope + intercept <= AIR_HU;
    let air = (0..stored.samples.len()).filter(is_air).count();
    if air >= stored.samples.len().div_ceil(AIR_SHARE) {
        return Ok(());
    }
    Err(Error::NotHounsfield)
}
