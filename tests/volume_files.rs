//! The whole program on volume files: the same lesions as in the DICOM series that they were made from.

use assert_cmd::Command;
use hilum::dicom::{load, read_paths};
use hilum::volume::StoredVolume;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn phantom() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest/series")
}

fn stored() -> StoredVolume {
    let inventory = read_paths(&[phantom()], &|_| {});
    load(&inventory.studies[0].series[0], u64::MAX, None).expect("the committed phantom")
}

/// The volume as MetaImage in one file.
fn metaimage(stored: &StoredVolume) -> Vec<u8> {
    let [z, y, x] = stored.geometry.size;
    let [dz, dy, dx] = stored.geometry.spacing_mm();
    let m = stored.geometry.index_to_lps;
    let axes = [
        m.matrix3.x_axis / dx,
        m.matrix3.y_axis / dy,
        m.matrix3.z_axis / dz,
    ];
    let numbers = |values: &[f64]| {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        texts.join(" ")
    };
    let matrix = axes.map(|axis| axis.to_array()).concat();
    let mut file = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = {}\nOffset = {}\n\
         ElementSpacing = {}\nDimSize = {x} {y} {z}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        numbers(&matrix),
        numbers(&m.translation.to_array()),
        numbers(&[dx, dy, dz]),
    )
    .into_bytes();
    #[expect(clippy::cast_possible_truncation, reason = "HU of CT")]
    for k in 0..z {
        for j in 0..y {
            let row = (0..x).map(|i| stored.rescaled([k, j, i]) as i16);
            file.extend(row.flat_map(i16::to_le_bytes));
        }
    }
    file
}

fn process(args: &[&Path], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hilum"))
        .args([
            "-vv", "process", "--device", "cpu", "--also", "nifti", "--json", "--out",
        ])
        .arg(out)
        .args(args)
        .output()
        .expect("run")
}

/// The only study's folder.
fn study(out: &Path) -> PathBuf {
    let mut folders = fs::read_dir(out)
        .expect("results")
        .map(|e| e.expect("entry").path());
    let folder = folders.next().expect("a study");
    assert_eq!(folders.next(), None);
    folder
}

fn findings(out: &Path) -> serde_json::Value {
    let bytes = fs::read(study(out).join("findings.json")).expect("findings");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_metaimage_gives_the_same_lesions_and_labels_as_its_dicom_series() {
    let dir = tempfile::tempdir().expect("folder");
    let volume = dir.path().join("Secret^Name.mha");
    fs::write(&volume, metaimage(&stored())).expect("file");
    let (of_dicom, of_volume) = (dir.path().join("a"), dir.path().join("b"));
    assert!(process(&[&phantom()], &of_dicom).status.success());
    let told = process(&[&volume], &of_volume);
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    assert!(!String::from_utf8_lossy(&told.stderr).contains("Secret"));

    let lesions = |out: &Path| {
        let found = findings(out)["lesions"]
            .as_array()
            .expect("lesions")
            .clone();
        found
            .iter()
            .map(|l| {
                (
                    l["centroid_lps_mm"].clone(),
                    l["long_axis_mm"].clone(),
                    l["confidence"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert!(!lesions(&of_dicom).is_empty());
    assert_eq!(lesions(&of_dicom), lesions(&of_volume));
    let labels = |out: &Path| fs::read(study(out).join("labels.nii.gz")).expect("labels");
    assert_eq!(labels(&of_dicom), labels(&of_volume));
    assert!(study(&of_dicom).join("seg.dcm").exists());
    assert!(!study(&of_volume).join("sr.dcm").exists());
    assert!(!study(&of_volume).join("seg.dcm").exists());
    let text = fs::read_to_string(study(&of_volume).join("findings.json")).expect("findings");
    assert!(!text.contains("Secret"));
    let schema = include_str!("../docs/findings.schema.json");
    let schema = serde_json::from_str(schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("schema");
    assert!(schema.is_valid(&findings(&of_volume)));
}

#[test]
fn a_label_map_given_as_a_volume_fails_by_code_and_a_damaged_file_is_unreadable() {
    let dir = tempfile::tempdir().expect("folder");
    let mut stored = stored();
    let sound = metaimage(&stored);
    stored.samples.fill(1024);
    fs::write(dir.path().join("labels.mha"), metaimage(&stored)).expect("file");
    fs::write(dir.path().join("cut.mha"), &sound[..sound.len() / 2]).expect("file");
    let out = dir.path().join("out");
    let told = process(&[dir.path()], &out);
    assert_eq!(told.status.code(), Some(1));
    let result: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(result["unreadable"][0]["code"], "volume-file-truncated");
    let series = &result["studies"][0]["series"][0];
    assert_eq!(series["reason"]["code"], "volume-file-not-hounsfield");
}
