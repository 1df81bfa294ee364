//! Writes both series of a PET/CT phantom, one file a slice, with their truth beside them.

use super::super::defect::SliceFile;
use super::super::write::{
    PET_FOLDER, SERIES_FOLDER, SeriesHeader, TRUTH_FILE, WriteOptions, new_folder, numbers,
    publish, write_numbered, write_truth,
};
use super::header::{PetHeader, ct_times, shared};
use super::{Error, PetPhantom, uids};
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPair {
    /// Folder of the CT's slices.
    pub ct: PathBuf,
    /// Folder of the PET's slices.
    pub pet: PathBuf,
    /// The truth of both.
    pub truth: PathBuf,
}

/// Writes `dir/series/*.dcm` (CT), `dir/pet/*.dcm` and `dir/truth.json`; a defect of the CT in `options` is not made.
///
/// # Errors
/// [`Error::NotEmpty`] when `dir` holds anything and `overwrite` is not set (then only a former phantom is replaced);
/// [`Error::Write`] when the disk refuses.
pub fn write_pet_ct(
    phantom: &PetPhantom,
    dir: &Path,
    options: WriteOptions,
) -> Result<WrittenPair, Error> {
    publish(dir, options.overwrite, |fresh| {
        write_ct(phantom, &new_folder(fresh, SERIES_FOLDER)?, options.shuffle)?;
        write_pet(phantom, &new_folder(fresh, PET_FOLDER)?, options.shuffle)?;
        write_truth(&phantom.truth, fresh)
    })?;
    Ok(WrittenPair {
        ct: dir.join(SERIES_FOLDER),
        pet: dir.join(PET_FOLDER),
        truth: dir.join(TRUTH_FILE),
    })
}

fn write_ct(phantom: &PetPhantom, folder: &Path, shuffle: bool) -> Result<(), Error> {
    let params = &phantom.truth.ct.params;
    let uids = uids(params, phantom.params());
    let header = SeriesHeader::new(&phantom.ct, &uids);
    let mut edits = shared(&phantom.truth.pet.patient, &phantom.times);
    edits.extend(ct_times(&phantom.times));
    let numbers = numbers(params.size[0], shuffle, params.seed);
    write_numbered(folder, &numbers, |slice, number| {
        let mut file = SliceFile::new(0, slice);
        file.edits.clone_from(&edits);
        header.encode(&file, number)
    })
}

fn write_pet(phantom: &PetPhantom, folder: &Path, shuffle: bool) -> Result<(), Error> {
    let params = &phantom.truth.ct.params;
    let uids = uids(params, phantom.params());
    let header = PetHeader {
        phantom,
        uids: &uids,
        tracer: phantom.params().tracer.tracer(),
    };
    let [slices, _, _] = phantom.image.size();
    let numbers = numbers(slices, shuffle, params.seed);
    write_numbered(folder, &numbers, |slice, number| {
        let encoded = header.encode(slice, number);
        encoded.map_err(|reason| Error::Encode { slice, reason })
    })
}
