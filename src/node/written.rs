//! What a result says of itself: read back from its files, for the queue and the decision log.

use super::Output;
use super::identity::Identity;
use crate::audit::{self, ModelUse};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FINDINGS_JSON: &str = "findings.json";

/// The stages that are measured, as `timings_ms` of `findings.json` names them.
const STAGES: [&str; 7] = [
    "read",
    "preprocess",
    "network",
    "measure",
    "classify",
    "uptake",
    "export",
];

/// A result in its folder; the default is that of a study of which nothing can be run.
#[derive(Debug, Default)]
pub(super) struct Written {
    findings: Value,
    files: Vec<WrittenFile>,
}

#[derive(Debug)]
struct WrittenFile {
    path: PathBuf,
    sha256: [u8; 32],
    identity: Option<Identity>,
    logged: audit::Output,
}

impl Written {
    /// Reads and hashes every file of the folder.
    ///
    /// # Errors
    /// A file cannot be read, or `findings.json` is no JSON.
    pub(super) fn read(dir: &Path) -> io::Result<Self> {
        let mut written = Self::default();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let bytes = fs::read(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == FINDINGS_JSON {
                written.findings = serde_json::from_slice(&bytes)?;
            }
            written.files.push(WrittenFile {
                sha256: Sha256::digest(&bytes).into(),
                identity: Identity::of(&bytes),
                logged: audit::Output::of(&name, &bytes),
                path,
            });
        }
        written.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(written)
    }

    fn provenance(&self) -> &Value {
        &self.findings["provenance"]
    }

    /// What identifies the run.
    pub(super) fn run_id(&self) -> String {
        text(&self.provenance()["run_id"])
    }

    /// Adapter or CPU, and its driver or instructions.
    pub(super) fn device(&self) -> String {
        let [adapter, driver] = ["adapter", "driver"].map(|key| text(&self.provenance()[key]));
        format!("{adapter}, {driver}")
    }

    /// `provenance.parameters`.
    pub(super) fn parameters(&self) -> Value {
        self.provenance()["parameters"].clone()
    }

    /// What was enabled.
    pub(super) fn models(&self) -> Vec<ModelUse> {
        let models = list(&self.provenance()["models"]);
        let model = |model: &Value| ModelUse {
            name: text(&model["name"]),
            version: text(&model["version"]),
            sha256: text(&model["sha256"]),
        };
        models.iter().map(model).collect()
    }

    /// Codes of the warnings.
    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = list(&self.findings["warnings"]).iter();
        warnings.map(|warning| text(&warning["code"])).collect()
    }

    /// Whether a model or a rule ran on some series, or failed on it.
    pub(super) fn has_run(&self) -> bool {
        let mut series = list(&self.findings["series"]).iter();
        series.any(|series| series["status"] == "done" || series["status"] == "failed")
    }

    /// Stages and how long they took.
    pub(super) fn stages(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        STAGES.into_iter().filter_map(|stage| {
            let ms = self.findings["timings_ms"][stage].as_f64()?;
            Some((stage, Duration::try_from_secs_f64(ms / 1e3).ok()?))
        })
    }

    /// The files, for the queue; paths are relative to `root`.
    pub(super) fn outputs(&self, root: &Path) -> Vec<Output> {
        let output = |file: &WrittenFile| {
            let path = file.path.strip_prefix(root).unwrap_or(&file.path);
            let identity = file.identity.clone();
            Output {
                path: path.to_string_lossy().into_owned(),
                sop_class_uid: identity.as_ref().map(|i| i.sop_class_uid.clone()),
                sop_instance_uid: identity.map(|i| i.sop_instance_uid),
                sha256: file.sha256,
            }
        };
        self.files.iter().map(output).collect()
    }

    /// The files, for the decision log.
    pub(super) fn logged(self) -> Vec<audit::Output> {
        self.files.into_iter().map(|file| file.logged).collect()
    }
}

/// Of bytes, hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
