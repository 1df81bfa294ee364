//! Series of real scanners, from `../shared/data`: the same samples and grid as pydicom reads.
//!
//! `scripts/make-golden-ct.py` made `testdata/golden/ct.json`.

use super::file::{DicomFile, guarded};
use super::fixture::read;
use super::pixel::read_slice;
use super::read::check_pixel_element;
use super::{Error, Instance, Inventory, Study, load, read_paths};
use crate::volume::{Rescale, StoredVolume};
use glam::DVec3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

const MAX_VOXELS: u64 = 1 << 29;
const MAX_SLICE_PIXELS: usize = 1 << 20;

#[derive(Deserialize)]
struct Golden {
    series_instance_uid: String,
    transfer_syntax_uid: String,
    size_zyx: [usize; 3],
    x_step_mm: [f64; 3],
    y_step_mm: [f64; 3],
    z_step_mm: [f64; 3],
    origin_lps_mm: [f64; 3],
    stored_range: [i32; 2],
    /// One for all slices, or one a slice.
    rescale: Vec<[f32; 2]>,
    samples_sha256: String,
}

/// A folder of real data; says so loudly where it is missing.
fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: real data are missing, {}", path.display());
    None
}

/// By Series Instance UID.
fn golden(file: &str) -> BTreeMap<String, Golden> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/golden");
    let json = fs::read(folder.join(file)).unwrap();
    let golden: BTreeMap<String, Golden> = serde_json::from_slice(&json).unwrap();
    let with_uid = |g: Golden| (g.series_instance_uid.clone(), g);
    golden.into_values().map(with_uid).collect()
}

pub(super) fn sha256(samples: &[u16]) -> String {
    let mut hash = Sha256::new();
    for slice in samples.chunks(1 << 16) {
        let bytes: Vec<u8> = slice.iter().flat_map(|s| s.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn codes(study: &Study) -> Vec<&'static str> {
    study.left_out.iter().map(|l| l.error.code()).collect()
}

fn only_code(inventory: &Inventory) -> &'static str {
    assert_eq!(inventory.unreadable, []);
    assert!(inventory.studies.iter().all(|s| s.series.is_empty()));
    codes(&inventory.studies[0])[0]
}

fn assert_equal(volume: &StoredVolume, golden: &Golden) {
    let affine = volume.geometry.index_to_lps;
    let columns = [
        (affine.matrix3.x_axis, golden.x_step_mm),
        (affine.matrix3.y_axis, golden.y_step_mm),
        (affine.matrix3.z_axis, golden.z_step_mm),
        (affine.translation, golden.origin_lps_mm),
    ];
    for (ours, theirs) in columns {
        assert!(
            ours.distance(DVec3::from(theirs)) < 1e-9,
            "{ours} {theirs:?}"
        );
    }
    let stored = (0..volume.samples.len()).map(|i| volume.stored(i));
    let range = stored.fold([i32::MAX, i32::MIN], |[low, high], s| {
        [low.min(s), high.max(s)]
    });
    assert_eq!(range, golden.stored_range);
    let rescale = golden.rescale.iter().cycle();
    let rescale = rescale.map(|[slope, intercept]| Rescale {
        slope: *slope,
        intercept: *intercept,
    });
    assert!(
        volume
            .rescale
            .iter()
            .copied()
            .eq(rescale.take(volume.rescale.len()))
    );
    assert_eq!(sha256(&volume.samples), golden.samples_sha256);
}

#[test]
fn six_series_in_four_codecs_equal_pydicom_to_the_bit() {
    let Some(path) = data("ct") else { return };
    let inventory = read_paths(&[path], &|_| ());
    assert_eq!(inventory.unreadable, []);
    let mut golden = golden("ct.json");
    for study in &inventory.studies {
        assert_eq!(study.left_out, []);
        let series = &study.series[0];
        assert_eq!(series.warnings, []);
        let golden = golden.remove(series.uid()).unwrap();
        assert_eq!(series.geometry.size, golden.size_zyx);
        assert_eq!(
            series.instances[0].transfer_syntax_uid,
            golden.transfer_syntax_uid
        );
        assert_eq!(series.instances[0].padding, Some((-2000, -2000)));
        assert_equal(&load(series, MAX_VOXELS, None).unwrap(), &golden);
    }
    assert!(golden.is_empty());
}

#[test]
fn pet_of_a_scanner_and_of_reference_objects_equals_pydicom_to_the_bit() {
    let mut golden = golden("pet.json");
    let folders = ["pet", "suv"].map(data).into_iter().flatten();
    let inventory = read_paths(&folders.collect::<Vec<_>>(), &|_| ());
    for series in inventory.studies.iter().flat_map(|s| &s.series) {
        assert_eq!(series.instances[0].modality, "PT");
        let golden = golden.remove(series.uid()).unwrap();
        assert_eq!(series.geometry.size, golden.size_zyx);
        assert_equal(&load(series, MAX_VOXELS, None).unwrap(), &golden);
    }
    let all_there = data("pet").and(data("suv")).is_some();
    assert!(golden.is_empty() || !all_there);
}

#[test]
fn odd_series_are_stacks_or_coded_refusals() {
    let Some(path) = data("odd") else { return };
    let tilted = &read(&path.join("gantrytilting")).studies[0].series[0];
    assert_eq!(tilted.warnings[0].code(), "gantry-tilt");
    assert!(load(tilted, MAX_VOXELS, None).is_ok());
    assert_eq!(only_code(&read(&path.join("notavolume"))), "same-position");
    for folder in ["sliceincrement/001", "sliceincrement/002"] {
        let gapped = &read(&path.join(folder)).studies[0].series[0];
        let codes: Vec<_> = gapped.warnings.iter().map(|w| w.code()).collect();
        assert!(codes.contains(&"missing-slices"), "{codes:?}");
        assert!(!gapped.slices.is_even());
    }
    assert_eq!(only_code(&read(&path.join("slicecount"))), "sop-class");
    assert_eq!(
        only_code(&read(&path.join("sliceorientation"))),
        "sop-class"
    );
}

#[test]
fn structured_reports_and_structure_sets_are_left_out_by_code() {
    let Some(pet) = data("pet") else { return };
    let masks: Vec<_> = read(&pet).studies.iter().flat_map(codes).collect();
    assert_eq!(masks, ["sop-class"]);
    let Some(sr) = data("sr") else { return };
    assert!(
        read(&sr)
            .studies
            .iter()
            .all(|s| s.series.is_empty() && codes(s) == ["sop-class"])
    );
}

#[test]
fn lossy_syntaxes_lose_no_more_than_their_encoder_did() {
    // The files were made from the same slice; the 8 bits of JPEG Baseline are steps of 32 HU.
    const MOST_HU: [(&str, f32); 3] = [
        ("JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81", 1.0),
        ("JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91", 5.0),
        ("JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50", 64.5),
    ];
    let Some(path) = data("codecs") else { return };
    let hu = |name: &str| slice_hu(&path.join(format!("CTImage.dcm_{name}.dcm"))).unwrap();
    let whole = hu("LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1");
    for (name, most_hu) in MOST_HU {
        let lost = hu(name).into_iter().zip(&whole).map(|(a, b)| (a - b).abs());
        let worst_hu = lost.fold(0.0, f32::max);
        assert!(worst_hu <= most_hu, "{name} {worst_hu}");
    }
}

#[test]
fn damaged_files_of_every_codec_never_panic() {
    const SEED: u64 = 7;
    const MUTATIONS: usize = 24;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let folder = tempdir().unwrap();
    let copy = folder.path().join("copy.dcm");
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/codecs");
    let mut files: Vec<PathBuf> = [Some(own), data("codecs")]
        .into_iter()
        .flatten()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let whole = fs::read(&file).unwrap();
        for mutation in 0..MUTATIONS {
            let mut bytes = whole.clone();
            // Every third time the damage is in the header or the first bytes of the codestream.
            let end = if mutation % 3 == 0 {
                bytes.len().min(4096)
            } else {
                bytes.len()
            };
            for _ in 0..8 {
                let place = random.random_range(128..end);
                bytes[place] = random.random();
            }
            fs::write(&copy, &bytes).unwrap();
            let _coded = guarded("unknown", || decode(&copy));
            fs::write(&copy, &whole[..random.random_range(132..whole.len() - 16)]).unwrap();
            assert!(guarded("unknown", || decode(&copy)).is_err());
        }
    }
}

/// HU of one file.
fn slice_hu(path: &Path) -> Result<Vec<f32>, Error> {
    let Instance {
        rescale, signed, ..
    } = header_of(path)?;
    let hu = |raw: u16| {
        let stored = if signed {
            f32::from(raw.cast_signed())
        } else {
            f32::from(raw)
        };
        stored * rescale.slope + rescale.intercept
    };
    Ok(decode(path)?.into_iter().map(hu).collect())
}

fn header_of(path: &Path) -> Result<Instance, Error> {
    let file = DicomFile::open(path)?;
    Instance::from_object(path, file.syntax.uid(), &file.object()?)
}

/// The samples of one file, which need not belong to a volume.
pub(super) fn decode(path: &Path) -> Result<Vec<u16>, Error> {
    let instance = header_of(path)?;
    check_pixel_element(std::slice::from_ref(&instance), &DicomFile::open(path)?)?;
    let [rows, columns] = instance.rows_columns;
    let mut samples = vec![0; (rows * columns).min(MAX_SLICE_PIXELS)];
    if samples.len() == rows * columns {
        read_slice(&instance, &mut samples)?;
    }
    Ok(samples)
}
