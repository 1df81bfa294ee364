//! Every kernel against its CPU reference over random shapes, on whatever adapter there is.
//!
//! Without an adapter the tests say so and pass; with `REQUIRE_GPU=1` they fail.

use glam::DVec3;
use hilum::config::{DeviceConfig, DeviceKind};
use hilum::gpu::{Compute, Gpu, Pass};
use hilum::preprocess::rescale;
use hilum::volume::{Geometry, Rescale, StoredVolume};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The GPU, for one test at a time: all work on a device belongs to one thread.
fn gpu() -> Option<MutexGuard<'static, Gpu>> {
    static GPU: OnceLock<Option<Mutex<Gpu>>> = OnceLock::new();
    let opened = GPU.get_or_init(|| {
        let config = DeviceConfig {
            kind: DeviceKind::Gpu,
            ..DeviceConfig::default()
        };
        match Compute::select(&config) {
            Ok((Compute::Gpu(gpu), _)) => Some(Mutex::new(gpu)),
            Ok((Compute::Cpu, _)) => unreachable!("gpu never falls back"),
            Err(error) => {
                let required = std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1");
                assert!(!required, "REQUIRE_GPU=1 but {error}");
                println!("SKIPPED, NO KERNEL WAS TESTED: {error}");
                None
            }
        }
    });
    let gpu = opened.as_ref()?;
    Some(gpu.lock().unwrap_or_else(PoisonError::into_inner))
}

const SEEDS: std::ops::Range<u64> = 0..12;

/// Sizes with a single voxel, a prime and more than a workgroup along each axis.
fn random_size(rng: &mut impl Rng) -> [usize; 3] {
    std::array::from_fn(|_| [1, 2, 5, 8, 13, 31][rng.random_range(0..6)])
}

fn random_stored(rng: &mut impl Rng, size: [usize; 3]) -> StoredVolume {
    let geometry = Geometry::axis_aligned(size, [2.5, 0.7, 0.7], DVec3::ZERO);
    let first = rng.random_range(-2000..2000);
    StoredVolume {
        geometry,
        samples: (0..geometry.voxel_count()).map(|_| rng.random()).collect(),
        signed: rng.random(),
        rescale: (0..size[0])
            .map(|_| Rescale {
                slope: rng.random_range(0.25..4.0),
                intercept: rng.random_range(-1100.0..0.0),
            })
            .collect(),
        padding: rng.random::<bool>().then_some((first, first + 5000)),
    }
}

/// Fails with the seed and the first voxel that is further off than `tolerance`.
fn assert_close(found: &[f32], wanted: &[f32], tolerance: impl Fn(f32) -> f32, seed: u64) {
    assert_eq!(found.len(), wanted.len(), "seed {seed}");
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        let off = (f - w).abs();
        assert!(off <= tolerance(*w), "seed {seed}, voxel {i}: {f}, not {w}");
    }
}

/// The shader may fuse `stored * slope + intercept` into one rounding; stored * slope is at most 2^18.
const RESCALE_TOLERANCE_HU: f32 = 0.032;

#[test]
fn rescale_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let stored = random_stored(rng, size);
        let output = gpu
            .poisoned("output", stored.samples.len())
            .expect("allocates");
        let mut pass = Pass::new(&gpu).expect("pass");
        rescale::record(&mut pass, &stored, 0..size[0], &output).expect("records");
        pass.submit().expect("runs");
        let found = gpu.download(&output).expect("reads back");
        let wanted = rescale::reference(&stored);
        assert_close(&found, &wanted, |_| RESCALE_TOLERANCE_HU, seed);
    }
}
