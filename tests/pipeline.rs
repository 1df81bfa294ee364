//! The stages together: positions hold in every orientation, both devices find the same, runs repeat to the byte.

mod common;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use glam::DVec3;
use hilum::config::{CandidatesConfig, Config, DeviceKind, InputConfig};
use hilum::dicom::{load, read_paths};
use hilum::gpu::Compute;
use hilum::lesion::{Kind, Lesion, Params as LesionParams};
use hilum::measure::Measurement;
use hilum::phantom::{
    Detail, Dose, LesionSpec, Lesions, Nodule, Orientation, Params, Phantom, Truth, WriteOptions,
    write_series,
};
use hilum::pipeline::{self, Outcome, Pipeline};
use hilum::preprocess::{self, GridHu, Interpolation, Plan};
use hilum::volume::{ProbabilityMap, StoredVolume};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// A lesion may be this far from its true place.
const POSITION_TOLERANCE_MM: f64 = 0.1;

/// A chest so large that the block of lung about the sphere stays clear of its wall.
const CHEST_SCALE: f64 = 1.5;

/// The middle of that chest's right lung.
const RIGHT_LUNG: DVec3 = DVec3::new(-75.0 * CHEST_SCALE, 0.0, -25.0 * CHEST_SCALE);

/// Large enough that counting whole voxels moves the centroid by less than the tolerance: by up to 0.06 mm.
const DIAMETER_MM: f64 = 24.0;

/// Attenuation of lung and of a solid lesion; half way between them is the border.
const LUNG_HU: f32 = -850.0;
const LESION_HU: f32 = 40.0;

/// How a block of lung lies in the patient.
#[derive(Debug, Clone, Copy)]
struct Pose {
    orientation: Orientation,
    spacing_mm: [f64; 3],
    tilt_deg: f64,
    /// Of the sphere from the middle of the block, so that no mirrored or swapped axis goes unseen.
    offset_mm: [f64; 3],
}

impl Pose {
    fn sphere_lps_mm(self) -> DVec3 {
        RIGHT_LUNG + DVec3::from(self.offset_mm)
    }

    /// Lung without noise and vessels, and one sphere in it.
    fn phantom(self) -> Phantom {
        const EXTENT_MM: f64 = 48.0;
        let sphere = LesionSpec::solid_sphere(DIAMETER_MM).at(self.sphere_lps_mm().to_array());
        let params = Params {
            size: self.spacing_mm.map(|s| voxels(EXTENT_MM / s)),
            spacing_mm: self.spacing_mm,
            centre_lps_mm: RIGHT_LUNG.to_array(),
            dose: Dose::None,
            chest_scale: CHEST_SCALE,
            detail: Detail::Plain,
            lesions: Lesions::List(vec![sphere]),
            orientation: self.orientation,
            tilt_deg: self.tilt_deg,
            ..Params::default()
        };
        Phantom::new(&params).expect("phantom")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some tens of voxels"
)]
fn voxels(count: f64) -> usize {
    count.ceil() as usize + 1
}

/// Anisotropic spacing, gantry tilt and a place for the sphere.
fn poses() -> impl Strategy<Value = Pose> {
    let in_plane = 0.5..1.1_f64;
    let spacing_mm = (0.6..1.8_f64, in_plane.clone(), in_plane).prop_map(<[f64; 3]>::from);
    let offset_mm = [2.0..4.0_f64, -4.0..-2.0_f64, 2.0..4.0_f64];
    (spacing_mm, -25.0..25.0_f64, offset_mm).prop_map(|(spacing_mm, tilt_deg, offset_mm)| Pose {
        orientation: Orientation::default(),
        spacing_mm,
        tilt_deg,
        offset_mm,
    })
}

/// The pipeline with a threshold in the network's place: the attenuation as a share of that of a lesion, cut at a half.
fn threshold(stored: &StoredVolume) -> Vec<(Lesion, Measurement)> {
    let plan = Plan {
        grid: stored.geometry.covering([1.0; 3]),
        interpolation: Interpolation::Trilinear,
    };
    let prepared = preprocess::run(&Compute::Cpu, stored, &plan).expect("prepared");
    let GridHu::Cpu(hu) = &prepared.hu else {
        unreachable!("the CPU was chosen")
    };
    let dense = |hu: &f32| ((hu - LUNG_HU) / (LESION_HU - LUNG_HU)).clamp(0.0, 1.0);
    let probability = ProbabilityMap {
        geometry: prepared.grid,
        voxels: hu.iter().map(dense).collect(),
    };
    let params = LesionParams {
        kind: Kind::LungNodule,
        terms: Kind::LungNodule.into(),
        threshold: 0.5,
        min_volume_mm3: 20.0,
        merge_distance_mm: 2.0,
    };
    let keep = CandidatesConfig::default();
    pipeline::lesions(&probability, stored, &params, &keep, |p| {
        prepared.lungs.side(p)
    })
}

/// The one sphere is found at `expected_lps_mm`, as large as it is.
fn assert_sphere(found: &[(Lesion, Measurement)], expected_lps_mm: DVec3, pose: &Pose) {
    let [(_, measured)] = found else {
        panic!("{} lesions, one expected: {pose:?}", found.len())
    };
    let off_mm = measured.centroid_lps_mm.distance(expected_lps_mm);
    assert!(off_mm < POSITION_TOLERANCE_MM, "{off_mm} mm: {pose:?}");
    let volume_mm3 = std::f64::consts::PI / 6.0 * DIAMETER_MM.powi(3);
    let relative = measured.volume_mm3 / volume_mm3 - 1.0;
    assert!(relative.abs() < 0.04, "volume {relative:+.3}: {pose:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_lesion_is_at_the_same_patient_coordinates_in_all_48_orientations(pose in poses()) {
        for orientation in Orientation::all() {
            let pose = Pose { orientation, ..pose };
            let found = threshold(&pose.phantom().stored);
            assert_sphere(&found, pose.sphere_lps_mm(), &pose);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_files_a_lesion_is_where_their_attributes_put_it(pose in poses()) {
        for orientation in Orientation::all() {
            let pose = Pose { orientation, ..pose };
            let folder = tempfile::tempdir().expect("folder");
            let options = WriteOptions { shuffle: true, ..WriteOptions::default() };
            let series = write_series(&pose.phantom(), folder.path(), options).expect("written").series;
            let found = threshold(&read(&series));
            assert_sphere(&found, pose.sphere_lps_mm(), &pose);
            let off_mm = found[0].1.centroid_lps_mm.distance(bright_centroid_lps_mm(&series));
            prop_assert!(off_mm < POSITION_TOLERANCE_MM, "{off_mm} mm: {pose:?}");
        }
    }
}

/// The only series below `path`.
fn read(path: &Path) -> StoredVolume {
    let inventory = read_paths(&[path.to_owned()], &|_| ());
    let series = &inventory.studies[0].series[0];
    load(series, InputConfig::default().max_voxels, None).expect("loaded")
}

/// Mean position of the bright pixels by the equation of PS3.3 C.7.6.2.1.1, from the attributes of each file alone.
fn bright_centroid_lps_mm(series: &Path) -> DVec3 {
    let (mut sum, mut count) = (DVec3::ZERO, 0.0);
    for entry in std::fs::read_dir(series).expect("series") {
        let file = dicom_object::open_file(entry.expect("entry").path()).expect("DICOM");
        let position = DVec3::from_slice(&numbers(&file, tags::IMAGE_POSITION_PATIENT));
        let orientation = numbers(&file, tags::IMAGE_ORIENTATION_PATIENT);
        let [along_row, along_column] = [0, 3].map(|at| DVec3::from_slice(&orientation[at..]));
        let spacing = numbers(&file, tags::PIXEL_SPACING);
        let columns: usize = file
            .element(tags::COLUMNS)
            .expect("Columns")
            .to_int()
            .expect("one");
        let intercept = numbers(&file, tags::RESCALE_INTERCEPT)[0];
        let pixels = file
            .element(tags::PIXEL_DATA)
            .expect("Pixel Data")
            .to_multi_int::<u16>();
        for (i, stored) in pixels.expect("16 bits").into_iter().enumerate() {
            if f64::from(stored) + intercept > f64::from(LUNG_HU + LESION_HU) / 2.0 {
                let (row, column) = ((i / columns) as f64, (i % columns) as f64);
                sum += position + along_row * spacing[1] * column + along_column * spacing[0] * row;
                count += 1.0;
            }
        }
    }
    sum / count
}

fn numbers(file: &DefaultDicomObject, tag: Tag) -> Vec<f64> {
    file.element(tag)
        .expect("attribute")
        .to_multi_float64()
        .expect("numbers")
}

/// 96³ voxels of the right lung with vessels and three lesions: eight patches of the network.
fn cube() -> Phantom {
    Phantom::new(&Params {
        spacing_mm: [1.0; 3],
        ..Params::tiny()
    })
    .expect("phantom")
}

fn run(device: DeviceKind, stored: &StoredVolume) -> Outcome {
    let mut config = Config::default();
    config.device.kind = device;
    run_as_configured(&config, stored)
}

fn run_as_configured(config: &Config, stored: &StoredVolume) -> Outcome {
    let pipeline = Pipeline::new(config).expect("pipeline");
    pipeline
        .run(0, &[stored], &|_, _| {}, &AtomicBool::new(false))
        .expect("run")
}

/// The measured lesion nearest to a place.
fn nearest(outcome: &Outcome, place_lps_mm: DVec3) -> &(Lesion, Measurement) {
    let distance = |(_, m): &&(Lesion, Measurement)| m.centroid_lps_mm.distance(place_lps_mm);
    let nearest = outcome
        .lesions
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.expect("some lesion was found")
}

#[test]
fn a_smaller_step_runs_more_patches_and_finds_the_same_lesions() {
    let stored = Phantom::new(&Params {
        size: [144; 3],
        spacing_mm: [1.0; 3],
        ..Params::tiny()
    });
    let stored = stored.expect("phantom").stored;
    let with_step = |step| {
        let mut config = Config::default();
        config.device.kind = DeviceKind::Cpu;
        config.inference.step = step;
        run_as_configured(&config, &stored)
    };
    let [own, fine] = [0.0, 0.25].map(with_step);
    let patches = [own.patches, fine.patches];
    assert!(patches[0] < patches[1], "{patches:?}");
    assert!(own.lesions.len() >= 4, "{:?}", own.lesions);
    for (_, measured) in own.lesions.iter().take(4) {
        let (_, again) = nearest(&fine, measured.centroid_lps_mm);
        let off_mm = measured.centroid_lps_mm.distance(again.centroid_lps_mm);
        assert!(off_mm < 0.5, "{off_mm} mm: {measured:?}");
    }
}

#[test]
fn both_devices_find_the_same_lesions() {
    if common::gpu().is_none() {
        return;
    }
    let stored = cube().stored;
    let [cpu, gpu] = [DeviceKind::Cpu, DeviceKind::Gpu].map(|device| run(device, &stored));
    println!(
        "{} lesions by {} patches on both devices",
        cpu.lesions.len(),
        cpu.patches
    );
    assert!(!cpu.lesions.is_empty());
    assert_eq!(cpu.lesions.len(), gpu.lesions.len());
    for (on_cpu, measured) in &cpu.lesions {
        let (on_gpu, again) = nearest(&gpu, measured.centroid_lps_mm);
        let off_mm = measured.centroid_lps_mm.distance(again.centroid_lps_mm);
        assert!(
            off_mm < POSITION_TOLERANCE_MM,
            "{off_mm} mm: {measured:?} {again:?}"
        );
        let voxels = on_cpu.mask.count().abs_diff(on_gpu.mask.count()) as f64;
        assert!(
            voxels <= (0.005 * on_cpu.mask.count() as f64).max(2.0),
            "{measured:?} {again:?}"
        );
        assert!(
            (on_cpu.confidence - on_gpu.confidence).abs() < 1e-3,
            "{measured:?} {again:?}"
        );
        assert_eq!(measured.laterality, again.laterality);
    }
}

/// Whether a candidate lies within the lesion, and its place by confidence.
fn rank(outcome: &Outcome, nodule: &Nodule) -> Option<usize> {
    let centre = DVec3::from(nodule.centroid_lps_mm);
    let hit = |(_, m): &(Lesion, Measurement)| {
        m.centroid_lps_mm.distance(centre) < nodule.equivalent_diameter_mm / 2.0
    };
    Some(outcome.lesions.iter().position(hit)? + 1)
}

#[test]
fn the_network_finds_every_lesion_of_the_phantom_chest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/phantom-chest");
    let truth = std::fs::read_to_string(folder.join("truth.json")).expect("truth");
    let truth: Truth = serde_json::from_str(&truth).expect("truth");
    let outcome = run(DeviceKind::Cpu, &read(&folder.join("series")));
    println!(
        "{} candidates, {} patches",
        outcome.lesions.len(),
        outcome.patches
    );
    for nodule in &truth.nodules {
        let rank = rank(&outcome, nodule);
        let (diameter_mm, shape) = (nodule.equivalent_diameter_mm, nodule.shape);
        println!(
            "{diameter_mm:.0} mm, {shape:?}, {:?}: rank {rank:?}",
            nodule.place
        );
        assert!(rank.is_some(), "lesion {} was missed", nodule.label);
    }
}

/// Runs the executable on a series and returns the folder of its results.
fn process(series: &Path, out: &Path, device: &str) -> PathBuf {
    let mut hilum = Command::new(env!("CARGO_BIN_EXE_hilum"));
    hilum
        .arg("process")
        .arg(series)
        .arg("--out")
        .arg(out)
        .args(["--device", device]);
    let output = hilum.output().expect("started");
    assert!(output.status.success(), "{output:?}");
    let mut studies = std::fs::read_dir(out).expect("results");
    studies.next().expect("one study").expect("entry").path()
}

/// Two runs of one study give the same files but for the times in `findings.json`.
fn assert_repeats(device: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let params = Params {
        size: [44, 48, 48],
        lesions: Lesions::List(vec![LesionSpec::solid_sphere(14.0)]),
        ..cube().truth.params
    };
    let phantom = Phantom::new(&params).expect("phantom");
    let written = write_series(&phantom, &folder.path().join("in"), WriteOptions::default());
    let series = written.expect("written").series;
    let [first, second] = ["a", "b"].map(|out| process(&series, &folder.path().join(out), device));
    for file in ["sr.dcm", "seg.dcm"] {
        let [a, b] = [&first, &second].map(|dir| std::fs::read(dir.join(file)).expect(file));
        assert!(a == b, "{file} differs between two runs on the {device}");
    }
    let [a, b] = [first, second].map(|dir| {
        let text = std::fs::read_to_string(dir.join("findings.json")).expect("findings");
        let mut findings: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let timings = findings
            .as_object_mut()
            .and_then(|f| f.remove("timings_ms"));
        assert!(timings.is_some());
        findings
    });
    assert_eq!(a, b);
    assert_ne!(a["lesions"], serde_json::json!([]));
}

#[test]
fn the_same_study_twice_gives_the_same_bytes_on_the_cpu() {
    assert_repeats("cpu");
}

#[test]
fn the_same_study_twice_gives_the_same_bytes_on_the_gpu() {
    if common::gpu().is_some() {
        assert_repeats("gpu");
    }
}
