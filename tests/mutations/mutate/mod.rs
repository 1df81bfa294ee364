//! Seeds damaged with knowledge of their structure: DICOM elements, lines and numbers of text, files packed together.

mod checkpoint;
mod dicom;
mod text;

use super::bodies::{join, split};
use checkpoint::checkpoint;
use dicom::dicom;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use text::text;

/// What a seed is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes without structure.
    Bytes,
    /// TOML or JSON.
    Text,
    /// A DICOM file.
    Dicom,
    /// Several DICOM files.
    DicomParts,
    /// `model.toml`, weights and golden patch.
    Model,
    /// Several texts.
    TextParts,
    /// What `torch.save` wrote.
    Checkpoint,
    /// A NIfTI or MetaImage file, and its data file.
    Volume,
}

/// Inputs do not grow beyond this, however often their parts are doubled.
const MAX_BYTES: usize = 1 << 20;

/// A damaged copy of `seed`; `donor` is another seed of the same target.
pub(crate) fn mutated(kind: Kind, seed: &[u8], donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        data = match kind {
            Kind::Bytes => bytes(data, donor, rng),
            Kind::Text => text(data, donor, rng),
            Kind::Dicom => dicom(data, donor, rng),
            Kind::DicomParts => one_part(&data, donor, rng, |_, part, donor, rng| {
                dicom(part, donor, rng)
            }),
            Kind::Model => one_part(&data, donor, rng, model_part),
            Kind::TextParts => one_part(&data, donor, rng, |_, part, donor, rng| {
                text(part, donor, rng)
            }),
            Kind::Checkpoint => checkpoint(data, donor, rng),
            Kind::Volume => one_part(&data, donor, rng, volume_part),
        };
        data.truncate(MAX_BYTES);
    }
    data
}

/// Changes one of the packed files; at times drops, doubles or borrows one.
fn one_part<R: Rng>(
    data: &[u8],
    donor: &[u8],
    rng: &mut R,
    change: impl Fn(usize, Vec<u8>, &[u8], &mut R) -> Vec<u8>,
) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = split(data).into_iter().map(<[u8]>::to_vec).collect();
    let donors = split(donor);
    if parts.is_empty() {
        return data.to_vec();
    }
    let at = rng.random_range(0..parts.len());
    let foreign = donors.choose(rng).copied().unwrap_or_default();
    match rng.random_range(0..24) {
        0 => drop(parts.remove(at)),
        1 => parts.push(parts[at].clone()),
        2 => parts[at] = foreign.to_vec(),
        _ => {
            let part = std::mem::take(&mut parts[at]);
            parts[at] = change(at, part, foreign, rng);
        }
    }
    join(&parts)
}

fn model_part<R: Rng>(at: usize, part: Vec<u8>, donor: &[u8], rng: &mut R) -> Vec<u8> {
    if at == 0 {
        return text(part, donor, rng);
    }
    let Some((length, rest)) = part.split_first_chunk::<8>() else {
        return bytes(part, donor, rng);
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if rng.random_ratio(1, 4) || length > rest.len() {
        return bytes(part, donor, rng);
    }
    // The header of a safetensors file is JSON; its length is kept right so that damage goes deeper.
    let header = text(rest[..length].to_vec(), donor, rng);
    [
        &(header.len() as u64).to_le_bytes()[..],
        &header,
        &rest[length..],
    ]
    .concat()
}

fn volume_part<R: Rng>(at: usize, mut part: Vec<u8>, donor: &[u8], rng: &mut R) -> Vec<u8> {
    const NIFTI_HEADER_BYTES: usize = 348;
    const ODD_FLOATS: [f32; 8] = [0.0, -1.0, 1e-30, 1e30, 353.0, 0.5, f32::NAN, f32::INFINITY];
    let is_text = part.first().is_some_and(u8::is_ascii_uppercase);
    if at == 0 && is_text {
        return text(part, donor, rng);
    }
    if at > 0 || part.len() < NIFTI_HEADER_BYTES || rng.random_ratio(1, 4) {
        return bytes(part, donor, rng);
    }
    let field = 2 * rng.random_range(0..NIFTI_HEADER_BYTES / 2 - 1);
    let odd = ODD_NUMBERS.choose(rng).copied().unwrap_or(0).to_le_bytes();
    let float = ODD_FLOATS.choose(rng).copied().unwrap_or(0.0).to_le_bytes();
    match rng.random_range(0..3) {
        0 => part[field..field + 2].copy_from_slice(&odd[..2]),
        1 => part[field..field + 2].copy_from_slice(&rng.random_range(0..8_u16).to_le_bytes()),
        _ => part[field..field + 4].copy_from_slice(&float),
    }
    part
}

const ODD_NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_fffe,
    u64::MAX,
];

/// A place in the data, not beyond its end.
fn place(data: &[u8], rng: &mut impl Rng) -> usize {
    rng.random_range(0..=data.len())
}

/// A short range of the data.
fn range(data: &[u8], rng: &mut impl Rng) -> std::ops::Range<usize> {
    let start = place(data, rng);
    let longest = [4, 64, 1024].choose(rng).copied().unwrap_or(4);
    let end = (start + rng.random_range(0..=longest)).min(data.len());
    start..end
}

fn bytes(mut data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let at = place(&data, rng);
    match rng.random_range(0..9) {
        0 | 1 => data
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|b| *b ^= 1 << rng.random_range(0..8)),
        2 | 3 => data
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|b| *b = rng.random()),
        4 => data.truncate(at),
        5 => drop(data.drain(range(&data, rng))),
        6 => {
            let copy = data[range(&data, rng)].to_vec();
            data.splice(at..at, copy);
        }
        7 => {
            let borrowed = donor[range(donor, rng)].to_vec();
            let end = (at + borrowed.len() * usize::from(rng.random::<bool>())).min(data.len());
            data.splice(at..end, borrowed);
        }
        _ => {
            let number = ODD_NUMBERS.choose(rng).copied().unwrap_or(0);
            let width = [1, 2, 4, 8].choose(rng).copied().unwrap_or(1);
            let number = match rng.random() {
                true => number.to_le_bytes(),
                false => number.rotate_right(8 * width as u32).to_be_bytes(),
            };
            let end = (at + width).min(data.len());
            data[at..end].copy_from_slice(&number[..end - at]);
        }
    }
    data
}
