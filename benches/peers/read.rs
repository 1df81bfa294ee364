//! Reads and decodes the series of a folder, to be timed from outside: `read FOLDER`.
//!
//! Prints a checksum of the samples, so that a peer's can be compared; `benches/peers/codecs.py` runs it.

use hilum::dicom::{load, read_paths};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Instant;

const MAX_VOXELS: u64 = 1 << 30;

#[expect(
    clippy::print_stdout,
    reason = "the result is for the script that runs this"
)]
fn main() {
    // `cargo bench` adds its own flag.
    let Some(folder) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        return;
    };
    let start = Instant::now();
    let inventory = read_paths(&[PathBuf::from(folder)], &|_| ());
    let series = inventory
        .studies
        .first()
        .and_then(|study| study.series.first())
        .expect("the folder holds one series");
    let volume = load(series, MAX_VOXELS, None).expect("every slice is decoded");
    let wall_s = start.elapsed().as_secs_f64();
    let checksum = match std::env::var_os("CHECKSUM") {
        Some(_) => checksum(&volume.samples),
        None => String::new(),
    };
    println!(r#"{{"wall_s": {wall_s}, "sha256": "{checksum}"}}"#);
}

fn checksum(samples: &[u16]) -> String {
    let mut hash = Sha256::new();
    for sample in samples {
        hash.update(sample.to_le_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
