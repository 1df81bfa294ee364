//! The help of every verb, as snapshots: a changed option is seen in review.

use super::hilum;

fn help(verb: &[&str]) -> String {
    let output = hilum()
        .args(verb)
        .arg("--help")
        .assert()
        .success()
        .get_output()
        .clone();
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_help_of_the_program_lists_verbs_and_exit_codes() {
    insta::assert_snapshot!(help(&[]));
}

#[test]
fn the_help_of_process() {
    insta::assert_snapshot!(help(&["process"]));
}

#[test]
fn the_help_of_devices() {
    insta::assert_snapshot!(help(&["devices"]));
}

#[test]
fn the_help_of_phantom() {
    insta::assert_snapshot!(help(&["phantom"]));
}

#[test]
fn the_help_of_bench() {
    insta::assert_snapshot!(help(&["bench"]));
}

#[test]
fn the_help_of_bench_compare() {
    insta::assert_snapshot!(help(&["bench", "compare"]));
}
