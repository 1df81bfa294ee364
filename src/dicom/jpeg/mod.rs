//! JPEG with one component: baseline, extended sequential (8 and 12 bits) and lossless.
//!
//! In: a codestream. Out: its samples, not yet sign-extended.
//! Refused: progressive, hierarchical and arithmetic-coded images, several components, damage and truncation.
//!
//! Source: ITU-T T.81.

mod bits;
mod lossless;
#[cfg(test)]
mod round_trip;
mod sequential;

use bits::{Bits, Huffman};

/// A frame header (T.81 B.2.2) of one component.
#[derive(Clone, Copy)]
struct Frame {
    lossless: bool,
    precision: u32,
    rows: usize,
    columns: usize,
    quantization: usize,
}

/// Tables and frame as the segments before the scan define them.
#[derive(Default)]
struct Tables {
    frame: Option<Frame>,
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    /// Samples or blocks between restart markers; 0 for none.
    restart_interval: usize,
}

/// A scan header (T.81 B.2.3) of one component.
struct Scan {
    dc: usize,
    ac: usize,
    /// Ss: the predictor of a lossless scan.
    predictor: u8,
    /// Al: how far a lossless scan's samples are shifted.
    point_transform: u32,
}

/// Decodes an image of `columns` into `samples`, row by row.
///
/// None where the codestream is damaged, ends too early, is of a kind that is not read or of another size.
pub(crate) fn decode(bytes: &[u8], columns: usize, samples: &mut [u16]) -> Option<()> {
    let mut bytes = bytes.strip_prefix(&[0xff, 0xd8])?;
    let mut tables = Tables::default();
    loop {
        let (marker, segment, rest) = next_segment(bytes)?;
        match marker {
            0xc0 | 0xc1 | 0xc3 => tables.frame = Some(frame(marker, segment)?),
            0xc4 => tables.huffman(segment)?,
            0xdb => tables.quantization(segment)?,
            0xdd => tables.restart_interval = u16::from_be_bytes(segment.try_into().ok()?).into(),
            0xda => return tables.decode(&scan(segment)?, rest, columns, samples),
            // Application data, comments and the number of lines, which the frame header must know already.
            0xe0..=0xef | 0xfe | 0xdc => {}
            _ => return None,
        }
        bytes = rest;
    }
}

/// The next marker, the segment behind it and what follows.
fn next_segment(mut bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    while let [0xff, 0xff, ..] = bytes {
        bytes = &bytes[1..];
    }
    let [0xff, marker, high, low, rest @ ..] = bytes else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
    let (segment, rest) = rest.split_at_checked(length)?;
    Some((*marker, segment, rest))
}

fn frame(marker: u8, segment: &[u8]) -> Option<Frame> {
    let [precision, r1, r0, c1, c0, 1, _, _, quantization] = *segment else {
        return None;
    };
    let supported = match marker {
        0xc0 => precision == 8,
        0xc1 => [8, 12].contains(&precision),
        _ => (2..=16).contains(&precision),
    };
    supported.then_some(Frame {
        lossless: marker == 0xc3,
        precision: precision.into(),
        rows: u16::from_be_bytes([r1, r0]).into(),
        columns: u16::from_be_bytes([c1, c0]).into(),
        quantization: quantization.into(),
    })
}

fn scan(segment: &[u8]) -> Option<Scan> {
    let [1, _, tables, predictor, _, approximation] = *segment else {
        return None;
    };
    Some(Scan {
        dc: usize::from(tables >> 4),
        ac: usize::from(tables & 15),
        predictor,
        point_transform: u32::from(approximation & 15),
    })
}

impl Tables {
    fn huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((place, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|c| usize::from(*c)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let tables = match place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            let table = tables.get_mut(usize::from(place & 15))?;
            *table = Some(Huffman::new(*counts, symbols)?);
            segment = rest;
        }
        Some(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((place, rest)) = segment.split_first() {
            let table = self.quantization.get_mut(usize::from(place & 15))?;
            let bytes_each = match place >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let (values, rest) = rest.split_at_checked(64 * bytes_each)?;
            let mut steps = [0; 64];
            for (step, value) in steps.iter_mut().zip(values.chunks_exact(bytes_each)) {
                *step = value
                    .iter()
                    .fold(0, |step, byte| (step << 8) | u16::from(*byte));
            }
            *table = Some(steps);
            segment = rest;
        }
        Some(())
    }

    fn decode(
        &self,
        scan: &Scan,
        entropy: &[u8],
        columns: usize,
        samples: &mut [u16],
    ) -> Option<()> {
        let frame = self.frame?;
        if frame.columns != columns || frame.rows * columns != samples.len() || samples.is_empty() {
            return None;
        }
        let mut bits = Bits::new(entropy);
        let dc = self.dc.get(scan.dc)?.as_ref()?;
        if frame.lossless {
            let scan = lossless::Scan {
                precision: frame.precision,
                predictor: scan.predictor,
                point_transform: scan.point_transform,
                restart_interval: self.restart_interval,
            };
            return lossless::decode(&scan, dc, &mut bits, columns, samples);
        }
        let scan = sequential::Scan {
            precision: frame.precision,
            quantization: self.quantization.get(frame.quantization)?.as_ref()?,
            dc,
            ac: self.ac.get(scan.ac)?.as_ref()?,
            restart_interval: self.restart_interval,
        };
        sequential::decode(&scan, &mut bits, columns, samples)
    }
}
