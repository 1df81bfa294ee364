//! The phantom as a whole: volumes, places, attenuation, files.

use super::*;
use crate::volume::Geometry;
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use glam::DVec3;
use proptest::prelude::*;
use std::path::Path;

/// A point in the middle of the right lung.
const RIGHT_LUNG: [f64; 3] = [-75.0, 0.0, -25.0];

/// A cube of about `extent_mm` around the right lung's middle, without noise.
fn noise_free(spacing_mm: [f64; 3], extent_mm: f64, lesions: Vec<LesionSpec>) -> Params {
    Params {
        size: spacing_mm.map(|s| (extent_mm / s).ceil() as usize + 1),
        spacing_mm,
        centre_lps_mm: RIGHT_LUNG,
        dose: Dose::None,
        lesions: Lesions::List(lesions),
        ..Params::default()
    }
}

fn hu(phantom: &Phantom) -> Vec<f32> {
    let stored = &phantom.stored;
    (0..stored.samples.len())
        .map(|i| stored.stored(i) as f32 + stored.rescale[0].intercept)
        .collect()
}

/// The part of each voxel that the lesions fill: the same scan with them, against that without.
fn filled(params: &Params) -> (Geometry, Vec<f64>) {
    let with = Phantom::new(params).unwrap();
    let without = Params {
        lesions: Lesions::Count(0),
        ..params.clone()
    };
    let without = Phantom::new(&without).unwrap();
    let part = |(a, b): (f32, f32)| f64::from((a - b) / (Density::Solid.hu() - b)).max(0.0);
    let parts = hu(&with).into_iter().zip(hu(&without)).map(part).collect();
    (with.stored.geometry, parts)
}

/// Weighted volume (mm³) and centroid (LPS mm).
fn moments(geometry: &Geometry, weights: &[f64]) -> (f64, DVec3) {
    let [_, ny, nx] = geometry.size;
    let (mut sum, mut moment) = (0.0, DVec3::ZERO);
    for (i, weight) in weights.iter().enumerate() {
        let index = DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
        sum += weight;
        moment += geometry.to_lps_mm(index) * *weight;
    }
    (sum * geometry.voxel_volume_mm3(), moment / sum)
}

fn sphere_mm3(diameter_mm: f64) -> f64 {
    std::f64::consts::PI / 6.0 * diameter_mm.powi(3)
}

#[test]
fn the_same_parameters_give_the_same_phantom_and_another_seed_another() {
    let params = Params {
        size: [24, 40, 40],
        lesions: Lesions::Count(0),
        ..Params::tiny()
    };
    let first = Phantom::new(&params).unwrap();
    assert_eq!(first, Phantom::new(&params).unwrap());
    let other = Phantom::new(&Params { seed: 2, ..params }).unwrap();
    assert_ne!(first.stored.samples, other.stored.samples);
}

#[test]
fn a_small_sphere_fills_its_analytic_volume() {
    let diameter_mm = 5.0;
    let lesion = LesionSpec::solid_sphere(diameter_mm).at([-74.7, 0.2, -25.4]);
    let (geometry, parts) = filled(&noise_free([1.0; 3], 24.0, vec![lesion]));
    let volume = moments(&geometry, &parts).0;
    assert!(
        (volume / sphere_mm3(diameter_mm) - 1.0).abs() < 0.03,
        "{volume}"
    );
}

#[test]
fn voxels_above_half_of_a_sphere_count_up_to_its_analytic_volume() {
    let diameter_mm = 18.0;
    let lesion = LesionSpec::solid_sphere(diameter_mm).at([-74.7, 0.2, -25.4]);
    let (geometry, parts) = filled(&noise_free([1.0; 3], 30.0, vec![lesion]));
    let count = parts.iter().filter(|p| **p >= 0.5).count() as f64;
    let volume = count * geometry.voxel_volume_mm3();
    assert!(
        (volume / sphere_mm3(diameter_mm) - 1.0).abs() < 0.03,
        "{volume}"
    );
}

#[test]
fn thick_slices_keep_the_volume_of_a_sphere() {
    let lesion = LesionSpec::solid_sphere(14.0).at([-74.7, 0.2, -25.4]);
    let (geometry, parts) = filled(&noise_free([5.0, 0.8, 0.8], 40.0, vec![lesion]));
    let volume = moments(&geometry, &parts).0;
    assert!((volume / sphere_mm3(14.0) - 1.0).abs() < 0.03, "{volume}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// A threshold on the values alone must find the lesion where the truth says, to 0.1 mm.
    #[test]
    fn a_lesion_stays_in_its_place_in_every_orientation(
        spacing_mm in prop::array::uniform3(0.7_f64..2.0),
        tilt_deg in -25.0_f64..25.0,
        offset in prop::array::uniform3(-1.0_f64..1.0),
    ) {
        let at: [f64; 3] = std::array::from_fn(|i| RIGHT_LUNG[i] + offset[i]);
        let lesion = LesionSpec::solid_sphere(16.0).at(at);
        for orientation in Orientation::all() {
            let params = Params {
                orientation,
                tilt_deg,
                detail: Detail::Plain,
                ..noise_free(spacing_mm, 30.0, vec![lesion.clone()])
            };
            let phantom = Phantom::new(&params).unwrap();
            let weights: Vec<f64> =
                hu(&phantom).iter().map(|hu| f64::from(hu + 700.0).clamp(0.0, 740.0)).collect();
            let (_, centroid) = moments(&phantom.stored.geometry, &weights);
            let off_mm = centroid.distance(DVec3::from(at));
            prop_assert!(off_mm < 0.1, "{orientation}: {off_mm} mm");
            let stated = DVec3::from(phantom.truth.nodules[0].centroid_lps_mm);
            prop_assert!(stated.distance(DVec3::from(at)) < 2e-3);
        }
    }
}

/// Median HU of a 9 mm cube.
fn tissue_hu(centre_lps_mm: [f64; 3]) -> f32 {
    let params = Params {
        size: [9; 3],
        spacing_mm: [1.0; 3],
        centre_lps_mm,
        lesions: Lesions::Count(0),
        ..Params::default()
    };
    let mut values = hu(&Phantom::new(&params).unwrap());
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

#[test]
fn tissues_have_their_attenuation() {
    let check = |place, lower: f32, upper: f32| {
        let found = tissue_hu(place);
        assert!((lower..=upper).contains(&found), "{place:?}: {found} HU");
    };
    check(RIGHT_LUNG, -910.0, -800.0);
    check([80.0, 40.0, 10.0], -910.0, -780.0);
    check([20.0, -28.0, -62.0], 35.0, 55.0);
    check([-80.0, 0.0, -140.0], 45.0, 70.0);
    check([25.0, 88.0, -10.0], 20.0, 70.0);
    check([0.0, 62.0, 0.0], 120.0, 450.0);
    check([0.0, 9.0, 50.0], -1024.0, -970.0);
    check([0.0, -140.0, 0.0], -1015.0, -985.0);
}

#[test]
fn a_solid_lesion_has_the_stated_attenuation_and_noise() {
    let lesion = LesionSpec::solid_sphere(24.0).at(RIGHT_LUNG);
    let params = Params {
        dose: Dose::Low,
        ..noise_free([1.0, 0.5, 0.5], 13.0, vec![lesion])
    };
    let values = hu(&Phantom::new(&params).unwrap());
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let sigma = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt();
    assert!((mean - 40.0).abs() < 3.0, "{mean}");
    assert!((sigma - 25.0).abs() < 2.5, "{sigma}");
}

#[test]
fn every_seed_finds_room_for_mixed_lesions_apart_from_each_other() {
    for seed in 1..=4 {
        let params = Params {
            seed,
            size: [120, 140, 140],
            spacing_mm: [2.5; 3],
            ..Params::default()
        };
        let nodules = Phantom::new(&params).unwrap().truth.nodules;
        assert_eq!(nodules.len(), 6);
        for (i, a) in nodules.iter().enumerate() {
            assert!((3.9..=30.1).contains(&a.equivalent_diameter_mm), "{a:?}");
            for b in &nodules[..i] {
                let apart = DVec3::from(a.centroid_lps_mm).distance(b.centroid_lps_mm.into());
                assert!(apart > (a.equivalent_diameter_mm + b.equivalent_diameter_mm) / 2.0);
            }
        }
    }
}

#[test]
fn a_lesion_outside_the_grid_or_too_large_is_refused() {
    let outside = LesionSpec::solid_sphere(10.0).at([80.0, 0.0, 0.0]);
    let error = Phantom::new(&noise_free([1.0; 3], 20.0, vec![outside])).unwrap_err();
    assert_eq!(error.code(), "phantom-lesion-has-no-room");
    let large = LesionSpec::solid_sphere(40.0);
    let error = Phantom::new(&noise_free([1.0; 3], 20.0, vec![large])).unwrap_err();
    assert_eq!(error.class(), Class::Config);
}

fn doubles(object: &DefaultDicomObject, tag: dicom_core::Tag) -> Vec<f64> {
    object.element(tag).unwrap().to_multi_float64().unwrap()
}

/// Slices as `(position, pixels)`, in the order of their file names.
fn read_back(series: &Path) -> Vec<(DefaultDicomObject, Vec<u16>)> {
    let mut paths: Vec<_> = std::fs::read_dir(series)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let object = dicom_object::open_file(path).unwrap();
            let bytes = object
                .element(tags::PIXEL_DATA)
                .unwrap()
                .to_bytes()
                .unwrap();
            let pixels = bytes
                .chunks_exact(2)
                .map(|b| u16::from_le_bytes([b[0], b[1]]))
                .collect();
            (object, pixels)
        })
        .collect()
}

#[test]
fn a_written_series_reads_back_as_it_was_made() {
    let params = Params {
        size: [6, 20, 24],
        orientation: "PIR".parse().unwrap(),
        tilt_deg: 10.0,
        signed: true,
        circular_fov: true,
        lesions: Lesions::Count(0),
        ..Params::tiny()
    };
    let phantom = Phantom::new(&params).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = WriteOptions {
        shuffle: true,
        ..WriteOptions::default()
    };
    let written = write_series(&phantom, dir.path(), options).unwrap();
    let slices = read_back(&written.series);
    assert_eq!(slices.len(), 6);
    let mut seen = Vec::new();
    for (object, pixels) in &slices {
        let position: DVec3 = DVec3::from_slice(&doubles(object, tags::IMAGE_POSITION_PATIENT));
        let index = phantom
            .stored
            .geometry
            .lps_to_index()
            .transform_point3(position);
        assert!(index.distance(DVec3::Z * index.z.round()) < 1e-6);
        let z = index.z.round() as usize;
        assert_eq!(pixels, &phantom.stored.samples[z * 480..][..480]);
        assert_eq!(doubles(object, tags::PIXEL_SPACING), [1.25, 1.25]);
        assert_eq!(doubles(object, tags::PIXEL_PADDING_VALUE), [-2000.0]);
        seen.push(z);
    }
    assert!(!seen.is_sorted());
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    let truth: Truth = serde_json::from_slice(&std::fs::read(written.truth).unwrap()).unwrap();
    assert_eq!(truth, phantom.truth);
}

#[test]
fn a_folder_in_use_is_refused_unless_overwritten() {
    let params = Params {
        size: [2, 8, 8],
        lesions: Lesions::Count(0),
        ..Params::tiny()
    };
    let phantom = Phantom::new(&params).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.txt"), "kept").unwrap();
    let error = write_series(&phantom, dir.path(), WriteOptions::default()).unwrap_err();
    assert_eq!(error.code(), "output-folder-not-empty");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let options = WriteOptions {
        overwrite: true,
        ..WriteOptions::default()
    };
    write_series(&phantom, dir.path(), options).unwrap();
    let written = write_series(&phantom, dir.path(), options).unwrap();
    assert_eq!(std::fs::read_dir(&written.series).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}

/// Other libm versions may round a value at the edge of two integers differently.
const ROUNDING_HU: i32 = 1;

#[test]
fn the_committed_series_is_what_the_demo_preset_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest");
    let truth: Truth =
        serde_json::from_slice(&std::fs::read(folder.join(TRUTH_FILE)).unwrap()).unwrap();
    let phantom = Phantom::new(&Params::demo()).unwrap();
    assert_eq!(
        truth, phantom.truth,
        "run scripts/make-testdata.sh and review what changed"
    );
    let slices = read_back(&folder.join(SERIES_FOLDER));
    assert_eq!(slices.len(), phantom.stored.geometry.size[0]);
    let plane = phantom.stored.samples.len() / slices.len();
    for ((_, pixels), made) in slices
        .iter()
        .zip(phantom.stored.samples.chunks_exact(plane))
    {
        let off = |(a, b): (&u16, &u16)| (i32::from(*a) - i32::from(*b)).abs();
        assert!(pixels.iter().zip(made).map(off).max() <= Some(ROUNDING_HU));
    }
}
