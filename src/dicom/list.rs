//! Folders to files.
//!
//! In: paths. Out: every file below them once, without links, and what could not be looked at.

use super::Error;
use super::read::Unreadable;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Every file below `paths` once, by path, and whether it was named itself.
pub(super) fn list_files(
    paths: &[PathBuf],
    unreadable: &mut Vec<Unreadable>,
) -> BTreeMap<PathBuf, bool> {
    let mut files = BTreeMap::new();
    let mut refuse = |path: &Path, kind| {
        let path = path.to_owned();
        unreadable.push(Unreadable {
            path,
            error: Error::Io { kind },
        });
    };
    let mut folder = Folder::default();
    for root in paths {
        for found in WalkDir::new(root).follow_links(true) {
            match found {
                Ok(entry) if entry.file_type().is_file() => match resolved(&entry, &mut folder) {
                    Ok(path) => *files.entry(path).or_default() |= entry.depth() == 0,
                    Err(e) => refuse(entry.path(), e.kind()),
                },
                Ok(entry) if !entry.file_type().is_dir() && entry.depth() == 0 => {
                    refuse(entry.path(), io::ErrorKind::InvalidInput);
                }
                Ok(_) => {}
                // A link back to a folder above: its files are listed there.
                Err(e) if e.loop_ancestor().is_some() => {}
                Err(e) => {
                    let kind = e.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
                    refuse(e.path().unwrap_or(root), kind);
                }
            }
        }
    }
    files
}

/// A folder as it was found, and without links.
type Folder = (PathBuf, PathBuf);

/// The path of a file without links; `folder` is the one before's and is resolved once for all its files.
fn resolved(entry: &DirEntry, folder: &mut Folder) -> io::Result<PathBuf> {
    let path = entry.path();
    let Some(parent) = path.parent().filter(|_| entry.depth() > 0) else {
        return path.canonicalize();
    };
    if entry.path_is_symlink() {
        return path.canonicalize();
    }
    if folder.0 != parent {
        *folder = (parent.to_owned(), parent.canonicalize()?);
    }
    Ok(folder.1.join(entry.file_name()))
}
