//! Services that answer badly, late or not at all.

use super::*;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Instant;

/// What a service does with one request.
enum Does {
    Answers(u16, String),
    CutsAfter(usize),
    Waits,
}

/// A service that does one thing after another, and tells the requests that it read.
fn service(script: Vec<Does>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/dicom-web/",
        listener.local_addr().expect("bound")
    );
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for does in script {
            let (mut stream, _) = listener.accept().expect("a client");
            match does {
                Does::Waits => held.push(stream),
                Does::CutsAfter(bytes) => drop(read_some(&mut stream, bytes)),
                Does::Answers(status, body) => {
                    let request = read_request(&mut stream);
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: {length}\r\n\r\n"
                    );
                    let _ = stream.write_all((head + &body).as_bytes());
                    let _ = tell.send(request);
                }
            }
        }
        // Held connections stay open until the test ends.
        std::mem::forget(held);
    });
    (url, told)
}

fn read_some(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    stream.read_exact(&mut read).expect("so many bytes");
    read
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(read_some(stream, 1)[0].into());
    }
    let length = head.to_lowercase();
    let (_, length) = length.split_once("content-length: ").expect("a length");
    let (length, _) = length.split_once("\r\n").expect("a line");
    let body = read_some(stream, length.parse().expect("a number"));
    head + &String::from_utf8_lossy(&body)
}

/// A Store Instances Response with these instances of the parcel and reasons of those that failed.
fn module(stored: &[u8], failed: &[(u8, u16)]) -> String {
    let item = |number: u8| {
        let uid = format!("{STUDY}.9.{number}");
        serde_json::json!({"00081155": {"vr": "UI", "Value": [uid]}})
    };
    let stored: Vec<_> = stored.iter().map(|number| item(*number)).collect();
    let failed = failed.iter().map(|(number, reason)| {
        let mut item = item(*number);
        item["00081197"] = serde_json::json!({"vr": "US", "Value": [reason]});
        item
    });
    let failed: Vec<_> = failed.collect();
    serde_json::json!({
        "00081199": {"vr": "SQ", "Value": stored},
        "00081198": {"vr": "SQ", "Value": failed},
    })
    .to_string()
}

fn sent_to(does: Does) -> Result<Sent, DeliveryError> {
    let dir = tempfile::tempdir().expect("a folder");
    let (url, _told) = service(vec![does]);
    send(&stow(url), &parcel(dir.path(), 100), &quick())
}

#[test]
fn a_service_that_failed_once_is_tried_again_with_its_token() {
    let dir = TempDir::new().expect("dir");
    let token_file = dir.path().join("token");
    fs::write(&token_file, "0123456789abcdef\n").expect("written");
    let (url, told) = service(vec![
        Does::Answers(500, String::new()),
        Does::Answers(200, module(&[1, 2], &[])),
    ]);
    let destination = DestinationKind::Stow {
        url,
        token_file: Some(token_file),
        ca: None,
    };
    let parcel = parcel(dir.path(), 100);
    let error = send(&destination, &parcel, &quick()).expect_err("500");
    assert_eq!((error.code(), error.is_permanent()), ("http-status", false));
    assert_eq!(
        send(&destination, &parcel, &quick()).expect("sent").objects,
        2
    );
    let request = told.iter().last().expect("a request").to_lowercase();
    assert!(request.starts_with("post /dicom-web/studies http/1.1"));
    assert!(request.contains("authorization: bearer 0123456789abcdef"));
    assert!(!request.contains("findings"));
}

#[test]
fn a_sop_class_that_is_refused_is_permanent_and_named() {
    let error = sent_to(Does::Answers(202, module(&[1], &[(2, 0x0122)]))).expect_err("refused");
    assert_eq!(
        (error.code(), error.is_permanent()),
        ("instances-refused", true)
    );
    let DeliveryError::Refused { stored, refused } = error else {
        panic!("{error}");
    };
    assert_eq!((stored, refused[0].reason), (1, Some(0x0122)));
    assert_eq!(refused[0].sop_instance_uid, format!("{STUDY}.9.2"));
}

#[test]
fn a_full_archive_is_tried_again_and_one_that_has_it_is_done() {
    let full = sent_to(Does::Answers(409, module(&[], &[(1, 0xA700), (2, 0x0122)])));
    assert!(!full.expect_err("full").is_permanent());
    let there = sent_to(Does::Answers(409, module(&[], &[(1, 0x0111), (2, 0x0111)])));
    assert_eq!(there.expect("there").objects, 2);
}

#[test]
fn an_answer_that_does_not_name_every_instance_is_no_success() {
    let partly = sent_to(Does::Answers(200, module(&[1], &[]))).expect_err("one is missing");
    assert_eq!(
        (partly.code(), partly.is_permanent()),
        ("instances-refused", false)
    );
    for body in ["<html>Welcome</html>", "", "[]", "7"] {
        let error = sent_to(Does::Answers(200, body.into())).expect_err("no answer");
        assert!(!error.is_permanent(), "{body}");
    }
}

#[test]
fn statuses_that_only_a_person_can_change_are_permanent() {
    for (status, permanent) in [
        (302, true),
        (400, true),
        (401, false),
        (403, false),
        (404, true),
        (413, true),
        (429, false),
        (503, false),
    ] {
        let error = sent_to(Does::Answers(status, String::new())).expect_err("a failure");
        assert_eq!(error.code(), "http-status", "{status}: {error}");
        assert_eq!(error.is_permanent(), permanent, "{status}");
    }
}

#[test]
fn a_service_that_does_not_answer_in_time_is_given_up() {
    let dir = TempDir::new().expect("dir");
    // The larger parcel does not fit into the sockets' buffers.
    for pixel_bytes in [100, 20 << 20] {
        let (url, _told) = service(vec![Does::Waits]);
        let begun = Instant::now();
        let error = send(&stow(url), &parcel(dir.path(), pixel_bytes), &quick());
        let error = error.expect_err("too slow");
        assert_eq!(
            (error.code(), error.is_permanent()),
            ("timed-out", false),
            "{error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_connection_cut_in_the_middle_and_a_service_that_is_not_there_are_told_apart() {
    let dir = TempDir::new().expect("dir");
    let (url, _told) = service(vec![Does::CutsAfter(10_000)]);
    let cut = send(&stow(url), &parcel(dir.path(), 8 << 20), &quick()).expect_err("cut");
    assert_eq!(
        (cut.code(), cut.is_permanent()),
        ("connection-cut", false),
        "{cut}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let absent = send(&stow(url), &parcel(dir.path(), 100), &quick()).expect_err("nobody");
    assert_eq!(
        (absent.code(), absent.is_permanent()),
        ("unreachable", false),
        "{absent}"
    );
}

#[test]
fn an_address_that_is_none_and_certificates_that_are_none_are_told() {
    let dir = TempDir::new().expect("dir");
    let parcel = parcel(dir.path(), 100);
    for url in ["pacs:8042", "ftp://pacs", ""] {
        let error = send(&stow(url.into()), &parcel, &quick()).expect_err("no address");
        assert_eq!(
            (error.code(), error.is_permanent()),
            ("address-invalid", true)
        );
    }
    let destination = DestinationKind::Stow {
        url: "https://127.0.0.1:1".into(),
        token_file: None,
        ca: Some(dir.path().join("findings.json")),
    };
    let error = send(&destination, &parcel, &quick()).expect_err("no certificates");
    assert_eq!(error.code(), "certificates-not-readable");
}
