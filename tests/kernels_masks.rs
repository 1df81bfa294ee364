//! The kernels of the masks against their CPU references: equal to the bit, over random shapes.

mod common;

use common::gpu;
use glam::DVec3;
use hilum::gpu::{Buffer, Gpu, Pass};
use hilum::preprocess::distance::{self, Search};
use hilum::preprocess::label::{self, Connectivity};
use hilum::preprocess::{air, lungs, padding};
use hilum::volume::Geometry;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEEDS: std::ops::Range<u64> = 0..12;
const CONNECTIVITIES: [Connectivity; 2] = [Connectivity::Faces, Connectivity::Corners];

/// Sizes with a single voxel, a prime and more than a workgroup along each axis.
fn random_size(rng: &mut impl Rng) -> [usize; 3] {
    std::array::from_fn(|_| [1, 2, 5, 9, 13, 37][rng.random_range(0..6)])
}

fn random_mask(rng: &mut impl Rng, size: [usize; 3], density: f64) -> Vec<u8> {
    let voxels = 0..size.iter().product();
    voxels.map(|_| u8::from(rng.random_bool(density))).collect()
}

fn words(gpu: &Gpu, values: &[u8]) -> Buffer<u32> {
    let words: Vec<u32> = values.iter().map(|&v| u32::from(v)).collect();
    gpu.upload("words", &words).expect("uploads")
}

fn components(gpu: &Gpu, mask: &[u8], size: [usize; 3], connectivity: Connectivity) -> Vec<u32> {
    let mut pass = Pass::new(gpu).expect("pass");
    let labels = label::record(&mut pass, &words(gpu, mask), size, connectivity).expect("records");
    pass.submit().expect("runs");
    gpu.download(&labels).expect("reads back")
}

#[test]
fn components_equal_their_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let density = rng.random_range(0.05..0.95);
        let mask = random_mask(rng, size, density);
        for connectivity in CONNECTIVITIES {
            assert_eq!(
                components(&gpu, &mask, size, connectivity),
                label::reference(&mask, size, connectivity),
                "seed {seed}, {size:?}, {connectivity:?}"
            );
        }
    }
}

/// Densities near the percolation threshold make the longest, most tangled components.
#[test]
fn tangled_components_of_a_larger_volume_equal_their_reference() {
    let Some(gpu) = gpu() else { return };
    let size = [61, 67, 71];
    for (connectivity, density) in CONNECTIVITIES.into_iter().zip([0.32, 0.1]) {
        let mask = random_mask(&mut ChaCha8Rng::seed_from_u64(7), size, density);
        let wanted = label::reference(&mask, size, connectivity);
        for _ in 0..3 {
            assert!(components(&gpu, &mask, size, connectivity) == wanted);
        }
    }
}

#[test]
fn one_long_winding_component_is_one_component() {
    let Some(gpu) = gpu() else { return };
    let size = [9, 65, 65];
    let mask: Vec<u8> = (0..9 * 65 * 65)
        .map(|i| {
            let (z, y, x) = (i / (65 * 65), i / 65 % 65, i % 65);
            let turn_x = if y / 2 % 2 == 0 { 64 } else { 0 };
            let in_layer = y % 2 == 0 || x == turn_x;
            let turn_y = if z / 2 % 2 == 0 { 64 } else { 0 };
            let through = y == turn_y && x == turn_y;
            u8::from(if z % 2 == 0 { in_layer } else { through })
        })
        .collect();
    let found = components(&gpu, &mask, size, Connectivity::Faces);
    let wanted: Vec<u32> = mask.iter().map(|&v| u32::from(v)).collect();
    assert!(found == wanted);
}

#[test]
fn distances_equal_their_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let density = [0.0, 0.002, 0.02, 0.5][rng.random_range(0..4)];
        let mask = random_mask(rng, size, density);
        let seed_value = u16::from(rng.random::<bool>());
        let search = Search {
            seeds: seed_value..=seed_value,
            size,
            radius_voxels: rng.random_range(0..15),
        };
        let mut pass = Pass::new(&gpu).expect("pass");
        let output = distance::record(&mut pass, &words(&gpu, &mask), &search).expect("records");
        pass.submit().expect("runs");
        let found = distance::download(&gpu, &output).expect("reads back");
        assert_eq!(found, distance::reference(&mask, &search), "seed {seed}");
    }
}

#[test]
fn padding_and_air_equal_their_references() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let voxels = size.iter().product();
        let values = [-1024.0, -1023.0, -1000.0, -400.0, -400.1, 35.0];
        let hu: Vec<f32> = (0..voxels)
            .map(|_| values[rng.random_range(0..6)])
            .collect();
        let near: Vec<u8> = (0..voxels).map(|_| rng.random_range(0..20)).collect();
        let mut pass = Pass::new(&gpu).expect("pass");
        let input = gpu.upload("HU", &hu).expect("uploads");
        let found_padding = padding::record(&mut pass, &input, size).expect("records");
        let found_air =
            air::record(&mut pass, &input, &words(&gpu, &near), 9, size).expect("records");
        pass.submit().expect("runs");
        let as_words = |mask: Vec<u8>| mask.into_iter().map(u32::from).collect::<Vec<_>>();
        let wide: Vec<u16> = near.iter().map(|&v| u16::from(v)).collect();
        assert_eq!(
            gpu.download(&found_padding).expect("reads back"),
            as_words(padding::reference(&hu)),
            "seed {seed}"
        );
        assert_eq!(
            gpu.download(&found_air).expect("reads back"),
            as_words(air::reference(&hu, &wide, 9)),
            "seed {seed}"
        );
    }
}

/// A noisy chest in a round field of view: padding, room air, body, `lungs` of two, -850 HU.
fn chest(size: [usize; 3], lungs: usize) -> Vec<f32> {
    let rng = &mut ChaCha8Rng::seed_from_u64(11);
    let [nz, ny, nx] = size;
    let inside = |p: [f64; 3], centre: [f64; 3], radii: [f64; 3]| {
        let terms = (0..3).map(|k| ((p[k] - centre[k]) / radii[k]).powi(2));
        terms.sum::<f64>() < 1.0
    };
    (0..nz * ny * nx)
        .map(|i| {
            let relative = |k: usize, n: usize| k as f64 / n as f64;
            let p = [
                relative(i % nx, nx),
                relative(i / nx % ny, ny),
                relative(i / (nx * ny), nz),
            ];
            let lung_x = [0.3, 0.7];
            let in_lung = |x: &f64| inside(p, [*x, 0.5, 0.5], [0.15, 0.25, 0.4]);
            let noise = rng.random_range(-30.0..30.0);
            if !inside(p, [0.5; 3], [0.49, 0.49, 1e3]) {
                -1024.0
            } else if lung_x[..lungs].iter().any(in_lung) {
                -850.0 + noise
            } else if inside(p, [0.5; 3], [0.45, 0.35, 1e3]) {
                noise
            } else {
                -1000.0 + noise / 3.0
            }
        })
        .collect()
}

#[test]
fn masks_of_body_and_lungs_equal_their_reference() {
    let Some(gpu) = gpu() else { return };
    let grid = Geometry::axis_aligned([60, 70, 90], [2.0; 3], DVec3::new(-90.0, -70.0, 0.0));
    for (lungs, expected) in [(2, true), (1, true), (0, false)] {
        let hu = chest(grid.size, lungs);
        let wanted = lungs::reference(&hu, &grid);
        assert_eq!(wanted.found, expected, "{lungs} lungs");
        let found = lungs::on_gpu(&gpu, &hu, &grid).expect("runs");
        assert!(found == wanted, "{lungs} lungs");
    }
}
