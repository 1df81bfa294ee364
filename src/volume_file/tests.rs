//! Volume files against what nibabel and SimpleITK say of them, and damaged ones.

use super::*;
use crate::volume::Geometry;
use glam::{DAffine3, DVec3};
use proptest::prelude::*;
use serde::Deserialize;
use std::fs;
use std::io::Write as _;
use std::sync::LazyLock;

const LIMIT: u64 = 1 << 20;
/// NIfTI stores the affine and the quaternion as f32.
const POSITION_TOLERANCE_MM: f64 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    files: Vec<Entry>,
    orientations: Vec<Orientation>,
    label_map: LabelMap,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    size_zyx: [usize; 3],
    hu: Vec<f32>,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Orientation {
    sform_header: String,
    qform_header: String,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    xyz: [f64; 3],
    lps_mm: [f64; 3],
}

#[derive(Deserialize)]
struct LabelMap {
    index_to_lps: [f64; 12],
    labels: Vec<u16>,
    header: String,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    let text = fs::read_to_string(folder().join("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
});

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/volume-file")
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn assert_positions(geometry: &Geometry, positions: &[Position], what: &str) {
    for Position { xyz, lps_mm } in positions {
        let found = geometry.to_lps_mm(DVec3::from_array(*xyz));
        let off_mm = found.distance(DVec3::from_array(*lps_mm));
        assert!(off_mm < POSITION_TOLERANCE_MM, "{what} {xyz:?}: {found}");
    }
}

/// A file of these bytes in a folder of its own.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read(path: &Path) -> Result<StoredVolume, Error> {
    VolumeFile::open(path)?.load(LIMIT, None)
}

fn read_bytes(name: &str, bytes: &[u8]) -> Result<StoredVolume, Error> {
    let (_dir, path) = file(name, bytes);
    read(&path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    file.write_all(bytes).unwrap();
    file.finish().unwrap()
}

fn golden_bytes(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

/// `int16.nii` with some bytes replaced.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = golden_bytes("int16.nii");
    for (at, patch) in patches {
        bytes[*at..at + patch.len()].copy_from_slice(patch);
    }
    bytes
}

fn nifti_code(patches: &[(usize, &[u8])]) -> &'static str {
    read_bytes("a.nii", &patched(patches)).unwrap_err().code()
}

/// A MetaImage of 2 x 2 x 3 voxels in one file, with some lines replaced.
fn meta(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut lines = vec![
        ("ObjectType", "Image"),
        ("NDims", "3"),
        ("BinaryData", "True"),
        ("BinaryDataByteOrderMSB", "False"),
        ("TransformMatrix", "1 0 0 0 1 0 0 0 1"),
        ("Offset", "1 2 3"),
        ("ElementSpacing", "0.5 0.5 2"),
        ("DimSize", "2 2 3"),
        ("ElementType", "MET_SHORT"),
        ("ElementDataFile", "LOCAL"),
    ];
    for (key, value) in changes {
        match lines.iter_mut().find(|(name, _)| name == key) {
            Some(line) => line.1 = value,
            None => lines.insert(1, (key, value)),
        }
    }
    let mut bytes: Vec<u8> = lines
        .iter()
        .flat_map(|(key, value)| format!("{key} = {value}\n").into_bytes())
        .collect();
    bytes.extend((-1000_i16..-988).flat_map(i16::to_le_bytes));
    bytes
}

fn meta_code(changes: &[(&str, &str)]) -> &'static str {
    read_bytes("a.mha", &meta(changes)).unwrap_err().code()
}

#[test]
fn files_of_nibabel_and_simpleitk_read_as_these_read_them() {
    for entry in &GOLDEN.files {
        let stored = read(&folder().join(&entry.file)).unwrap();
        assert_eq!(stored.geometry.size, entry.size_zyx, "{}", entry.file);
        assert_positions(&stored.geometry, &entry.positions, &entry.file);
        let [z, y, x] = entry.size_zyx;
        let indices = (0..z).flat_map(|k| (0..y).flat_map(move |j| (0..x).map(move |i| [k, j, i])));
        let hu: Vec<f32> = indices.map(|index| stored.rescaled(index)).collect();
        assert_eq!(hu, entry.hu, "{}", entry.file);
    }
}

#[test]
fn every_orientation_puts_voxels_where_nibabel_does() {
    assert_eq!(GOLDEN.orientations.len(), 50);
    for (number, orientation) in GOLDEN.orientations.iter().enumerate() {
        let forms = [
            ("sform", &orientation.sform_header),
            ("qform", &orientation.qform_header),
        ];
        for (form, header) in forms {
            let mut bytes = bytes_of_hex(header);
            // A header in memory has no offset of its own; and the samples are all air.
            bytes[108..112].copy_from_slice(&352_f32.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend((-1000_i16).to_le_bytes().repeat(60));
            let stored = read_bytes("a.nii", &bytes).unwrap();
            let what = format!("{form} {number}");
            assert_positions(&stored.geometry, &orientation.positions, &what);
        }
    }
}

#[test]
fn a_label_map_is_the_file_that_nibabel_makes_of_it() {
    let LabelMap {
        index_to_lps,
        labels,
        header,
    } = &GOLDEN.label_map;
    let geometry = Geometry {
        size: [3, 4, 5],
        index_to_lps: DAffine3::from_cols_array(index_to_lps),
    };
    let fill = |z: usize, slice: &mut [u16]| slice.copy_from_slice(&labels[20 * z..][..20]);
    let bytes = encode_label_map(&geometry, fill).unwrap();
    let mut file = Vec::new();
    io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut file).unwrap();
    let mut want = bytes_of_hex(header);
    // nibabel marks the units of time that a volume has not.
    want[123] = file[123];
    // The quaternion counts only where qform_code is set.
    want[256..280].fill(0);
    assert_eq!(file[..348], want);
    let stored: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
    assert_eq!(file[352..], stored);
}

#[test]
fn a_volume_is_named_by_its_bytes_whatever_its_file_is_called() {
    let (_a, first) = file("SECRET^NAME.nii", &golden_bytes("int16.nii"));
    let (_b, second) = file("b.nii", &golden_bytes("int16.nii"));
    let hash = |path| VolumeFile::open(path).unwrap().sha256;
    assert_eq!(hash(&first), hash(&second));
    let (_c, third) = file("b.nii", &patched(&[(400, &[1])]));
    assert_ne!(hash(&first), hash(&third));
}

#[test]
fn the_data_file_of_a_header_is_part_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mhd");
    fs::write(&path, golden_bytes("identity.mhd")).unwrap();
    let raw = dir.path().join("identity.raw");
    let mut bytes = golden_bytes("identity.raw");
    fs::write(&raw, &bytes).unwrap();
    let first = VolumeFile::open(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&raw, &bytes).unwrap();
    assert_ne!(VolumeFile::open(&path).unwrap().sha256, first.sha256);
    assert_eq!(first.load(LIMIT, None).unwrap_err().code(), "file-changed");
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let whole = golden_bytes("int16.nii");
    for (length, code) in [
        (0, "volume-file-malformed"),
        (347, "volume-file-malformed"),
        (348, "volume-file-truncated"),
        (whole.len() - 1, "volume-file-truncated"),
    ] {
        let error = read_bytes("a.nii", &whole[..length]).unwrap_err();
        assert_eq!(error.code(), code, "{length}");
    }
    let zipped = gzip(&whole);
    let error = read_bytes("a.nii.gz", &zipped[..zipped.len() - 60]).unwrap_err();
    assert_eq!(error.code(), "volume-file-truncated");
    let error = read_bytes("a.nii.gz", &gzip(&whole[..460])).unwrap_err();
    assert_eq!(error.code(), "volume-file-truncated");
    let whole = meta(&[]);
    let error = read_bytes("a.mha", &whole[..whole.len() - 1]).unwrap_err();
    assert_eq!(error.code(), "volume-file-truncated");
}

#[test]
fn a_data_file_of_another_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mhd");
    fs::write(&path, golden_bytes("identity.mhd")).unwrap();
    assert_eq!(read(&path).unwrap_err().code(), "volume-file-io");
    fs::write(dir.path().join("identity.raw"), [0; 121]).unwrap();
    assert_eq!(read(&path).unwrap_err().code(), "volume-file-length");
}

#[test]
fn impossible_nifti_headers_are_refused_by_field() {
    let nan = f32::NAN.to_le_bytes();
    let infinite = f32::INFINITY.to_le_bytes();
    let i16 = |value: i16| value.to_le_bytes();
    type Patch<'a> = (usize, &'a [u8]);
    let cases: [(&str, &[Patch<'_>]); 14] = [
        ("volume-file-malformed", &[(0, &[1, 0, 0, 0])]),
        ("volume-file-unsupported", &[(0, &540_i32.to_le_bytes())]),
        ("volume-file-malformed", &[(344, b"xxxx")]),
        ("volume-file-unsupported", &[(344, b"ni1\0")]),
        ("volume-file-field", &[(42, &i16(0))]),
        ("volume-file-field", &[(42, &i16(-5))]),
        ("volume-file-field", &[(46, &i16(1))]),
        ("volume-file-unsupported", &[(40, &i16(4)), (48, &i16(7))]),
        ("volume-file-unsupported", &[(70, &i16(128))]),
        ("volume-file-field", &[(72, &i16(8))]),
        ("volume-file-field", &[(280, &nan)]),
        ("volume-file-field", &[(292, &infinite)]),
        ("volume-file-field", &[(108, &nan)]),
        ("volume-file-field", &[(112, &infinite)]),
    ];
    for (code, patches) in cases {
        assert_eq!(nifti_code(patches), code, "{patches:?}");
    }
    assert_eq!(
        nifti_code(&[(252, &i16(0)), (254, &i16(0))]),
        "volume-file-no-orientation"
    );
    assert_eq!(nifti_code(&[(123, &[3])]), "volume-file-unsupported");
}

#[test]
fn a_header_of_absurd_size_is_refused_before_anything_is_allocated() {
    let huge = 32767_i16.to_le_bytes();
    let patches: [(usize, &[u8]); 3] = [(42, &huge), (44, &huge), (46, &huge)];
    assert_eq!(nifti_code(&patches), "volume-file-truncated");
    let error = read_bytes("a.nii.gz", &gzip(&patched(&patches))).unwrap_err();
    assert_eq!(error.code(), "volume-file-truncated");
    let size = "99999999999 99999999999 99999999999";
    assert_eq!(meta_code(&[("DimSize", size)]), "volume-file-field");
}

#[test]
fn a_gzip_bomb_is_refused_by_the_limit_of_voxels() {
    let side = 128_i16.to_le_bytes();
    let mut bomb = patched(&[(42, &side), (44, &side), (46, &side)]);
    bomb.resize(352 + 2 * (128 * 128 * 128), 0);
    let zipped = gzip(&bomb);
    assert!(zipped.len() < bomb.len() / 500);
    let error = read_bytes("a.nii.gz", &zipped).unwrap_err();
    assert_eq!(error.code(), "too-many-voxels");
}

#[test]
fn values_that_are_no_hu_are_refused() {
    let nan = f32::NAN.to_le_bytes();
    let far = 1e9_f32.to_le_bytes();
    for bad in [nan, far] {
        let mut bytes = Vec::new();
        let zipped = golden_bytes("float32.nii.gz");
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&zipped[..]), &mut bytes).unwrap();
        bytes[360..364].copy_from_slice(&bad);
        let error = read_bytes("a.nii", &bytes).unwrap_err();
        assert_eq!(error.code(), "volume-file-voxel");
    }
    let mut labels = golden_bytes("int16.nii");
    labels[352..].fill(0);
    let error = read_bytes("a.nii", &labels).unwrap_err();
    assert_eq!(error.code(), "volume-file-not-hounsfield");
}

#[test]
fn impossible_metaimage_headers_are_refused_by_key() {
    assert!(read_bytes("a.mha", &meta(&[])).is_ok());
    let field = [
        ("DimSize", "2 2"),
        ("DimSize", "2 2 -3"),
        ("ElementSpacing", "0.5 0 2"),
        ("ElementSpacing", "0.5 nan 2"),
        ("Offset", "inf 0 0"),
        ("TransformMatrix", "1 0 0 1 0 0 0 0 1"),
        ("TransformMatrix", "2 0 0 0 1 0 0 0 1"),
        ("BinaryData", "maybe"),
        ("ElementDataFile", "../other.raw"),
        ("ElementDataFile", "/etc/passwd"),
    ];
    for change in field {
        assert_eq!(meta_code(&[change]), "volume-file-field", "{change:?}");
    }
    let unsupported = [
        ("NDims", "2"),
        ("BinaryData", "False"),
        ("ElementType", "MET_LONG_LONG"),
        ("ElementNumberOfChannels", "3"),
        ("ElementDataFile", "LIST"),
        ("ElementDataFile", "slice%03d.raw 1 3 1"),
    ];
    for change in unsupported {
        assert_eq!(
            meta_code(&[change]),
            "volume-file-unsupported",
            "{change:?}"
        );
    }
}

#[test]
fn no_error_shows_a_file_name() {
    let change = ("ElementDataFile", "Secret^Name/1.raw");
    let error = read_bytes("a.mha", &meta(&[change])).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Secret"));
    let change = ("ElementDataFile", "Secret^Name.raw");
    let error = read_bytes("Secret.mha", &meta(&[change])).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Secret"));
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused_without_a_panic(
        which in 0_usize..11,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let names: Vec<&str> = GOLDEN.files.iter().map(|f| f.file.as_str()).collect();
        let name = names[which % names.len()];
        let mut bytes = golden_bytes(name);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        for raw in ["identity.raw", "coronal.zraw"] {
            fs::copy(folder().join(raw), dir.path().join(raw)).unwrap();
        }
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        if let Ok(stored) = read(&path) {
            prop_assert_eq!(stored.samples.len(), stored.geometry.voxel_count());
            prop_assert!(stored.geometry.index_to_lps.is_finite());
        }
    }

    #[test]
    fn label_maps_read_back_on_the_same_grid(
        size in (2_usize..6, 1_usize..6, 1_usize..6),
        turn in (-3.0..3.0_f64, -1.5..1.5_f64, -3.0..3.0_f64),
        mirrored in any::<bool>(),
    ) {
        let rotation = glam::DMat3::from_euler(glam::EulerRot::XYZ, turn.0, turn.1, turn.2);
        let z = if mirrored { -2.5 } else { 2.5 };
        let matrix = rotation * glam::DMat3::from_diagonal(DVec3::new(0.7, 0.8, z));
        let geometry = Geometry {
            size: [size.0, size.1, size.2],
            index_to_lps: DAffine3::from_mat3_translation(matrix, DVec3::new(-120.0, 33.0, -700.0)),
        };
        let bytes = encode_label_map(&geometry, |_, slice| slice.fill(7)).unwrap();
        let (_dir, path) = file("a.nii.gz", &bytes);
        let found = VolumeFile::open(&path).unwrap().geometry;
        prop_assert_eq!(found.size, geometry.size);
        for corner in [DVec3::ZERO, DVec3::new(5.0, 5.0, 5.0)] {
            prop_assert!(found.to_lps_mm(corner).distance(geometry.to_lps_mm(corner)) < 1e-3);
        }
    }
}
