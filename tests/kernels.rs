//! Every kernel against its CPU reference over random shapes, on whatever adapter there is.
//!
//! Without an adapter the tests say so and pass; with `REQUIRE_GPU=1` they fail.

mod common;

use common::gpu;
use glam::{DAffine3, DMat3, DQuat, DVec3};
use hilum::config::{DeviceConfig, DeviceKind};
use hilum::gpu::{Compute, Gpu, Pass};
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::normalize::{self, Outside, Patch};
use hilum::preprocess::resample;
use hilum::preprocess::{GridHu, Interpolation, Normalization, Plan, rescale, slab, smooth};
use hilum::volume::{Geometry, PADDING_HU, Rescale, SlicePositions, StoredVolume};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

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
        slices: SlicePositions::even(),
        samples: (0..geometry.voxel_count()).map(|_| rng.random()).collect(),
        signed: rng.random(),
        rescale: (0..size[0])
            .map(|_| Rescale {
                slope: rng.random_range(0.25..4.0),
                intercept: rng.random_range(-1100.0..0.0),
            })
            .collect(),
        padding: rng.random::<bool>().then_some((first, first + 5000)),
        padding_value: if rng.random::<bool>() {
            PADDING_HU
        } else {
            0.0
        },
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

/// The shader may fuse `stored * slope + intercept` into one rounding; the product is below 2^18, its rounding 2^-6.
const RESCALE_TOLERANCE_HU: f32 = 0.016;

#[test]
fn rescale_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let stored = random_stored(rng, size);
        let mut pass = Pass::new(&gpu).expect("pass");
        let output = rescale::record(&mut pass, &stored, 0..size[0]).expect("records");
        pass.submit().expect("runs");
        let found = gpu.download(&output).expect("reads back");
        let wanted = rescale::reference(&stored);
        assert_close(&found, &wanted, |_| RESCALE_TOLERANCE_HU, seed);
    }
}

/// HU between air and bone.
fn random_hu(rng: &mut impl Rng, voxels: usize) -> Vec<f32> {
    (0..voxels)
        .map(|_| rng.random_range(-1024.0..2000.0))
        .collect()
}

/// A grid that is turned, sheared and stretched, around the centre of `around`.
fn random_oblique(rng: &mut impl Rng, size: [usize; 3], around: &Geometry) -> Geometry {
    let turn = DQuat::from_euler(
        glam::EulerRot::XYZ,
        rng.random_range(-3.0..3.0),
        rng.random_range(-1.5..1.5),
        rng.random_range(-3.0..3.0),
    );
    let mut spacing = || rng.random_range(0.5..3.0);
    let scale = DMat3::from_diagonal(DVec3::new(spacing(), spacing(), spacing()));
    let mut matrix = DMat3::from_quat(turn) * scale;
    matrix.z_axis += 0.2 * matrix.y_axis;
    let centre =
        |size: [usize; 3]| DVec3::new(size[2] as f64, size[1] as f64, size[0] as f64) / 2.0;
    let middle_lps_mm = around.to_lps_mm(centre(around.size));
    let origin_lps_mm = middle_lps_mm - matrix * centre(size);
    Geometry {
        size,
        index_to_lps: DAffine3::from_mat3_translation(matrix, origin_lps_mm),
    }
}

/// Fused rounding moves a source position by at most 2^-18 voxels at these sizes; neighbours differ by 3024 HU at most
/// and cubic weights by 1.5 a voxel on each of three axes.
const RESAMPLE_TOLERANCE_HU: f32 = 0.06;

fn resample_on_gpu(
    gpu: &Gpu,
    stored: &StoredVolume,
    mapping: &Mapping,
    size: [usize; 3],
) -> Vec<f32> {
    let slabs = slab::allocate(gpu, size).expect("allocates");
    for source in slab::source_slabs(gpu, stored.geometry.size).expect("fits") {
        let mut pass = Pass::new(gpu).expect("pass");
        let hu = rescale::record(&mut pass, stored, source.loaded.clone()).expect("records");
        for target in &slabs {
            resample::record(&mut pass, mapping, (&source, &hu), target).expect("records");
        }
        pass.submit().expect("runs");
    }
    let read = |s: &slab::Slab| gpu.download(&s.hu).expect("reads back");
    slabs.iter().flat_map(read).collect()
}

/// Stored values that are HU already: rescaling adds no rounding of its own.
fn hu_volume(rng: &mut impl Rng, geometry: Geometry) -> StoredVolume {
    let line = Rescale {
        slope: 1.0,
        intercept: -1024.0,
    };
    StoredVolume {
        slices: SlicePositions::even(),
        samples: (0..geometry.voxel_count())
            .map(|_| rng.random_range(0..3024))
            .collect(),
        signed: false,
        rescale: vec![line; geometry.size[0]],
        padding: None,
        padding_value: rng.random_range(PADDING_HU..=0.0),
        geometry,
    }
}

#[test]
fn resample_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (from, to) = (random_size(rng), random_size(rng));
        let stored = hu_volume(
            rng,
            Geometry::axis_aligned(from, [2.5, 0.7, 0.8], DVec3::ONE),
        );
        let target = random_oblique(rng, to, &stored.geometry);
        for interpolation in [Interpolation::Trilinear, Interpolation::Cubic] {
            let mapping = Mapping::of_stack(&stored, &target, interpolation);
            let found = resample_on_gpu(&gpu, &stored, &mapping, to);
            let wanted = resample::reference(&mapping, &rescale::reference(&stored));
            assert_close(&found, &wanted, |_| RESAMPLE_TOLERANCE_HU, seed);
        }
    }
}

/// Slices 0.3 to 3 mm apart, first and last where an even stack has them.
fn uneven(rng: &mut impl Rng, slices: usize) -> SlicePositions {
    let mut places = vec![0.0];
    for _ in 1..slices {
        places.push(places[places.len() - 1] + rng.random_range(0.3..3.0));
    }
    let scale = (slices - 1) as f64 / places[slices - 1];
    let scaled = places.iter().map(|p| p * scale).collect();
    SlicePositions::uneven(scaled).unwrap_or_default()
}

#[test]
fn resample_of_uneven_slices_equals_its_reference_whole_and_in_slabs() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let from = [rng.random_range(7..40), 13, 17];
        let to = [rng.random_range(1..40), 11, 19];
        let geometry = Geometry::axis_aligned(from, [1.0, 0.7, 0.8], DVec3::ONE);
        let mut stored = hu_volume(rng, geometry);
        stored.slices = uneven(rng, from[0]);
        let target = random_oblique(rng, to, &stored.geometry);
        let few_slices = gpu.with_binding_limit_bytes(5 * 13 * 19 * 4);
        for interpolation in [Interpolation::Trilinear, Interpolation::Cubic] {
            let mapping = Mapping::of_stack(&stored, &target, interpolation);
            let whole = resample_on_gpu(&gpu, &stored, &mapping, to);
            let wanted = resample::reference(&mapping, &rescale::reference(&stored));
            assert_close(&whole, &wanted, |_| UNEVEN_TOLERANCE_HU, seed);
            let slabs = resample_on_gpu(&few_slices, &stored, &mapping, to);
            assert_eq!(bits(&whole), bits(&slabs), "seed {seed}");
        }
    }
}

/// As above; the way between two slices as near as a tenth of a step is ten times as steep.
const UNEVEN_TOLERANCE_HU: f32 = 10.0 * RESAMPLE_TOLERANCE_HU;

#[test]
fn resample_in_slabs_equals_resample_in_one_piece_to_the_bit() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let from = [rng.random_range(7..40), 13, 17];
        let to = [rng.random_range(1..40), 11, 19];
        let stored = hu_volume(
            rng,
            Geometry::axis_aligned(from, [1.0, 0.7, 0.8], DVec3::ONE),
        );
        let target = random_oblique(rng, to, &stored.geometry);
        let few_slices = gpu.with_binding_limit_bytes(5 * 13 * 19 * 4);
        for interpolation in [Interpolation::Trilinear, Interpolation::Cubic] {
            let mapping = Mapping::new(&stored.geometry, &target, interpolation);
            let whole = resample_on_gpu(&gpu, &stored, &mapping, to);
            let slabs = resample_on_gpu(&few_slices, &stored, &mapping, to);
            assert_eq!(bits(&whole), bits(&slabs), "seed {seed}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Sums of at most 17 products of 2000 HU, each rounded once more or once less.
const SMOOTH_TOLERANCE_HU: f32 = 0.004;

#[test]
fn smooth_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    for seed in SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let size = random_size(rng);
        let sigma: [f64; 3] = std::array::from_fn(|_| rng.random_range(0.0..2.0));
        let hu = random_hu(rng, size.iter().product());
        let wanted = smooth::reference(size, sigma, &hu);
        let input = gpu.upload("input", &hu).expect("uploads");
        let mut pass = Pass::new(&gpu).expect("pass");
        let output = smooth::record(&mut pass, size, sigma, &input).expect("records");
        pass.submit().expect("runs");
        let found = gpu.download(&output).expect("reads back");
        assert_close(&found, &wanted, |_| SMOOTH_TOLERANCE_HU, seed);
    }
}

/// WGSL grants a division 2.5 units in the last place.
fn normalize_tolerance(value: f32) -> f32 {
    4.0 * f32::EPSILON * value.abs()
}

#[test]
fn normalize_equals_its_reference_whole_and_in_slabs() {
    let Some(gpu) = gpu() else { return };
    let normalization = Normalization {
        lower_hu: -1000.0,
        upper_hu: 400.0,
        subtract_hu: -300.0,
        divide_hu: 312.5,
    };
    let both = [Outside::Padding, Outside::Nearest];
    for (seed, outside) in SEEDS.flat_map(|seed| both.map(|o| (seed, o))) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (grid, size) = (random_size(rng), random_size(rng));
        let geometry = Geometry::axis_aligned(grid, [1.0; 3], DVec3::ZERO);
        let hu = random_hu(rng, geometry.voxel_count());
        let origin = std::array::from_fn(|_| rng.random_range(-20..25));
        let few_slices = gpu.with_binding_limit_bytes((2 * grid[1] * grid[2] * 4) as u64);
        let mut slabs = slab::allocate(&few_slices, grid).expect("allocates");
        for slab in &mut slabs {
            let voxels = |slice: usize| slice * grid[1] * grid[2];
            let range = voxels(slab.slices.start)..voxels(slab.slices.end);
            slab.hu = gpu.upload("slab", &hu[range]).expect("uploads");
        }
        let output = gpu
            .output::<f32>("patch", size.iter().product())
            .expect("allocates");
        let mut pass = Pass::new(&gpu).expect("pass");
        let patch = Patch {
            origin,
            size,
            outside,
        };
        normalize::record(
            &mut pass,
            (&slabs, grid),
            patch,
            &normalization,
            output.binding(),
        )
        .expect("records");
        pass.submit().expect("runs");
        let found = gpu.download(&output).expect("downloads");
        let wanted = normalize::reference(&hu, &geometry, patch, &normalization);
        assert_close(&found, &wanted, normalize_tolerance, seed);
    }
}

/// Two ellipsoids of lung in a body of tissue, with some noise; coarse, but of an adult's size.
fn thorax(rng: &mut impl Rng) -> StoredVolume {
    let origin_lps_mm = DVec3::new(-160.0, -120.0, -120.0);
    let geometry = Geometry::axis_aligned([25, 31, 41], [10.0, 8.0, 8.0], origin_lps_mm);
    let mut stored = hu_volume(rng, geometry);
    let inside =
        |p: DVec3, centre_mm: DVec3, radius_mm: DVec3| ((p - centre_mm) / radius_mm).length() < 1.0;
    for (i, sample) in stored.samples.iter_mut().enumerate() {
        let (x, y, z) = (i % 41, i / 41 % 31, i / 41 / 31);
        let p = geometry.to_lps_mm(DVec3::new(x as f64, y as f64, z as f64));
        let lung = |side: f64| {
            inside(
                p,
                DVec3::new(65.0 * side, 0.0, 0.0),
                DVec3::new(45.0, 70.0, 95.0),
            )
        };
        let hu = if lung(1.0) || lung(-1.0) {
            -850
        } else if inside(p, DVec3::ZERO, DVec3::new(140.0, 100.0, 1e9)) {
            40
        } else {
            -1000
        };
        *sample = u16::try_from(hu + 1024 + rng.random_range(-10..10)).expect("positive");
    }
    stored
}

#[test]
fn a_volume_is_prepared_alike_on_gpu_in_slabs_and_on_cpu() {
    let Some(gpu) = gpu() else { return };
    let stored = thorax(&mut ChaCha8Rng::seed_from_u64(1));
    let plan = Plan {
        grid: stored.geometry.covering([3.0; 3]),
        interpolation: Interpolation::Cubic,
    };
    let prepare = |compute: Compute| {
        let prepared = hilum::preprocess::run(&compute, &stored, &plan).expect("prepares");
        let hu = match &prepared.hu {
            GridHu::Cpu(hu) => hu.clone(),
            GridHu::Gpu(slabs) => {
                let read = |s: &slab::Slab| gpu.download(&s.hu).expect("reads back");
                slabs.iter().flat_map(read).collect()
            }
        };
        (hu, prepared.lungs)
    };
    let (cpu, cpu_lungs) = prepare(Compute::Cpu);
    let (whole, whole_lungs) = prepare(Compute::Gpu(gpu.clone()));
    // The masks need their grid in one binding; of the others, one takes 2 slabs of the model's grid.
    let masks_bytes = (whole_lungs.search.voxels.len() * size_of::<f32>()) as u64;
    let (slabs, slabs_lungs) = prepare(Compute::Gpu(gpu.with_binding_limit_bytes(masks_bytes)));
    assert_close(&whole, &cpu, |_| RESAMPLE_TOLERANCE_HU, 1);
    assert_eq!(bits(&whole), bits(&slabs));
    assert!(whole_lungs.found);
    assert_eq!(whole_lungs, slabs_lungs);
    assert_eq!(whole_lungs, cpu_lungs);
}

#[test]
fn broken_volumes_and_absurd_grids_are_refused_with_a_code() {
    let stored = thorax(&mut ChaCha8Rng::seed_from_u64(1));
    let plan = Plan {
        grid: stored.geometry,
        interpolation: Interpolation::Trilinear,
    };
    let code = |stored: &StoredVolume, plan: &Plan| {
        let refused = hilum::preprocess::run(&Compute::Cpu, stored, plan);
        refused.expect_err("refused").code()
    };
    let mut flat = stored.clone();
    flat.geometry.index_to_lps.matrix3.z_axis = DVec3::ZERO;
    assert_eq!(code(&flat, &plan), "volume-inconsistent");
    let mut short = stored.clone();
    short.samples = short.samples[1..].to_vec().into();
    assert_eq!(code(&short, &plan), "volume-inconsistent");
    let mut endless = stored.clone();
    endless.rescale[3].slope = f32::INFINITY;
    assert_eq!(code(&endless, &plan), "volume-inconsistent");
    let absurd = Plan {
        grid: stored.geometry.covering([0.01; 3]),
        ..plan
    };
    assert_eq!(code(&stored, &absurd), "grid-too-large");
    let mut huge = stored;
    huge.geometry.index_to_lps.matrix3 *= 1e9;
    assert_eq!(code(&huge, &plan), "grid-too-large");
}

#[test]
fn what_does_not_fit_the_gpu_is_refused_with_a_code() {
    let Some(gpu) = gpu() else { return };
    let small = gpu.with_binding_limit_bytes(1024);
    let error = small
        .upload("values", &[0.0_f32; 257])
        .expect_err("257 words");
    assert_eq!(error.code(), "gpu-buffer-too-large");
    let error = slab::allocate(&small, [1, 17, 16]).expect_err("a slice of 1088 bytes");
    assert_eq!(error.code(), "gpu-buffer-too-large");
    let buffer = gpu.zeroed::<f32>("buffer", 8).expect("allocates");
    let mut pass = Pass::new(&gpu).expect("pass");
    let error = pass
        .dispatch(
            &smooth::KERNEL,
            &[0_u32; 8],
            &[buffer.binding()],
            hilum::gpu::Extent::Linear(1),
        )
        .expect_err("one buffer for three");
    assert_eq!(error.code(), "gpu-kernel-signature");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_and_auto_never_takes_software() {
    let Some(_gpu) = gpu() else { return };
    let config = |kind, adapter: &str| DeviceConfig {
        kind,
        adapter: adapter.into(),
        ..DeviceConfig::default()
    };
    let error = Compute::select(&config(DeviceKind::Gpu, "no such adapter")).expect_err("none");
    assert_eq!(error.code(), "gpu-not-found");
    if let (Compute::Gpu(chosen), _) = Compute::select(&config(DeviceKind::Auto, "")).expect("auto")
    {
        assert!(!chosen.is_software());
    }
}
