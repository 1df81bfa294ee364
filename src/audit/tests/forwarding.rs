//! Sending to a repository on the loopback address, over TLS.

use super::*;
use crate::audit::{Forwarder, Repository, Source, unsent};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// A certificate that vouches for itself, with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn of(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What the node trusts, and who it is.
fn client(trusted: &Identity, own: &Identity) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(trusted.roots());
    let chain = vec![own.certificate.clone()];
    Arc::new(
        config
            .with_client_auth_cert(chain, own.key.clone_key())
            .unwrap(),
    )
}

/// What the repository trusts, and who it is.
fn server(trusted: &Identity, own: &Identity) -> Arc<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(trusted.roots(), provider());
    let config = ServerConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier.build().unwrap());
    let chain = vec![own.certificate.clone()];
    Arc::new(config.with_single_cert(chain, own.key.clone_key()).unwrap())
}

type Session = StreamOwned<ServerConnection, TcpStream>;

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> Session {
    let (socket, _) = listener.accept().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket)
}

/// Everything of one connection, closed as RFC 5425 4.4 wants it.
fn take_all(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.read_to_end(&mut bytes).unwrap();
    session.conn.send_close_notify();
    session.flush().unwrap();
    bytes
}

/// The messages of a stream of frames.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let count: usize = std::str::from_utf8(&bytes[..space])
            .unwrap()
            .parse()
            .unwrap();
        let (message, rest) = bytes[space + 1..].split_at(count);
        found.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    found
}

struct Site {
    dir: tempfile::TempDir,
    listener: TcpListener,
    forwarder: Forwarder,
    server: Arc<ServerConfig>,
}

/// A node and a repository that trust each other; the repository listens but takes nothing yet.
fn site() -> Site {
    let (repository, node) = (Identity::of("localhost"), Identity::of("node"));
    let server = server(&node, &repository);
    let (dir, listener, forwarder) = node_of(client(&repository, &node));
    Site {
        dir,
        listener,
        forwarder,
        server,
    }
}

fn node_of(tls: Arc<ClientConfig>) -> (tempfile::TempDir, TcpListener, Forwarder) {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let source = Source {
        ae_title: "HILUM".into(),
        host: None,
    };
    let forwarder = Forwarder::new(dir.path(), Repository { address, tls }, source);
    (dir, listener, forwarder)
}

impl Site {
    /// Takes one connection.
    fn repository(&self) -> JoinHandle<Vec<u8>> {
        let (listener, server) = (self.listener.try_clone().unwrap(), self.server.clone());
        spawn(move || take_all(&mut accept(&listener, &server)))
    }
}

#[test]
fn a_repository_gets_each_message_once_and_in_order() {
    let site = site();
    let log = log_of(site.dir.path(), 3);
    let repository = site.repository();
    assert_eq!(unsent(site.dir.path()).unwrap(), 3);
    assert_eq!(site.forwarder.send().unwrap(), 3);
    let sent = messages(&repository.join().unwrap());
    assert_eq!(sent.len(), 3);
    assert!(
        sent[0].starts_with("<84>1 ") && sent[0].contains("<AuditMessage>"),
        "{}",
        sent[0]
    );
    assert_eq!(unsent(site.dir.path()).unwrap(), 0);

    // Nothing new: nobody is called.
    assert_eq!(site.forwarder.send().unwrap(), 0);
    log.record(&Event::Stopped {
        reason: "asked".into(),
    })
    .unwrap();
    let repository = site.repository();
    assert_eq!(site.forwarder.send().unwrap(), 1);
    let sent = messages(&repository.join().unwrap());
    assert!(
        sent[0].starts_with("<85>1 ") && sent[0].contains("Application Stop"),
        "{}",
        sent[0]
    );
}

#[test]
fn what_a_repository_did_not_read_is_sent_again() {
    let site = site();
    let log = Log::open(site.dir.path()).unwrap();
    let events: Vec<Event> = (0..150).map(numbered).collect();
    log.record_all(&events).unwrap();
    let (listener, server) = (site.listener.try_clone().unwrap(), site.server.clone());
    // It reads the first of many TLS records and dies.
    let dies = spawn(move || accept(&listener, &server).read_exact(&mut [0; 8]).unwrap());
    assert_eq!(site.forwarder.send().unwrap_err().code(), "audit-not-sent");
    dies.join().unwrap();
    assert_eq!(unsent(site.dir.path()).unwrap(), 150);
    let repository = site.repository();
    assert_eq!(site.forwarder.send().unwrap(), 150);
    assert_eq!(messages(&repository.join().unwrap()).len(), 150);
}

#[test]
fn a_repository_that_read_all_and_closes_without_a_farewell_has_taken_all() {
    let site = site();
    log_of(site.dir.path(), 1);
    let (listener, server) = (site.listener.try_clone().unwrap(), site.server.clone());
    let silent = spawn(move || {
        accept(&listener, &server)
            .read_to_end(&mut Vec::new())
            .unwrap()
    });
    assert_eq!(site.forwarder.send().unwrap(), 1);
    assert!(silent.join().unwrap() > 500);
    assert_eq!(unsent(site.dir.path()).unwrap(), 0);
}

#[test]
fn a_repository_that_hangs_up_in_the_handshake_gets_everything_later() {
    let site = site();
    log_of(site.dir.path(), 2);
    let listener = site.listener.try_clone().unwrap();
    let hangs_up = spawn(move || drop(listener.accept().unwrap()));
    assert_eq!(site.forwarder.send().unwrap_err().code(), "audit-not-sent");
    hangs_up.join().unwrap();
    assert_eq!(unsent(site.dir.path()).unwrap(), 2);
    let repository = site.repository();
    assert_eq!(site.forwarder.send().unwrap(), 2);
    assert_eq!(messages(&repository.join().unwrap()).len(), 2);
}

#[test]
fn nothing_is_sent_to_a_repository_that_nobody_vouches_for() {
    let (repository, node, other) = (
        Identity::of("localhost"),
        Identity::of("node"),
        Identity::of("localhost"),
    );
    let server = server(&node, &repository);
    let (dir, listener, forwarder) = node_of(client(&other, &node));
    log_of(dir.path(), 1);
    let heard = spawn(move || {
        let mut bytes = Vec::new();
        let _ = accept(&listener, &server).read_to_end(&mut bytes);
        bytes
    });
    let refused = forwarder.send().unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    assert_eq!(heard.join().unwrap(), b"");
    assert_eq!(unsent(dir.path()).unwrap(), 1);
}

#[test]
fn a_repository_that_does_not_know_the_node_is_not_taken_for_one_that_took_all() {
    let (repository, node, other) = (
        Identity::of("localhost"),
        Identity::of("node"),
        Identity::of("other"),
    );
    let server = server(&other, &repository);
    let (dir, listener, forwarder) = node_of(client(&repository, &node));
    log_of(dir.path(), 1);
    let refuses = spawn(move || {
        accept(&listener, &server)
            .read_to_end(&mut Vec::new())
            .is_err()
    });
    assert_eq!(forwarder.send().unwrap_err().code(), "audit-not-sent");
    assert!(refuses.join().unwrap());
    assert_eq!(unsent(dir.path()).unwrap(), 1);
}

#[test]
fn the_thread_sends_what_comes_and_what_was_recorded_before_its_end() {
    let site = site();
    let log = log_of(site.dir.path(), 1);
    let (stop, stopped) = channel();
    let first = site.repository();
    let forwarder = site.forwarder;
    let thread = spawn(move || forwarder.run(&stopped));
    assert_eq!(messages(&first.join().unwrap()).len(), 1);
    let (listener, server) = (site.listener, site.server);
    let last = spawn(move || take_all(&mut accept(&listener, &server)));
    log.record(&Event::Stopped {
        reason: "asked".into(),
    })
    .unwrap();
    drop(stop);
    thread.join().unwrap();
    assert!(messages(&last.join().unwrap())[0].contains("Application Stop"));
}

#[test]
fn a_forged_place_of_sending_is_refused_rather_than_skipped_to() {
    let site = site();
    log_of(site.dir.path(), 2);
    fs::copy(
        site.dir.path().join(HEAD),
        site.dir.path().join("audit.sent"),
    )
    .unwrap();
    assert_eq!(site.forwarder.send().unwrap_err().code(), "audit-broken");
}

#[test]
fn an_older_log_with_its_head_put_back_is_not_taken_for_sent() {
    let site = site();
    let log = log_of(site.dir.path(), 1);
    let old = [LOG, HEAD].map(|name| fs::read(site.dir.path().join(name)).unwrap());
    log.record(&numbered(2)).unwrap();
    let repository = site.repository();
    assert_eq!(site.forwarder.send().unwrap(), 2);
    repository.join().unwrap();
    for (name, bytes) in [LOG, HEAD].iter().zip(old) {
        fs::write(site.dir.path().join(name), bytes).unwrap();
    }
    assert_eq!(site.forwarder.send().unwrap_err().code(), "audit-broken");
}
