//! Every codec and oddity as a file: the same samples as pydicom reads, or a coded refusal.
//!
//! `scripts/make-golden-codecs.py` made `testdata/codecs` and `testdata/golden/codecs.json`; `scripts/compatibility.sh` writes
//! the table of `docs/compatibility.md` by the test below.

use super::Error;
use super::codec::Codec;
use super::real_series::{decode, sha256};
use dicom_dictionary_std::tags;
use dicom_encoding::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Decoders of lossy codecs may round differently.
const LOSSY_TOLERANCE: u16 = 1;

const DOCS: &str = "docs/compatibility.md";
const BEGIN: &str = "<!-- codecs: written by scripts/compatibility.sh -->\n";
const END: &str = "<!-- end of codecs -->\n";

#[derive(Deserialize)]
struct Golden {
    transfer_syntax_uid: String,
    #[serde(default)]
    by: String,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Refused { code: String },
    Exact { sha256: String },
    Near { every: usize, values: Vec<u16> },
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The golden files that are there; says loudly which are not.
fn golden() -> BTreeMap<String, Golden> {
    let json = fs::read(project().join("testdata/golden/codecs.json")).unwrap();
    let mut golden: BTreeMap<String, Golden> = serde_json::from_slice(&json).unwrap();
    golden.retain(|name, _| {
        let is_there = project().join(name).is_file();
        if !is_there {
            eprintln!("SKIPPED: {name} is missing");
        }
        is_there
    });
    golden
}

/// What the file does, in words; an error where that is not what is expected.
fn outcome(golden: &Golden, found: Result<Vec<u16>, Error>) -> Result<String, String> {
    match (&golden.expected, found) {
        (Expected::Refused { code }, Err(error)) if error.code() == code => {
            Ok(format!("refused: `{code}`"))
        }
        (Expected::Exact { sha256: expected }, Ok(samples)) if sha256(&samples) == *expected => {
            Ok(format!("exact ({})", golden.by))
        }
        (Expected::Near { every, values }, Ok(samples)) => {
            let found: Vec<u16> = samples.iter().step_by(*every).copied().collect();
            let difference = largest_difference(&found, values);
            match difference {
                Some(..=LOSSY_TOLERANCE) => Ok(format!("within 1 ({})", golden.by)),
                _ => Err(format!("differs by {difference:?}")),
            }
        }
        (_, Ok(_)) => Err("other samples".into()),
        (_, Err(error)) => Err(error.to_string()),
    }
}

/// Modulo 65,536, so that signed samples need no care.
fn largest_difference(a: &[u16], b: &[u16]) -> Option<u16> {
    let distance = |(a, b): (&u16, &u16)| a.wrapping_sub(*b).min(b.wrapping_sub(*a));
    (a.len() == b.len()).then(|| a.iter().zip(b).map(distance).max().unwrap_or_default())
}

#[test]
fn every_file_is_read_as_its_peers_do_or_refused_by_its_code() {
    let wrong: Vec<String> = golden()
        .iter()
        .filter_map(|(name, golden)| {
            let error = outcome(golden, decode(&project().join(name))).err()?;
            Some(format!("{name}: {error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_in_the_docs_is_what_the_files_do() {
    let docs = project().join(DOCS);
    let text = fs::read_to_string(&docs).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("HILUM_WRITE_DOCS").is_some() {
        fs::write(&docs, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    // The real files may be missing here.
    let own = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("testdata/"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(own(written), own(&table), "run scripts/compatibility.sh");
}

fn table() -> String {
    let mut table = "| file | transfer syntax | samples |\n| --- | --- | --- |\n".to_owned();
    for (name, golden) in golden() {
        let uid = &golden.transfer_syntax_uid;
        let syntax = TransferSyntaxRegistry.get(uid).map_or("", |s| s.name());
        let outcome = outcome(&golden, decode(&project().join(&name)))
            .unwrap_or_else(|error| format!("WRONG: {error}"));
        let shown = Path::new(&name).display();
        writeln!(table, "| {shown} | {syntax} ({uid}) | {outcome} |").unwrap();
    }
    table
}

/// A decoder that fills up what is missing would draw a lesion, or hide one.
#[test]
fn a_codestream_that_is_cut_off_is_refused_by_every_decoder() {
    let mut cut_off = 0;
    for entry in fs::read_dir(project().join("testdata/codecs")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(object) = dicom_object::open_file(&path) else {
            continue; // Files that only this project reads; their codecs are in others too.
        };
        let codec = Codec::of(object.meta().transfer_syntax());
        let fragments = object.get(tags::PIXEL_DATA).and_then(|e| e.fragments());
        let (Some(codec), Some([codestream])) = (codec, fragments) else {
            continue;
        };
        let number = |tag| object.element(tag).unwrap().to_int::<usize>().unwrap();
        let image = super::codec::Expected {
            rows: number(tags::ROWS),
            columns: number(tags::COLUMNS),
            bits_allocated: u32::try_from(number(tags::BITS_ALLOCATED)).unwrap(),
            signed: number(tags::PIXEL_REPRESENTATION) == 1,
        };
        for percent in [20, 50, 80, 95] {
            let cut = &codestream[..codestream.len() * percent / 100];
            let mut samples = vec![0xdead; image.rows * image.columns];
            let checked = codec.check(cut, image);
            let decoded = checked.and_then(|()| codec.decode(cut, image, &mut samples));
            assert!(decoded.is_err(), "{} at {percent} %", path.display());
            cut_off += 1;
        }
    }
    assert!(cut_off >= 80, "only {cut_off}");
}
