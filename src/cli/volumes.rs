//! NIfTI and MetaImage files among what `hilum process` was given.

use crate::dicom::Unreadable;
use crate::volume_file::{self, VolumeFile};
use crate::volume_study;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The volume files below the paths that were given.
pub(super) struct VolumeFiles {
    /// By Study Instance UID; copies of a file are one.
    pub(super) studies: BTreeMap<String, VolumeFile>,
    pub(super) unreadable: Vec<UnreadableFile>,
}

impl VolumeFiles {
    /// Reads the header of every volume file; what cannot be read is listed with the reason.
    ///
    /// Label maps of an earlier run, below `out_dir`, are no input.
    pub(super) fn open(paths: &[PathBuf], out_dir: &Path) -> Self {
        let mut files = Self {
            studies: BTreeMap::new(),
            unreadable: Vec::new(),
        };
        let results = out_dir.canonicalize().ok();
        let is_result = |path: &Path| results.as_ref().is_some_and(|out| path.starts_with(out));
        for path in volume_file::find(paths) {
            if is_result(&path) {
                continue;
            }
            match VolumeFile::open(&path) {
                Ok(file) => {
                    let uid = volume_study::study(&file).study_instance_uid;
                    files.studies.entry(uid).or_insert(file);
                }
                Err(error) => files.unreadable.push(UnreadableFile {
                    path,
                    code: error.code(),
                    text: error.to_string(),
                }),
            }
        }
        files
    }
}

/// A file that could not be read, for the person who gave it.
#[derive(Debug, Serialize)]
pub(super) struct UnreadableFile {
    pub(super) path: PathBuf,
    pub(super) code: &'static str,
    pub(super) text: String,
}

impl From<&Unreadable> for UnreadableFile {
    fn from(Unreadable { path, error }: &Unreadable) -> Self {
        Self {
            path: path.clone(),
            code: error.code(),
            text: error.to_string(),
        }
    }
}
