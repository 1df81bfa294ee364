//! Files of weights that are not nnU-Net's folder, and files of weights that do not fit.

use super::{import_error, nnunet, refusal, request};
use crate::model::golden::Golden;
use crate::model::import::checkpoint::StateDict;
use crate::model::import::tensors::{self, Named};
use crate::model::import::{self, Checkpoint, Request, nnunet as reader};
use crate::model::{UNetConfig, largest_difference, weights};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const TOLERANCE: f32 = 1e-4;

fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/monai")
}

fn by_hand(source: PathBuf, manifest: PathBuf) -> Request {
    Request {
        source,
        configuration: None,
        folds: Vec::new(),
        checkpoint: Checkpoint::Final,
        orientation: None,
        modalities: Vec::new(),
        pet_in_bqml: false,
        labels: None,
        manifest: Some(manifest),
        licence: None,
        attribution: None,
    }
}

#[test]
fn a_monai_bundle_gives_pytorch_s_logits() {
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("monai");
    let asked = by_hand(bundle(), bundle().join("model.toml"));
    let manifest = import::import(&asked, &out, false, &AtomicBool::new(false)).expect("imported");
    let bytes = std::fs::read(out.join("weights.safetensors")).expect("written");
    let networks = weights::tests::networks(&bytes, &manifest.weights, &manifest.network);
    let golden = std::fs::read(bundle().join("golden.safetensors")).expect("testdata");
    let golden = Golden::parse(&golden, &manifest.network).expect("well-formed");
    let [z, y, x] = golden.patch;
    let input = Tensor::from_data(
        TensorData::new(golden.input, [1, 1, z, y, x]),
        &Device::flex(),
    );
    let logits = networks.expect("loads")[0].forward(input).into_data();
    let logits = logits.try_into_vec::<f32>().expect("f32");
    assert!(largest_difference(&logits, &golden.logits) < TOLERANCE);
}

#[test]
fn a_bundle_of_another_network_is_refused_by_its_part() {
    for (key, value, code) in [
        ("_target_", "\"SegResNet\"", "import-architecture"),
        ("res_block", "true", "import-block"),
        (
            "norm_name",
            "[\"GROUP\", {\"num_groups\": 2}]",
            "import-norm",
        ),
        ("act_name", "\"relu\"", "import-activation"),
        ("spatial_dims", "2", "import-2d"),
    ] {
        let dir = tempfile::tempdir().expect("folder");
        super::parity::copy(&bundle(), dir.path());
        let path = dir.path().join("configs/inference.json");
        let mut config = import::json::read(&path).expect("JSON");
        config["network_def"][key] = serde_json::from_str(value).expect("JSON");
        std::fs::write(&path, config.to_string()).expect("written");
        let asked = by_hand(dir.path().into(), bundle().join("model.toml"));
        let out = dir.path().join("out");
        let (found, text) = refusal(import::import(&asked, &out, false, &AtomicBool::new(false)));
        assert!(found == code && text.contains(key), "{text}");
    }
}

#[test]
fn own_weights_come_back_as_they_are_and_nothing_without_a_manifest() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/unet");
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = by_hand(own.join("deep.weights.safetensors"), own.join("deep.toml"));
    let out = dir.path().join("again");
    let run = |asked: &Request| import::import(asked, &out, false, &AtomicBool::new(false));
    let manifest = run(&asked).expect("imported");
    assert_eq!(manifest.name, "again");
    let (config, spec) = (&manifest.network, &manifest.weights);
    let weights = [
        own.join("deep.weights.safetensors"),
        out.join("weights.safetensors"),
    ];
    let [before, after] = weights.map(|file| {
        let file = StateDict::open(&file).expect("opens");
        tensors::read(&file, config, 1e-5).expect("fits")
    });
    assert_eq!((before, spec.folds), (after, 1));
    asked.manifest = None;
    assert_eq!(refusal(run(&asked)).0, "import-exists");
    std::fs::remove_dir_all(&out).expect("removed");
    assert_eq!(refusal(run(&asked)).0, "import-not-a-model");
}

/// The network of the plain case, and its tensors under nnU-Net's names, as a file of safetensors.
fn altered(
    alter: impl FnOnce(&mut BTreeMap<String, Named>),
) -> (UNetConfig, tempfile::NamedTempFile) {
    let dir = tempfile::tempdir().expect("folder");
    let asked = request(&nnunet("plain"), &["lesion"], dir.path());
    let read = reader::read(&asked, "mine", &AtomicBool::new(false));
    let config = read.expect("read").manifest.network;
    let file =
        StateDict::open(&nnunet("plain").join("fold_0/checkpoint_final.pth")).expect("opens");
    let mut tensors: BTreeMap<String, Named> = BTreeMap::new();
    for name in file.names().filter(|name| !name.contains("all_modules")) {
        let shape = file.shape(name).expect("there");
        let values = file.read(name, &shape).expect("read");
        let name = name.to_owned();
        tensors.insert(
            name.clone(),
            Named {
                name,
                shape,
                values,
            },
        );
    }
    alter(&mut tensors);
    let views = tensors.iter().map(|(name, tensor)| {
        let bytes = bytemuck::cast_slice(&tensor.values);
        (
            name,
            TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).expect("fits"),
        )
    });
    let path = tempfile::Builder::new()
        .suffix(".safetensors")
        .tempfile()
        .expect("file");
    std::fs::write(
        path.path(),
        safetensors::serialize(views, None).expect("serialises"),
    )
    .expect("written");
    (config, path)
}

fn refused(alter: impl FnOnce(&mut BTreeMap<String, Named>)) -> (&'static str, String) {
    let (config, path) = altered(alter);
    let file = StateDict::open(path.path()).expect("opens");
    import_error(tensors::read(&file, &config, 1e-5))
}

const CONV: &str = "encoder.stages.1.0.convs.0.conv.weight";

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let missing = refused(|t| drop(t.remove(CONV)));
    let half_missing = refused(|t| drop(t.remove("encoder.stages.1.0.convs.0.norm.weight")));
    let surplus = refused(|t| {
        let bias = t["decoder.seg_layers.2.bias"].clone();
        t.insert("tail.bias".into(), bias);
    });
    let misshaped = refused(|t| t.get_mut(CONV).expect("there").shape.swap(0, 2));
    let not_finite = refused(|t| t.get_mut(CONV).expect("there").values[0] = f32::NAN);
    let contradicted = refused(|t| {
        let mut other = t[CONV].clone();
        other.values[0] += 1.0;
        t.insert(CONV.replace("conv.weight", "all_modules.0.weight"), other);
    });
    for ((code, text), wanted, name) in [
        (missing, "checkpoint-tensor-missing", CONV),
        (
            half_missing,
            "checkpoint-tensor-missing",
            "convs.0.norm.weight",
        ),
        (surplus, "checkpoint-tensor-surplus", "tail.bias"),
        (misshaped, "checkpoint-tensor-mismatch", CONV),
        (not_finite, "checkpoint-tensor-mismatch", CONV),
        (
            contradicted,
            "checkpoint-tensor-surplus",
            "all_modules.0.weight",
        ),
    ] {
        assert!(code == wanted && text.contains(name), "{text}");
    }
}

#[test]
fn prefixes_of_wrappers_copies_and_heads_of_deep_supervision_make_no_difference() {
    let (config, plain) = altered(|_| ());
    let (_, wrapped) = altered(|t| {
        let copy = t[CONV].clone();
        t.insert(
            CONV.replace("conv.weight", "all_modules.0.weight"),
            copy.clone(),
        );
        t.insert(format!("decoder.{CONV}"), copy);
        *t = std::mem::take(t)
            .into_iter()
            .map(|(name, tensor)| (format!("module._orig_mod.{name}"), tensor))
            .collect();
    });
    let [plain, wrapped] = [plain, wrapped].map(|path| {
        let file = StateDict::open(path.path()).expect("opens");
        tensors::read(&file, &config, 1e-5).expect("fits")
    });
    assert!(plain == wrapped && !plain.is_empty());
    assert!(
        plain
            .iter()
            .all(|tensor| !tensor.name.contains("deep_supervision"))
    );
}

#[test]
fn convolutions_without_bias_have_a_bias_of_zero() {
    let (config, path) = altered(|t| t.retain(|name, _| !name.ends_with("conv.bias")));
    let file = StateDict::open(path.path()).expect("opens");
    let found = tensors::read(&file, &config, 1e-5).expect("fits");
    let bias = found
        .iter()
        .find(|t| t.name == "encoder.0.0.conv.bias")
        .expect("there");
    assert!(bias.values.iter().all(|v| v.to_bits() == 0) && bias.shape == [3]);
}
