use super::{InstructionSet, Network};
use crate::engine::cases::{Case, Net, cases, difference, features, large_mean, wide};
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

/// Between sums of 32-bit products in another order, of inputs and weights between -1 and 1, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;
fn compiled(net: &Net, set: InstructionSet) -> Network {
    Network::new(&net.layers(), set)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_instruction_set_computes_what_the_reference_defines(case in cases()) {
        let (net, input) = (case.net(), case.input());
        let expected = net.reference(&input);
        for set in InstructionSet::available() {
            let logits = compiled(&net, set).forward(&input, case.size());
            let difference = difference(&logits, &expected);
            prop_assert!(difference < TOLERANCE, "{}: {difference}", set.name());
        }
    }
}

#[test]
fn layers_of_many_tasks_and_passes_compute_what_the_reference_defines() {
    let case = wide();
    let (net, input) = (case.net(), case.input());
    let expected = net.reference(&input);
    for set in InstructionSet::available() {
        let logits = compiled(&net, set).forward(&input, case.size());
        assert!(difference(&logits, &expected) < TOLERANCE, "{}", set.name());
    }
}

#[test]
fn bits_depend_neither_on_the_threads_nor_on_what_ran_before() {
    let case = wide();
    let (net, input) = (case.net(), case.input());
    let smaller = Case {
        bottom: [2, 8, 8],
        ..case.clone()
    };
    for set in InstructionSet::available() {
        let network = compiled(&net, set);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads")
                .install(|| network.forward(&input, case.size()))
        };
        let first = on(1);
        drop(network.forward(&smaller.input(), smaller.size()));
        network.poison();
        assert_eq!(first, on(2), "{}", set.name());
        assert_eq!(first, on(5), "{}", set.name());
    }
}

#[test]
fn profiling_times_every_layer_and_changes_no_bit() {
    let case = wide();
    let (net, input) = (case.net(), case.input());
    let network = compiled(&net, InstructionSet::detect());
    let (logits, times) = network.profile(&input, case.size());
    assert_eq!(logits, network.forward(&input, case.size()));
    assert_eq!(times.len(), net.layers().steps.len());
    assert!(times.iter().all(|time| !time.is_zero()), "{times:?}");
}

#[test]
fn a_large_mean_costs_no_precision() {
    let net = large_mean();
    let (case, input) = (&net.case, net.case.input());
    let expected = net.reference(&input);
    for set in InstructionSet::available() {
        let logits = compiled(&net, set).forward(&input, case.size());
        let difference = difference(&logits, &expected);
        // 1000 has 24 bits: what is lost is lost in the convolution's own sum.
        assert!(difference < 1e-3, "{}: {difference}", set.name());
    }
}

#[test]
fn a_nan_reaches_the_logits() {
    let case = wide();
    let mut input = case.input();
    input[77] = f32::NAN;
    for set in InstructionSet::available() {
        let logits = compiled(&case.net(), set).forward(&input, case.size());
        assert!(logits.iter().any(|logit| logit.is_nan()), "{}", set.name());
    }
}

#[test]
fn a_network_that_ends_at_features_gives_them_activated() {
    let (case, input) = features();
    assert!(case.expected.iter().any(|value| *value < 0.0));
    for set in InstructionSet::available() {
        let found = Network::new(&case.layers, set).forward(&input, case.size);
        assert!(
            difference(&found, &case.expected) < TOLERANCE,
            "{}",
            set.name()
        );
    }
}
