//! `docs/codes.md` lists exactly the codes that the sources can give, each with its class.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A code and its class; warnings and the reasons to pass over a series have none.
type Entry = (String, Option<String>);

const CLASSES: [&str; 6] = [
    "input",
    "unsupported",
    "limits",
    "config",
    "environment",
    "internal",
];

#[test]
fn every_code_of_the_sources_is_documented_and_no_other() {
    let (given, documented) = (given(), documented());
    let missing: Vec<_> = given.difference(&documented).collect();
    let surplus: Vec<_> = documented.difference(&given).collect();
    assert!(missing.is_empty(), "not in docs/codes.md: {missing:?}");
    assert!(surplus.is_empty(), "only in docs/codes.md: {surplus:?}");
    assert!(
        given.len() > 50,
        "the scan found {} codes only",
        given.len()
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// First and second cell of every table row that starts with a code.
fn documented() -> BTreeSet<Entry> {
    let page = fs::read_to_string(root().join("docs/codes.md")).expect("docs/codes.md");
    let entry = |line: &str| {
        let (code, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        let class = rest.split('|').next()?.trim();
        let class = CLASSES.contains(&class).then(|| class.to_owned());
        is_code(code).then(|| (code.to_owned(), class))
    };
    page.lines().filter_map(entry).collect()
}

fn given() -> BTreeSet<Entry> {
    let mut entries = BTreeSet::new();
    for file in rust_files(&root().join("src")) {
        let source = fs::read_to_string(&file).expect("source");
        let source = before(&source, "\nmod tests {");
        let classes = arms(source, "pub fn class(&self)");
        for (variant, code) in arms(source, "pub fn code(&self)") {
            entries.insert((code, classes.get(&variant).cloned()));
        }
        let of_reasons = ["dicom/select.rs", "dicom/companion.rs", "plan/uptake.rs"];
        if of_reasons.iter().any(|name| file.ends_with(name)) {
            entries.extend(reasons(source).map(|code| (code, None)));
        }
    }
    entries
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// Variants of `self` with their value, a string or a class, in the `match` of a method; arms that ask an inner error
/// have none.
fn arms(source: &str, method: &str) -> BTreeMap<String, String> {
    let mut arms = BTreeMap::new();
    let Some((_, body)) = source.split_once(method) else {
        return arms;
    };
    let body = before(body, "\n    }\n");
    let mut variants = Vec::new();
    for word in words(body) {
        if let Some(variant) = word.strip_prefix("Self::") {
            variants.push(variant.to_owned());
        } else if word.starts_with("e.") {
            variants.clear();
        } else if let Some(value) = word.strip_prefix("Class::").or_else(|| quoted(word)) {
            arms.extend(variants.drain(..).map(|v| (v, value.to_lowercase())));
        }
    }
    arms
}

/// Codes that stand in a source as literals of their own.
fn reasons(source: &str) -> impl Iterator<Item = String> {
    let code_lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("#["));
    let literals = code_lines.flat_map(words).filter_map(quoted);
    literals.filter(|text| is_code(text)).map(str::to_owned)
}

fn before<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or(text, |(before, _)| before)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !"_:.\"-".contains(c))
}

fn quoted(word: &str) -> Option<&str> {
    word.strip_prefix('"')?.strip_suffix('"')
}

fn is_code(text: &str) -> bool {
    let part = |p: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !p.is_empty() && p.chars().all(allowed)
    };
    text.split('-').all(part)
}
