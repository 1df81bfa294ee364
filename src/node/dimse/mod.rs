//! DICOM messages over a connection, in both roles (PS3.7, PS3.8).
//!
//! In: the bytes of a peer. Out: typed commands, and data sets piece by piece.
//! Refused: protocol data units, commands and data sets that are malformed, out of turn, too large or too late.

mod association;
mod command;
mod commitment;
mod error;
mod wire;

pub(crate) use association::{Association, Context, Proposal, own_variables};
pub(crate) use command::{Command, Message, Progress, field, status};
pub use commitment::{Commitment, FailedInstance};
pub(crate) use commitment::{encoded, request_data_set, result_of};
pub use error::Error;
pub(crate) use wire::{Limits, Transport, Wire};

/// Largest association request or answer that is read, bytes: 128 contexts of thirty transfer syntaxes take half of it.
pub(crate) const MAX_NEGOTIATION_BYTES: u32 = 256 << 10;

/// Largest data set that is kept in memory, bytes: what is found, what is committed; never an instance.
pub(crate) const MAX_DATA_SET_BYTES: usize = 1 << 20;

/// The name of the application context of DICOM (PS3.7 A.2.1).
pub(crate) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// An instance by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceRef {
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
}
