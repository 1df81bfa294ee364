//! The PACS node: takes studies by DICOM and HTTP, runs each once it is complete, and delivers what was found.
//!
//! In: instances from scanners and archives. Out: SR and SEG at every destination, and a decision log. An instance is
//! acknowledged when it would survive a power cut, never before.

mod calendar;
mod client;
mod complete;
#[cfg(test)]
mod crash;
pub mod deliver;
pub mod dimse;
mod doctor;
mod error;
mod failure;
mod identity;
mod intake;
pub mod metrics;
mod network;
mod notice;
mod priors;
mod queue;
mod route;
pub mod scp;
pub mod scu;
mod service;
mod spool;
pub mod status;
mod steward;
mod store;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod web;
mod worker;
mod written;

pub use calendar::{Agenda, Hours, next_s};
pub use client::{ClientError, Patience};
pub use complete::{Complete, Completion, Reason};
pub use doctor::{Check, Finding, examine};
pub use error::Error;
pub use failure::Failure;
pub use intake::{Accepted, Claim, Incoming, Intake, Recovery, Refusal, Sender};
pub use network::Addresses;
pub use priors::PriorsError;
pub use queue::{
    DeadLetter, Depth, Ended, Enqueued, Finished, Job, Output, Queue, Work, back_off_s,
};
pub use route::{Plan, plan};
pub use service::{purged, run};
pub use store::{
    Arrival, Arrived, Delivery, DeliveryCount, Error as StoreError, Input, NewInstance, Receipt,
    Removed, SeriesFacts, Store, StudyFacts, StudyState, StudyStatus,
};
