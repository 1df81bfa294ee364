use super::Network;
use crate::engine::cases::{Case, cases, difference, features, large_mean, one_layer, wide};
use crate::gpu::{self, Gpu, Storage};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, proptest};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Between sums of 32-bit products in another order, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

/// As above, of activations and weights of 16 bits through the layers of a network.
const HALF_TOLERANCE: f64 = 1e-2;

/// One GPU for all tests, whose outputs start as NaN, and which one test uses at a time.
static GPU: LazyLock<Option<Mutex<Gpu>>> = LazyLock::new(|| {
    let gpu = gpu::for_tests()?;
    Some(Mutex::new(gpu.with_poisoned_outputs()))
});

pub(super) fn on_gpu(test: impl FnOnce(&Gpu)) {
    if let Some(gpu) = &*GPU {
        test(&gpu.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The GPU with activations of 16 bits, where it has such: with its matrix units, where it has some, and without them.
///
/// `REQUIRE_MATRICES=1` is for GPUs that have some.
fn halves(gpu: &Gpu) -> Vec<Gpu> {
    let half = match gpu.with_storage(Storage::F16) {
        Ok(half) => half,
        Err(error) => {
            assert_eq!(error.code(), "gpu-no-f16");
            println!("SKIPPED: {error}");
            return Vec::new();
        }
    };
    let required = std::env::var("REQUIRE_MATRICES").is_ok_and(|v| v == "1");
    assert!(!required || half.matrices().is_some(), "no matrices");
    let matrices = half.matrices().map(|_| half.clone());
    let plain = half.without_matrices();
    matrices.into_iter().chain([plain]).collect()
}

fn logits(gpu: &Gpu, case: &Case) -> Vec<f32> {
    let network = Network::new(&case.net().layers(), gpu).expect("uploads");
    let program = network.program(gpu, case.size()).expect("fits");
    program.forward(gpu, &case.input()).expect("runs")
}

/// The case with kernels and strides of nnU-Net: a software GPU takes seconds to compile each other one.
fn usual(case: &Case) -> Case {
    let pick = |byte: usize, count: usize| usize::from(case.seed.to_le_bytes()[byte]) % count;
    let kernels = [[3, 3, 3], [1, 3, 3], [3, 3, 3], [3, 1, 1]];
    let strides = [[1, 2, 2], [2, 2, 2], [1, 1, 1]];
    Case {
        kernels: [kernels[pick(0, 4)], kernels[pick(1, 2)]],
        stride: strides[pick(2, 3)],
        ..case.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_shaders_compute_what_the_reference_defines(case in cases().prop_map(|case| usual(&case))) {
        if let Some(gpu) = &*GPU {
            let gpu = gpu.lock().unwrap_or_else(PoisonError::into_inner);
            let expected = case.net().reference(&case.input());
            let difference = difference(&logits(&gpu, &case), &expected);
            prop_assert!(difference < TOLERANCE, "{difference}");
        }
    }

    #[test]
    fn matrices_of_16_bits_compute_what_the_reference_defines_to_three_digits(
        case in cases().prop_map(|case| usual(&case)),
    ) {
        if let Some(gpu) = &*GPU {
            let gpu = gpu.lock().unwrap_or_else(PoisonError::into_inner);
            if let [matrices, plain] = &halves(&gpu)[..] {
                let expected = case.net().reference(&case.input());
                let [found, plain] = [matrices, plain].map(|half| {
                    difference(&logits(half, &case), &expected)
                });
                // Rounding to 16 bits grows with a network's depth: no more here than where only activations are rounded.
                prop_assert!(found < HALF_TOLERANCE.max(3.0 * plain), "{found}, not {plain}");
            }
        }
    }
}

#[test]
fn odd_kernels_strides_and_channels_compute_what_the_reference_defines() {
    on_gpu(|gpu| {
        let case = Case {
            channels: [3, 5, 18],
            classes: 6,
            kernels: [[5, 1, 3], [1, 5, 5]],
            stride: [3, 1, 4],
            bottom: [2, 9, 3],
            residual: true,
            seed: 7,
        };
        let expected = case.net().reference(&case.input());
        let found = difference(&logits(gpu, &case), &expected);
        assert!(found < TOLERANCE, "{found}");
        for half in halves(gpu) {
            let found = difference(&logits(&half, &case), &expected);
            assert!(found < HALF_TOLERANCE, "{:?}: {found}", half.matrices());
        }
    });
}

#[test]
fn layers_of_many_tiles_compute_what_the_reference_defines_and_equal_bits_twice() {
    on_gpu(|gpu| {
        let (case, input) = (wide(), wide().input());
        let network = Network::new(&case.net().layers(), gpu).expect("uploads");
        let program = network.program(gpu, case.size()).expect("fits");
        let first = program.forward(gpu, &input).expect("runs");
        let expected = case.net().reference(&input);
        let difference = difference(&first, &expected);
        assert!(difference < TOLERANCE, "{difference}");
        let other: Vec<f32> = input.iter().map(|v| 1.0 - v).collect();
        assert_ne!(program.forward(gpu, &other).expect("runs"), first);
        assert_eq!(program.forward(gpu, &input).expect("runs"), first);
    });
}

#[test]
fn storage_of_16_bits_costs_three_digits_and_no_more() {
    on_gpu(|gpu| {
        let case = wide();
        let expected = case.net().reference(&case.input());
        for half in halves(gpu) {
            let found = logits(&half, &case);
            let difference = difference(&found, &expected);
            assert!(
                difference < HALF_TOLERANCE,
                "{:?}: {difference}",
                half.matrices()
            );
            assert_eq!(logits(&half, &case), found, "the same bits twice");
        }
    });
}

#[test]
fn factors_that_16_bits_hold_are_multiplied_and_summed_in_32() {
    on_gpu(|gpu| {
        let (layer, input) = one_layer();
        for half in halves(gpu) {
            let network = Network::new(&layer.layers, &half).expect("uploads");
            let program = network.program(&half, layer.size).expect("fits");
            let found = program.forward(&half, &input).expect("runs");
            let difference = difference(&found, &layer.expected);
            // Half of the last of 11 digits, which the stored logits have.
            assert!(
                difference < 2.0_f64.powi(-11),
                "{:?}: {difference}",
                half.matrices()
            );
        }
    });
}

#[test]
fn a_large_mean_costs_no_precision() {
    on_gpu(|gpu| {
        let net = large_mean();
        let network = Network::new(&net.layers(), gpu).expect("uploads");
        let program = network.program(gpu, net.case.size()).expect("fits");
        let input = net.case.input();
        let logits = program.forward(gpu, &input).expect("runs");
        let difference = difference(&logits, &net.reference(&input));
        // 1000 has 24 bits: what is lost is lost in the convolution's own sum.
        assert!(difference < 1e-3, "{difference}");
    });
}

#[test]
fn many_small_submissions_give_the_bits_of_one_and_every_layer_is_timed() {
    on_gpu(|gpu| {
        let (case, input) = (wide(), wide().input());
        let layers = case.net().layers();
        let network = Network::new(&layers, gpu).expect("uploads");
        let whole = network.program(gpu, case.size()).expect("fits");
        let network = network.with_max_flop(1e6);
        let parts = network.program(gpu, case.size()).expect("fits");
        let [expected, found] = [&whole, &parts].map(|p| p.forward(gpu, &input).expect("runs"));
        assert_eq!(found, expected);
        let times = parts.profile(gpu).expect("runs");
        assert_eq!(times.len(), layers.steps.len());
        assert!(times.iter().all(|time| !time.is_zero()), "{times:?}");
    });
}

#[test]
fn a_network_that_ends_at_features_gives_them_activated() {
    on_gpu(|gpu| {
        let (case, input) = features();
        let network = Network::new(&case.layers, gpu).expect("uploads");
        let program = network.program(gpu, case.size).expect("fits");
        let found = program.forward(gpu, &input).expect("runs");
        let difference = difference(&found, &case.expected);
        assert!(difference < TOLERANCE, "{difference}");
    });
}
