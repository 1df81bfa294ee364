//! Seeds damaged with knowledge of their structure: DICOM elements, lines and numbers of text, files packed together.

use super::bodies::{join, split};
use super::elements::{self, Element};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

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

const ODD_WORDS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "-0.0",
    "nan",
    "inf",
    "1e308",
    "1e-308",
    "65536",
    "4294967296",
    "18446744073709551615",
    "-9223372036854775808",
    "1e400",
    "0x10",
    "[]",
    "{}",
    "[[1]]",
    "\"\"",
    "null",
    "true",
    "\"../../x\"",
    "\"\u{0}\u{1f600}\"",
    "2024-01-01",
    "1_000",
];

fn text(mut data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let lines = |data: &[u8]| -> Vec<Vec<u8>> {
        data.split_inclusive(|b| b"\n,".contains(b))
            .map(<[u8]>::to_vec)
            .collect()
    };
    let word = ODD_WORDS.choose(rng).copied().unwrap_or("0");
    match rng.random_range(0..12) {
        0..=3 => {
            // A number or a word is exchanged.
            let starts: Vec<usize> = (1..data.len())
                .filter(|&i| data[i].is_ascii_digit() && !data[i - 1].is_ascii_alphanumeric())
                .collect();
            let Some(&start) = starts.choose(rng) else {
                return data;
            };
            let number = |b: &u8| b.is_ascii_digit() || b".eE-+_".contains(b);
            let length = data[start..].iter().take_while(|b| number(b)).count();
            data.splice(start..start + length, word.bytes());
        }
        4 => {
            let quotes: Vec<usize> = (0..data.len()).filter(|&i| data[i] == b'"').collect();
            let Some(pair) = quotes.windows(2).collect::<Vec<_>>().choose(rng).copied() else {
                return data;
            };
            data.splice(pair[0]..=pair[1], word.bytes());
        }
        5..=8 => {
            let mut all = lines(&data);
            let others = lines(donor);
            if all.is_empty() {
                return data;
            }
            let (a, b) = (
                rng.random_range(0..all.len()),
                rng.random_range(0..all.len()),
            );
            match rng.random_range(0..4) {
                0 => drop(all.remove(a)),
                1 => all.insert(b, all[a].clone()),
                2 => all.swap(a, b),
                _ => all.insert(b, others.choose(rng).cloned().unwrap_or_default()),
            }
            data = all.concat();
        }
        9 => {
            let at = place(&data, rng);
            let depth = [1, 10, 200, 20_000].choose(rng).copied().unwrap_or(1);
            let open = ["[", "{", "{\"a\":", "[[", "a.", "(", "\"", "#"]
                .choose(rng)
                .copied();
            data.splice(at..at, open.unwrap_or("[").repeat(depth).bytes());
        }
        _ => return bytes(data, donor, rng),
    }
    data
}

const ODD_VALUES: [&[u8]; 20] = [
    b"",
    b"0",
    b"-1",
    b"65535",
    b"65536",
    b"1e308",
    b"nan",
    b"1\\0\\0\\0\\1\\0",
    b"1\\1",
    b"0\\0",
    b"1.2.840.10008.1.2.4.90",
    b"../../x",
    b"\0\0",
    b"\x01\0",
    b"\xff\xff",
    b"\x08\0",
    b"\x20\0",
    b"DERIVED\\SECONDARY",
    b"\\\\\\\\\\\\\\\\",
    b"\x1b$)C\xb1\xe8",
];

/// Tags that decide something, as bytes.
const TAGS: [[u8; 4]; 14] = [
    [0x28, 0, 0x10, 0],
    [0x28, 0, 0x11, 0],
    [0x28, 0, 0x08, 0],
    [0x28, 0, 0x00, 1],
    [0x28, 0, 0x01, 1],
    [0x28, 0, 0x03, 1],
    [0x20, 0, 0x32, 0],
    [0x20, 0, 0x37, 0],
    [0x28, 0, 0x30, 0],
    [0x02, 0, 0x10, 0],
    [0xe0, 0x7f, 0x10, 0],
    [0xe0, 0x7f, 0x08, 0],
    [0xfe, 0xff, 0x00, 0xe0],
    [0xfe, 0xff, 0xdd, 0xe0],
];

fn dicom(mut data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let all = elements::scan(&data);
    let Some(element) = pick(&all, rng) else {
        return bytes(data, donor, rng);
    };
    let Element {
        start, value, end, ..
    } = element;
    match rng.random_range(0..16) {
        0 | 1 => {
            let length = (end - value) as u64;
            let odd = ODD_NUMBERS.choose(rng).copied().unwrap_or(0);
            let choices = [
                odd,
                length + 1,
                length.saturating_sub(1),
                length * 2,
                rng.random(),
            ];
            element.set_length(&mut data, choices.choose(rng).copied().unwrap_or(0));
        }
        2 => drop(data.drain(start..end)),
        3 => {
            let copy = data[start..end].to_vec();
            let at = pick(&all, rng).map_or(end, |e| e.start);
            data.splice(at..at, copy);
        }
        4 => {
            let moved: Vec<u8> = data.drain(start..end).collect();
            let at = place(&data, rng);
            data.splice(at..at, moved);
        }
        5 => data[start + 4..(start + 6).min(end)].fill_with(|| rng.random_range(b'A'..=b'Z')),
        6 => {
            let vr = [
                b"SQ", b"UN", b"OB", b"OW", b"US", b"DS", b"IS", b"AT", b"FD", b"UT",
            ];
            let vr = vr.choose(rng).copied().unwrap_or(b"UN");
            data[start + 4..start + 6].copy_from_slice(vr);
        }
        7 => data[start..start + 4].copy_from_slice(TAGS.choose(rng).unwrap_or(&TAGS[0])),
        8..=10 => {
            let odd = ODD_VALUES.choose(rng).copied().unwrap_or_default();
            element.set_value(&mut data, odd);
        }
        11 => {
            let times = [2, 16, 256].choose(rng).copied().unwrap_or(2);
            let grown = data[value..end].repeat(times);
            element.set_value(&mut data, &grown[..grown.len().min(MAX_BYTES / 4)]);
        }
        12 => {
            let others = elements::scan(donor);
            if let Some(other) = pick(&others, rng) {
                data.splice(start..end, donor[other.start..other.end].iter().copied());
            }
        }
        13 => {
            let open = [
                &[0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255][..],
                &[0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255],
            ]
            .concat();
            let depth = [1, 2, 40, 5000].choose(rng).copied().unwrap_or(1);
            data.splice(start..start, open.repeat(depth));
        }
        14 if value < end => {
            // Within one value: the codestream's own headers and data.
            for _ in 0..rng.random_range(1..=6) {
                let at = rng.random_range(value..end);
                data[at] = rng.random();
            }
        }
        _ => return bytes(data, donor, rng),
    }
    if rng.random_ratio(1, 2) {
        elements::mend_group_length(&mut data);
    }
    data
}

/// Any element, the pixel data and their fragments as often as all others together.
fn pick(all: &[Element], rng: &mut impl Rng) -> Option<Element> {
    let pixels = all.iter().position(|e| e.of_pixel_data);
    match pixels {
        Some(first) if rng.random_ratio(1, 3) => all[first..].choose(rng).copied(),
        _ => all.choose(rng).copied(),
    }
}
