//! Each preprocessing kernel on the CPU and, where there is an adapter, on the GPU, at a thorax's size.
//!
//! GPU times include waiting for the end, and for rescale the upload.

#![expect(clippy::print_stdout, reason = "a skipped bench says so")]

use criterion::{Criterion, criterion_group, criterion_main};
use glam::DVec3;
use hilum::config::{DeviceConfig, DeviceKind};
use hilum::gpu::{Compute, Gpu, Pass};
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::nnunet::{Decision, Export, Resize, SourceRows, Spacings, gather, logits};
use hilum::preprocess::normalize::{self, Outside, Patch};
use hilum::preprocess::resample;
use hilum::preprocess::slab::{self, Slab};
use hilum::preprocess::{Interpolation, Normalization, rescale, smooth};
use hilum::volume::{Geometry, PADDING_HU, Rescale, SlicePositions, StoredVolume};
use std::hint::black_box;

/// 133 slices of 512 × 512, 2.5 mm apart.
fn thorax() -> StoredVolume {
    let geometry = Geometry::axis_aligned([133, 512, 512], [2.5, 0.7, 0.7], DVec3::ZERO);
    let line = Rescale {
        slope: 1.0,
        intercept: -1024.0,
    };
    StoredVolume {
        geometry,
        slices: SlicePositions::even(),
        samples: (0..geometry.voxel_count())
            .map(|i| u16::try_from((i.wrapping_mul(2_654_435_761) >> 20) % 3000).unwrap_or(0))
            .collect(),
        signed: false,
        rescale: vec![line; geometry.size[0]],
        padding: Some((0, 10)),
        padding_value: PADDING_HU,
    }
}

const NORMALIZATION: Normalization = Normalization {
    lower_hu: -1000.0,
    upper_hu: 400.0,
    subtract_hu: -300.0,
    divide_hu: 350.0,
};

const PATCH: Patch = Patch {
    origin: [40, 60, 60],
    size: [96; 3],
    outside: Outside::Padding,
};

const SEARCH_SIGMA: [f64; 3] = [1.0; 3];

/// nnU-Net's 1.5 mm; the labels of its logits go back to the thorax.
const SPACINGS: Spacings = Spacings {
    from_mm: [2.5, 0.7, 0.7],
    to_mm: [1.5; 3],
    force_separate: None,
};

fn spline(stored: &StoredVolume) -> (Resize, Vec<f32>) {
    let resize = Resize::to_spacing(stored.geometry.size, &SPACINGS).expect("fits");
    (resize, rescale::reference(stored))
}

/// Of 25 classes.
fn export(resize: &Resize) -> Export {
    let back = Resize::to_size(resize.to(), resize.from(), &SPACINGS.reversed());
    Export {
        resize: back.expect("fits"),
        decision: Decision::Largest(25),
        probabilities: Vec::new(),
    }
}

fn logits_of(which: &SourceRows, logits: &mut [f32]) {
    let seed = (which.class * 31 + which.z * 7) % 101;
    for (i, logit) in logits.iter_mut().enumerate() {
        *logit = ((i + seed) % 97) as f32;
    }
}

fn on_cpu(c: &mut Criterion) {
    let stored = thorax();
    let grid = stored.geometry.covering([1.5; 3]);
    let search = stored.geometry.covering([2.0; 3]);
    let mut group = c.benchmark_group("cpu");
    group.sample_size(10);
    group.bench_function("rescale", |b| {
        b.iter(|| rescale::reference(black_box(&stored)));
    });
    for (name, interpolation) in [
        ("resample trilinear 1.5 mm", Interpolation::Trilinear),
        ("resample cubic 1.5 mm", Interpolation::Cubic),
    ] {
        let mapping = Mapping::new(&stored.geometry, &grid, interpolation);
        group.bench_function(name, |b| {
            b.iter(|| resample::from_stored(&mapping, &stored));
        });
    }
    let mapping = Mapping::new(&stored.geometry, &search, Interpolation::Trilinear);
    let search_hu = resample::from_stored(&mapping, &stored);
    group.bench_function("smooth 2 mm", |b| {
        b.iter(|| smooth::reference(search.size, SEARCH_SIGMA, black_box(&search_hu)));
    });
    let hu = resample::from_stored(
        &Mapping::new(&stored.geometry, &grid, Interpolation::Trilinear),
        &stored,
    );
    let (resize, values) = spline(&stored);
    group.bench_function("nnunet cubic 1.5 mm", |b| {
        b.iter(|| resize.cubic(black_box(&values)));
    });
    let export = export(&resize);
    group.bench_function("nnunet export of 25 classes", |b| {
        b.iter(|| export.run(logits_of));
    });
    group.bench_function("normalize 96³", |b| {
        b.iter(|| normalize::reference(&hu, &grid, PATCH, &NORMALIZATION));
    });
}

fn on_gpu(c: &mut Criterion) {
    let config = DeviceConfig {
        kind: DeviceKind::Gpu,
        ..DeviceConfig::default()
    };
    let gpu = match Compute::select(&config) {
        Ok((Compute::Gpu(gpu), _)) => gpu,
        other => {
            println!("SKIPPED, NO GPU: {other:?}");
            return;
        }
    };
    let stored = thorax();
    let grid = stored.geometry.covering([1.5; 3]);
    let slabs = slab::allocate(&gpu, grid.size).expect("allocates");
    let mut group = c.benchmark_group(format!("gpu, {}", gpu.info().name));
    group.sample_size(10);
    group.bench_function("rescale", |b| {
        b.iter(|| each_source_slab(&gpu, &stored, |_, _, _| ()));
    });
    for (name, interpolation) in [
        (
            "rescale and resample trilinear 1.5 mm",
            Interpolation::Trilinear,
        ),
        ("rescale and resample cubic 1.5 mm", Interpolation::Cubic),
    ] {
        let mapping = Mapping::new(&stored.geometry, &grid, interpolation);
        group.bench_function(name, |b| {
            b.iter(|| {
                each_source_slab(&gpu, &stored, |pass, source, hu| {
                    for target in &slabs {
                        resample::record(pass, &mapping, (source, hu), target).expect("records");
                    }
                });
            });
        });
    }
    group.bench_function("smooth 2 mm", |b| {
        let search = slab::whole(&gpu, stored.geometry.covering([2.0; 3]).size).expect("allocates");
        let size = stored.geometry.covering([2.0; 3]).size;
        b.iter(|| {
            let mut pass = Pass::new(&gpu).expect("pass");
            let smoothed =
                smooth::record(&mut pass, size, SEARCH_SIGMA, &search.hu).expect("records");
            pass.submit().expect("runs");
            gpu.wait().expect("no fault");
            smoothed
        });
    });
    let (resize, values) = spline(&stored);
    group.bench_function("nnunet cubic 1.5 mm, uploads too", |b| {
        b.iter(|| gather::cubic(&gpu, &resize, &values).expect("runs"));
    });
    let export = export(&resize);
    let ready = logits::GpuExport::new(&gpu, &export).expect("uploads");
    group.bench_function(
        "nnunet export of 25 classes, uploads and downloads too",
        |b| {
            b.iter(|| ready.run(&gpu, logits_of).expect("runs"));
        },
    );
    group.bench_function("normalize 96³", |b| {
        let patch = gpu.output::<f32>("patch", PATCH.size.iter().product());
        let patch = patch.expect("allocates");
        b.iter(|| normalize_once(&gpu, &slabs, grid.size, patch.binding()));
    });
}

fn each_source_slab(
    gpu: &Gpu,
    stored: &StoredVolume,
    mut then: impl FnMut(&mut Pass<'_>, &slab::SourceSlices, &hilum::gpu::Buffer<f32>),
) {
    for source in slab::source_slabs(gpu, stored.geometry.size).expect("fits") {
        let mut pass = Pass::new(gpu).expect("pass");
        let hu = rescale::record(&mut pass, stored, source.loaded.clone()).expect("records");
        then(&mut pass, &source, &hu);
        pass.submit().expect("runs");
        gpu.wait().expect("no fault");
    }
}

fn normalize_once(gpu: &Gpu, slabs: &[Slab], size: [usize; 3], output: hilum::gpu::Binding<'_>) {
    let mut pass = Pass::new(gpu).expect("pass");
    normalize::record(&mut pass, (slabs, size), PATCH, &NORMALIZATION, output).expect("records");
    pass.submit().expect("runs");
    gpu.wait().expect("no fault");
}

criterion_group!(benches, on_cpu, on_gpu);
criterion_main!(benches);
