//! Puts the files of a study in place as one step: written under a temporary name, synced, renamed.
//!
//! Whatever goes wrong, the output folder holds the whole old result or the whole new one under the study's name.

use super::{Error, OutputFile, Status, StudyReport, encode};
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
    staging.put(&files, &dir, existing != Existing::None)?;
    sync_dir(out_dir)?;
    Ok(Written {
        files: files.iter().map(|file| dir.join(&file.name)).collect(),
        dir,
        unchanged: false,
    })
}

/// Whether `dir` exists and may be replaced by a folder of files of these names.
///
/// A folder that holds files of these names alone is replaced with `overwrite`; an empty one always, any other never.
///
/// # Errors
/// [`Error::Exists`], [`Error::NotOurs`]; [`Error::NotWritable`] and [`Error::Io`] where the folder cannot be read.
pub fn check_folder(dir: &Path, names: &[&str], overwrite: bool) -> Result<bool, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(at(dir))?,
    };
    let found = entries.map(|entry| entry.map(|e| e.file_name()));
    let found: Vec<_> = found.collect::<io::Result<_>>().map_err(at(dir))?;
    let is_ours = |name: &std::ffi::OsString| names.iter().any(|ours| *name == **ours);
    if !found.iter().all(is_ours) {
        return Err(Error::NotOurs { dir: dir.into() });
    }
    if !found.is_empty() && !overwrite {
        return Err(Error::Exists { dir: dir.into() });
    }
    Ok(true)
}

/// Writes `files` to the folder `dir`, whole or not at all, where [`check_folder`] allows it.
///
/// # Errors
/// Those of [`check_folder`]; [`Error::DiskFull`], [`Error::NotWritable`] and [`Error::Io`] from the file system.
pub fn write_folder(dir: &Path, files: &[OutputFile], overwrite: bool) -> Result<(), Error> {
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let exists = check_folder(dir, &names, overwrite)?;
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    Staging::new(parent, &name)?.put(files, dir, exists)?;
    sync_dir(parent)
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
    /// For the folder `name` in `out_dir`.
    fn new(out_dir: &Path, name: &str) -> Result<Self, Error> {
        let pid = std::process::id();
        let staging = Self {
            path: out_dir.join(format!(".{name}.tmp-{pid}")),
            aside: out_dir.join(format!(".{name}.old-{pid}")),
        };
        // A process of the same number may have died here.
        remove_dir(&staging.path)?;
        fs::create_dir(&staging.path).map_err(at(&staging.path))?;
        Ok(staging)
    }

    /// Writes the files, and puts them in place as `dir`.
    fn put(&self, files: &[OutputFile], dir: &Path, replace: bool) -> Result<(), Error> {
        for file in files {
            write_synced(&self.path.join(&file.name), &file.bytes)?;
        }
        sync_dir(&self.path)?;
        match replace {
            true => self.swap_with(dir),
            false => fs::rename(&self.path, dir).map_err(at(dir)),
        }
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
    fn a_folder_is_replaced_only_when_told_and_never_where_it_holds_something_else() {
        let out = tempfile::tempdir().expect("temporary folder");
        let dir = out.path().join("new/table");
        let files = |text: &str| {
            let (name, bytes) = ("a.csv".to_owned(), text.into());
            [OutputFile { name, bytes }]
        };
        let write = |text, overwrite| write_folder(&dir, &files(text), overwrite);
        write("old", false).expect("written");
        let code = |result: Result<(), Error>| result.expect_err("refused").code();
        assert_eq!(code(write("new", false)), "output-exists");
        write("new", true).expect("replaced");
        assert_eq!(fs::read(dir.join("a.csv")).expect("file"), b"new");
        fs::write(dir.join("mine"), "mine").expect("file");
        assert_eq!(code(write("newer", true)), "output-not-ours");
        let names = fs::read_dir(out.path().join("new"))
            .expect("folder")
            .count();
        assert_eq!(names, 1, "nothing temporary is left");
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
