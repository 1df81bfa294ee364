//! Why an association ended, or was not made.

use dicom_ul::pdu::{AbortRQServiceProviderReason as Reason, AbortRQSource};
use std::io;

/// What is wrong with an association or a message of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No A-RELEASE came before the end.
    #[error("the peer closed the connection without releasing the association")]
    Closed,
    /// A-ABORT (PS3.8 9.3.8).
    #[error("the peer aborted the association")]
    Aborted,
    /// The peer was silent, or slower than anybody has to be.
    #[error("the peer completed no protocol data unit within {idle_s} s")]
    Idle {
        /// The limit.
        idle_s: u64,
    },
    /// The association has reached the age that it may have.
    #[error("the association lasted longer than {max_s} s")]
    TooLong {
        /// The limit.
        max_s: u64,
    },
    /// The node stops.
    #[error("the node is being stopped")]
    Stopped,
    /// Larger than what was negotiated.
    #[error("a protocol data unit claims {bytes} bytes; at most {max_bytes} are taken")]
    PduTooLarge {
        /// What it claims.
        bytes: u32,
        /// The limit.
        max_bytes: u32,
    },
    /// None of the seven types of PS3.8 9.3.1: another protocol speaks here.
    #[error("{pdu_type:#04x} is no type of protocol data unit; the peer may speak TLS or HTTP")]
    UnrecognizedPdu {
        /// The first byte.
        pdu_type: u8,
    },
    /// Out of turn.
    #[error("a protocol data unit of type {pdu_type:#04x} is not expected now")]
    UnexpectedPdu {
        /// Its type.
        pdu_type: u8,
    },
    /// Its fields contradict each other.
    #[error("a protocol data unit of type {pdu_type:#04x} is malformed")]
    MalformedPdu {
        /// Its type.
        pdu_type: u8,
    },
    /// Data on a presentation context that was not accepted.
    #[error("presentation context {context_id} was not accepted")]
    UnknownContext {
        /// Its number.
        context_id: u8,
    },
    /// A command where a data set belongs, or the other way round, or of two contexts.
    #[error("a fragment is of another message than the one before it")]
    UnexpectedFragment,
    /// A command set breaks PS3.7 6.3 or E.
    #[error("{keyword} (0000,{element:04X}) of a command is {problem}")]
    MalformedCommand {
        /// Keyword of the element.
        keyword: &'static str,
        /// Its number within group 0000.
        element: u16,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Larger than any command is.
    #[error("a command is larger than {max_bytes} bytes")]
    CommandTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// A data set that is needed now cannot be read.
    #[error("the data set of a {operation} cannot be read: {problem}")]
    MalformedDataSet {
        /// Name of the operation.
        operation: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A message that does not belong here, or not now.
    #[error("a command of field {field:#06x} is not expected now")]
    UnexpectedCommand {
        /// Command Field (0000,0100).
        field: u16,
    },
    /// The peer cannot be reached.
    #[error("cannot connect: {0}; check host and port of the peer")]
    Connect(#[source] io::Error),
    /// The peer has no address of its own.
    #[error("the peer has no port in the configuration: set `port`")]
    NoPort,
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] crate::node::tls::Error),
    /// TLS was not agreed upon.
    #[error("no TLS connection: {0}; check the certificates of both sides")]
    Handshake(#[source] io::Error),
    /// A-ASSOCIATE-RJ (PS3.8 9.3.4).
    #[error("the peer rejected the association ({result}): {reason}")]
    Rejected {
        /// `permanent` or `transient`.
        result: &'static str,
        /// Its reason, by the standard.
        reason: String,
    },
    /// The peer takes no such objects, or not so encoded.
    #[error("the peer accepted no presentation context for SOP class {sop_class_uid}")]
    NotAccepted {
        /// The class.
        sop_class_uid: String,
    },
    /// The peer answered with a failure (PS3.7 C).
    #[error("the peer answered {operation} with status {status:#06x}")]
    Status {
        /// Name of the operation.
        operation: &'static str,
        /// Status (0000,0900).
        status: u16,
    },
    /// A file that is to be sent cannot be read.
    #[error("cannot read the file to send: {0}")]
    File(#[source] io::Error),
    /// A file that is to be sent is no DICOM file.
    #[error("the file to send has no File Meta Information that can be read")]
    NotDicom,
    /// The association broke while another file was sent.
    #[error("the association broke before it was this file's turn")]
    NotSent,
    /// The peer sends an instance that was asked for, and it cannot be kept now.
    #[error("what the peer sends cannot be kept here: {code}")]
    NotTaken {
        /// Why: a stable kebab-case code.
        code: &'static str,
    },
    /// More instances than a study has.
    #[error("the peer sends more than {max} instances of one study")]
    TooManyInstances {
        /// The limit.
        max: u64,
    },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl Error {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "connection-closed",
            Self::Aborted => "aborted-by-peer",
            Self::Idle { .. } => "association-idle",
            Self::TooLong { .. } => "association-too-long",
            Self::Stopped => "node-stopping",
            Self::PduTooLarge { .. } => "pdu-too-large",
            Self::UnrecognizedPdu { .. } => "pdu-unrecognized",
            Self::UnexpectedPdu { .. } => "pdu-unexpected",
            Self::MalformedPdu { .. } => "pdu-malformed",
            Self::UnknownContext { .. } => "context-not-accepted",
            Self::UnexpectedFragment => "fragment-unexpected",
            Self::MalformedCommand { .. } => "command-malformed",
            Self::CommandTooLarge { .. } => "command-too-large",
            Self::MalformedDataSet { .. } => "data-set-malformed",
            Self::UnexpectedCommand { .. } => "command-unexpected",
            Self::Connect(_) => "connect",
            Self::NoPort => "peer-without-port",
            Self::Tls(e) => e.code(),
            Self::Handshake(_) => "tls-handshake",
            Self::Rejected { .. } => "association-rejected",
            Self::NotAccepted { .. } => "sop-class-not-accepted",
            Self::Status { .. } => "peer-status",
            Self::File(_) => "file-unreadable",
            Self::NotDicom => "file-not-dicom",
            Self::NotSent => "file-not-sent",
            Self::TooManyInstances { .. } => "too-many-instances",
            Self::Io(_) => "connection-failed",
            Self::NotTaken { code } => code,
        }
    }

    /// A connection that ended is told from one that failed.
    pub(super) fn of(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }

    /// What an A-ABORT says of it (PS3.8 9.3.8); none where nobody listens any more.
    pub(super) fn abort(&self) -> Option<AbortRQSource> {
        let reason = match self {
            Self::Closed | Self::Aborted | Self::Io(_) => return None,
            Self::UnrecognizedPdu { .. } => Reason::UnrecognizedPdu,
            Self::UnexpectedPdu { .. } => Reason::UnexpectedPdu,
            Self::PduTooLarge { .. }
            | Self::MalformedPdu { .. }
            | Self::UnknownContext { .. }
            | Self::UnexpectedFragment => Reason::InvalidPduParameter,
            Self::MalformedCommand { .. }
            | Self::CommandTooLarge { .. }
            | Self::MalformedDataSet { .. }
            | Self::UnexpectedCommand { .. } => return Some(AbortRQSource::ServiceUser),
            _ => Reason::ReasonNotSpecified,
        };
        Some(AbortRQSource::ServiceProvider(reason))
    }
}
