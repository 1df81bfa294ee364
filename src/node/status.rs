//! How the node is: what waits, what runs, what failed. Of studies, UIDs alone.

use serde::Serialize;
use std::collections::BTreeMap;

/// How the node is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// Version of this program.
    pub version: String,
    /// Git commit that it was built from, or `unknown`.
    pub git_hash: String,
    /// When it was started, RFC 3339.
    pub started: String,
    /// What has to work before it takes studies.
    pub parts: Parts,
    /// Studies by state.
    pub studies: StudyCounts,
    /// Age of the oldest study that waits for a device, s; absent where none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_s: Option<u64>,
    /// Dead letters by the code of their last failure.
    pub dead_letters: BTreeMap<String, u64>,
    /// Results on their way, by the name of the destination.
    pub deliveries: BTreeMap<String, DeliveryStatus>,
    /// Earlier studies on their way in.
    pub priors: PriorsStatus,
    /// Room on the disk of `node.dir`.
    pub disk: DiskStatus,
    /// What the networks run on.
    pub devices: Vec<DeviceStatus>,
    /// Models that are loaded.
    pub models: Vec<ModelStatus>,
    /// Studies that are not done; only whoever shows the bearer token sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_studies: Vec<StudyStatus>,
}

/// What has to work before the node takes studies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// A worker has its device and its models.
    pub worker: bool,
    /// The database answers.
    pub database: bool,
    /// The disk can be written and has the room that `node.storage.min_free_bytes` asks for.
    pub disk: bool,
}

/// Studies by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StudyCounts {
    /// Instances may still come.
    pub receiving: u64,
    /// Complete, waiting for a device.
    pub queued: u64,
    /// On a device.
    pub running: u64,
    /// With a result.
    pub done: u64,
    /// Dead letters.
    pub failed: u64,
}

/// Results on their way to one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryStatus {
    /// Studies whose results have not arrived.
    pub waiting: u64,
    /// Those of them that the destination refuses.
    pub refused: u64,
    /// Code of the last failure; absent where the last delivery arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// Earlier studies on their way in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PriorsStatus {
    /// Studies whose earlier studies are not here yet.
    pub waiting: u64,
    /// Code of the last failure of those; absent where none failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Studies whose earlier studies were given up, by code.
    pub failed: BTreeMap<String, u64>,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiskStatus {
    /// Free, bytes.
    pub free_bytes: u64,
    /// With less than this, nothing more is taken, bytes.
    pub min_free_bytes: u64,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeviceStatus {
    /// Name of the GPU or CPU.
    pub name: String,
    /// `gpu` or `cpu`.
    pub kind: &'static str,
    /// It stands in for a GPU that was lost or not found.
    pub is_fallback: bool,
}

/// A model that is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights or rules, hex.
    pub sha256: String,
}

/// A study that is not done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StudyStatus {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// `receiving`, `queued`, `running` or `failed`.
    pub state: &'static str,
    /// Code of its last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Status {
    /// Whether studies can be taken and worked on.
    pub fn is_ready(&self) -> bool {
        let Parts {
            worker,
            database,
            disk,
        } = self.parts;
        worker && database && disk
    }

    /// Without what names a study.
    pub fn without_studies(self) -> Self {
        Self {
            open_studies: Vec::new(),
            ..self
        }
    }
}
