//! What the listening side does with peers that break the rules: each time the rest goes on.

use super::harness::{
    CT, PATIENCE, command, config, image, options, peer, request, send, serve, status, store,
};
use super::{Event, MAX_STRANGERS, rehearse};
use dicom_dictionary_std::{tags, uids};
use dicom_ul::pdu::{Pdu, read_pdu, write_pdu};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Result, source and reason of the rejection of an association.
async fn rejection(
    node: &super::harness::Node,
    calling: &str,
    called: &str,
    application: &str,
    version: u8,
) -> [u8; 3] {
    let asked = options(calling).called_ae_title(called.to_owned());
    let mut bytes = association_request(&asked.with_abstract_syntax(uids::VERIFICATION));
    bytes[7] = version;
    let place = bytes
        .windows(21)
        .position(|part| part == b"1.2.840.10008.3.1.1.1");
    let place = place.unwrap();
    bytes[place..place + 21].copy_from_slice(application.as_bytes());
    let mut stream = node.connect().await;
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer[..6], [3, 0, 0, 0, 0, 4]);
    [answer[7], answer[8], answer[9]]
}

/// What a client asks with, as it goes over the network.
fn association_request(options: &dicom_ul::ClientAssociationOptions<'static>) -> Vec<u8> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (address, options) = (listener.local_addr().unwrap(), options.clone());
    let asking = std::thread::spawn(move || options.establish(address).map(drop));
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 6];
    std::io::Read::read_exact(&mut stream, &mut bytes).unwrap();
    let length = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    bytes.resize(6 + length as usize, 0);
    std::io::Read::read_exact(&mut stream, &mut bytes[6..]).unwrap();
    drop(stream);
    assert!(asking.join().unwrap().is_err());
    bytes
}

const DICOM: &str = "1.2.840.10008.3.1.1.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_wrong_titles_are_rejected_for_the_reason_of_the_standard() {
    let mut node = serve(&config()).await;
    let permanent = 1;
    assert_eq!(
        rejection(&node, "SCANNER", "OTHER", DICOM, 1).await,
        [permanent, 1, 7]
    );
    assert_eq!(node.ending().await, "called-ae-title");
    assert_eq!(
        rejection(&node, "NOBODY", "HILUM", DICOM, 1).await,
        [permanent, 1, 3]
    );
    assert_eq!(node.ending().await, "unknown-caller");
    let other = "1.2.840.10008.3.1.1.9";
    assert_eq!(
        rejection(&node, "SCANNER", "HILUM", other, 1).await,
        [permanent, 1, 2]
    );
    assert_eq!(node.ending().await, "application-context");
    assert_eq!(
        rejection(&node, "SCANNER", "HILUM", DICOM, 2).await,
        [permanent, 2, 2]
    );
    assert_eq!(node.ending().await, "protocol-version");
    assert!(node.is_up().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_title_from_an_unknown_host_is_rejected() {
    let mut elsewhere = config();
    elsewhere.peers = vec![peer("SCANNER", "192.0.2.1")];
    let mut node = serve(&elsewhere).await;
    assert_eq!(
        rejection(&node, "SCANNER", "HILUM", DICOM, 1).await,
        [1, 1, 3]
    );
    assert_eq!(node.ending().await, "unknown-caller");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_hold_connections_open_are_bounded() {
    let mut elsewhere = config();
    elsewhere.peers = vec![peer("SCANNER", "192.0.2.1")];
    let mut node = serve(&elsewhere).await;
    let mut held = Vec::new();
    for _ in 0..=MAX_STRANGERS {
        held.push(node.connect().await);
    }
    assert_eq!(node.ending().await, "too-many-connections");
    let mut byte = [0];
    let last = held.last_mut().unwrap().read(&mut byte);
    assert_eq!(timeout(PATIENCE, last).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_associations_at_once_as_many_as_allowed_are_accepted() {
    let mut few = config();
    few.dicom.max_associations = 4;
    let node = serve(&few).await;
    let asked = (0..100).map(|_| {
        let asked = options("SCANNER").with_abstract_syntax(CT);
        tokio::spawn(asked.establish_async(node.address))
    });
    let asked: Vec<_> = asked.collect();
    let (mut accepted, mut rejected) = (Vec::new(), 0);
    for asked in asked {
        match asked.await.unwrap() {
            Ok(client) => accepted.push(client),
            Err(error) => {
                let dicom_ul::association::Error::Rejected { association_rj, .. } = error else {
                    panic!("{error}");
                };
                assert_eq!(association_rj.source.to_string(), "local limit exceeded");
                assert_eq!(format!("{:?}", association_rj.result), "Transient");
                rejected += 1;
            }
        }
    }
    assert_eq!((accepted.len(), rejected), (4, 96));
    for mut client in accepted {
        store(&mut client, "1.2.3.4", 100).await;
        assert_eq!(status(&mut client).await, 0);
        client.release().await.unwrap();
    }
    assert!(node.is_up().await);
}

/// A configuration whose peers have to be quick.
fn hasty() -> crate::config::NodeConfig {
    let mut hasty = config();
    hasty.dicom.idle_timeout_s = 1;
    hasty
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_is_closed() {
    let mut node = serve(&hasty()).await;
    let mut silent = node.connect().await;
    assert_eq!(node.ending().await, "association-idle");
    let mut last_words = Vec::new();
    let closed = timeout(PATIENCE, silent.read_to_end(&mut last_words));
    closed.await.unwrap().unwrap();
    assert!(node.is_up().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_negotiates_byte_by_byte_is_closed_in_time() {
    let mut node = serve(&hasty()).await;
    let request = association_request(&options("SCANNER").with_abstract_syntax(CT));
    let mut stream = node.connect().await;
    let drip = async {
        for byte in request {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (ending, ()) = tokio::join!(node.ending(), drip);
    assert_eq!(ending, "association-idle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_unit_that_comes_byte_by_byte_ends_its_association() {
    let mut node = serve(&hasty()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    let unit = [&[4, 0, 0, 0, 16, 0][..], &[0; 60]].concat();
    let drip = async {
        for byte in unit {
            if client.inner_stream().write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (ending, ()) = tokio::join!(node.ending(), drip);
    assert_eq!(ending, "association-idle");
    assert!(node.is_up().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_association_is_aborted() {
    let mut node = serve(&hasty()).await;
    let mut client = node.client("SCANNER", &[CT]).await;
    assert_eq!(node.ending().await, "association-idle");
    assert!(matches!(client.receive().await, Ok(Pdu::AbortRQ { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_association_ends_at_its_age_however_busy_it_is() {
    let mut short = config();
    short.dicom.max_association_s = 1;
    let mut node = serve(&short).await;
    let mut client = node.client("SCANNER", &[uids::VERIFICATION]).await;
    let busy = async {
        let echo = command(0x0030, &[]);
        loop {
            let unit = Pdu::PData {
                data: vec![dicom_ul::pdu::PDataValue {
                    presentation_context_id: 1,
                    value_type: dicom_ul::pdu::PDataValueType::Command,
                    is_last: true,
                    data: echo.clone(),
                }],
            };
            let answered =
                async { client.send(&unit).await.is_ok() && client.receive().await.is_ok() };
            if !answered.await {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ending = tokio::select! {
        ending = node.ending() => ending,
        () = busy => node.ending().await,
    };
    assert_eq!(ending, "association-too-long");
}

/// The A-ABORT that comes for these bytes: source and reason.
async fn abort_for(node: &super::harness::Node, bytes: &[u8]) -> [u8; 2] {
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
    let endless = [&[0, 0, 0x7f, 0x02, 1, 1][..], &[0; 0x7f00]].concat();
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
    let mut codes = Vec::new();
    loop {
        match node.event().await {
            Event::Refused { code, claim, .. } => {
                assert_ne!(claim.sop_instance_uid.as_deref(), Some("Doe^Jane"));
                codes.push(code);
            }
            Event::Ended { .. } => break,
            _ => {}
        }
    }
    assert_eq!(
        codes,
        [
            "sop-class-not-of-context",
            "sop-instance-uid",
            "no-data-set"
        ]
    );
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
