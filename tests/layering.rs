//! The layering rule: modules import downwards only, and foreign crates stay where they belong.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the top; each may import those below it.
const LAYERS: &[&str] = &[
    "main",
    "lib",
    "cli",
    "node",
    "batch",
    "evaluate",
    "pipeline",
    "plan",
    "volume_study",
    "region",
    "insertion",
    "deidentify",
    "audit",
    "report",
    "measure",
    "lesion",
    "model",
    "preprocess",
    "dicom",
    "phantom",
    "engine",
    "gpu",
    "config",
    "provenance",
    "warning",
    "code",
    "uid",
    "cpu",
    "volume_file",
    "suv",
    "quote",
    "error",
    "volume",
];

/// Steps of the flow: one names types of another, but calls none of its functions; they meet in `pipeline`.
const STAGES: &[&str] = &[
    "report",
    "measure",
    "lesion",
    "model",
    "preprocess",
    "dicom",
];

/// Imports against the order that are meant.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The crate's error wraps that of every module.
    ("error.rs", "::Error"),
    // The sliding window cuts and normalises its patches from the prepared slabs.
    ("model", "crate::preprocess::self"),
    ("model", "crate::preprocess::normalize"),
    ("model", "crate::preprocess::slab"),
];

/// Beginnings of paths, and the files and folders of `src` that may have them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("burn::", &["model"]),
    ("::burn", &[]),
    ("wgpu::", &["gpu"]),
    (
        "dicom_",
        &["deidentify", "dicom", "node", "report", "phantom"],
    ),
    ("tokio::", &["node"]),
    ("axum::", &["node"]),
    ("rusqlite::", &["node"]),
    ("rustls::", &["audit", "node"]),
    ("quick_xml::", &["audit"]),
    ("csv::", &["evaluate"]),
    ("plotters::", &["evaluate"]),
    ("clap::", &["cli", "main.rs"]),
    ("anyhow::", &["cli", "main.rs"]),
    ("unsafe", &["engine", "gpu"]),
];

/// What `file`, relative to `src`, imports against the rule.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let module = file
        .iter()
        .next()
        .and_then(|first| Path::new(first).file_stem()?.to_str());
    let module = module.expect("every source has a name");
    let paths = paths(source).into_iter();
    let paths = paths.filter(|path| {
        let layer = path
            .strip_prefix("crate::")
            .and_then(|below| below.split("::").next());
        layer.is_some_and(|layer| points_up(module, layer) || calls_a_stage(module, layer, path))
            && !EXCEPTIONS
                .iter()
                .any(|(of, part)| file.starts_with(of) && path.contains(part))
            || ONLY_IN.iter().any(|(start, places)| {
                path.starts_with(start) && !places.iter().any(|place| file.starts_with(place))
            })
    });
    paths
        .map(|path| format!("src/{}: {path}", file.display()))
        .collect()
}

fn points_up(module: &str, layer: &str) -> bool {
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let own = place(module).unwrap_or_else(|| panic!("{module} needs a place in LAYERS"));
    place(layer).is_some_and(|layer| layer < own)
}

fn calls_a_stage(module: &str, layer: &str, path: &str) -> bool {
    let last = path.rsplit("::").next().unwrap_or_default();
    let both_stages = STAGES.contains(&module) && STAGES.contains(&layer) && module != layer;
    both_stages && !last.starts_with(char::is_uppercase)
}

/// Every path in the code, in full: `use a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(source: &str) -> Vec<String> {
    let code = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n") + "\n";
    let (mut found, mut groups, mut path) = (Vec::new(), vec![String::new()], String::new());
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        let colons = c == ':' && chars.next_if_eq(&':').is_some();
        if colons {
            path.push_str("::");
        } else if c.is_alphanumeric() || c == '_' {
            path.push(c);
        } else {
            let group = groups.last().cloned().unwrap_or_default();
            let full = group + &std::mem::take(&mut path);
            let opens_group = full.ends_with("::");
            match c {
                '{' => groups.push(if opens_group {
                    full.clone()
                } else {
                    String::new()
                }),
                '}' => drop(groups.pop()),
                _ => {}
            }
            if !full.is_empty() && !opens_group {
                found.push(full);
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("src is readable");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let below = paths.flat_map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    below
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn modules_import_downwards_only_and_foreign_crates_stay_where_they_belong() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&src);
    assert!(files.len() > 50, "only {} sources were found", files.len());
    let violations = files.iter().flat_map(|path| {
        let source = fs::read_to_string(path).expect("source");
        violations(path.strip_prefix(&src).expect("below src"), &source)
    });
    let violations: Vec<_> = violations.collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn a_broken_rule_is_seen_however_it_is_written() {
    let broken = [
        ("dicom/read.rs", "use crate::report::StudyReport;"),
        ("volume/mask.rs", "pub use crate::{\n    code::Code,\n};"),
        ("gpu/mod.rs", "fn f() { crate::pipeline::lesions() }"),
        ("measure/mod.rs", "use crate::lesion::{self, Lesion};"),
        (
            "report/seg.rs",
            "use crate::{dicom::{select, Series}, uid};",
        ),
        ("lesion/mod.rs", "use wgpu::Buffer;"),
        ("gpu/kernel.rs", "use burn::tensor::Tensor;"),
        ("gpu/mod.rs", "fn f(d: ::burn::tensor::Device) {}"),
        ("config/mod.rs", "#[derive(clap::ValueEnum)]"),
        ("pipeline.rs", "fn f() -> anyhow::Result<()> { Ok(()) }"),
        ("model/mod.rs", "use {std::fs, dicom_core::Tag};"),
        ("cpu.rs", "fn f() { unsafe { g() } }"),
    ];
    for (file, line) in broken {
        let found = violations(Path::new(file), line);
        assert_eq!(found.len(), 1, "{file}: {line}: {found:?}");
    }
    let allowed = [
        ("report/seg.rs", "use crate::dicom::{Instance, Series};"),
        (
            "report/seg.rs",
            "fn f() { let x = crate::uid::is_valid(uid); }",
        ),
        (
            "pipeline.rs",
            "use crate::lesion::{self, Lesion}; // not anyhow::Result",
        ),
        ("error.rs", "Dicom(#[from] crate::dicom::Error),"),
    ];
    for (file, line) in allowed {
        assert_eq!(violations(Path::new(file), line), [""; 0], "{file}: {line}");
    }
}
