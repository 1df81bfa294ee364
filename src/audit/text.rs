//! An event in one line, for people.

use super::{Event, Party, Study};
use std::fmt;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                version, ae_title, ..
            } => write!(f, "hilum {version} runs as {ae_title}"),
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
            _ => instances(self, f),
        }
    }
}

/// Instances that come and go.
fn instances(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::InstanceReceived {
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
        Event::InstanceRefused {
            sop_instance_uid,
            from,
            code,
            ..
        } => {
            let uid = sop_instance_uid.as_deref().unwrap_or("unknown UID");
            write!(f, "{from} sent what was refused: {code} ({uid})")
        }
        Event::Purged {
            study_instance_uid,
            what,
            code,
            ..
        } => write!(f, "removed {what}: {code} (study {study_instance_uid})"),
        _ => studies(event, f),
    }
}

/// Studies up to their computation.
fn studies(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::StudyComplete {
            study,
            code,
            sop_classes,
            ..
        } => {
            let instances: u64 = sop_classes.values().sum();
            write!(f, "complete by {code}: {instances} instance(s) ({study})")
        }
        Event::StudyReopened { study } => write!(f, "an instance came late ({study})"),
        Event::JobStarted {
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
        _ => results(event, f),
    }
}

/// What came of a computation.
fn results(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::JobDone {
            study,
            device,
            warnings,
            outputs,
            duration_ms,
            ..
        } => {
            let (files, warnings) = (outputs.len(), warnings.len());
            write!(
                f,
                "{files} file(s), {warnings} warning(s) in {duration_ms} ms on {device} ({study})"
            )
        }
        Event::JobFailed {
            study,
            attempt,
            code,
        } => write!(f, "try {attempt} failed: {code} ({study})"),
        Event::DeadLetter {
            study,
            attempts,
            code,
        } => write!(f, "given up after {attempts} tries: {code} ({study})"),
        Event::Replayed {
            study,
            differing,
            user,
        } => match differing.join(", ").as_str() {
            "" => write!(f, "{user} ran it again: equal to the bit ({study})"),
            names => write!(f, "{user} ran it again: {names} differ ({study})"),
        },
        _ => deliveries(event, f),
    }
}

fn deliveries(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::DeliveryStarted { study, to, .. } => write!(f, "sending to {to} ({study})"),
        Event::Delivered { study, to, .. } => write!(f, "{to} has the results ({study})"),
        Event::DeliveryFailed {
            study,
            to,
            attempt,
            code,
        } => write!(
            f,
            "{to} did not take the results, try {attempt}: {code} ({study})"
        ),
        Event::Committed {
            study,
            by,
            instances,
        } => write!(f, "{by} keeps {instances} instance(s) ({study})"),
        _ => priors(event, f),
    }
}

/// Earlier studies.
fn priors(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::PriorsAsked {
            study,
            from,
            chosen,
            to_fetch,
        } => write!(
            f,
            "{from} was asked for earlier studies: {chosen} fit, {to_fetch} to fetch ({study})"
        ),
        Event::PriorFetched {
            study,
            prior,
            from,
            instances,
            left_out,
        } => write!(
            f,
            "{from} sent the earlier study {prior}: {instances} instance(s), {left_out} left out ({study})"
        ),
        Event::PriorsFailed {
            study,
            from,
            attempt,
            code,
            given_up,
        } => {
            let end = if *given_up { ", given up" } else { "" };
            write!(
                f,
                "earlier studies did not come from {from}, try {attempt}{end}: {code} ({study})"
            )
        }
        _ => Ok(()),
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
