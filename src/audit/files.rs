//! Small files that are there whole or not at all.

use super::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Makes a file that is not there yet; when this returns, it survives a power cut.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = NamedTempFile::new_in(folder(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        sync_dir(folder(path))
    };
    write().map_err(Error::io(path))
}

/// Makes or replaces a file that one process at a time writes; when this returns, it survives a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // A crash leaves at most this one name behind, and the next write takes it.
    let temporary = path.with_added_extension("tmp");
    let write = || {
        let mut file = private().open(&temporary)?;
        give_to_owner_of(folder(path), &file)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(folder(path))
    };
    write().map_err(Error::io(path))
}

/// A file that is made or emptied, and that its owner alone may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Where root writes in a node's folder, the node goes on with the file.
#[cfg(unix)]
fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (of_dir, of_file) = (fs::metadata(dir)?, file.metadata()?);
    if of_dir.uid() == of_file.uid() {
        return Ok(());
    }
    fchown(file, Some(of_dir.uid()), Some(of_dir.gid()))
}

#[cfg(not(unix))]
fn give_to_owner_of(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the names in a folder last; only Unix can open a folder for that.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, chown};

    #[test]
    fn what_root_writes_in_a_nodes_folder_belongs_to_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.head");
        let node = 4242;
        if chown(dir.path(), Some(node), None).is_err() {
            eprintln!("SKIPPED: only root can give a folder away");
            return;
        }
        replace(&path, b"1").unwrap();
        replace(&path, b"2").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), node);
        assert_eq!(fs::read(&path).unwrap(), b"2");
    }
}
