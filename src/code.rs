//! What programs compare: coded terms (PS3.3 8.8) with the words that people read, and kinds of lesion.

use serde::{Deserialize, Serialize};

/// Code Value, Coding Scheme Designator and Code Meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Code Value (0008,0100).
    pub value: String,
    /// Coding Scheme Designator (0008,0102), such as `SCT` or `DCM`.
    pub scheme: String,
    /// Code Meaning (0008,0104).
    pub meaning: String,
}

impl Code {
    /// A term from its three parts.
    pub fn new(value: &str, scheme: &str, meaning: &str) -> Self {
        Self {
            value: value.into(),
            scheme: scheme.into(),
            meaning: meaning.into(),
        }
    }
}

/// What a lesion is; `kind` in `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lung nodule.
    LungNodule,
    /// A lymph node.
    LymphNode,
    /// A lesion with high tracer uptake.
    PetLesion,
    /// Normal uptake, shown so that nothing is dropped in silence.
    PhysiologicUptake,
    /// An organ, a tissue or another structure: a segment, no lesion.
    Organ,
}
