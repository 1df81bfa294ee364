//! Lossless images of any kind, coded here and decoded by us and by `jpeg-decoder`; and hostile bytes.

use super::decode;
use proptest::prelude::*;

/// An image and how it is coded.
#[derive(Debug, Clone)]
struct Image {
    samples: Vec<u16>,
    columns: usize,
    precision: u8,
    predictor: u8,
    point_transform: u8,
    /// Rows between restart markers; 0 for none.
    restart_rows: usize,
    /// Codes of up to 16 bits rather than 5 bits each.
    long_codes: bool,
}

impl Image {
    fn any() -> impl Strategy<Value = Self> {
        let size = (1..9_usize, 1..14_usize, 2..=16_u8, any::<bool>());
        let coding = (1..=7_u8, 0..3_u8, 0..4_usize, any::<bool>());
        (size, coding).prop_flat_map(|((rows, columns, precision, smooth), coding)| {
            let (predictor, point_transform, restart_rows, long_codes) = coding;
            let point_transform = point_transform.min(precision - 1);
            let most = (u16::MAX >> (16 - precision)) >> point_transform;
            let low = if smooth { most - most / 8 } else { 0 };
            prop::collection::vec(low..=most, rows * columns).prop_map(move |samples| Self {
                samples,
                columns,
                precision,
                predictor,
                point_transform,
                restart_rows,
                long_codes,
            })
        })
    }

    /// What a decoder must give.
    fn decoded(&self) -> Vec<u16> {
        let raised = |s: &u16| s << self.point_transform;
        self.samples.iter().map(raised).collect()
    }

    /// How many codes of each length from 1 to 16 the 17 categories have.
    fn code_counts(&self) -> [u8; 16] {
        let mut counts = [0; 16];
        if self.long_codes {
            counts[..14].fill(1);
            counts[15] = 3;
        } else {
            counts[4] = 17;
        }
        counts
    }

    /// T.81 table H.1 and H.1.2.1.
    fn prediction(&self, index: usize) -> i32 {
        let (y, x) = (index / self.columns, index % self.columns);
        let sample = |back: usize| i32::from(self.samples[index - back]);
        let is_first_row = match self.restart_rows {
            0 => y == 0,
            rows => y.is_multiple_of(rows),
        };
        match (is_first_row, x) {
            (true, 0) => 1 << (self.precision - self.point_transform - 1),
            (true, _) => sample(1),
            (false, 0) => sample(self.columns),
            (false, _) => {
                let (a, b, c) = (sample(1), sample(self.columns), sample(self.columns + 1));
                match self.predictor {
                    1 => a,
                    2 => b,
                    3 => c,
                    4 => a + b - c,
                    5 => a + ((b - c) >> 1),
                    6 => b + ((a - c) >> 1),
                    _ => (a + b) >> 1,
                }
            }
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        let codes = codes(self.code_counts());
        for (index, sample) in self.samples.iter().enumerate() {
            let row = index / self.columns;
            let starts_row = index % self.columns == 0;
            if self.restart_rows != 0
                && starts_row
                && row != 0
                && row.is_multiple_of(self.restart_rows)
            {
                let number = (row / self.restart_rows - 1) % 8;
                bits.marker(0xd0 + u8::try_from(number).unwrap());
            }
            let difference = (i32::from(*sample) - self.prediction(index)).rem_euclid(65_536);
            bits.difference(difference, &codes);
        }
        bits.marker(0xd9);
        [self.headers(), bits.bytes].concat()
    }

    fn headers(&self) -> Vec<u8> {
        let word = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
        let [r1, r0] = word(self.samples.len() / self.columns);
        let [c1, c0] = word(self.columns);
        let [d1, d0] = word(self.restart_rows * self.columns);
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xc3, 0, 11, self.precision];
        bytes.extend([r1, r0, c1, c0, 1, 1, 0x11, 0]);
        bytes.extend([0xff, 0xdd, 0, 4, d1, d0]);
        bytes.extend([0xff, 0xc4, 0, 2 + 1 + 16 + 17, 0]);
        bytes.extend(self.code_counts());
        bytes.extend(0..17);
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, self.predictor, 0]);
        bytes.push(self.point_transform);
        bytes
    }
}

/// Canonical codes (T.81 C.2), as value and length.
fn codes(counts: [u8; 16]) -> Vec<(u32, u32)> {
    let (mut code, mut codes) = (0, Vec::new());
    for (length, count) in (1..).zip(counts) {
        code <<= 1;
        for _ in 0..count {
            codes.push((code, length));
            code += 1;
        }
    }
    codes
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    partial: u8,
    count: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, length: u32) {
        for bit in (0..length).rev() {
            self.partial = (self.partial << 1) | u8::from(value >> bit & 1 == 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.partial);
                if self.partial == 0xff {
                    self.bytes.push(0);
                }
                (self.partial, self.count) = (0, 0);
            }
        }
    }

    fn marker(&mut self, marker: u8) {
        while self.count != 0 {
            self.put(1, 1);
        }
        self.bytes.extend([0xff, marker]);
    }

    /// `modulo` is a difference from 0 to 65,535.
    fn difference(&mut self, modulo: i32, codes: &[(u32, u32)]) {
        let signed = if modulo > 32_768 {
            modulo - 65_536
        } else {
            modulo
        };
        let category = 32 - signed.unsigned_abs().leading_zeros();
        let (code, length) = codes[category as usize];
        self.put(code, length);
        if category < 16 {
            let value = if signed < 0 { signed - 1 } else { signed };
            self.put(value.cast_unsigned(), category);
        }
    }
}

/// The samples as `jpeg-decoder` reads them, of one byte or two; none where it refuses.
fn by_jpeg_decoder(bytes: &[u8], count: usize) -> Option<Vec<u16>> {
    let decoded = jpeg_decoder::Decoder::new(bytes).decode().ok()?;
    if decoded.len() == count {
        return Some(decoded.iter().map(|b| u16::from(*b)).collect());
    }
    let pairs = decoded.as_chunks().0.iter();
    Some(pairs.map(|pair| u16::from_ne_bytes(*pair)).collect())
}

proptest! {
    #[test]
    fn lossless_images_come_back(image in Image::any()) {
        let mut samples = vec![0; image.samples.len()];
        prop_assert_eq!(decode(&image.encoded(), image.columns, &mut samples), Some(()));
        prop_assert_eq!(samples, image.decoded());
    }

    #[test]
    fn what_jpeg_decoder_reads_is_the_same(mut image in Image::any()) {
        // It has neither point transform nor restart markers in lossless images.
        for sample in &mut image.samples {
            *sample <<= image.point_transform;
        }
        (image.point_transform, image.restart_rows) = (0, 0);
        if let Some(theirs) = by_jpeg_decoder(&image.encoded(), image.samples.len()) {
            let mut samples = vec![0; image.samples.len()];
            prop_assert_eq!(decode(&image.encoded(), image.columns, &mut samples), Some(()));
            prop_assert_eq!(samples, theirs);
        }
    }

    #[test]
    fn a_codestream_that_ends_too_early_is_refused(image in Image::any(), cut in 3..400_usize) {
        let bytes = image.encoded();
        let end = bytes.len().saturating_sub(cut);
        let mut samples = vec![0; image.samples.len()];
        prop_assert_eq!(decode(&bytes[..end], image.columns, &mut samples), None);
    }

    #[test]
    fn changed_bytes_never_panic(
        image in Image::any(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = image.encoded();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let mut samples = vec![0; image.samples.len()];
        let _either = decode(&bytes, image.columns, &mut samples);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _either = decode(&[&[0xff, 0xd8], bytes.as_slice()].concat(), 8, &mut [0; 64]);
    }
}
