//! Lesions inserted into a series on disk: what is read back, what is refused, what never leaves the source.

use hilum::dicom::{Series, header, load, read_paths};
use hilum::insertion::{Job, run};
use hilum::phantom::insertion::InsertedFiles;
use hilum::phantom::{Dose, Lesions, Params, Phantom, WriteOptions, write_series};
use hilum::volume::StoredVolume;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A whole chest without lesions, on disk.
static CHEST: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let params = Params {
        size: [104, 190, 230],
        spacing_mm: [2.5, 1.5, 1.5],
        centre_lps_mm: [0.0, 6.0, -28.0],
        dose: Dose::Low,
        lesions: Lesions::Count(0),
        ..Params::default()
    };
    let folder = tempfile::tempdir().expect("folder");
    let phantom = Phantom::new(&params).expect("phantom");
    write_series(&phantom, folder.path(), WriteOptions::default()).expect("written");
    folder
});

fn job(series: &Path, seed: u64, out: &Path) -> Job {
    Job {
        series: series.to_owned(),
        lesions: 12,
        seed,
        avoid: None,
        out: out.to_owned(),
        max_voxels: u64::MAX,
    }
}

fn chest() -> PathBuf {
    CHEST.path().join("series")
}

fn read(folder: &Path) -> (Series, StoredVolume) {
    let mut inventory = read_paths(&[folder.to_owned()], &|_| {});
    assert!(inventory.unreadable.is_empty());
    let series = inventory.studies.remove(0).series.remove(0);
    let stored = load(&series, u64::MAX, None).expect("decoded");
    (series, stored)
}

fn truth(files: &InsertedFiles) -> Value {
    serde_json::from_slice(&fs::read(&files.truth).expect("truth")).expect("JSON")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("folder");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("entry").path()).collect();
    paths.sort();
    paths
}

/// The same grid and format, values that only rose, and a truth that names what is there.
fn compare(source: &Path, files: &InsertedFiles, lesions: usize) {
    let (before, values) = read(source);
    let (after, raised) = read(&files.series);
    assert_eq!(before.geometry, after.geometry);
    assert_eq!(values.rescale, raised.rescale);
    assert_eq!(
        (values.signed, values.padding),
        (raised.signed, raised.padding)
    );
    let voxels = 0..values.samples.len();
    assert!(voxels.clone().all(|i| values.stored(i) <= raised.stored(i)));
    assert!(voxels.clone().any(|i| values.stored(i) < raised.stored(i)));
    let truth = truth(files);
    assert_eq!(truth["series_instance_uid"], after.uid());
    assert_eq!(truth["inserted_into"], before.uid());
    assert_ne!(before.uid(), after.uid());
    let nodules = truth["nodules"].as_array().expect("nodules");
    let inserted = nodules.iter().filter(|n| n["readers"] == 4);
    assert_eq!(inserted.count(), lesions);
    for key in [
        "label",
        "centroid_index_zyx",
        "centroid_lps_mm",
        "volume_mm3",
        "equivalent_diameter_mm",
    ] {
        assert!(nodules.iter().all(|n| !n[key].is_null()), "{key}");
    }
    for key in ["type", "attachment", "contrast_hu"] {
        assert!(!nodules[0][key].is_null(), "{key}");
    }
    assert!(files.labels.exists());
}

/// A file beside the chest's series.
fn truth_file(name: &str, truth: &Value) -> PathBuf {
    let path = CHEST.path().join(name);
    fs::write(&path, truth.to_string()).expect("file");
    path
}

fn text(series: &Series, name: &str) -> String {
    let object = header(&series.instances[0]).expect("header");
    let element = object.element_by_name(name).expect("attribute");
    element.to_str().expect("text").into_owned()
}

#[test]
fn an_inserted_chest_is_read_as_a_series_of_the_same_geometry() {
    let out = tempfile::tempdir().expect("folder");
    let files = run(&job(&chest(), 1, &out.path().join("case"))).expect("inserted");
    compare(&chest(), &files, 12);
    let (series, _) = read(&files.series);
    assert_eq!(text(&series, "ImageType"), "DERIVED\\PRIMARY\\AXIAL");
    assert_eq!(
        text(&series, "SeriesDescription"),
        "Synthetic lesions inserted"
    );
    assert_eq!(
        Value::from(text(&series, "PatientID")),
        truth(&files)["patient"]
    );
    assert_eq!(entries(out.path()).len(), 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_another_series() {
    let out = tempfile::tempdir().expect("folder");
    let made =
        |seed, name: &str| run(&job(&chest(), seed, &out.path().join(name))).expect("inserted");
    let (once, again, other) = (made(2, "once"), made(2, "again"), made(3, "other"));
    let bytes = |files: &InsertedFiles| -> Vec<Vec<u8>> {
        let slices = entries(&files.series).into_iter();
        let all = slices.chain([files.truth.clone(), files.labels.clone()]);
        all.map(|path| fs::read(path).expect("file")).collect()
    };
    assert!(bytes(&once) == bytes(&again));
    assert_ne!(
        truth(&once)["series_instance_uid"],
        truth(&other)["series_instance_uid"]
    );
    assert_ne!(
        truth(&once)["nodules"][0]["centroid_lps_mm"],
        truth(&other)["nodules"][0]["centroid_lps_mm"]
    );
}

#[test]
fn known_nodules_are_named_with_no_reader() {
    let out = tempfile::tempdir().expect("folder");
    let first = run(&job(&chest(), 4, &out.path().join("first"))).expect("inserted");
    let avoid = Job {
        lesions: 5,
        avoid: Some(first.truth.clone()),
        ..job(&first.series, 5, &out.path().join("second"))
    };
    let second = run(&avoid).expect("inserted");
    let nodules = truth(&second)["nodules"]
        .as_array()
        .expect("nodules")
        .clone();
    let readers: Vec<_> = nodules.iter().map(|n| n["readers"].as_u64()).collect();
    assert_eq!(readers[..5], [Some(4); 5]);
    assert_eq!(readers[5..], [Some(0); 12]);
    assert_eq!(
        nodules[5]["volume_mm3"],
        truth(&first)["nodules"][0]["volume_mm3"]
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_code_and_leaves_nothing_behind() {
    let out = tempfile::tempdir().expect("folder");
    let refused = |job: &Job| {
        let code = run(job).expect_err("refused").code();
        assert_eq!(entries(out.path()), [out.path().join("full")]);
        code
    };
    fs::create_dir(out.path().join("full")).expect("folder");
    fs::write(out.path().join("full/mine"), "mine").expect("file");
    let good = job(&chest(), 1, &out.path().join("case"));
    let with = |change: &dyn Fn(&mut Job)| {
        let mut job = good.clone();
        change(&mut job);
        job
    };
    let (series, _) = read(&chest());
    let everywhere = serde_json::json!({"centroid_index_zyx": [0, 0, 0], "centroid_lps_mm": [0, 0, 0], "volume_mm3": 1.4e7,
        "equivalent_diameter_mm": 300});
    let full = serde_json::json!({"series_instance_uid": series.uid(), "nodules": [everywhere]});
    let full = truth_file("full.json", &full);
    assert_eq!(
        refused(&with(&|j| j.avoid = Some(full.clone()))),
        "insertion-no-room"
    );
    assert_eq!(
        refused(&with(&|j| j.lesions = 0)),
        "phantom-parameter-out-of-range"
    );
    assert_eq!(
        refused(&with(&|j| j.out = out.path().join("full"))),
        "output-folder-not-empty"
    );
    assert_eq!(
        refused(&with(&|j| j.avoid = Some(chest().join("000001.dcm")))),
        "insertion-bad-truth"
    );
    let other = serde_json::json!({"series_instance_uid": "1.2.3", "nodules": []});
    let other = truth_file("other.json", &other);
    assert_eq!(
        refused(&with(&|j| j.avoid = Some(other.clone()))),
        "insertion-other-series"
    );
    let empty = tempfile::tempdir().expect("folder");
    assert_eq!(
        refused(&with(&|j| j.series = empty.path().into())),
        "insertion-not-one-series"
    );
    assert_eq!(refused(&with(&|j| j.max_voxels = 1000)), "too-many-voxels");
}

#[test]
fn a_real_series_carries_lesions_and_nothing_of_its_patient() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    let source = data.join("LIDC-IDRI-0005");
    if !source.exists() {
        eprintln!("SKIPPED: {} is missing", source.display());
        return;
    }
    let out = tempfile::tempdir().expect("folder");
    let job = Job {
        lesions: 25,
        avoid: Some(data.join("LIDC-IDRI-0005.truth.json")),
        ..job(&source, 1, &out.path().join("case"))
    };
    let files = run(&job).expect("inserted");
    compare(&source, &files, 25);
    let truth = truth(&files);
    assert_eq!(truth["nodules"].as_array().map(Vec::len), Some(28));
    let (before, _) = read(&source);
    let object = header(&before.instances[0]).expect("header");
    let slice = fs::read(&entries(&files.series)[0]).expect("slice");
    for name in [
        "PatientID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "FrameOfReferenceUID",
    ] {
        let identifier = object.element_by_name(name).expect("attribute");
        let identifier = identifier.to_str().expect("text").trim().to_owned();
        let found = slice
            .windows(identifier.len())
            .any(|w| w == identifier.as_bytes());
        assert!(!found && !identifier.is_empty(), "{name}");
    }
}
