//! A node from outside: studies come by DICOM, results go to a folder, whatever ends the node in between.

use super::{SECRETS, hilum, names, study};
use dicom_dictionary_std::tags;
use dicom_object::open_file;
use hilum::config::PeerConfig;
use hilum::node::scu::Scu;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

/// Longest that anything may take here; a slow machine computes a small study in seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// A node that is running.
pub(super) struct Node {
    child: Child,
    address: SocketAddr,
    /// Reads stderr to its end.
    log: JoinHandle<String>,
}

/// A folder with a configuration, and the destination `out` in it.
pub(super) fn folder() -> TempDir {
    let dir = tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(dir.path().join("out")).expect("the destination");
    let config = format!(
        r#"
        [device]
        kind = "cpu"
        [models]
        enabled = ["lung-nodule-lite"]
        [input]
        search_without_lungs = true
        [node]
        dir = {:?}
        [node.dicom]
        bind = "127.0.0.1:0"
        [node.http]
        enabled = false
        [node.completion]
        idle_s = 1
        [node.storage]
        min_free_bytes = 1
        [[node.peers]]
        name = "scanner"
        ae_title = "CT1"
        host = "127.0.0.1"
        may_store = true
        [[node.destinations]]
        name = "archive"
        kind = "folder"
        dir = {:?}
        "#,
        at("node"),
        at("out")
    );
    fs::write(dir.path().join("hilum.toml"), config).expect("written");
    dir
}

pub(super) fn start(dir: &Path) -> Node {
    start_logging(dir, "error,hilum=info")
}

/// A node that logs what `HILUM_LOG` may say.
pub(super) fn start_logging(dir: &Path, levels: &str) -> Node {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilum"));
    command
        .args(["serve", "--config"])
        .arg(dir.join("hilum.toml"));
    command.env("HILUM_LOG", levels).env("NO_COLOR", "1");
    let mut child = command.stderr(Stdio::piped()).spawn().expect("started");
    let mut log = BufReader::new(child.stderr.take().expect("stderr"));
    let mut first = String::new();
    log.read_line(&mut first).expect("a line");
    let address = first.trim().rsplit(' ').next().expect("an address");
    let address = address
        .parse()
        .unwrap_or_else(|_| panic!("no address: {first}"));
    let log = thread::spawn(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).expect("text");
        rest
    });
    Node {
        child,
        address,
        log,
    }
}

impl Node {
    /// Sends files as a scanner does; each has to be taken.
    pub(super) fn send(&self, files: &[PathBuf]) {
        let peer = PeerConfig {
            name: "node".into(),
            ae_title: "HILUM".into(),
            host: "127.0.0.1".into(),
            port: Some(self.address.port()),
            may_store: false,
            tls: None,
        };
        let sent = Scu::new("CT1").store(&peer, files).expect("an association");
        for sent in sent {
            assert_eq!(
                sent.outcome.expect("an answer"),
                0,
                "{}",
                sent.path.display()
            );
        }
    }

    /// Asks the node to end; gives its log.
    pub(super) fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        assert!(asked.expect("kill").success());
        let status = self.child.wait().expect("ended");
        assert_eq!(status.code(), Some(0));
        self.log.join().expect("read")
    }

    /// Ends the node as a power cut does.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.log.join().expect("read");
    }
}

/// The slices of the study.
pub(super) fn slices() -> Vec<PathBuf> {
    names(study())
        .iter()
        .map(|name| study().join(name))
        .collect()
}

/// Waits for `findings.json` of a version of the only study below `out`.
pub(super) fn delivered(dir: &Path, version: u32) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let studies = names(&dir.join("out"));
        let path = studies.first().map(|uid| dir.join("out").join(uid));
        let path = path.map(|path| path.join(version.to_string()).join("findings.json"));
        if let Some(Ok(bytes)) = path.map(fs::read) {
            return serde_json::from_slice(&bytes).expect("JSON");
        }
        assert!(Instant::now() < end, "version {version} was not delivered");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Kinds of the events in the decision log, in order, but for the instances.
fn decisions(dir: &Path) -> Vec<String> {
    let mut verify = hilum();
    verify
        .args(["audit", "verify", "--dir"])
        .arg(dir.join("node"));
    verify.assert().code(0);
    let kind = |event: &Value| event["kind"].as_str().expect("a kind").to_owned();
    let kinds = events(dir);
    let kinds = kinds.iter().map(kind);
    kinds.filter(|kind| kind != "instance-received").collect()
}

/// The events in the decision log, in order.
fn events(dir: &Path) -> Vec<Value> {
    let log = fs::read_to_string(dir.join("node/audit.jsonl")).expect("a log");
    let records = log.lines().map(serde_json::from_str::<Value>);
    let events = records.map(|record| record.expect("JSON")["event"].take());
    events.collect()
}

#[test]
fn a_study_that_was_sent_is_run_delivered_and_logged_without_its_patient() {
    let dir = folder();
    let node = start(dir.path());
    node.send(&slices());
    let findings = delivered(dir.path(), 1);
    assert_eq!(findings["series"][0]["status"], "done");
    let log = node.stop();
    assert!(log.contains("A study is complete"), "{log}");
    let uid = findings["study_instance_uid"].as_str().expect("a UID");
    assert!(
        SECRETS
            .iter()
            .chain([&uid])
            .all(|secret| !log.contains(secret)),
        "{log}"
    );
    let wanted = [
        "started",
        "association-accepted",
        "study-complete",
        "job-started",
        "job-done",
        "delivery-started",
        "delivered",
        "stopped",
    ];
    assert_eq!(decisions(dir.path()), wanted);
    let events = events(dir.path()).into_iter();
    let of_study = events.filter(|event| wanted[2..7].iter().any(|kind| event["kind"] == **kind));
    let patients: Vec<Value> = of_study.map(|mut event| event["patient"].take()).collect();
    let is_hash = |patient: &Value| patient.as_str().is_some_and(|hash| hash.len() == 16);
    assert!(
        patients.iter().all(|p| is_hash(p) && *p == patients[0]),
        "{patients:?}"
    );
    let mut replay = hilum();
    replay.args(["audit", "replay", uid, "--config"]);
    replay.arg(dir.path().join("hilum.toml")).assert().code(0);
}

#[test]
fn a_node_that_was_killed_after_it_took_a_study_delivers_it_once_it_runs_again() {
    let dir = folder();
    let node = start(dir.path());
    node.send(&slices());
    node.kill();
    let node = start(dir.path());
    delivered(dir.path(), 1);
    node.stop();
    let decisions = decisions(dir.path());
    let count = |kind: &str| decisions.iter().filter(|found| *found == kind).count();
    assert_eq!(
        [count("job-done"), count("delivered")],
        [1, 1],
        "{decisions:?}"
    );
    assert_eq!(count("started"), 2);
}

#[test]
fn late_slices_make_a_version_that_supersedes_the_earlier_one() {
    let dir = folder();
    let node = start(dir.path());
    let slices = slices();
    let (early, late) = slices.split_at(slices.len() - 4);
    node.send(early);
    let first = delivered(dir.path(), 1);
    node.send(late);
    let second = delivered(dir.path(), 2);
    node.stop();
    let uid = first["study_instance_uid"].as_str().expect("a UID");
    let sr = |version: &str| {
        dir.path()
            .join("out")
            .join(uid)
            .join(version)
            .join("sr.dcm")
    };
    let [first_sr, second_sr] = ["1", "2"].map(|version| open_file(sr(version)).expect("an SR"));
    let names_first = second_sr
        .element(tags::PREDECESSOR_DOCUMENTS_SEQUENCE)
        .ok()
        .and_then(|study| {
            study
                .items()?
                .first()?
                .get(tags::REFERENCED_SERIES_SEQUENCE)?
                .items()
        })
        .and_then(|series| series.first()?.get(tags::REFERENCED_SOP_SEQUENCE)?.items())
        .and_then(|sop| {
            sop.first()?
                .get(tags::REFERENCED_SOP_INSTANCE_UID)?
                .to_str()
                .ok()
        })
        .is_some_and(|uid| *uid == *first_sr.meta().media_storage_sop_instance_uid());
    assert!(names_first);
    assert_ne!(
        first["provenance"]["run_id"],
        second["provenance"]["run_id"]
    );
    let decisions = decisions(dir.path());
    assert!(
        decisions.contains(&"study-reopened".to_owned()),
        "{decisions:?}"
    );
}

#[test]
fn a_doctor_names_what_would_keep_a_node_from_working() {
    let dir = folder();
    let config = dir.path().join("hilum.toml");
    let doctor = |code| {
        let mut doctor = hilum();
        doctor.args(["doctor", "--json", "--config"]).arg(&config);
        let out = doctor.assert().code(code).get_output().stdout.clone();
        serde_json::from_slice::<Value>(&out).expect("JSON")
    };
    let failed = |found: &Value| {
        let checks = found["checks"].as_array().expect("checks").clone();
        let failed = checks
            .into_iter()
            .filter(|check| check["finding"] == "failed");
        failed
            .map(|check| check["what"].as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(failed(&doctor(0)), [""; 0]);
    fs::remove_dir(dir.path().join("out")).expect("removed");
    let text = fs::read_to_string(&config)
        .expect("read")
        .replace("lung-nodule-lite", "nothing");
    let rule = "[[node.rules]]\nname = \"chest\"\nmodels = [\"no-such-model\"]\n";
    fs::write(&config, format!("{text}\n{rule}")).expect("written");
    let wanted = [
        "device and models",
        "rule chest, models",
        "destination archive",
    ];
    assert_eq!(failed(&doctor(1)), wanted);
}

#[test]
fn a_purged_study_is_gone_but_for_its_line_in_the_decision_log() {
    let dir = folder();
    let node = start(dir.path());
    node.send(&slices());
    let findings = delivered(dir.path(), 1);
    node.stop();
    let uid = findings["study_instance_uid"].as_str().expect("a UID");
    let purge = || {
        let mut purge = hilum();
        purge
            .args(["purge", uid, "--config"])
            .arg(dir.path().join("hilum.toml"));
        purge.assert()
    };
    purge().code(0);
    for folder in ["instances", "results"] {
        assert_eq!(
            names(&dir.path().join("node").join(folder)),
            [""; 0],
            "{folder}"
        );
    }
    assert_eq!(
        decisions(dir.path()).last().map(String::as_str),
        Some("purged")
    );
    purge().code(2);
}

#[test]
fn a_study_that_cannot_be_run_is_a_dead_letter_until_somebody_asks_for_it_again() {
    let dir = folder();
    let config = dir.path().join("hilum.toml");
    let sound = fs::read_to_string(&config).expect("read");
    let rule = "[[node.rules]]\nname = \"chest\"\nmodels = [\"nothing\"]\n";
    fs::write(&config, format!("{sound}\n{rule}")).expect("written");
    let node = start(dir.path());
    node.send(&slices());
    let end = Instant::now() + PATIENCE;
    let log = dir.path().join("node/audit.jsonl");
    while !fs::read_to_string(&log)
        .expect("a log")
        .contains("dead-letter")
    {
        assert!(Instant::now() < end, "it is no dead letter");
        thread::sleep(Duration::from_millis(50));
    }
    node.stop();
    let retry = |study: &[&str]| {
        let mut retry = hilum();
        retry.arg("retry").args(study).arg("--config").arg(&config);
        let output = retry.assert().code(0).get_output().stdout.clone();
        String::from_utf8(output).expect("text")
    };
    let listed = retry(&[]);
    assert!(listed.contains("[model-unknown]"), "{listed}");
    let uid = listed.split(' ').next().expect("a UID");
    let model = dir.path().join("models/nothing");
    fs::create_dir_all(&model).expect("a folder");
    for entry in fs::read_dir("models/lung-nodule-lite").expect("the model") {
        let entry = entry.expect("entry").path();
        fs::copy(&entry, model.join(entry.file_name().expect("a name"))).expect("copied");
    }
    let models = dir.path().join("models").display().to_string();
    let enabled = "enabled = [\"lung-nodule-lite\"]";
    let mended = sound.replace(enabled, &format!("dir = {models:?}\n{enabled}"));
    fs::write(&config, format!("{mended}\n{rule}")).expect("written");
    let manifest = model.join("model.toml");
    let text = fs::read_to_string(&manifest).expect("read");
    let text = text.replace("name = \"lung-nodule-lite\"", "name = \"nothing\"");
    fs::write(&manifest, text).expect("written");
    retry(&[uid]);
    let node = start(dir.path());
    delivered(dir.path(), 1);
    node.stop();
}
