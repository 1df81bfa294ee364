//! Results into a folder: `FOLDER/<StudyInstanceUID>/<version>/`, whole or not at all.

use super::{DeliveryError, Parcel, Sent};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Copies the parcel below `dir`, which has to exist: an empty mount point would hide what is written to it.
pub(super) fn send(dir: &Path, parcel: &Parcel) -> Result<Sent, DeliveryError> {
    let study_dir = dir.join(&parcel.study_instance_uid);
    let target = study_dir.join(parcel.version.to_string());
    let at = DeliveryError::folder;
    if !target.try_exists().map_err(at(&target))? {
        make(&study_dir).map_err(at(&study_dir))?;
        let staging = study_dir.join(format!(".{}.partial", parcel.version));
        let sent = fill(&staging, &parcel.files)?;
        match fs::rename(&staging, &target) {
            Ok(()) => {
                sync_folder(&study_dir).map_err(at(&study_dir))?;
                return Ok(sent);
            }
            Err(error) if is_taken(&error) => fs::remove_dir_all(&staging).map_err(at(&staging))?,
            Err(error) => return Err(at(&target)(error)),
        }
    }
    match holds(&target, &parcel.files) {
        Ok(Some(sent)) => Ok(sent),
        Ok(None) => Err(DeliveryError::Occupied { dir: target }),
        Err(error) => Err(at(&target)(error)),
    }
}

fn make(study_dir: &Path) -> io::Result<()> {
    match fs::create_dir(study_dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => study_dir.parent().map_or(Ok(()), sync_folder),
    }
}

/// Copies `files` to the new folder `staging`; what an earlier try left there is ours and goes.
fn fill(staging: &Path, files: &[PathBuf]) -> Result<Sent, DeliveryError> {
    let at = DeliveryError::folder;
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(staging)(error)),
        _ => fs::create_dir(staging).map_err(at(staging))?,
    }
    let mut sent = Sent::default();
    for path in files {
        let mut source = File::open(path).map_err(DeliveryError::source(path))?;
        let copy = staging.join(name(path)?);
        let mut copied = File::create_new(&copy).map_err(at(&copy))?;
        sent.bytes += io::copy(&mut source, &mut copied).map_err(at(&copy))?;
        copied.sync_all().map_err(at(&copy))?;
        sent.objects += 1;
    }
    sync_folder(staging).map_err(at(staging))?;
    Ok(sent)
}

fn name(path: &Path) -> Result<&OsStr, DeliveryError> {
    let nameless = || DeliveryError::source(path)(ErrorKind::InvalidInput.into());
    path.file_name().ok_or_else(nameless)
}

fn is_taken(error: &io::Error) -> bool {
    use ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(
        error.kind(),
        AlreadyExists | DirectoryNotEmpty | NotADirectory
    )
}

/// What `target` holds, where that is `files` and nothing else.
fn holds(target: &Path, files: &[PathBuf]) -> io::Result<Option<Sent>> {
    if !target.is_dir() || fs::read_dir(target)?.count() != files.len() {
        return Ok(None);
    }
    let mut sent = Sent::default();
    for path in files {
        let there = target.join(path.file_name().unwrap_or_default());
        if !there.is_file() || sha256(&there)? != sha256(path)? {
            return Ok(None);
        }
        sent.objects += 1;
        sent.bytes += fs::metadata(path)?.len();
    }
    Ok(Some(sent))
}

pub(super) fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
