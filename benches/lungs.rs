//! Masks of body and lungs of a thorax on a 2 mm grid, and the kernels below them, on the CPU.

use criterion::{Criterion, criterion_group, criterion_main};
use glam::DVec3;
use hilum::preprocess::distance::{self, Search};
use hilum::preprocess::label::{self, Connectivity};
use hilum::preprocess::lungs;
use hilum::volume::Geometry;
use std::hint::black_box;

/// A thorax of 350 x 420 x 420 mm.
const SIZE: [usize; 3] = [175, 210, 210];

/// Two ellipsoids of lung in an elliptic body in room air.
fn chest() -> Vec<f32> {
    let [nz, ny, nx] = SIZE;
    let within = |p: [f64; 3], x: f64, radii: [f64; 3]| {
        let [dx, dy, dz] = [p[0] - x, p[1] - 0.5, p[2] - 0.5];
        (dx / radii[0]).powi(2) + (dy / radii[1]).powi(2) + (dz / radii[2]).powi(2) < 1.0
    };
    (0..nz * ny * nx)
        .map(|i| {
            let p = [(i % nx, nx), (i / nx % ny, ny), (i / (nx * ny), nz)];
            let p = p.map(|(k, n)| k as f64 / n as f64);
            if [0.32, 0.68]
                .iter()
                .any(|&x| within(p, x, [0.13, 0.22, 0.42]))
            {
                -850.0
            } else if within(p, 0.5, [0.4, 0.3, 1e3]) {
                40.0
            } else {
                -1000.0
            }
        })
        .collect()
}

fn masks(c: &mut Criterion) {
    let grid = Geometry::axis_aligned(SIZE, [2.0; 3], DVec3::ZERO);
    let hu = chest();
    let air: Vec<u8> = hu.iter().map(|&v| u8::from(v < -400.0)).collect();
    let search = Search {
        seeds: 1..=1,
        size: SIZE,
        radius_voxels: 13,
    };
    let mut group = c.benchmark_group("lungs");
    group.sample_size(10);
    group.bench_function("masks", |b| {
        b.iter(|| lungs::reference(black_box(&hu), &grid));
    });
    group.bench_function("components", |b| {
        b.iter(|| label::reference(black_box(&air), SIZE, Connectivity::Faces));
    });
    group.bench_function("distance", |b| {
        b.iter(|| distance::reference(black_box(&air), &search));
    });
    group.finish();
}

criterion_group!(benches, masks);
criterion_main!(benches);
