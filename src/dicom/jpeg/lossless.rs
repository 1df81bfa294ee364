//! Lossless JPEG: predicted samples and Huffman-coded differences (T.81 annex H).

use super::bits::{Bits, Differences, Huffman};

/// What a lossless scan's headers say.
pub(super) struct Scan {
    pub(super) precision: u32,
    /// 1 to 7 (T.81 table H.1).
    pub(super) predictor: u8,
    /// Samples are this many bits shorter than the precision.
    pub(super) point_transform: u32,
    /// Samples between restart markers, whole rows; 0 for none.
    pub(super) restart_interval: usize,
}

/// Decodes the scan into `samples`, rows of `columns`.
pub(super) fn decode(
    scan: &Scan,
    huffman: &Huffman,
    bits: &mut Bits,
    columns: usize,
    samples: &mut [u16],
) -> Option<()> {
    let restart_rows = scan.restart_interval / columns;
    if !scan.restart_interval.is_multiple_of(columns) {
        return None;
    }
    let middle = scan.precision.checked_sub(scan.point_transform + 1)?;
    let table = Differences::new(huffman);
    let mut above: &[u16] = &[];
    for (y, row) in samples.chunks_exact_mut(columns).enumerate() {
        if restart_rows != 0 && y != 0 && y % restart_rows == 0 {
            bits.restart()?;
            above = &[];
        }
        match above.first() {
            None => first_row(bits, &table, 1 << middle, row)?,
            Some(_) => next_row(scan.predictor, bits, &table, above, row)?,
        }
        if bits.overran() {
            return None;
        }
        above = row;
    }
    if scan.point_transform > 0 {
        samples.iter_mut().for_each(|s| *s <<= scan.point_transform);
    }
    Some(())
}

/// Each sample from its left neighbour, the first one from `left`.
fn first_row(bits: &mut Bits, table: &Differences, mut left: u16, row: &mut [u16]) -> Option<()> {
    for sample in row {
        left = left.wrapping_add(bits.difference(table)?);
        *sample = left;
    }
    Some(())
}

fn next_row(
    predictor: u8,
    bits: &mut Bits,
    table: &Differences,
    above: &[u16],
    row: &mut [u16],
) -> Option<()> {
    match predictor {
        1 => predicted_row(bits, table, above, row, |left, _, _| left),
        2 => predicted_row(bits, table, above, row, |_, above, _| above),
        3 => predicted_row(bits, table, above, row, |_, _, corner| corner),
        4 => predicted_row(bits, table, above, row, |l, a, c| l + a - c),
        5 => predicted_row(bits, table, above, row, |l, a, c| l + ((a - c) >> 1)),
        6 => predicted_row(bits, table, above, row, |l, a, c| a + ((l - c) >> 1)),
        7 => predicted_row(bits, table, above, row, |l, a, _| (l + a) >> 1),
        _ => None,
    }
}

/// The first sample from the one above, each other one from its neighbours left, above and above left.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples are modulo 65,536"
)]
fn predicted_row(
    bits: &mut Bits,
    table: &Differences,
    above: &[u16],
    row: &mut [u16],
    predict: impl Fn(i32, i32, i32) -> i32,
) -> Option<()> {
    let (first, rest) = row.split_first_mut()?;
    let mut left = above.first()?.wrapping_add(bits.difference(table)?);
    *first = left;
    for (sample, pair) in rest.iter_mut().zip(above.windows(2)) {
        let prediction = predict(left.into(), pair[1].into(), pair[0].into()) as u16;
        left = prediction.wrapping_add(bits.difference(table)?);
        *sample = left;
    }
    Some(())
}
