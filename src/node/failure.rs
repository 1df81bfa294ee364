//! Why a job led to nothing, and whether another attempt may end otherwise.

use super::StoreError;
use crate::report::Reason;
use crate::{Class, Error};
use std::io;

/// Why a job led to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable kebab-case code.
    pub code: String,
    /// What was wrong, for people; nothing of the patient.
    pub message: String,
    /// Another attempt would end alike: the data are at fault.
    pub permanent: bool,
}

impl Failure {
    /// The device or a model cannot be opened, or what was asked for cannot be.
    pub(super) fn of_run(error: &Error) -> Self {
        Self {
            code: error.code().into(),
            message: error.to_string(),
            permanent: !matches!(error.class(), Class::Environment | Class::Internal),
        }
    }

    /// What the result of a study says of it.
    pub(super) fn of_reason(reason: &Reason, permanent: bool) -> Self {
        Self {
            code: reason.code.clone(),
            message: reason.text.clone(),
            permanent,
        }
    }

    pub(super) fn of_store(error: &StoreError) -> Self {
        Self {
            code: error.code().into(),
            message: error.to_string(),
            permanent: false,
        }
    }

    pub(super) fn result_unreadable(error: &io::Error) -> Self {
        Self {
            code: "result-unreadable".into(),
            message: format!("the result cannot be read back: {error}"),
            permanent: false,
        }
    }

    /// Another try would end alike until the sender sends the instance again, which puts its file back.
    pub(super) fn instance_lost(sop_instance_uid: &str) -> Self {
        Self {
            code: "instance-lost".into(),
            message: format!(
                "an instance is gone from the disk; have the study sent again, then try it anew (instance {sop_instance_uid})"
            ),
            permanent: true,
        }
    }

    /// The run panicked.
    pub(super) fn defect() -> Self {
        Self {
            code: "defect".into(),
            message: "a defect of this program ended the run; please report it".into(),
            permanent: false,
        }
    }
}
