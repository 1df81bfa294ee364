//! Connections: so many at a time, with TLS where wanted, and none that waits for ever for its peer.

use super::Limits;
use axum_server::accept::Accept;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Takes a connection where there is a place for it.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    limits: Limits,
}

impl Acceptor {
    pub(super) fn new(tls: Option<Arc<rustls::ServerConfig>>, limits: Limits) -> Self {
        Self {
            tls: tls.map(TlsAcceptor::from),
            places: Arc::new(Semaphore::new(limits.connections)),
            limits,
        }
    }

    async fn take(self, stream: TcpStream) -> io::Result<Connection> {
        let place = self.places.try_acquire_owned();
        let place = place.map_err(|_| io::Error::other("too many connections"))?;
        let stream: Box<dyn Stream> = match self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(timeout(self.limits.header, tls.accept(stream)).await??),
        };
        Ok(Connection {
            stream,
            patience: self.limits.idle,
            waiting: None,
            _place: place,
        })
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = Connection;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Connection, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let taken = self.clone().take(stream);
        Box::pin(async move { Ok((taken.await?, service)) })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection with its place. Reading is timed where it is known what is read; writing here.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn patient<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patient(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.patient(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patient(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (near, _far) = tokio::io::duplex(8);
        let places = Arc::new(Semaphore::new(1));
        let mut connection = Connection {
            stream: Box::new(near),
            patience: Duration::from_millis(20),
            waiting: None,
            _place: places.try_acquire_owned().expect("a place"),
        };
        let error = connection.write_all(&[0; 64]).await.expect_err("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
