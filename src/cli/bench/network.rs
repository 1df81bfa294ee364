//! `hilum bench --network`: each layer's time, and its share of what the device could do at most.

mod gpu;
mod table;

use super::{BenchArgs, ms_since};
use crate::config::{Config, DeviceConfig};
use crate::engine::cpu::{self as cpu_engine, InstructionSet};
use crate::engine::{LayerShape, Layers, random};
use crate::gpu::Compute;
use crate::model::{self, ModelSource};
use crate::{Error, cpu};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Voxels along each axis of a patch for a network that has none of its own.
const SIZE: usize = 96;
/// Values copied to measure the bandwidth of memory, of which no cache holds more than a part.
const COPIED: usize = 32 << 20;
/// How long a peak is sought.
const SOUGHT: Duration = Duration::from_millis(200);

/// Figures of one `hilum bench --network`; the format of its `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: String,
    git_hash: String,
    device: String,
    /// Vector instructions of the CPU; language of the kernels and precision on a GPU.
    instructions: String,
    threads: usize,
    network: Network,
    layers: Vec<Layer>,
    peak: Peak,
    /// Of this process until the last run of the network.
    peak_memory_mib: Option<u64>,
}

/// The network as a whole: medians of the runs.
#[derive(Debug, Serialize)]
struct Network {
    name: String,
    /// Voxels of the patch along z, y, x.
    size: [usize; 3],
    runs: usize,
    gflop: f64,
    median_ms: f64,
    /// Of all threads together; absent where the system does not tell.
    median_cpu_ms: Option<f64>,
    gflop_per_s: f64,
    share_of_peak: f64,
}

/// One layer: the median of the runs.
#[derive(Debug, Serialize)]
struct Layer {
    #[serde(flatten)]
    shape: LayerShape,
    ms: f64,
    gflop_per_s: f64,
    /// Of `peak.fma_gflop_per_s`, 0 to 1.
    share_of_peak: f64,
    /// Of inputs, weights and output, each once.
    gb_per_s: f64,
    /// Of `peak.copy_gb_per_s`; above 1 where caches hold what a layer reads.
    share_of_copy: f64,
}

/// What the device could do at most, measured in the same run.
#[derive(Debug, Clone, Copy, Serialize)]
struct Peak {
    /// Multiply-adds in registers, on every thread.
    fma_gflop_per_s: f64,
    /// Copying memory: bytes read and bytes written.
    copy_gb_per_s: f64,
}

/// What a device's engine measured.
struct Measured {
    device: String,
    instructions: String,
    threads: usize,
    runs: Vec<Run>,
    peak: Peak,
    peak_memory_mib: Option<u64>,
}

struct Run {
    ms: f64,
    cpu_ms: Option<f64>,
    layers: Vec<Duration>,
}

/// Runs the network called `name`: light, full, or a model.
///
/// # Errors
/// No such model, device or instructions; a size that the network's strides do not divide.
pub(super) fn measure(name: &str, args: &BenchArgs) -> Result<Report, Error> {
    let mut config = Config::default();
    args.device.apply(&mut config.device);
    let (layers, own_size) = layers(name, &config)?;
    let size = args.size.map_or(own_size, |size| [size.into(); 3]);
    let shapes = layers.shapes(size)?;
    let patch = Patch {
        values: ramp(shapes[0].channels_in * size.iter().product::<usize>()),
        size,
    };
    let measured = on_device(layers, &patch, args.repeat.max(1), &config.device)?;
    Ok(report(name, size, shapes, measured))
}

/// The layers of a network, and the size of its patch.
pub(super) fn layers(name: &str, config: &Config) -> Result<(Layers, [usize; 3]), Error> {
    let channels = match name {
        "light" => random::LIGHT,
        "full" => random::FULL,
        _ => {
            let source = ModelSource::find(name, &config.models.dir)?;
            let model::Definition {
                manifest,
                network: layers,
                ..
            } = model::definition(&source)?;
            return Ok((layers, manifest.input.patch));
        }
    };
    Ok((random::unet(channels, random::CLASSES), [SIZE; 3]))
}

/// What the network is run on.
struct Patch {
    /// `[channels, z, y, x]`.
    values: Vec<f32>,
    size: [usize; 3],
}

/// Values from 0 to 1: what they are does not matter.
fn ramp(count: usize) -> Vec<f32> {
    let shares = (0..17u8).map(|i| f32::from(i) / 17.0);
    shares.cycle().take(count).collect()
}

/// Times the layers on the device that was asked for: the one place that knows every device's engine.
fn on_device(
    layers: Layers,
    patch: &Patch,
    repeat: usize,
    device: &DeviceConfig,
) -> Result<Measured, Error> {
    match Compute::select(device)?.0 {
        Compute::Gpu(gpu) => Ok(gpu::measure(&layers, patch, repeat, &gpu)?),
        Compute::Cpu => {
            let set = InstructionSet::select(device.instructions)?;
            Ok(on_cpu(layers, patch, repeat, set))
        }
    }
}

fn on_cpu(layers: Layers, patch: &Patch, repeat: usize, set: InstructionSet) -> Measured {
    let network = cpu_engine::Network::new(&layers, set);
    drop(layers);
    drop(network.forward(&patch.values, patch.size));
    let mut fma_gflop_per_s: f64 = 0.0;
    let mut run = || {
        let rate = best_rate(|| cpu_engine::multiply_adds(set));
        fma_gflop_per_s = fma_gflop_per_s.max(rate);
        let (start, busy_s) = (Instant::now(), cpu::busy_s());
        let (_, layers) = network.profile(&patch.values, patch.size);
        let ms = ms_since(start);
        let busy_s = cpu::busy_s().zip(busy_s).map(|(end, start)| end - start);
        Run {
            ms,
            cpu_ms: busy_s.map(|s| s * 1e3),
            layers,
        }
    };
    let runs = (0..repeat).map(|_| run()).collect();
    // Copying takes memory of its own.
    let peak_memory_mib = cpu::peak_memory_bytes().map(|bytes| bytes >> 20);
    let (from, mut to) = (vec![1.0; COPIED], vec![0.0; COPIED]);
    Measured {
        device: cpu::model_name(),
        instructions: set.name().into(),
        threads: rayon::current_num_threads(),
        runs,
        peak: Peak {
            fma_gflop_per_s,
            copy_gb_per_s: best_rate(|| cpu_engine::copy(&from, &mut to)),
        },
        peak_memory_mib,
    }
}

/// Billions a second of what `work` says that it did, in the best of some tries.
fn best_rate(mut work: impl FnMut() -> f64) -> f64 {
    let mut rate = || {
        let start = Instant::now();
        work() / start.elapsed().as_secs_f64() / 1e9
    };
    let (start, mut best) = (Instant::now(), rate());
    while start.elapsed() < SOUGHT {
        best = best.max(rate());
    }
    best
}

fn report(name: &str, size: [usize; 3], shapes: Vec<LayerShape>, measured: Measured) -> Report {
    let Measured { runs, peak, .. } = measured;
    let gflop = shapes.iter().map(|shape| shape.flop).sum::<f64>() / 1e9;
    let median_ms = median(runs.iter().map(|run| run.ms));
    let cpu_ms: Option<Vec<f64>> = runs.iter().map(|run| run.cpu_ms).collect();
    let layers = shapes.into_iter().enumerate().map(|(number, shape)| {
        let seconds = median(runs.iter().map(|run| run.layers[number].as_secs_f64()));
        Layer::new(shape, seconds, peak)
    });
    Report {
        version: env!("CARGO_PKG_VERSION").into(),
        git_hash: env!("HILUM_GIT_HASH").into(),
        device: measured.device,
        instructions: measured.instructions,
        threads: measured.threads,
        network: Network {
            name: name.to_owned(),
            size,
            runs: runs.len(),
            gflop,
            median_ms,
            median_cpu_ms: cpu_ms.map(|ms| median(ms.into_iter())),
            gflop_per_s: gflop / median_ms * 1e3,
            share_of_peak: gflop / median_ms * 1e3 / peak.fma_gflop_per_s,
        },
        layers: layers.collect(),
        peak,
        peak_memory_mib: measured.peak_memory_mib,
    }
}

impl Layer {
    fn new(shape: LayerShape, seconds: f64, peak: Peak) -> Self {
        let gflop_per_s = shape.flop / seconds / 1e9;
        let gb_per_s = shape.bytes / seconds / 1e9;
        Self {
            shape,
            ms: seconds * 1e3,
            gflop_per_s,
            share_of_peak: gflop_per_s / peak.fma_gflop_per_s,
            gb_per_s,
            share_of_copy: gb_per_s / peak.copy_gb_per_s,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
