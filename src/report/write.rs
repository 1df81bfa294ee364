//! Puts the files of a study in place as one step: written under a temporary name, synced, renamed.
//!
//! Whatever goes wrong, the output folder holds the whole old result or the whole new one under the study's name.

use super::{Error, Status, StudyReport, encode};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Its presence marks a folder as ours.
pub(super) const FINDINGS_JSON: &str = "findings.json";

/// What lies in the output folder under a study's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    None,
    /// The results of the run with this `provenance.run_id`.
    Run(String),
    /// Results of which some series failed: another try replaces them.
    Incomplete,
    /// Something that this program did not write.
    Foreign,
}

/// Where the files of a study are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The study's folder.
    pub dir: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// The same run was there already and nothing was written.
    pub unchanged: bool,
}

/// Writes the files of a study to `out_dir/<StudyInstanceUID>`, whole or not at all.
///
/// The same run (`provenance.run_id`) is left alone, unless a series of it failed: then this is another try. Another run is
/// replaced only with `overwrite`; what this program did not write is never replaced.
///
/// # Errors
/// [`Error::Exists`], [`Error::NotOurs`]; [`Error::DiskFull`], [`Error::NotWritable`] and [`Error::Io`] from the file
/// system; those of [`encode`].
pub fn write_study(
    out_dir: &Path,
    report: &StudyReport,
    overwrite: bool,
) -> Result<Written, Error> {
    let dir = out_dir.join(&report.study_instance_uid);
    let existing = existing_run(out_dir, &report.study_instance_uid)?;
    match &existing {
        Existing::None | Existing::Incomplete => {}
        Existing::Run(run_id) if *run_id == report.provenance.run_id => return unchanged(dir),
        Existing::Run(_) if overwrite => {}
        Existing::Run(_) => return Err(Error::Exists { dir }),
        Existing::Foreign => return Err(Error::NotOurs { dir }),
    }
    let files = encode(report)?;
    fs::create_dir_all(out_dir).map_err(at(out_dir))?;
    let staging = Staging::new(out_dir, &report.study_instance_uid)?;
    for file in &files {
        write_synced(&staging.path.join(&file.name), &file.bytes)?;
    }
    sync_dir(&staging.path)?;
    match existing {
        Existing::None => fs::rename(&staging.path, &dir).map_err(at(&dir))?,
        Existing::Run(_) | Existing::Incomplete | Existing::Foreign => staging.swap_with(&dir)?,
    }
    sync_dir(out_dir)?;
    Ok(Written {
        files: files.iter().map(|file| dir.join(&file.name)).collect(),
        dir,
        unchanged: false,
    })
}

/// Which run's results `out_dir` holds for a study.
///
/// # Errors
/// [`Error::InvalidStudyUid`]; [`Error::NotWritable`] and [`Error::Io`] where the folder cannot be read.
pub fn existing_run(out_dir: &Path, study_instance_uid: &str) -> Result<Existing, Error> {
    #[derive(Deserialize)]
    struct Findings {
        study_instance_uid: String,
        series: Vec<Series>,
        provenance: Run,
    }
    #[derive(Deserialize)]
    struct Series {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Run {
        run_id: String,
    }

    if !crate::uid::is_valid(study_instance_uid) {
        return Err(Error::InvalidStudyUid);
    }
    let dir = out_dir.join(study_instance_uid);
    match fs::symlink_metadata(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Existing::None),
        Err(e) => return Err(at(&dir)(e)),
        Ok(found) if !found.is_dir() => return Ok(Existing::Foreign),
        Ok(_) => {}
    }
    let path = dir.join(FINDINGS_JSON);
    let file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Existing::Foreign),
        Err(e) => return Err(at(&path)(e)),
        Ok(file) => file,
    };
    match serde_json::from_reader::<_, Findings>(io::BufReader::new(file)) {
        Ok(found) if found.study_instance_uid == study_instance_uid => {
            let failed = found.series.iter().any(|s| s.status == Status::Failed);
            Ok(if failed {
                Existing::Incomplete
            } else {
                Existing::Run(found.provenance.run_id)
            })
        }
        _ => Ok(Existing::Foreign),
    }
}

fn unchanged(dir: PathBuf) -> Result<Written, Error> {
    let entries = fs::read_dir(&dir).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|e| e.path()));
        paths.collect::<io::Result<Vec<_>>>()
    });
    let mut files = entries.map_err(at(&dir))?;
    files.sort();
    Ok(Written {
        dir,
        files,
        unchanged: true,
    })
}

/// A folder beside the final one, removed when it is dropped before it was renamed.
struct Staging {
    path: PathBuf,
    /// Where the old result waits while the new one takes its place.
    aside: PathBuf,
}

impl Staging {
    fn new(out_dir: &Path, study_instance_uid: &str) -> Result<Self, Error> {
        let pid = std::process::id();
        let staging = Self {
            path: out_dir.join(format!(".{study_instance_uid}.tmp-{pid}")),
            aside: out_dir.join(format!(".{study_instance_uid}.old-{pid}")),
        };
        // A process of the same number may have died here.
        remove_dir(&staging.path)?;
        fs::create_dir(&staging.path).map_err(at(&staging.path))?;
        Ok(staging)
    }

    /// Moves `dir` aside, takes its place, and only then removes the old files.
    fn swap_with(&self, dir: &Path) -> Result<(), Error> {
        remove_dir(&self.aside)?;
        fs::rename(dir, &self.aside).map_err(at(dir))?;
        if let Err(error) = fs::rename(&self.path, dir) {
            fs::rename(&self.aside, dir).map_err(at(&self.aside))?;
            return Err(at(dir)(error));
        }
        if let Err(error) = remove_dir(&self.aside) {
            tracing::warn!(%error, "Left the replaced results behind.");
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_dir(&self.path) {
            tracing::warn!(%error, "Left a temporary folder behind.");
        }
    }
}

fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

/// Makes the names in a folder last; only Unix can open a folder for that.
fn sync_dir(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|dir| dir.sync_all())
            .map_err(at(path))?;
    }
    Ok(())
}

/// Sorts a system error by what a person can do about it.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::DiskFull { path, source }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::NotWritable { path, source }
        }
        _ => Error::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn a_full_disk_and_a_read_only_folder_are_told_apart() {
        let code = |kind: io::ErrorKind| at(Path::new("out"))(kind.into()).code();
        assert_eq!(code(io::ErrorKind::StorageFull), "disk-full");
        assert_eq!(
            code(io::ErrorKind::ReadOnlyFilesystem),
            "output-not-writable"
        );
        assert_eq!(code(io::ErrorKind::PermissionDenied), "output-not-writable");
        let other = at(Path::new("out"))(io::ErrorKind::Interrupted.into());
        assert_eq!(
            (other.code(), other.class()),
            ("output-io", Class::Environment)
        );
    }

    #[test]
    fn results_with_a_failed_series_wait_for_another_try() {
        let out = tempfile::tempdir().expect("temporary folder");
        let dir = out.path().join("1.2");
        fs::create_dir(&dir).expect("folder");
        let found_with = |status: &str| {
            let series = format!(r#"[{{"status": "done"}}, {{"status": "{status}"}}]"#);
            let text = format!(
                r#"{{"study_instance_uid": "1.2", "series": {series}, "provenance": {{"run_id": "a"}}}}"#
            );
            fs::write(dir.join(FINDINGS_JSON), text).expect("file");
            existing_run(out.path(), "1.2").expect("readable")
        };
        assert_eq!(found_with("failed"), Existing::Incomplete);
        assert_eq!(found_with("skipped"), Existing::Run("a".into()));
    }

    #[test]
    fn a_failed_swap_puts_the_old_results_back() {
        let out = tempfile::tempdir().expect("temporary folder");
        let dir = out.path().join("1.2");
        fs::create_dir(&dir).expect("folder");
        fs::write(dir.join("old"), "old").expect("file");
        let staging = Staging::new(out.path(), "1.2").expect("staging");
        fs::remove_dir(&staging.path).expect("gone");
        assert!(staging.swap_with(&dir).is_err());
        assert!(dir.join("old").exists());
    }
}
