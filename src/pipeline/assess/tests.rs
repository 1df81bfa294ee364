//! Places by hand, and an imported model with a classifier through the whole pipeline.

use super::*;
use crate::config::{Config, DeviceKind};
use crate::model::import::{Request, import};
use crate::phantom::{Params, Phantom};
use crate::pipeline::{Outcome, Pipeline};
use std::path::Path;

#[test]
fn places_are_spread_evenly_over_the_mask_and_lie_on_the_models_grid() {
    let geometry = Geometry::axis_aligned([4, 8, 10], [2.0; 3], DVec3::new(-9.0, 4.0, 1.0));
    let mut mask = Mask::filled(geometry, 0);
    mask.voxels[160..288].fill(1);
    let grid = Geometry::axis_aligned([8, 16, 20], [1.0; 3], DVec3::new(-9.0, 4.0, 1.0));
    let found = places(&mask, &grid);
    // Every second voxel from the second of them on; 161 is z 2, y 0, x 1.
    assert_eq!(
        (found.len(), found[0], found[63]),
        (64, [4, 0, 2], [6, 8, 14])
    );
    mask.voxels[160..288].fill(0);
    mask.voxels[..63].fill(1);
    assert_eq!(places(&mask, &grid), Vec::<[i64; 3]>::new());
}

#[test]
fn the_patch_lies_about_the_voxel_nearest_to_the_centre() {
    let grid = Geometry::axis_aligned([10, 20, 30], [2.0, 1.0, 0.5], DVec3::new(-5.0, 8.0, 3.0));
    assert_eq!(voxel(&grid, DVec3::new(-5.0, 8.0, 3.0)), [0, 0, 0]);
    assert_eq!(voxel(&grid, DVec3::new(-4.8, 9.4, 5.9)), [1, 1, 0]);
    assert_eq!(voxel(&grid, DVec3::new(-6.0, 7.0, 43.0)), [20, -1, -2]);
}

/// The random model of `testdata/classifier` on a block of lung with lesions.
fn run(min_confidence: f64) -> Outcome {
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("mine");
    let request = Request {
        source: Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/classifier"),
        ..Request::default()
    };
    import(&request, &out, false, &AtomicBool::new(false)).expect("imported");
    let mut config = Config::default();
    config.device.kind = DeviceKind::Cpu;
    config.models.enabled = vec![out.display().to_string()];
    config.candidates.min_confidence = min_confidence;
    config.candidates.min_long_axis_mm = 0.0;
    config.candidates.max_lesions = 1000;
    let phantom = Phantom::new(&Params::tiny()).expect("phantom");
    let pipeline = Pipeline::new(&config).expect("pipeline");
    let run = pipeline.run(0, &[&phantom.stored], &|_, _| (), &AtomicBool::new(false));
    run.expect("run")
}

#[test]
fn every_lesion_is_assessed_before_any_is_dropped_and_the_most_confident_comes_first() {
    let all = run(0.0);
    assert!(all.timings_ms.contains_key("classify"));
    let confidences: Vec<f32> = all
        .lesions
        .iter()
        .map(|(lesion, _)| lesion.confidence)
        .collect();
    assert!(confidences.len() >= 5 && confidences.is_sorted_by(|a, b| a >= b));
    for (lesion, _) in &all.lesions {
        let assessment = lesion.assessment.as_ref().expect("assessed");
        let calibrated = 1.0 / (1.0 + (0.3 - 0.7 * f64::from(assessment.logit)).exp());
        assert!((f64::from(lesion.confidence) - calibrated).abs() < 1e-6);
        assert_eq!(assessment.confidence.to_bits(), lesion.confidence.to_bits());
        assert!(assessment.nodule_type.is_some() && assessment.spread > 0.0);
    }
    let warned = |warning: &Warning| warning.code() == "unfamiliar-input";
    assert!(all.warnings.iter().any(warned), "{:?}", all.warnings);
    let kept = run(0.5).lesions.len();
    assert_eq!(kept, confidences.iter().filter(|c| **c >= 0.5).count());
}
