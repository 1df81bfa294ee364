//! The PACS node: takes studies by DICOM and HTTP, runs each once it is complete, and delivers what was found.
//!
//! In: instances from scanners and archives. Out: SR and SEG at every destination, and a decision log. An instance is
//! acknowledged when it would survive a power cut, never before.

mod intake;
#[cfg(test)]
mod testing;

pub use intake::{Accepted, Claim, Incoming, Intake, Refusal, Sender};
