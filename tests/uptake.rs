//! Uptake of a real PET in its contours, against pydicom and NumPy (`scripts/make-golden-pet.py`).

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use glam::DVec3;
use hilum::dicom;
use hilum::lesion::LesionMask;
use hilum::lesion::pet::Threshold;
use hilum::measure::{PetMeasurement, measure_on_pet, measure_pet};
use hilum::region::Region;
use hilum::suv::{Policy, Suv};
use hilum::volume::{Mask, StoredVolume};
use serde_json::Value;
use std::path::{Path, PathBuf};

const MAX_VOXELS: u64 = 1 << 30;
/// The reader takes slices from 3.19 to 3.29 mm apart for even; the goal is 1e-3.
const TOLERANCE: f64 = 1e-4;
/// A volume of few slices may lie where one is missing a little.
const RULE_TOLERANCE: f64 = 1e-3;
/// The script takes the mean of 100,000 points and tries centres a fifth of a millimetre apart; the goal is the same.
const PEAK_TOLERANCE: f64 = 1e-3;

fn folder() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/pet/STS_001");
    if path.is_dir() {
        return Some(path);
    }
    println!(
        "SKIPPED, NO UPTAKE WAS COMPARED: {} is missing",
        path.display()
    );
    None
}

/// The PET in SUV, and the voxels of each ROI that the golden file names.
fn study(folder: &Path, golden: &Value) -> (StoredVolume, Vec<(String, LesionMask)>) {
    let mut inventory = dicom::read_paths(&[folder.to_owned()], &|_| ());
    let series = inventory.studies.remove(0).series.remove(0);
    let suv = Suv::new(&series.pet_images().expect("a PET"), Policy::Strict).expect("SUV");
    let mut stored = dicom::load(&series, MAX_VOXELS, None).expect("a volume");
    suv.apply(&mut stored);
    let contours = folder.join("mask/1-1.dcm");
    let names = golden["rois"].as_object().expect("ROIs").keys();
    let masks = names.map(|name| {
        let region = Region::read(&contours, Some(name), MAX_VOXELS).expect("an ROI");
        let (mask, _) = region.on(&series).expect("on the series");
        (name.clone(), lesion_mask(&mask))
    });
    let masks = masks.collect();
    (stored, masks)
}

fn lesion_mask(mask: &Mask) -> LesionMask {
    LesionMask {
        origin: [0; 3],
        size: mask.geometry.size,
        inside: mask.voxels.iter().map(|v| *v != 0).collect(),
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../testdata/golden/pet-uptake.json")).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn assert_near(name: &str, found: f64, wanted: &Value, tolerance: f64) {
    let wanted = number(wanted);
    let off = (found / wanted - 1.0).abs();
    assert!(off <= tolerance, "{name}: {found} is not {wanted}");
}

fn place(value: &Value) -> DVec3 {
    let at = value.as_array().expect("a position");
    DVec3::new(number(&at[0]), number(&at[1]), number(&at[2]))
}

fn assert_uptake(name: &str, found: &PetMeasurement, wanted: &Value) {
    let pairs = [
        ("suv_max", found.suv_max),
        ("suv_mean", found.suv_mean),
        ("mtv_ml", found.mtv_ml),
        ("tlg_g", found.tlg_g),
    ];
    for (key, found) in pairs {
        assert_near(&format!("{name} {key}"), found, &wanted[key], TOLERANCE);
    }
    let hottest_mm = found
        .suv_max_lps_mm
        .distance(place(&wanted["suv_max_lps_mm"]));
    assert!(hottest_mm < 1e-3, "{name}: {hottest_mm} mm");
    for volume in &found.by_rule {
        let key = match volume.rule {
            Threshold::OfMax(_) => "part-of-max".to_owned(),
            Threshold::Fixed(suv) => format!("{suv:.1}"),
            Threshold::Liver(_) => unreachable!("not asked for"),
        };
        let wanted = &wanted["by_rule"][&key];
        assert_near(&key, volume.mtv_ml, &wanted["mtv_ml"], RULE_TOLERANCE);
        assert_near(&key, volume.tlg_g, &wanted["tlg_g"], RULE_TOLERANCE);
    }
}

#[test]
fn a_real_pet_has_the_uptake_of_numpy_in_each_contour() {
    let Some(folder) = folder() else { return };
    let golden = golden();
    let (suv, masks) = study(&folder, &golden);
    let rules = [
        Threshold::OfMax(0.41),
        Threshold::Fixed(2.5),
        Threshold::Fixed(4.0),
    ];
    for (name, mask) in &masks {
        let wanted = &golden["rois"][name];
        let mut found = measure_pet(mask, &suv).expect("voxels");
        found.add_volumes(mask, &suv, &rules, None);
        assert_eq!(found.by_rule.len(), 3);
        assert_uptake(name, &found, wanted);
        let peak = found.suv_peak.expect("inside of the image");
        assert_near("suv_peak", peak.suv, &wanted["suv_peak"], PEAK_TOLERANCE);
        println!(
            "{name}: SUVpeak {} against {}",
            peak.suv, wanted["suv_peak"]
        );
        let whole = measure_on_pet(mask, &suv, |_| None).expect("voxels");
        assert_near(
            "volume",
            whole.volume_mm3 / 1e3,
            &wanted["mtv_ml"],
            TOLERANCE,
        );
    }
}
