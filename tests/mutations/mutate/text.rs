//! Damage to TOML and JSON: numbers, strings, lines and brackets.

use super::{bytes, place};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

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

/// One change to a text.
pub(super) fn text(data: Vec<u8>, donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    match rng.random_range(0..12) {
        0..=3 => number_exchanged(data, rng),
        4 => string_exchanged(data, rng),
        5..=8 => lines_moved(&data, donor, rng),
        9 => nested(data, rng),
        _ => bytes(data, donor, rng),
    }
}

fn odd_word(rng: &mut impl Rng) -> std::str::Bytes<'static> {
    ODD_WORDS.choose(rng).copied().unwrap_or("0").bytes()
}

fn number_exchanged(mut data: Vec<u8>, rng: &mut impl Rng) -> Vec<u8> {
    let starts: Vec<usize> = (1..data.len())
        .filter(|&i| data[i].is_ascii_digit() && !data[i - 1].is_ascii_alphanumeric())
        .collect();
    if let Some(&start) = starts.choose(rng) {
        let number = |b: &u8| b.is_ascii_digit() || b".eE-+_".contains(b);
        let length = data[start..].iter().take_while(|b| number(b)).count();
        data.splice(start..start + length, odd_word(rng));
    }
    data
}

fn string_exchanged(mut data: Vec<u8>, rng: &mut impl Rng) -> Vec<u8> {
    let quotes: Vec<usize> = (0..data.len()).filter(|&i| data[i] == b'"').collect();
    let pairs: Vec<&[usize]> = quotes.windows(2).collect();
    if let Some(pair) = pairs.choose(rng) {
        data.splice(pair[0]..=pair[1], odd_word(rng));
    }
    data
}

/// Lines and members of lists are dropped, doubled, exchanged or borrowed.
fn lines_moved(data: &[u8], donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut all = lines(data);
    if all.is_empty() {
        return Vec::new();
    }
    let [a, b] = [0, 1].map(|_| rng.random_range(0..all.len()));
    match rng.random_range(0..4) {
        0 => drop(all.remove(a)),
        1 => all.insert(b, all[a]),
        2 => all.swap(a, b),
        _ => all.insert(b, lines(donor).choose(rng).copied().unwrap_or_default()),
    }
    all.concat()
}

fn lines(data: &[u8]) -> Vec<&[u8]> {
    data.split_inclusive(|b| b"\n,".contains(b)).collect()
}

fn nested(mut data: Vec<u8>, rng: &mut impl Rng) -> Vec<u8> {
    const OPENINGS: [&str; 8] = ["[", "{", "{\"a\":", "[[", "a.", "(", "\"", "#"];
    let at = place(&data, rng);
    let depth = [1, 10, 200, 20_000].choose(rng).copied().unwrap_or(1);
    let open = OPENINGS.choose(rng).copied().unwrap_or("[");
    data.splice(at..at, open.repeat(depth).bytes());
    data
}
