//! `hilum audit` from outside: what is told of a whole, a torn and a changed log, and a decision run again.

use super::{SECRETS, files, hilum, only_whole_study, printed, process, study};
use hilum::audit::{Event, Input, Log, Output, Party, Study, deciding};
use hilum::config::{Config, DeviceKind};
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Output as Run;
use tempfile::{TempDir, tempdir};

const UID: &str = "1.2.840.1";

/// A node's folder with a log of a refused peer, a failed study and another study.
fn node() -> TempDir {
    let dir = tempdir().expect("folder");
    let log = Log::open(dir.path()).expect("opened");
    let peer = Party::sender(Some("EVIL\u{1b}[2J"), IpAddr::from([192, 0, 2, 9]));
    let failed = |uid: &str| Event::JobFailed {
        study: study_of(uid),
        attempt: 1,
        code: "disk-full".into(),
    };
    let rejected = Event::AssociationRejected {
        peer,
        code: "calling-ae-title-not-recognized".into(),
    };
    let started = Event::Started {
        version: "0.1.0".into(),
        git_hash: "abc".into(),
        ae_title: "NODE_7".into(),
    };
    let events = [started, rejected, failed(UID), failed("1.2.840.2")];
    log.record_all(&events).expect("recorded");
    dir
}

fn study_of(uid: &str) -> Study {
    Study {
        study_instance_uid: uid.into(),
        version: 1,
        patient: None,
    }
}

/// `hilum audit VERB --dir DIR …`
fn audit(verb: &str, dir: &Path, more: &[&str]) -> Run {
    let mut command = hilum();
    command.args(["audit", verb, "--dir"]).arg(dir).args(more);
    command.env("USER", "auditor").env_remove("SUDO_USER");
    command.output().expect("run")
}

#[test]
fn a_whole_log_is_said_to_be_whole() {
    let dir = node();
    let run = audit("verify", dir.path(), &[]);
    let (told, errors) = printed(&run);
    assert_eq!((run.status.code(), errors.as_str()), (Some(0), ""));
    assert!(
        told.ends_with("audit.jsonl: whole, 4 record(s)\n"),
        "{told}"
    );
    let run = audit("verify", dir.path(), &["--json"]);
    let verdict: Value = serde_json::from_str(&printed(&run).0).expect("JSON");
    assert_eq!(verdict["records"], 4);
    assert_eq!(verdict["broken"], Value::Null);
}

#[test]
fn the_first_broken_line_is_told_with_its_kind() {
    let dir = node();
    let path = dir.path().join("audit.jsonl");
    let text = fs::read_to_string(&path).expect("log");
    fs::write(&path, text.replacen("disk-full", "all-right", 1)).expect("written");
    let run = audit("verify", dir.path(), &["--json"]);
    assert_eq!(run.status.code(), Some(1));
    let verdict: Value = serde_json::from_str(&printed(&run).0).expect("JSON");
    assert_eq!(verdict["records"], 2);
    assert_eq!(verdict["broken"]["line"], 3);
    assert_eq!(verdict["broken"]["code"], "line-changed");

    let run = audit("show", dir.path(), &[]);
    let (told, errors) = printed(&run);
    assert_eq!(run.status.code(), Some(1));
    assert!(errors.contains("[line-changed] line 3"), "{errors}");
    assert_eq!(
        told.lines().count(),
        3,
        "what is a record by itself is shown"
    );
}

#[test]
fn an_end_that_a_crash_left_is_whole_and_said() {
    let dir = node();
    let path = dir.path().join("audit.jsonl");
    let mut text = fs::read(&path).expect("log");
    text.extend(b"{\"seq\":5,");
    fs::write(&path, text).expect("written");
    let run = audit("verify", dir.path(), &[]);
    assert_eq!(run.status.code(), Some(0));
    assert!(contains_text(
        &run,
        "0 of them unsigned and 9 bytes unfinished"
    ));
}

fn contains_text(run: &Run, text: &str) -> bool {
    printed(run).0.contains(text)
}

#[test]
fn a_log_that_is_not_there_is_an_error_of_the_environment_and_nothing_is_made() {
    let dir = tempdir().expect("folder");
    for verb in ["verify", "show"] {
        let run = audit(verb, &dir.path().join("none"), &[]);
        assert_eq!(run.status.code(), Some(3), "{verb}");
        assert!(printed(&run).1.contains("[audit-io]"), "{verb}");
    }
    assert_eq!(files(dir.path()).len(), 0);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn events_are_shown_by_study_kind_and_time_and_that_is_recorded() {
    let dir = node();
    let lines = |more: &[&str]| {
        let run = audit("show", dir.path(), more);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        printed(&run)
            .0
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let of_study = lines(&["--study", UID]);
    assert_eq!(of_study.len(), 1);
    assert!(
        of_study[0].contains("try 1 failed: disk-full (study 1.2.840.1 version 1)"),
        "{of_study:?}"
    );
    let rejected = lines(&["--kind", "association-rejected"]);
    assert!(
        rejected[0].contains("EVIL\u{fffd}[2J at 192.0.2.9 was rejected"),
        "{rejected:?}"
    );
    assert_eq!(
        lines(&["--kind", "job-failed", "--kind", "started"]).len(),
        3
    );
    assert!(lines(&["--until", "2026-01-01"]).is_empty());
    assert_eq!(
        lines(&["--kind", "job-failed", "--since", "2026-01-01"]).len(),
        2
    );
    let used = lines(&["--kind", "log-used"]);
    assert_eq!(used.len(), 5);
    assert!(used[0].contains("auditor read this log: show"), "{used:?}");
}

#[test]
fn an_export_holds_messages_or_the_lines_themselves_and_replaces_nothing() {
    let dir = node();
    let out = dir.path().join("audit.xml");
    let path = out.to_str().expect("UTF-8");
    let run = audit("export", dir.path(), &["--out", path]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let xml = fs::read_to_string(&out).expect("exported");
    assert_eq!(xml.lines().count(), 4);
    assert!(
        xml.lines()
            .all(|line| line.contains("AuditSourceID=\"NODE_7\"")),
        "{xml}"
    );
    let again = audit("export", dir.path(), &["--out", path]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&out).expect("exported"), xml);

    let lines = dir.path().join("audit.lines");
    let path = lines.to_str().expect("UTF-8");
    let run = audit("export", dir.path(), &["--format", "jsonl", "--out", path]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let log = fs::read_to_string(dir.path().join("audit.jsonl")).expect("log");
    assert!(log.starts_with(&fs::read_to_string(&lines).expect("exported")));
}

/// A node that has the phantom's instances, and the log of how they were computed into `results`.
fn computed(results: &Path) -> (TempDir, String) {
    process(&[study()], results).assert().success();
    let uid = only_whole_study(results);
    let dir = tempdir().expect("folder");
    let instances = dir.path().join("instances").join(&uid);
    fs::create_dir_all(&instances).expect("folder");
    let input = |file: &std::path::PathBuf| {
        let object = dicom_object::open_file(file).expect("DICOM");
        let sop_instance_uid = object.meta().media_storage_sop_instance_uid().to_owned();
        let bytes = fs::read(file).expect("readable");
        fs::write(instances.join(format!("{sop_instance_uid}.dcm")), &bytes).expect("written");
        let sha256 = Output::of("", &bytes).sha256;
        Input {
            sop_instance_uid,
            sha256,
        }
    };
    let inputs = files(study()).iter().map(input).collect();
    let log = Log::open(dir.path()).expect("opened");
    let started = Event::JobStarted {
        study: study_of(&uid),
        attempt: 1,
        rule: None,
        models: Vec::new(),
        inputs,
    };
    log.record_all(&[started, done(&results.join(&uid), &uid)])
        .expect("recorded");
    (dir, uid)
}

/// What a node records of the results in `folder`.
fn done(folder: &Path, uid: &str) -> Event {
    let findings = fs::read(folder.join("findings.json")).expect("findings");
    let findings: Value = serde_json::from_slice(&findings).expect("JSON");
    let provenance = &findings["provenance"];
    let mut config = Config::default();
    config.device.kind = DeviceKind::Cpu;
    Event::JobDone {
        study: study_of(uid),
        run_id: provenance["run_id"].as_str().expect("run_id").into(),
        device: "CPU".into(),
        models: Vec::new(),
        config: deciding(&config),
        parameters: provenance["parameters"].clone(),
        supersedes: None,
        warnings: Vec::new(),
        outputs: Output::of_folder(folder).expect("readable"),
        duration_ms: 1,
    }
}

#[test]
fn a_decision_that_is_run_again_comes_out_equal_to_the_bit_or_is_told() {
    let results = tempdir().expect("folder");
    let (dir, uid) = computed(results.path());
    let replay = || audit("replay", dir.path(), &[&uid]);
    let run = replay();
    let (told, errors) = printed(&run);
    assert_eq!(
        (run.status.code(), errors.as_str()),
        (Some(0), ""),
        "{told}"
    );
    assert!(told.contains("3 file(s) are equal to the bit"), "{told}");
    for secret in SECRETS {
        let log = fs::read_to_string(dir.path().join("audit.jsonl")).expect("log");
        assert!(!log.contains(secret) && !told.contains(secret), "{secret}");
    }

    // The log of a run that had another SR.
    fs::write(results.path().join(&uid).join("sr.dcm"), "another").expect("written");
    let log = Log::open(dir.path()).expect("opened");
    let other = done(&results.path().join(&uid), &uid);
    log.record(&other).expect("recorded");
    let run = replay();
    assert!(contains_text(&run, "these differ: sr.dcm"), "{run:?}");
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn a_decision_is_not_run_on_other_instances_than_those_of_the_log() {
    let results = tempdir().expect("folder");
    let (dir, uid) = computed(results.path());
    let file = files(&dir.path().join("instances"))[0].clone();
    fs::write(&file, "other").expect("written");
    let run = audit("replay", dir.path(), &[&uid]);
    assert!(
        printed(&run)
            .1
            .contains("was changed since it was computed on"),
        "{run:?}"
    );
    fs::remove_file(&file).expect("removed");
    let run = audit("replay", dir.path(), &[&uid]);
    assert!(
        printed(&run).1.contains("is not stored any more"),
        "{run:?}"
    );
    let run = audit("replay", dir.path(), &["1.2.3"]);
    assert!(
        printed(&run).1.contains("the log has no such decision"),
        "{run:?}"
    );
}

#[test]
fn a_time_that_is_none_is_refused() {
    let run = hilum().args(["audit", "show", "--since", "soon"]).assert();
    run.code(2).stderr(contains("a date is needed"));
}
