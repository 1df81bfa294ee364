//! Reports for outside validators, and that of a real series.

use super::assessment::every_assessment;
use super::pet::{pet_report, pet_series};
use super::study::{self, Plane, done, report, series, sphere};
use super::{dicom, failed, localizer, string};
use dicom_dictionary_std::tags;
use hilum::dicom::Series;
use hilum::report::{StudyReport, encode, write_study};
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
