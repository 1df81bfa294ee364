//! Layers and networks on the CPU engine: CPU time of a thread, GFLOP/s, share of the FMA peak measured in the same run.
//!
//! `cargo bench --bench engine -- [layers] [lite] [light] [full] [AVX-512 | AVX2+FMA | portable]`; the names are those
//! of `benches/peers/network.py`. CPU time rather than wall time, so that a busy machine changes little.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use hilum::engine::cpu::{InstructionSet, Network, multiply_adds};
use hilum::engine::{Activation, ConvParams, Layers, NormParams};
use std::time::Instant;

/// Channels in and out and size of single layers, with kernel 3 and stride 1.
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

/// Least wall and median CPU seconds of a thread.
struct Time {
    wall_s: f64,
    cpu_s: f64,
}

/// CPU seconds of all threads of this process so far.
fn cpu_s() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let ns = threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    ns.sum::<f64>() * 1e-9
}

fn timed(mut work: impl FnMut(), times: usize) -> Time {
    work();
    let threads = rayon::current_num_threads() as f64;
    let (mut wall_s, mut of_cpu) = (f64::INFINITY, Vec::new());
    for _ in 0..times {
        let (start, before) = (Instant::now(), cpu_s());
        work();
        wall_s = wall_s.min(start.elapsed().as_secs_f64());
        of_cpu.push((cpu_s() - before) / threads);
    }
    of_cpu.sort_by(f64::total_cmp);
    Time {
        wall_s,
        cpu_s: of_cpu[times / 2],
    }
}

/// A network of random weights, and its floating-point operations.
struct Random {
    layers: Layers,
    weights: Vec<f32>,
    ones: Vec<f32>,
    flop: f64,
}

impl Random {
    fn new() -> Self {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608e1 - 0.1
        };
        Self {
            layers: Layers::new(1, 0.01),
            weights: (0..640 * 320 * 27).map(|_| next()).collect(),
            ones: vec![1.0; 320],
            flop: 0.0,
        }
    }

    fn conv(&self, [c_in, c_out]: [usize; 2], kernel: usize, stride: usize) -> ConvParams<'_> {
        ConvParams {
            weights: &self.weights[..c_in * c_out * kernel.pow(3)],
            bias: &self.weights[..c_out],
            kernel: [kernel; 3],
            stride: [stride; 3],
        }
    }

    /// A block whose output has `size` voxels along each axis.
    fn block(
        &mut self,
        inputs: &[Activation],
        channels: [usize; 2],
        stride: usize,
        size: usize,
    ) -> Activation {
        let [c_in, c_out] = channels;
        self.flop += 2.0 * (c_in * c_out * 27 * size.pow(3)) as f64;
        let mut layers = std::mem::replace(&mut self.layers, Layers::new(1, 0.01));
        let norm = NormParams {
            gamma: &self.ones[..c_out],
            beta: &self.weights[..c_out],
            epsilon: 1e-5,
        };
        let output = layers.block(inputs, &self.conv(channels, 3, stride), &norm);
        self.layers = layers;
        output
    }

    /// Doubles the size, to `size` voxels along each axis.
    fn upsample(&mut self, input: Activation, channels: [usize; 2], size: usize) -> Activation {
        self.flop += 2.0 * (channels[0] * channels[1] * size.pow(3)) as f64;
        let mut layers = std::mem::replace(&mut self.layers, Layers::new(1, 0.01));
        let output = layers.upsample(input, &self.conv(channels, 2, 2));
        self.layers = layers;
        output
    }

    fn head(mut self, input: Activation, channels: [usize; 2], set: InstructionSet) -> Network {
        let layers = std::mem::replace(&mut self.layers, Layers::new(1, 0.01));
        Network::new(&layers.head(input, &self.conv(channels, 1, 1)), set)
    }
}

/// The U-Net of `benches/peers/network.py` and its floating-point operations.
fn unet(channels: &[usize], size: usize, classes: usize, set: InstructionSet) -> (Network, f64) {
    let mut net = Random::new();
    let mut x = net.layers.input();
    let (mut skips, mut before) = (Vec::new(), 1);
    for (stage, &own) in channels.iter().enumerate() {
        x = net.block(
            &[x],
            [before, own],
            1 + usize::from(stage > 0),
            size >> stage,
        );
        x = net.block(&[x], [own, own], 1, size >> stage);
        skips.push(x);
        before = own;
    }
    for stage in (0..channels.len() - 1).rev() {
        let own = channels[stage];
        x = net.upsample(x, [channels[stage + 1], own], size >> stage);
        x = net.block(&[x, skips[stage]], [2 * own, own], 1, size >> stage);
        x = net.block(&[x], [own, own], 1, size >> stage);
    }
    let flop = net.flop + 2.0 * (channels[0] * classes * size.pow(3)) as f64;
    (net.head(x, [channels[0], classes], set), flop)
}

/// `layers` blocks behind a first one.
fn blocks(layers: usize, c_in: usize, c_out: usize, size: usize, set: InstructionSet) -> Network {
    let mut net = Random::new();
    let input = net.layers.input();
    let mut x = net.block(&[input], [1, c_in], 1, size);
    for _ in 0..layers {
        x = net.block(&[x], [c_in, c_out], 1, size);
    }
    let channels = if layers == 0 { c_in } else { c_out };
    net.head(x, [channels, 1], set)
}

fn time(network: &Network, size: usize, times: usize) -> Time {
    let input: Vec<f32> = (0..size.pow(3)).map(|i| (i % 17) as f32 / 17.0).collect();
    timed(|| drop(network.forward(&input, [size; 3])), times)
}

fn print(name: &str, time: &Time, flop: f64, peak: f64) {
    let rate = flop / time.cpu_s;
    println!(
        "{name:20} {:8.1} ms of CPU a thread, {:8.1} ms wall, {:6.1} GFLOP/s, {:5.1} % of the peak",
        time.cpu_s * 1e3,
        time.wall_s * 1e3,
        rate / 1e9,
        rate / peak * 100.0
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = |what: &str| arguments.iter().any(|argument| argument == what);
    let mut sets = InstructionSet::available().into_iter();
    let set = sets.find(|set| wanted(set.name()));
    let set = set.unwrap_or_else(InstructionSet::detect);
    let mut flop = 0.0;
    let at_peak = timed(|| flop = multiply_adds(set), 9);
    let peak = flop / at_peak.cpu_s;
    print(set.name(), &at_peak, flop, peak);
    if wanted("layers") {
        for (c_in, c_out, size) in LAYERS {
            // What a layer adds to a network, so that input, head and page faults cancel.
            let [without, with] =
                [0, 1].map(|layers| time(&blocks(layers, c_in, c_out, size, set), size, 5));
            let own = Time {
                wall_s: with.wall_s - without.wall_s,
                cpu_s: with.cpu_s - without.cpu_s,
            };
            let flop = 2.0 * (c_in * c_out * 27 * size.pow(3)) as f64;
            print(&format!("{c_in} to {c_out} at {size}^3"), &own, flop, peak);
        }
    }
    let networks: [(&str, &[usize], usize, usize); 3] = [
        ("lite", &[12, 24, 48, 64], 64, 1),
        ("light", &[16, 32, 64, 128], 96, 3),
        ("full", &[32, 64, 128, 256, 320], 96, 3),
    ];
    for (name, channels, size, classes) in networks {
        if wanted(name) {
            let (network, flop) = unet(channels, size, classes, set);
            print(
                &format!("{name} at {size}^3"),
                &time(&network, size, 5),
                flop,
                peak,
            );
        }
    }
}
