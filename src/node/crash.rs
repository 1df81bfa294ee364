//! Tests that kill a process at any instant of receiving, closing, running and finishing, and look at what is left.

use super::testing::{config, file_bytes, image, key, send};
use super::{Completion, Ended, Enqueued, Failure, Finished, Hours, Intake, Queue, Store, Work};
use crate::config::{CompletionConfig, RetryConfig};
use chrono::Utc;
use crossbeam_channel::unbounded;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Folder of the node that a child runs, and the number of its first study.
const DIR: &str = "HILUM_TEST_CRASH_DIR";
const FIRST: &str = "HILUM_TEST_CRASH_FIRST";
/// More kills than those of every test run.
const KILLS: &str = "HILUM_TEST_CRASH_KILLS";

/// So often a process is killed at most until enough was done.
const MOST_KILLS: u32 = 300;

const IMAGES: u32 = 4;
/// Each of so many studies has data at fault.
const AT_FAULT: u32 = 5;
/// A child that nobody kills ends by itself.
const LONGEST: Duration = Duration::from_secs(60);

fn study(number: u32) -> String {
    format!("1.2.{number}")
}

fn number_of(study: &str) -> u32 {
    study["1.2.".len()..]
        .parse()
        .expect("a study of these tests")
}

fn retry() -> RetryConfig {
    RetryConfig {
        first_wait_s: 0,
        ..RetryConfig::default()
    }
}

fn tell(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{line}").expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// Closes what is open, hands it to the queue, and runs it; each version is told as soon as it was done.
fn work(store: &Store, completion: &mut Completion, mut on_done: impl FnMut(&str, u32)) {
    let now_s = Utc::now().timestamp();
    for complete in completion.take_complete(Instant::now()) {
        let study = &complete.study_instance_uid;
        store
            .close(study, complete.instances, now_s)
            .expect("closed");
    }
    for (study_instance_uid, version) in store.complete().expect("read") {
        let work = Work {
            study_instance_uid,
            version,
            ..Work::default()
        };
        let enqueued = store.enqueue(&work, now_s).expect("enqueued");
        assert_ne!(enqueued, Enqueued::DeadLetter);
    }
    while let Some(job) = store
        .claim(&Hours::default().agenda(&Utc::now()))
        .expect("claimed")
    {
        let study = job.work.study_instance_uid.clone();
        let inputs = store.inputs(&study, job.work.version).expect("read");
        assert!(inputs.iter().all(|input| input.path.exists()), "{study}");
        let ended = if number_of(&study).is_multiple_of(AT_FAULT) {
            let failure = Failure {
                code: "several-patients".into(),
                message: "the data are at fault".into(),
                permanent: true,
            };
            store.fail(&job, &failure, now_s)
        } else {
            let folder = store.results_dir(&study, job.work.version);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("findings.json"), "{}").expect("written");
            store.finish(&job, &Finished::default(), now_s)
        };
        if ended.expect("recorded") == Ended::Done {
            on_done(&study, job.work.version);
        }
    }
}

/// A node that receives studies without end; run by the tests below.
#[test]
#[ignore = "a part of the tests that kill it"]
fn child() {
    let dir = PathBuf::from(env::var(DIR).expect("run by a parent"));
    let first: u32 = env::var(FIRST)
        .expect("run by a parent")
        .parse()
        .expect("a number");
    let store = Store::open(&dir, &retry()).expect("opened");
    let (sender, arrivals) = unbounded();
    let arrived = move |arrivals: &[super::Arrival]| {
        let told = arrivals.iter().map(|arrival| arrival.arrived.clone());
        told.for_each(|arrived| drop(sender.send(arrived)));
        true
    };
    let (intake, _) = Intake::open(&store, key(&dir), &config(), arrived).expect("opened");
    store.recover(0).expect("recovered");
    let at_once = CompletionConfig {
        idle_s: 0,
        ..CompletionConfig::default()
    };
    let started = Instant::now();
    thread::scope(|scope| {
        for lane in 0..3 {
            let intake = &intake;
            scope.spawn(move || {
                let mut numbers = (first + lane..).step_by(3);
                while started.elapsed() < LONGEST {
                    let number = numbers.next().expect("numbers do not end");
                    for image_number in 1..=IMAGES {
                        send(intake, image(&study(number), image_number)).expect("kept");
                        tell(&format!("ack {number} {image_number}"));
                    }
                }
            });
        }
        let receiving = store.receiving().expect("read");
        let mut completion = Completion::new(&at_once, receiving, started);
        while started.elapsed() < LONGEST {
            if let Ok(arrived) = arrivals.recv_timeout(Duration::from_millis(1)) {
                completion.arrived(&arrived, Instant::now());
            }
            work(&store, &mut completion, |study, version| {
                tell(&format!("done {} {version}", number_of(study)));
            });
        }
    });
}

/// Runs a child until it has told so many lines and a moment more, kills it, and gives all that it told.
fn run_and_kill(dir: &Path, first: u32, lines: usize, moment: Duration) -> Vec<String> {
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "node::crash::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let told = out.lines().map_while(Result::ok);
    let mut told = told.filter(|line| line.starts_with("ack ") || line.starts_with("done "));
    let mut heard: Vec<String> = told.by_ref().take(lines).collect();
    thread::sleep(moment);
    child.kill().expect("it ran");
    heard.extend(told);
    let status = child.wait().expect("it ended");
    assert_eq!(status.code(), None, "it ended before it was killed");
    heard
}

#[test]
fn a_process_killed_at_any_instant_loses_nothing_and_does_nothing_twice() {
    let kills = env::var(KILLS).map_or(20, |kills| kills.parse().expect("a number"));
    let seed = 7;
    tell(&format!("seed {seed}, {kills} kills"));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut told: Vec<String> = Vec::new();
    // On a slow machine many kills come before anything is done.
    let is_enough =
        |told: &[String]| told.iter().filter(|line| line.starts_with("done ")).count() > 10;
    let mut run = 0;
    while run < kills || !is_enough(&told) && run < MOST_KILLS {
        run += 1;
        let lines = random.random_range(0..40);
        let moment = Duration::from_micros(random.random_range(0..5000));
        told.extend(run_and_kill(dir.path(), run * 10_000, lines, moment));
    }
    assert!(is_enough(&told), "too little was done before a kill");
    let acknowledged = told.iter().filter_map(|line| line.strip_prefix("ack "));
    let done: Vec<&str> = told
        .iter()
        .filter_map(|line| line.strip_prefix("done "))
        .collect();
    let once: BTreeSet<&&str> = done.iter().collect();
    assert_eq!(once.len(), done.len(), "a version was done twice");

    let store = Store::open(dir.path(), &retry()).unwrap();
    let (intake, recovery) = Intake::open(&store, key(dir.path()), &config(), |_| true).unwrap();
    assert_eq!(recovery.missing, [""; 0]);
    store.recover(0).unwrap();
    for line in acknowledged {
        let (study_number, image_number) = line.split_once(' ').unwrap();
        let study = study(study_number.parse().unwrap());
        let path = store.instance_path(&study, &format!("{study}.1.{image_number}"));
        let wanted = file_bytes(image(&study, image_number.parse().unwrap()));
        assert_eq!(fs::read(path).unwrap(), wanted, "{line}");
        assert!(!send(&intake, image(&study, image_number.parse().unwrap())).unwrap());
    }
    finish_all(&store, &done);
}

/// Runs what is left; then every study has a result of its last version or a dead letter.
fn finish_all(store: &Store, done: &[&str]) {
    let receiving = store.receiving().unwrap();
    let at_once = CompletionConfig {
        idle_s: 0,
        ..CompletionConfig::default()
    };
    let mut completion = Completion::new(&at_once, receiving, Instant::now());
    work(store, &mut completion, |study, version| {
        let again = format!("{} {version}", number_of(study));
        assert!(!done.contains(&again.as_str()), "{again} was done twice");
    });
    let dead = store.dead_letters().unwrap();
    let depth = store.depth().unwrap();
    assert_eq!((depth.waiting, depth.running), (0, 0));
    for study in store.studies().unwrap() {
        let (_, version) = store.study(&study).unwrap().unwrap();
        let is_dead = dead.iter().any(|letter| letter.study_instance_uid == study);
        let result = store.results_dir(&study, version).join("findings.json");
        assert!(
            is_dead || result.exists(),
            "{study} has neither result nor reason"
        );
    }
}
