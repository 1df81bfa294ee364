//! A node that fetches an earlier study of the patient from a web service.

use super::serve::{PATIENCE, delivered, folder, slices, start_logging};
use super::{SECRETS, copy, names, put, set_study, study};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const PRIOR: &str = "2.25.77";

/// The study as it was a year before.
fn earlier(folder: &Path) -> Vec<Vec<u8>> {
    copy(study(), folder, |file, number| {
        set_study(file, PRIOR, number);
        let uid = format!("{PRIOR}.1.{number}");
        file.update_meta(|meta| meta.media_storage_sop_instance_uid = uid);
        put(file, tags::STUDY_DATE, VR::DA, "20240101");
    });
    let files = names(folder);
    let file = |name: &String| fs::read(folder.join(name)).expect("read");
    files.iter().map(file).collect()
}

/// A service with one earlier study; its address.
fn service(files: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let text = |text: &str| json!({"vr": "LO", "Value": [text]});
    let list = json!([{
        "0020000D": text(PRIOR),
        "00100020": text("ID-7Q4X"),
        "00080020": text("20240101"),
        "00080061": text("CT"),
    }]);
    let mut study = Vec::new();
    for file in files {
        study.extend(b"--edge\r\ncontent-type: application/dicom\r\n\r\n");
        study.extend(file);
        study.extend(b"\r\n");
    }
    study.extend(b"--edge--\r\n");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
            let request = lines.next().expect("a line").expect("text");
            while !lines.next().expect("a line").expect("text").is_empty() {}
            let (content_type, body) = match request.contains("/studies?PatientID=ID-7Q4X") {
                true => ("application/dicom+json", list.to_string().into_bytes()),
                false => (
                    "multipart/related; type=\"application/dicom\"; boundary=edge",
                    study.clone(),
                ),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).expect("written");
            stream.write_all(&body).expect("written");
        }
    });
    url
}

#[test]
fn an_earlier_study_is_fetched_and_kept_and_neither_run_nor_delivered() {
    let dir = folder();
    let url = service(earlier(&dir.path().join("earlier")));
    let config = dir.path().join("hilum.toml");
    let text = fs::read_to_string(&config).expect("read");
    let priors = format!(
        "[node.priors]\nby = \"wado-rs\"\nurl = {url:?}\n[[node.rules]]\nname = \"all\"\npriors = 1\n"
    );
    fs::write(&config, text + &priors).expect("written");
    // The HTTP client would log requests, which ask by the patient's id.
    let node = start_logging(
        dir.path(),
        "error,hilum=info,ureq=trace,ureq::run=trace,ureq::util=trace",
    );
    node.send(&slices());
    let findings = delivered(dir.path(), 1);
    let uid = findings["study_instance_uid"].as_str().expect("a UID");
    let log = dir.path().join("node/audit.jsonl");
    let events = || -> Vec<Value> {
        let log = fs::read_to_string(&log).expect("a log");
        let records = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        records
            .map(|record: Value| record["event"].clone())
            .collect()
    };
    let closed =
        |event: &Value| event["kind"] == "study-complete" && event["study_instance_uid"] == PRIOR;
    let end = Instant::now() + PATIENCE;
    while !events().iter().any(closed) {
        assert!(Instant::now() < end, "the prior was not closed");
        thread::sleep(Duration::from_millis(50));
    }
    // A prior that were run would be taken at once: nothing else is to be done.
    thread::sleep(Duration::from_millis(1500));
    let told = node.stop();
    assert!(told.contains("why=\"prior\""), "{told}");
    let kind = |kind: &'static str| {
        events()
            .into_iter()
            .filter(move |event| event["kind"] == kind)
    };
    let fetched: Vec<Value> = kind("prior-fetched").collect();
    assert_eq!(fetched[0]["study_instance_uid"], uid);
    assert_eq!(fetched[0]["instances"], slices().len());
    assert_eq!(
        (kind("job-started").count(), kind("priors-asked").count()),
        (1, 1)
    );
    assert_eq!(names(&dir.path().join("out")), [uid]);
    assert_eq!(
        names(&dir.path().join("node/instances").join(PRIOR)).len(),
        slices().len()
    );
    let written = fs::read_to_string(&log).expect("a log") + &told;
    assert!(
        SECRETS.iter().all(|secret| !written.contains(secret)),
        "{written}"
    );
}
