//! The decision log: what was received, decided, computed, refused and sent, as a chain in which a changed line shows.
//!
//! In: [`Event`]s of the node and of those who read the log. Out: one JSON line each, durable before [`Log::record`] returns,
//! and DICOM audit messages made of them. Refused: a log that does not continue where its signed head says it ended.
//!
//! docs/audit.md has the format, what each break means and which states a crash may leave.

mod broken;
mod chain;
mod error;
mod event;
mod files;
mod forward;
mod key;
mod log;
mod message;
mod output;
mod position;
mod record;
mod syslog;
#[cfg(test)]
mod tests;
mod text;
mod verify;
mod xml;

pub use broken::Break;
pub use error::Error;
pub use event::{Event, Input, ModelUse, Party, Study, deciding};
pub use forward::{Forwarder, Repository, unsent};
pub use key::Key;
pub use log::Log;
pub use message::{Message, Source, message};
pub use output::Output;
pub use record::Record;
pub use verify::{Finding, Snapshot, Verdict, verify};

/// The log, in the node's folder.
pub const LOG: &str = "audit.jsonl";

/// Where the log ends, signed.
pub const HEAD: &str = "audit.head";

/// Up to where audit messages were sent, signed.
pub const SENT: &str = "audit.sent";

/// The node's secret.
pub const KEY: &str = "key";

/// Most bytes that are written between two positions of the head, hence also of one record.
const MAX_COMMIT_BYTES: usize = 16 << 20;
