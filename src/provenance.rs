//! What ran: enough to run it again and to compare the bits.

use serde::Serialize;

/// Version, device, model and parameters of one run; copied into SR, SEG and JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Provenance {
    /// Version of this program.
    pub version: String,
    /// Git commit that it was built from, or `unknown`.
    pub git_hash: String,
    /// Adapter name, or the CPU's model name.
    pub adapter: String,
    /// Driver and its version, or the CPU code path.
    pub driver: String,
    /// The models that ran.
    pub models: Vec<ModelIdentity>,
    /// Every parameter that decides the result.
    pub parameters: serde_json::Value,
    /// Hash of inputs, models, parameters and version: equal for equal runs.
    pub run_id: String,
}

/// Which weights or rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelIdentity {
    /// Folder name, such as `lung-nodule-lite`.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// SHA-256 of the weights file, or of the parameters of rules, hex.
    pub sha256: String,
    /// What its findings come from.
    pub method: Method,
    /// Not yet shown to work on real patients' data; every finding says so.
    pub experimental: bool,
}

/// What findings come from; `method` in `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Weights that were learned from data.
    TrainedModel,
    /// Published rules and thresholds; no data were learned from.
    Rules,
}
