//! The DICOM side that listens: C-ECHO, C-STORE and answers to Storage Commitment (PS3.4 A, B, J).
//!
//! In: connections of peers. Out: instances to the [`Intake`], and [`Event`]s of every decision.
//! Refused: peers that the configuration does not know, and all that is too much, too large or too late.

mod event;
mod negotiate;
mod peers;
mod rehearse;
mod session;

#[cfg(test)]
mod bad_neighbours;
#[cfg(test)]
pub(in crate::node) mod harness;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod tests;

pub use event::Event;
pub(in crate::node) use negotiate::STORAGE;
pub use rehearse::rehearse;

use super::dimse::{Association, Error, Limits, Transport, Wire};
use super::{Intake, Sender, tls};
use crate::config::{DicomConfig, NodeConfig};
use dicom_ul::pdu::AssociationRQ;
use negotiate::{Rejection, Terms};
use peers::Directory;
use session::Session;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

/// Connections of peers that may negotiate, beside the associations that there are.
const MAX_NEGOTIATIONS: usize = 128;

/// Connections at one time from addresses of no peer: they are told that they are unknown.
const MAX_STRANGERS: usize = 8;

/// How long associations may take to end their object when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Host names are looked up again so often.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);

/// Wait after a connection that the system could not hand over, as without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening DICOM side.
pub struct Scp {
    shared: Arc<Shared>,
}

struct Shared {
    config: DicomConfig,
    directory: Directory,
    intake: Intake,
    events: mpsc::Sender<Event>,
    tls: Option<TlsAcceptor>,
    associations: Arc<Semaphore>,
    negotiations: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// Becomes true when the node stops, or is dropped then.
type Stop = watch::Receiver<bool>;

impl Scp {
    /// A side that takes instances of `config`'s peers into `intake`. Associations wait while `events` is full.
    ///
    /// # Errors
    /// Certificates cannot be used.
    pub fn new(
        config: &NodeConfig,
        intake: Intake,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, tls::Error> {
        let dicom = config.dicom.clone();
        let server = dicom.tls.as_ref().map(tls::server_config).transpose()?;
        let most = dicom.max_associations;
        Ok(Self {
            shared: Arc::new(Shared {
                config: dicom,
                directory: Directory::new(config.peers.clone()),
                intake,
                events,
                tls: server.map(TlsAcceptor::from),
                associations: Arc::new(Semaphore::new(most)),
                negotiations: Arc::new(Semaphore::new(most + MAX_NEGOTIATIONS)),
                strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
            }),
        })
    }

    /// Serves `listener` until `stop` becomes true: then associations are aborted between two objects, at the latest ten
    /// seconds later.
    pub async fn serve(self, listener: TcpListener, mut stop: Stop) {
        let mut connections = JoinSet::new();
        let mut look_up = interval(LOOK_UP_EVERY);
        look_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let associations = stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = look_up.tick() => {
                    let shared = Arc::clone(&self.shared);
                    connections.spawn(async move { shared.directory.look_up().await });
                }
                Some(ended) = connections.join_next() => {
                    if ended.is_err() {
                        error!("The task of a connection panicked; its association is closed.");
                    }
                }
                accepted = listener.accept() => {
                    self.shared.admit(accepted, &associations, &mut connections).await;
                }
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_GRACE, ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}

impl Shared {
    fn idle(&self) -> Duration {
        Duration::from_secs(self.config.idle_timeout_s)
    }

    /// Serves a connection in a task of its own, where there are not too many.
    async fn admit(
        self: &Arc<Self>,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        stop: &Stop,
        connections: &mut JoinSet<()>,
    ) {
        let (stream, address) = match accepted {
            Ok((stream, from)) => (stream, from.ip().to_canonical()),
            Err(error) => {
                warn!(%error, "No connection could be accepted.");
                return sleep(ACCEPT_PAUSE).await;
            }
        };
        let slots = match self.directory.at(address).is_empty() {
            true => &self.strangers,
            false => &self.negotiations,
        };
        match Arc::clone(slots).try_acquire_owned() {
            Ok(slot) => {
                let (shared, stop) = (Arc::clone(self), stop.clone());
                connections
                    .spawn(async move { shared.connection(stream, address, slot, stop).await });
            }
            // Not waited for: whoever floods the port must not hold up the others.
            Err(_) => {
                let event = Event::unheard(address, "too-many-connections");
                if self.events.try_send(event).is_err() {
                    warn!(%address, "A connection beyond the limit was closed.");
                }
            }
        }
    }

    /// A connection from its first byte to its last.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: IpAddr,
        slot: OwnedSemaphorePermit,
        stop: Stop,
    ) {
        let negotiated = timeout(self.idle(), self.negotiated(stream, address));
        let negotiated = negotiated.await.unwrap_or_else(|_| {
            let idle_s = self.config.idle_timeout_s;
            Err(Error::Idle { idle_s })
        });
        match negotiated {
            Ok(Some((association, terms))) => {
                let sender = terms.sender.clone();
                self.tell(Event::Accepted { sender }).await;
                let session = Session::new(association, terms, Arc::clone(&self));
                session.run(stop).await;
            }
            Ok(None) => {}
            Err(error) => {
                debug!(%address, code = error.code(), "A connection became no association.");
                self.tell(Event::unheard(address, error.code())).await;
            }
        }
        drop(slot);
    }

    /// An association and what was agreed; none where the peer was rejected.
    async fn negotiated(
        &self,
        stream: TcpStream,
        address: IpAddr,
    ) -> Result<Option<(Association, Terms)>, Error> {
        // Answers are short, and the peer waits for them.
        stream.set_nodelay(true).map_err(Error::Io)?;
        let stream: Box<dyn Transport> = match &self.tls {
            Some(acceptor) => Box::new(acceptor.accept(stream).await.map_err(Error::Handshake)?),
            None => Box::new(stream),
        };
        let age = Duration::from_secs(self.config.max_association_s);
        let mut wire = Wire::new(stream, Limits::from_now(self.idle(), age));
        let request = match Association::requested(&mut wire).await {
            Ok(request) => request,
            Err(error) => return Err(abort(wire, error).await),
        };
        let sender = Sender {
            ae_title: Some(request.calling_ae_title.clone()),
            address,
        };
        let peers = self.directory.at(address);
        let may_store = negotiate::decide(&request, &self.config.ae_title, &peers);
        let decided = may_store.and_then(|may_store| {
            let slot = Arc::clone(&self.associations).try_acquire_owned();
            Ok((may_store, slot.map_err(|_| Rejection::TooManyAssociations)?))
        });
        match decided {
            Ok((may_store, slot)) => {
                let association = self.accept(wire, &request, may_store).await?;
                Ok(Some((association, Terms { sender, slot })))
            }
            Err(rejection) => {
                self.reject(wire, sender, rejection).await?;
                Ok(None)
            }
        }
    }

    async fn accept(
        &self,
        wire: Wire,
        request: &AssociationRQ,
        may_store: bool,
    ) -> Result<Association, Error> {
        let Some(contexts) = negotiate::contexts(request, may_store) else {
            return Err(abort(wire, Error::MalformedPdu { pdu_type: 1 }).await);
        };
        let max = self.config.max_pdu_bytes;
        let answer = negotiate::answer(request, contexts.results, max);
        let asked = &request.user_variables;
        match Association::accept(wire, contexts.accepted, max, asked, answer).await {
            Ok(association) => Ok(association),
            Err((wire, error)) => Err(abort(wire, error).await),
        }
    }

    async fn reject(
        &self,
        mut wire: Wire,
        sender: Sender,
        rejection: Rejection,
    ) -> Result<(), Error> {
        let code = rejection.code();
        self.tell(Event::Rejected { sender, code }).await;
        wire.write_pdu(&rejection.pdu()).await?;
        wire.close().await;
        Ok(())
    }

    /// Waits until the event is taken: nothing is decided that is not told.
    async fn tell(&self, event: Event) {
        if self.events.send(event).await.is_err() {
            warn!("Nobody takes the events of the DICOM side any more.");
        }
    }
}

/// Waits until the node stops.
async fn stopped(stop: &mut Stop) {
    // An error says that nobody can stop it any more: it stops too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn abort(wire: Wire, error: Error) -> Error {
    wire.abort(&error).await;
    error
}
