//! Clients that are slow, endless, cut off or too many.

use super::*;

#[test]
fn a_peer_that_never_ends_its_header_is_cut_off() {
    let server = start(quick(), None, Box::new(healthy));
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut slow {
        write!(stream, "POST /studies HTTP/1.1\r\nhost: h").expect("sent");
    }
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let timed_out = |e: &std::io::Error| e.kind() == ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(timed_out), "{ended:?}");
    }
    assert_eq!(server.store(&multipart(&[&instance(1)])).0, 200);
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed() {
    let server = start(quick(), None, Box::new(healthy));
    let mut stream = server.connect();
    write!(stream, "GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_body_that_stops_is_given_up_and_what_was_whole_is_kept() {
    let server = start(quick(), None, Box::new(healthy));
    let body = multipart(&[&instance(1), &instance(2)]);
    for (sent, status, kept) in [(400, 408, 0), (body.len() - 500, 202, 1)] {
        let mut stream = server.connect();
        write!(
            stream,
            "POST /studies HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{RELATED}\r\ncontent-length: 9999\r\n\r\n"
        )
        .expect("sent");
        stream.write_all(&body[..sent]).expect("sent");
        let (found, json) = answer(stream);
        assert_eq!(found, status, "{json}");
        assert_eq!(uids(&json, "00081199").len(), kept);
        assert_eq!(reasons(&json, "0008119A"), [0xC000]);
    }
}

#[test]
fn a_request_takes_no_longer_than_it_may_however_often_it_speaks() {
    let limits = Limits {
        request: Duration::from_millis(400),
        ..quick()
    };
    let server = start(limits, None, Box::new(healthy));
    let mut stream = server.connect();
    write!(
        stream,
        "POST /studies HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{RELATED}\r\ncontent-length: 99999\r\n\r\n--edge of part\r\n\r\n"
    )
    .expect("sent");
    let mut reader = stream.try_clone().expect("cloned");
    let dripping = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut first = [0; 12];
    reader.read_exact(&mut first).expect("answered");
    assert_eq!(&first, b"HTTP/1.1 408");
    drop(reader);
    dripping.join().expect("ended");
}

#[test]
fn nothing_stays_of_an_instance_whose_connection_is_cut() {
    let server = plain();
    let large = ct_instance(STUDY, "1.2.3", 900_000);
    let body = multipart(&[&large]);
    let mut stream = server.connect();
    let length = body.len();
    write!(
        stream,
        "POST /studies HTTP/1.1\r\nhost: h\r\n{RELATED}\r\ncontent-length: {length}\r\n\r\n"
    )
    .expect("sent");
    stream.write_all(&body[..700_000]).expect("sent");
    let half = |size: &u64| *size > 200_000;
    let dir = &server.dir.path().join("node/incoming");
    wait_until("half is written", || files(dir).iter().any(half));
    drop(stream);
    wait_until("nothing is left", || !files(dir).iter().any(half));
}

#[test]
fn a_part_whose_header_never_ends_is_refused_in_bounded_memory() {
    let server = plain();
    for start in ["", "--edge of part\r\nx: "] {
        let body = [start.as_bytes(), &vec![b'y'; 3 << 20]].concat();
        let length = body.len();
        let mut stream = server.connect();
        write!(
            stream,
            "POST /studies HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{RELATED}\r\ncontent-length: {length}\r\n\r\n"
        )
        .expect("sent");
        // The node does not read to the end what it refuses: the connection may break while it is sent, or before the
        // answer is read.
        let is_sent = stream.write_all(&body).is_ok();
        let mut text = Vec::new();
        let is_read = stream.read_to_end(&mut text).is_ok();
        let is_refused = text.starts_with(b"HTTP/1.1 400");
        assert!(is_refused || text.is_empty() && !(is_sent && is_read));
        assert_eq!(server.get("/health/live").0, 200);
    }
}

#[test]
fn more_instances_than_one_request_may_have_are_not_read() {
    let limits = Limits {
        max_parts: 2,
        ..Limits::default()
    };
    let server = start(limits, None, Box::new(healthy));
    let (status, json) = server.store(&multipart(&[&instance(1), &instance(2), &instance(3)]));
    assert_eq!((status, uids(&json, "00081199").len()), (202, 2));
    assert_eq!(reasons(&json, "0008119A"), [0xC000]);
}

#[test]
fn a_connection_too_many_is_closed_and_the_next_has_its_place() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = start(limits, None, Box::new(healthy));
    let mut first = server.connect();
    write!(first, "GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    first.read_exact(&mut [0; 12]).expect("answered");
    let mut second = server.connect();
    let closed = second.read(&mut [0; 1]);
    assert!(
        matches!(closed, Ok(0)) || closed.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    );
    drop(first);
    wait_until("a place", || {
        let mut next = server.connect();
        let sent = write!(next, "GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n");
        sent.is_ok() && next.read_exact(&mut [0; 12]).is_ok()
    });
}
