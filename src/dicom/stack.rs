//! The slices of a series to one block of stored samples.
//!
//! In: a [`Series`]. Out: a [`StoredVolume`]. Refused: more voxels than allowed, and any slice that cannot be decoded.

use super::attribute::Attribute;
use super::frames::{Target, read_frames};
use super::pixel::{read_slice, slice_samples};
use super::{Error, Instance, Series};
use crate::volume::{PADDING_HU, Samples, StoredVolume};
use rayon::prelude::*;
use std::collections::BTreeMap;
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
    let targets = series
        .instances
        .iter()
        .zip(samples.chunks_exact_mut(rows * columns));
    let results: Vec<Result<(), Error>> = by_file(targets)
        .into_par_iter()
        .map(|targets| {
            if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                return Err(Error::Cancelled);
            }
            read(targets)
        })
        .collect();
    results.into_iter().collect::<Result<(), Error>>()?;
    for (instance, samples) in series
        .instances
        .iter()
        .zip(samples.chunks_exact(rows * columns))
    {
        check_empty(instance, samples)?;
    }
    Ok(StoredVolume {
        geometry: series.geometry,
        slices: series.slices.clone(),
        samples,
        signed: series.instances.iter().any(|i| i.signed),
        rescale: series.instances.iter().map(|i| i.rescale).collect(),
        padding: series.instances.first().and_then(|i| i.padding),
        padding_value: padding_value(series),
    })
}

/// A slope of 0 is believed of a slice that stores nothing else than 0.
fn check_empty(instance: &Instance, samples: &[u16]) -> Result<(), Error> {
    if instance.rescale.slope.abs() > 0.0 || samples.iter().all(|sample| *sample == 0) {
        return Ok(());
    }
    Err(Error::BadValue {
        attribute: Attribute::RESCALE_SLOPE,
        found: "0".into(),
        needed: "another number where stored values are not 0 is",
        uid: instance.sop_instance_uid.clone(),
    })
}

/// Beyond the field of view a CT shows air, and a PET no activity.
fn padding_value(series: &Series) -> f32 {
    let is_pet = series.instances.iter().any(|i| i.modality == "PT");
    if is_pet { 0.0 } else { PADDING_HU }
}

/// What is read from one file at once; the files in the order of their lowest slices.
fn by_file<'a>(targets: impl Iterator<Item = Target<'a>>) -> Vec<Vec<Target<'a>>> {
    let mut files: Vec<Vec<Target>> = Vec::new();
    let mut of_object = BTreeMap::new();
    for target in targets {
        let instance = target.0;
        if instance.frame_number.is_none() {
            files.push(vec![target]);
            continue;
        }
        let next = files.len();
        let file = *of_object.entry(&instance.path).or_insert(next);
        if file == next {
            files.push(Vec::new());
        }
        files[file].push(target);
    }
    files
}

fn read(mut targets: Vec<Target>) -> Result<(), Error> {
    match &mut targets[..] {
        [(instance, samples)] if instance.frame_number.is_none() => read_slice(instance, samples),
        _ => read_frames(targets),
    }
}

/// Whether two images of one frame and of equal attributes hold equal samples.
pub(super) fn same_samples(a: &Instance, b: &Instance) -> Result<bool, Error> {
    Ok(slice_samples(a)? == slice_samples(b)?)
}

fn allocate(voxels: u64, series: &Series) -> Result<Samples, Error> {
    let out_of_memory = || Error::OutOfMemory {
        bytes: voxels.saturating_mul(2),
        uid: series.uid().to_owned(),
    };
    let count = usize::try_from(voxels).map_err(|_| out_of_memory())?;
    Samples::try_zeroed(count).ok_or_else(out_of_memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::fixture::{instances, slice};

    #[test]
    fn a_slope_of_zero_goes_with_stored_zeros_alone() {
        let mut instance = instances([slice(0)]).remove(0);
        assert!(check_empty(&instance, &[0, 1]).is_ok());
        instance.rescale.slope = 0.0;
        assert!(check_empty(&instance, &[0, 0]).is_ok());
        let refused = check_empty(&instance, &[0, 1]).expect_err("uptake times 0");
        assert_eq!(refused.code(), "bad-value");
    }
}
