//! An event in one line, for people.

use super::{Event, Party, Study};
use std::fmt;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                version, ae_title, ..
            } => {
                write!(f, "hilum {version} runs as {ae_title}")
            }
            Self::Stopped { reason } => write!(f, "hilum ends: {reason}"),
            Self::AssociationAccepted { peer } => write!(f, "{peer} may send"),
            Self::AssociationRejected { peer, code } => write!(f, "{peer} was rejected: {code}"),
            Self::LogUsed { action, user } => write!(f, "{user} read this log: {action}"),
            Self::LogRecovered {
                records,
                torn_bytes,
                ..
            } => write!(
                f,
                "after a crash: {records} unsigned record(s) taken over, {torn_bytes} bytes set aside"
            ),
            _ => self.fmt_of_study(f),
        }
    }
}

impl Event {
    fn fmt_of_study(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstanceReceived {
                sop_instance_uid,
                study_instance_uid,
                from,
                bytes,
                ..
            } => {
                let kib = bytes.div_ceil(1024);
                write!(
                    f,
                    "{from} sent {kib} KiB ({sop_instance_uid}, study {study_instance_uid})"
                )
            }
            Self::InstanceRefused {
                sop_instance_uid,
                from,
                code,
                ..
            } => {
                let uid = sop_instance_uid.as_deref().unwrap_or("unknown UID");
                write!(f, "{from} sent what was refused: {code} ({uid})")
            }
            Self::StudyComplete {
                study,
                code,
                sop_classes,
                ..
            } => {
                let instances: u64 = sop_classes.values().sum();
                write!(f, "complete by {code}: {instances} instance(s) ({study})")
            }
            Self::StudyReopened { study } => write!(f, "an instance came late ({study})"),
            Self::Purged {
                study_instance_uid,
                what,
                code,
                ..
            } => {
                write!(f, "removed {what}: {code} (study {study_instance_uid})")
            }
            _ => self.fmt_of_work(f),
        }
    }

    fn fmt_of_work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobStarted {
                study,
                attempt,
                models,
                inputs,
                ..
            } => {
                let (models, inputs) = (models.join(", "), inputs.len());
                write!(
                    f,
                    "try {attempt} with {models} on {inputs} instance(s) ({study})"
                )
            }
            Self::JobDone {
                study,
                device,
                warnings,
                outputs,
                duration_ms,
                ..
            } => {
                let (outputs, warnings) = (outputs.len(), warnings.len());
                write!(
                    f,
                    "{outputs} file(s), {warnings} warning(s) in {duration_ms} ms on {device} ({study})"
                )
            }
            Self::JobFailed {
                study,
                attempt,
                code,
            } => {
                write!(f, "try {attempt} failed: {code} ({study})")
            }
            Self::DeadLetter {
                study,
                attempts,
                code,
            } => {
                write!(f, "given up after {attempts} tries: {code} ({study})")
            }
            Self::DeliveryStarted { study, to, .. } => write!(f, "sending to {to} ({study})"),
            Self::Delivered { study, to, .. } => write!(f, "{to} has the results ({study})"),
            Self::DeliveryFailed {
                study,
                to,
                attempt,
                code,
            } => {
                write!(
                    f,
                    "{to} did not take the results, try {attempt}: {code} ({study})"
                )
            }
            Self::Committed {
                study,
                by,
                instances,
            } => {
                write!(f, "{by} keeps {instances} instance(s) ({study})")
            }
            Self::Replayed {
                study,
                differing,
                user,
            } if differing.is_empty() => {
                write!(f, "{user} ran it again: equal to the bit ({study})")
            }
            Self::Replayed {
                study,
                differing,
                user,
            } => {
                write!(
                    f,
                    "{user} ran it again: {} differ ({study})",
                    differing.join(", ")
                )
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            study_instance_uid,
            version,
            ..
        } = self;
        write!(f, "study {study_instance_uid} version {version}")
    }
}

/// The most telling name, and the address.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.ae_title.as_ref().or(self.name.as_ref());
        match (name, &self.address) {
            (Some(name), Some(address)) => write!(f, "{name} at {address}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(one),
            (None, None) => f.write_str("unknown"),
        }
    }
}
