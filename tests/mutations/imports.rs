//! The bodies of the import of trained models, shared by the mutation tests and by `fuzz/`.

use super::bodies::{Verdict, model_code, split, written};
use hilum::model::import::{self, Checkpoint, Request};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const PLANS: &str = include_str!("../../testdata/nnunet/reoriented/plans.json");
const DATASET: &[u8] = include_bytes!("../../testdata/nnunet/reoriented/dataset.json");
const CHECKPOINT: &[u8] =
    include_bytes!("../../testdata/nnunet/reoriented/fold_0/checkpoint_final.pth");
const LABELS: &[u8] = br#"[[labels]]
name = "lesion"
kind = "organ"
category = { value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }
type = { value = "10200004", scheme = "SCT", meaning = "Liver" }
[[labels]]
name = "organ"
kind = "organ"
category = { value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }
type = { value = "10200004", scheme = "SCT", meaning = "Liver" }
"#;

/// Plans of the smallest network, with a reader that does not turn images.
pub(crate) fn plans() -> String {
    PLANS.replace("NibabelIOWithReorient", "SimpleITKIO")
}

/// A checkpoint beside the plans of the smallest network.
pub(crate) fn checkpoint(scratch: &Path, data: &[u8]) -> Verdict {
    import(
        scratch,
        [plans().as_bytes(), DATASET, data],
        Verdict::of(data),
    )
}

/// `plans.json` and `dataset.json` beside the checkpoint of the smallest network.
pub(crate) fn nnunet_folder(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    verdict.honest_bytes += CHECKPOINT.len() as u64;
    match split(data)[..] {
        [plans, dataset, ..] => import(scratch, [plans, dataset, CHECKPOINT], verdict),
        _ => verdict,
    }
}

fn import(
    scratch: &Path,
    [plans, dataset, checkpoint]: [&[u8]; 3],
    mut verdict: Verdict,
) -> Verdict {
    let folder = scratch.join("results");
    fs::create_dir_all(folder.join("fold_0")).expect("the scratch folder is writable");
    written(&folder, "plans.json", plans);
    written(&folder, "dataset.json", dataset);
    written(&folder.join("fold_0"), "checkpoint_final.pth", checkpoint);
    let request = Request {
        source: folder,
        configuration: Some("3d_fullres".into()),
        folds: Vec::new(),
        checkpoint: Checkpoint::Final,
        orientation: None,
        modalities: vec!["CT".into(), "PT".into()],
        pet_in_bqml: true,
        labels: Some(written(scratch, "labels.toml", LABELS)),
        manifest: None,
        licence: None,
        attribution: None,
    };
    let imported = import::import(
        &request,
        &scratch.join("out"),
        true,
        &AtomicBool::new(false),
    );
    if verdict.result(imported, code).is_some() {
        verdict.note("imported");
    }
    verdict
}

/// The code, and what tells refusals of the same code apart.
fn code(error: &hilum::model::Error) -> String {
    let hilum::model::Error::Import(import) = error else {
        return model_code(error);
    };
    let words = match import {
        import::Error::Malformed { message, .. } => message.as_str(),
        import::Error::Invalid { key, .. } => key.as_str(),
        import::Error::Foreign { name, .. }
        | import::Error::MissingTensor { name, .. }
        | import::Error::SurplusTensor { name, .. } => name.as_str(),
        import::Error::Tensor { wanted, .. } => wanted.as_str(),
        import::Error::Unsupported(part) => part.key.as_str(),
        _ => "",
    };
    let letters = words.chars().filter(char::is_ascii_alphabetic).take(24);
    format!("{} {}", import.code(), letters.collect::<String>())
}
