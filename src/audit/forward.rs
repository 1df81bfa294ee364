//! Sends the log as audit messages to a repository, by syslog over TLS (RFC 5425), and remembers up to where.
//!
//! Syslog acknowledges nothing. So a connection carries one batch and is then closed from this side; what counts as sent is
//! what a repository took that closed in turn. Everything else is sent again, hence perhaps twice, and never lost.

use super::chain::Step;
use super::message::message;
use super::position::Position;
use super::syslog::frame;
use super::verify::Snapshot;
use super::{Break, Error, LOG, SENT, Source};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Longest wait for the repository at any one point.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked for new records.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait between tries while the repository is down.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A connection carries at most this and one message more, bytes.
const BATCH_BYTES: usize = 256 << 10;

/// How long the reset of a connection may be on its way.
const RESET_WAIT: Duration = Duration::from_secs(2);

/// Reads of a repository that has nothing to say, before it is left.
const MAX_READS: usize = 100;

/// Where audit messages go.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `host:port`.
    pub address: String,
    /// Whom to trust, and the node's own certificate.
    pub tls: Arc<ClientConfig>,
}

/// Sends what the log has.
#[derive(Debug)]
pub struct Forwarder {
    dir: PathBuf,
    repository: Repository,
    source: Source,
}

/// How many records of a node's folder were not yet sent.
///
/// # Errors
/// Those of [`Snapshot::take`].
pub fn unsent(dir: &Path) -> Result<u64, Error> {
    let snapshot = Snapshot::take(dir)?;
    let sent = sent(dir, &snapshot)?;
    Ok(snapshot.head().seq - sent.seq)
}

/// Up to where messages were sent; a log that ends before that is not the one that was sent.
fn sent(dir: &Path, snapshot: &Snapshot) -> Result<Position, Error> {
    let path = dir.join(SENT);
    let sent = Position::load(&path, snapshot.key())?;
    let sent = sent.unwrap_or_else(Position::start);
    let (expected, found) = (sent.seq, snapshot.head().seq);
    if found < expected {
        let found = Break::Cut { expected, found };
        return Err(Error::Broken { path, found });
    }
    Ok(sent)
}

impl Forwarder {
    /// Of the log in a node's folder.
    pub fn new(dir: &Path, repository: Repository, source: Source) -> Self {
        Self {
            dir: dir.into(),
            repository,
            source,
        }
    }

    /// Sends until the other end of `stop` is dropped, then once more; for a thread of its own.
    pub fn run(&self, stop: &Receiver<()>) {
        let (mut wait, mut failing) = (INTERVAL, false);
        loop {
            match self.send() {
                Ok(_) if failing => {
                    tracing::info!("The audit repository takes messages again.");
                    (wait, failing) = (INTERVAL, false);
                }
                Ok(_) => {}
                Err(error) if failing => {
                    tracing::debug!(%error, "Audit messages still wait.");
                    wait = MAX_WAIT.min(wait * 2);
                }
                Err(error) => {
                    tracing::error!(%error, code = error.code(), "Audit messages wait in the log.");
                    failing = true;
                }
            }
            if !matches!(stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                break;
            }
        }
        if let Err(error) = self.send() {
            tracing::warn!(%error, "Audit messages wait for the next start.");
        }
    }

    /// Sends all records that were not sent before; returns how many messages they made.
    ///
    /// # Errors
    /// [`Error::NotSent`]; [`Error::Broken`] where the log does not follow what was sent; those of [`Snapshot::take`].
    pub fn send(&self) -> Result<u64, Error> {
        let snapshot = Snapshot::take(&self.dir)?;
        let mut at = sent(&self.dir, &snapshot)?;
        let mut messages = 0;
        while at.seq < snapshot.head().seq {
            let batch = self.batch(&snapshot, at)?;
            if !batch.frames.is_empty() {
                self.deliver(&batch.frames)?;
            }
            at = batch.end;
            at.store(&self.dir.join(SENT), snapshot.key())?;
            messages += batch.messages;
        }
        Ok(messages)
    }

    fn batch(&self, snapshot: &Snapshot, from: Position) -> Result<Batch, Error> {
        let path = self.dir.join(LOG);
        let mut chain = snapshot.confirmed(from)?;
        let (mut frames, mut messages) = (Vec::new(), 0);
        while frames.len() < BATCH_BYTES {
            match chain.step().map_err(Error::io(&path))? {
                Step::Record(record) => {
                    if let Some(message) = message(&record, &self.source) {
                        frames.extend(frame(&message, &record.time, &self.source));
                        messages += 1;
                    }
                }
                Step::End => break,
                Step::Broken(found, _) => return Err(Error::Broken { path, found }),
                Step::Torn => {
                    let found = Break::Unreadable;
                    return Err(Error::Broken { path, found });
                }
            }
        }
        Ok(Batch {
            frames,
            messages,
            end: chain.at,
        })
    }

    fn deliver(&self, frames: &[u8]) -> Result<(), Error> {
        self.try_deliver(frames).map_err(|error| Error::NotSent {
            repository: self.repository.address.clone(),
            reason: format!("did not take audit messages: {error}"),
        })
    }

    fn try_deliver(&self, frames: &[u8]) -> io::Result<()> {
        let mut stream = self.connect()?;
        stream.write_all(frames)?;
        stream.conn.send_close_notify();
        stream.flush()?;
        stream.sock.shutdown(Shutdown::Write)?;
        let mut ignored = [0; 256];
        for _ in 0..MAX_READS {
            match stream.read(&mut ignored) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Closed without TLS's farewell, as some receivers do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return not_reset(&stream.sock);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("it keeps talking"))
    }

    fn connect(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let address = &self.repository.address;
        let host = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(host, _)| host);
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let mut last = io::Error::other("its name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(TIMEOUT))?;
                    socket.set_write_timeout(Some(TIMEOUT))?;
                    let tls = ClientConnection::new(self.repository.tls.clone(), name);
                    return Ok(StreamOwned::new(tls.map_err(io::Error::other)?, socket));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Where a receiver died before it had read all, its system resets the connection within a round trip.
fn not_reset(socket: &TcpStream) -> io::Result<()> {
    const STEPS: u32 = 20;
    for _ in 0..STEPS {
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        std::thread::sleep(RESET_WAIT / STEPS);
    }
    Ok(())
}

/// What one connection carries.
struct Batch {
    frames: Vec<u8>,
    messages: u64,
    /// Behind its last record.
    end: Position,
}
