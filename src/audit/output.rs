//! Files of results as the log names them, so that a replay can tell equal from different.

use super::key::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// SHA-256, hexadecimal: of its bytes, or of JSON with sorted keys, without spaces and without `timings_ms`, which differ
    /// from run to run.
    pub sha256: String,
}

impl Output {
    /// Of a file's bytes.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        let without_timings = || {
            let mut json: serde_json::Map<String, Value> = serde_json::from_slice(bytes).ok()?;
            json.remove("timings_ms");
            serde_json::to_vec(&sorted(json.into())).ok()
        };
        let lasting = name.ends_with(".json").then(without_timings).flatten();
        let digest = Sha256::digest(lasting.as_deref().unwrap_or(bytes));
        Self {
            name: name.into(),
            sha256: hex(&digest),
        }
    }

    /// Of every file in a folder, by name.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn of_folder(dir: &Path) -> io::Result<Vec<Self>> {
        let mut outputs = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            outputs.push(Self::of(&name, &fs::read(entry.path())?));
        }
        outputs.sort();
        Ok(outputs)
    }
}

/// JSON with the keys of every object in order, whatever order the reader of JSON keeps.
fn sorted(json: Value) -> Value {
    match json {
        Value::Object(entries) => {
            let entries: BTreeMap<String, Value> = entries.into_iter().collect();
            let entries = entries.into_iter();
            entries.map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_equal_whatever_time_they_took() {
        let of = |text: &str| Output::of("findings.json", text.as_bytes()).sha256;
        let first = of(r#"{"lesions": [1], "timings_ms": {"read": 1.5}}"#);
        assert_eq!(first, of(r#"{"lesions": [1], "timings_ms": {"read": 2}}"#));
        assert_ne!(
            first,
            of(r#"{"lesions": [2], "timings_ms": {"read": 1.5}}"#)
        );
        // printf '{"a":[{"b":1,"c":2}],"d":3}' | sha256sum
        let by_hand = of(r#"{"d": 3, "a": [{"c": 2, "b": 1}], "timings_ms": {}}"#);
        assert!(by_hand.starts_with("03e320a797ee4dc2"), "{by_hand}");
        let of_bytes = Output::of("sr.dcm", b"abc").sha256;
        assert!(
            of_bytes.starts_with("ba7816bf8f01cfea"),
            "FIPS 180-2's example"
        );
    }
}
