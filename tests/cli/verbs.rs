//! Each verb on good input and on wrong options: exit code, stdout, stderr.

use super::{files, findings, hilum, only_whole_study, printed, process, study};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use tempfile::tempdir;

#[test]
fn a_good_study_is_written_told_on_stdout_and_nothing_is_said_on_stderr() {
    let out = tempdir().expect("folder");
    let command = process(&[study()], out.path()).assert().code(0).stderr("");
    let uid = only_whole_study(out.path());
    command.stdout(contains(uid.as_str()).and(contains("lesion(s)")));
    let findings = findings(out.path(), &uid);
    assert_ne!(findings["lesions"], serde_json::json!([]));
    assert_eq!(findings["series"][0]["status"], "done");
}

#[test]
fn results_as_json_name_every_study_and_verbose_lines_stay_on_stderr() {
    let out = tempdir().expect("folder");
    let run = process(&[study()], out.path())
        .args(["--json", "-v"])
        .assert()
        .code(0);
    let (stdout, stderr) = printed(run.get_output());
    let json: Value = serde_json::from_str(&stdout).expect("JSON");
    let uid = only_whole_study(out.path());
    assert_eq!(json["studies"][0]["study_instance_uid"], *uid);
    assert_eq!(json["studies"][0]["outcome"], "written");
    assert_eq!(
        json["studies"][0]["lesions"],
        findings(out.path(), &uid)["lesions"]
            .as_array()
            .expect("list")
            .len()
    );
    assert!(stderr.contains("Ran a series."), "{stderr}");
}

#[test]
fn no_escape_sequence_is_written_to_pipes() {
    let out = tempdir().expect("folder");
    let run = process(&[study()], out.path()).arg("-vv").assert().code(0);
    let (stdout, stderr) = printed(run.get_output());
    assert!(
        !stderr.is_empty() && !stderr.contains('\x1b') && !stderr.contains('\r'),
        "{stderr}"
    );
    assert!(!stdout.contains('\x1b'), "{stdout}");
}

/// Runs on a pseudo-terminal, by `script` of util-linux, and returns all that the terminal got.
#[cfg(target_os = "linux")]
fn on_a_terminal(no_color: bool) -> std::io::Result<String> {
    let out = tempdir().expect("folder");
    let mut script = assert_cmd::Command::new("script");
    let line = format!(
        "'{}' process '{}' --out '{}' --device cpu -v",
        env!("CARGO_BIN_EXE_hilum"),
        study().display(),
        out.path().display()
    );
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script
        .env("TERM", "xterm-256color")
        .env_remove("HILUM_LOG")
        .env_remove("NO_COLOR");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let output = script.output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(printed(&output).0)
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_has_progress_and_colours_unless_no_color_is_set() {
    let colour = "\x1b[3";
    let coloured = match on_a_terminal(false) {
        Ok(coloured) => coloured,
        Err(error) => return println!("SKIPPED, NO TERMINAL WAS TRIED: script: {error}"),
    };
    assert!(coloured.contains("patch 1 of 1"), "{coloured:?}");
    assert!(coloured.contains(colour), "{coloured:?}");
    let plain = on_a_terminal(true).expect("script is there");
    assert!(
        plain.contains("Ran a series.") && !plain.contains(colour),
        "{plain:?}"
    );
}

#[test]
fn wrong_options_end_with_code_2_before_anything_is_written() {
    let folder = tempdir().expect("folder");
    let out = folder.path().join("out");
    let config = folder.path().join("config.toml");
    fs::write(&config, "[device]\nspeed = 9\n").expect("file");
    let config = config.to_str().expect("UTF-8");
    hilum().assert().code(2).stderr(contains("Usage"));
    hilum()
        .arg("process")
        .assert()
        .code(2)
        .stderr(contains("--out"));
    for (options, said) in [
        (
            ["--min-confidence", "1.5"],
            "candidates.min_confidence is 1.5",
        ),
        (["--device", "tpu"], "possible values: auto, gpu, cpu"),
        (["--config", config], "speed"),
        (
            ["--config", "/nonexistent/config.toml"],
            "/nonexistent/config.toml",
        ),
        (["--model", "no-such-model"], "no-such-model"),
    ] {
        let mut command = hilum();
        command
            .arg("process")
            .arg(study())
            .arg("--out")
            .arg(&out)
            .args(options);
        command.assert().code(2).stdout("").stderr(contains(said));
    }
    assert!(!out.exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_gpu_that_is_asked_for_and_missing_is_an_error_and_no_fallback() {
    let out = tempdir().expect("folder");
    let mut command = hilum();
    command
        .arg("process")
        .arg(study())
        .arg("--out")
        .arg(out.path())
        .args(["--device", "gpu"]);
    command
        .assert()
        .code(3)
        .stdout("")
        .stderr(contains("[gpu-not-found]").and(contains("--device cpu")));
    assert!(files(out.path()).is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn auto_falls_back_to_the_cpu_and_the_findings_say_so() {
    let out = tempdir().expect("folder");
    hilum()
        .arg("process")
        .arg(study())
        .arg("--out")
        .arg(out.path())
        .assert()
        .code(0);
    let findings = findings(out.path(), &only_whole_study(out.path()));
    let codes = findings["warnings"]
        .as_array()
        .expect("list")
        .iter()
        .map(|w| &w["code"]);
    assert!(
        codes.into_iter().any(|code| code == "cpu-fallback"),
        "{findings}"
    );
}

#[test]
fn devices_as_json_name_the_cpu_and_what_auto_takes() {
    let run = hilum()
        .args(["devices", "--json"])
        .assert()
        .code(0)
        .stderr("");
    let json: Value = serde_json::from_str(&printed(run.get_output()).0).expect("JSON");
    assert!(json["adapters"].is_array());
    assert!(json["cpu"]["threads"].as_u64() > Some(0));
    assert!(json["auto"].as_str().is_some_and(|name| !name.is_empty()));
    let name = json["cpu"]["name"].as_str().expect("name").to_owned();
    hilum()
        .arg("devices")
        .assert()
        .code(0)
        .stdout(contains(name));
}

#[test]
fn phantom_refuses_a_folder_that_is_not_empty_and_overwrites_only_when_told() {
    let out = tempdir().expect("folder");
    fs::write(out.path().join("mine"), "mine").expect("file");
    let mut phantom = hilum();
    phantom.args([
        "phantom",
        "--preset",
        "tiny",
        "--size",
        "8,9,10",
        "--lesions",
        "0",
        "--out",
    ]);
    phantom.arg(out.path());
    phantom
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("is not empty"));
    assert_eq!(files(out.path()), [out.path().join("mine")]);
    phantom
        .arg("--overwrite")
        .assert()
        .code(0)
        .stderr("")
        .stdout(contains("truth.json"));
    assert_eq!(files(&out.path().join("series")).len(), 8);
    assert_eq!(
        fs::read_to_string(out.path().join("mine")).expect("file"),
        "mine"
    );
}
