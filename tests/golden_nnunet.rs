//! nnU-Net's resampling against `nnunetv2` itself; `models/training/nnunet/resampling.py` made the values.

mod common;

use common::gpu;
use hilum::preprocess::nnunet::{Resize, Spacings, gather};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;

/// Both compute in f64. There the result alone is stored in f32, here that of each axis too: at most four roundings of
/// values from 1024 to 2048 HU, each by half of 2^-13. Of a CT normalised to ±5 that is less than 2e-6.
const TOLERANCE_HU: f32 = 4.0 * 0.5 / 8192.0;

/// nnU-Net stores logits in half precision, where such values are 1 apart.
const HALF_TOLERANCE_HU: f32 = 1.0;

/// On a GPU 32 products of HU are summed in f32 along each axis; of a CT normalised to ±5 this is less than 2e-5.
const GPU_TOLERANCE_HU: f32 = 0.004;

struct Golden {
    bytes: Vec<u8>,
    cases: Value,
}

impl Golden {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("testdata/nnunet/resample.safetensors");
        let bytes = std::fs::read(path).expect("testdata");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let text = &header.metadata().as_ref().expect("metadata")["hilum"];
        let about: Value = serde_json::from_str(text).expect("JSON");
        Self {
            cases: about["cases"].clone(),
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
}

fn spacings(case: &Value) -> Spacings {
    let triple = |key: &str| serde_json::from_value(case[key].clone()).expect(key);
    Spacings {
        from_mm: triple("spacing_mm"),
        to_mm: triple("target_spacing_mm"),
        force_separate: None,
    }
}

#[test]
fn every_case_is_that_of_nnunet() {
    let golden = Golden::read();
    let cases = golden.cases.as_object().expect("cases");
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
            let off = found.iter().zip(target).map(|(f, t)| (f - t).abs());
            let off = off.fold(0.0, f32::max);
            assert_eq!(found.len(), target.len(), "{name}");
            assert!(off <= tolerance, "{name}: {off}");
        }
    }
    assert!(cases.len() >= 20, "only {} cases", cases.len());
}

#[test]
fn every_spline_on_the_gpu_is_that_of_nnunet() {
    let Some(gpu) = gpu() else { return };
    let golden = Golden::read();
    for (name, case) in golden.cases.as_object().expect("cases") {
        if case["order"] != 3 {
            continue;
        }
        let (from, sources) = golden.channels(&format!("{name}.source"));
        let (to, targets) = golden.channels(&format!("{name}.target"));
        let resize = Resize::to_size(from, to, &spacings(case)).expect("fits");
        for (source, target) in sources.iter().zip(&targets) {
            let slabs = gather::cubic(&gpu, &resize, source).expect("runs");
            let found = gpu.download(&slabs[0].hu).expect("reads back");
            assert_eq!(found.len(), target.len(), "{name}");
            for (found, target) in found.iter().zip(target) {
                let off = (found - target).abs();
                assert!(off <= GPU_TOLERANCE_HU, "{name}: {found}, not {target}");
            }
        }
    }
}

#[test]
fn the_sizes_of_the_grids_are_those_of_nnunet() {
    let golden = Golden::read();
    for (name, case) in golden.cases.as_object().expect("cases") {
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
