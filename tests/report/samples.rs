//! Reports for outside validators, and that of a real series.

use super::assessment::every_assessment;
use super::pet::{pet_report, pet_run, pet_series};
use super::study::{self, Plane, done, report, series, sphere};
use super::{dicom, failed, json, localizer, schema, string};
use dicom_dictionary_std::tags;
use hilum::dicom::Series;
use hilum::lesion::{Kind, Lesion, LesionMask};
use hilum::measure::measure_on_pet;
use hilum::region::Region;
use hilum::report::{StudyReport, encode, write_study};
use hilum::suv::{Policy, Suv};
use std::fs;
use std::path::Path;

/// Leaves outputs and sources under the target folder, where outside validators can be run on them.
fn keep(name: &str, report: &StudyReport, series: &[&Series]) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("report")
        .join(name);
    let _ = fs::remove_dir_all(&root);
    for (i, series) in series.iter().enumerate() {
        study::write_sources(&root.join("source").join(i.to_string()), series);
    }
    write_study(&root.join("out"), report, false).expect("written");
}

#[test]
fn samples_for_outside_validators_are_written() {
    let size = [20, 65, 51];
    for (name, plane) in [
        ("axial", Plane::Axial),
        ("oblique", Plane::Oblique),
        ("tilted", Plane::Tilted),
    ] {
        let source = series(1, plane, size);
        let found = vec![
            sphere(&source, [8, 30, 25], 8.0),
            sphere(&source, [15, 40, 10], 4.0),
        ];
        keep(name, &report(vec![done(&source, found)]), &[&source]);
    }
    let first = series(1, Plane::Axial, size);
    let second = series(2, Plane::Tilted, size);
    let runs = vec![
        done(&first, vec![sphere(&first, [8, 30, 25], 8.0)]),
        done(&second, vec![sphere(&second, [8, 30, 25], 6.0)]),
        failed(&first),
    ];
    keep("two-grids", &report(runs), &[&first, &second]);
    keep(
        "nothing-found",
        &report(vec![done(&first, Vec::new())]),
        &[&first],
    );
    keep("failed", &report(vec![failed(&first)]), &[&first]);
    keep("assessed", &every_assessment(&first), &[&first]);
    let pet = pet_series(1);
    keep("pet", &pet_report(&pet), &[&pet]);
    let mut left_out = report(Vec::new());
    left_out.left_out.push(localizer());
    keep("left-out", &left_out, &[&first]);
}

#[test]
fn a_real_series_is_reported() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct/LIDC-IDRI-0001");
    if !dir.exists() {
        println!("SKIPPED: {} is missing", dir.display());
        return;
    }
    let inventory = hilum::dicom::read_paths(&[dir], &|_| {});
    let series = &inventory.studies[0].series[0];
    let lesions = vec![
        sphere(series, [60, 300, 140], 12.0),
        sphere(series, [90, 250, 370], 4.0),
    ];
    let mut report = report(vec![done(series, lesions)]);
    report.study_instance_uid = inventory.studies[0].study_instance_uid.clone();
    report.source_header = hilum::dicom::header(&series.instances[0]).expect("header");
    let sr = dicom(&encode(&report).expect("encoded"), "sr.dcm");
    assert_eq!(string(&sr, tags::PATIENT_ID), "LIDC-IDRI-0001");
    keep("lidc-idri-0001", &report, &[]);
}

/// The voxels of a region, in the box of the whole grid.
fn voxels(region: &Region, series: &Series) -> LesionMask {
    let (mask, _) = region.on(series).expect("on the series");
    LesionMask {
        origin: [0; 3],
        size: mask.geometry.size,
        inside: mask.voxels.iter().map(|v| *v != 0).collect(),
    }
}

#[test]
fn a_real_pet_is_reported_with_the_uptake_in_its_contours() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/pet/STS_001");
    if !dir.exists() {
        println!("SKIPPED: {} is missing", dir.display());
        return;
    }
    let inventory = hilum::dicom::read_paths(std::slice::from_ref(&dir), &|_| {});
    let series = &inventory.studies[0].series[0];
    let suv = Suv::new(&series.pet_images().expect("a PET"), Policy::Strict).expect("SUV");
    let mut stored = hilum::dicom::load(series, 1 << 30, None).expect("voxels");
    suv.apply(&mut stored);
    let contours = dir.join("mask/1-1.dcm");
    let region = Region::read(&contours, Some("GTV_Mass"), 1 << 30).expect("contours");
    let mask = voxels(&region, series);
    let measurement = measure_on_pet(&mask, &stored, |_| None).expect("voxels");
    let lesion = Lesion {
        kind: Kind::PetLesion,
        terms: Kind::PetLesion.into(),
        confidence: 1.0,
        assessment: None,
        centre_lps_mm: measurement.centroid_lps_mm,
        mask,
    };
    let mut run = pet_run(series, vec![(lesion, measurement)]);
    let pet = run.pet.as_mut().expect("a PET");
    (pet.branch, pet.ratios) = (suv.branch, suv.ratios);
    let mut report = report(vec![run]);
    report.study_instance_uid = inventory.studies[0].study_instance_uid.clone();
    report.source_header = hilum::dicom::header(&series.instances[0]).expect("header");
    let found = json(&encode(&report).expect("encoded"));
    assert!(schema().is_valid(&found));
    let suv_max = found["lesions"][0]["pet"]["suv_max"].as_f64();
    assert!((suv_max.expect("a number") - 7.9107).abs() < 1e-4);
    keep("sts-001", &report, &[]);
}
