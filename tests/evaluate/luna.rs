//! LUNA16's CSV files.

use super::{OPTIONS, summary, write_findings};
use glam::DVec3;
use hilum::evaluate::{Error, Evaluation, Format, LunaFiles, Results, Truth};
use hilum::volume::Geometry;
use hilum::volume_file::{VolumeFile, encode_label_map};
use hilum::volume_study;
use std::fs;
use std::path::Path;

const HEADER: &str = "seriesuid,coordX,coordY,coordZ,diameter_mm\n";

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn annotations_exclusions_and_empty_series_count_as_in_luna16() {
    let folder = tempfile::tempdir().expect("folder");
    let annotations = format!("{HEADER}1.1,10.0,-20.5,-300,8.0\r\n1.1,50,50,-200,6\n");
    write(folder.path(), "annotations.csv", &annotations);
    let excluded = format!("{HEADER}1.2,0,0,0,-1\n");
    let luna = LunaFiles {
        excluded: Some(write(folder.path(), "excluded.csv", &excluded)),
        series: Some(write(
            folder.path(),
            "seriesuids.csv",
            "1.1\n1.2\n1.3\n1.4\n",
        )),
    };
    let results = folder.path().join("results");
    // 4 mm off a nodule of 8 mm is a hit, 4.1 mm is none; an excluded mark without a diameter has 10 mm.
    let first = [([14.0, -20.5, -300.0], 0.9), ([10.0, -20.5, -304.1], 0.8)];
    write_findings(&results, "1.1", &first);
    write_findings(
        &results,
        "1.2",
        &[([0.0, 5.0, 0.0], 0.95), ([0.0, 5.1, 0.0], 0.4)],
    );
    write_findings(&results, "1.3", &[([0.0, 0.0, 0.0], 0.7)]);
    let truth = Truth::read(folder.path(), &luna).expect("truth");
    assert_eq!((truth.format, truth.cases.len()), (Format::Luna16, 4));
    let results = Results::read(&results).expect("results");
    let evaluation = Evaluation::new(truth, &results, &OPTIONS).expect("evaluated");
    let found = summary(&evaluation);
    let detection = &found["detection"];
    assert_eq!([&detection["found"], &detection["nodules"]], [1, 2]);
    assert_eq!([&detection["false_positives"], &detection["scans"]], [2, 3]);
    assert_eq!(found["series"][1]["ignored"], 1);
    assert_eq!(found["not_processed"][0]["series_instance_uid"], "1.4");
    assert_eq!(found["series"][0]["without_overlap"], "no-label-map");
    let files = evaluation.files().expect("files");
    let csv = files
        .iter()
        .find(|f| f.name == "candidates.csv")
        .expect("candidates.csv");
    let csv = str::from_utf8(&csv.bytes).expect("UTF-8");
    let expected = "seriesuid,coordX,coordY,coordZ,probability\n1.1,14,-20.5,-300,0.9\n";
    assert!(csv.starts_with(expected), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 5);
}

#[test]
fn results_of_volume_files_are_matched_by_the_files_names() {
    let folder = tempfile::tempdir().expect("folder");
    let geometry = Geometry::axis_aligned([2, 4, 4], [1.0; 3], DVec3::ZERO);
    let volume = folder.path().join("1.2.3.nii.gz");
    let bytes = encode_label_map(&geometry, |_, _| {}).expect("encoded");
    fs::write(&volume, bytes).expect("written");
    write(folder.path(), "Jane.nii.gz", "no volume, and not looked at");
    let study = volume_study::study(&VolumeFile::open(&volume).expect("a volume"));
    let uid = &study.series[0].instances[0].series_instance_uid;
    let results = folder.path().join("results");
    write_findings(&results, uid, &[([1.0, 2.0, 1.0], 0.9)]);
    let truth = format!("{HEADER}1.2.3,1,2,3,6\n");
    let truth = write(folder.path(), "annotations.csv", &truth);
    let truth = Truth::read(&truth, &LunaFiles::default()).expect("truth");
    let mut results = Results::read(&results).expect("results");
    let evaluated = |results: &Results| Evaluation::new(truth.clone(), results, &OPTIONS);
    assert_eq!(
        evaluated(&results).expect_err("refused").code(),
        "nothing-evaluated"
    );
    results
        .name_volumes(&[folder.path().into()])
        .expect("named");
    let found = summary(&evaluated(&results).expect("evaluated"));
    assert_eq!(found["detection"]["found"], 1);
    assert_eq!(found["series"][0]["series_instance_uid"], "1.2.3");
}

#[test]
fn broken_lines_are_refused_by_their_number_without_their_text() {
    let folder = tempfile::tempdir().expect("folder");
    let refused = |text: &str| -> Error {
        let path = write(folder.path(), "annotations.csv", text);
        Truth::read(&path, &LunaFiles::default()).expect_err("refused")
    };
    for (line, said) in [
        ("1.2,1,2,Jane,5", "line 3: coordZ is no number"),
        ("1.2,1,2,nan,5", "line 3: coordZ is no number"),
        ("1.2,1,2,1e9,5", "line 3: coordZ is no number"),
        ("1.2,1,2,3", "line 3: 4 values, 5 are needed"),
        ("1.2,1,2,3,0", "line 3: diameter_mm must be positive"),
        ("Jane,1,2,3,5", "line 3: seriesuid is no UID"),
    ] {
        let error = refused(&format!("{HEADER}1.2,1,2,3,5\n{line}\n"));
        assert_eq!(error.code(), "truth-line");
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains("Jane"), "{text}");
    }
    for header in [
        "seriesuid,x,y,z,diameter_mm",
        "",
        "seriesuid,coordX,coordY,coordZ,diameter_mm,Jane",
    ] {
        let error = refused(&format!("{header}\n1.2,1,2,3,5\n"));
        assert_eq!(error.code(), "truth-columns");
        assert!(!error.to_string().contains("Jane"), "{error}");
    }
    let path = folder.path().join("annotations.csv");
    fs::write(&path, [HEADER.as_bytes(), b"1.2,1,2,\xff,5\n"].concat()).expect("written");
    let error = Truth::read(&path, &LunaFiles::default()).expect_err("refused");
    assert_eq!(error.code(), "truth-line");
    let list = write(folder.path(), "list.csv", "seriesuid\n1.2\nJane\n");
    fs::write(&path, HEADER).expect("written");
    let luna = LunaFiles {
        excluded: None,
        series: Some(list),
    };
    let error = Truth::read(&path, &luna).expect_err("refused").to_string();
    assert!(
        error.contains("line 3") && !error.contains("Jane"),
        "{error}"
    );
}
