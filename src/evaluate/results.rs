//! What `hilum process` wrote, by series.
//!
//! In: a folder that is searched for `findings.json`. Out: the candidates of each series, and where their segments lie.
//! Refused, by code: files that are no findings, and two results of one series.

use super::Error;
use super::truth::told;
use crate::code::NoduleType;
use crate::dicom::{Segment, Segmentation};
use crate::uid;
use crate::volume_file::{self, VolumeFile};
use crate::volume_study;
use glam::DVec3;
use rayon::prelude::*;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The kind of lesion that is evaluated.
const KIND: &str = "lung-nodule";
const FINDINGS_JSON: &str = "findings.json";
/// Larger files are no findings.
const MAX_BYTES: u64 = 64 << 20;

/// The results of all series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Results {
    /// By Series Instance UID.
    pub series: BTreeMap<String, SeriesResult>,
    /// The models that made them.
    pub models: BTreeSet<Model>,
}

/// What was found in one series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesResult {
    /// Its findings.json.
    pub findings: PathBuf,
    /// `done` where a model ran on it to its end.
    pub status: String,
    /// Code of why it did not.
    pub reason: Option<String>,
    /// Its lung nodules.
    pub candidates: Vec<Candidate>,
}

/// A candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Number within its study.
    pub id: u64,
    /// Names its segment.
    pub tracking_uid: String,
    /// 0 to 1.
    pub confidence: f64,
    /// LPS mm.
    pub centroid_lps_mm: DVec3,
    /// As reported, mm³.
    pub volume_mm3: f64,
    /// What a classifier says of it, where the model has one.
    pub assessed: Option<Assessed>,
}

/// What a classifier says of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// Of its confidence: `high`, `intermediate` or `low`.
    pub band: String,
    /// A person must look.
    pub asks_for_review: bool,
    /// Where it tells types.
    pub nodule_type: Option<NoduleType>,
}

/// Which weights ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Model {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hash of its weights.
    pub sha256: String,
}

#[derive(Deserialize)]
struct Document {
    series: Vec<SeriesEntry>,
    lesions: Vec<LesionEntry>,
    provenance: Provenance,
}

#[derive(Deserialize)]
struct SeriesEntry {
    series_instance_uid: String,
    status: String,
    reason: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
}

#[derive(Deserialize)]
struct LesionEntry {
    id: u64,
    tracking_uid: String,
    kind: String,
    series_instance_uid: String,
    confidence: f64,
    centroid_lps_mm: [f64; 3],
    volume_mm3: f64,
    band: Option<String>,
    #[serde(default)]
    review: Vec<IgnoredAny>,
    nodule_type: Option<TypeEntry>,
}

#[derive(Deserialize)]
struct TypeEntry {
    value: NoduleType,
}

#[derive(Deserialize)]
struct Provenance {
    #[serde(default)]
    models: Vec<Model>,
}

impl Results {
    /// Reads every `findings.json` below `folder`, to any depth.
    ///
    /// # Errors
    /// [`Error::NoResults`], [`Error::ResultsMalformed`], [`Error::ResultsDuplicate`] and [`Error::Read`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut results = Self::default();
        let mut files = 0;
        for entry in walkdir::WalkDir::new(folder)
            .follow_links(true)
            .sort_by_file_name()
        {
            let entry = entry.map_err(|e| Error::Read {
                file: folder.into(),
                kind: e
                    .into_io_error()
                    .map_or(std::io::ErrorKind::Other, |e| e.kind()),
            })?;
            if entry.file_type().is_file() && entry.file_name() == FINDINGS_JSON {
                files += 1;
                results.add(entry.path())?;
            }
        }
        match files {
            0 => Err(Error::NoResults {
                path: folder.into(),
            }),
            _ => Ok(results),
        }
    }

    /// Names the series of volume files as the files are named, where that is a UID, such as LUNA16's
    /// `<SeriesInstanceUID>.mhd`: in findings.json they have UIDs of their bytes.
    ///
    /// # Errors
    /// [`Error::Volume`] for a volume that cannot be read.
    pub fn name_volumes(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        let named: Vec<(String, PathBuf)> = volume_file::find(paths)
            .into_iter()
            .filter_map(|path| Some((uid_of_name(&path)?, path)))
            .collect();
        let of_bytes = |(uid, path): &(String, PathBuf)| {
            let volume = VolumeFile::open(path).map_err(|source| Error::Volume {
                file: path.clone(),
                source,
            })?;
            let study = volume_study::study(&volume);
            let first = study.series.first().and_then(|s| s.instances.first());
            Ok(first.map(|instance| (uid.clone(), instance.series_instance_uid.clone())))
        };
        let pairs: Vec<Result<_, Error>> = named.par_iter().map(of_bytes).collect();
        for pair in pairs {
            let Some((name, uid)) = pair? else { continue };
            if let Some(result) = self.series.remove(&uid)
                && self.series.insert(name.clone(), result).is_some()
            {
                return Err(Error::ResultsDuplicate { uid: name });
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &Path) -> Result<(), Error> {
        let document = document(file)?;
        let mut series: BTreeMap<String, SeriesResult> = BTreeMap::new();
        for entry in document.series {
            let result = series.entry(entry.series_instance_uid).or_default();
            // One model that ran to its end has results, whatever became of the others.
            if result.status != "done" {
                result.status = entry.status;
                result.reason = entry.reason.map(|reason| reason.code);
            }
            result.findings = file.into();
        }
        for lesion in document.lesions.into_iter().filter(|l| l.kind == KIND) {
            let own = series.get_mut(&lesion.series_instance_uid);
            let candidate = candidate(lesion).filter(|_| own.is_some());
            let what = "a lesion without its series, or with numbers that cannot be".to_owned();
            let candidate = candidate.ok_or_else(|| malformed(file, what))?;
            own.into_iter()
                .for_each(|own| own.candidates.push(candidate.clone()));
        }
        self.models.extend(document.provenance.models);
        for (uid, result) in series {
            if self.series.insert(uid.clone(), result).is_some() {
                return Err(Error::ResultsDuplicate { uid });
            }
        }
        Ok(())
    }
}

/// The UID that a volume file is named by.
fn uid_of_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let endings = [".nii.gz", ".nii", ".mhd", ".mha"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending));
    stem.filter(|stem| uid::is_valid(stem)).map(str::to_owned)
}

fn document(file: &Path) -> Result<Document, Error> {
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file);
    let read = open.and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|e| Error::Read {
        file: file.into(),
        kind: e.kind(),
    })?;
    if read as u64 > MAX_BYTES {
        return Err(malformed(file, "larger than 64 MiB".into()));
    }
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|e| malformed(file, told(&e)))?;
    let mut series = document.series.iter();
    if !series.all(|s| uid::is_valid(&s.series_instance_uid) && is_code(&s.status)) {
        return Err(malformed(file, "series without a UID or a status".into()));
    }
    Ok(document)
}

fn malformed(file: &Path, what: String) -> Error {
    Error::ResultsMalformed {
        file: file.into(),
        what,
    }
}

/// Such as stand in findings.json; nothing else of it is repeated as text.
fn is_code(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn candidate(lesion: LesionEntry) -> Option<Candidate> {
    let centroid_lps_mm = DVec3::from_array(lesion.centroid_lps_mm);
    let sound = (0.0..=1.0).contains(&lesion.confidence)
        && centroid_lps_mm.is_finite()
        && lesion.volume_mm3 >= 0.0
        && lesion.volume_mm3.is_finite()
        && lesion.band.as_deref().is_none_or(is_code);
    let assessed = |band| Assessed {
        band,
        asks_for_review: !lesion.review.is_empty(),
        nodule_type: lesion.nodule_type.map(|told| told.value),
    };
    sound.then_some(Candidate {
        id: lesion.id,
        tracking_uid: lesion.tracking_uid,
        confidence: lesion.confidence,
        centroid_lps_mm,
        volume_mm3: lesion.volume_mm3,
        assessed: lesion.band.map(assessed),
    })
}

/// Pixels of segments in the SEGs beside a findings.json, LPS mm, by Tracking UID; none where there is no SEG, as of volume
/// files.
pub(super) fn segments(
    findings: &Path,
    wanted: &BTreeSet<&str>,
) -> Result<Option<BTreeMap<String, Vec<DVec3>>>, Error> {
    let folder = findings.parent().unwrap_or(Path::new("."));
    let mut segments = None;
    for entry in walkdir::WalkDir::new(folder)
        .follow_links(true)
        .max_depth(1)
        .sort_by_file_name()
    {
        let file = match entry {
            Ok(entry) if is_segmentation(&entry) => entry.into_path(),
            _ => continue,
        };
        let is_wanted = |segment: &Segment| {
            let uid = segment.tracking_uid.as_deref();
            uid.is_some_and(|uid| wanted.contains(uid))
        };
        let segmentation = Segmentation::read(&file, is_wanted);
        let segmentation = segmentation.map_err(|source| Error::Segmentation { file, source })?;
        let named = segmentation.segments.into_iter();
        let named = named.filter_map(|s| Some((s.tracking_uid?, s.pixels_lps_mm)));
        segments.get_or_insert_with(BTreeMap::new).extend(named);
    }
    Ok(segments)
}

/// `seg.dcm`, or `seg-1.dcm` and on.
fn is_segmentation(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.file_type().is_file() && name.starts_with("seg") && name.ends_with(".dcm")
}
