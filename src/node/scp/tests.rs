//! What the listening side does for well-behaved peers.

use super::Event;
use super::harness::{
    CT, command, config, data_set, image, options, request, send, serve, status, store,
};
use super::negotiate::STORAGE;
use crate::node::Claim;
use crate::node::dimse::{Commitment, FailedInstance, InstanceRef};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_ul::pdu::{PresentationContextResultReason, RequestorRoles, UserVariableItem};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_is_answered_and_the_release_is_told() {
    let mut node = serve(&config()).await;
    assert!(node.is_up().await);
    assert!(matches!(node.event().await, Event::Accepted { .. }));
    let Event::Ended {
        sender,
        accepted: 0,
        refused: 0,
        code: "released",
    } = node.event().await
    else {
        panic!("not released");
    };
    assert_eq!(sender.ae_title.as_deref(), Some("SCANNER"));
    assert_eq!(sender.address.to_string(), "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_object_is_a_file_of_the_bytes_that_were_sent() {
    let node = serve(&config()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    store(&mut client, "1.2.3.4", 600_000).await;
    assert_eq!(status(&mut client).await, 0);
    client.release().await.unwrap();
    let [path] = node.kept().try_into().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.ends_with(&image("1.2.3.4", 600_000)));
    let object = dicom_object::open_file(&path).unwrap();
    let meta = object.meta();
    assert_eq!(meta.media_storage_sop_class_uid(), CT);
    assert_eq!(meta.media_storage_sop_instance_uid(), "1.2.3.4");
    assert_eq!(meta.transfer_syntax(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert_eq!(
        meta.implementation_class_uid(),
        crate::uid::IMPLEMENTATION_CLASS_UID
    );
    assert_eq!(meta.source_application_entity_title(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_too_large_is_refused_and_the_next_one_is_taken() {
    let mut node = serve(&config()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    store(&mut client, "1.2.3.5", 3 << 20).await;
    assert_eq!(status(&mut client).await, 0xa700);
    assert!(node.kept().is_empty());
    store(&mut client, "1.2.3.6", 100).await;
    assert_eq!(status(&mut client).await, 0);
    client.release().await.unwrap();
    assert!(matches!(node.event().await, Event::Accepted { .. }));
    let Event::Refused {
        claim,
        code,
        status,
        ..
    } = node.event().await
    else {
        panic!("not refused");
    };
    assert_eq!((code, status), ("object-too-large", 0xa700));
    let named = Claim {
        sop_class_uid: Some(CT.into()),
        sop_instance_uid: Some("1.2.3.5".into()),
        study_instance_uid: None,
    };
    assert_eq!(claim, named);
    let ended = node.event().await;
    assert!(
        matches!(
            ended,
            Event::Ended {
                accepted: 1,
                refused: 1,
                ..
            }
        ),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_class_is_taken_in_every_transfer_syntax_that_can_be_read() {
    let syntaxes = [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        uids::RLE_LOSSLESS,
        uids::JPEG_BASELINE8_BIT,
        uids::JPEG_EXTENDED12_BIT,
        uids::JPEG_LOSSLESS,
        uids::JPEG_LOSSLESS_SV1,
        uids::JPEGLS_LOSSLESS,
        uids::JPEGLS_NEAR_LOSSLESS,
        uids::JPEG2000_LOSSLESS,
        uids::JPEG2000,
        uids::HTJ2K_LOSSLESS,
        uids::HTJ2K_LOSSLESS_RPCL,
        uids::HTJ2K,
        uids::JPEGXL_LOSSLESS,
        uids::JPEGXLJPEG_RECOMPRESSION,
        uids::JPEGXL,
    ];
    let node = serve(&config()).await;
    for class in STORAGE {
        let mut asked = options("SCANNER");
        for syntax in syntaxes {
            asked = asked.with_presentation_context(*class, vec![syntax]);
        }
        let client = asked.establish_async(node.address).await.unwrap();
        let accepted: Vec<_> = client.presentation_contexts().iter().collect();
        assert_eq!(accepted.len(), syntaxes.len(), "{class}");
        client.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_may_not_store_may_echo() {
    let node = serve(&config()).await;
    let mut client = node.client("VIEWER", &[CT, uids::VERIFICATION]).await;
    let accepted = client.presentation_contexts();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].abstract_syntax, uids::VERIFICATION);
    assert_eq!(
        accepted[0].reason,
        PresentationContextResultReason::Acceptance
    );
    send(&mut client, 3, &command(0x0030, &[]), None).await;
    assert_eq!(status(&mut client).await, 0);
    client.release().await.unwrap();
}

fn reference(class: &str, instance: &str, reason: Option<u16>) -> InMemDicomObject {
    let uid = |tag: Tag, uid: &str| DataElement::new(tag, VR::UI, PrimitiveValue::from(uid));
    let mut item = InMemDicomObject::from_element_iter([
        uid(tags::REFERENCED_SOP_CLASS_UID, class),
        uid(tags::REFERENCED_SOP_INSTANCE_UID, instance),
    ]);
    if let Some(reason) = reason {
        let reason = PrimitiveValue::from(reason);
        item.put(DataElement::new(tags::FAILURE_REASON, VR::US, reason));
    }
    item
}

fn report() -> Vec<u8> {
    let sequence = |tag, item| DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]));
    let transaction = PrimitiveValue::from("2.25.77");
    data_set(&InMemDicomObject::from_element_iter([
        DataElement::new(tags::TRANSACTION_UID, VR::UI, transaction),
        sequence(
            tags::FAILED_SOP_SEQUENCE,
            reference("1.2.3", "1.2.3.9", Some(0x0112)),
        ),
        sequence(
            tags::REFERENCED_SOP_SEQUENCE,
            reference("1.2.3", "1.2.3.8", None),
        ),
    ]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commitment_that_a_peer_brings_is_handed_on() {
    let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
    let mut node = serve(&config()).await;
    let asked = options("SCANNER").with_abstract_syntax(class);
    let asked = asked.with_role_selection(class, false, true);
    let mut client = asked.establish_async(node.address).await.unwrap();
    let roles = RequestorRoles {
        scu: false,
        scp: true,
    };
    let answered = UserVariableItem::ScuScpRoleSelectionSubItem(class.into(), roles);
    assert!(client.user_variables().contains(&answered));
    let instance = uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE;
    let event = request(0x0100, class, instance, Some(2));
    send(&mut client, 1, &event, Some((&report(), true))).await;
    assert_eq!(status(&mut client).await, 0);
    send(&mut client, 1, &event, Some((b"no data set", true))).await;
    assert_eq!(status(&mut client).await, 0x0110);
    client.release().await.unwrap();
    assert!(matches!(node.event().await, Event::Accepted { .. }));
    let Event::Committed { sender, commitment } = node.event().await else {
        panic!("not committed");
    };
    let named = |sop_instance_uid: &str| InstanceRef {
        sop_class_uid: "1.2.3".into(),
        sop_instance_uid: sop_instance_uid.into(),
    };
    let expected = Commitment {
        transaction_uid: "2.25.77".into(),
        committed: vec![named("1.2.3.8")],
        failed: vec![FailedInstance {
            instance: named("1.2.3.9"),
            reason: 0x0112,
        }],
    };
    assert_eq!(sender.ae_title.as_deref(), Some("SCANNER"));
    assert_eq!(commitment, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_aborts_what_is_idle_and_ends() {
    let mut node = serve(&config()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    store(&mut client, "1.2.3.7", 100).await;
    assert_eq!(status(&mut client).await, 0);
    node.stop.send(true).unwrap();
    assert_eq!(node.ending().await, "node-stopping");
    assert!(client.receive().await.is_ok(), "A-ABORT");
    drop(client);
    node.served.await.unwrap();
    assert_eq!(
        std::net::TcpStream::connect(node.address)
            .unwrap_err()
            .kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}
