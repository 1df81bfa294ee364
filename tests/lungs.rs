//! The search mask on real chests: no truth voxel of a nodule of three readers or more may lie outside.
//!
//! The series are in ../shared/data; where that is missing, the tests say so and pass.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the figures are for people; numbers of a known file are cast"
)]

mod common;

use common::gpu;
use flate2::read::GzDecoder;
use glam::DVec3;
use hilum::dicom;
use hilum::gpu::Compute;
use hilum::preprocess::lungs::{self, Lungs};
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::resample;
use hilum::preprocess::{self, Interpolation, Plan, Prepared, SearchRegion, smooth};
use hilum::volume::{
    Geometry, Laterality, Mask, PADDING_HU, Rescale, SlicePositions, StoredVolume,
};
use proptest::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The validate series 0006 and 0012 are left alone: the rule must not be fitted to them.
const TRAIN: [&str; 4] = [
    "LIDC-IDRI-0001",
    "LIDC-IDRI-0003",
    "LIDC-IDRI-0005",
    "LIDC-IDRI-0007",
];

/// A mask of a larger share would exclude little.
const MAX_SHARE_OF_BODY: f64 = 0.5;

/// One nodule of the truth, in the patient.
struct Nodule {
    readers: u64,
    centroid_lps_mm: DVec3,
    voxels_lps_mm: Vec<DVec3>,
}

fn data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    let there = folder.is_dir();
    if !there {
        println!("SKIPPED, NO REAL SERIES: {} is missing", folder.display());
    }
    there.then_some(folder)
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("within the file")
}

/// Nodules of a case; the label map is NIfTI-1 with an sform, in RAS.
fn truth(folder: &Path, case: &str) -> Vec<Nodule> {
    let file = File::open(folder.join(format!("{case}.truth.nii.gz"))).expect("label map");
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    let [nx, ny, nz] = [42, 44, 46].map(|at| usize::from(u16::from_le_bytes(le(&bytes, at))));
    let bytes_a_voxel = usize::from(u16::from_le_bytes(le(&bytes, 72))) / 8;
    let first_byte = f32::from_le_bytes(le(&bytes, 108)) as usize;
    let sform = |row: usize, column: usize| {
        f64::from(f32::from_le_bytes(le(&bytes, 280 + 16 * row + 4 * column)))
    };
    let to_lps_mm = |index: [usize; 3]| {
        let ras =
            |row| (0..3).map(|k| sform(row, k) * index[k] as f64).sum::<f64>() + sform(row, 3);
        DVec3::new(-ras(0), -ras(1), ras(2))
    };
    let json = File::open(folder.join(format!("{case}.truth.json"))).expect("truth");
    let json: serde_json::Value = serde_json::from_reader(json).expect("JSON");
    let nodules = json["nodules"].as_array().expect("nodules").iter();
    nodules
        .map(|nodule| {
            let label = nodule["label"].as_u64().expect("label") as u8;
            let inside =
                (0..nx * ny * nz).filter(|i| bytes[first_byte + i * bytes_a_voxel] == label);
            let number = |k: usize| nodule["centroid_lps_mm"][k].as_f64().expect("number");
            Nodule {
                readers: nodule["readers"].as_u64().expect("readers"),
                centroid_lps_mm: DVec3::new(number(0), number(1), number(2)),
                voxels_lps_mm: inside
                    .map(|i| to_lps_mm([i % nx, i / nx % ny, i / (nx * ny)]))
                    .collect(),
            }
        })
        .collect()
}

/// Samples of the one series below a folder.
fn read(folder: &Path) -> StoredVolume {
    let inventory = dicom::read_paths(&[folder.to_path_buf()], &|_| ());
    let series = &inventory.studies[0].series[0];
    dicom::load(series, u64::MAX, None).expect("decodes")
}

fn at(mask: &Mask, position_lps_mm: DVec3) -> u8 {
    let grid = &mask.geometry;
    let index = grid
        .lps_to_index()
        .transform_point3(position_lps_mm)
        .round();
    let clamped = |v: f64, n: usize| (v.max(0.0) as usize).min(n - 1);
    let [nz, ny, nx] = grid.size;
    mask.at([
        clamped(index.z, nz),
        clamped(index.y, ny),
        clamped(index.x, nx),
    ])
}

fn ml(mask: &Mask) -> f64 {
    let voxels = mask.voxels.iter().filter(|v| **v == 1).count();
    voxels as f64 * mask.geometry.voxel_volume_mm3() / 1000.0
}

fn missed(lungs: &Lungs, nodule: &Nodule) -> usize {
    let outside = |p: &&DVec3| at(&lungs.search, **p) == 0;
    nodule.voxels_lps_mm.iter().filter(outside).count()
}

fn prepared(folder: &Path, case: &str) -> Prepared {
    let stored = read(&folder.join(case));
    let plan = Plan {
        grid: stored.geometry.covering([8.0; 3]),
        interpolation: Interpolation::Trilinear,
    };
    preprocess::run(&Compute::Cpu, &stored, &plan).expect("prepared")
}

fn masks(folder: &Path, case: &str) -> Lungs {
    let lungs = prepared(folder, case).lungs;
    println!(
        "{case}: lungs {:.0} ml, search {:.0} ml, {:.3} of the body",
        ml(&lungs.lung),
        ml(&lungs.search),
        ml(&lungs.search) / ml(&lungs.body)
    );
    lungs
}

#[test]
fn no_truth_voxel_of_three_readers_or_more_lies_outside_the_search_mask() {
    let Some(folder) = data() else { return };
    for case in TRAIN {
        let lungs = masks(&folder, case);
        assert!(lungs.found, "{case}");
        for nodule in truth(&folder, case) {
            let at = nodule.centroid_lps_mm;
            let (missed, of) = (missed(&lungs, &nodule), nodule.voxels_lps_mm.len());
            println!(
                "  {at}: {missed} of {of} missed, {} readers, {:?}",
                nodule.readers,
                lungs.side(at)
            );
            assert!(of > 0, "{case}: {at} has no voxels");
            assert!(
                nodule.readers < 3 || missed == 0,
                "{case}: {at} misses {missed}"
            );
        }
        assert!(
            ml(&lungs.search) < MAX_SHARE_OF_BODY * ml(&lungs.body),
            "{case}"
        );
    }
}

/// Sides by the centroids against the middle of the body, from which the nearest is 27 mm away.
#[test]
fn each_nodule_lies_on_its_side_of_the_body() {
    use Laterality::{Left, Right};
    let Some(folder) = data() else { return };
    let cases: [(&str, &[Laterality]); 4] = [
        (TRAIN[0], &[Left]),
        (TRAIN[1], &[Left, Left, Right, Left]),
        (TRAIN[2], &[Right, Left, Left]),
        (TRAIN[3], &[Right, Left]),
    ];
    for (case, sides) in cases {
        let lungs = masks(&folder, case);
        for (nodule, &side) in truth(&folder, case).iter().zip(sides) {
            let at = nodule.centroid_lps_mm;
            assert_eq!(lungs.side(at), Some(side), "{case}: {at}");
        }
    }
}

/// At half the lungs' height the heart or the great vessels lie between them, and high up the axillae beside them.
#[test]
fn lymph_nodes_are_looked_for_between_and_beside_the_lungs_of_real_chests() {
    let Some(folder) = data() else { return };
    for case in TRAIN {
        let prepared = prepared(&folder, case).searched_in(SearchRegion::LymphNodes);
        let Lungs { lung, search, .. } = &prepared.lungs;
        let [_, ny, nx] = lung.geometry.size;
        let held = (0..lung.voxels.len()).filter(|i| lung.voxels[*i] == 1);
        let (mut ends, mut slices) = ([nx, 0], Vec::new());
        for i in held {
            ends = [ends[0].min(i % nx), ends[1].max(i % nx)];
            slices.push(i / nx / ny);
        }
        let (middle, half) = ((ends[0] + ends[1]) / 2, slices[slices.len() / 2]);
        let searched = |z: usize, columns: std::ops::Range<usize>| {
            let rows = (0..ny).flat_map(|y| columns.clone().map(move |x| search.at([z, y, x])));
            rows.filter(|v| *v == 1).count()
        };
        let high = slices[slices.len() * 17 / 20];
        let found = [
            searched(half, middle..middle + 1),
            searched(high, 0..middle - 31),
            searched(high, middle + 32..nx),
        ];
        println!("{case}: {:.0} ml, rows and voxels {found:?}", ml(search));
        assert!(
            found
                .iter()
                .zip([40, 300, 300])
                .all(|(n, least)| *n > least),
            "{case}"
        );
        assert!((1500.0..8000.0).contains(&ml(search)), "{case}");
    }
}

#[test]
fn the_gpu_finds_the_same_masks_in_a_real_chest() {
    let (Some(folder), Some(gpu)) = (data(), gpu()) else {
        return;
    };
    let stored = read(&folder.join(TRAIN[2]));
    let grid = stored.geometry.covering([2.0; 3]);
    let mapping = Mapping::new(&stored.geometry, &grid, Interpolation::Trilinear);
    let hu = smooth::reference(
        grid.size,
        [1.0; 3],
        &resample::from_stored(&mapping, &stored),
    );
    let found = lungs::on_gpu(&gpu, &hu, &grid).expect("runs");
    assert!(found == lungs::reference(&hu, &grid));
}

/// A chest cut above and below, so that its lungs and their airways end with the scan: an elliptic cylinder with two in it, in room
/// air. So many slices as said are blank before and behind it.
fn cut_chest(
    slices: usize,
    slice_spacing_mm: f64,
    tilt_deg: f64,
    blank: [usize; 2],
) -> StoredVolume {
    const PIXEL_MM: f64 = 3.7;
    let size = [blank[0] + slices + blank[1], 64, 90];
    let mut geometry = Geometry::axis_aligned(
        size,
        [slice_spacing_mm, PIXEL_MM, PIXEL_MM],
        DVec3::new(-165.0, -118.0, 0.0),
    );
    geometry.index_to_lps.matrix3.z_axis.y = slice_spacing_mm * tilt_deg.to_radians().tan();
    let within = |x: f64, y: f64, [a, b]: [f64; 2]| (x / a).powi(2) + (y / b).powi(2) < 1.0;
    let samples = (0..size.iter().product()).map(|i: usize| {
        let index = [i % size[2], i / size[2] % size[1], i / (size[1] * size[2])];
        let place = geometry.to_lps_mm(DVec3::from(index.map(|n| n as f64)));
        let is_blank = index[2] < blank[0] || index[2] >= blank[0] + slices;
        let hu = match place {
            _ if is_blank => -1024,
            p if within(p.x.abs() - 70.0, p.y, [45.0, 60.0]) => -850,
            p if within(p.x, p.y, [9.0, 9.0])
                || within(p.y, p.z - 30.0, [8.0, 8.0]) && p.x.abs() < 70.0 =>
            {
                -990
            }
            p if within(p.x, p.y, [150.0, 95.0]) => 40,
            _ => -1000,
        };
        (hu + 1024) as u16
    });
    StoredVolume {
        samples: samples.collect(),
        geometry,
        slices: SlicePositions::even(),
        signed: false,
        rescale: vec![
            Rescale {
                slope: 1.0,
                intercept: -1024.0
            };
            size[0]
        ],
        padding: None,
        padding_value: PADDING_HU,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lungs_that_end_with_the_scan_are_found_whatever_the_distance_and_tilt_of_its_slices_and_how_many_are_blank(
        slice_spacing_mm in 0.5_f64..4.0,
        length_mm in 60.0_f64..160.0,
        tilt_deg in prop_oneof![Just(0.0), -25.0_f64..25.0],
        blank in prop_oneof![Just([0; 2]), prop::array::uniform2(0_usize..20)],
    ) {
        let slices = (length_mm / slice_spacing_mm) as usize;
        let stored = cut_chest(slices, slice_spacing_mm, tilt_deg, blank);
        let plan = Plan {
            grid: stored.geometry.covering([8.0; 3]),
            interpolation: Interpolation::Trilinear,
        };
        let prepared = preprocess::run(&Compute::Cpu, &stored, &plan).expect("a small volume");
        prop_assert!(prepared.lungs.found);
        let found_ml = prepared.lungs.lung.voxels.iter().filter(|v| **v == 1).count() as f64 * 0.008;
        let wanted_ml = 2.0 * std::f64::consts::PI * 45.0 * 60.0 * slices as f64 * slice_spacing_mm / 1000.0;
        // Smoothing takes up to 12 mm of blank slices at either end for lung.
        let spread = if blank == [0; 2] { 1.0 } else { (length_mm + 24.0) / length_mm };
        prop_assert!((0.8..1.1 * spread).contains(&(found_ml / wanted_ml)), "{found_ml} ml, not {wanted_ml}");
    }
}
