//! The classifier against its definition, by hand, and as a part of a model on every device.

use super::*;
use crate::code::NoduleType;
use crate::gpu::for_tests as gpu;
use crate::model::manifest::{Bands, Calibration, Review};
use crate::model::tests::{on_gpu, random_network, small_volume};
use crate::model::weights::{self, Tensors};
use crate::model::{WeightsSpec, largest_difference};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Both are f32 and differ in the order of summation only.
const TOLERANCE: f32 = 1e-4;

fn spec() -> ClassifierSpec {
    ClassifierSpec {
        folds: 2,
        patch: [8, 8, 12],
        channels: vec![5, 6],
        kernels: vec![[3, 3, 3], [1, 3, 3]],
        strides: vec![[1, 2, 2], [2, 2, 2]],
        convs: vec![1, 2],
        mirror_axes: vec![0, 2],
        types: vec![NoduleType::Solid, NoduleType::GroundGlass],
        calibration: Calibration {
            scale: 1.0,
            offset: 0.0,
        },
        bands: Bands {
            high: 0.8,
            intermediate: 0.5,
        },
        review: Review {
            lower: 0.3,
            upper: 0.7,
            max_spread: 2.0,
            max_novelty: 30.0,
            max_input_novelty: 4.0,
        },
    }
}

type Shapes = Vec<(String, Vec<usize>)>;

/// Names and shapes of all tensors of an ensemble.
fn tensors(spec: &ClassifierSpec) -> Shapes {
    let own = weights::shapes(spec.init(1, &Device::flex()));
    let folds = (0..spec.folds).flat_map(|fold| {
        let named = |(name, shape): &(String, Vec<usize>)| {
            (
                format!("{}.{fold}.{name}", classifier::FOLDS),
                shape.clone(),
            )
        };
        own.iter().map(named).collect::<Vec<_>>()
    });
    let features = spec.features();
    let novelty = ["novelty", "novelty.input"].into_iter().flat_map(|name| {
        let shapes = [("mean", vec![features]), ("whitening", vec![features; 2])];
        shapes.map(|(part, shape)| (format!("{name}.{part}"), shape))
    });
    folds.chain(novelty).collect()
}

fn loaded(bytes: &[u8], spec: &ClassifierSpec) -> Result<classifier::Ensemble, Error> {
    let of_file = WeightsSpec {
        sha256: weights::sha256_hex(bytes),
        folds: 1,
        golden_tolerance_logit: TOLERANCE,
        golden_tolerance_probability: TOLERANCE,
    };
    let mut file = Tensors::open(bytes, &of_file)?;
    let ensemble = classifier::Ensemble::load(&mut file, spec, 1, &Device::flex())?;
    file.finish()?;
    Ok(ensemble)
}

fn random(spec: &ClassifierSpec) -> classifier::Ensemble {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let bytes = weights::tests::drawn(tensors(spec), &mut rng);
    loaded(&bytes, spec).expect("loads")
}

/// An ensemble whose tensors a function of their names makes.
fn made(spec: &ClassifierSpec, values: impl Fn(&str) -> Vec<f32>) -> Ensemble {
    use safetensors::tensor::{Dtype, TensorView};
    let made: Vec<_> = tensors(spec)
        .into_iter()
        .map(|(name, shape)| (values(&name), name, shape))
        .collect();
    let views = made.iter().map(|(values, name, shape)| {
        let bytes = bytemuck::cast_slice(values);
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("fits"),
        )
    });
    let bytes = safetensors::serialize(views, None).expect("serialises");
    compiled(&loaded(&bytes, spec).expect("loads"), spec)
}

fn compiled(defined: &classifier::Ensemble, spec: &ClassifierSpec) -> Ensemble {
    Ensemble::new(defined, spec, &Compute::Cpu, InstructionSet::detect()).expect("compiles")
}

fn look(ensemble: &Ensemble, patch: &[f32], size: [usize; 3]) -> Evidence {
    let runner = ensemble.runner(size).expect("fits");
    ensemble.evidence(&runner, patch, size).expect("runs")
}

fn noise(count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    (0..count).map(|_| rng.random_range(-2.0..2.0)).collect()
}

fn numbers(evidence: &Evidence) -> Vec<f32> {
    let own = [evidence.logit, evidence.spread, evidence.novelty];
    [&own[..], &evidence.type_logits].concat()
}

#[test]
fn every_device_gives_the_outputs_of_the_definition() {
    let spec = spec();
    let defined = random(&spec);
    let [z, y, x] = spec.patch;
    let patch = noise(z * y * x);
    let data = TensorData::new(patch.clone(), [1, 1, z, y, x]);
    let input: Tensor<5> = Tensor::from_data(data, &Device::flex());
    let expected = defined.forward(input, &spec.mirror_axes).into_data();
    let expected: Vec<f32> = expected.iter::<f32>().collect();
    let on_cpu = InstructionSet::available().into_iter();
    let on_cpu = on_cpu.map(|set| (Compute::Cpu, set));
    let on_gpu = gpu().map(|gpu| (Compute::Gpu(gpu), InstructionSet::detect()));
    let mut first: Option<Evidence> = None;
    for (compute, set) in on_cpu.chain(on_gpu) {
        let ensemble = Ensemble::new(&defined, &spec, &compute, set).expect("compiles");
        let found = look(&ensemble, &patch, spec.patch);
        let outputs = [&[found.logit][..], &found.type_logits].concat();
        assert_eq!(outputs.len(), expected.len());
        let difference = largest_difference(&outputs, &expected);
        assert!(difference < TOLERANCE, "{}: {difference:e}", set.name());
        assert_eq!(look(&ensemble, &patch, spec.patch), found);
        let first = numbers(first.get_or_insert_with(|| found.clone()));
        assert!(largest_difference(&first, &numbers(&found)) < TOLERANCE);
    }
}

#[test]
fn channels_are_pooled_to_their_means_then_their_maxima() {
    let map = [1.0, 2.0, 3.0, 4.0, -1.0, -5.0, 0.0, 2.0];
    assert_eq!(pooled(&map, 2), [2.5, -1.0, 4.0, 2.0]);
    assert_eq!(pooled(&[-3.0, -7.0], 1), [-5.0, -3.0]);
}

#[test]
fn the_head_weighs_features_and_adds_its_bias() {
    let head = Head {
        weights: vec![1.0, 0.5, -2.0, 0.0, 3.0, 1.0],
        bias: vec![0.25, -1.0],
    };
    assert_eq!(head.outputs(&[2.0, 4.0, 1.0]), [2.25, 12.0]);
}

/// One convolution of one voxel that sees every second column, so that a mirrored copy sees the others: the map is 2 times
/// the voxel. The lesion is the mean plus the maximum plus the number of the network.
fn columns(axes: &[usize]) -> Ensemble {
    let spec = ClassifierSpec {
        folds: 2,
        patch: [1, 1, 2],
        channels: vec![1],
        kernels: vec![[1; 3]],
        strides: vec![[1, 1, 2]],
        convs: vec![1],
        mirror_axes: axes.to_vec(),
        types: Vec::new(),
        ..spec()
    };
    made(&spec, |name| match name {
        "classifier.folds.0.head.bias" => vec![0.0],
        "classifier.folds.1.head.bias" => vec![1.0],
        "novelty.mean" | "novelty.input.mean" => vec![0.0, 0.0],
        "novelty.whitening" | "novelty.input.whitening" => vec![1.0, 0.0, 0.0, 0.0],
        _ if name.ends_with("conv.weight") => vec![2.0],
        _ if name.ends_with("conv.bias") => vec![0.0],
        _ => vec![1.0, 1.0],
    })
}

#[test]
fn outputs_are_averaged_over_networks_and_mirrored_copies() {
    // Features 6, 6 of the patch and -0.2, -0.2 of its mirror image, whose voxel is below zero.
    let patch = [3.0, -10.0];
    let plain = look(&columns(&[]), &patch, [1, 1, 2]);
    assert_eq!(numbers(&plain), [12.5, 0.5, 6.0]);
    let mirrored = look(&columns(&[2]), &patch, [1, 1, 2]);
    let expected = [(12.0 - 0.4) / 2.0 + 0.5, 0.5, 6.0];
    assert!(largest_difference(&numbers(&mirrored), &expected) < 1e-6);
    let across = look(&columns(&[0, 1]), &patch, [1, 1, 2]);
    assert_eq!(across, plain);
}

#[test]
fn a_missing_a_surplus_and_a_misshaped_tensor_are_refused_by_name() {
    let spec = spec();
    let refused = |change: &dyn Fn(&mut Shapes)| {
        let mut tensors = tensors(&spec);
        change(&mut tensors);
        let bytes = weights::tests::drawn(tensors, &mut ChaCha8Rng::seed_from_u64(5));
        let error = loaded(&bytes, &spec).expect_err("refused");
        (error.code(), error.to_string())
    };
    let missing = refused(&|t| t.retain(|(name, _)| name != "classifier.folds.1.head.bias"));
    let surplus = refused(&|t| t.push(("classifier.folds.2.head.bias".into(), vec![3])));
    let misshaped = refused(&|t| t.last_mut().expect("whitening").1 = vec![12, 11]);
    for ((code, text), wanted, name) in [
        (
            missing,
            "model-tensor-missing",
            "classifier.folds.1.head.bias",
        ),
        (
            surplus,
            "model-tensor-surplus",
            "classifier.folds.2.head.bias",
        ),
        (
            misshaped,
            "model-tensor-mismatch",
            "novelty.input.whitening",
        ),
    ] {
        assert!(code == wanted && text.contains(name), "{text}");
    }
}

/// The random network of two stages with a random classifier.
fn model(compute: &Compute) -> Segmenter {
    let spec = spec();
    let defined = random(&spec);
    let ensemble = Ensemble::new(&defined, &spec, compute, InstructionSet::detect());
    let golden = crate::model::golden::GoldenCandidate {
        patch: [2, 4, 4],
        input: noise(32),
        outputs: vec![0.0; 3],
    };
    let mut model = random_network(compute);
    model.classifier = Some((ensemble.expect("compiles"), golden));
    model.manifest.classifier = Some(spec);
    model
}

/// In the middle, at a corner, outside.
const CENTRES: [[i64; 3]; 3] = [[7, 15, 20], [13, 0, 39], [-3, 40, 20]];

fn classify(model: &Segmenter, hu: &GridHu) -> Result<Vec<Evidence>, Error> {
    let (grid, _, search) = small_volume();
    let input = Input {
        grid: &grid,
        hu,
        search: &search,
    };
    model.classify(&input, &CENTRES, &AtomicBool::new(false))
}

#[test]
fn the_gpu_sees_the_candidates_of_the_cpu_in_slabs_too() {
    let (grid, hu, _) = small_volume();
    let expected = classify(&model(&Compute::Cpu), &GridHu::Cpu(hu.clone())).expect("runs");
    assert_eq!(expected.len(), CENTRES.len());
    assert_ne!(expected[0], expected[1]);
    let Some(gpu) = gpu() else { return };
    let model = model(&Compute::Gpu(gpu.clone()));
    let narrow = gpu.with_binding_limit_bytes((4 * grid.size[1] * grid.size[2] * 4) as u64);
    for volume in [on_gpu(&gpu, &grid, &hu), on_gpu(&narrow, &grid, &hu)] {
        let found = classify(&model, &volume).expect("runs");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = largest_difference(&numbers(found), &numbers(expected));
            assert!(difference < TOLERANCE, "{difference:e}");
        }
        assert_eq!(classify(&model, &volume).expect("runs"), found);
    }
}

#[test]
fn the_novelty_of_a_scan_is_that_of_the_mean_features_of_its_places_on_every_device() {
    let (grid, hu, search) = small_volume();
    let novelty = |model: &Segmenter, hu: &GridHu, places: &[[i64; 3]]| {
        let input = Input {
            grid: &grid,
            hu,
            search: &search,
        };
        let found = model.input_novelty(&input, places, &AtomicBool::new(false));
        found.expect("runs")
    };
    let on_cpu = model(&Compute::Cpu);
    let (ensemble, _) = on_cpu.classifier.as_ref().expect("there");
    let runner = ensemble.runner([8, 8, 12]).expect("fits");
    let mut mean = vec![0.0; ensemble.spec().features()];
    for centre in CENTRES {
        let patch = Patch {
            origin: [centre[0] - 4, centre[1] - 4, centre[2] - 6],
            size: [8, 8, 12],
            outside: Outside::Nearest,
        };
        let cut = normalize::reference(&hu, &grid, patch, &on_cpu.manifest.normalization());
        let features = ensemble.features(&runner, &cut).expect("runs");
        let pairs = mean.iter_mut().zip(features);
        pairs.for_each(|(mean, feature)| *mean += feature / 3.0);
    }
    let expected = ensemble.input.distance(&mean);
    let found = novelty(&on_cpu, &GridHu::Cpu(hu.clone()), &CENTRES).expect("a classifier");
    assert!(
        (found - expected).abs() < TOLERANCE * expected,
        "{found} {expected}"
    );
    assert_eq!(novelty(&on_cpu, &GridHu::Cpu(hu.clone()), &[]), None);
    let Some(gpu) = gpu() else { return };
    let volume = on_gpu(&gpu, &grid, &hu);
    let found = novelty(&model(&Compute::Gpu(gpu)), &volume, &CENTRES).expect("a classifier");
    assert!(
        (found - expected).abs() < TOLERANCE * expected,
        "{found} {expected}"
    );
}

#[test]
fn a_candidate_is_seen_about_its_centre() {
    let (grid, hu, _) = small_volume();
    let model = model(&Compute::Cpu);
    let patch = Patch {
        origin: [3, 11, 14],
        size: [8, 8, 12],
        outside: Outside::Nearest,
    };
    let cut = normalize::reference(&hu, &grid, patch, &model.manifest.normalization());
    let (ensemble, _) = model.classifier.as_ref().expect("there");
    let expected = look(ensemble, &cut, patch.size);
    assert_eq!(
        classify(&model, &GridHu::Cpu(hu)).expect("runs")[0],
        expected
    );
}

#[test]
fn outputs_that_are_not_finite_a_cancelled_run_and_no_classifier() {
    let (grid, mut hu, search) = small_volume();
    hu[grid.linear([7, 15, 20])] = f32::NAN;
    let model = model(&Compute::Cpu);
    let refused = classify(&model, &GridHu::Cpu(hu.clone()));
    assert!(refused.is_err_and(|e| e.code() == "model-non-finite"));
    let hu = GridHu::Cpu(hu);
    let input = Input {
        grid: &grid,
        hu: &hu,
        search: &search,
    };
    let stopped = model.classify(&input, &CENTRES, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let without = random_network(&Compute::Cpu);
    let none = without.classify(&input, &CENTRES, &AtomicBool::new(false));
    assert_eq!(none.expect("nothing to do"), []);
}
