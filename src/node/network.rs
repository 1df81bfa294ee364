//! The sides of the node that listen: DICOM and HTTP, on threads of their own.

use super::scp::{Event, Scp};
use super::service::Node;
use super::web::{self, Token, Web};
use super::{Error, Intake, tls};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, watch};

/// How long requests and associations may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// Threads of the network; what blocks has threads of its own.
const NETWORK_THREADS: usize = 2;
/// Events of peers that may wait to be recorded.
const MAX_EVENTS: usize = 1024;

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The DICOM side.
    pub dicom: SocketAddr,
    /// The HTTP side, where there is one.
    pub http: Option<SocketAddr>,
}

/// The sides that listen.
pub(super) struct Network {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    scp: tokio::task::JoinHandle<()>,
    http: Option<(web::Handle, tokio::task::JoinHandle<std::io::Result<()>>)>,
    pub(super) addresses: Addresses,
}

impl Network {
    pub(super) fn open(node: &Arc<Node>, intake: Intake) -> Result<Self, Error> {
        let config = &node.config.node;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(NETWORK_THREADS)
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let (events, taken) = mpsc::channel(MAX_EVENTS);
        runtime.spawn(record_events(Arc::clone(node), taken));
        let scp = Scp::new(config, intake.clone(), events.clone())?;
        let (dicom, dicom_address) = bound("node.dicom.bind", config.dicom.bind)?;
        let (stop, stopped) = watch::channel(false);
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(dicom).map_err(Error::Start)?
        };
        let scp = runtime.spawn(scp.serve(listener, stopped));
        let http = match config.http.enabled {
            true => Some(open_http(node, &runtime, intake, events)?),
            false => None,
        };
        Ok(Self {
            addresses: Addresses {
                dicom: dicom_address,
                http: http.as_ref().map(|(address, ..)| *address),
            },
            http: http.map(|(_, handle, task)| (handle, task)),
            runtime,
            stop,
            scp,
        })
    }

    /// Takes nothing more, and lets what is under way end for a while.
    pub(super) fn close(self) {
        // Nobody hears it only where the side has ended already.
        let _ = self.stop.send(true);
        if let Some((handle, _)) = &self.http {
            handle.graceful_shutdown(Some(GRACE));
        }
        self.runtime.block_on(async {
            drop(tokio::time::timeout(2 * GRACE, self.scp).await);
            if let Some((_, task)) = self.http {
                drop(tokio::time::timeout(2 * GRACE, task).await);
            }
        });
        self.runtime.shutdown_timeout(GRACE);
    }
}

type Http = (
    SocketAddr,
    web::Handle,
    tokio::task::JoinHandle<std::io::Result<()>>,
);

fn open_http(
    node: &Arc<Node>,
    runtime: &Runtime,
    intake: Intake,
    events: mpsc::Sender<Event>,
) -> Result<Http, Error> {
    let config = &node.config.node.http;
    let token = config.token_file.as_deref().map(Token::read).transpose()?;
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    let shared = Arc::clone(node);
    let status: web::StatusSource = Box::new(move || shared.status());
    let web = Web::new(intake, node.metrics.clone(), status, token, events);
    let (listener, address) = bound("node.http.bind", config.bind)?;
    let handle = web::Handle::new();
    let task = runtime.spawn(web::serve(listener, tls, web, handle.clone()));
    Ok((address, handle, task))
}

/// Recording waits for the disk: it has a thread of its own.
async fn record_events(node: Arc<Node>, mut taken: mpsc::Receiver<Event>) {
    while let Some(event) = taken.recv().await {
        let node = Arc::clone(&node);
        drop(tokio::task::spawn_blocking(move || node.take(event)).await);
    }
}

fn bound(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Bind {
        key,
        address,
        source,
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
