//! Layers and peaks on a GPU.

use super::{Measured, Patch, Peak, Run, ms_since};
use crate::cpu;
use crate::engine::Layers;
use crate::engine::gpu::{Network, Tuned, copied_bytes_per_s, multiply_adds_per_s};
use crate::gpu::{Error, Gpu, Pass, Storage};
use std::time::Instant;

/// How often a peak is sought.
const TRIES: usize = 5;

/// Runs the network `repeat` times on a patch that lies on the GPU already.
pub(super) fn measure(
    layers: &Layers,
    patch: &Patch,
    repeat: usize,
    gpu: &Gpu,
) -> Result<Measured, Error> {
    let program = Network::new(layers, gpu)?.program(gpu, patch.size)?;
    drop(program.forward(gpu, &patch.values)?);
    let run = || {
        let start = Instant::now();
        program.record(Pass::new(gpu)?)?.submit()?;
        gpu.wait()?;
        Ok(Run {
            ms: ms_since(start),
            cpu_ms: None,
            layers: program.profile(gpu)?,
        })
    };
    let runs = (0..repeat).map(|_| run()).collect::<Result<_, Error>>()?;
    let best = |rate: &dyn Fn(&Gpu) -> Result<f64, Error>| {
        (0..TRIES).try_fold(0.0, |best: f64, _| {
            Ok::<_, Error>(best.max(rate(gpu)? / 1e9))
        })
    };
    Ok(Measured {
        device: gpu.info().name.clone(),
        instructions: kernels(gpu),
        threads: 1,
        runs,
        peak: Peak {
            fma_gflop_per_s: best(&multiply_adds_per_s)?,
            copy_gb_per_s: best(&copied_bytes_per_s)?,
        },
        peak_memory_mib: cpu::peak_memory_bytes().map(|bytes| bytes >> 20),
    })
}

/// What the network's kernels are made of.
fn kernels(gpu: &Gpu) -> String {
    let plain = match gpu.storage() {
        Storage::F32 => "WGSL, f32",
        Storage::F16 => "WGSL, activations f16",
    };
    let matrices = gpu.matrices();
    let matrices = matrices.map(|m| format!(", matrices {0} × {0}", m.size));
    let tiles = Tuned::of(gpu).identity();
    let tiles = tiles.map(|table| format!(", tiles {table}"));
    format!(
        "{plain}{}{}",
        matrices.unwrap_or_default(),
        tiles.unwrap_or_default()
    )
}
