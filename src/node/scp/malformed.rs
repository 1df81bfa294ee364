//! What the listening side does with bytes that are no DICOM, commands that cannot be served, and objects that break off.

use super::harness::{
    CT, DICOM, Node, PATIENCE, association_request, command, config, image, options, request, send,
    serve, status, store,
};
use super::{Event, rehearse};
use dicom_dictionary_std::{tags, uids};
use dicom_ul::pdu::{Pdu, read_pdu, write_pdu};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The A-ABORT that comes for these bytes: source and reason.
async fn abort_for(node: &Node, bytes: &[u8]) -> [u8; 2] {
    let mut stream = node.connect().await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(answer[..6], [7, 0, 0, 0, 0, 4], "{answer:?}");
    [answer[8], answer[9]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_association_request_is_aborted() {
    let mut node = serve(&config()).await;
    assert_eq!(abort_for(&node, b"GET / HTTP/1.1\r\n\r\n").await, [2, 1]);
    assert_eq!(node.ending().await, "pdu-unrecognized");
    assert_eq!(
        abort_for(&node, &[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await,
        [2, 2]
    );
    assert_eq!(node.ending().await, "pdu-unexpected");
    assert_eq!(
        abort_for(&node, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0]).await,
        [2, 6]
    );
    assert_eq!(node.ending().await, "pdu-too-large");
    assert_eq!(
        abort_for(&node, &[1, 0, 0, 0, 0, 4, 0, 1, 0, 0]).await,
        [2, 6]
    );
    assert_eq!(node.ending().await, "pdu-malformed");
    let mut even = association_request(&options("SCANNER").with_abstract_syntax(CT));
    // Items stand behind the titles and 32 reserved bytes; the first is the application context.
    let context = 74 + 4 + DICOM.len();
    assert_eq!(even[context], 0x20);
    even[context + 4] = 2;
    assert_eq!(abort_for(&node, &even).await, [2, 6]);
    assert_eq!(node.ending().await, "pdu-malformed");
    assert!(node.is_up().await);
}

/// Sends bytes on an association for CT; how it ends.
async fn ending_after(bytes: &[u8]) -> &'static str {
    let mut node = serve(&config()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    client.inner_stream().write_all(bytes).await.unwrap();
    let ending = node.ending().await;
    assert!(
        matches!(client.receive().await, Ok(Pdu::AbortRQ { .. })),
        "{ending}"
    );
    assert!(node.is_up().await);
    ending
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_units_and_commands_end_their_association_alone() {
    let unit = |value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        [&[4, 0][..], &length, value].concat()
    };
    assert_eq!(ending_after(&[4, 0, 0, 0x10, 0, 0]).await, "pdu-too-large");
    assert_eq!(
        ending_after(&unit(&[0, 0, 0, 9, 1, 3, 0])).await,
        "pdu-malformed"
    );
    assert_eq!(
        ending_after(&unit(&[0, 0, 0, 1, 1, 3])).await,
        "pdu-malformed"
    );
    assert_eq!(
        ending_after(&unit(&[0, 0, 0, 4, 9, 3, 0, 0])).await,
        "context-not-accepted"
    );
    assert_eq!(
        ending_after(&unit(&[0, 0, 0, 4, 1, 2, 0, 0])).await,
        "fragment-unexpected"
    );
    assert_eq!(
        ending_after(&unit(&[0, 0, 0, 4, 1, 3, 0, 0])).await,
        "command-malformed"
    );
    let endless = [&[0, 0, 0x7f, 0x02, 1, 1][..], &[0].repeat(0x7f00)].concat();
    assert_eq!(ending_after(&unit(&endless)).await, "command-too-large");
    assert_eq!(
        ending_after(&[2, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await,
        "pdu-unexpected"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_context_that_was_not_accepted_is_aborted() {
    let mut node = serve(&config()).await;
    let classes = [CT, uids::MR_IMAGE_STORAGE];
    let mut client = node.client("SCANNER", &classes).await;
    let request = request(0x0001, uids::MR_IMAGE_STORAGE, "1.2.3.4", None);
    send(&mut client, 3, &request, None).await;
    assert_eq!(node.ending().await, "context-not-accepted");
    assert!(matches!(client.receive().await, Ok(Pdu::AbortRQ { .. })));
    assert!(node.kept().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_served_are_answered_and_the_association_goes_on() {
    let mut node = serve(&config()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    let bytes = image("1.2.3.4", 100);
    let whole = Some((bytes.as_slice(), true));
    let other_class = request(0x0001, uids::ENHANCED_CT_IMAGE_STORAGE, "1.2.3.4", None);
    send(&mut client, 1, &other_class, whole).await;
    assert_eq!(status(&mut client).await, 0x0122);
    let no_uid = request(0x0001, CT, "Doe^Jane", None);
    send(&mut client, 1, &no_uid, whole).await;
    assert_eq!(status(&mut client).await, 0x0117);
    let without = [
        (tags::AFFECTED_SOP_CLASS_UID, CT),
        (tags::AFFECTED_SOP_INSTANCE_UID, "1.2.3"),
    ];
    send(&mut client, 1, &command(0x0001, &without), None).await;
    assert_eq!(status(&mut client).await, 0xc000);
    send(&mut client, 1, &command(0x0030, &[]), None).await;
    assert_eq!(status(&mut client).await, 0x0211);
    store(&mut client, "1.2.3.4", 100).await;
    assert_eq!(status(&mut client).await, 0);
    client.release().await.unwrap();
    assert_eq!(
        refusals(&mut node).await,
        [
            "sop-class-not-of-context",
            "sop-instance-uid",
            "no-data-set"
        ]
    );
}

/// Codes of the refusals up to the end of an association; what is no UID is not repeated.
async fn refusals(node: &mut Node) -> Vec<&'static str> {
    let mut codes = Vec::new();
    loop {
        match node.event().await {
            Event::Refused { code, claim, .. } => {
                assert_ne!(claim.sop_instance_uid.as_deref(), Some("Doe^Jane"));
                codes.push(code);
            }
            Event::Ended { .. } => return codes,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_object_that_is_broken_off_nothing_stays() {
    let mut node = serve(&config()).await;
    let whole = image("1.2.3.4", 900_000);
    let open = Some((whole.as_slice(), false));
    let request = request(0x0001, CT, "1.2.3.4", None);
    let mut aborting = node.client("SCANNER", &[CT]).await;
    send(&mut aborting, 1, &request, open).await;
    aborting.abort().await.unwrap();
    assert_eq!(node.ending().await, "aborted-by-peer");
    let mut vanishing = node.client("SCANNER", &[CT]).await;
    send(&mut vanishing, 1, &request, open).await;
    drop(vanishing);
    assert_eq!(node.ending().await, "connection-closed");
    let mut releasing = node.client("SCANNER", &[CT]).await;
    send(&mut releasing, 1, &request, open).await;
    releasing.send(&Pdu::ReleaseRQ).await.unwrap();
    assert_eq!(node.ending().await, "pdu-unexpected");
    assert!(node.kept().is_empty());
}

/// All that a peer says to store an image and to bring a commitment.
fn conversation() -> Vec<u8> {
    let commitment = uids::STORAGE_COMMITMENT_PUSH_MODEL;
    let asked = options("SCANNER")
        .with_abstract_syntax(CT)
        .with_abstract_syntax(commitment);
    let mut bytes = association_request(&asked.with_role_selection(commitment, false, true));
    let image = image("1.2.3.4", 500);
    let store = request(0x0001, CT, "1.2.3.4", None);
    let report = request(0x0100, commitment, "1.2.840.10008.1.20.1.1", Some(1));
    let values = [
        (1, 3, store.as_slice()),
        (1, 0, &image[..300]),
        (1, 2, &image[300..]),
        (3, 3, &report),
        (3, 2, &image),
    ];
    for (context, control, value) in values {
        let length = u32::try_from(value.len()).unwrap() + 2;
        bytes.extend([4, 0]);
        bytes.extend((length + 4).to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend([context, control]);
        bytes.extend(value);
    }
    write_pdu(&mut bytes, &Pdu::ReleaseRQ).unwrap();
    assert!(read_pdu(bytes.as_slice(), 1 << 20, true).unwrap().is_some());
    bytes
}

#[test]
fn a_conversation_cut_off_anywhere_ends_in_a_coded_error() {
    let whole = conversation();
    assert_eq!(rehearse(&whole).unwrap(), 2);
    for end in 0..whole.len() {
        assert_eq!(
            rehearse(&whole[..end]).unwrap_err().code(),
            "connection-closed",
            "{end}"
        );
    }
}

#[test]
fn a_mutated_conversation_never_panics() {
    const SEED: u64 = 20_261_122;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let whole = conversation();
    let mut codes = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let mut mutated = whole.clone();
        for _ in 0..random.random_range(1..5) {
            let place = random.random_range(0..mutated.len());
            match random.random_range(0..4) {
                0 => drop(mutated.remove(place)),
                1 => mutated.insert(place, random.random()),
                2 => mutated.truncate(place.max(100)),
                _ => mutated[place] = random.random(),
            }
        }
        codes.insert(rehearse(&mutated).map_or_else(|error| error.code(), |_| "released"));
    }
    let most = [
        "command-malformed",
        "context-not-accepted",
        "fragment-unexpected",
        "pdu-malformed",
    ];
    assert!(most.iter().all(|code| codes.contains(code)), "{codes:?}");
}
