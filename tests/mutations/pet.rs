//! PET slices and a region, damaged: the body that the mutation tests and `fuzz/` share, and its seeds.

use super::bodies::{Verdict, join, read_parts, split, written};
use hilum::region::Region;
use hilum::suv::{Policy, Suv};
use std::path::Path;

const MAX_VOXELS: u64 = 1 << 20;

/// An RT Structure Set, then slices: SUV of every PET among them, in the region.
pub(crate) fn suv(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let parts = split(data);
    let Some((region, slices)) = parts.split_first() else {
        return verdict;
    };
    let path = written(scratch, "region.dcm", region);
    let region = Region::read(&path, None, MAX_VOXELS);
    let region = verdict.result(region, |e| e.code().into());
    let inventory = read_parts(scratch, &join(slices), &mut verdict);
    for series in inventory.studies.iter().flat_map(|study| &study.series) {
        if let Some(images) = verdict.result(series.pet_images(), |e| e.code().into()) {
            let suv = verdict.result(Suv::new(&images, Policy::Lenient), |e| e.code().into());
            if let Some(suv) = suv {
                suv.warnings.iter().for_each(|w| verdict.note(w.code()));
                assert_eq!(suv.factors.len(), series.instances.len());
                assert!(suv.factors.iter().all(|f| f.is_finite() && *f > 0.0));
            }
        }
        let small = series.geometry.voxel_count() as u64 <= MAX_VOXELS;
        if let Some(region) = region.as_ref().filter(|_| small) {
            verdict.voxels(series.geometry.size);
            verdict.result(region.on(series).map(drop), |e| e.code().into());
        }
    }
    verdict
}
