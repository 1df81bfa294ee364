//! Protocol data units (PS3.8 9.3), each bounded in size and time before it is read.

use super::Error;
use dicom_ul::pdu::{MAXIMUM_PDU_SIZE, PDU_HEADER_SIZE, Pdu, read_pdu, write_pdu};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout, timeout_at};

/// What is read ahead of the unit that comes; larger ones are read without a copy.
const AHEAD_BYTES: usize = 8 << 10;

/// How long a peer may take to close a connection that is over.
const LINGER: Duration = Duration::from_secs(1);

/// A connection, with or without TLS.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Bounds in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Within which a unit has to be read or written.
    pub(crate) idle: Duration,
    /// The longest that the association may last.
    pub(crate) age: Duration,
    /// When that is over.
    pub(crate) end: Instant,
}

impl Limits {
    /// Bounds of an association that begins now.
    pub(crate) fn from_now(idle: Duration, age: Duration) -> Self {
        let end = Instant::now() + age;
        Self { idle, age, end }
    }

    /// When a unit that begins now has to be whole.
    pub(crate) fn unit_end(self) -> Instant {
        Instant::now() + self.idle
    }

    /// Waits for what a peer does, until `by` and no longer than the association may last.
    pub(crate) async fn keep<T>(
        self,
        by: Instant,
        what: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Error> {
        match timeout_at(by.min(self.end), what).await {
            Ok(done) => done.map_err(Error::of),
            Err(_) if by > self.end => Err(Error::TooLong {
                max_s: self.age.as_secs(),
            }),
            Err(_) => Err(Error::Idle {
                idle_s: self.idle.as_secs(),
            }),
        }
    }
}

/// A connection on which protocol data units are read and written.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Transport>>,
    limits: Limits,
    /// The last unit, its header first.
    unit: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Transport>, limits: Limits) -> Self {
        Self {
            stream: BufReader::with_capacity(AHEAD_BYTES, stream),
            limits,
            unit: Vec::new(),
        }
    }

    /// The last unit that was read, its header first.
    pub(super) fn unit(&self) -> &[u8] {
        &self.unit
    }

    /// Reads a unit of at most `max_bytes` behind its header; says its type.
    pub(super) async fn read(&mut self, max_bytes: u32) -> Result<u8, Error> {
        let (stream, limits, by) = (&mut self.stream, self.limits, self.limits.unit_end());
        let mut head = [0; PDU_HEADER_SIZE as usize];
        limits.keep(by, stream.read_exact(&mut head)).await?;
        let [pdu_type, _, length @ ..] = head;
        let bytes = u32::from_be_bytes(length);
        if !(0x01..=0x07).contains(&pdu_type) {
            return Err(Error::UnrecognizedPdu { pdu_type });
        }
        if bytes > max_bytes {
            return Err(Error::PduTooLarge { bytes, max_bytes });
        }
        self.unit.resize(head.len() + bytes as usize, 0);
        let (start, body) = self.unit.split_at_mut(head.len());
        start.copy_from_slice(&head);
        limits.keep(by, stream.read_exact(body)).await?;
        Ok(pdu_type)
    }

    /// Reads a unit that is no data.
    pub(super) async fn read_pdu(&mut self, max_bytes: u32) -> Result<Pdu, Error> {
        let pdu_type = self.read(max_bytes).await?;
        self.parsed(pdu_type)
    }

    /// The last unit, parsed.
    pub(super) fn parsed(&self, pdu_type: u8) -> Result<Pdu, Error> {
        match read_pdu(self.unit.as_slice(), MAXIMUM_PDU_SIZE, true) {
            Ok(Some(pdu)) => Ok(pdu),
            _ => Err(Error::MalformedPdu { pdu_type }),
        }
    }

    /// Writes a unit that is no data.
    pub(crate) async fn write_pdu(&mut self, pdu: &Pdu) -> Result<(), Error> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu).map_err(|_| Error::Io(io::ErrorKind::InvalidData.into()))?;
        self.write(&bytes).await
    }

    /// Writes whole units.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let stream = &mut self.stream;
        let written = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        self.limits.keep(self.limits.unit_end(), written).await
    }

    /// Says why the association is over, where the peer may still hear it, and closes the connection.
    pub(crate) async fn abort(mut self, error: &Error) {
        if let Some(source) = error.abort() {
            // Whether the peer hears it changes nothing.
            let pdu = Pdu::AbortRQ { source };
            let _ = timeout(LINGER, self.write_pdu(&pdu)).await;
        }
        self.close().await;
    }

    /// Closes the connection once the peer has read what was said, or has had the time for it: a socket that is dropped
    /// with unread bytes takes back what it sent.
    pub(crate) async fn close(mut self) {
        let (stream, mut sink) = (&mut self.stream, [0; 4096]);
        let close = async {
            stream.shutdown().await?;
            while stream.read(&mut sink).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(LINGER, close).await;
    }
}
