//! The parts of a multipart body (RFC 2046 5.1, RFC 2387), in bounded memory and time.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use futures_core::Stream;
use multer::{Field, Multipart};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Most bytes that are held while nothing comes of them: a preamble or a part's header without end.
const MAX_UNREAD_BYTES: usize = 1 << 20;

/// Why a request cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not as RFC 2046 has it.
    #[error(
        "the body is not multipart with the announced boundary; nothing after this can be read"
    )]
    Malformed,
    /// The connection ended.
    #[error("the body ended early")]
    Cut,
    /// Nothing came for too long, or the request took too long altogether.
    #[error("the body came too slowly")]
    TooSlow,
    /// More parts than `Limits::max_parts`.
    #[error("too many instances in one request; send the rest in another")]
    TooManyParts,
}

impl Broken {
    /// A stable kebab-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "multipart-malformed",
            Self::Cut => "request-cut",
            Self::TooSlow => "request-too-slow",
            Self::TooManyParts => "too-many-parts",
        }
    }

    /// The answer where nothing was stored.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Cut => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyParts => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A media type with its parameters (RFC 9110 8.3.1).
#[derive(Debug, PartialEq, Eq)]
pub(in crate::node) struct MediaType {
    /// `type/subtype`, lower case.
    pub(in crate::node) essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads a `Content-Type`; none where it is not one.
    pub(in crate::node) fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let (main, sub) = essence.split_once('/')?;
        if main.is_empty() || sub.is_empty() {
            return None;
        }
        let mut parameters = Vec::new();
        while !rest.trim().is_empty() {
            let (name, value) = rest.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let (value, after) = match value.trim_start().strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_at(value.find(';').unwrap_or(value.len())),
            };
            parameters.push((name, value.trim().to_owned()));
            rest = after.trim_start().trim_start_matches(';');
        }
        Some(Self {
            essence,
            parameters,
        })
    }

    /// The value of a parameter.
    pub(in crate::node) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }
}

/// A part without a type of its own is what the whole says.
pub(in crate::node) fn is_dicom(part: &Field<'_>) -> bool {
    let Some(content_type) = part.headers().get(CONTENT_TYPE) else {
        return true;
    };
    let media_type = content_type.to_str().ok().and_then(MediaType::parse);
    media_type.is_some_and(|media_type| media_type.essence == "application/dicom")
}

/// The parts of a body, one after another.
pub(in crate::node) struct Parts {
    multipart: Multipart<'static>,
    unread: Arc<AtomicUsize>,
    idle: Duration,
    end: Instant,
}

impl Parts {
    /// The parts of `body`, in which nothing may be silent for longer than `idle`, nor all of it take longer than `total`.
    pub(in crate::node) fn new(
        body: Body,
        boundary: &str,
        idle: Duration,
        total: Duration,
    ) -> Self {
        let unread = Arc::new(AtomicUsize::new(0));
        let frames = Frames {
            body,
            unread: unread.clone(),
            has_given: false,
        };
        Self {
            multipart: Multipart::new(frames, boundary),
            unread,
            idle,
            end: Instant::now() + total,
        }
    }

    /// The next part; the one before has to be read to its end.
    pub(in crate::node) async fn next(&mut self) -> Result<Option<Field<'static>>, Broken> {
        self.unread.store(0, Relaxed);
        let deadline = self.deadline();
        in_time(deadline, self.multipart.next_field()).await
    }

    /// The next bytes of a part.
    pub(in crate::node) async fn chunk(
        &self,
        part: &mut Field<'static>,
    ) -> Result<Option<Bytes>, Broken> {
        self.unread.store(0, Relaxed);
        in_time(self.deadline(), part.chunk()).await
    }

    fn deadline(&self) -> Instant {
        self.end.min(Instant::now() + self.idle)
    }
}

async fn in_time<T>(
    deadline: Instant,
    reading: impl Future<Output = multer::Result<T>>,
) -> Result<T, Broken> {
    let read = timeout_at(deadline, reading).await;
    read.map_err(|_| Broken::TooSlow)?
        .map_err(|error| match error {
            multer::Error::StreamReadFailed(error) if !error.is::<Broken>() => Broken::Cut,
            _ => Broken::Malformed,
        })
}

/// A body's bytes for multer, which would keep whatever is there: one frame a poll, and an end where nothing comes of them.
struct Frames {
    body: Body,
    unread: Arc<AtomicUsize>,
    has_given: bool,
}

impl Stream for Frames {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        self.has_given = true;
        let unread = self.unread.fetch_add(bytes.len(), Relaxed) + bytes.len();
        let is_bounded = unread <= MAX_UNREAD_BYTES;
        Poll::Ready(Some(if is_bounded {
            Ok(bytes)
        } else {
            Err(Broken::Malformed.into())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_with_and_without_quotes_in_any_case() {
        for text in [
            "multipart/related; type=\"application/dicom\"; boundary=a;b=c",
            "Multipart/Related;TYPE=application/dicom ;boundary=\"a\"",
        ] {
            let found = MediaType::parse(text).expect("a media type");
            assert_eq!(found.essence, "multipart/related");
            assert_eq!(found.parameter("type"), Some("application/dicom"));
            assert_eq!(found.parameter("boundary"), Some("a"));
        }
        for bad in ["", "dicom", "a/b; boundary", "a/b; boundary=\"open", "/b"] {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
    }
}
