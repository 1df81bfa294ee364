//! Damage to a DICOM file: elements, their headers and their values.

use super::super::elements::{self, Element};
use super::{MAX_BYTES, ODD_NUMBERS, bytes, place};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

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

/// One change to a file; in half of all cases the File Meta Information says its length right again.
pub(super) fn dicom(mut data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let all = elements::scan(&data);
    let Some(element) = pick(&all, rng) else {
        return bytes(data, donor, rng);
    };
    match rng.random_range(0..16) {
        0..=4 => moved(&mut data, element, &all, rng),
        5..=8 => relabelled(&mut data, element, rng),
        9..=12 => revalued(&mut data, element, rng),
        13 => borrowed(&mut data, element, donor, rng),
        14 => nested(&mut data, element.start, rng),
        _ => return bytes(data, donor, rng),
    }
    if rng.random_ratio(1, 2) {
        elements::mend_group_length(&mut data);
    }
    data
}

/// An element is dropped, doubled or put elsewhere.
fn moved(data: &mut Vec<u8>, element: Element, all: &[Element], rng: &mut impl Rng) {
    let Element { start, end, .. } = element;
    match rng.random_range(0..3) {
        0 => drop(data.drain(start..end)),
        1 => {
            let copy = data[start..end].to_vec();
            let at = pick(all, rng).map_or(end, |e| e.start);
            data.splice(at..at, copy);
        }
        _ => {
            let element: Vec<u8> = data.drain(start..end).collect();
            let at = place(data, rng);
            data.splice(at..at, element);
        }
    }
}

/// Another length, VR or tag.
fn relabelled(data: &mut [u8], element: Element, rng: &mut impl Rng) {
    const VRS: [&[u8; 2]; 11] = [
        b"SQ", b"UN", b"OB", b"OW", b"US", b"DS", b"IS", b"AT", b"FD", b"UT", b"ZZ",
    ];
    let Element {
        start, value, end, ..
    } = element;
    match rng.random_range(0..4) {
        0 | 1 => {
            let odd = ODD_NUMBERS.choose(rng).copied().unwrap_or(0);
            let length = (end - value) as u64;
            let shorter = length.saturating_sub(1);
            let lengths = [odd, length + 1, shorter, length * 2, rng.random()];
            element.set_length(data, lengths.choose(rng).copied().unwrap_or(0));
        }
        2 => data[start + 4..start + 6]
            .copy_from_slice(VRS.choose(rng).unwrap_or(&VRS[0]).as_slice()),
        _ => data[start..start + 4].copy_from_slice(TAGS.choose(rng).unwrap_or(&TAGS[0])),
    }
}

/// Another value of a right length, or damage within it: a codestream's own headers and data.
fn revalued(data: &mut Vec<u8>, element: Element, rng: &mut impl Rng) {
    let Element { value, end, .. } = element;
    match rng.random_range(0..4) {
        0 | 1 => element.set_value(data, ODD_VALUES.choose(rng).copied().unwrap_or_default()),
        2 => {
            let times = [2, 16, 256].choose(rng).copied().unwrap_or(2);
            let grown = data[value..end].repeat(times);
            element.set_value(data, &grown[..grown.len().min(MAX_BYTES / 4)]);
        }
        _ if value < end => {
            for _ in 0..rng.random_range(1..=6) {
                let at = rng.random_range(value..end);
                data[at] = rng.random();
            }
        }
        _ => {}
    }
}

/// An element of another file in place of this one.
fn borrowed(data: &mut Vec<u8>, element: Element, donor: &[u8], rng: &mut impl Rng) {
    if let Some(other) = pick(&elements::scan(donor), rng) {
        let foreign = donor[other.start..other.end].iter().copied();
        data.splice(element.start..element.end, foreign);
    }
}

/// Sequences within sequences, never closed.
fn nested(data: &mut Vec<u8>, at: usize, rng: &mut impl Rng) {
    const OPEN: &[u8; 20] = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
    let depth = [1, 2, 40, 5000].choose(rng).copied().unwrap_or(1);
    data.splice(at..at, OPEN.repeat(depth));
}

/// Any element, the pixel data and their fragments as often as all others together.
fn pick(all: &[Element], rng: &mut impl Rng) -> Option<Element> {
    let pixels = all.iter().position(|e| e.of_pixel_data);
    match pixels {
        Some(first) if rng.random_ratio(1, 3) => all[first..].choose(rng).copied(),
        _ => all.choose(rng).copied(),
    }
}
