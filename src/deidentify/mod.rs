//! Images without their patient, for sharing a case: PS3.15 Basic Application Level Confidentiality Profile.
//!
//! In: DICOM files and folders. Out: the same images, pixel data untouched, under new UIDs, names and dates, in a new folder.
//! Refused, object by object: what is no CT, MR or PET image, and what may show text in its pixels, unless told.

mod profile;
mod scrub;
mod secret;

use crate::dicom::{self, WholeObject, read_whole};
use crate::error::Class;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What may stay, and what may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Retain Longitudinal Temporal Information Modified Dates Option (113107): dates move by whole days, the same for all
    /// of a patient's, and times of day stay. Else both are removed.
    pub shift_dates: bool,
    /// Retain Patient Characteristics Option (113108): sex, age, size, weight, ethnic group, smoking, pregnancy.
    pub retain_patient_characteristics: bool,
    /// Take secondary captures and objects whose Burned In Annotation (0028,0301) is YES.
    pub include_burned_in: bool,
}

/// What was written and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// New Study Instance UIDs, which are folders in the output.
    pub studies: BTreeSet<String>,
    /// Series in them.
    pub series: usize,
    /// Objects in them.
    pub objects: usize,
    /// Files that were left out, by code.
    pub left_out: BTreeMap<&'static str, usize>,
}

/// Why an object, or the whole run, was refused. Names no object and no patient.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object cannot be read.
    #[error(transparent)]
    Dicom(#[from] dicom::Error),
    /// No image of the kinds whose attributes the table covers; documents hold free text.
    #[error("no CT, MR or PET image; only these are de-identified")]
    SopClass,
    /// Text in the pixels.
    #[error(
        "Burned In Annotation (0028,0301) is YES; look at the image, then pass --include-burned-in"
    )]
    BurnedIn,
    /// A screenshot or dose page, which often shows the patient's name.
    #[error("a secondary capture; look at the image, then pass --include-burned-in")]
    SecondaryCapture,
    /// An object of the same SOP Instance UID was written already.
    #[error("another object of the same SOP Instance UID (0008,0018) was written")]
    Duplicate,
    /// The output folder holds something.
    #[error("{dir} is not empty; choose another folder, so that nothing is mixed up")]
    NotEmpty {
        /// The output folder.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write below {dir}; empty it and run again ({source})")]
    Write {
        /// The output folder.
        dir: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The DICOM writer refused.
    #[error("an object cannot be encoded")]
    Encode,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Dicom(e) => e.class(),
            Self::SopClass | Self::BurnedIn | Self::SecondaryCapture => Class::Unsupported,
            Self::Duplicate => Class::Input,
            Self::NotEmpty { .. } => Class::Config,
            Self::Write { .. } => Class::Environment,
            Self::Encode => Class::Internal,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dicom(e) => e.code(),
            Self::SopClass => "deidentify-sop-class",
            Self::BurnedIn => "burned-in-annotation",
            Self::SecondaryCapture => "secondary-capture",
            Self::Duplicate => "duplicate-object",
            Self::NotEmpty { .. } => "output-not-empty",
            Self::Write { .. } => "output-io",
            Self::Encode => "encode-failed",
        }
    }
}

/// Writes every image below `paths` to `out_dir/<study>/<series>/<object>.dcm`, all three named by new UIDs.
///
/// The same UID becomes the same new one throughout the run, and no run is linked to another: its secret is forgotten.
/// Everything is written beside its place and moved there at the end. `on_file` is called with the number of files done.
///
/// # Errors
/// [`Error::NotEmpty`] and [`Error::Write`]; what is wrong with single files is counted in the [`Summary`].
pub fn run(
    paths: &[PathBuf],
    out_dir: &Path,
    options: Options,
    on_file: &dyn Fn(usize),
) -> Result<Summary, Error> {
    let at_out = |source| Error::Write {
        dir: out_dir.to_owned(),
        source,
    };
    fs::create_dir_all(out_dir).map_err(at_out)?;
    let mut entries = fs::read_dir(out_dir).map_err(at_out)?;
    if entries.next().is_some() {
        let dir = out_dir.to_owned();
        return Err(Error::NotEmpty { dir });
    }
    let staging = tempfile::Builder::new()
        .prefix(".deidentify-")
        .tempdir_in(out_dir)
        .map_err(at_out)?;
    let secret = Secret::draw();
    let mut summary = Summary::default();
    let mut series = BTreeSet::new();
    let (files, unreadable) = files(paths);
    if unreadable > 0 {
        let error = dicom::Error::Io {
            kind: io::ErrorKind::Other,
        };
        summary.left_out.insert(error.code(), unreadable);
    }
    for (done, path) in files.into_iter().enumerate() {
        match file(&path, &secret, options, staging.path()) {
            Ok(place) => {
                summary.objects += 1;
                summary.studies.insert(place.study.clone());
                series.insert(place);
            }
            Err(Error::Write { source, .. }) => return Err(at_out(source)),
            Err(error) => *summary.left_out.entry(error.code()).or_default() += 1,
        }
        on_file(done + 1);
    }
    for study in &summary.studies {
        fs::rename(staging.path().join(study), out_dir.join(study)).map_err(at_out)?;
    }
    summary.series = series.len();
    Ok(summary)
}

/// New UIDs of the study and the series of an object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    study: String,
    series: String,
}

/// Every file below `paths`, by path, and how many folders and links could not be followed.
fn files(paths: &[PathBuf]) -> (BTreeSet<PathBuf>, usize) {
    let mut files = BTreeSet::new();
    let mut unreadable = 0;
    for root in paths {
        for found in walkdir::WalkDir::new(root).follow_links(true) {
            match found {
                Ok(entry) if entry.file_type().is_file() => {
                    files.insert(entry.into_path());
                }
                Ok(_) => {}
                // A link back to a folder above: its files are listed there.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(_) => unreadable += 1,
            }
        }
    }
    (files, unreadable)
}

fn file(path: &Path, secret: &Secret, options: Options, dir: &Path) -> Result<Place, Error> {
    let WholeObject {
        object,
        transfer_syntax_uid,
    } = read_whole(path)?;
    check_kind(&object, options)?;
    let patient = secret.patient(&identity(&object).each_ref().map(String::as_str));
    let scrubbed = scrub::scrub(object, &patient, options);
    let uid = |tag| {
        let uid = value(&scrubbed, tag);
        let missing = dicom::Error::Missing {
            attribute: dicom::Attribute(tag),
            uid: "unknown".into(),
        };
        crate::uid::is_valid(&uid).then_some(uid).ok_or(missing)
    };
    let place = Place {
        study: uid(tags::STUDY_INSTANCE_UID)?,
        series: uid(tags::SERIES_INSTANCE_UID)?,
    };
    let name = format!("{}.dcm", uid(tags::SOP_INSTANCE_UID)?);
    let folder = dir.join(&place.study).join(&place.series);
    let at_dir = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Duplicate,
        _ => Error::Write {
            dir: dir.to_owned(),
            source,
        },
    };
    fs::create_dir_all(&folder).map_err(at_dir)?;
    let file = File::create_new(folder.join(name)).map_err(at_dir)?;
    write(scrubbed, &transfer_syntax_uid, file).map_err(|error| match error {
        Some(source) => at_dir(source),
        None => Error::Encode,
    })?;
    Ok(place)
}

/// None where the object cannot be encoded.
fn write(object: InMemDicomObject, syntax: &str, file: File) -> Result<(), Option<io::Error>> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
    let object = object.with_meta(meta).map_err(|_| None)?;
    let mut writer = BufWriter::new(file);
    object.write_all(&mut writer).map_err(|_| None)?;
    writer.flush().map_err(Some)?;
    writer.get_ref().sync_all().map_err(Some)
}

/// What tells one patient from another; where nothing does, each study is a patient of its own.
fn identity(object: &InMemDicomObject) -> [String; 3] {
    let [id, issuer, name, birth] = [
        tags::PATIENT_ID,
        tags::ISSUER_OF_PATIENT_ID,
        tags::PATIENT_NAME,
        tags::PATIENT_BIRTH_DATE,
    ]
    .map(|tag| value(object, tag));
    match (id.is_empty(), name.is_empty()) {
        (false, _) => ["id".into(), id, issuer],
        (true, false) => ["name".into(), name, birth],
        (true, true) => [
            "study".into(),
            value(object, tags::STUDY_INSTANCE_UID),
            String::new(),
        ],
    }
}

/// Refuses what is no image of a known kind, and images that may show text.
fn check_kind(object: &InMemDicomObject, options: Options) -> Result<(), Error> {
    const IMAGES: [&str; 9] = [
        uids::CT_IMAGE_STORAGE,
        uids::ENHANCED_CT_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
        uids::MR_IMAGE_STORAGE,
        uids::ENHANCED_MR_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE,
        uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
        uids::ENHANCED_PET_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE,
    ];
    let class = value(object, tags::SOP_CLASS_UID);
    // The base class and its multi-frame children, `.7.1` to `.7.4`.
    let captured = class
        .strip_prefix(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if !captured && !IMAGES.contains(&class.as_str()) {
        return Err(Error::SopClass);
    }
    if options.include_burned_in {
        return Ok(());
    }
    let image_type = value(object, tags::IMAGE_TYPE);
    if captured || image_type.contains("SCREEN") {
        return Err(Error::SecondaryCapture);
    }
    if value(object, tags::BURNED_IN_ANNOTATION) == "YES" {
        return Err(Error::BurnedIn);
    }
    Ok(())
}

fn value(object: &InMemDicomObject, tag: Tag) -> String {
    let found = object.get(tag).and_then(|found| found.to_str().ok());
    let trimmed = found.map(|value| value.trim_matches(['\0', ' ']).to_owned());
    trimmed.unwrap_or_default()
}
