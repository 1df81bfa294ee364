//! Entropy-coded bits of a JPEG scan and the Huffman codes in them.
//!
//! In: the bytes after a scan header; the counts and symbols of a DHT segment. Out: symbols and signed values.
//! Refused: tables with more codes than bits allow, and bits that are no code.

/// Codes up to this length are decoded by one look-up.
const SHORT_BITS: u32 = 12;

/// A Huffman table (ITU-T T.81 C.2).
pub(super) struct Huffman {
    /// By the next bits: length << 8 | symbol; 0 where the code is longer.
    short: Box<[u16]>,
    /// By length: the first code beyond those of this length, aligned to 16 bits.
    ends: [u32; 17],
    /// By length: what leads from a code to its symbol's index.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// `counts` are the codes of each length from 1 to 16; none where they are more than the bits can tell apart.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: vec![0; 1 << SHORT_BITS].into(),
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, count) in (1..=16_u32).zip(counts) {
            code <<= 1;
            let at = length as usize;
            table.offsets[at] = i32::try_from(index).ok()? - i32::try_from(code).ok()?;
            for symbol in symbols.get(index..index + usize::from(count))? {
                table.enter_short(code, length, *symbol);
                code += 1;
            }
            index += usize::from(count);
            if code > 1 << length {
                return None;
            }
            table.ends[at] = code << (16 - length);
        }
        (index == symbols.len()).then_some(table)
    }

    fn enter_short(&mut self, code: u32, length: u32, symbol: u8) {
        let Some(free) = SHORT_BITS.checked_sub(length) else {
            return;
        };
        let entry = (u16::from(length.to_le_bytes()[0]) << 8) | u16::from(symbol);
        let first = (code << free) as usize;
        if let Some(entries) = self.short.get_mut(first..first + (1 << free)) {
            entries.fill(entry);
        }
    }

    /// The symbol at the front of 16 bits and its length.
    #[inline]
    fn find(&self, front: u32) -> Option<(u8, u32)> {
        let entry = self.short[(front >> (16 - SHORT_BITS)) as usize];
        if entry != 0 {
            let [symbol, length] = entry.to_le_bytes();
            return Some((symbol, length.into()));
        }
        self.find_long(front)
    }

    #[cold]
    fn find_long(&self, front: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|length| front < self.ends[*length as usize])?;
        let code = i32::try_from(front >> (16 - length)).ok()?;
        let index = usize::try_from(code + self.offsets[length as usize]).ok()?;
        Some((*self.symbols.get(index)?, length))
    }
}

/// By the next bits: a difference << 16 | length of its code and value; 0 where they are longer.
pub(super) struct Differences<'a> {
    short: Box<[u32]>,
    huffman: &'a Huffman,
}

impl<'a> Differences<'a> {
    /// Codes and the values behind them (T.81 H.1.2.2), looked up together.
    pub(super) fn new(huffman: &'a Huffman) -> Self {
        let short = (0..1_u32 << SHORT_BITS).map(|bits| {
            let front = bits << (16 - SHORT_BITS);
            let (category, length) = huffman.find(front)?;
            let total = length + value_bits(category);
            if category > 16 || total > SHORT_BITS {
                return None;
            }
            let value = (bits >> (SHORT_BITS - total)) & ((1 << value_bits(category)) - 1);
            Some((u32::from(extend(value, category)) << 16) | total)
        });
        Self {
            short: short.map(Option::unwrap_or_default).collect(),
            huffman,
        }
    }
}

/// Bits behind a category; category 16 stands for 32,768 alone.
fn value_bits(category: u8) -> u32 {
    u32::from(category) & 15
}

/// The value of a category (T.81 F.2.2.1), modulo 65,536.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "differences are modulo 65,536"
)]
fn extend(value: u32, category: u8) -> u16 {
    match category {
        0 => 0,
        16 => 0x8000,
        _ if value >> (category - 1) == 0 => (value + 1).wrapping_sub(1 << category) as u16,
        _ => value as u16,
    }
}

/// Reads a scan's bits, without the zero bytes stuffed after 0xff (T.81 F.1.2.3).
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Next bits, the first one on top.
    buffer: u64,
    count: u32,
    /// Zero bits that stand in for those after the end.
    padding: u64,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            buffer: 0,
            count: 0,
            padding: 0,
        }
    }

    /// More bits were taken than there are.
    pub(super) fn overran(&self) -> bool {
        self.padding > u64::from(self.count)
    }

    /// The next symbol.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Huffman) -> Option<u8> {
        self.refill();
        let (symbol, length) = table.find(self.front())?;
        self.skip(length);
        Some(symbol)
    }

    /// The value behind a symbol just read, which left at least 16 bits.
    #[inline]
    pub(super) fn value(&mut self, category: u8) -> u16 {
        let bits = value_bits(category);
        // Two shifts, since one by 64 is none.
        let value = (self.buffer >> 1 >> (63 - bits)) & 0xffff;
        self.skip(bits);
        extend(u32::try_from(value).unwrap_or_default(), category)
    }

    /// The next difference of a lossless scan.
    #[inline]
    pub(super) fn difference(&mut self, table: &Differences) -> Option<u16> {
        self.refill();
        let entry = table.short[(self.front() >> (16 - SHORT_BITS)) as usize];
        if entry != 0 {
            self.skip(entry & 0xff);
            let [_, _, low, high] = entry.to_le_bytes();
            return Some(u16::from_le_bytes([low, high]));
        }
        let category = self.symbol(table.huffman)?;
        (category <= 16).then(|| self.value(category))
    }

    /// Goes on behind the next restart marker.
    pub(super) fn restart(&mut self) -> Option<()> {
        if self.overran() {
            return None;
        }
        let rest = self.bytes.get(self.at..)?;
        let marker = |pair: &[u8]| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1]);
        let found = rest.windows(2).position(marker)?;
        *self = Self::new(&rest[found + 2..]);
        Some(())
    }

    #[inline]
    fn front(&self) -> u32 {
        (self.buffer >> 48) as u32
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.count -= bits;
    }

    /// Holds at least 32 bits afterwards: the longest code and the longest value.
    #[inline]
    fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(four) = self.bytes.get(self.at..self.at + 4) {
            let word = four
                .iter()
                .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
            let has_ff = (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0;
            if !has_ff {
                self.buffer |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        self.refill_by_byte();
    }

    #[cold]
    fn refill_by_byte(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at..).unwrap_or_default() {
                [0xff, 0, ..] => {
                    self.at += 2;
                    0xff
                }
                [] | [0xff, ..] => {
                    self.padding += 8;
                    0
                }
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code of 1, 2, 3 … 16 bits each: 0, 10, 110 …
    fn ladder() -> Huffman {
        let symbols: Vec<u8> = (0..16).collect();
        Huffman::new([1; 16], &symbols).unwrap()
    }

    #[test]
    fn short_and_long_codes_are_told_apart() {
        let table = ladder();
        for length in 1..=16_u32 {
            let front = ((1_u32 << length) - 2) << (16 - length);
            let symbol = u8::try_from(length - 1).unwrap();
            assert_eq!(table.find(front), Some((symbol, length)));
        }
        assert_eq!(table.find(0xffff), None);
    }

    #[test]
    fn tables_with_too_many_codes_are_none() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Huffman::new(counts, &[0, 1, 2]).is_none());
        counts[0] = 2;
        assert!(Huffman::new(counts, &[0]).is_none());
        assert!(Huffman::new(counts, &[0, 1]).is_some());
    }

    #[test]
    fn values_are_extended_as_the_standard_tables_them() {
        let signed = |value, category| extend(value, category).cast_signed();
        assert_eq!([signed(0, 1), signed(1, 1)], [-1, 1]);
        assert_eq!([signed(0, 3), signed(3, 3), signed(4, 3)], [-7, -4, 4]);
        assert_eq!([signed(0, 15), signed(0x7fff, 15)], [-32_767, 32_767]);
        assert_eq!(extend(0, 16), 0x8000);
    }

    #[test]
    fn stuffed_zeros_are_dropped_and_the_end_is_noticed() {
        let mut bits = Bits::new(&[0xff, 0, 0xff, 0, 0x0f, 0xff, 0xd9]);
        bits.refill();
        assert_eq!(bits.front(), 0xffff);
        bits.skip(16);
        assert_eq!(bits.front(), 0x0f00);
        bits.skip(8);
        assert!(!bits.overran());
        bits.skip(1);
        assert!(bits.overran());
    }

    #[test]
    fn a_restart_drops_what_is_left_before_the_marker() {
        let mut bits = Bits::new(&[0x12, 0xff, 0xd3, 0x34, 0x56]);
        bits.refill();
        bits.skip(3);
        assert_eq!(bits.restart(), Some(()));
        bits.refill();
        assert_eq!(bits.front(), 0x3456);
        assert_eq!(bits.restart(), None);
    }
}
