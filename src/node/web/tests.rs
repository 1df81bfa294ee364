//! The HTTP side over loopback sockets.

mod limits;

use super::*;
use crate::node::status::{Parts, StudyStatus};
use crate::node::testing::{ct_instance, intake};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Nothing on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

const STUDY: &str = "1.2.826.0.1.3680043.2.1125.1";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Server {
    address: SocketAddr,
    dir: TempDir,
    events: mpsc::Receiver<Event>,
    _runtime: Runtime,
}

fn quick() -> Limits {
    Limits {
        header: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        status: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn healthy() -> Status {
    let parts = Parts {
        worker: true,
        database: true,
        disk: true,
    };
    let open_studies = vec![StudyStatus {
        study_instance_uid: STUDY.into(),
        state: "receiving",
        code: None,
    }];
    Status {
        parts,
        open_studies,
        ..Status::default()
    }
}

/// A service with `limits`; `token` as its token file has it.
fn start(limits: Limits, token: Option<&str>, status: StatusSource) -> Server {
    start_with(limits, token, status, None)
}

fn start_with(
    limits: Limits,
    token: Option<&str>,
    status: StatusSource,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Server {
    let dir = tempfile::tempdir().expect("a folder");
    let token = token.map(|token| {
        let path = dir.path().join("token");
        std::fs::write(&path, token).expect("written");
        Token::read(&path).expect("a token")
    });
    let intake = intake(&dir.path().join("node"));
    let (tell, events) = mpsc::channel(1000);
    let web = Web::new(intake, Arc::default(), status, token, tell).limits(limits);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.spawn(serve(listener, tls, web, Handle::new()));
    Server {
        address,
        dir,
        events,
        _runtime: runtime,
    }
}

fn plain() -> Server {
    start(Limits::default(), None, Box::new(healthy))
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        stream
    }

    fn request(&self, head: &str, body: &[u8]) -> (u16, Value) {
        let mut stream = self.connect();
        let length = body.len();
        let head =
            format!("{head}\r\nhost: hilum\r\nconnection: close\r\ncontent-length: {length}");
        write!(stream, "{head}\r\n\r\n").expect("sent");
        // What is refused early is not read to its end.
        let _ = stream.write_all(body);
        answer(stream)
    }

    fn has_instances(&self) -> bool {
        !files(&self.dir.path().join("node/instances")).is_empty()
    }

    fn store(&self, body: &[u8]) -> (u16, Value) {
        self.request(&format!("POST /studies HTTP/1.1\r\n{RELATED}"), body)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.request(&format!("GET {path} HTTP/1.1"), b"")
    }
}

const RELATED: &str =
    "content-type: multipart/related; type=\"application/dicom\"; boundary=\"edge of part\"";

/// Status and JSON of an answer; text as a JSON string.
fn answer(mut stream: impl Read) -> (u16, Value) {
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).expect("text");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer but {text:?}: {read:?}"));
    let status = head[9..12].parse().expect("a status");
    let json = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.into()));
    (status, json)
}

fn multipart(parts: &[&[u8]]) -> Vec<u8> {
    let part = |part: &&[u8]| {
        let head = b"--edge of part\r\ncontent-type: application/dicom\r\n\r\n";
        [&head[..], part, b"\r\n"].concat()
    };
    let mut body: Vec<u8> = parts.iter().flat_map(part).collect();
    body.extend(b"--edge of part--\r\n");
    body
}

fn instance(number: usize) -> Vec<u8> {
    ct_instance(STUDY, &format!("{STUDY}.1.{number}"), 1000)
}

/// SOP Instance UIDs in a sequence of the answer.
fn uids(answer: &Value, sequence: &str) -> Vec<String> {
    let items = answer[sequence]["Value"].as_array();
    let uid = |item: &Value| item["00081155"]["Value"][0].as_str().map(str::to_owned);
    items.into_iter().flatten().filter_map(uid).collect()
}

fn reasons(answer: &Value, sequence: &str) -> Vec<u64> {
    let items = answer[sequence]["Value"].as_array();
    let reason = |item: &Value| item["00081197"]["Value"][0].as_u64();
    items.into_iter().flatten().filter_map(reason).collect()
}

fn files(dir: &std::path::Path) -> Vec<u64> {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn instances_are_kept_and_the_answer_names_them() {
    let server = plain();
    let (status, json) = server.store(&multipart(&[&instance(1), &instance(2)]));
    assert_eq!(status, 200, "{json}");
    let expected = [format!("{STUDY}.1.1"), format!("{STUDY}.1.2")];
    assert_eq!(uids(&json, "00081199"), expected);
    assert_eq!(json.get("00081198"), None);
}

#[test]
fn a_request_that_comes_in_small_pieces_is_read_alike() {
    let server = plain();
    let body = multipart(&[&instance(1), b"no DICOM", &instance(2)]);
    let mut stream = server.connect();
    let length = body.len();
    write!(
        stream,
        "POST /studies HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{RELATED}\r\ncontent-length: {length}\r\n\r\n"
    )
    .expect("sent");
    for piece in body.chunks(13) {
        stream.write_all(piece).expect("sent");
    }
    let (status, json) = answer(stream);
    assert_eq!(status, 202, "{json}");
    assert_eq!(uids(&json, "00081199").len(), 2);
}

#[test]
fn a_part_that_is_not_dicom_keeps_no_other_out() {
    let server = plain();
    let mut body = b"--edge of part\r\ncontent-type: text/plain\r\n\r\nhello\r\n".to_vec();
    body.extend(multipart(&[&instance(1), &vec![b'x'; 600_000], b""]));
    let (status, json) = server.store(&body);
    assert_eq!(status, 202, "{json}");
    assert_eq!(uids(&json, "00081199"), [format!("{STUDY}.1.1")]);
    assert_eq!(reasons(&json, "0008119A"), [0xC000; 3]);
    let (status, json) = server.store(&multipart(&[b"no DICOM"]));
    assert_eq!((status, reasons(&json, "0008119A")), (400, vec![0xC000]));
}

#[test]
fn an_oversized_part_is_refused_and_the_others_are_kept() {
    let server = plain();
    let large = ct_instance(STUDY, "1.2.3", 3 << 20);
    let (status, json) = server.store(&multipart(&[&instance(1), &large, &instance(2)]));
    assert_eq!(status, 202, "{json}");
    assert_eq!(uids(&json, "00081199").len(), 2);
    assert_eq!(uids(&json, "00081198"), ["1.2.3"]);
    assert_eq!(reasons(&json, "00081198"), [0xA700]);
    assert_eq!(server.store(&multipart(&[&large])).0, 413);
}

#[test]
fn a_boundary_longer_than_the_standard_allows_is_taken_as_orthanc_sends_it() {
    let server = plain();
    let boundary = "701ef197-86df-4e47-9581-ece3541e3b09-701ef197-86df-4e47-9581-ece3541e3b09";
    let head =
        format!("POST /studies HTTP/1.1\r\ncontent-type: multipart/related; boundary={boundary}");
    let edge = format!("--{boundary}");
    let body = [
        format!("{edge}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes(),
        &instance(1),
        format!("\r\n{edge}--\r\n").as_bytes(),
    ]
    .concat();
    assert_eq!(server.request(&head, &body).0, 200);
}

#[test]
fn other_media_types_and_paths_are_refused() {
    let server = plain();
    let post = |path: &str, content_type: &str| {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: {content_type}");
        let (status, json) = server.request(&head, &multipart(&[&instance(1)]));
        (status, json["code"].as_str().unwrap_or("").to_owned())
    };
    let related = "multipart/related; boundary=\"edge of part\"";
    for (path, content_type, status, code) in [
        ("/studies", "application/dicom", 415, "media-type"),
        (
            "/studies",
            "multipart/form-data; boundary=a",
            415,
            "media-type",
        ),
        (
            "/studies",
            "multipart/related; type=\"application/dicom+json\"; boundary=a",
            415,
            "media-type",
        ),
        ("/studies", "multipart/related", 400, "boundary"),
        ("/studies/..%2F..%2Fetc", related, 400, "not-a-uid"),
        ("/studies/1.02.3", related, 400, "not-a-uid"),
        ("/instances", related, 404, "not-found"),
    ] {
        let expected = (status, code.to_owned());
        assert_eq!(post(path, content_type), expected, "{path} {content_type}");
    }
    assert_eq!(post(&format!("/studies/{STUDY}"), related).0, 200);
    assert_eq!(server.get("/studies").0, 405);
}

#[test]
fn nobody_stores_or_sees_the_status_without_the_token() {
    let server = start(Limits::default(), Some(TOKEN), Box::new(healthy));
    let body = multipart(&[&instance(1)]);
    for shown in [
        "x: y".to_owned(),
        "authorization: Basic abc".into(),
        format!("authorization: Bearer {TOKEN}0"),
        format!("authorization: Bearer {}", &TOKEN[1..]),
    ] {
        let head = format!("POST /studies HTTP/1.1\r\n{RELATED}\r\n{shown}");
        let (status, json) = server.request(&head, &body);
        assert_eq!((status, &json["code"]), (401, &"unauthorized".into()));
        assert_eq!(server.get("/status").0, 401);
    }
    assert!(!server.has_instances());
    let shown = format!("authorization: Bearer {TOKEN}");
    let head = format!("POST /studies HTTP/1.1\r\n{RELATED}\r\n{shown}");
    assert_eq!(server.request(&head, &body).0, 200);
    let (status, json) = server.request(&format!("GET /status HTTP/1.1\r\n{shown}"), b"");
    assert_eq!(status, 200);
    assert_eq!(json["open_studies"][0]["study_instance_uid"], STUDY);
}

#[test]
fn without_a_token_this_machine_sees_the_status_but_no_study() {
    let server = plain();
    let (status, json) = server.get("/status");
    assert_eq!((status, json.get("open_studies")), (200, None));
    assert_eq!(json["parts"]["worker"], true);
}

#[test]
fn the_node_is_ready_only_when_every_part_is() {
    let server = plain();
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.get("/health/live").0, 200);
    let ill = || Status {
        parts: Parts {
            disk: false,
            ..healthy().parts
        },
        ..healthy()
    };
    let server = start(Limits::default(), None, Box::new(ill));
    let (status, json) = server.get("/health/ready");
    assert_eq!((status, &json["disk"]), (503, &Value::Bool(false)));
    assert_eq!(server.get("/health/live").0, 200);
}

#[test]
fn a_node_that_does_not_say_how_it_is_is_not_ready_but_lives() {
    let (release, hang) = crossbeam_channel::bounded::<()>(0);
    let hangs = move || {
        let _ = hang.recv();
        healthy()
    };
    let server = start(quick(), None, Box::new(hangs));
    for _ in 0..3 {
        assert_eq!(server.get("/health/ready").0, 503);
    }
    assert_eq!(server.get("/status").1["code"], "no-status");
    assert_eq!(server.get("/health/live").0, 200);
    let metrics = server.get("/metrics").1;
    assert!(
        metrics
            .as_str()
            .is_some_and(|m| m.contains("hilum_ready 0"))
    );
    drop(release);
}

#[test]
fn what_was_asked_is_counted_without_paths_and_every_refusal_is_told() {
    let mut server = plain();
    server.store(&multipart(&[&instance(1), b"no DICOM"]));
    server.get("/etc/passwd");
    let text = server.get("/metrics").1;
    let text = text.as_str().expect("text");
    for line in [
        "hilum_http_requests_total{route=\"/studies\",status=\"202\"} 1",
        "hilum_http_requests_total{route=\"none\",status=\"404\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(!text.contains("passwd") && !text.contains(STUDY));
    let event = server.events.try_recv().expect("a refusal");
    let Event::Refused { code, status, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!((code, status), ("not-readable", 0xC000));
    assert!(server.events.try_recv().is_err());
}

#[test]
fn requests_over_tls_are_answered_and_others_are_not() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server_config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate");
    let tls = Some(Arc::new(server_config));
    let server = start_with(quick(), None, Box::new(healthy), tls);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(client), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, server.connect());
    let head = "GET /health/live HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    assert_eq!(answer(stream).0, 200);
    let mut silent = server.connect();
    let ended = silent.read(&mut [0; 1]);
    assert!(!ended.is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
}
