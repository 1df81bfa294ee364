//! How the network runs: forced instructions and steps, and what the findings say about it.

use super::{findings, names, only_whole_study, process, study};
use predicates::str::contains;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Findings of the study, processed with these options.
fn processed(options: &[&str]) -> Value {
    let out = tempdir().expect("folder");
    process(&[study()], out.path())
        .args(options)
        .assert()
        .code(0)
        .stderr("");
    findings(out.path(), &only_whole_study(out.path()))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number: {value}"))
}

#[test]
fn plain_rust_finds_the_lesions_that_the_fastest_instructions_find() {
    let [portable, auto] = ["portable", "auto"].map(|set| processed(&["--instructions", set]));
    assert_eq!(portable["provenance"]["driver"], "engine portable");
    let lesions = [&portable, &auto].map(|findings| findings["lesions"].as_array().expect("list"));
    assert!(!lesions[0].is_empty());
    assert_eq!(lesions[0].len(), lesions[1].len());
    for (portable, auto) in lesions[0].iter().zip(lesions[1]) {
        for key in ["confidence", "mean_hu"] {
            let difference = number(&portable[key]) - number(&auto[key]);
            // Sums of another order.
            assert!(difference.abs() < 1e-3, "{key}: {portable} {auto}");
        }
    }
}

#[test]
fn other_instructions_are_another_run() {
    let [portable, auto] = ["portable", "auto"].map(|set| processed(&["--instructions", set]));
    let runs = [&portable, &auto].map(|findings| &findings["provenance"]["run_id"]);
    let drivers = [&portable, &auto].map(|findings| &findings["provenance"]["driver"]);
    assert_eq!(runs[0] == runs[1], drivers[0] == drivers[1], "{drivers:?}");
}

#[test]
fn instructions_of_another_cpu_are_refused_naming_those_that_there_are() {
    let foreign = if cfg!(target_arch = "x86_64") {
        "neon"
    } else {
        "avx2"
    };
    let out = tempdir().expect("folder");
    let config = out.path().join("config.toml");
    fs::write(&config, format!("[device]\ninstructions = \"{foreign}\"\n")).expect("file");
    let results = out.path().join("results");
    let refused = |options: &[&str]| {
        let run = process(&[study()], &results).args(options).assert();
        run.code(3)
            .stdout("")
            .stderr(contains("[instructions-missing]"))
            .stderr(contains("portable"));
    };
    refused(&["--instructions", foreign]);
    refused(&["--config", text(&config)]);
    assert!(!results.exists());
}

#[test]
fn a_step_is_recorded_and_makes_another_run() {
    let [own, half] = [&[][..], &["--step", "0.5"]].map(processed);
    let step = |findings: &Value| {
        findings["provenance"]["parameters"]["step_fraction"]["lung-nodule-lite"].clone()
    };
    assert_eq!([step(&own), step(&half)], [json!(0.66), json!(0.5)]);
    assert_ne!(own["provenance"]["run_id"], half["provenance"]["run_id"]);
}

#[test]
fn another_threshold_in_model_toml_makes_another_run() {
    let folder = tempdir().expect("folder");
    let [own, changed] = [("own", "0.3"), ("changed", "0.31")].map(|(place, threshold)| {
        let model = folder.path().join(place).join("lung-nodule-lite");
        fs::create_dir_all(&model).expect("folder");
        for entry in fs::read_dir("models/lung-nodule-lite").expect("the model") {
            let file = entry.expect("file").path();
            fs::copy(&file, model.join(file.file_name().expect("name"))).expect("copied");
        }
        let manifest = model.join("model.toml");
        let toml = fs::read_to_string(&manifest).expect("text");
        let set = format!("probability_threshold = {threshold}");
        let lines = toml
            .lines()
            .map(|line| match line.starts_with("probability_threshold") {
                true => &set,
                false => line,
            });
        fs::write(&manifest, lines.collect::<Vec<_>>().join("\n")).expect("file");
        processed(&["--model", text(&model)])
    });
    assert_ne!(own["provenance"]["run_id"], changed["provenance"]["run_id"]);
}

#[test]
fn the_step_of_the_command_line_wins_over_that_of_the_configuration() {
    let folder = tempdir().expect("folder");
    let config = folder.path().join("config.toml");
    fs::write(&config, "[inference]\nstep = 1.0\n").expect("file");
    let step = |options: &[&str]| {
        let findings = processed(&[&["--config", text(&config)], options].concat());
        number(&findings["provenance"]["parameters"]["step_fraction"]["lung-nodule-lite"])
    };
    assert_eq!(
        [step(&[]), step(&["--step", "0.75"])].map(f64::to_bits),
        [1.0_f64, 0.75].map(f64::to_bits)
    );
}

#[test]
fn a_step_beyond_a_patch_is_refused_before_anything_is_written() {
    let out = tempdir().expect("folder");
    for step in ["1.5", "-0.5", "0.01"] {
        let mut command = process(&[study()], out.path());
        command
            .args(["--step", step])
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("inference.step"));
    }
    assert!(names(out.path()).is_empty());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
