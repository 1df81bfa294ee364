//! A folder of this project's training gives PyTorch's outputs; one that does not fit is refused.

use super::parity::copy;
use super::refusal;
use crate::engine::cpu::InstructionSet;
use crate::gpu::{Compute, for_tests};
use crate::model::import::{self, Request};
use crate::model::{Error, Evidence, Manifest, ModelSource, Segmenter, largest_difference};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Both are f32 and differ in the order of summation, and in that batch norms are folded; of logits relative to the largest.
const TOLERANCE: f32 = 1e-4;

/// Made by `models/training/classifier_parity.py`.
fn trained() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/classifier")
}

fn run(source: &Path, out: &Path) -> Result<Manifest, Error> {
    let request = Request {
        source: source.into(),
        ..Request::default()
    };
    import::import(&request, out, false, &AtomicBool::new(false))
}

fn tensor(file: &SafeTensors, name: &str) -> Vec<f32> {
    let view = file.tensor(name).expect(name);
    bytemuck::pod_collect_to_vec(view.data())
}

/// What a model makes of a candidate's patch.
fn look(model: &Segmenter, patch: &[f32]) -> Evidence {
    let (ensemble, _) = model.classifier.as_ref().expect("a classifier");
    let size = model
        .manifest()
        .classifier
        .as_ref()
        .expect("its spec")
        .patch;
    let runner = ensemble.runner(size).expect("fits");
    ensemble.evidence(&runner, patch, size).expect("runs")
}

#[test]
fn segmenters_and_classifiers_give_pytorch_s_outputs_on_every_device() {
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("mine");
    let manifest = run(&trained(), &out).expect("imported");
    assert_eq!(
        (manifest.name.as_str(), manifest.weights.folds),
        ("mine", 2)
    );
    let bytes = std::fs::read(trained().join("golden.safetensors")).expect("testdata");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let source = ModelSource::Folder(out);
    let on_cpu = InstructionSet::available().into_iter();
    let on_cpu = on_cpu.map(|set| (Compute::Cpu, set));
    let on_gpu = for_tests().map(|gpu| (Compute::Gpu(gpu), InstructionSet::detect()));
    for (compute, set) in on_cpu.chain(on_gpu) {
        let model = Segmenter::load(&source, &compute, set).expect("loads");
        model.self_check().expect("reproduces its golden patches");
        let runner = model.network.runner(manifest.input.patch).expect("fits");
        let logits = runner.logits(&tensor(&file, "input")).expect("runs");
        let expected = tensor(&file, "logits");
        let largest = expected.iter().fold(1.0, |max: f32, v| max.max(v.abs()));
        let difference = largest_difference(&logits, &expected) / largest;
        assert!(difference < TOLERANCE, "{}: {difference:e}", set.name());
        let found = look(&model, &tensor(&file, "classifier.input"));
        let outputs = [&[found.logit][..], &found.type_logits].concat();
        for (found, name) in [
            (outputs, "classifier.outputs"),
            (vec![found.spread], "classifier.spread"),
            (vec![found.novelty], "classifier.novelty"),
        ] {
            let expected = tensor(&file, name);
            assert_eq!(found.len(), expected.len());
            let difference = largest_difference(&found, &expected);
            assert!(difference < TOLERANCE, "{name}: {difference:e}");
        }
    }
}

#[test]
fn the_self_check_notices_a_changed_output_of_the_classifier() {
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("mine");
    run(&trained(), &out).expect("imported");
    let source = ModelSource::Folder(out);
    let mut model =
        Segmenter::load(&source, &Compute::Cpu, InstructionSet::detect()).expect("loads");
    let (_, golden) = model.classifier.as_mut().expect("a classifier");
    golden.outputs[1] += 0.02;
    let (code, text) = refusal(model.self_check());
    assert!(
        code == "model-self-check" && text.contains("classifier"),
        "{text}"
    );
}

#[test]
fn a_folder_that_does_not_fit_its_manifest_is_refused_and_leaves_nothing() {
    let refused = |change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().expect("folder");
        let source = dir.path().join("trained");
        copy(&trained(), &source);
        change(&source);
        let out = dir.path().join("out");
        let refused = refusal(run(&source, &out));
        assert!(!out.exists());
        refused
    };
    let remove = |name: &'static str| {
        move |folder: &Path| std::fs::remove_file(folder.join(name)).expect("removed")
    };
    let replace = |from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let path = folder.join("model.toml");
            let text = std::fs::read_to_string(&path).expect("manifest");
            assert!(text.contains(from), "{from}");
            std::fs::write(path, text.replace(from, to)).expect("written");
        }
    };
    let surplus = |folder: &Path| {
        let weights = folder.join("classifier_0.pth");
        std::fs::copy(weights, folder.join("novelty.pth")).expect("copied");
    };
    let segmenter = |folder: &Path| {
        let weights = folder.join("segmenter_0.pth");
        std::fs::copy(weights, folder.join("classifier_1.pth")).expect("copied");
    };
    for ((code, text), wanted, name) in [
        (
            refused(&remove("classifier_0.pth")),
            "import-invalid",
            "classifier_0.pth is not",
        ),
        (
            refused(&remove("classifier_1.pth")),
            "import-invalid",
            "classifier.folds",
        ),
        (
            refused(&remove("segmenter_0.pth")),
            "import-not-a-model",
            "segmenter_0.pth",
        ),
        (
            refused(&remove("novelty.pth")),
            "import-unreadable",
            "novelty.pth",
        ),
        (
            refused(&replace("folds = 2", "folds = 3")),
            "import-invalid",
            "classifier.folds",
        ),
        (
            refused(&replace("[8, 8, 12]", "[8, 8, 13]")),
            "model-manifest-out-of-range",
            "classifier.patch",
        ),
        (
            refused(&replace("\"solid\", ", "")),
            "checkpoint-tensor-mismatch",
            "head.weight",
        ),
        (
            refused(&replace("convs = [2, 1]", "convs = [2, 2]")),
            "checkpoint-tensor-missing",
            "stages.1.0.convs.1",
        ),
        (
            refused(&replace("norm = \"none\"", "norm = \"instance\"")),
            "checkpoint-tensor-surplus",
            "running_",
        ),
        (refused(&surplus), "checkpoint-tensor-surplus", "encoder."),
        (
            refused(&segmenter),
            "checkpoint-tensor-missing",
            "convs.1.conv",
        ),
    ] {
        assert!(code == wanted && text.contains(name), "[{code}] {text}");
    }
}

#[test]
fn what_the_manifest_says_is_not_said_again() {
    let dir = tempfile::tempdir().expect("folder");
    let request = Request {
        source: trained(),
        folds: vec!["0".into()],
        ..Request::default()
    };
    let out = dir.path().join("mine");
    let refused = import::import(&request, &out, false, &AtomicBool::new(false));
    assert_eq!(refusal(refused).0, "import-invalid");
}
