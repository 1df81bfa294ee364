//! The DICOM side that calls: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE, Storage Commitment (PS3.4 A, B, C, J).
//!
//! In: files and questions. Out: what the peer answered. Calls block their thread and end in bounded time; they are for
//! worker threads, not for tasks of a runtime.

mod commit;
mod find;
mod retrieve;
mod store;

#[cfg(test)]
pub(super) mod scripted;
#[cfg(test)]
mod tests;

pub(in crate::node) use retrieve::{MAX_INSTANCES, Retrieved};
pub use store::{Sent, is_stored};

use super::dimse::{
    Association, Command, Error, Limits, Message, Proposal, Transport, Wire, status,
};
use super::tls;
use crate::config::PeerConfig;
use dicom_dictionary_std::uids;
use rustls::pki_types::ServerName;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Largest protocol data unit that is taken, bytes.
const MAX_PDU_BYTES: u32 = 128 << 10;

/// The end of the node is looked for so often.
const LOOK: Duration = Duration::from_millis(100);

/// Bounds in time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection is there, with TLS.
    pub connect: Duration,
    /// Until the peer's next protocol data unit is there: some archives answer in minutes.
    pub response: Duration,
    /// The same for C-MOVE, whose peer need not say how far it is.
    pub moving: Duration,
    /// Until an association is over, whatever it is doing.
    pub total: Duration,
    /// Until an answer to a request for commitment; later it comes by an association of the peer's.
    pub commitment: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(300),
            moving: Duration::from_secs(900),
            total: Duration::from_secs(3600),
            commitment: Duration::from_secs(5),
        }
    }
}

/// The calling DICOM side.
#[derive(Debug, Clone)]
pub struct Scu {
    ae_title: String,
    timeouts: Timeouts,
    stop: Arc<AtomicBool>,
}

/// What is asked of a peer for an association.
struct Plea {
    contexts: Vec<(String, Vec<String>)>,
    /// Classes of which this side is the provider.
    provided: Vec<String>,
    /// Until the peer's next protocol data unit.
    silence: Duration,
}

impl Scu {
    /// A side that calls itself `ae_title`.
    pub fn new(ae_title: &str) -> Self {
        Self {
            ae_title: ae_title.into(),
            timeouts: Timeouts::default(),
            stop: Arc::default(),
        }
    }

    /// The same, which breaks a question or a retrieval off once `stop` is set.
    #[must_use]
    pub fn until(mut self, stop: &Arc<AtomicBool>) -> Self {
        self.stop = stop.clone();
        self
    }

    /// The same with other bounds in time.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// C-ECHO: whether the peer is there and takes associations of this node.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn echo(&self, peer: &PeerConfig) -> Result<(), Error> {
        blocking(async {
            let contexts = vec![service(uids::VERIFICATION)];
            let mut association = self.connect(peer, contexts).await?;
            let echoed = echo(&mut association).await;
            ended(association, echoed).await
        })
    }

    /// An association with the peer, on which it is the provider.
    async fn connect(
        &self,
        peer: &PeerConfig,
        contexts: Vec<(String, Vec<String>)>,
    ) -> Result<Association, Error> {
        let plea = Plea {
            contexts,
            provided: Vec::new(),
            silence: self.timeouts.response,
        };
        Ok(self.connect_for(peer, plea).await?.0)
    }

    /// An association with the peer, and its address.
    async fn connect_for(
        &self,
        peer: &PeerConfig,
        plea: Plea,
    ) -> Result<(Association, IpAddr), Error> {
        let stream = timeout(self.timeouts.connect, connection(peer)).await;
        let (stream, address) = stream.unwrap_or_else(|_| {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            Err(Error::Connect(late))
        })?;
        let limits = Limits::from_now(plea.silence, self.timeouts.total);
        let proposal = Proposal {
            called: peer.ae_title.clone(),
            calling: self.ae_title.clone(),
            contexts: plea.contexts,
            provided: plea.provided,
            max_pdu_bytes: MAX_PDU_BYTES,
        };
        let association = Association::request(Wire::new(stream, limits), &proposal).await?;
        Ok((association, address))
    }

    /// As [`blocking`], but no longer than until the node stops.
    fn stoppable<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        blocking(async {
            let stopped = async {
                while !self.stop.load(Ordering::Relaxed) {
                    sleep(LOOK).await;
                }
            };
            tokio::select! {
                biased;
                done = call => done,
                () = stopped => Err(Error::Stopped),
            }
        })
    }
}

/// Runs a call to its end on this thread.
fn blocking<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Io)?.block_on(call)
}

/// A connection to the peer, over TLS where the configuration says so, and its address.
async fn connection(peer: &PeerConfig) -> Result<(Box<dyn Transport>, IpAddr), Error> {
    let port = peer.port.ok_or(Error::NoPort)?;
    let tls = peer.tls.as_ref().map(tls::client_config).transpose()?;
    let stream = TcpStream::connect((peer.host.as_str(), port)).await;
    let stream = stream.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let address = stream.peer_addr().map_err(Error::Connect)?;
    let address = address.ip().to_canonical();
    let Some(config) = tls else {
        return Ok((Box::new(stream), address));
    };
    let name = ServerName::try_from(peer.host.clone());
    let name = name.map_err(|error| Error::Handshake(io::Error::other(error)))?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    Ok((Box::new(stream.map_err(Error::Handshake)?), address))
}

/// A service of commands and small data sets.
fn service(class: &str) -> (String, Vec<String>) {
    let syntaxes = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
    ];
    (class.into(), syntaxes.map(str::to_owned).into())
}

/// The number of the context for `class`.
fn context_of(association: &Association, class: &str) -> Result<(u8, String), Error> {
    let context = association.context_for(|context| context.abstract_syntax == class);
    let context = context.map(|context| (context.id, context.transfer_syntax.clone()));
    context.ok_or_else(|| Error::NotAccepted {
        sop_class_uid: class.into(),
    })
}

async fn echo(association: &mut Association) -> Result<(), Error> {
    let (context_id, _) = context_of(association, uids::VERIFICATION)?;
    let request = Message {
        id: 1,
        has_data_set: false,
        command: Command::Echo,
    };
    association.send(context_id, &request, None).await?;
    match answer(association, context_id, &request).await? {
        status::SUCCESS => Ok(()),
        status => Err(Error::Status {
            operation: "C-ECHO",
            status,
        }),
    }
}

/// The status of the response to `request`, which has no data set.
async fn answer(
    association: &mut Association,
    context_id: u8,
    request: &Message,
) -> Result<u16, Error> {
    let (context, response) = association.message().await?.ok_or(Error::Closed)?;
    if response.has_data_set {
        association.data_set(context).await?;
    }
    match response.command {
        Command::Response { to, status, .. }
            if to == request.command.field()
                && response.id == request.id
                && context == context_id =>
        {
            Ok(status)
        }
        command => Err(Error::UnexpectedCommand {
            field: command.field(),
        }),
    }
}

/// Releases an association whose work is done; aborts one that is broken.
async fn ended<T>(association: Association, done: Result<T, Error>) -> Result<T, Error> {
    match &done {
        Ok(_) | Err(Error::NotAccepted { .. } | Error::Status { .. }) => {
            // What was answered stays answered.
            let _ = association.release().await;
        }
        Err(error) => association.abort(error).await,
    }
    done
}

/// Status of an answer that is not the last (PS3.4 C.4.1.1.4).
fn is_pending(status: u16) -> bool {
    [0xff00, 0xff01].contains(&status)
}
