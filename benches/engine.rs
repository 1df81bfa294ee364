//! Single layers of kernel 3 on the CPU engine: the least time of nine, GFLOP/s, share of the FMA peak of the same run.
//!
//! `cargo bench --bench engine -- [AVX-512 | AVX2+FMA | portable]`. Whole networks: `hilum bench --network light`.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use hilum::engine::cpu::{InstructionSet, Network, multiply_adds};
use hilum::engine::random;
use std::time::{Duration, Instant};

/// Channels in and out, and voxels along each axis.
const LAYERS: [(usize, usize, usize); 8] = [
    (16, 16, 96),
    (32, 16, 96),
    (32, 32, 96),
    (64, 32, 96),
    (64, 64, 48),
    (128, 128, 24),
    (256, 256, 12),
    (320, 320, 6),
];
const TIMES: usize = 9;
/// Of the layer to be timed in [`random::block`].
const SECOND: usize = 1;

fn least(mut time: impl FnMut() -> Duration) -> f64 {
    time();
    let times = (0..TIMES).map(|_| time().as_secs_f64());
    times.fold(f64::INFINITY, f64::min)
}

fn print(name: &str, seconds: f64, flop: f64, peak: f64) {
    let rate = flop / seconds;
    println!(
        "{name:20} {:8.2} ms, {:6.1} GFLOP/s, {:5.1} % of the peak",
        seconds * 1e3,
        rate / 1e9,
        rate / peak * 100.0
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args().collect();
    let mut sets = InstructionSet::available().into_iter();
    let set = sets.find(|set| wanted.iter().any(|name| name == set.name()));
    let set = set.unwrap_or_else(InstructionSet::detect);
    let mut flop = 0.0;
    let seconds = least(|| {
        let start = Instant::now();
        flop = multiply_adds(set);
        start.elapsed()
    });
    let peak = flop / seconds;
    print(set.name(), seconds, flop, peak);
    for (c_in, c_out, size) in LAYERS {
        let layers = random::block([c_in, c_out]);
        let shapes = layers.shapes([size; 3]).expect("stride 1 divides any size");
        let network = Network::new(&layers, set);
        let input: Vec<f32> = (0..size.pow(3)).map(|i| (i % 17) as f32 / 17.0).collect();
        let seconds = least(|| network.profile(&input, [size; 3]).1[SECOND]);
        let name = format!("{c_in} to {c_out} at {size}^3");
        print(&name, seconds, shapes[SECOND].flop, peak);
    }
}
