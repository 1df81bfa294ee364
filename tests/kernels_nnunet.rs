//! nnU-Net's resampling and export on the GPU against their references, whole and in parts.

mod common;

use common::gpu;
use hilum::gpu::Gpu;
use hilum::preprocess::nnunet::logits::GpuExport;
use hilum::preprocess::nnunet::{Decision, Export, Exported, Resize, SourceRows, Spacings, gather};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEEDS: std::ops::Range<u64> = 0..16;

/// Sizes with a single voxel, less and more than a spline's neighbours, and more than a workgroup.
fn random_size(rng: &mut impl Rng) -> [usize; 3] {
    std::array::from_fn(|_| [1, 2, 3, 5, 8, 13, 31, 47][rng.random_range(0..8)])
}

/// Of any two sizes, with or without a separate axis.
fn random_resize(rng: &mut impl Rng) -> Resize {
    let (from, to) = (random_size(rng), random_size(rng));
    let mut from_mm = [1.0; 3];
    if rng.random() {
        from_mm[rng.random_range(0..3)] = 5.0;
    }
    let spacings = Spacings {
        from_mm,
        to_mm: [1.0; 3],
        force_separate: None,
    };
    Resize::to_size(from, to, &spacings).expect("fits")
}

fn random_values(rng: &mut impl Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-5.0..5.0)).collect()
}

fn cubic(gpu: &Gpu, resize: &Resize, values: &[f32]) -> Vec<f32> {
    let slabs = gather::cubic(gpu, resize, values).expect("runs");
    let read = |slab: &hilum::preprocess::slab::Slab| gpu.download(&slab.hu).expect("reads back");
    slabs.iter().flat_map(read).collect()
}

/// Sums of 32 products in f32 along each of three axes, of noise between -5 and 5; the reference sums in f64.
const CUBIC_TOLERANCE: f32 = 2e-5;

#[test]
fn cubic_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let resize = random_resize(rng);
        let values = random_values(rng, resize.from().iter().product());
        let found = cubic(&gpu, &resize, &values);
        let wanted = resize.cubic(&values);
        assert_eq!(found.len(), wanted.len());
        let off = found.iter().zip(&wanted).map(|(f, w)| (f - w).abs());
        // Not a number where a kernel left its output as it was.
        let worst = off.fold(
            0.0,
            |worst: f32, off| if off <= worst { worst } else { off },
        );
        assert!(worst <= CUBIC_TOLERANCE, "seed {seed}: {worst}, {resize:?}");
    }
}

#[test]
fn cubic_in_slabs_equals_cubic_in_one_piece_to_the_bit() {
    let Some(gpu) = gpu() else { return };
    let bits = |values: Vec<f32>| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let resize = random_resize(rng);
        let values = random_values(rng, resize.from().iter().product());
        let whole = cubic(&gpu, &resize, &values);
        // All neighbours of one slice, and a table of weights.
        let [_, rows, columns] = resize.to();
        let [_, from_rows, from_columns] = resize.from();
        let widest = from_rows * from_columns.max(columns);
        let least = (33 * rows * columns).max(widest).max(47 * 32);
        let parts = gpu.with_binding_limit_bytes(4 * least as u64);
        let found = cubic(&parts, &resize, &values);
        assert_eq!(bits(found), bits(whole), "seed {seed}, {resize:?}");
    }
}

fn random_export(rng: &mut impl Rng) -> (Export, Vec<f32>) {
    let resize = random_resize(rng);
    let classes = rng.random_range(1..6);
    let regions = (0..classes).map(|i: u16| (i * 7 + 3) % 11).collect();
    let export = Export {
        resize,
        decision: match rng.random() {
            true => Decision::Largest(classes.into()),
            false => Decision::Regions(regions),
        },
        probabilities: vec![0, usize::from(classes) - 1],
    };
    let voxels = resize.from().iter().product::<usize>() * usize::from(classes);
    (export, random_values(rng, voxels))
}

fn reader(export: &Export, logits: &[f32]) -> impl Fn(&SourceRows, &mut [f32]) {
    let [slices, rows, columns] = export.resize.from();
    move |which, output| {
        let first = ((which.class * slices + which.z) * rows + which.rows.start) * columns;
        output.copy_from_slice(&logits[first..][..output.len()]);
    }
}

fn on_gpu(gpu: &Gpu, export: &Export, logits: &[f32]) -> Exported {
    let ready = GpuExport::new(gpu, export).expect("uploads");
    ready.run(gpu, reader(export, logits)).expect("runs")
}

/// Products may be fused with sums, which moves logits below 5 by less than 1e-6, and `exp` is less exact on a GPU.
const PROBABILITY_TOLERANCE: f32 = 1e-5;

/// Labels may differ where the two largest logits, or a region's and 0, are nearer than rounding; of random ones that is
/// less than one in a thousand.
const DIFFERING_LABELS: f64 = 0.001;

#[test]
fn export_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (export, logits) = random_export(rng);
        let found = on_gpu(&gpu, &export, &logits);
        let wanted = export.run(reader(&export, &logits));
        assert_eq!(found.labels.len(), wanted.labels.len());
        let labels = found.labels.iter().zip(&wanted.labels);
        let differing = labels.filter(|(f, w)| f != w).count() as f64;
        assert!(
            differing <= DIFFERING_LABELS * found.labels.len() as f64,
            "seed {seed}"
        );
        for (found, wanted) in found.probabilities.iter().zip(&wanted.probabilities) {
            for (f, w) in found.iter().zip(wanted) {
                assert!(
                    (f - w).abs() <= PROBABILITY_TOLERANCE,
                    "seed {seed}: {f}, not {w}"
                );
            }
        }
    }
}

#[test]
fn export_in_parts_equals_export_in_one_piece_to_the_bit() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (export, logits) = random_export(rng);
        // Four rows of a slice and the one above, and the tables of all axes.
        let row = export.resize.from()[2] * export.decision.classes();
        let least = (8 * row).max(export.resize.to()[2]).max(3 * 47 * 3);
        let parts = gpu.with_binding_limit_bytes(4 * least as u64);
        let whole = on_gpu(&gpu, &export, &logits);
        assert_eq!(on_gpu(&parts, &export, &logits), whole, "seed {seed}");
    }
}

#[test]
fn what_fits_no_binding_is_refused_by_code() {
    let Some(gpu) = gpu() else { return };
    let small = gpu.with_binding_limit_bytes(4 * 1000);
    let spacings = Spacings {
        from_mm: [1.0; 3],
        to_mm: [1.0; 3],
        force_separate: None,
    };
    let resize = Resize::to_size([4, 40, 40], [5, 50, 50], &spacings).expect("fits");
    let error = gather::cubic(&small, &resize, &vec![0.0; 6400]).expect_err("a slice of 10 kB");
    assert_eq!(error.code(), "gpu-buffer-too-large");
}
