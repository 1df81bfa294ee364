//! What nnU-Net itself left on disk, imported; and what must be refused.

mod checkpoint;
mod hostile;
mod parity;
mod plans;
mod trained;

use super::{Checkpoint, Error, Request};
use crate::model::Error as ModelError;
use std::path::{Path, PathBuf};

/// The small random networks that nnU-Net saved.
fn nnunet(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/nnunet")
        .join(case)
}

/// Every label of those networks with terms.
const LABELS: &str = r#"
[[labels]]
name = "NAME"
kind = "organ"
category = { value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }
type = { value = "10200004", scheme = "SCT", meaning = "Liver" }
"#;

/// A request for a folder, with terms for the labels named, which are written below `dir`.
fn request(source: &Path, labels: &[&str], dir: &Path) -> Request {
    let terms: String = labels
        .iter()
        .map(|name| LABELS.replace("NAME", name))
        .collect();
    let path = dir.join("labels.toml");
    std::fs::write(&path, terms).expect("written");
    Request {
        source: source.into(),
        configuration: Some("3d_fullres".into()),
        folds: Vec::new(),
        checkpoint: Checkpoint::Final,
        orientation: None,
        modalities: vec!["CT".into(), "PT".into()],
        pet_in_bqml: true,
        labels: Some(path),
        manifest: None,
        licence: None,
        attribution: None,
    }
}

/// The code and text of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, ModelError>) -> (&'static str, String) {
    let error = result.expect_err("refused");
    (error.code(), error.to_string())
}

fn import_error<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, String) {
    let error = result.expect_err("refused");
    (error.code(), error.to_string())
}
