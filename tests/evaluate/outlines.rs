//! Segments as written against label maps: Dice and surface distances as SciPy computes them.

use super::study::{Plane, done, report, series, sphere};
use super::{OPTIONS, assert_close, evaluate, read, summary, testdata};
use glam::DVec3;
use hilum::dicom::Series;
use hilum::lesion::{Lesion, LesionMask};
use hilum::measure::Measurement;
use hilum::report::write_study;
use hilum::volume_file::encode_label_map;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SIZE: [usize; 3] = [12, 33, 27];

/// Writes the truth of one nodule whose voxels are those of `mask`.
fn write_truth(folder: &Path, series: &Series, mask: &LesionMask) {
    let geometry = &series.geometry;
    let bytes = encode_label_map(geometry, |slice, labels| {
        for [z, y, x] in mask.voxels().filter(|voxel| voxel[0] == slice) {
            assert_eq!(z, slice);
            labels[y * SIZE[2] + x] = 1;
        }
    });
    let volume_mm3 = mask.count() as f64 * geometry.voxel_volume_mm3();
    let truth = json!({
        "patient": "DOE^JANE",
        "series_instance_uid": series.instances[0].series_instance_uid,
        "shape_zyx": SIZE,
        "nodules": [{
            "label": 1, "readers": 4, "centroid_lps_mm": centroid(series, mask).to_array(),
            "volume_mm3": volume_mm3,
            "equivalent_diameter_mm": (6.0 * volume_mm3 / std::f64::consts::PI).cbrt(),
            "type": "solid", "attachment": "juxtapleural",
        }],
    });
    fs::create_dir_all(folder).expect("folder");
    fs::write(folder.join("x.truth.nii.gz"), bytes.expect("encoded")).expect("written");
    fs::write(folder.join("x.truth.json"), truth.to_string()).expect("written");
}

fn centroid(series: &Series, mask: &LesionMask) -> DVec3 {
    let place = |[z, y, x]: [usize; 3]| DVec3::new(x as f64, y as f64, z as f64);
    let sum: DVec3 = mask.voxels().map(place).sum();
    series.geometry.to_lps_mm(sum / mask.count() as f64)
}

fn mask(voxels: &Value) -> LesionMask {
    let mut inside = vec![false; SIZE.iter().product()];
    for voxel in voxels.as_array().expect("list") {
        let [z, y, x] = [0, 1, 2].map(|axis| voxel[axis].as_u64().expect("index"));
        let index = usize::try_from(x).expect("small")
            + SIZE[2]
                * (usize::try_from(y).expect("small")
                    + SIZE[1] * usize::try_from(z).expect("small"));
        inside[index] = true;
    }
    LesionMask {
        origin: [0; 3],
        size: SIZE,
        inside,
    }
}

/// A lesion of these voxels whose centroid is said to be elsewhere.
fn lesion(series: &Series, mask: LesionMask, centroid_lps_mm: DVec3) -> (Lesion, Measurement) {
    let slice = mask.voxels().next().expect("a voxel")[0];
    let (lesion, measurement) = sphere(series, [slice, 16, 13], 4.0);
    let volume_mm3 = mask.count() as f64 * series.geometry.voxel_volume_mm3();
    let measurement = Measurement {
        centroid_lps_mm,
        volume_mm3,
        ..measurement
    };
    (Lesion { mask, ..lesion }, measurement)
}

#[test]
fn dice_and_surface_distance_are_those_of_scipy() {
    let golden = read(&testdata().join("golden.json"));
    let source = series(1, Plane::Axial, SIZE);
    for row in golden["overlaps"].as_array().expect("list") {
        let folder = tempfile::tempdir().expect("folder");
        let [truth, out] = ["truth", "out"].map(|name| folder.path().join(name));
        let nodule = mask(&row["truth"]);
        write_truth(&truth, &source, &nodule);
        let found = lesion(&source, mask(&row["segment"]), centroid(&source, &nodule));
        write_study(&out, &report(vec![done(&source, vec![found])]), false).expect("written");
        let found = &summary(&evaluate(&truth, &out, &OPTIONS).expect("evaluated"))["overlap"];
        let name = row["name"].as_str().expect("name");
        for key in ["dice", "surface_distance_mm"] {
            // The label map holds its affine in single precision.
            let off = found[key]["value"].as_f64().unwrap_or(f64::NAN)
                - row[key].as_f64().expect("number");
            assert!(off.abs() < 1e-5, "{name}: {key} is off by {off}");
            assert_eq!(found[key]["n"], 1, "{name}");
        }
        let count = |key: &str| row[key].as_array().expect("list").len() as f64;
        let expected = 100.0 * (count("segment") / count("truth") - 1.0);
        let off = found["volume_error_percent"]["value"]
            .as_f64()
            .unwrap_or(f64::NAN)
            - expected;
        assert!(off.abs() < 1e-3, "{name}: volume error is off by {off}");
    }
}

#[test]
fn perfect_results_have_perfect_figures_on_every_grid() {
    for plane in [Plane::Axial, Plane::Oblique, Plane::Tilted] {
        let folder = tempfile::tempdir().expect("folder");
        let [truth, out] = ["truth", "out"].map(|name| folder.path().join(name));
        let source = series(1, plane, SIZE);
        let found = sphere(&source, [6, 16, 13], 5.0);
        write_truth(&truth, &source, &found.0.mask);
        write_study(&out, &report(vec![done(&source, vec![found])]), false).expect("written");
        let evaluation = evaluate(&truth, &out, &OPTIONS).expect("evaluated");
        let found = summary(&evaluation);
        for (figure, expected) in [
            (&found["detection"]["sensitivity"], 1.0),
            (&found["detection"]["false_positives_per_scan"], 0.0),
            (&found["froc"]["competition_performance_metric"], 1.0),
            (&found["overlap"]["dice"], 1.0),
            (&found["overlap"]["surface_distance_mm"], 0.0),
        ] {
            assert_close(&figure["value"], &expected.into(), "a perfect figure");
        }
        // The label map holds its affine in single precision.
        let error = found["overlap"]["absolute_volume_error_percent"]["value"].as_f64();
        assert!(error.expect("number") < 1e-3, "{error:?}");
        let strata = &found["strata"];
        assert_eq!(strata["by_type"][0]["name"], "solid");
        assert_eq!(strata["by_attachment"][0]["name"], "juxtapleural");
        assert_eq!(strata["by_size"][0]["name"], "8 to 15 mm");
        assert_eq!(found["series"][0].get("without_overlap"), None);
        for file in evaluation.files().expect("files") {
            let text = String::from_utf8(file.bytes).expect("UTF-8");
            assert!(
                !text.contains("DOE") && !text.contains("SECRET"),
                "{}",
                file.name
            );
        }
    }
}

#[test]
fn a_seg_of_another_grid_is_told_and_not_compared() {
    let folder = tempfile::tempdir().expect("folder");
    let [truth, out] = ["truth", "out"].map(|name| folder.path().join(name));
    let source = series(1, Plane::Axial, SIZE);
    let found = sphere(&source, [6, 16, 13], 5.0);
    let mut shifted = source.clone();
    shifted.geometry.index_to_lps.translation.z += 1.0;
    write_truth(&truth, &shifted, &found.0.mask);
    write_study(&out, &report(vec![done(&source, vec![found])]), false).expect("written");
    let found = summary(&evaluate(&truth, &out, &OPTIONS).expect("evaluated"));
    assert_eq!(found["series"][0]["without_overlap"], "other-grid");
    assert_eq!(found["overlap"]["dice"]["n"], 0);
    assert_eq!(
        found["detection"]["found"], 1,
        "centroids are compared all the same"
    );
}

#[test]
fn a_lesion_without_its_segment_and_a_damaged_seg_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let [truth, out] = ["truth", "out"].map(|name| folder.path().join(name));
    let source = series(1, Plane::Axial, SIZE);
    let found = sphere(&source, [6, 16, 13], 5.0);
    write_truth(&truth, &source, &found.0.mask);
    let written = write_study(&out, &report(vec![done(&source, vec![found])]), false);
    let dir = written.expect("written").dir;
    let code = || {
        evaluate(&truth, &out, &OPTIONS)
            .expect_err("refused")
            .code()
    };
    let mut findings = read(&dir.join("findings.json"));
    findings["lesions"][0]["tracking_uid"] = "1.2.3".into();
    fs::write(dir.join("findings.json"), findings.to_string()).expect("written");
    assert_eq!(code(), "results-segment-missing");
    let seg = fs::read(dir.join("seg.dcm")).expect("SEG");
    fs::write(dir.join("seg.dcm"), &seg[..seg.len() - 100]).expect("written");
    assert_eq!(code(), "truncated");
    fs::remove_file(dir.join("seg.dcm")).expect("removed");
    let found = summary(&evaluate(&truth, &out, &OPTIONS).expect("evaluated"));
    assert_eq!(found["series"][0]["without_overlap"], "no-seg");
}
