//! Damage to a checkpoint: its bytes, or its pickle alone, whose CRC is made right again.

use super::bytes;
use flate2::Crc;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use std::ops::Range;

/// Opcodes and what stands before numbers of lengths; most were not written by `torch.save`.
const OPCODES: &[u8] = b".(0 12NJKMGXBCTU}])tldaesuqrhjcRbQioPIFLSV\x80\x81\x82\x85\x86\x87\x88\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\xff\0";
const NAME: &[u8] = b"data.pkl";
/// Bytes of a record's entry in the directory before its name.
const ENTRY_BYTES: usize = 46;
/// Bytes of a record's header before its name.
const HEADER_BYTES: usize = 30;

pub(super) fn checkpoint(mut data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let Some((entry, pickle)) = pickle(&data).filter(|_| rng.random_ratio(3, 4)) else {
        return bytes(data, donor, rng);
    };
    let mut program = data[pickle.clone()].to_vec();
    if rng.random() {
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..program.len());
            program[at] = *OPCODES.choose(rng).expect("opcodes");
        }
    } else {
        program = bytes(program, donor, rng);
        program.resize(pickle.len(), b'.');
    }
    let mut crc = Crc::new();
    crc.update(&program);
    data[pickle].copy_from_slice(&program);
    data[entry + 16..entry + 20].copy_from_slice(&crc.sum().to_le_bytes());
    data
}

/// Where the pickle's entry in the directory is, and where the pickle.
fn pickle(data: &[u8]) -> Option<(usize, Range<usize>)> {
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let bytes = data.get(at..at + bytes)?;
        Some(bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    };
    let is_entry = |at: &usize| {
        let length = number(at + 28, 2).unwrap_or(0);
        let name = data.get(at + ENTRY_BYTES..at + ENTRY_BYTES + length);
        data[*at..].starts_with(b"PK\x01\x02") && name.is_some_and(|name| name.ends_with(NAME))
    };
    let entry = (0..data.len()).rev().find(is_entry)?;
    let header = number(entry + 42, 4)?;
    let start = header + HEADER_BYTES + number(header + 26, 2)? + number(header + 28, 2)?;
    let range = start..start + number(entry + 24, 4)?;
    (!range.is_empty() && range.end <= data.len()).then_some((entry, range))
}
