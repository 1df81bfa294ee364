//! Calls of web services: whom they trust, how long they wait, and what went wrong.
//!
//! What is sent goes where it was configured to go: no proxy of the environment, no redirect.

use super::web::{TokenError, read_token};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Where systems keep the certificates that they trust, as PEM: Debian, Red Hat, Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// How long a service is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it takes the connection.
    pub connect: Duration,
    /// Until it takes further bytes.
    pub write: Duration,
    /// Until it answers what it was sent, and until it goes on answering: some archives take minutes.
    pub answer: Duration,
    /// Altogether.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            write: Duration::from_secs(60),
            answer: Duration::from_secs(300),
            total: Duration::from_secs(1800),
        }
    }
}

/// A web service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    /// Its address, without `/studies`.
    pub(super) url: &'a str,
    /// File with a bearer token.
    pub(super) token_file: Option<&'a Path>,
    /// File of certificates that vouch for it; else those of the system.
    pub(super) ca: Option<&'a Path>,
}

/// Why a web service could not be called.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The bearer token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file of certificates cannot be used.
    #[error("cannot read certificates from {}: {why}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Not an address of a web service.
    #[error("{url} is no http or https address; correct `url`")]
    Address {
        /// What is configured.
        url: String,
    },
    /// No connection.
    #[error("cannot reach the service: {why}")]
    Unreachable {
        /// What the network says.
        why: String,
    },
    /// The connection is not trusted.
    #[error("no trust in the service's certificate, or it has none in ours: {why}")]
    Untrusted {
        /// What TLS says.
        why: String,
    },
    /// It took too long.
    #[error("the service did not answer in time ({phase})")]
    TimedOut {
        /// While what.
        phase: String,
    },
    /// The connection ended early.
    #[error("the connection ended before the answer: {why}")]
    Cut {
        /// What the network says.
        why: String,
    },
    /// An HTTP status that stands for no instance.
    #[error("the service answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
    },
}

impl ClientError {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(e) => e.code(),
            Self::Certificates { .. } => "certificates-not-readable",
            Self::Address { .. } => "address-invalid",
            Self::Unreachable { .. } => "unreachable",
            Self::Untrusted { .. } => "untrusted",
            Self::TimedOut { .. } => "timed-out",
            Self::Cut { .. } => "connection-cut",
            Self::Status { .. } => "http-status",
        }
    }

    /// Whether another try will end alike unless a person changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Address { .. } => true,
            // A token that was renewed (401, 403), patience (408, 425, 429) and the server (5xx) may change.
            Self::Status { status } => {
                (300..500).contains(status) && ![401, 403, 408, 425, 429].contains(status)
            }
            _ => false,
        }
    }
}

impl Service<'_> {
    /// What makes requests of the service.
    pub(super) fn agent(&self, patience: &Patience) -> Result<Agent, ClientError> {
        let (scheme, _) = self.url.split_once("://").ok_or_else(|| self.address())?;
        let roots = match scheme.to_ascii_lowercase().as_str() {
            "http" => Vec::new(),
            "https" => roots(self.ca)?,
            _ => return Err(self.address()),
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_per_write(Some(patience.write))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.answer))
            .timeout_global(Some(patience.total));
        Ok(config.build().new_agent())
    }

    /// Its address with a path behind it.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// The value of the Authorization header, where there is one.
    pub(super) fn authorization(&self) -> Result<Option<String>, ClientError> {
        let token = self.token_file.map(read_token).transpose()?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// What a failed request means. A request's own address may name a patient: it is not repeated.
    pub(super) fn failed(&self, error: ureq::Error) -> ClientError {
        use io::ErrorKind as Kind;
        let why = match &error {
            ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => return self.address(),
            error => error.to_string(),
        };
        match error {
            ureq::Error::Timeout(phase) => ClientError::TimedOut {
                phase: phase.to_string(),
            },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                ClientError::Unreachable { why }
            }
            ureq::Error::Io(source) => match source.kind() {
                Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable => {
                    ClientError::Unreachable { why }
                }
                // rustls hands its refusals on as such.
                Kind::InvalidData => ClientError::Untrusted { why },
                _ => ClientError::Cut { why },
            },
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => ClientError::Untrusted { why },
            _ => ClientError::Cut { why },
        }
    }

    fn address(&self) -> ClientError {
        ClientError::Address {
            url: self.url.into(),
        }
    }
}

fn roots(ca: Option<&Path>) -> Result<Vec<Certificate<'static>>, ClientError> {
    let system = || SYSTEM_BUNDLES.iter().find(|path| Path::new(path).exists());
    let path = ca.map_or_else(
        || PathBuf::from(system().unwrap_or(&SYSTEM_BUNDLES[0])),
        Path::to_path_buf,
    );
    let unusable = |why: String| ClientError::Certificates {
        path: path.clone(),
        why,
    };
    let pem = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(unusable(error.to_string()))),
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    match certificates.is_empty() {
        true => Err(unusable("it holds no certificate".into())),
        false => Ok(certificates),
    }
}
