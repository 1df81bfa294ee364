//! What the calling side does with peers that answer, and with those that do not.

use super::scripted::{received, respond, scripted, tell, text, us};
use super::{Scu, Sent, Timeouts, is_stored};
use crate::config::PeerConfig;
use crate::node::dimse::{Error, InstanceRef};
use crate::node::scp::harness::{CT, Node, config, image, peer, serve};
use crate::node::tls::tests as certificates;
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::pdu::Pdu;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const COMMITMENT: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;

pub(super) fn at(address: SocketAddr) -> PeerConfig {
    PeerConfig {
        port: Some(address.port()),
        ..peer("HILUM", "127.0.0.1")
    }
}

fn scu() -> Scu {
    Scu::new("SCANNER").with_timeouts(Timeouts {
        commitment: Duration::from_millis(200),
        ..Timeouts::default()
    })
}

/// A call on a thread of its own, beside the node of the test.
async fn call<T: Send + 'static>(call: impl FnOnce(Scu) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(|| call(scu())).await.unwrap()
}

/// A file of `class` with an image's data set, of explicit little endian.
fn file(dir: &Path, instance: &str, class: &str, pixel_bytes: usize) -> PathBuf {
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid(instance)
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid("1.2.3")
        .build()
        .unwrap();
    let mut bytes = [vec![0; 128], b"DICM".to_vec()].concat();
    meta.write(&mut bytes).unwrap();
    bytes.extend(image(instance, pixel_bytes));
    let path = dir.join(format!("{instance}.dcm"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn outcomes(sent: &[Sent]) -> Vec<Result<u16, &'static str>> {
    let outcome = |sent: &Sent| sent.outcome.as_ref().copied().map_err(Error::code);
    sent.iter().map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_says_whether_the_peer_takes_this_node() {
    let node = serve(&config()).await;
    let known = at(node.address);
    call(move |scu| scu.echo(&known)).await.unwrap();
    let mut other = at(node.address);
    other.ae_title = "OTHER".into();
    let error = call(move |scu| scu.echo(&other)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer rejected the association (permanent): called AE title not recognized"
    );
    let silent = PeerConfig {
        port: None,
        ..at(node.address)
    };
    let error = call(move |scu| scu.echo(&silent)).await.unwrap_err();
    assert_eq!(error.code(), "peer-without-port");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let closed = at(listener.local_addr().unwrap());
    drop(listener);
    let error = call(move |scu| scu.echo(&closed)).await.unwrap_err();
    assert_eq!(error.code(), "connect");
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let hasty = Scu::new("HILUM").with_timeouts(Timeouts {
        response: Duration::from_millis(300),
        ..Timeouts::default()
    });
    let begun = Instant::now();
    let error = hasty.echo(&at(listener.local_addr().unwrap())).unwrap_err();
    assert_eq!(error.code(), "association-idle");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_peer_that_answers_byte_by_byte_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let dripping = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = [2, 0, 0, 0, 1, 0].into_iter();
        for byte in head.chain(std::iter::repeat_n(0, 256)) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    let hasty = Scu::new("HILUM").with_timeouts(Timeouts {
        response: Duration::from_millis(500),
        ..Timeouts::default()
    });
    assert_eq!(
        hasty.echo(&at(address)).unwrap_err().code(),
        "association-idle"
    );
    dripping.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_files_each_has_its_outcome() {
    let node = serve(&config()).await;
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("notes.txt");
    std::fs::write(&other, "not DICOM").unwrap();
    let files = [
        file(dir.path(), "1.2.3.1", CT, 700_001),
        file(dir.path(), "1.2.3.2", uids::MR_IMAGE_STORAGE, 10),
        other,
        dir.path().join("absent.dcm"),
        file(dir.path(), "1.2.3.3", CT, 2 << 20),
        file(dir.path(), "1.2.3.4", CT, 10),
    ];
    let known = at(node.address);
    let sent = call(move |scu| scu.store(&known, &files)).await.unwrap();
    let expected = [
        Ok(0),
        Err("sop-class-not-accepted"),
        Err("file-not-dicom"),
        Err("file-unreadable"),
        Ok(0xa700),
        Ok(0),
    ];
    assert_eq!(outcomes(&sent), expected);
    let named = sent[0]
        .instance
        .as_ref()
        .map(|i| i.sop_instance_uid.as_str());
    assert_eq!(named, Some("1.2.3.1"));
    assert_eq!(
        kept(&node),
        [image("1.2.3.4", 10).len(), image("1.2.3.1", 700_001).len()]
    );
}

/// Bytes of the data sets that the node keeps, the smallest first.
fn kept(node: &Node) -> Vec<usize> {
    let sizes = node.kept().into_iter().map(|path| {
        let meta = dicom_object::open_file(&path).unwrap().meta().clone();
        let bytes = usize::try_from(path.metadata().unwrap().len()).unwrap();
        let group = usize::try_from(meta.information_group_length).unwrap();
        bytes - 132 - 12 - group
    });
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn only_success_and_warnings_mean_that_an_instance_is_stored() {
    assert!([0, 1, 0xb000, 0xb006, 0xb007].into_iter().all(is_stored));
    assert!(
        ![0x0110, 0x0122, 0xa700, 0xa900, 0xc000, 0xfe00]
            .into_iter()
            .any(is_stored)
    );
}

#[test]
fn a_peer_of_implicit_little_endian_alone_gets_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "1.2.3.1", CT, 30);
    let implicit = scripted(CT, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        let bytes = received(server, true);
        let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let object = InMemDicomObject::read_dataset_with_ts(bytes.as_slice(), &syntax).unwrap();
        let uid = object
            .element(tags::SOP_INSTANCE_UID)
            .unwrap()
            .to_str()
            .unwrap();
        let status = if uid.starts_with("1.2.3.1") {
            0
        } else {
            0xc000
        };
        respond(server, 0x8001, status, None);
    });
    let sent = scu().store(&implicit, &[path]).unwrap();
    assert_eq!(outcomes(&sent), [Ok(0)]);
}

#[test]
fn where_an_association_breaks_the_rest_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["1.2.3.1", "1.2.3.2", "1.2.3.3"].map(|uid| file(dir.path(), uid, CT, 10));
    let breaking = scripted(CT, uids::EXPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        respond(server, 0x8001, 0, None);
        received(server, true);
        let source = dicom_ul::pdu::AbortRQSource::ServiceUser;
        server.send(&Pdu::AbortRQ { source }).unwrap();
    });
    let sent = scu().store(&breaking, &files).unwrap();
    assert_eq!(
        outcomes(&sent),
        [Ok(0), Err("aborted-by-peer"), Err("file-not-sent")]
    );
}

fn study(uid: &str, count: &str) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        text(tags::STUDY_INSTANCE_UID, VR::UI, uid),
        text(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, count),
    ])
}

#[test]
fn a_study_has_as_many_instances_as_the_peer_says_of_that_study() {
    let archive = scripted(FIND, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        let asked = received(server, true);
        let asked = String::from_utf8_lossy(&asked);
        assert!(
            asked.contains("STUDY") && asked.contains("1.2.9"),
            "{asked}"
        );
        respond(server, 0x8020, 0xff00, Some(study("1.2.8", "3")));
        respond(server, 0x8020, 0xff01, Some(study("1.2.9", "300 ")));
        respond(server, 0x8020, 0, None);
    });
    assert_eq!(scu().count(&archive, "1.2.9").unwrap(), Some(300));
}

#[test]
fn a_study_that_the_peer_does_not_know_has_no_count() {
    let archive = scripted(FIND, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        respond(server, 0x8020, 0, None);
    });
    assert_eq!(scu().count(&archive, "1.2.9").unwrap(), None);
    let failing = scripted(FIND, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        respond(server, 0x8020, 0xc001, None);
    });
    let error = scu().count(&failing, "1.2.9").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer answered C-FIND with status 0xc001"
    );
}

#[test]
fn answers_without_end_are_given_up() {
    let flooding = scripted(FIND, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        for _ in 0..64 {
            respond(server, 0x8020, 0xff00, Some(study("1.2.9", "?")));
        }
    });
    assert_eq!(
        scu().count(&flooding, "1.2.9").unwrap_err().code(),
        "data-set-malformed"
    );
}

fn instances() -> Vec<InstanceRef> {
    vec![InstanceRef {
        sop_class_uid: CT.into(),
        sop_instance_uid: "1.2.3.1".into(),
    }]
}

#[test]
fn a_commitment_on_the_same_association_is_the_answer() {
    let archive = scripted(COMMITMENT, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        let asked = received(server, true);
        let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let asked = InMemDicomObject::read_dataset_with_ts(asked.as_slice(), &syntax).unwrap();
        respond(server, 0x8130, 0, None);
        let report = [
            text(tags::AFFECTED_SOP_CLASS_UID, VR::UI, COMMITMENT),
            us(tags::COMMAND_FIELD, 0x0100),
            us(tags::MESSAGE_ID, 9),
            text(
                tags::AFFECTED_SOP_INSTANCE_UID,
                VR::UI,
                uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            ),
            us(tags::EVENT_TYPE_ID, 1),
        ];
        // It repeats what it was asked.
        tell(server, &report, Some(asked));
        received(server, false);
    });
    let answer = scu().request_commitment(&archive, "2.25.5", &instances());
    let answer = answer.unwrap().unwrap();
    assert_eq!(answer.transaction_uid, "2.25.5");
    assert_eq!(answer.committed, instances());
    assert!(answer.failed.is_empty());
}

#[test]
fn a_commitment_that_is_to_come_later_is_none_yet() {
    let archive = scripted(COMMITMENT, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        respond(server, 0x8130, 0, None);
    });
    let answer = scu().request_commitment(&archive, "2.25.5", &instances());
    assert_eq!(answer.unwrap(), None);
    let refusing = scripted(COMMITMENT, uids::IMPLICIT_VR_LITTLE_ENDIAN, |server| {
        received(server, true);
        respond(server, 0x8130, 0x0110, None);
    });
    let error = scu().request_commitment(&refusing, "2.25.5", &instances());
    assert_eq!(error.unwrap_err().code(), "peer-status");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_peer_without_a_certificate_of_the_authority_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let ca = certificates::authority(dir.path(), &["node", "scanner"]);
    let mut secure = config();
    secure.dicom.tls = Some(certificates::config(dir.path(), "node", Some(&ca)));
    let mut node = serve(&secure).await;
    let known = PeerConfig {
        tls: Some(certificates::config(dir.path(), "scanner", Some(&ca))),
        ..at(node.address)
    };
    let echoed = known.clone();
    call(move |scu| scu.echo(&echoed)).await.unwrap();
    assert_eq!(node.ending().await, "released");
    let mut anonymous = known.clone();
    anonymous.tls = Some(crate::config::TlsConfig {
        peer_ca: Some(ca),
        ..Default::default()
    });
    call(move |scu| scu.echo(&anonymous)).await.unwrap_err();
    assert_eq!(node.ending().await, "tls-handshake");
    let elsewhere = tempfile::tempdir().unwrap();
    let other_ca = certificates::authority(elsewhere.path(), &["scanner"]);
    let mut forged = known.clone();
    forged.tls = Some(certificates::config(
        elsewhere.path(),
        "scanner",
        Some(&other_ca),
    ));
    let error = call(move |scu| scu.echo(&forged)).await.unwrap_err();
    assert_eq!(error.code(), "tls-handshake");
    assert_eq!(node.ending().await, "tls-handshake");
    let plain = PeerConfig { tls: None, ..known };
    call(move |scu| scu.echo(&plain)).await.unwrap_err();
    assert_eq!(node.ending().await, "tls-handshake");
}
