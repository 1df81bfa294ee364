//! Small files that are there whole or not at all.

use super::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
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

/// Makes the names in a folder last; only Unix can open a folder for that.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
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
