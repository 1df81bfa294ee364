//! Networks as nnU-Net saved them give the logits that nnU-Net gave.

use super::{nnunet, refusal, request};
use crate::engine::cpu::{self, InstructionSet};
use crate::gpu::Compute;
use crate::model::import::{self, Request};
use crate::model::manifest::{ChannelNormalization, ModelGrid};
use crate::model::unet::{Architecture, Norm, UNet};
use crate::model::{Activation, Manifest, ModelSource, Segmenter, largest_difference, weights};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Of the largest logit: both are f32 and differ in the order of summation.
const TOLERANCE: f32 = 1e-4;

fn imported(request: &Request, out: &Path) -> (Manifest, Vec<UNet>) {
    let manifest = import::import(request, out, false, &AtomicBool::new(false)).expect("imported");
    let bytes = std::fs::read(out.join("weights.safetensors")).expect("written");
    let networks = weights::tests::networks(&bytes, &manifest.weights, &manifest.network);
    (manifest, networks.expect("loads"))
}

/// Shape and values of a tensor of `golden.safetensors`.
fn tensor(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let values = view
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b));
    (view.shape().to_vec(), values.collect())
}

/// Imports a case, holds every fold's logits against nnU-Net's, and gives its manifest.
fn agrees(case: &str, labels: &[&str], change: impl FnOnce(&mut Request)) -> Manifest {
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = request(&nnunet(case), labels, dir.path());
    change(&mut asked);
    let out = dir.path().join("imported");
    let (manifest, networks) = imported(&asked, &out);
    let bytes = std::fs::read(nnunet(case).join("golden.safetensors")).expect("testdata");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (shape, patch) = tensor(&file, "patch");
    let folds = file
        .names()
        .into_iter()
        .filter(|n| n.starts_with("patch.logits.fold_"));
    let mut folds: Vec<&str> = folds.collect();
    folds.sort_unstable();
    assert_eq!(folds.len(), networks.len());
    for (name, network) in folds.into_iter().zip(&networks) {
        let (_, expected) = tensor(&file, name);
        let largest = expected.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
        for (of, found) in logits(network, &patch, &shape) {
            let difference = largest_difference(&found, &expected) / largest;
            println!("{case} {name} {of}: {difference:e} of {largest}");
            assert!(difference < TOLERANCE, "{case} {name} {of}: {difference:e}");
        }
    }
    let source = ModelSource::Folder(out);
    let loaded = Segmenter::load(&source, &Compute::Cpu, InstructionSet::detect());
    loaded
        .expect("loads")
        .self_check()
        .expect("reproduces its golden patch");
    manifest
}

/// Logits of a patch `[channel, z, y, x]` by the definition and by the engine.
fn logits(network: &UNet, patch: &[f32], shape: &[usize]) -> [(&'static str, Vec<f32>); 2] {
    let [channels, z, y, x] = shape.try_into().expect("four axes");
    let data = TensorData::new(patch.to_vec(), [1, channels, z, y, x]);
    let defined = network
        .forward(Tensor::from_data(data, &Device::flex()))
        .into_data();
    let engine = cpu::Network::new(&network.layers(), InstructionSet::detect());
    [
        ("definition", defined.try_into_vec().expect("f32")),
        ("engine", engine.forward(patch, [z, y, x])),
    ]
}

#[test]
fn a_plain_network_of_new_plans_and_of_old_ones() {
    let new = agrees("plain", &["lesion"], |_| ());
    assert_eq!(new.input.patch, [16, 16, 24]);
    assert_eq!(
        (new.network.architecture, new.network.norm),
        (Architecture::Plain, Norm::Instance)
    );
    assert_eq!(new.input.mirror_axes, Vec::<usize>::new());
    assert_eq!(new.output.activation, Activation::Softmax);
    let normalization = new.input.channels[0].normalization;
    assert!(
        matches!(normalization, ChannelNormalization::Window { lower, upper, .. } if lower < upper)
    );
    let dir = tempfile::tempdir().expect("folder");
    let old = dir.path().join("old");
    copy(&nnunet("plain"), &old);
    std::fs::copy(
        nnunet("plain").join("plans-2.4.json"),
        old.join("plans.json"),
    )
    .expect("copied");
    let (old, _) = imported(
        &request(&old, &["lesion"], dir.path()),
        &dir.path().join("imported"),
    );
    assert_eq!((old.network, old.input), (new.network, new.input));
}

#[test]
fn an_anisotropic_network_that_transposes_and_mirrors() {
    let manifest = agrees("anisotropic", &["lesion", "organ"], |_| ());
    assert!(matches!(
        manifest.input.grid,
        ModelGrid::Source {
            transpose: [2, 0, 1],
            ..
        }
    ));
    assert_eq!(manifest.input.mirror_axes, [0, 1]);
    let labels = manifest
        .labels
        .iter()
        .map(|label| (label.channel, label.name.as_str()));
    assert_eq!(labels.collect::<Vec<_>>(), [(1, "organ"), (2, "lesion")]);
}

#[test]
fn two_channels_two_folds_and_regions() {
    let manifest = agrees("two-channel", &["whole", "core", "rim"], |_| ());
    assert_eq!(
        (manifest.weights.folds, manifest.network.input_channels),
        (2, 2)
    );
    assert_eq!(manifest.output.activation, Activation::Sigmoid);
    let labels = manifest
        .labels
        .iter()
        .map(|label| (label.channel, label.name.as_str()));
    assert_eq!(
        labels.collect::<Vec<_>>(),
        [(0, "whole"), (1, "core"), (2, "rim")]
    );
    let channel = &manifest.input.channels[1];
    assert_eq!(channel.modality, "PT");
    assert_eq!(
        channel.normalization,
        ChannelNormalization::ZScore { nonzero: true }
    );
}

#[test]
fn a_residual_encoder() {
    let manifest = agrees("residual", &["organ", "lesion"], |_| ());
    assert_eq!(manifest.network.architecture, Architecture::Residual);
    assert_eq!(
        manifest.input.channels[0].normalization,
        ChannelNormalization::ZScore { nonzero: false }
    );
}

#[test]
fn batch_norms_are_folded_whatever_the_plans_say() {
    let lowres = |request: &mut Request| request.configuration = Some("3d_lowres".into());
    let manifest = agrees("batch", &["lesion"], lowres);
    assert_eq!(manifest.network.norm, Norm::None);
    let dir = tempfile::tempdir().expect("folder");
    let said = dir.path().join("said");
    copy(&nnunet("batch"), &said);
    let plans = nnunet("batch").join("plans-batch-norm.json");
    std::fs::copy(plans, said.join("plans.json")).expect("copied");
    let mut request = request(&said, &["lesion"], dir.path());
    lowres(&mut request);
    let (said, _) = imported(&request, &dir.path().join("imported"));
    assert_eq!(said.network, manifest.network);
}

#[test]
fn one_fold_of_two_has_names_without_its_number() {
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = request(
        &nnunet("two-channel"),
        &["whole", "core", "rim"],
        dir.path(),
    );
    asked.folds = vec!["1".into()];
    let (manifest, networks) = imported(&asked, &dir.path().join("imported"));
    assert_eq!((manifest.weights.folds, networks.len()), (1, 1));
    asked.folds = vec!["7".into()];
    let refused = import::import(
        &asked,
        &dir.path().join("other"),
        false,
        &AtomicBool::new(false),
    );
    let (code, text) = refusal(refused);
    assert!(code == "import-fold" && text.contains("0, 1"), "{text}");
}

#[test]
fn a_folder_is_written_whole_or_not_at_all_and_only_a_model_is_replaced() {
    let dir = tempfile::tempdir().expect("folder");
    let asked = request(&nnunet("plain"), &["lesion"], dir.path());
    let out = dir.path().join("models").join("mine");
    let run = |overwrite, cancel| import::import(&asked, &out, overwrite, &AtomicBool::new(cancel));
    assert_eq!(refusal(run(false, true)).0, "cancelled");
    assert!(!out.exists());
    run(false, false).expect("imported");
    assert_eq!(refusal(run(false, false)).0, "import-exists");
    run(true, false).expect("replaced");
    let entries = std::fs::read_dir(dir.path().join("models")).expect("folder");
    assert_eq!(entries.count(), 1);
    std::fs::remove_file(out.join("model.toml")).expect("removed");
    assert_eq!(refusal(run(true, false)).0, "import-exists");
}

/// Copies a folder.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let path = entry.expect("entry").path();
        let to = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("copied");
        }
    }
}
