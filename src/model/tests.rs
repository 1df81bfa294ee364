//! The segmenter as a whole, on the CPU and, where there is one, on a GPU.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indices of small volumes"
)]

use super::*;
use crate::gpu::{Gpu, Storage, for_tests as gpu};
use crate::preprocess::slab;
use crate::volume::PADDING_HU;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use glam::DVec3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::sync::atomic::Ordering;

const SEED: u64 = 20;

fn lite(compute: &Compute) -> Segmenter {
    let source = ModelSource::find("lung-nodule-lite", "nowhere".as_ref()).expect("built in");
    Segmenter::load(&source, compute, InstructionSet::detect()).expect("loads")
}

/// A network of two stages with random weights, which runs on a software GPU in a moment.
pub(super) fn random_network(compute: &Compute) -> Segmenter {
    changed_network(compute, |defined| defined)
}

/// [`random_network`] with its parameters changed.
fn changed_network(compute: &Compute, change: impl Fn(UNet) -> UNet) -> Segmenter {
    ensemble(compute, &[SEED], change)
}

/// An ensemble of such networks, one of each seed.
fn ensemble(compute: &Compute, seeds: &[u64], change: impl Fn(UNet) -> UNet) -> Segmenter {
    let mut model = lite(&Compute::Cpu);
    let network = UNetConfig {
        architecture: Architecture::Plain,
        norm: Norm::Instance,
        input_channels: 1,
        classes: 2,
        channels: vec![4, 6],
        kernels: vec![[1, 3, 3], [3, 3, 3]],
        strides: vec![[1, 1, 1], [1, 2, 2]],
        encoder_convs: vec![1, 2],
        decoder_convs: vec![1],
    };
    let layers = seeds.iter().map(|seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(*seed);
        let bytes = weights::tests::random(&network, &mut rng);
        model.manifest.weights.sha256 = weights::sha256_hex(&bytes);
        let spec = &model.manifest.weights;
        let defined = weights::tests::networks(&bytes, spec, &network).expect("loads");
        change(defined.into_iter().next().expect("one")).layers()
    });
    model.network = Network::new(layers, compute, InstructionSet::detect()).expect("compiles");
    model.manifest.network = network;
    model.classifier = None;
    model.manifest.classifier = None;
    model.manifest.output.activation = Activation::Softmax;
    model.manifest.labels[0].channel = 1;
    model.manifest.input.patch = [8, 16, 16];
    model
}

/// Random HU on 14 × 30 × 40 voxels of 1 mm, and a search mask of 2 mm with a ball and a far corner.
pub(super) fn small_volume() -> (Geometry, Vec<f32>, Mask) {
    let grid = Geometry::axis_aligned([14, 30, 40], [1.0; 3], DVec3::new(-5.0, 8.0, 100.0));
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let hu = (0..grid.voxel_count())
        .map(|_| rng.random_range(-1100.0..500.0))
        .collect();
    let mut search = Mask::filled(grid.covering([2.0; 3]), 0);
    let [nz, ny, nx] = search.geometry.size;
    for (z, y, x) in [(1, 3, 4), (2, 5, 9), (nz - 2, ny - 2, nx - 2)] {
        let at = search.geometry.linear([z, y, x]);
        search.voxels[at] = 1;
    }
    (grid, hu, search)
}

fn segment(
    model: &Segmenter,
    grid: &Geometry,
    hu: &GridHu,
    search: &Mask,
) -> Result<Segmentation, Error> {
    let input = Input { grid, hu, search };
    model.segment(&input, &|_, _| (), &AtomicBool::new(false))
}

/// Bytes of an activation of [`random_network`]'s first stage, whose four channels fill a quad.
fn largest_activation_bytes(patch: [usize; 3]) -> u64 {
    (patch.iter().product::<usize>() * 4 * size_of::<f32>()) as u64
}

/// HU in slabs that each fit a binding of `gpu`.
pub(super) fn on_gpu(gpu: &Gpu, grid: &Geometry, hu: &[f32]) -> GridHu {
    let mut slabs = slab::allocate(gpu, grid.size).expect("allocates");
    let plane = grid.size[1] * grid.size[2];
    for slab in &mut slabs {
        let voxels = slab.slices.start * plane..slab.slices.end * plane;
        slab.hu = gpu.upload("HU", &hu[voxels]).expect("uploads");
    }
    GridHu::Gpu(slabs)
}

#[test]
fn the_shipped_models_reproduce_pytorch_on_the_cpu() {
    // Both are f32 and differ in the order of summation only; of the largest logit.
    const TOLERANCE: f32 = 1e-5;
    for builtin in BUILTINS {
        let source = ModelSource::Builtin(builtin);
        let model = Segmenter::load(&source, &Compute::Cpu, InstructionSet::detect());
        let model = model.expect("loads");
        let golden = &model.golden;
        let runner = model.network.runner(golden.patch).expect("fits");
        let logits = runner.logits(&golden.input).expect("runs");
        let mut pairs = vec![(logits, &golden.logits)];
        if let Some((ensemble, candidate)) = &model.classifier {
            let runner = ensemble.runner(candidate.patch).expect("fits");
            let evidence = ensemble.evidence(&runner, &candidate.input, candidate.patch);
            let evidence = evidence.expect("runs");
            let outputs = [&[evidence.logit][..], &evidence.type_logits].concat();
            pairs.push((outputs, &candidate.outputs));
        }
        for (found, expected) in pairs {
            let largest = expected.iter().fold(1.0, |max: f32, v| max.max(v.abs()));
            let difference = largest_difference(&found, expected) / largest;
            assert!(difference < TOLERANCE, "{}: {difference:e}", builtin.name);
        }
    }
}

#[test]
fn the_self_check_passes_and_notices_a_changed_logit() {
    let mut model = lite(&Compute::Cpu);
    model.self_check().expect("passes");
    model.golden.logits[1000] += 0.002;
    assert!(matches!(
        model.self_check(),
        Err(Error::SelfCheck {
            quantity: "logit",
            ..
        })
    ));
    model.golden.logits[1000] = f32::NAN;
    assert!(
        model
            .self_check()
            .is_err_and(|e| e.code() == "model-self-check")
    );
}

#[test]
fn probabilities_are_zero_outside_the_search_mask_and_lie_at_its_place() {
    let model = random_network(&Compute::Cpu);
    let (grid, hu, search) = small_volume();
    let found = segment(&model, &grid, &GridHu::Cpu(hu), &search).expect("runs");
    let box_grid = found.probability.geometry;
    let mut searched = 0;
    for linear in (0..search.voxels.len()).filter(|i| search.voxels[*i] == 1) {
        let [_, ny, nx] = search.geometry.size;
        let [x, y, z] = [linear % nx, linear / nx % ny, linear / nx / ny].map(|n| n as f64);
        let centre = search.geometry.to_lps_mm(DVec3::new(x, y, z));
        let index = box_grid.lps_to_index().transform_point3(centre).round();
        let p = found
            .probability
            .at([index.z, index.y, index.x].map(|n| n as usize));
        assert!(p > 0.0 && p < 1.0);
        searched += 1;
    }
    assert_eq!(searched, 3);
    let positive = found
        .probability
        .voxels
        .iter()
        .filter(|p| **p > 0.0)
        .count();
    assert!(
        positive <= 3 * 27,
        "{positive} voxels for three search voxels of two millimetres"
    );
}

#[test]
fn progress_counts_to_the_number_of_patches_and_a_cancelled_run_stops() {
    let model = random_network(&Compute::Cpu);
    let (grid, hu, search) = small_volume();
    let hu = GridHu::Cpu(hu);
    let input = Input {
        grid: &grid,
        hu: &hu,
        search: &search,
    };
    let cancel = AtomicBool::new(false);
    let last = Cell::new((0, 0));
    let note = |done, total| last.set((done, total));
    let found = model.segment(&input, &note, &cancel).expect("runs");
    assert_eq!(last.get(), (found.patches, found.patches));
    let stop = |done: usize, _| cancel.store(done == 1, Ordering::Relaxed);
    let stopped = model.segment(&input, &stop, &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn a_patch_larger_than_the_volume_sees_air_around_it() {
    let model = random_network(&Compute::Cpu);
    let small = Geometry::axis_aligned([3, 5, 7], [1.0; 3], DVec3::ZERO);
    let search = Mask::filled(small, 1);
    let hu = GridHu::Cpu(vec![PADDING_HU; small.voxel_count()]);
    let found = segment(&model, &small, &hu, &search).expect("runs");
    assert_eq!(
        (found.patches, found.probability.geometry.size),
        (1, [3, 5, 7])
    );
    let (low, high) = found
        .probability
        .voxels
        .iter()
        .fold((1f32, 0f32), |(l, h), p| (l.min(*p), h.max(*p)));
    assert!(low > 0.0 && high < 1.0);
}

#[test]
fn an_empty_search_mask_gives_no_patches() {
    let model = random_network(&Compute::Cpu);
    let (grid, hu, mut search) = small_volume();
    search.voxels.fill(0);
    let found = segment(&model, &grid, &GridHu::Cpu(hu), &search).expect("runs");
    assert_eq!(found.patches, 0);
    assert!(found.probability.voxels.iter().all(|p| *p == 0.0));
}

/// Replaces every parameter by NaN.
struct Poison;

impl ModuleMapper for Poison {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let data = TensorData::new(vec![f32::NAN; shape.num_elements()], shape);
        Param::from_data(data, &Device::flex())
    }
}

#[test]
fn logits_that_are_not_finite_end_in_a_coded_error_on_every_device() {
    let (grid, hu, search) = small_volume();
    let refused = |compute: &Compute, hu: &GridHu| {
        let model = changed_network(compute, |defined| defined.map(&mut Poison));
        segment(&model, &grid, hu, &search)
    };
    let on_cpu = refused(&Compute::Cpu, &GridHu::Cpu(hu.clone()));
    assert!(on_cpu.is_err_and(|e| e.code() == "model-non-finite"));
    let Some(gpu) = gpu() else { return };
    let on_gpu = refused(&Compute::Gpu(gpu.clone()), &on_gpu(&gpu, &grid, &hu));
    assert!(on_gpu.is_err_and(|e| e.code() == "model-non-finite"));
}

#[test]
fn the_gpu_gives_the_probabilities_of_the_cpu_and_equal_bits_twice() {
    // Order of summation and fused additions differ.
    const TOLERANCE: f32 = 1e-3;
    let Some(gpu) = gpu() else { return };
    let (grid, hu, search) = small_volume();
    let cpu_model = random_network(&Compute::Cpu);
    let expected = segment(&cpu_model, &grid, &GridHu::Cpu(hu.clone()), &search).expect("runs");
    let model = random_network(&Compute::Gpu(gpu.clone()));
    let hu = on_gpu(&gpu, &grid, &hu);
    let [first, second] = [0, 1].map(|_| segment(&model, &grid, &hu, &search).expect("runs"));
    assert_eq!(first.probability.geometry, expected.probability.geometry);
    let difference = largest_difference(&first.probability.voxels, &expected.probability.voxels);
    assert!(difference < TOLERANCE, "{difference:e}");
    let bits = |s: &Segmentation| {
        s.probability
            .voxels
            .iter()
            .map(|p| p.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&first), bits(&second));
}

#[test]
fn slabs_do_not_change_a_bit() {
    let Some(gpu) = gpu() else { return };
    let (grid, hu, search) = small_volume();
    let whole = random_network(&Compute::Gpu(gpu.clone()));
    let expected = segment(&whole, &grid, &on_gpu(&gpu, &grid, &hu), &search).expect("runs");
    // The largest activation of the network still fits; the volume and the sums do not.
    let narrow = gpu.with_binding_limit_bytes(largest_activation_bytes([8, 16, 16]));
    let slabbed = random_network(&Compute::Gpu(narrow.clone()));
    let found = segment(&slabbed, &grid, &on_gpu(&narrow, &grid, &hu), &search).expect("runs");
    assert_eq!(found, expected);
}

#[test]
fn a_patch_that_does_not_fit_the_gpu_is_halved_with_a_warning() {
    let Some(gpu) = gpu() else { return };
    let (grid, hu, search) = small_volume();
    let fits = largest_activation_bytes([8, 32, 64]);
    let narrow = gpu.with_binding_limit_bytes(fits);
    let mut model = random_network(&Compute::Gpu(narrow.clone()));
    model.manifest.input.patch = [8, 64, 64];
    let found = segment(&model, &grid, &on_gpu(&narrow, &grid, &hu), &search).expect("runs");
    assert_eq!(
        found.warnings,
        [Warning::SmallerPatch { patch: [8, 32, 64] }]
    );
    let mut model = random_network(&Compute::Gpu(gpu.with_binding_limit_bytes(fits / 8)));
    model.manifest.input.patch = [8, 32, 32];
    let refused = segment(&model, &grid, &on_gpu(&narrow, &grid, &hu), &search);
    assert!(refused.is_err_and(|e| e.code() == "model-out-of-memory"));
}

#[test]
fn the_gpu_passes_the_self_check() {
    let Some(gpu) = gpu() else { return };
    lite(&Compute::Gpu(gpu.clone()))
        .self_check()
        .expect("passes");
    if let Ok(half) = gpu.with_storage(Storage::F16) {
        lite(&Compute::Gpu(half)).self_check().expect("passes");
    }
}

#[test]
fn an_ensemble_averages_the_logits_of_its_networks_on_every_device() {
    // exp and the blend's division.
    const TOLERANCE: f32 = 1e-5;
    const SEEDS: [u64; 3] = [20, 21, 22];
    let (grid, hu, search) = small_volume();
    // One patch over the whole volume: its probabilities are the network's.
    let run = |compute: &Compute, hu: &GridHu, seeds: &[u64]| {
        let mut model = ensemble(compute, seeds, |defined| defined);
        model.manifest.input.patch = [14, 32, 40];
        segment(&model, &grid, hu, &search)
            .expect("runs")
            .probability
            .voxels
    };
    let on_cpu = GridHu::Cpu(hu.clone());
    let single = SEEDS.map(|seed| run(&Compute::Cpu, &on_cpu, &[seed]));
    let logit = |p: f32| (p / (1.0 - p)).ln();
    let expected: Vec<f32> = (0..single[0].len())
        .map(|i| match single.each_ref().map(|network| network[i]) {
            [0.0, ..] => 0.0,
            found => 1.0 / (1.0 + (-found.map(logit).iter().sum::<f32>() / 3.0).exp()),
        })
        .collect();
    assert!(largest_difference(&single[0], &expected) > 0.01);
    let found = run(&Compute::Cpu, &on_cpu, &SEEDS);
    assert!(largest_difference(&found, &expected) < TOLERANCE);
    let Some(gpu) = gpu() else { return };
    let slabs = on_gpu(&gpu, &grid, &hu);
    let [first, second] = [0, 1].map(|_| run(&Compute::Gpu(gpu.clone()), &slabs, &SEEDS));
    assert!(largest_difference(&first, &expected) < 1e-3);
    let bits = |voxels: &[f32]| voxels.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&first), bits(&second));
}
