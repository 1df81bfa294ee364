//! Deliveries to folders, to services that behave badly, and to this node itself.

mod stow;

use super::*;
use crate::node::scp::Scp;
use crate::node::status::Status;
use crate::node::testing::{ct_instance, intake};
use crate::node::web::{Handle, Web, serve};
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const STUDY: &str = "1.2.826.0.1.3680043.2.1125.7";

fn parcel(dir: &Path, pixel_bytes: usize) -> Parcel {
    let files = ["sr.dcm", "seg.dcm"].into_iter().zip(1..);
    let dicom = files.map(|(name, number)| {
        let uid = format!("{STUDY}.9.{number}");
        let path = dir.join(name);
        fs::write(&path, ct_instance(STUDY, &uid, pixel_bytes)).expect("written");
        path
    });
    let mut files: Vec<_> = dicom.collect();
    let json = dir.join("findings.json");
    fs::write(&json, "{}").expect("written");
    files.push(json);
    Parcel {
        study_instance_uid: STUDY.into(),
        version: 1,
        files,
    }
}

fn means(patience: Patience) -> Means {
    Means {
        scu: Scu::new("HILUM"),
        peers: Vec::new(),
        patience,
    }
}

fn quick() -> Means {
    means(Patience {
        connect: Duration::from_secs(5),
        write: Duration::from_millis(300),
        answer: Duration::from_millis(300),
        total: Duration::from_secs(20),
    })
}

fn stow(url: String) -> DestinationKind {
    DestinationKind::Stow {
        url,
        token_file: None,
        ca: None,
    }
}

#[test]
fn a_folder_gets_every_file_of_a_version_and_a_second_try_changes_nothing() {
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    let parcel = parcel(from.path(), 100);
    let destination = DestinationKind::Folder {
        dir: to.path().into(),
    };
    let sent = send(&destination, &parcel, &quick()).expect("sent");
    assert_eq!(sent.objects, 3);
    let target = to.path().join(STUDY).join("1");
    for path in &parcel.files {
        let copy = target.join(path.file_name().expect("a name"));
        assert_eq!(fs::read(copy).ok(), fs::read(path).ok());
    }
    let modified = || {
        fs::metadata(&target)
            .and_then(|m| m.modified())
            .expect("a time")
    };
    let before = modified();
    assert_eq!(send(&destination, &parcel, &quick()).expect("sent"), sent);
    assert_eq!(modified(), before);
    assert_eq!(
        fs::read_dir(to.path().join(STUDY)).expect("study").count(),
        1
    );
}

#[test]
fn other_files_in_a_folder_are_left_as_they_are() {
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    let parcel = parcel(from.path(), 100);
    let target = to.path().join(STUDY).join("1");
    fs::create_dir_all(&target).expect("made");
    fs::write(target.join("sr.dcm"), "foreign").expect("written");
    let destination = DestinationKind::Folder {
        dir: to.path().into(),
    };
    let error = send(&destination, &parcel, &quick()).expect_err("occupied");
    assert_eq!(
        (error.code(), error.is_permanent()),
        ("folder-occupied", true)
    );
    assert_eq!(
        fs::read_to_string(target.join("sr.dcm")).ok().as_deref(),
        Some("foreign")
    );
    assert_eq!(fs::read_dir(&target).expect("target").count(), 1);
}

#[test]
fn what_a_broken_try_left_in_a_folder_is_replaced() {
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    let left = to.path().join(STUDY).join(".1.partial");
    fs::create_dir_all(&left).expect("made");
    fs::write(left.join("sr.dcm"), "half").expect("written");
    let destination = DestinationKind::Folder {
        dir: to.path().into(),
    };
    let sent = send(&destination, &parcel(from.path(), 100), &quick());
    assert_eq!(sent.expect("sent").objects, 3);
    assert!(!left.exists());
}

#[test]
fn a_folder_that_is_not_mounted_is_not_made() {
    let dir = TempDir::new().expect("dir");
    let absent = dir.path().join("mount");
    let destination = DestinationKind::Folder {
        dir: absent.clone(),
    };
    let error = send(&destination, &parcel(dir.path(), 100), &quick()).expect_err("absent");
    assert_eq!(
        (error.code(), error.is_permanent()),
        ("folder-not-writable", false)
    );
    assert!(!absent.exists());
}

#[test]
fn a_service_gets_the_objects_and_says_that_it_has_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    let intake = intake(&to.path().join("node"));
    let (events, _told) = tokio::sync::mpsc::channel(8);
    let status = Box::new(Status::default);
    let web = Web::new(intake, Arc::default(), status, None, events);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    runtime.spawn(serve(listener, None, web, Handle::new()));
    let parcel = parcel(from.path(), 300_000);
    let sent = send(&stow(url), &parcel, &means(Patience::default())).expect("sent");
    assert_eq!(sent.objects, 2);
    assert!(sent.bytes > 600_000);
    let kept = fs::read_dir(to.path().join("node/instances").join(STUDY));
    assert_eq!(kept.expect("the study").count(), 2);
}

#[test]
fn a_service_whose_certificate_nobody_vouches_for_gets_nothing() {
    let dir = TempDir::new().expect("dir");
    let made = |name: &str| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        fs::write(dir.path().join(name), made.cert.pem()).expect("written");
        made
    };
    let (own, _other) = (made("own.pem"), made("other.pem"));
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let web = Web::new(
        intake(&dir.path().join("node")),
        Arc::default(),
        Box::new(Status::default),
        None,
        tokio::sync::mpsc::channel(8).0,
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    runtime.spawn(serve(listener, Some(Arc::new(tls)), web, Handle::new()));
    let to = |ca: &str| {
        let destination = DestinationKind::Stow {
            url: url.clone(),
            token_file: None,
            ca: Some(dir.path().join(ca)),
        };
        send(
            &destination,
            &parcel(dir.path(), 100),
            &means(Patience::default()),
        )
    };
    assert_eq!(to("own.pem").expect("trusted").objects, 2);
    let error = to("other.pem").expect_err("not trusted");
    assert_eq!(
        (error.code(), error.is_permanent()),
        ("untrusted", false),
        "{error}"
    );
}

/// A peer that takes what this node takes.
fn peer(runtime: &tokio::runtime::Runtime, dir: &Path) -> PeerConfig {
    let entity = |name: &str, ae_title: &str| PeerConfig {
        name: name.into(),
        ae_title: ae_title.into(),
        host: "127.0.0.1".into(),
        port: None,
        may_store: true,
        tls: None,
    };
    let mut config = crate::node::testing::config();
    config.dicom.ae_title = "PACS".into();
    config.peers = vec![entity("hilum", "HILUM")];
    let (events, _told) = tokio::sync::mpsc::channel(64);
    let scp = Scp::new(&config, intake(dir), events).expect("no certificates");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (running, stop) = tokio::sync::watch::channel(false);
    let runtime = runtime.handle().clone();
    std::thread::spawn(move || {
        let _running = running;
        runtime.block_on(scp.serve(listener, stop));
    });
    PeerConfig {
        port: Some(port),
        ..entity("pacs", "PACS")
    }
}

#[test]
fn a_peer_gets_the_objects_and_a_class_that_it_does_not_take_is_permanent() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    let means = Means {
        peers: vec![peer(&runtime, &to.path().join("pacs"))],
        ..quick()
    };
    let destination = |peer: &str| DestinationKind::Dicom {
        peer: peer.into(),
        commitment: false,
    };
    let mut parcel = parcel(from.path(), 100);
    let sent = send(&destination("pacs"), &parcel, &means).expect("sent");
    assert_eq!(sent.objects, 2);
    let structures = from.path().join("rtstruct.dcm");
    let class = dicom_dictionary_std::uids::RT_STRUCTURE_SET_STORAGE;
    let file = crate::node::testing::part_10(class, "1.2.9", b"");
    fs::write(&structures, file).expect("written");
    parcel.files.push(structures);
    let error = send(&destination("pacs"), &parcel, &means).expect_err("refused");
    assert_eq!(
        (error.code(), error.is_permanent()),
        ("instances-refused", true)
    );
    let error = send(&destination("other"), &parcel, &means).expect_err("unknown");
    assert_eq!((error.code(), error.is_permanent()), ("peer-unknown", true));
}
