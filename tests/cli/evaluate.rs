//! `hilum evaluate` from outside.

use super::{hilum, names, printed};
use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

fn evaluate(out: &Path) -> Command {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/evaluate");
    let mut command = hilum();
    command
        .arg("evaluate")
        .arg("--truth")
        .arg(testdata.join("truth"));
    command.arg("--results").arg(testdata.join("results"));
    command.arg("--out").arg(out).args(["--bootstrap", "50"]);
    command
}

#[test]
fn an_evaluation_is_written_whole_and_told_on_stdout() {
    let folder = tempdir().expect("folder");
    let out = folder.path().join("evaluation");
    // One series of the truth was not processed.
    let run = evaluate(&out).assert().code(1).stderr("");
    run.stdout(contains("nodules found at 0.5").and(contains("not processed")));
    let expected = [
        "candidates.csv",
        "froc.csv",
        "froc.svg",
        "lesions.csv",
        "reliability.svg",
        "size.svg",
        "summary.json",
        "summary.md",
    ];
    assert_eq!(names(&out), expected);
    assert_eq!(names(folder.path()), ["evaluation"]);
    let again = evaluate(&out).assert().code(2).stdout("");
    again.stderr(contains("[output-exists]").and(contains("--overwrite")));
    let run = evaluate(&out)
        .args(["--overwrite", "--json"])
        .assert()
        .code(1);
    let json: Value = serde_json::from_str(&printed(run.get_output()).0).expect("JSON");
    let written = fs::read(out.join("summary.json")).expect("summary.json");
    assert_eq!(
        json,
        serde_json::from_slice::<Value>(&written).expect("JSON")
    );
    fs::write(out.join("mine"), "mine").expect("written");
    let run = evaluate(&out).arg("--overwrite").assert().code(2);
    run.stderr(contains("[output-not-ours]"));
}

#[test]
fn wrong_options_and_broken_truths_are_refused_before_anything_is_written() {
    let folder = tempdir().expect("folder");
    let out = folder.path().join("out");
    for (options, said) in [
        (["--threshold", "1.5"], "a number from 0 to 1"),
        (["--readers", "many"], "--readers"),
        (["--series", "list.csv"], "annotations.csv"),
    ] {
        let run = evaluate(&out).args(options).assert().code(2);
        run.stdout("").stderr(contains(said));
    }
    let annotations = folder.path().join("annotations.csv");
    fs::write(&annotations, "seriesuid,x,y\n").expect("written");
    let mut command = hilum();
    command.arg("evaluate").arg("--truth").arg(&annotations);
    command
        .arg("--results")
        .arg(folder.path())
        .arg("--out")
        .arg(&out);
    command
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("[truth-columns]"));
    assert!(!out.exists());
}
