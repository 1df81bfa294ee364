//! nnU-Net's resampling, preprocessing and export against `nnunetv2` itself; `scripts/nnunet-parity.sh` made the values.

mod common;

use common::gpu;
use hilum::gpu::Compute;
use hilum::preprocess::nnunet::{
    Axes, Decision, Orientation, Plan, Prepared, Resize, Scheme, Spacings, gather, prepare,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Both compute in f64. There the result alone is stored in f32, here that of each axis too: at most four roundings of
/// values from 1024 to 2048 HU, each by half of 2^-13. Of a CT normalised to ±5 that is less than 2e-6.
const TOLERANCE_HU: f32 = 4.0 * 0.5 / 8192.0;

/// nnU-Net stores logits in half precision, where such values are 1 apart.
const HALF_TOLERANCE_HU: f32 = 1.0;

/// On a GPU 32 products of HU are summed in f32 along each axis; of a CT normalised to ±5 this is less than 2e-5.
const GPU_TOLERANCE_HU: f32 = 0.004;

/// nnU-Net's means and deviations are sums in f32; values are below 8.
const NORMALIZED_TOLERANCE: f32 = 1e-5;

/// Logits below 8 that are rounded to half precision move a probability by at most a quarter of their 2^-9, twice.
const PROBABILITY_TOLERANCE: f32 = 0.002;

/// Networks of `testdata/nnunet`; `reoriented` is another test's: what turns its image is no part of preprocessing.
const NETWORKS: [&str; 5] = ["plain", "anisotropic", "two-channel", "residual", "batch"];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/nnunet")
}

struct Golden {
    bytes: Vec<u8>,
    about: Value,
}

impl Golden {
    fn read(path: &str) -> Self {
        let bytes = std::fs::read(testdata().join(path)).expect("testdata");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let text = &header.metadata().as_ref().expect("metadata")["hilum"];
        Self {
            about: serde_json::from_str(text).expect("JSON"),
            bytes,
        }
    }

    /// Size of a volume, `[z, y, x]`, and its channels.
    fn channels(&self, name: &str) -> ([usize; 3], Vec<Vec<f32>>) {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("tensors");
        let tensor = tensors.tensor(name).expect(name);
        let [_, z, y, x] = tensor.shape().try_into().expect("channels of a volume");
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        let channels = values.chunks(z * y * x).map(<[f32]>::to_vec);
        ([z, y, x], channels.collect())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("tensors");
        tensors.tensor(name).expect(name).data().to_vec()
    }
}

fn triple<T: serde::de::DeserializeOwned>(value: &Value) -> [T; 3] {
    serde_json::from_value(value.clone()).expect("three numbers")
}

fn spacings(case: &Value) -> Spacings {
    Spacings {
        from_mm: triple(&case["spacing_mm"]),
        to_mm: triple(&case["target_spacing_mm"]),
        force_separate: None,
    }
}

fn assert_close(found: &[f32], wanted: &[f32], tolerance: f32, name: &str) {
    assert_eq!(found.len(), wanted.len(), "{name}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let off = (found - wanted).abs();
        assert!(off <= tolerance, "{name}, voxel {i}: {found}, not {wanted}");
    }
}

#[test]
fn every_resampled_array_is_that_of_nnunet() {
    let golden = Golden::read("resample.safetensors");
    let cases = golden.about["cases"].as_object().expect("cases");
    for (name, case) in cases {
        let (from, sources) = golden.channels(&format!("{name}.source"));
        let (to, targets) = golden.channels(&format!("{name}.target"));
        let resize = Resize::to_size(from, to, &spacings(case)).expect("fits");
        let is_half = case["half"].as_bool().expect("half");
        let tolerance = if is_half {
            HALF_TOLERANCE_HU
        } else {
            TOLERANCE_HU
        };
        for (source, target) in sources.iter().zip(&targets) {
            let found = match case["order"].as_u64() {
                Some(3) => resize.cubic(source),
                _ => resize.linear(source),
            };
            assert_close(&found, target, tolerance, name);
        }
    }
    assert!(cases.len() >= 20, "only {} cases", cases.len());
}

#[test]
fn every_spline_on_the_gpu_is_that_of_nnunet() {
    let Some(gpu) = gpu() else { return };
    let golden = Golden::read("resample.safetensors");
    for (name, case) in golden.about["cases"].as_object().expect("cases") {
        if case["order"] != 3 {
            continue;
        }
        let (from, sources) = golden.channels(&format!("{name}.source"));
        let (to, targets) = golden.channels(&format!("{name}.target"));
        let resize = Resize::to_size(from, to, &spacings(case)).expect("fits");
        for (source, target) in sources.iter().zip(&targets) {
            let slabs = gather::cubic(&gpu, &resize, source).expect("runs");
            let found = gpu.download(&slabs[0].hu).expect("reads back");
            assert_close(&found, target, GPU_TOLERANCE_HU, name);
        }
    }
}

#[test]
fn the_sizes_of_the_grids_are_those_of_nnunet() {
    let golden = Golden::read("resample.safetensors");
    for (name, case) in golden.about["cases"].as_object().expect("cases") {
        let (from, _) = golden.channels(&format!("{name}.source"));
        let (to, _) = golden.channels(&format!("{name}.target"));
        // Logits go back to the size that the source had, not to one of a spacing.
        if name.contains("to-size") {
            continue;
        }
        let resize = Resize::to_spacing(from, &spacings(case)).expect("fits");
        assert_eq!(resize.to(), to, "{name}");
    }
}

#[expect(clippy::cast_possible_truncation, reason = "nnU-Net computes in f32")]
fn scheme(name: &str, intensities: &Value) -> Scheme {
    let number = |key: &str| intensities[key].as_f64().expect(key) as f32;
    match name {
        "CTNormalization" => Scheme::Ct {
            lower: number("percentile_00_5"),
            upper: number("percentile_99_5"),
            mean: number("mean"),
            std: number("std"),
        },
        "ZScoreNormalization" => Scheme::ZScore,
        "RescaleTo01Normalization" => Scheme::RescaleTo01,
        "NoNormalization" => Scheme::Unchanged,
        _ => panic!("{name}"),
    }
}

fn plan(network: &str, golden: &Golden) -> Plan {
    let text = std::fs::read(testdata().join(network).join("plans.json")).expect("testdata");
    let plans: Value = serde_json::from_slice(&text).expect("JSON");
    let name = if network == "batch" {
        "3d_lowres"
    } else {
        "3d_fullres"
    };
    let configuration = &plans["configurations"][name];
    let list = |key: &str| configuration[key].as_array().expect(key).clone();
    let schemes = list("normalization_schemes").into_iter().enumerate();
    let schemes = schemes.map(|(i, name)| {
        let intensities = &plans["foreground_intensity_properties_per_channel"][i.to_string()];
        scheme(name.as_str().expect("a name"), intensities)
    });
    let masked = list("use_mask_for_norm").into_iter();
    let masked = masked.map(|masked| masked.as_bool().expect("a boolean"));
    Plan {
        orientation: Orientation::UNCHANGED,
        axes: Axes::new(triple(&plans["transpose_forward"])).expect("a permutation"),
        source_spacing_mm: triple(&golden.about["spacing_mm"]),
        spacing_mm: triple(&configuration["spacing"]),
        schemes: schemes.zip(masked).collect(),
    }
}

fn prepared(network: &str, golden: &Golden) -> Prepared {
    let (size, channels) = golden.channels("source");
    prepare(&Compute::Cpu, channels, size, &plan(network, golden)).expect("prepares")
}

#[test]
fn every_network_sees_what_nnunet_shows_it() {
    for network in NETWORKS {
        let golden = Golden::read(&format!("{network}/golden.safetensors"));
        let found = prepared(network, &golden);
        let (size, data) = golden.channels("data");
        let bounds: [[usize; 2]; 3] = triple(&golden.about["bounding_box"]);
        assert_eq!(found.size(), size, "{network}");
        assert_eq!(found.origin(), bounds.map(|[first, _]| first), "{network}");
        assert_close(&found.values, &data.concat(), NORMALIZED_TOLERANCE, network);
    }
}

fn decision(network: &str, classes: usize) -> Decision {
    let text = std::fs::read(testdata().join(network).join("dataset.json")).expect("testdata");
    let dataset: Value = serde_json::from_slice(&text).expect("JSON");
    match dataset["regions_class_order"].as_array() {
        None => Decision::Largest(classes),
        Some(order) => {
            let labels = order.iter().map(|label| label.as_u64().expect("a label"));
            Decision::Regions(labels.filter_map(|label| label.try_into().ok()).collect())
        }
    }
}

/// Whether nnU-Net's two best classes, or a region and its threshold, lie within the tolerance at a voxel.
fn is_close_call(decision: &Decision, probabilities: &[Vec<f32>], voxel: usize) -> bool {
    let mut at: Vec<f32> = probabilities.iter().map(|class| class[voxel]).collect();
    at.sort_by(f32::total_cmp);
    match decision {
        Decision::Largest(classes) => {
            at[classes - 1] - at[classes - 2] < 2.0 * PROBABILITY_TOLERANCE
        }
        Decision::Regions(_) => at.iter().any(|p| (p - 0.5).abs() < PROBABILITY_TOLERANCE),
    }
}

#[test]
fn labels_and_probabilities_of_logits_are_those_of_nnunet() {
    for network in NETWORKS {
        let golden = Golden::read(&format!("{network}/golden.safetensors"));
        let (_, logits) = golden.channels("logits");
        let decision = decision(network, logits.len());
        // Beyond the box nnU-Net says that the background is certain.
        let first = usize::from(matches!(decision, Decision::Largest(_)));
        let wanted: Vec<usize> = (first..logits.len()).collect();
        let found = prepared(network, &golden)
            .export(&Compute::Cpu, &logits.concat(), decision.clone(), wanted)
            .expect("exports");
        let (_, probabilities) = golden.channels("probabilities");
        for (found, wanted) in found.probabilities.iter().zip(&probabilities[first..]) {
            assert_close(found, wanted, PROBABILITY_TOLERANCE, network);
        }
        let labels = found.labels.iter().zip(golden.bytes("labels"));
        for (voxel, (&found, wanted)) in labels.enumerate() {
            let same = found == u16::from(wanted);
            assert!(
                same || is_close_call(&decision, &probabilities, voxel),
                "{network}, voxel {voxel}: {found}, not {wanted}"
            );
        }
    }
}
