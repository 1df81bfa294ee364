//! Truth files as JSON: those of LIDC-IDRI series with a label map beside them, and those of phantoms.

use super::{Case, Error, Nodule};
use crate::code::NoduleType;
use crate::uid;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Larger files are no truth.
const MAX_BYTES: u64 = 16 << 20;

/// No nodule is larger, and no patient, mm.
const MAX_MM: f64 = 1e5;

/// All truth files at `path`, a file or a folder.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for file in files(path)? {
        cases.extend(case(&file)?);
    }
    Ok(cases)
}

/// JSON files of a folder and of its folders, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(path)
        .follow_links(true)
        .max_depth(2)
        .sort_by_file_name()
    {
        let entry = entry.map_err(|e| Error::Read {
            file: path.into(),
            kind: e
                .into_io_error()
                .map_or(std::io::ErrorKind::Other, |e| e.kind()),
        })?;
        let is_json = entry.path().extension().is_some_and(|e| e == "json");
        if entry.file_type().is_file() && is_json {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

#[derive(Deserialize)]
struct Document {
    series_instance_uid: String,
    shape_zyx: Option<[usize; 3]>,
    nodules: Vec<Value>,
}

#[derive(Deserialize)]
struct Entry {
    label: u16,
    readers: u32,
    centroid_lps_mm: [f64; 3],
    equivalent_diameter_mm: f64,
    volume_mm3: Option<f64>,
    /// Of an inserted lesion.
    #[serde(rename = "type")]
    nodule_type: Option<NoduleType>,
    attachment: Option<String>,
    /// What a phantom calls these two.
    kind: Option<NoduleType>,
    place: Option<String>,
    ratings: Option<Ratings>,
}

/// Ratings of the readers of LIDC-IDRI.
#[derive(Deserialize)]
struct Ratings {
    /// From 1, ground glass, over 3, part-solid, to 5, solid.
    #[serde(default)]
    texture: Vec<f64>,
}

/// The truth that a file holds; none where it holds no nodules, such as another program's settings.
fn case(file: &Path) -> Result<Option<Case>, Error> {
    let malformed = |what: String| Error::TruthMalformed {
        file: file.into(),
        what,
    };
    let document: Value = serde_json::from_slice(&bytes(file)?).map_err(|e| malformed(told(&e)))?;
    if document.get("nodules").is_none() {
        return Ok(None);
    }
    let is_phantom = document.get("params").is_some();
    let document: Document = serde_json::from_value(document).map_err(|e| malformed(told(&e)))?;
    if !uid::is_valid(&document.series_instance_uid) {
        return Err(malformed(
            "series_instance_uid is no UID (PS3.5 9.1)".into(),
        ));
    }
    let mut nodules = Vec::new();
    for (index, value) in document.nodules.into_iter().enumerate() {
        let nodule =
            nodule(value).map_err(|what| malformed(format!("nodules[{index}]: {what}")))?;
        nodules.push(nodule);
    }
    let labels: BTreeSet<u16> = nodules.iter().map(|n| n.label).collect();
    if labels.len() < nodules.len() {
        return Err(malformed("two nodules have one label".into()));
    }
    Ok(Some(Case {
        series_instance_uid: document.series_instance_uid,
        nodules,
        label_map: label_map(file, is_phantom)?,
        shape_zyx: document.shape_zyx,
    }))
}

/// `<case>.nii.gz` beside `<case>.json`; a phantom is known by its forms and needs none.
fn label_map(file: &Path, is_phantom: bool) -> Result<Option<PathBuf>, Error> {
    let label_map = file.with_extension("nii.gz");
    match label_map.is_file() {
        true => Ok(Some(label_map)),
        false if is_phantom => Ok(None),
        false => Err(Error::LabelMapMissing { file: label_map }),
    }
}

fn bytes(file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|e| Error::Read {
        file: file.into(),
        kind: e.kind(),
    })?;
    if read as u64 > MAX_BYTES {
        return Err(Error::TruthMalformed {
            file: file.into(),
            what: "larger than 16 MiB".into(),
        });
    }
    Ok(bytes)
}

/// What is wrong with JSON, without the values in it.
pub(in super::super) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") {
        return text;
    }
    let what = match error.classify() {
        serde_json::error::Category::Data => "a value of another kind than is needed",
        serde_json::error::Category::Eof => "ends too early",
        _ => "no JSON",
    };
    match error.line() {
        0 => what.into(),
        line => format!("{what}, line {line} column {}", error.column()),
    }
}

fn nodule(value: Value) -> Result<Nodule, String> {
    let entry: Entry = serde_json::from_value(value).map_err(|e| told(&e))?;
    let positive = |mm: f64| mm > 0.0 && mm <= MAX_MM;
    if entry.label == 0 {
        return Err("label 0 is the background's".into());
    }
    if !entry.centroid_lps_mm.iter().all(|mm| mm.abs() <= MAX_MM) {
        return Err("centroid_lps_mm is no place in a patient".into());
    }
    if !positive(entry.equivalent_diameter_mm) {
        return Err("equivalent_diameter_mm must be positive".into());
    }
    if !entry
        .volume_mm3
        .is_none_or(|mm3| mm3 > 0.0 && mm3.is_finite())
    {
        return Err("volume_mm3 must be positive".into());
    }
    // It is repeated in every output, so that nothing but a term may stand there.
    let is_term = |text: &String| {
        text.len() <= 32 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    let attachment = entry.attachment.or(entry.place);
    if !attachment.as_ref().is_none_or(is_term) {
        return Err("attachment must be lower-case letters and hyphens".into());
    }
    let by_texture = entry
        .ratings
        .and_then(|ratings| by_texture(ratings.texture));
    Ok(Nodule {
        label: entry.label,
        readers: entry.readers,
        centroid_lps_mm: entry.centroid_lps_mm,
        diameter_mm: entry.equivalent_diameter_mm,
        volume_mm3: entry.volume_mm3,
        nodule_type: entry.nodule_type.or(entry.kind).or(by_texture),
        attachment,
    })
}

/// By the median of the readers' texture.
fn by_texture(mut texture: Vec<f64>) -> Option<NoduleType> {
    texture.retain(|rating| rating.is_finite());
    texture.sort_by(f64::total_cmp);
    let middle = texture.len() / 2;
    let median = match texture.len() {
        0 => return None,
        n if n % 2 == 1 => texture[middle],
        _ => f64::midpoint(texture[middle - 1], texture[middle]),
    };
    Some(match median {
        m if m <= 2.0 => NoduleType::GroundGlass,
        m if m <= 3.5 => NoduleType::PartSolid,
        _ => NoduleType::Solid,
    })
}
