//! Lesions and organs of a real whole-body PET: the sarcoma that its contours show, and the organs that anyone sees in it.

#![expect(clippy::print_stdout, reason = "a skipped test and figures say so")]

use hilum::dicom::{self, Series};
use hilum::lesion::pet::{self, Organ, PetOutcome, PetParams, Threshold, TracerKind};
use hilum::region::Region;
use hilum::suv::{Policy, Suv};
use hilum::volume::{Laterality, Mask, StoredVolume};
use std::path::Path;
use std::time::Instant;

const MAX_VOXELS: u64 = 1 << 30;

/// The PET as SUV and the contours of the mass on its voxels.
fn sarcoma() -> Option<(Series, StoredVolume, Mask)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/pet/STS_001");
    if !folder.is_dir() {
        println!(
            "SKIPPED, NO PET WAS SEARCHED: {} is missing",
            folder.display()
        );
        return None;
    }
    let mut inventory = dicom::read_paths(std::slice::from_ref(&folder), &|_| ());
    let series = inventory.studies.remove(0).series.remove(0);
    let images = series.pet_images().expect("a PET");
    assert_eq!(TracerKind::of(&images), TracerKind::Fdg);
    let suv = Suv::new(&images, Policy::Strict).expect("SUV");
    let mut stored = dicom::load(&series, MAX_VOXELS, None).expect("voxels");
    suv.apply(&mut stored);
    let contours = folder.join("mask/1-1.dcm");
    let region = Region::read(&contours, Some("GTV_Mass"), MAX_VOXELS).expect("contours");
    let (mask, _) = region.on(&series).expect("on the series");
    Some((series, stored, mask))
}

/// Dice of the lesion that has the most voxels in a mask.
fn dice(outcome: &PetOutcome, stored: &StoredVolume, mask: &Mask) -> f64 {
    let inside = |voxel: [usize; 3]| mask.voxels[stored.geometry.linear(voxel)] != 0;
    let of_mask = mask.voxels.iter().filter(|v| **v != 0).count();
    let lesions = outcome.findings.iter().filter(|f| f.organ.is_none());
    let overlaps = lesions.map(|f| {
        let shared = f.lesion.mask.voxels().filter(|v| inside(*v)).count();
        (shared, f.lesion.mask.count())
    });
    let (shared, own) = overlaps
        .max_by_key(|(shared, _)| *shared)
        .expect("a lesion");
    2.0 * shared as f64 / (own + of_mask) as f64
}

fn print(stored: &StoredVolume, outcome: &PetOutcome) {
    println!("liver {:?}", outcome.liver);
    println!("blood pool {:?}", outcome.blood_pool);
    for f in &outcome.findings {
        let ml: f64 = f
            .lesion
            .mask
            .voxels()
            .map(|[z, ..]| stored.slices.extent(z))
            .sum::<f64>()
            * stored.geometry.voxel_volume_mm3()
            / 1000.0;
        let [x, y, z] = f.lesion.centre_lps_mm.to_array();
        let name = f.organ.map_or("LESION", |o| o.name());
        println!(
            "{name:>15} {:.2} SUVmax {:5.1} ≥ {:4.1} around {:4.1} {ml:6.1} ml at {x:4.0} {y:4.0} {z:5.0} {:?}",
            f.lesion.confidence, f.suv_max, f.threshold_suv, f.background_suv, f.review
        );
    }
}

/// What makes a region of the sarcoma, and its least Dice with the contours, which follow MRI and hold what takes up little.
const THRESHOLDS: [(Threshold, f64); 4] = [
    (Threshold::OfMax(0.41), 0.40),
    (Threshold::Fixed(2.5), 0.60),
    (Threshold::Fixed(4.0), 0.15),
    (Threshold::Liver(3.0), 0.50),
];

#[test]
fn the_sarcoma_is_found_by_every_rule_and_has_the_highest_score_by_the_default() {
    let Some((_, stored, mask)) = sarcoma() else {
        return;
    };
    for (threshold, least) in THRESHOLDS {
        let params = PetParams {
            threshold,
            ..PetParams::default()
        };
        let outcome = pet::find(&stored, None, &params);
        let found = dice(&outcome, &stored, &mask);
        println!("{threshold:?}: Dice {found:.3}");
        assert!(found >= least, "{threshold:?}: Dice {found:.3}");
    }
    let outcome = pet::find(&stored, None, &PetParams::default());
    print(&stored, &outcome);
    let first = &outcome.findings[0];
    let voxels = first.lesion.mask.voxels();
    let inside = voxels.filter(|v| mask.voxels[stored.geometry.linear(*v)] != 0);
    assert!(first.organ.is_none() && 2 * inside.count() > first.lesion.mask.count());
}

#[test]
fn brain_heart_kidneys_and_bladder_of_a_real_pet_are_physiological_and_few_others_lesions() {
    let Some((_, stored, _)) = sarcoma() else {
        return;
    };
    let started = Instant::now();
    let outcome = pet::find(&stored, None, &PetParams::default());
    println!("{:.2} s", started.elapsed().as_secs_f64());
    let organs: Vec<Organ> = outcome.findings.iter().filter_map(|f| f.organ).collect();
    let kidneys = [Laterality::Left, Laterality::Right].map(Organ::Kidney);
    for organ in [Organ::Brain, Organ::Heart, Organ::Bladder]
        .into_iter()
        .chain(kidneys)
    {
        assert!(organs.contains(&organ), "{organ:?} of {organs:?}");
    }
    let lesions = outcome
        .findings
        .iter()
        .filter(|f| f.organ.is_none())
        .count();
    // The sarcoma, and three of the face and mouth.
    assert!(lesions <= 4, "{lesions} lesions");
    let liver = outcome.liver.expect("a liver");
    assert!(
        liver.is_expected && (1.8..2.2).contains(&liver.mean_suv),
        "{liver:?}"
    );
    assert!(
        outcome
            .blood_pool
            .is_ok_and(|blood| blood.mean_suv < liver.mean_suv)
    );
}
