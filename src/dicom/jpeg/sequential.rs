//! Sequential DCT-based JPEG: baseline and extended, 8 and 12 bits (T.81 annex F).

use super::bits::{Bits, Huffman};

/// Place of each coefficient, in the order of the codestream (T.81 figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What a sequential scan's headers say.
pub(super) struct Scan<'a> {
    pub(super) precision: u32,
    /// In the order of the codestream.
    pub(super) quantization: &'a [u16; 64],
    pub(super) dc: &'a Huffman,
    pub(super) ac: &'a Huffman,
    /// Blocks between restart markers; 0 for none.
    pub(super) restart_interval: usize,
}

/// Eight samples side by side, so that the compiler makes them vectors.
type Lanes = [f32; 8];

/// Decodes the scan into `samples`, rows of `columns`.
pub(super) fn decode(
    scan: &Scan,
    bits: &mut Bits,
    columns: usize,
    samples: &mut [u16],
) -> Option<()> {
    let steps = scaled_steps(scan.quantization);
    let mut dc = 0_i32;
    let mut blocks = 0_usize;
    for rows in samples.chunks_mut(8 * columns) {
        for left in (0..columns).step_by(8) {
            if scan.restart_interval != 0
                && blocks != 0
                && blocks.is_multiple_of(scan.restart_interval)
            {
                bits.restart()?;
                dc = 0;
            }
            let mut block = [[0.0; 8]; 8];
            coefficients(scan, bits, &steps, &mut dc, &mut block)?;
            inverse_dct(&mut block);
            store(
                scan.precision,
                &block,
                &mut rows[left..],
                columns,
                columns - left,
            );
            blocks += 1;
        }
        if bits.overran() {
            return None;
        }
    }
    Some(())
}

/// Quantization steps in their places, with the scale factors that the inverse transform leaves out.
fn scaled_steps(quantization: &[u16; 64]) -> [f32; 64] {
    let scale = |k: usize| match k {
        0 => 1.0,
        k => (k as f64 * std::f64::consts::PI / 16.0).cos() * std::f64::consts::SQRT_2,
    };
    let mut steps = [0.0; 64];
    for (place, step) in ZIGZAG.iter().zip(quantization) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "single precision is enough"
        )]
        let scaled = (f64::from(*step) * scale(place / 8) * scale(place % 8) / 8.0) as f32;
        steps[*place] = scaled;
    }
    steps
}

/// Reads the coefficients of one block (T.81 F.2.2).
fn coefficients(
    scan: &Scan,
    bits: &mut Bits,
    steps: &[f32; 64],
    dc: &mut i32,
    block: &mut [Lanes; 8],
) -> Option<()> {
    let block = block.as_flattened_mut();
    let category = bits.symbol(scan.dc)?;
    if category > 15 {
        return None;
    }
    *dc = dc.wrapping_add(bits.value(category).cast_signed().into()) & 0xffff;
    block[0] = f32::from(low_word(*dc)) * steps[0];
    let mut place = 1;
    while place < 64 {
        let symbol = bits.symbol(scan.ac)?;
        let (run, category) = (usize::from(symbol >> 4), symbol & 15);
        if category == 0 {
            match run {
                15 => place += 16,
                _ => return Some(()),
            }
            continue;
        }
        let natural = *ZIGZAG.get(place + run)?;
        block[natural] = f32::from(bits.value(category).cast_signed()) * steps[natural];
        place += run + 1;
    }
    (place == 64).then_some(())
}

#[expect(clippy::cast_possible_truncation, reason = "coefficients have 16 bits")]
fn low_word(value: i32) -> i16 {
    value as i16
}

/// Inverse DCT of both directions (Arai, Agui and Nakajima 1988), on coefficients that are scaled already.
fn inverse_dct(block: &mut [Lanes; 8]) {
    *block = transposed(&inverse_dct_of_columns(block));
    *block = transposed(&inverse_dct_of_columns(block));
}

fn transposed(block: &[Lanes; 8]) -> [Lanes; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| block[x][y]))
}

fn inverse_dct_of_columns(v: &[Lanes; 8]) -> [Lanes; 8] {
    const SQRT_2: f32 = std::f32::consts::SQRT_2;
    // 2 cos(π/8), 2 (cos(π/8) - cos(3π/8)) and 2 (cos(π/8) + cos(3π/8)).
    const C2: f32 = 1.847_759_1;
    const C2_MINUS_C6: f32 = 1.082_392_2;
    const C2_PLUS_C6: f32 = 2.613_126;

    let (t0, t1) = (add(v[0], v[4]), sub(v[0], v[4]));
    let t3 = add(v[2], v[6]);
    let t2 = sub(scale(sub(v[2], v[6]), SQRT_2), t3);
    let even = [add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3)];

    let (z13, z10) = (add(v[5], v[3]), sub(v[5], v[3]));
    let (z11, z12) = (add(v[1], v[7]), sub(v[1], v[7]));
    let odd0 = add(z11, z13);
    let z5 = scale(add(z10, z12), C2);
    let odd1 = sub(sub(z5, scale(z10, C2_PLUS_C6)), odd0);
    let odd2 = sub(scale(sub(z11, z13), SQRT_2), odd1);
    let odd3 = sub(sub(z5, scale(z12, C2_MINUS_C6)), odd2);
    let odd = [odd0, odd1, odd2, odd3];

    std::array::from_fn(|y| match y {
        0..4 => add(even[y], odd[y]),
        _ => sub(even[7 - y], odd[7 - y]),
    })
}

fn add(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] + b[i])
}

fn sub(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] - b[i])
}

fn scale(a: Lanes, factor: f32) -> Lanes {
    a.map(|v| v * factor)
}

/// Shifts, rounds and clamps a block into its place; what hangs over the right or lower border is dropped.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the precision"
)]
fn store(precision: u32, block: &[Lanes; 8], out: &mut [u16], columns: usize, width: usize) {
    let most = f32::from(u16::MAX >> (16 - precision));
    let middle = f32::from(1_u16 << (precision - 1));
    for (row, values) in out.chunks_mut(columns).zip(block) {
        for (sample, value) in row.iter_mut().take(width).zip(values) {
            *sample = (value + middle + 0.5).clamp(0.0, most) as u16;
        }
    }
}
