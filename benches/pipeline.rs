//! The stages of the main job on the phantom of `testdata/`, without the network (`hilum bench` times that).

use criterion::{Criterion, criterion_group, criterion_main};
use hilum::dicom::{load, read_paths};
use hilum::gpu::Compute;
use hilum::lesion::{self, Kind};
use hilum::preprocess::{self, GridHu, Interpolation, Plan};
use hilum::volume::{ProbabilityMap, StoredVolume};
use hilum::{config::CandidatesConfig, pipeline};
use std::hint::black_box;
use std::path::PathBuf;

const MAX_VOXELS: u64 = 1 << 30;
const MODEL_SPACING_MM: [f64; 3] = [1.0; 3];

fn series_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest/series")
}

fn stored() -> StoredVolume {
    let inventory = read_paths(&[series_folder()], &|_| {});
    load(&inventory.studies[0].series[0], MAX_VOXELS, None)
        .expect("the committed phantom is readable")
}

fn reading(c: &mut Criterion) {
    c.bench_function("headers of 96 slices", |b| {
        b.iter(|| read_paths(&[series_folder()], &|_| {}));
    });
    let inventory = read_paths(&[series_folder()], &|_| {});
    let series = &inventory.studies[0].series[0];
    c.bench_function("decode 96 native slices", |b| {
        b.iter(|| load(series, MAX_VOXELS, None));
    });
}

fn after_reading(c: &mut Criterion) {
    let stored = stored();
    let grid = stored.geometry.covering(MODEL_SPACING_MM);
    let plan = Plan {
        grid,
        interpolation: Interpolation::Trilinear,
    };
    c.bench_function("preprocess on the CPU", |b| {
        b.iter(|| preprocess::run(&Compute::Cpu, black_box(&stored), &plan));
    });

    let prepared =
        preprocess::run(&Compute::Cpu, &stored, &plan).expect("the phantom is a valid volume");
    let GridHu::Cpu(hu) = prepared.hu else {
        unreachable!("prepared on the CPU")
    };
    // Everything denser than lung inside the lungs' surroundings: many components, more than a network would leave.
    let probability = ProbabilityMap {
        geometry: grid,
        voxels: hu.iter().map(|hu| f32::from(*hu > 200.0)).collect(),
    };
    let params = lesion::Params {
        kind: Kind::LungNodule,
        terms: Kind::LungNodule.into(),
        threshold: 0.5,
        min_volume_mm3: 20.0,
        merge_distance_mm: 2.0,
    };
    let keep = CandidatesConfig::default();
    c.bench_function("lesions and measurements", |b| {
        b.iter(|| {
            pipeline::lesions(black_box(&probability), &stored, &params, &keep, |p| {
                prepared.lungs.side(p)
            })
        });
    });
}

criterion_group!(benches, reading, after_reading);
criterion_main!(benches);
