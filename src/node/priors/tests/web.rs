//! Services by QIDO-RS and WADO-RS.

use super::*;
use crate::node::Claim;
use crate::node::spool::Spool;
use crate::node::testing::{file_bytes, part_10, sender};
use dicom_dictionary_std::uids;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

const RELATED: &str = "multipart/related; type=\"application/dicom\"; boundary=edge";

/// What a service answers, each request on a connection of its own.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    /// The connection ends so many bytes early.
    missing: usize,
}

fn answer(content_type: &'static str, body: Vec<u8>) -> Answer {
    Answer {
        status: 200,
        content_type,
        body,
        missing: 0,
    }
}

/// The prior, as a list of studies.
fn list() -> Answer {
    let text = |vr: &str, text: &str| json!({"vr": vr, "Value": [text]});
    let study = |uid: &str, patient: &str| {
        json!({
            "0020000D": text("UI", uid),
            "00100020": text("LO", patient),
            "00080020": text("DA", "20240101"),
            "00080061": text("CS", "CT"),
        })
    };
    let studies = json!([study("1.2.5", "Somebody"), study(PRIOR, PATIENT)]);
    answer("application/dicom+json", studies.to_string().into())
}

fn study(parts: &[Vec<u8>]) -> Answer {
    let mut body = Vec::new();
    for part in parts {
        body.extend(b"--edge\r\ncontent-type: application/dicom\r\n\r\n");
        body.extend(part);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    answer(RELATED, body)
}

fn images() -> Vec<Vec<u8>> {
    [1, 2].map(|number| file_bytes(image(PRIOR, number))).into()
}

/// A service that gives one answer after another; the heads of the requests that it read.
fn service(answers: Vec<Answer>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/dicom-web/",
        listener.local_addr().expect("bound")
    );
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.push(byte[0]);
            }
            let Answer {
                status,
                content_type,
                body,
                missing,
            } = answer;
            let reply = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(reply.as_bytes());
            let _ = stream.write_all(&body[..body.len() - missing]);
            let _ = tell.send(String::from_utf8(head).expect("text"));
        }
    });
    (url, told)
}

impl Rig {
    fn with_service(mut self, answers: Vec<Answer>) -> (Self, mpsc::Receiver<String>) {
        let (url, told) = service(answers);
        self.config.priors.url = url;
        (self, told)
    }
}

/// How a study ends that the service answers so, after its list.
fn fetched(answer: Answer) -> Rig {
    let (rig, _told) = rig(PriorsBy::WadoRs).with_service(vec![list(), answer]);
    rig.work();
    rig
}

#[test]
fn an_earlier_study_comes_by_wado_rs_as_the_same_files_as_by_c_store() {
    let (rig, told) = rig(PriorsBy::WadoRs).with_service(vec![list(), study(&images())]);
    rig.work();
    assert!(rig.is_done());
    assert_eq!((rig.instances(PRIOR), rig.instances("1.2.5")), (2, 0));
    assert!(rig.is_prior());
    let requests: Vec<String> = told.iter().take(2).collect();
    let search = "GET /dicom-web/studies?PatientID=Secret-ID&StudyDate=";
    assert!(requests[0].starts_with(search), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /dicom-web/studies/1.2.1 "));
    assert!(requests[1].contains("transfer-syntax=*"));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let again = runtime.expect("a runtime").block_on(async {
        let mut spool = Spool::new(rig.intake());
        let claim = Claim {
            sop_class_uid: Some(uids::CT_IMAGE_STORAGE.into()),
            sop_instance_uid: Some("1.2.1.1.1".into()),
            study_instance_uid: None,
        };
        spool.begin(&claim, uids::EXPLICIT_VR_LITTLE_ENDIAN)?;
        let file = file_bytes(image(PRIOR, 1));
        let head = crate::node::identity::FileHead::of(&file).expect("a head");
        spool.push(&file[head.data_at..]).await?;
        spool.accept(claim, sender()).await
    });
    again.expect("the same bytes");
}

#[test]
fn parts_that_are_no_instances_of_the_study_are_left_out_and_the_others_kept() {
    let foreign = file_bytes(image("1.2.7", 1));
    let large = part_10(uids::CT_IMAGE_STORAGE, "1.2.1.1.9", &vec![0; 2 << 20]);
    let mut parts = vec![b"no file".to_vec(), foreign, large];
    parts.extend(images());
    let rig = fetched(study(&parts));
    assert!(rig.is_done());
    assert_eq!((rig.instances(PRIOR), rig.instances("1.2.7")), (2, 0));
    let fetched = &rig.logged("prior-fetched")[0];
    assert_eq!(
        (&fetched["instances"], &fetched["left_out"]),
        (&2.into(), &3.into())
    );
    let refused = rig.logged("instance-refused");
    let codes: Vec<_> = refused.iter().map(|event| &event["code"]).collect();
    assert_eq!(
        codes,
        ["not-readable", "not-as-announced", "object-too-large"]
    );
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again_and_what_came_stays() {
    let mut large = image(PRIOR, 2);
    let pixels = PrimitiveValue::from(vec![7_u8; 900 << 10]);
    large.put(DataElement::new(tags::PIXEL_DATA, VR::OW, pixels));
    let parts = [file_bytes(image(PRIOR, 1)), file_bytes(large)];
    let cut = Answer {
        missing: 100 << 10,
        ..study(&parts)
    };
    let (rig, _told) = rig(PriorsBy::WadoRs).with_service(vec![list(), cut, study(&parts)]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("request-cut"));
    assert_eq!(rig.instances(PRIOR), 1);
    rig.work_again();
    assert!(rig.is_done());
    assert_eq!(rig.instances(PRIOR), 2);
}

#[test]
fn what_is_no_answer_of_such_a_service_is_a_failure() {
    let page = answer("text/html", b"<html>Welcome</html>".to_vec());
    let rig = fetched(page);
    let code = "priors-answer-not-understood";
    assert_eq!(rig.failing().as_deref(), Some(code));
    let page = answer("application/json", b"{}".to_vec());
    let (rig, _told) = self::rig(PriorsBy::WadoRs).with_service(vec![page]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some(code));
}

#[test]
fn a_service_without_earlier_studies_may_answer_with_nothing() {
    let nothing = Answer {
        status: 204,
        ..answer("text/plain", Vec::new())
    };
    let (rig, _told) = rig(PriorsBy::WadoRs).with_service(vec![nothing]);
    rig.work();
    assert!(rig.is_done());
}

#[test]
fn statuses_that_a_person_has_to_change_are_given_up_and_others_tried_again() {
    let status = |status| Answer {
        status,
        ..answer("text/plain", Vec::new())
    };
    assert_eq!(
        fetched(status(503)).failing().as_deref(),
        Some("http-status")
    );
    let given_up = fetched(status(404)).counts().failed;
    assert_eq!(given_up.get("http-status"), Some(&1));
}

#[test]
fn a_service_that_sends_parts_without_end_is_given_up() {
    let parts = vec![b"x".to_vec(); 20_001];
    let rig = fetched(study(&parts));
    assert_eq!(rig.failing().as_deref(), Some("too-many-instances"));
}

#[test]
fn with_a_full_disk_nothing_more_is_read_and_it_is_asked_again_later() {
    let (mut rig, _told) = rig(PriorsBy::WadoRs).with_service(vec![list(), study(&images())]);
    rig.config.storage.min_free_bytes = u64::MAX;
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("out-of-resources"));
    assert_eq!(rig.instances(PRIOR), 0);
}
