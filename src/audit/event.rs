//! What can happen, as it stands in the log: UIDs, hashes, codes and AE titles, never a patient's name or id.

use super::Output;
use crate::config::Config;
use crate::report::Superseded;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One decision, or what led to it. A field may be added; none changes its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The node runs.
    Started {
        /// Version of the program.
        version: String,
        /// Its git commit.
        git_hash: String,
        /// AE title of the node.
        ae_title: String,
    },
    /// The node ends.
    Stopped {
        /// Why.
        reason: String,
    },
    /// A peer may send.
    AssociationAccepted {
        /// The peer.
        peer: Party,
    },
    /// A peer may not.
    AssociationRejected {
        /// The peer.
        peer: Party,
        /// Why, as a code.
        code: String,
    },
    /// An instance is kept.
    InstanceReceived {
        /// Study Instance UID.
        study_instance_uid: String,
        /// Series Instance UID.
        series_instance_uid: String,
        /// SOP Instance UID.
        sop_instance_uid: String,
        /// SOP Class UID.
        sop_class_uid: String,
        /// SHA-256 of the file, hexadecimal.
        sha256: String,
        /// Size of the file, bytes.
        bytes: u64,
        /// Who sent it.
        from: Party,
    },
    /// An instance was not taken.
    InstanceRefused {
        /// Study Instance UID, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        study_instance_uid: Option<String>,
        /// SOP Instance UID, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sop_instance_uid: Option<String>,
        /// Who sent it.
        from: Party,
        /// Why, as a code.
        code: String,
    },
    /// A study is run as it is.
    StudyComplete {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Why, as a code.
        code: String,
        /// Instances of each SOP Class UID.
        sop_classes: BTreeMap<String, u64>,
        /// Who sent them.
        from: Vec<Party>,
    },
    /// An instance came late: the result will be superseded.
    StudyReopened {
        /// The study, with the version that the instance makes.
        #[serde(flatten)]
        study: Study,
    },
    /// A study is computed.
    JobStarted {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// 1 in the first try.
        attempt: u32,
        /// The rule that fitted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Names of the models.
        models: Vec<String>,
        /// Every instance.
        inputs: Vec<Input>,
    },
    /// A study was computed.
    JobDone {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// `provenance.run_id` of `findings.json`.
        run_id: String,
        /// Adapter or CPU, and its driver or code path.
        device: String,
        /// What ran.
        models: Vec<ModelUse>,
        /// The configuration that decided, by [`deciding`].
        config: Value,
        /// `provenance.parameters`.
        parameters: Value,
        /// Codes of all warnings.
        warnings: Vec<String>,
        /// The SR of an earlier version that this one replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<Superseded>,
        /// What was written.
        outputs: Vec<Output>,
        /// How long it took, ms.
        duration_ms: u64,
    },
    /// A study could not be computed; it is tried again.
    JobFailed {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// 1 in the first try.
        attempt: u32,
        /// Why, as a code.
        code: String,
    },
    /// A study is not tried again.
    DeadLetter {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// How often it was tried.
        attempts: u32,
        /// Why, as a code.
        code: String,
    },
    /// Results are about to be sent.
    DeliveryStarted {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Where to.
        to: Party,
        /// Instances of each SOP Class UID.
        sop_classes: BTreeMap<String, u64>,
    },
    /// Results arrived.
    Delivered {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Where.
        to: Party,
        /// Instances of each SOP Class UID.
        sop_classes: BTreeMap<String, u64>,
    },
    /// Results did not arrive; they are sent again.
    DeliveryFailed {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Where to.
        to: Party,
        /// 1 in the first try.
        attempt: u32,
        /// Why, as a code.
        code: String,
    },
    /// A destination promised to keep what it was sent (PS3.4 J).
    Committed {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Who.
        by: Party,
        /// How many instances.
        instances: u64,
    },
    /// Somebody was asked for earlier studies of a study's patient, by the Patient ID.
    PriorsAsked {
        /// The study that they are for.
        #[serde(flatten)]
        study: Study,
        /// Who was asked.
        from: Party,
        /// Earlier studies that fit, at most as many as the rule asks for.
        chosen: u64,
        /// Those of them that are not here.
        to_fetch: u64,
    },
    /// An earlier study came.
    PriorFetched {
        /// The study that it is for.
        #[serde(flatten)]
        study: Study,
        /// Study Instance UID of the earlier one.
        prior: String,
        /// Who sent it.
        from: Party,
        /// Instances that came.
        instances: u64,
        /// Instances that were not sent, or not taken.
        left_out: u64,
    },
    /// Earlier studies did not come, or not all.
    PriorsFailed {
        /// The study that they are for.
        #[serde(flatten)]
        study: Study,
        /// Who was asked.
        from: Party,
        /// 1 in the first try.
        attempt: u32,
        /// Why, as a code.
        code: String,
        /// Nobody tries again.
        given_up: bool,
    },
    /// Something of a study was removed from the node.
    Purged {
        /// Study Instance UID.
        study_instance_uid: String,
        /// What: `instances`, `results` or `all`.
        what: String,
        /// Why, as a code.
        code: String,
        /// The patient, as [`Study::patient`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patient: Option<String>,
    },
    /// Someone read this log.
    LogUsed {
        /// The verb: `show` or `export`.
        action: String,
        /// Login name, as the environment says.
        user: String,
    },
    /// The log was found as a crash leaves it, and goes on.
    LogRecovered {
        /// Whole records behind the signed head, which were taken over.
        records: u64,
        /// Bytes of an unfinished end, which were set aside.
        torn_bytes: u64,
        /// The file that has them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_aside: Option<String>,
    },
    /// A logged decision was run again.
    Replayed {
        /// The study.
        #[serde(flatten)]
        study: Study,
        /// Outputs that came out otherwise; none where all are equal to the bit.
        differing: Vec<String>,
        /// Login name, as the environment says.
        user: String,
    },
}

/// What of a configuration decides a result, as JSON: all but `node`, with the models that a rule chose in place.
pub fn deciding(config: &Config) -> Value {
    // A path that is no UTF-8 has no JSON; a replay says so then.
    let mut json = serde_json::to_value(config).unwrap_or_default();
    if let Some(sections) = json.as_object_mut() {
        sections.remove("node");
    }
    json
}

/// A version of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Study {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Which set of its instances: 1, 2, …
    pub version: u32,
    /// The patient, as [`super::Key::link`] of the Patient ID (0010,0020).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
}

/// Who sent or receives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// What the configuration calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// AE title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ae_title: Option<String>,
    /// IP address, host name or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Party {
    /// Who opened a connection to the node.
    pub fn sender(ae_title: Option<&str>, address: IpAddr) -> Self {
        Self {
            name: None,
            ae_title: ae_title.map(Into::into),
            address: Some(address.to_string()),
        }
    }
}

/// An instance that was computed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// A model that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUse {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights, or of the parameters of its rules.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_configuration_reads_back_to_the_bit() {
        let mut config = Config::default();
        config.candidates.min_confidence = 0.1 + 0.2;
        config.models.enabled = vec!["lung-nodule".into()];
        let json = serde_json::to_string(&deciding(&config)).unwrap();
        assert!(!json.contains("ae_title"), "{json}");
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn events_are_flat_json_with_a_kind() {
        let event = Event::JobFailed {
            study: Study {
                study_instance_uid: "1.2".into(),
                version: 2,
                patient: None,
            },
            attempt: 1,
            code: "io".into(),
        };
        let text = serde_json::to_string(&event).unwrap();
        let flat = r#"{"kind":"job-failed","study_instance_uid":"1.2","version":2,"attempt":1,"code":"io"}"#;
        assert_eq!(text, flat);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
