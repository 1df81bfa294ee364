//! TLS of every side of the node: certificates as PEM files, cryptography by ring.
//!
//! TLS 1.2 and 1.3 alone, as PS3.15 B.12 asks. A server with `peer_ca` takes no client without a certificate that those
//! vouch for; a client trusts nobody but whom its `peer_ca` vouches for.

use crate::config::TlsConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wrong with certificates or keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the configuration is empty.
    #[error("`{key}` of a `tls` table is missing: name a PEM file")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A file cannot be read, or is no PEM file of its kind.
    #[error("{path} of `{key}` holds no PEM that can be read: {source}")]
    Pem {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{path} of `{key}` holds no certificate")]
    Empty {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not fit, or are not allowed.
    #[error("certificates cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// Those that shall vouch for a peer cannot.
    #[error("{path} of `peer_ca` cannot vouch for anybody: {source}")]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
}

impl Error {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "tls-key-missing",
            Self::Pem { .. } => "tls-pem",
            Self::Empty { .. } => "tls-no-certificate",
            Self::Unusable(_) => "tls-certificate",
            Self::Verifier { .. } => "tls-peer-ca",
        }
    }
}

/// What a server of DICOM or HTTP offers.
///
/// # Errors
/// Any [`Error`].
pub fn server_config(config: &TlsConfig) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &config.peer_ca {
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let path = path.clone();
            let verifier = verifier.map_err(|source| Error::Verifier { path, source })?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = certificates("certificate", &config.certificate)?;
    Ok(Arc::new(
        builder.with_single_cert(chain, key(&config.key)?)?,
    ))
}

/// What a client of DICOM or syslog offers: its certificate where it has one, and `peer_ca`, without which nobody is trusted.
///
/// # Errors
/// Any [`Error`].
pub fn client_config(config: &TlsConfig) -> Result<Arc<ClientConfig>, Error> {
    let missing = Error::Missing { key: "peer_ca" };
    let roots = roots(config.peer_ca.as_ref().ok_or(missing)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    if config.certificate.as_os_str().is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let chain = certificates("certificate", &config.certificate)?;
    Ok(Arc::new(
        builder.with_client_auth_cert(chain, key(&config.key)?)?,
    ))
}

/// The certificates in a PEM file, at least one; `name` is the configuration's key for it.
///
/// # Errors
/// [`Error::Missing`], [`Error::Pem`], [`Error::Empty`].
pub fn certificates(
    name: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(given(name, path)?);
    let certificates = certificates.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(pem(name, path))?;
    match certificates.is_empty() {
        true => Err(Error::Empty {
            key: name,
            path: path.into(),
        }),
        false => Ok(certificates),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(given("key", path)?).map_err(pem("key", path))
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("peer_ca", path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn given<'a>(key: &'static str, path: &'a Path) -> Result<&'a Path, Error> {
    let is_given = !path.as_os_str().is_empty();
    is_given.then_some(path).ok_or(Error::Missing { key })
}

fn pem(key: &'static str, path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Pem { key, path, source }
}

#[cfg(test)]
pub(in crate::node) mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::fs;

    /// An authority in `dir`, and what it vouched for: `NAME.pem` and `NAME.key` of each name, for 127.0.0.1.
    pub(in crate::node) fn authority(dir: &Path, names: &[&str]) -> PathBuf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca = dir.join("ca.pem");
        fs::write(&ca, issuer.pem()).unwrap();
        for name in names {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        ca
    }

    /// The certificate of `name` in `dir`, and whose it trusts.
    pub(in crate::node) fn config(dir: &Path, name: &str, peer_ca: Option<&Path>) -> TlsConfig {
        TlsConfig {
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
            peer_ca: peer_ca.map(Into::into),
        }
    }

    #[test]
    fn certificates_of_an_authority_serve_both_sides() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority(dir.path(), &["node"]);
        let both = config(dir.path(), "node", Some(&ca));
        server_config(&both).unwrap();
        client_config(&both).unwrap();
        let without_own = TlsConfig {
            peer_ca: Some(ca),
            ..TlsConfig::default()
        };
        client_config(&without_own).unwrap();
    }

    #[test]
    fn what_is_missing_or_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority(dir.path(), &["node", "other"]);
        let code = |config: &TlsConfig| server_config(config).unwrap_err().code();
        assert_eq!(code(&TlsConfig::default()), "tls-key-missing");
        let mut node = config(dir.path(), "node", Some(&ca));
        node.certificate = dir.path().join("absent.pem");
        assert_eq!(code(&node), "tls-pem");
        node.certificate = dir.path().join("node.key");
        assert_eq!(code(&node), "tls-no-certificate");
        node.certificate = dir.path().join("other.pem");
        assert_eq!(code(&node), "tls-certificate");
        let trusts_nobody = config(dir.path(), "node", None);
        let error = client_config(&trusts_nobody).unwrap_err();
        assert_eq!(error.code(), "tls-key-missing");
    }
}
