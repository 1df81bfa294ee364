//! What someone can do who may write the files but has not the key.

use super::*;
use crate::audit::record::{Record, line};
use crate::audit::{Break, Finding, MAX_COMMIT_BYTES};

/// The break that is found after `edit` changed the lines of a log of five records.
fn found(edit: impl FnOnce(&mut Vec<String>)) -> Option<Finding> {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 5);
    let mut lines = lines(dir.path());
    edit(&mut lines);
    write_lines(dir.path(), &lines);
    let broken = verdict(dir.path()).broken;
    if broken
        .as_ref()
        .is_some_and(|finding| finding.line.is_none())
    {
        assert_eq!(Log::open(dir.path()).unwrap_err().code(), "audit-broken");
    }
    broken
}

fn at(line: u64, found: Break) -> Option<Finding> {
    Some(Finding {
        line: Some(line),
        found,
    })
}

/// A record's line with another event and a hash that fits.
fn forged(original: &str, prev: &str, attempt: u32) -> (String, String) {
    let record = Record::parse(original.trim_end().as_bytes()).unwrap();
    let event = serde_json::to_string(&numbered(attempt)).unwrap();
    line(record.seq, record.time.parse().unwrap(), prev, &event)
}

#[test]
fn an_untouched_log_is_whole() {
    assert_eq!(found(|_| {}), None);
}

#[test]
fn every_changed_byte_is_found_in_its_line() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 3);
    let text = fs::read(dir.path().join(LOG)).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        fs::write(dir.path().join(LOG), &changed).unwrap();
        let finding = verdict(dir.path())
            .broken
            .unwrap_or_else(|| panic!("byte {at}"));
        let line = text[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        // Without its line feed a line runs into the next one; the last one is cut then.
        let expected = if text[at] == b'\n' && line == 3 {
            None
        } else {
            Some(line)
        };
        assert_eq!(finding.line, expected, "byte {at}");
    }
}

#[test]
fn a_changed_line_is_found() {
    let change = |lines: &mut Vec<String>| lines[2] = lines[2].replace("\"io\"", "\"ok\"");
    assert_eq!(found(change), at(3, Break::Changed));
    let unreadable = |lines: &mut Vec<String>| lines[2] = "a note\n".into();
    assert_eq!(found(unreadable), at(3, Break::Unreadable));
}

#[test]
fn a_removed_line_is_found() {
    let (expected, number) = (3, 4);
    let removed = Break::Removed {
        expected,
        found: number,
    };
    assert_eq!(found(|lines| drop(lines.remove(2))), at(3, removed));
}

#[test]
fn an_inserted_line_is_found() {
    let repeat = |lines: &mut Vec<String>| lines.insert(3, lines[2].clone());
    let inserted = Break::Inserted {
        expected: 4,
        found: 3,
    };
    assert_eq!(found(repeat), at(4, inserted));
    let insert = |lines: &mut Vec<String>| {
        let prev = Record::parse(lines[1].trim_end().as_bytes()).unwrap().hash;
        lines.insert(2, forged(&lines[2], &prev, 99).0);
    };
    let inserted = Break::Inserted {
        expected: 4,
        found: 3,
    };
    assert_eq!(found(insert), at(4, inserted));
}

#[test]
fn swapped_lines_are_found() {
    assert_eq!(found(|lines| lines.swap(2, 3)), at(3, Break::Swapped));
}

#[test]
fn a_replaced_line_with_a_fitting_hash_is_found() {
    let replace = |lines: &mut Vec<String>| {
        let prev = Record::parse(lines[1].trim_end().as_bytes()).unwrap().hash;
        lines[2] = forged(&lines[2], &prev, 99).0;
    };
    assert_eq!(found(replace), at(4, Break::Unlinked));
}

#[test]
fn a_chain_that_was_computed_anew_is_found_by_the_signed_head() {
    let rewrite = |lines: &mut Vec<String>| {
        let mut prev = Record::parse(lines[1].trim_end().as_bytes()).unwrap().hash;
        for original in &mut lines[2..] {
            (*original, prev) = forged(original, &prev, 99);
        }
    };
    assert_eq!(found(rewrite), at(5, Break::Rewritten));
}

#[test]
fn a_cut_end_is_found() {
    let cut = |expected, found| {
        Some(Finding {
            line: None,
            found: Break::Cut { expected, found },
        })
    };
    assert_eq!(found(|lines| lines.truncate(4)), cut(5, 4));
    assert_eq!(found(Vec::clear), cut(5, 0));
    let within = |lines: &mut Vec<String>| lines[4].truncate(20);
    assert_eq!(found(within), cut(5, 4));
}

#[test]
fn more_lines_than_one_write_leaves_are_no_crash() {
    let append = |lines: &mut Vec<String>| {
        let mut prev = Record::parse(lines[4].trim_end().as_bytes()).unwrap().hash;
        let note = format!(
            r#"{{"kind":"note","text":"{}"}}"#,
            "x".repeat(MAX_COMMIT_BYTES / 2)
        );
        for seq in 6..9 {
            let (next, hash) = line(seq, "2026-01-01T00:00:00Z".parse().unwrap(), &prev, &note);
            lines.push(next);
            prev = hash;
        }
    };
    let expected = Finding {
        line: None,
        found: Break::Appended,
    };
    assert_eq!(found(append), Some(expected));
}

#[test]
fn a_missing_or_changed_head_is_found_and_so_are_broken_lines_before_it() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 3);
    let head = dir.path().join(HEAD);
    let text = fs::read_to_string(&head).unwrap();
    let broken = || verdict(dir.path()).broken.unwrap();
    fs::write(&head, text.replace("\"seq\":3", "\"seq\":2")).unwrap();
    assert_eq!(broken().found, Break::HeadForged);
    assert_eq!(Log::open(dir.path()).unwrap_err().code(), "audit-broken");
    fs::remove_file(&head).unwrap();
    assert_eq!(broken().found, Break::HeadMissing);
    assert_eq!(Log::open(dir.path()).unwrap_err().code(), "audit-broken");
    let mut lines = lines(dir.path());
    lines.swap(0, 1);
    write_lines(dir.path(), &lines);
    assert_eq!(Some(broken()), at(1, Break::Swapped));
}
