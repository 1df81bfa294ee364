//! What a crash left in the node's folders, tidied before anything is received.

use crate::node::store::{Error, Store, sync_folder};
use crate::uid;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

/// What was found at a start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Files that were still being received and are removed: nobody was told that they had arrived.
    pub unfinished: usize,
    /// Files without a row that are removed: nobody was told that they had arrived, or their study was purged.
    pub unrecorded: usize,
    /// SOP Instance UIDs of instances whose file is missing: somebody removed it, or the disk lost it.
    pub missing: Vec<String>,
}

/// Empties `incoming`, and compares the other folders with the database.
pub(super) fn recover(store: &Store) -> Result<Recovery, Error> {
    let dir = store.dir();
    let mut recovery = Recovery::default();
    let folder = |source| Error::Folder {
        path: dir.into(),
        source,
    };
    for entry in entries(&dir.join("incoming")).map_err(folder)? {
        fs::remove_file(entry.path()).map_err(folder)?;
        recovery.unfinished += 1;
    }
    for name in ["instances", "results"] {
        let known: BTreeSet<String> = store.studies()?.into_iter().collect();
        for (study, path) in studies(&dir.join(name)).map_err(folder)? {
            if !known.contains(&study) {
                recovery.unrecorded += entries(&path).map_err(folder)?.len();
                fs::remove_dir_all(&path).map_err(folder)?;
            }
        }
        sync_folder(&dir.join(name)).map_err(folder)?;
    }
    for study in store.studies()? {
        let rows: BTreeSet<String> = store.instance_uids(&study)?.into_iter().collect();
        compare(&store.instances_dir(&study), &rows, &mut recovery).map_err(folder)?;
    }
    Ok(recovery)
}

fn compare(folder: &Path, rows: &BTreeSet<String>, recovery: &mut Recovery) -> io::Result<()> {
    let mut files = BTreeSet::new();
    for entry in entries(folder)? {
        let name = entry.file_name();
        let uid = name.to_str().and_then(|name| name.strip_suffix(".dcm"));
        match uid.filter(|uid| uid::is_valid(uid)) {
            Some(uid) if rows.contains(uid) => drop(files.insert(uid.to_owned())),
            Some(_) => {
                fs::remove_file(entry.path())?;
                recovery.unrecorded += 1;
            }
            // Nothing of ours.
            None => {}
        }
    }
    recovery.missing.extend(rows.difference(&files).cloned());
    Ok(())
}

/// Folders that are named by a Study Instance UID; anything else is not ours.
fn studies(folder: &Path) -> io::Result<Vec<(String, std::path::PathBuf)>> {
    let study = |entry: DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_ours = uid::is_valid(&name) && entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_ours.then(|| (name, entry.path()))
    };
    Ok(entries(folder)?.into_iter().filter_map(study).collect())
}

/// What a folder holds; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
