//! The HTTP side: STOW-RS in, health, metrics and status out.
//!
//! In: requests. Out: instances for [`Intake`], and what a [`Status`] says. Refused: whoever does not show the bearer
//! token, or does not come from this machine where there is none; what is too large, too slow or too much at once.

mod access;
mod answer;
mod connection;
mod multipart;
mod stow;
#[cfg(test)]
mod tests;

pub(in crate::node) use access::read_token;
pub use access::{Token, TokenError};
pub use multipart::Broken;
pub(in crate::node) use multipart::{MediaType, Parts, is_dicom};

use super::Intake;
use super::metrics::Metrics;
use super::scp::Event;
use super::status::Status;
use access::TokenShown;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Ends the service: `graceful_shutdown(Some(patience))` lets requests finish.
pub type Handle = axum_server::Handle<SocketAddr>;

/// What one peer may take of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; further ones are closed at once.
    pub connections: usize,
    /// A connection whose request header is not there after so long is closed.
    pub header: Duration,
    /// A body of which nothing comes for so long is given up, and an answer that nobody reads.
    pub idle: Duration,
    /// A request that takes longer is given up.
    pub request: Duration,
    /// Instances in one request.
    pub max_parts: usize,
    /// So long the node may take to say how it is; after that it is not ready.
    pub status: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            header: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(3600),
            max_parts: 20_000,
            status: Duration::from_secs(5),
        }
    }
}

/// Says how the node is; may read the disk and the database.
pub type StatusSource = Box<dyn Fn() -> Status + Send + Sync>;

/// What the HTTP side works with.
pub struct Web {
    intake: Intake,
    metrics: Arc<Metrics>,
    status: StatusSource,
    /// One question at a time: a database that hangs costs one thread, not one a request.
    asking: Arc<Semaphore>,
    token: Option<Token>,
    events: mpsc::Sender<Event>,
    limits: Limits,
}

impl Web {
    /// A service that keeps instances in `intake`; without `token` it trusts this machine, and nobody else. Requests wait
    /// while `events`, which is told every refusal, is full.
    pub fn new(
        intake: Intake,
        metrics: Arc<Metrics>,
        status: StatusSource,
        token: Option<Token>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            intake,
            metrics,
            status,
            events,
            asking: Arc::new(Semaphore::new(1)),
            token,
            limits: Limits::default(),
        }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    async fn tell(&self, event: Event) {
        if self.events.send(event).await.is_err() {
            tracing::warn!("A refusal by HTTP is not recorded: the node stops.");
        }
    }

    /// How the node is; none where it does not say so in time.
    async fn status(self: Arc<Self>) -> Option<Status> {
        let patience = self.limits.status;
        let asked = async {
            let turn = self.asking.clone().acquire_owned().await.ok()?;
            let asking = tokio::task::spawn_blocking(move || {
                let status = (self.status)();
                drop(turn);
                status
            });
            asking.await.ok()
        };
        timeout(patience, asked).await.ok()?
    }
}

/// Answers requests on `listener` until `handle` ends it.
///
/// # Errors
/// The listener is not usable.
pub async fn serve(
    listener: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    web: Web,
    handle: Handle,
) -> io::Result<()> {
    let limits = web.limits;
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(connection::Acceptor::new(tls, limits))
        .handle(handle)
        .http1_only();
    server
        .http_builder()
        .http1()
        .header_read_timeout(limits.header)
        .max_buf_size(64 << 10)
        .max_headers(64);
    let service = router(Arc::new(web));
    server
        .serve(service.into_make_service_with_connect_info::<SocketAddr>())
        .await
}

fn router(web: Arc<Web>) -> Router {
    let guard = from_fn_with_state(web.clone(), access::guard);
    Router::new()
        .route("/studies", post(stow::store))
        .route("/studies/{study}", post(stow::store))
        .route("/status", get(status))
        .route_layer(guard)
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Fault::NotFound })
        .layer(from_fn_with_state(web.clone(), count))
        .with_state(web)
}

async fn count(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    web.metrics.request(route, response.status().as_u16());
    response
}

async fn ready(State(web): State<Arc<Web>>) -> Response {
    let status = web.status().await;
    let parts = status.as_ref().map(|status| status.parts);
    let code = match status.is_some_and(|status| status.is_ready()) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(parts.unwrap_or_default())).into_response()
}

async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let status = web.clone().status().await;
    match web.metrics.encode(status.as_ref()) {
        Ok(text) => {
            let text_format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, text_format)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(
    State(web): State<Arc<Web>>,
    Extension(TokenShown(token_shown)): Extension<TokenShown>,
) -> Response {
    match web.status().await {
        None => Fault::NoStatus.into_response(),
        Some(status) if token_shown => Json(status).into_response(),
        Some(status) => Json(status.without_studies()).into_response(),
    }
}

/// Why a request is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("send the header `Authorization: Bearer TOKEN` with the token of node.http.token_file")]
    Unauthorized,
    #[error("without node.http.token_file only requests from this machine are answered")]
    LoopbackOnly,
    #[error("Content-Type has to be multipart/related; type=\"application/dicom\"; boundary=…")]
    MediaType,
    #[error("Content-Type needs a boundary of 1 to 200 ASCII characters")]
    Boundary,
    #[error("the path does not end with a Study Instance UID")]
    NotAUid,
    #[error("there is nothing here; docs/node-http.md lists what there is")]
    NotFound,
    #[error("the node does not say how it is: its disk or database hangs")]
    NoStatus,
}

impl Fault {
    fn status_and_code(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::LoopbackOnly => (StatusCode::FORBIDDEN, "loopback-only"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"),
            Self::Boundary => (StatusCode::BAD_REQUEST, "boundary"),
            Self::NotAUid => (StatusCode::BAD_REQUEST, "not-a-uid"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::NoStatus => (StatusCode::SERVICE_UNAVAILABLE, "no-status"),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let body = serde_json::json!({"code": code, "message": self.to_string()});
        let mut response = (status, Json(body)).into_response();
        if self == Self::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
