//! Who may store, and who may see the status: whoever shows the bearer token (RFC 6750), or this machine.

use super::{Fault, Web};
use crate::node::Sender;
use crate::node::scp::Event;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest token file, bytes.
const MAX_TOKEN_BYTES: usize = 4 << 10;

/// Shortest token, characters.
const MIN_TOKEN_CHARACTERS: usize = 16;

/// A bearer token, kept as what it makes of a constant: equal for equal tokens, and compared in constant time.
#[derive(Clone)]
pub struct Token {
    mark: [u8; 32],
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file {}: {source}", path.display())]
    NotReadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a token.
    #[error(
        "the token file {} needs one line of {MIN_TOKEN_CHARACTERS} or more printable ASCII characters without spaces; `openssl rand -hex 32` makes one",
        path.display()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

impl TokenError {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReadable { .. } => "token-not-readable",
            Self::NotAToken { .. } => "not-a-token",
        }
    }
}

impl Token {
    /// Reads the token of a file.
    ///
    /// # Errors
    /// [`TokenError`] where there is none that is worth the name.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Ok(Self::of(read_token(path)?.as_bytes()))
    }

    fn of(token: &[u8]) -> Self {
        let mark = mac(token).finalize().into_bytes().into();
        Self { mark }
    }

    fn is(&self, shown: &[u8]) -> bool {
        mac(shown).verify_slice(&self.mark).is_ok()
    }
}

fn mac(token: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(token);
    mac.expect("HMAC takes keys of any length")
        .chain_update(b"bearer token")
}

/// The token that a file holds in its first line.
///
/// # Errors
/// [`TokenError`] where there is none that is worth the name.
pub(in crate::node) fn read_token(path: &Path) -> Result<String, TokenError> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(MAX_TOKEN_BYTES as u64).read_to_string(&mut text));
    read.map_err(|source| TokenError::NotReadable {
        path: path.into(),
        source,
    })?;
    let token = text.trim_end();
    let is_token =
        token.len() >= MIN_TOKEN_CHARACTERS && token.bytes().all(|c| c.is_ascii_graphic());
    is_token
        .then(|| token.to_owned())
        .ok_or_else(|| TokenError::NotAToken { path: path.into() })
}

/// The request showed the token, rather than being trusted for its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenShown(pub(super) bool);

/// Lets a request through that may store and see the status.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let fault = match &web.token {
        Some(token) if shown(request.headers()).is_some_and(|s| token.is(s)) => None,
        Some(_) => Some(Fault::Unauthorized),
        None if peer.ip().to_canonical().is_loopback() => None,
        None => Some(Fault::LoopbackOnly),
    };
    if let Some(fault) = fault {
        let sender = Sender {
            ae_title: None,
            address: peer.ip().to_canonical(),
        };
        let (_, code) = fault.status_and_code();
        web.tell(Event::Rejected { sender, code }).await;
        return fault.into_response();
    }
    let token_shown = TokenShown(web.token.is_some());
    request.extensions_mut().insert(token_shown);
    next.run(request).await
}

fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_itself_alone() {
        let token = Token::of(b"0123456789abcdef");
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b"0123456789abcdeg"[..], b"0123456789abcde", b""] {
            assert!(!token.is(other));
        }
    }

    #[test]
    fn a_token_file_holds_one_long_word() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("token");
        let code = || Token::read(&path).err().map(|error| error.code());
        assert_eq!(code(), Some("token-not-readable"));
        for (text, expected) in [
            ("", Some("not-a-token")),
            ("short\n", Some("not-a-token")),
            ("two words of a token", Some("not-a-token")),
            ("0123456789abcdef\n", None),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(code(), expected, "{text:?}");
        }
    }
}
