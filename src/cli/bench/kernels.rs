//! Time of each kernel: the GPU's own timestamps, or on the CPU the references one by one.

use super::{KernelFigure, ms_since};
use crate::gpu::Compute;
use crate::pipeline::Pipeline;
use crate::preprocess::mapping::Mapping;
use crate::preprocess::{Interpolation, lungs, normalize, resample, smooth};
use crate::volume::StoredVolume;
use anyhow::Context;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

pub(super) fn measure(
    pipeline: &Pipeline,
    volume: &StoredVolume,
    no_network: bool,
) -> anyhow::Result<BTreeMap<String, KernelFigure>> {
    match pipeline.compute() {
        Compute::Cpu => on_cpu(pipeline, volume),
        Compute::Gpu(_) => {
            let mut kernels = BTreeMap::<String, KernelFigure>::new();
            for time in pipeline.profile(0, volume, no_network)? {
                let figure = kernels.entry(time.kernel.to_owned()).or_default();
                figure.dispatches += 1;
                figure.total_ms += time.ms;
            }
            Ok(kernels)
        }
    }
}

fn on_cpu(
    pipeline: &Pipeline,
    volume: &StoredVolume,
) -> anyhow::Result<BTreeMap<String, KernelFigure>> {
    let manifest = pipeline
        .manifests()
        .next()
        .context("one model is enabled")?;
    let interpolation = Interpolation::Trilinear;
    let mut kernels = BTreeMap::new();
    let mut time = |name: &str, start: Instant| {
        kernels.insert(
            name.to_owned(),
            KernelFigure {
                dispatches: 1,
                total_ms: ms_since(start),
            },
        )
    };

    let grid = volume.geometry.covering(manifest.input.spacing_mm);
    let start = Instant::now();
    let hu = resample::from_stored(&Mapping::of_stack(volume, &grid, interpolation), volume);
    time("resample", start);
    let start = Instant::now();
    let whole = normalize::Patch {
        origin: [0; 3],
        size: grid.size,
        outside: normalize::Outside::Padding,
    };
    let normalized = normalize::reference(&hu, &grid, whole, &manifest.normalization());
    time("normalize", start);
    black_box(normalized);
    let coarse = volume.geometry.covering([2.0; 3]);
    let coarse_hu =
        resample::from_stored(&Mapping::of_stack(volume, &coarse, interpolation), volume);
    let start = Instant::now();
    let smoothed = smooth::reference(coarse.size, [1.0; 3], &coarse_hu);
    time("smooth", start);
    let start = Instant::now();
    let found = lungs::reference(&smoothed, &coarse);
    time("lungs", start);
    black_box(found);
    Ok(kernels)
}
