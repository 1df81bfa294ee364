//! What the listening side does with peers that break the rules: each time the rest goes on.

use super::MAX_STRANGERS;
use super::harness::{
    CT, DICOM, Node, PATIENCE, association_request, command, config, options, peer, serve, status,
    store,
};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Result, source and reason of the rejection of an association.
async fn rejection(
    node: &Node,
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
                data: vec![PDataValue {
                    presentation_context_id: 1,
                    value_type: PDataValueType::Command,
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
