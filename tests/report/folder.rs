//! What lies in the folder of a study: one run whole, never a mixture, nothing of anybody else replaced.

use super::study::{Plane, STUDY_UID, done, report, series, sphere};
use super::{SIZE, every_kind_of_entry};
use hilum::report::{Existing, StudyReport, encode, existing_run, write_study};
use hilum::uid::UidSource;
use std::fs;
use std::path::{Path, PathBuf};

fn with_run<'a>(report: StudyReport<'a>, seed: &str) -> StudyReport<'a> {
    let uid_source = UidSource::new([seed]);
    let mut provenance = report.provenance.clone();
    provenance.run_id = uid_source.run_id();
    StudyReport {
        provenance,
        uid_source,
        ..report
    }
}

fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_study_is_written_to_the_folder_of_its_uid_and_nothing_else_is_left() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let report = every_kind_of_entry(&series);
    let written = write_study(&out.path().join("new"), &report, false).expect("written");
    let dir = out.path().join("new").join(STUDY_UID);
    assert_eq!(listing(&out.path().join("new")), std::slice::from_ref(&dir));
    let want: Vec<PathBuf> = ["sr.dcm", "seg.dcm", "findings.json"]
        .map(|n| dir.join(n))
        .into();
    assert_eq!(written.files, want);
    for (path, file) in written.files.iter().zip(encode(&report).expect("encoded")) {
        assert_eq!(fs::read(path).expect("file"), file.bytes);
    }
}

#[test]
fn the_same_run_is_left_alone() {
    let out = tempfile::tempdir().expect("folder");
    let mut report = report(Vec::new());
    write_study(out.path(), &report, false).expect("first");
    let before = fs::read(out.path().join(STUDY_UID).join("findings.json")).expect("file");
    report.timings_ms.clear();
    let second = write_study(out.path(), &report, true).expect("second");
    assert!(second.unchanged);
    assert_eq!(second.files.len(), 2);
    assert_eq!(
        fs::read(out.path().join(STUDY_UID).join("findings.json")).expect("file"),
        before
    );
    let run = Existing::Run(report.provenance.run_id);
    assert_eq!(existing_run(out.path(), STUDY_UID).expect("found"), run);
}

#[test]
fn another_run_is_refused_unless_it_may_overwrite() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let found = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    write_study(out.path(), &found, false).expect("first");
    let other = with_run(report(Vec::new()), "other");
    let refused = write_study(out.path(), &other, false).expect_err("refused");
    assert_eq!(refused.code(), "output-exists");
    assert_eq!(listing(&out.path().join(STUDY_UID)).len(), 3);
    write_study(out.path(), &other, true).expect("replaced");
    assert_eq!(listing(&out.path().join(STUDY_UID)).len(), 2);
    assert_eq!(listing(out.path()).len(), 1);
}

#[test]
fn a_run_with_a_failed_series_is_replaced_by_another_try() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let failed = every_kind_of_entry(&series);
    for _ in 0..2 {
        let written = write_study(out.path(), &failed, false).expect("written");
        assert!(!written.unchanged);
    }
    assert_eq!(listing(out.path()).len(), 1);
}

#[test]
fn a_folder_of_somebody_else_is_never_replaced() {
    let out = tempfile::tempdir().expect("folder");
    let dir = out.path().join(STUDY_UID);
    fs::create_dir(&dir).expect("folder");
    fs::write(dir.join("thesis.txt"), "years of work").expect("file");
    let refused = write_study(out.path(), &report(Vec::new()), true).expect_err("refused");
    assert_eq!(refused.code(), "output-not-ours");
    fs::write(dir.join("findings.json"), "{}").expect("file");
    let refused = write_study(out.path(), &report(Vec::new()), true).expect_err("refused");
    assert_eq!(refused.code(), "output-not-ours");
    assert_eq!(listing(out.path()), [dir]);
}

#[test]
fn an_output_folder_that_is_a_file_is_an_environment_error() {
    let out = tempfile::tempdir().expect("folder");
    let file = out.path().join("out");
    fs::write(&file, "").expect("file");
    let error = write_study(&file, &report(Vec::new()), false).expect_err("refused");
    assert_eq!(error.class(), hilum::Class::Environment);
    assert_eq!(listing(out.path()), [file]);
}

#[test]
fn a_study_uid_that_is_a_path_is_refused() {
    let out = tempfile::tempdir().expect("folder");
    let mut report = report(Vec::new());
    report.study_instance_uid = "../1.2".into();
    let error = write_study(&out.path().join("in"), &report, true).expect_err("refused");
    assert_eq!(error.code(), "study-uid-invalid");
    assert!(listing(out.path()).is_empty());
}
