//! The help of every verb, as snapshots: a changed option is seen in review.

use super::hilum;

fn help(verbs: &[String]) -> String {
    let run = hilum().args(verbs).arg("--help").assert();
    let output = run.success().stderr("").get_output().clone();
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The verbs that a help text lists, `help` aside.
fn verbs(help: &str) -> Vec<String> {
    let mut lines = help.lines().skip_while(|line| *line != "Commands:");
    lines.next();
    let names = lines.map_while(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(String::from)
        .collect()
}

fn assert_snapshots(path: &[String]) {
    let text = help(path);
    let name = [&["hilum".into()], path].concat().join("_");
    insta::assert_snapshot!(name, text);
    for verb in verbs(&text) {
        assert_snapshots(&[path, &[verb]].concat());
    }
}

#[test]
fn every_verb_has_the_help_that_was_reviewed() {
    assert_snapshots(&[]);
}
