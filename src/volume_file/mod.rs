//! Volumes of researchers: NIfTI-1 and MetaImage files in, label maps out.
//!
//! In: `.nii`, `.nii.gz`, `.mha`, or `.mhd` with its data file; each is one volume of HU. Out: a [`StoredVolume`] in LPS.
//! Refused, by code: files that are cut off, larger than their header says, of impossible geometry, without orientation,
//! or whose values are no HU. Knows nothing of DICOM.

mod error;
mod label_map;
mod labels;
mod layout;
mod metaimage;
mod nifti;
mod samples;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use label_map::encode_label_map;
pub use labels::LabelVoxels;

use crate::volume::{Geometry, StoredVolume};
use layout::Layout;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A volume file whose header was read and found sound; the voxels stay in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeFile {
    /// The file; it may hold a patient's name, so it is for the person who gave it, not for logs.
    pub path: PathBuf,
    /// The grid, in LPS.
    pub geometry: Geometry,
    /// SHA-256 of the file's bytes and of those of its data file: what names this volume, whatever the file is called.
    pub sha256: String,
    layout: Layout,
}

impl VolumeFile {
    /// Reads and checks the header, and hashes the whole file.
    ///
    /// # Errors
    /// What is wrong with the header or with the length of the data.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let layout = layout(path)?;
        Ok(Self {
            path: path.to_owned(),
            geometry: layout.geometry,
            sha256: sha256(path, &layout.data.path)?,
            layout,
        })
    }

    /// Reads the voxels.
    ///
    /// Integers of up to 16 bits are kept as they are stored; others are rounded to whole HU.
    ///
    /// # Errors
    /// [`Error::TooManyVoxels`] beyond `max_voxels`, before anything is allocated; [`Error::Cancelled`] soon after
    /// `cancel` is set; [`Error::Changed`] where the file is another one now; else what is wrong with the voxels.
    pub fn load(
        &self,
        max_voxels: u64,
        cancel: Option<&AtomicBool>,
    ) -> Result<StoredVolume, Error> {
        let voxels = self.layout.voxels();
        if voxels > max_voxels {
            return Err(Error::TooManyVoxels {
                voxels,
                limit: max_voxels,
            });
        }
        let stored = samples::read(&self.layout, cancel)?;
        if sha256(&self.path, &self.layout.data.path)? == self.sha256 {
            return Ok(stored);
        }
        Err(Error::Changed)
    }
}

/// The header of a file, whose data are as long as it says.
fn layout(path: &Path) -> Result<Layout, Error> {
    let layout = match format(path) {
        Some(Format::Nifti { gzip }) => nifti::layout(path, gzip)?,
        Some(Format::MetaImage) => metaimage::layout(path)?,
        None => return Err(Error::Malformed { what: "its name" }),
    };
    layout.check_length()?;
    Ok(layout)
}

/// Whether the name of a file is that of a volume file.
pub fn is_volume_file(path: &Path) -> bool {
    format(path).is_some()
}

/// Every volume file below `paths` once, by path; what cannot be searched is left to the reader of DICOM, which reports it.
pub fn find(paths: &[PathBuf]) -> Vec<PathBuf> {
    let walk = |root| walkdir::WalkDir::new(root).follow_links(true);
    let mut found: Vec<PathBuf> = paths
        .iter()
        .flat_map(walk)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && is_volume_file(entry.path()))
        .filter_map(|entry| entry.path().canonicalize().ok())
        .collect();
    found.sort();
    found.dedup();
    found
}

enum Format {
    Nifti { gzip: bool },
    MetaImage,
}

fn format(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |end| name.ends_with(end);
    if ends(".nii") || ends(".nii.gz") {
        return Some(Format::Nifti { gzip: ends(".gz") });
    }
    (ends(".mhd") || ends(".mha")).then_some(Format::MetaImage)
}

/// Of the file and, where it is another one, of its data file.
fn sha256(path: &Path, data: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |path| io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash));
    add(path).map_err(Error::io)?;
    if data != path {
        add(data).map_err(Error::io)?;
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
