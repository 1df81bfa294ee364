//! Odd series, each with what becomes of it: the tables of odd series in `docs/compatibility.md` are these.

#[path = "common/page.rs"]
mod page;

use glam::DVec3;
use hilum::dicom::{Series, Study, load, read_paths};
use hilum::lesion::{self, Kind};
use hilum::measure::{Measurement, measure};
use hilum::phantom::{
    Defect, Dose, LesionSpec, Lesions, Params, Phantom, WriteOptions, write_series,
};
use hilum::preprocess::Interpolation;
use hilum::preprocess::mapping::Mapping;
use hilum::preprocess::resample;
use hilum::volume::{StoredVolume, Volume};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MAX_VOXELS: u64 = 1 << 26;

/// A part of a quiet chest with one ball in the lung.
fn params() -> Params {
    Params {
        size: [60, 72, 72],
        spacing_mm: [1.0, 1.5, 1.5],
        dose: Dose::None,
        lesions: Lesions::List(vec![LesionSpec::solid_sphere(16.0)]),
        ..Params::tiny()
    }
}

fn written(params: &Params, defect: Option<Defect>) -> (TempDir, Phantom) {
    let mut params = params.clone();
    if let Some(defect) = defect {
        defect.prepare(&mut params).expect("a known orientation");
    }
    let phantom = Phantom::new(&params).expect("a phantom");
    let dir = tempfile::tempdir().expect("a folder");
    let options = WriteOptions {
        shuffle: true,
        defect,
        ..WriteOptions::default()
    };
    write_series(&phantom, dir.path(), options).expect("written");
    (dir, phantom)
}

fn studies(folder: &Path) -> Vec<Study> {
    let inventory = read_paths(&[folder.to_owned()], &|_| ());
    let mut unreadable = inventory.unreadable.iter();
    assert!(unreadable.all(|u| u.error.code() == "not-dicom"));
    inventory.studies
}

/// `refused: CODE`, or `read` with slices and warnings, of each stack.
fn outcome(folder: &Path) -> String {
    let one = |series: &Series| {
        load(series, MAX_VOXELS, None).expect("decodes");
        let codes = series.warnings.iter().map(|w| format!("`{}`", w.code()));
        let codes: Vec<String> = codes.collect();
        let slices = series.instances.len();
        match codes.is_empty() {
            true => format!("{slices} slices, no warning"),
            false => format!("{slices} slices, {}", codes.join(", ")),
        }
    };
    let mut outcomes = Vec::new();
    for study in studies(folder) {
        let read: Vec<String> = study.series.iter().map(one).collect();
        if !read.is_empty() {
            outcomes.push(format!("read: {}", read.join("; ")));
        }
        let refused = study.left_out.iter().map(|l| l.error.code());
        outcomes.extend(refused.map(|code| format!("refused: `{code}`")));
    }
    outcomes.join("; ")
}

const PHANTOMS: [(Defect, &str); 19] = [
    (Defect::MissingSlice, "read: 59 slices, `missing-slices`"),
    (Defect::Gap, "refused: `gap-too-wide`"),
    (Defect::Uneven, "read: 24 slices, `uneven-spacing`"),
    (
        Defect::UnevenTilt,
        "read: 24 slices, `gantry-tilt`, `uneven-spacing`",
    ),
    (Defect::Duplicate, "read: 60 slices, `instances-left-out`"),
    (
        Defect::DifferentDuplicate,
        "refused: `conflicting-duplicates`",
    ),
    (Defect::Overlap, "read: 60 slices, `overlapping-slices`"),
    (Defect::Tilt, "read: 60 slices, `gantry-tilt`"),
    (Defect::Shifted, "refused: `slices-not-in-line`"),
    (
        Defect::MixedOrientation,
        "read: 60 slices, `stack-of-series`; 60 slices, `not-axial`, `stack-of-series`",
    ),
    (
        Defect::TwoAcquisitions,
        "read: 60 slices, `stack-of-series`; 60 slices, `stack-of-series`",
    ),
    (
        Defect::TwoPhases,
        "read: 60 slices, `stack-of-series`; 60 slices, `stack-of-series`",
    ),
    (Defect::TwoPhasesUntold, "refused: `same-position`"),
    (Defect::Table, "read: 60 slices, no warning"),
    (Defect::OneSlice, "refused: `too-few-slices`"),
    (Defect::SamePosition, "refused: `same-position`"),
    (Defect::Coronal, "read: 60 slices, `not-axial`"),
    (Defect::Sagittal, "read: 60 slices, `not-axial`"),
    (Defect::Reformat, "refused: `derived`"),
];

const REAL: [(&str, &str, &str); 8] = [
    (
        "odd/gantrytilting",
        "sequence CT of a tilted gantry",
        "read: 4 slices, `gantry-tilt`",
    ),
    (
        "odd/notavolume",
        "bolus monitoring, all slices in one place",
        "refused: `same-position`",
    ),
    (
        "odd/sliceincrement/001",
        "5 mm, one slice missing",
        "read: 4 slices, `missing-slices`",
    ),
    (
        "odd/sliceincrement/002",
        "tilted, 0.8 mm, one slice missing",
        "read: 4 slices, `gantry-tilt`, `missing-slices`",
    ),
    ("odd/slicecount", "two MR slices", "refused: `sop-class`"),
    (
        "odd/sliceorientation",
        "MR of two orientations",
        "refused: `sop-class`",
    ),
    (
        "pet/STS_001",
        "FDG PET of GE, a slope a slice, with an RTSTRUCT",
        "read: 267 slices, no warning; refused: `sop-class`",
    ),
    (
        "suv/DRO_0_0",
        "PET reference object in RLE, with an RTSTRUCT",
        "read: 20 slices, no warning; refused: `sop-class`",
    ),
];

/// What is done with what is read.
const DONE: [(&str, &str); 9] = [
    (
        "`missing-slices`",
        "Neighbours up to 10 mm and four usual increments apart are bridged linearly; lesions are marked on acquired slices alone; wider gaps are refused (`gap-too-wide`).",
    ),
    (
        "`uneven-spacing`",
        "Each slice keeps its place, in resampling and in measuring: a lesion's volume is the sum over its slices of area times half the distance between the slices below and above.",
    ),
    (
        "`instances-left-out`",
        "Of identical objects one is kept; attributes and decoded samples are compared, transfer syntaxes may differ. Damaged or foreign objects of a series are counted here too.",
    ),
    (
        "`overlapping-slices`",
        "Volumes count the distance of slices, not their thickness.",
    ),
    (
        "`gantry-tilt`",
        "The affine keeps the shear; SEG frames lie on the tilted slices.",
    ),
    (
        "`not-axial`",
        "Resampled by its own affine; axes are measured in the slices as they are.",
    ),
    (
        "`stack-of-series`",
        "The series holds several volumes. Told apart by Image Orientation, Frame of Reference, Pixel Spacing, Rows or Columns, else by Temporal Position, Cardiac Phase, Trigger Time, Frame Reference Time, Acquisition Number, Stack ID, Echo Number, KVP, Convolution Kernel or Image Type, the first of these that makes every part a volume. Each is a candidate for selection.",
    ),
    (
        "`same-position`, `mixed-slices`",
        "No attribute makes every part a volume: refused, never mixed.",
    ),
    (
        "`slices-not-in-line`",
        "A slice lies 0.05 mm or more beside the line of the others: refused, since the patient or the field of view moved.",
    ),
];

#[test]
fn the_page_has_the_tables_of_this_test() {
    let mut series = String::from("| series | where | result |\n| --- | --- | --- |\n");
    for (defect, wanted) in PHANTOMS {
        let command = format!("`hilum phantom --defect {defect}`");
        writeln!(series, "| {defect} | {command} | {wanted} |").expect("text");
    }
    for (folder, what, wanted) in REAL {
        let folder = format!("../shared/data/{folder}");
        writeln!(series, "| {what} | {folder} | {wanted} |").expect("text");
    }
    page::hold("series", &series);
    let mut done = String::from("| code | what is done |\n| --- | --- |\n");
    for (code, what) in DONE {
        writeln!(done, "| {code} | {what} |").expect("text");
    }
    page::hold("handling", &done);
}

#[test]
fn every_defect_of_the_phantom_ends_as_the_table_says() {
    assert_eq!(PHANTOMS.map(|(d, _)| d), Defect::ALL.map(|(d, _)| d));
    let found: Vec<_> = PHANTOMS
        .iter()
        .map(|(defect, _)| {
            let (dir, _) = written(&params(), Some(*defect));
            (*defect, outcome(dir.path()))
        })
        .collect();
    let wanted = PHANTOMS.map(|(defect, wanted)| (defect, wanted.to_owned()));
    assert_eq!(found, wanted);
}

#[test]
fn odd_series_of_real_scanners_end_as_the_table_says() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.is_dir() {
        eprintln!("SKIPPED: real data are missing, {}", data.display());
        return;
    }
    let found = REAL.map(|(folder, _, _)| (folder, outcome(&data.join(folder))));
    assert_eq!(
        found,
        REAL.map(|(folder, _, wanted)| (folder, wanted.to_owned()))
    );
}

fn only_volume(folder: &Path) -> StoredVolume {
    load(&studies(folder)[0].series[0], MAX_VOXELS, None).expect("decodes")
}

/// The phantom's ball as a perfect network would give it, carried to the slices and measured there.
fn ball(stored: &StoredVolume, phantom: &Phantom) -> Measurement {
    let nodule = &phantom.truth.nodules[0];
    let centre = DVec3::from(nodule.centroid_lps_mm);
    let reach_mm = nodule.equivalent_diameter_mm / 2.0 + 3.0;
    let grid = stored.geometry.covering([1.0; 3]);
    let mapping = Mapping::of_stack(stored, &grid, Interpolation::Trilinear);
    let mut voxels = resample::from_stored(&mapping, stored);
    let [_, rows, columns] = grid.size;
    for (i, hu) in voxels.iter_mut().enumerate() {
        let index = [i % columns, i / columns % rows, i / columns / rows].map(|n| n as f64);
        let near = grid.to_lps_mm(DVec3::from(index)).distance(centre) <= reach_mm;
        // Half-way between lung and lesion is one half.
        *hu = if near {
            ((*hu + 850.0) / 900.0).clamp(0.0, 1.0)
        } else {
            0.0
        };
    }
    let params = lesion::Params {
        kind: Kind::LungNodule,
        terms: Kind::LungNodule.into(),
        threshold: 0.5,
        min_volume_mm3: 100.0,
        merge_distance_mm: 0.0,
    };
    let probability = Volume {
        geometry: grid,
        voxels,
    };
    let found = lesion::find(&probability, &stored.geometry, &stored.slices, &params);
    assert_eq!(found.len(), 1);
    measure(&found[0].mask, stored, |_| None).expect("not empty")
}

/// The ball is sampled at 1.5 mm in plane and up to 3 mm along z.
const VOLUME_TOLERANCE: f64 = 0.06;
const CENTROID_TOLERANCE_MM: f64 = 0.5;

#[test]
fn a_ball_keeps_its_volume_and_centre_in_every_stack_that_is_read() {
    for (defect, wanted) in PHANTOMS {
        if !wanted.starts_with("read") {
            continue;
        }
        let (dir, phantom) = written(&params(), Some(defect));
        let found = ball(&only_volume(dir.path()), &phantom);
        let nodule = &phantom.truth.nodules[0];
        let ratio = found.volume_mm3 / nodule.volume_mm3;
        assert!((ratio - 1.0).abs() < VOLUME_TOLERANCE, "{defect}: {ratio}");
        let off_mm = found
            .centroid_lps_mm
            .distance(DVec3::from(nodule.centroid_lps_mm));
        assert!(off_mm < CENTROID_TOLERANCE_MM, "{defect}: {off_mm} mm");
    }
}

#[test]
fn a_table_changes_no_lung() {
    use hilum::gpu::Compute;
    use hilum::preprocess::{Plan, run};
    let params = Params {
        lesions: Lesions::Count(0),
        ..Params::demo()
    };
    let lungs = |defect| {
        let (dir, _) = written(&params, defect);
        let stored = only_volume(dir.path());
        let plan = Plan {
            grid: stored.geometry.covering([4.0; 3]),
            interpolation: Interpolation::Trilinear,
        };
        run(&Compute::Cpu, &stored, &plan).expect("prepared").lungs
    };
    let (without, with) = (lungs(None), lungs(Some(Defect::Table)));
    assert!(without.found && with.found);
    assert_eq!(without.search, with.search);
}
