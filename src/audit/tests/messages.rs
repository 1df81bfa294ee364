//! Audit messages: by the schema of PS3.15 A.5.1, judged by xmllint, and by the tables of A.5.3.

use super::*;
use crate::audit::{Input, Message, ModelUse, Output, Record, Source, message};
use std::collections::BTreeMap;
use std::process::Command;

/// One event of each kind, in the order of a study's way; texts as a hostile peer might choose them.
fn events() -> Vec<Event> {
    let text = String::from;
    let (study, destination) = (
        study(),
        Party {
            name: Some(text("archive")),
            ae_title: Some(text("PACS")),
            address: Some(text("pacs.example:104")),
        },
    );
    let hostile = Party::sender(Some("<A&\"B\u{1b}\n"), IpAddr::from([0; 16]));
    let sop_classes = BTreeMap::from([(text("1.2.840.10008.5.1.4.1.1.2"), 300)]);
    let results = BTreeMap::from([
        (text("1.2.840.10008.5.1.4.1.1.66.4"), 1),
        (text("1.2.840.10008.5.1.4.1.1.88.34"), 1),
    ]);
    let uid = study.study_instance_uid.clone();
    let (sop, series) = (text("1.2.840.1.1.1"), text("1.2.840.1.1"));
    let (code, user, sha256) = (text("a-code"), text("auditor"), text("00ff"));
    let web = Party {
        address: Some(text("https://pacs.example/dicom-web")),
        ..Party::default()
    };
    vec![
        Event::Started {
            version: text("0.1.0"),
            git_hash: text("abc"),
            ae_title: text("HILUM"),
        },
        Event::LogRecovered {
            records: 1,
            torn_bytes: 9,
            set_aside: Some(text("audit.torn-1")),
        },
        Event::AssociationRejected {
            peer: hostile.clone(),
            code: code.clone(),
        },
        Event::AssociationAccepted { peer: peer() },
        Event::InstanceReceived {
            study_instance_uid: uid.clone(),
            series_instance_uid: series,
            sop_instance_uid: sop.clone(),
            sop_class_uid: text("1.2.840.10008.5.1.4.1.1.2"),
            sha256: sha256.clone(),
            bytes: 525_000,
            from: peer(),
        },
        Event::InstanceRefused {
            study_instance_uid: None,
            sop_instance_uid: Some(sop.clone()),
            from: hostile,
            code: code.clone(),
        },
        Event::StudyComplete {
            study: study.clone(),
            code: code.clone(),
            sop_classes: sop_classes.clone(),
            from: vec![peer(), destination.clone()],
        },
        Event::StudyReopened {
            study: study.clone(),
        },
        Event::JobStarted {
            study: study.clone(),
            attempt: 1,
            rule: None,
            models: vec![text("lung-nodule")],
            inputs: vec![Input {
                sop_instance_uid: sop,
                sha256: sha256.clone(),
            }],
        },
        Event::JobFailed {
            study: study.clone(),
            attempt: 1,
            code: code.clone(),
        },
        Event::DeadLetter {
            study: study.clone(),
            attempts: 3,
            code: code.clone(),
        },
        Event::JobDone {
            study: study.clone(),
            run_id: sha256.clone(),
            device: text("CPU"),
            models: vec![ModelUse {
                name: text("lung-nodule"),
                version: text("1"),
                sha256: sha256.clone(),
            }],
            config: serde_json::json!({}),
            parameters: serde_json::json!({}),
            supersedes: None,
            warnings: vec![code.clone()],
            outputs: vec![Output {
                name: text("sr.dcm"),
                sha256,
            }],
            duration_ms: 1500,
        },
        Event::DeliveryStarted {
            study: study.clone(),
            to: destination.clone(),
            sop_classes: results.clone(),
        },
        Event::DeliveryFailed {
            study: study.clone(),
            to: destination.clone(),
            attempt: 1,
            code: code.clone(),
        },
        Event::Delivered {
            study: study.clone(),
            to: web,
            sop_classes: results,
        },
        Event::Committed {
            study: study.clone(),
            by: destination.clone(),
            instances: 2,
        },
        Event::PriorsAsked {
            study: study.clone(),
            from: destination.clone(),
            chosen: 2,
            to_fetch: 1,
        },
        Event::PriorFetched {
            study: study.clone(),
            prior: text("1.2.840.2"),
            from: destination.clone(),
            instances: 300,
            left_out: 1,
        },
        Event::PriorsFailed {
            study: study.clone(),
            from: destination,
            attempt: 3,
            code: code.clone(),
            given_up: true,
        },
        Event::LogUsed {
            action: text("export"),
            user: user.clone(),
        },
        Event::Replayed {
            study: study.clone(),
            differing: Vec::new(),
            user,
        },
        Event::Purged {
            study_instance_uid: uid,
            what: text("all"),
            code,
            patient: study.patient,
        },
        Event::Stopped {
            reason: text("asked"),
        },
    ]
}

fn record(seq: u64, event: &Event) -> Record {
    Record {
        seq,
        time: "2026-11-22T20:00:00.000Z".into(),
        prev: String::new(),
        event: serde_json::to_value(event).unwrap(),
        hash: String::new(),
        line: String::new(),
    }
}

fn messages() -> Vec<Message> {
    let source = Source {
        ae_title: "HILUM".into(),
        host: Some("node.example".into()),
    };
    let events = events();
    let records = (1..).zip(&events).map(|(seq, event)| record(seq, event));
    records
        .filter_map(|record| message(&record, &source))
        .collect()
}

#[test]
fn every_event_reads_back_as_it_was_and_has_a_line_for_people() {
    for event in events() {
        let record = record(1, &event);
        assert_eq!(record.event(), Some(event.clone()));
        assert!(event.to_string().len() > 10, "{event:?}: {event}");
    }
}

#[test]
fn messages_are_those_that_were_reviewed() {
    let messages: Vec<String> = messages().into_iter().map(|message| message.xml).collect();
    insta::assert_snapshot!(messages.join("\n").replace("><", ">\n<"));
}

#[test]
fn the_schema_of_the_standard_accepts_every_message() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("REQUIRE_XMLLINT").is_none(),
            "xmllint is missing"
        );
        eprintln!(
            "SKIPPED: xmllint is missing (Debian: libxml2-utils), so nobody judged the messages"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/audit-message.rng");
    let judged = |name: &str, xml: &str| {
        let path = dir.path().join(name);
        fs::write(&path, xml).unwrap();
        let arguments = ["--nonet", "--noout", "--relaxng", schema];
        Command::new("xmllint")
            .args(arguments)
            .arg(path)
            .output()
            .unwrap()
    };
    let messages = messages();
    assert_eq!(messages.len(), 16);
    for (number, message) in messages.iter().enumerate() {
        let judgement = judged(&format!("{number}.xml"), &message.xml);
        let words = String::from_utf8_lossy(&judgement.stderr).into_owned();
        assert!(judgement.status.success(), "{words}\n{}", message.xml);
    }
    let wrong = messages[0]
        .xml
        .replace("EventOutcomeIndicator=\"0\"", "EventOutcomeIndicator=\"1\"");
    assert!(
        !judged("wrong.xml", &wrong).status.success(),
        "the judge sees what is wrong"
    );
}

/// A.5.2: "The system shall not identify multiple participants as UserIsRequestor"; A.5.3.1 to A.5.3.11: one patient.
#[test]
fn a_message_has_one_requestor_at_most_and_no_patient_by_name_or_id() {
    for Message { xml, .. } in messages() {
        assert!(
            xml.matches("UserIsRequestor=\"true\"").count() <= 1,
            "{xml}"
        );
        let patients = xml.matches("originalText=\"Patient Number\"").count();
        let studies = xml.matches("originalText=\"Study Instance UID\"").count();
        assert_eq!(patients, studies, "{xml}");
        let transfer = xml.contains("csd-code=\"110104\"") || xml.contains("csd-code=\"110102\"");
        for role in ["110152", "110153"] {
            let role = format!("csd-code=\"{role}\"");
            assert_eq!(xml.matches(&role).count(), usize::from(transfer), "{xml}");
        }
        assert!(xml.len() < 32_768, "{} bytes", xml.len());
    }
}

#[test]
fn a_kind_of_a_later_version_makes_no_message_and_is_no_error() {
    let record = Record {
        event: serde_json::json!({"kind": "beamed-up", "study_instance_uid": "1.2"}),
        ..record(1, &numbered(1))
    };
    assert_eq!((record.event(), record.kind()), (None, "beamed-up"));
    let source = Source {
        ae_title: "HILUM".into(),
        host: None,
    };
    assert_eq!(message(&record, &source), None);
}
