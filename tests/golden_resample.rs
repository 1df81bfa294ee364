//! Resampling and smoothing against SciPy and Pillow; `testdata/resample/make.py` made the values.

#![expect(clippy::cast_possible_truncation, reason = "kernels compute in f32")]

use glam::{DAffine3, DMat3, DVec3};
use hilum::preprocess::Interpolation;
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::resample;
use hilum::preprocess::smooth;
use hilum::volume::Geometry;
use serde_json::Value;

/// Values are stored with four decimals and computed in f64 there, in f32 here; source indices are below 10.
const TOLERANCE_HU: f32 = 0.01;

fn golden() -> Value {
    serde_json::from_str(include_str!("../testdata/resample/golden.json")).expect("JSON")
}

fn floats(value: &Value) -> Vec<f32> {
    let list = value.as_array().expect("a list").iter();
    list.map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn triple<T: serde::de::DeserializeOwned>(value: &Value) -> [T; 3] {
    serde_json::from_value(value.clone()).expect("three numbers")
}

/// A grid of voxel indices: patient millimetres are source indices.
fn index_grid(size: [usize; 3]) -> Geometry {
    Geometry::axis_aligned(size, [1.0; 3], DVec3::ZERO)
}

#[test]
fn trilinear_through_an_oblique_affine_is_that_of_scipy() {
    let golden = golden();
    let wanted = &golden["trilinear"];
    let [z, y, x] = triple::<[f64; 3]>(&wanted["matrix_zyx"]);
    let reversed = |[z, y, x]: [f64; 3]| DVec3::new(x, y, z);
    let matrix = DMat3::from_cols(reversed(x), reversed(y), reversed(z)).transpose();
    let target = Geometry {
        size: triple(&wanted["target_size"]),
        index_to_lps: DAffine3::from_mat3_translation(
            matrix,
            reversed(triple(&wanted["offset_zyx"])),
        ),
    };
    let source = index_grid(triple(&golden["source_size"]));
    let mapping = Mapping::new(&source, &target, Interpolation::Trilinear);
    let found = resample::reference(&mapping, &floats(&golden["source"]));
    let mut compared = 0;
    for (found, wanted) in found
        .iter()
        .zip(wanted["values"].as_array().expect("a list"))
    {
        let Some(wanted) = wanted.as_f64() else {
            assert_eq!(found.to_bits(), hilum::volume::PADDING_HU.to_bits());
            continue;
        };
        assert!(
            (found - wanted as f32).abs() < TOLERANCE_HU,
            "{found}, not {wanted}"
        );
        compared += 1;
    }
    assert!(compared > 100, "only {compared} voxels lay inside");
}

#[test]
fn cubic_is_the_bicubic_of_pillow() {
    let golden = &golden()["cubic"];
    let [rows, columns]: [usize; 2] =
        serde_json::from_value(golden["source_size"].clone()).expect("two numbers");
    let source = index_grid([1, rows, columns]);
    let target = Geometry::axis_aligned(
        [1, 2 * rows, 2 * columns],
        [1.0, 0.5, 0.5],
        DVec3::new(-0.25, -0.25, 0.0),
    );
    let mapping = Mapping::new(&source, &target, Interpolation::Cubic);
    let found = resample::reference(&mapping, &floats(&golden["source"]));
    let wanted = floats(&golden["values"]);
    for y in 4..2 * rows - 4 {
        for x in 4..2 * columns - 4 {
            let i = y * 2 * columns + x;
            assert!(
                (found[i] - wanted[i]).abs() < TOLERANCE_HU,
                "{}, not {}",
                found[i],
                wanted[i]
            );
        }
    }
}

#[test]
fn smoothing_is_the_gaussian_filter_of_scipy() {
    let golden = golden();
    let size = triple(&golden["source_size"]);
    let sigma_voxels = triple(&golden["smooth"]["sigma_voxels"]);
    let found = smooth::reference(size, sigma_voxels, &floats(&golden["source"]));
    for (found, wanted) in found.iter().zip(floats(&golden["smooth"]["values"])) {
        assert!(
            (found - wanted).abs() < TOLERANCE_HU,
            "{found}, not {wanted}"
        );
    }
}
