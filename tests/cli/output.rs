//! What lies in OUT stays whole: runs told apart, foreign folders kept, a full disk survived.

use super::{assert_whole, files, names, only_whole_study, process, study};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let with_bytes = |path: std::path::PathBuf| (path.clone(), fs::read(path).expect("file"));
    files(folder).into_iter().map(with_bytes).collect()
}

#[test]
fn the_same_run_is_left_alone_and_another_replaces_it_only_when_told() {
    let out = tempdir().expect("folder");
    process(&[study()], out.path()).assert().code(0);
    let first = contents(out.path());
    process(&[study()], out.path())
        .assert()
        .code(0)
        .stderr("")
        .stdout(contains("left alone"));
    assert!(
        first == contents(out.path()),
        "timings too are those of the first run"
    );

    let other = || {
        let mut command = process(&[study()], out.path());
        command.args(["--min-confidence", "0.99999"]);
        command
    };
    other()
        .assert()
        .code(1)
        .stderr(contains("[output-exists]").and(contains("--overwrite")));
    assert!(first == contents(out.path()));
    other().arg("--overwrite").assert().code(0).stderr("");
    let uid = names(out.path()).remove(0);
    let sr = out.path().join(&uid).join("sr.dcm");
    assert_ne!(fs::read(sr).expect("SR"), first[2].1);
    assert_eq!(names(out.path()), [uid]);
}

#[test]
fn what_this_program_did_not_write_is_never_replaced() {
    let out = tempdir().expect("folder");
    process(&[study()], out.path()).assert().code(0);
    let uid = only_whole_study(out.path());
    let dir = out.path().join(&uid);
    fs::remove_file(dir.join("findings.json")).expect("removed");
    fs::write(dir.join("thesis.txt"), "mine").expect("file");
    let before = contents(out.path());
    let run = process(&[study()], out.path()).arg("--overwrite").assert();
    run.code(1).stderr(contains("[output-not-ours]"));
    assert!(before == contents(out.path()));
}

#[test]
fn a_file_in_the_place_of_the_output_folder_is_a_coded_failure() {
    let folder = tempdir().expect("folder");
    let out = folder.path().join("out");
    fs::write(&out, "mine").expect("file");
    process(&[study()], &out)
        .assert()
        .code(1)
        .stderr(contains("study failed ["));
    assert_eq!(fs::read_to_string(&out).expect("file"), "mine");
}

/// The line that runs `hilum process` on [`study`] within a shell's limits.
#[cfg(unix)]
fn shell(script: &str, out: &Path) -> std::process::Output {
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", script, "sh", env!("CARGO_BIN_EXE_hilum")])
        .arg(study())
        .arg(out);
    sh.env_remove("HILUM_LOG").output().expect("sh")
}

#[test]
#[cfg(unix)]
fn a_file_that_may_not_grow_leaves_nothing_half_written() {
    let folder = tempdir().expect("folder");
    // 4 blocks of 512 bytes (or of 1024): less than any of the files needs.
    let script = r#"trap '' XFSZ; ulimit -f 4; exec "$1" process "$2" --out "$3" --device cpu"#;
    let output = shell(script, folder.path());
    let (stdout, stderr) = super::printed(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("study failed [output-io]"), "{stderr}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_as_such_and_leaves_nothing_half_written() {
    let folder = tempdir().expect("folder");
    // A file system of its own that ends with this process; 8 KiB hold the SR but not the SEG.
    let script = r#"
        mount -t tmpfs -o size=8k,mode=777 tmpfs "$3" 2>/dev/null || exit 99
        "$1" process "$2" --out "$3" --device cpu; code=$?
        find "$3" -mindepth 1; exit $code"#;
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    unshare
        .arg(env!("CARGO_BIN_EXE_hilum"))
        .arg(study())
        .arg(folder.path());
    let output = unshare.env_remove("HILUM_LOG").output();
    let Some(output) = output
        .ok()
        .filter(|o| o.status.code() == Some(1) && !o.stderr.starts_with(b"unshare:"))
    else {
        println!("SKIPPED, NO FULL DISK WAS TRIED: no file system can be mounted here");
        return;
    };
    let (stdout, stderr) = super::printed(&output);
    assert!(
        stderr.contains("study failed [disk-full]"),
        "{stdout}{stderr}"
    );
    assert_eq!(
        stdout.lines().count(),
        1,
        "nothing but the result is printed: {stdout}"
    );
}

#[test]
fn results_of_two_studies_stand_side_by_side() {
    let folder = tempdir().expect("folder");
    let (second, out) = (folder.path().join("second"), folder.path().join("out"));
    super::copy(study(), &second, |file, number| {
        super::set_study(file, "1.2.3", number);
    });
    process(&[study(), &second], &out)
        .assert()
        .code(0)
        .stderr("");
    let studies = names(&out);
    assert_eq!(studies.len(), 2);
    studies.iter().for_each(|uid| assert_whole(&out, uid));
}
