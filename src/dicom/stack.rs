//! The slices of a series to one block of stored samples.
//!
//! In: a [`Series`]. Out: a [`StoredVolume`]. Refused: more voxels than allowed, and any slice that cannot be decoded.

use super::pixel::read_slice;
use super::{Error, Series};
use crate::volume::StoredVolume;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads and decodes all slices in parallel, each straight into its place.
///
/// The size is checked before anything is allocated; memory is 2 bytes a voxel and one slice a thread.
///
/// # Errors
/// [`Error::TooManyVoxels`] beyond `max_voxels`; [`Error::Cancelled`] soon after `cancel` is set; else what is wrong with
/// the first slice, from below, that cannot be read.
pub fn load(
    series: &Series,
    max_voxels: u64,
    cancel: Option<&AtomicBool>,
) -> Result<StoredVolume, Error> {
    let [slices, rows, columns] = series.geometry.size;
    let voxels = [slices, rows, columns]
        .iter()
        .fold(1_u64, |n, side| n.saturating_mul(*side as u64));
    if voxels > max_voxels {
        return Err(Error::TooManyVoxels {
            voxels,
            limit: max_voxels,
            uid: series.uid().to_owned(),
        });
    }
    let mut samples = allocate(voxels, series)?;
    let results: Vec<Result<(), Error>> = samples
        .par_chunks_exact_mut(rows * columns)
        .zip(&series.instances)
        .map(|(slice, instance)| {
            if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                return Err(Error::Cancelled);
            }
            read_slice(instance, slice)
        })
        .collect();
    results.into_iter().collect::<Result<(), Error>>()?;
    Ok(StoredVolume {
        geometry: series.geometry,
        samples,
        signed: series.instances.iter().any(|i| i.signed),
        rescale: series.instances.iter().map(|i| i.rescale).collect(),
        padding: series.instances.first().and_then(|i| i.padding),
    })
}

fn allocate(voxels: u64, series: &Series) -> Result<Vec<u16>, Error> {
    let out_of_memory = || Error::OutOfMemory {
        bytes: voxels.saturating_mul(2),
        uid: series.uid().to_owned(),
    };
    let count = usize::try_from(voxels).map_err(|_| out_of_memory())?;
    let mut samples = Vec::new();
    samples
        .try_reserve_exact(count)
        .map_err(|_| out_of_memory())?;
    samples.resize(count, 0);
    Ok(samples)
}
