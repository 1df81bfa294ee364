//! Writes a phantom as CT Image Storage (PS3.3 A.3), one file a slice, with its truth beside it.
//!
//! Everything is written into a temporary folder next to the target and renamed when it is whole.

use super::defect::{Defect, SliceFile};
use super::params::{Dose, Kernel, Params};
use super::scan::INTERCEPT_HU;
use super::truth::PATIENT_ID;
use super::{Error, Phantom, uids};
use crate::uid::UidSource;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids as sop};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use glam::DVec3;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Folder of the series within the target.
pub const SERIES_FOLDER: &str = "series";
/// Folder of the PET series within the target, if there is one.
pub(super) const PET_FOLDER: &str = "pet";
/// The truth file within the target.
pub const TRUTH_FILE: &str = "truth.json";

/// How to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Replace the phantom that the target holds.
    pub overwrite: bool,
    /// File names and Instance Numbers follow no order, as in many archives.
    pub shuffle: bool,
    /// What shall be odd about the series.
    pub defect: Option<Defect>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Folder of the slices, `000001.dcm` and on.
    pub series: PathBuf,
    /// The truth.
    pub truth: PathBuf,
}

/// Writes `dir/series/*.dcm` and `dir/truth.json`.
///
/// # Errors
/// [`Error::NotEmpty`] when `dir` holds anything and `overwrite` is not set (then only a former phantom is replaced);
/// [`Error::Write`] when the disk refuses.
pub fn write_series(
    phantom: &Phantom,
    dir: &Path,
    options: WriteOptions,
) -> Result<Written, Error> {
    publish(dir, options.overwrite, |fresh| {
        write_slices(phantom, &new_folder(fresh, SERIES_FOLDER)?, options)?;
        write_truth(&phantom.truth, fresh)
    })?;
    Ok(Written {
        series: dir.join(SERIES_FOLDER),
        truth: dir.join(TRUTH_FILE),
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Write { path, source }
}

/// Lets `fill` write a phantom into a temporary folder in `dir`, and then puts it in the place of a former one.
pub(super) fn publish(
    dir: &Path,
    overwrite: bool,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let mut entries = fs::read_dir(dir).map_err(at(dir))?;
    if !overwrite && entries.next().is_some() {
        return Err(Error::NotEmpty { path: dir.into() });
    }
    let temporary = tempfile::Builder::new()
        .prefix(".phantom-")
        .tempdir_in(dir)
        .map_err(at(dir))?;
    let (fresh, former) = (temporary.path(), temporary.path().join("former"));
    fill(fresh)?;
    fs::create_dir(&former).map_err(at(&former))?;
    // Without a truth that names it, a folder of that name is none of ours.
    let truth = fs::read_to_string(dir.join(TRUTH_FILE)).unwrap_or_default();
    let has_pet = truth.contains("\"pet\": {");
    for name in [SERIES_FOLDER, PET_FOLDER, TRUTH_FILE] {
        let (made, target) = (fresh.join(name), dir.join(name));
        if target.exists() && (name != PET_FOLDER || has_pet) {
            fs::rename(&target, former.join(name)).map_err(at(&target))?;
        }
        if made.exists() {
            fs::rename(&made, &target).map_err(at(&target))?;
        }
    }
    Ok(())
}

/// Makes a folder of a phantom.
pub(super) fn new_folder(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = dir.join(name);
    fs::create_dir(&folder).map_err(at(&folder))?;
    Ok(folder)
}

pub(super) fn write_truth(truth: &impl serde::Serialize, dir: &Path) -> Result<(), Error> {
    let path = dir.join(TRUTH_FILE);
    let mut json = serde_json::to_vec_pretty(truth).map_err(|e| at(&path)(e.into()))?;
    json.push(b'\n');
    write_synced(&path, &json).map_err(at(&path))
}

/// Writes each file by its number, `000001.dcm` and on, in parallel.
pub(super) fn write_numbered(
    folder: &Path,
    numbers: &[usize],
    encode: impl Fn(usize, usize) -> Result<Vec<u8>, Error> + Sync,
) -> Result<(), Error> {
    numbers
        .par_iter()
        .enumerate()
        .try_for_each(|(index, &number)| {
            let path = folder.join(format!("{number:06}.dcm"));
            write_synced(&path, &encode(index, number)?).map_err(at(&path))
        })
}

/// Numbers of the files, from 1, in order or in none.
pub(super) fn numbers(count: usize, shuffle: bool, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (1..=count).collect();
    if shuffle {
        numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    numbers
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_slices(phantom: &Phantom, folder: &Path, options: WriteOptions) -> Result<(), Error> {
    let phantoms = match options.defect {
        Some(defect) => Cow::Owned(defect.phantoms(phantom)?),
        None => Cow::Borrowed(std::slice::from_ref(phantom)),
    };
    let all = (0..phantom.stored.geometry.size[0]).map(|slice| SliceFile::new(0, slice));
    let files = options
        .defect
        .map_or_else(|| all.collect(), |defect| defect.files(&phantoms));
    let numbers = numbers(files.len(), options.shuffle, phantom.truth.params.seed);
    let uids = uids(&phantom.truth.params);
    write_numbered(folder, &numbers, |index, number| {
        let file = &files[index];
        SeriesHeader::new(&phantoms[file.stack], &uids).encode(file, number)
    })
}

/// What all slices share.
pub(super) struct SeriesHeader<'a> {
    phantom: &'a Phantom,
    params: &'a Params,
    uids: &'a UidSource,
}

/// A data set as a file.
pub(super) fn file_bytes(
    object: InMemDicomObject,
    class_uid: &str,
    instance_uid: &str,
) -> Result<Vec<u8>, String> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(sop::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(class_uid)
        .media_storage_sop_instance_uid(instance_uid);
    let file = object.with_meta(meta).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

pub(super) fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// Decimal strings (PS3.5 6.2: at most 16 characters).
pub(super) fn decimals(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    let strings: Vec<String> = values.iter().map(|v| decimal(*v)).collect();
    let value = PrimitiveValue::Strs(strings.into_iter().collect());
    object.put(DataElement::new(tag, VR::DS, value));
}

/// The most precise decimal of at most 16 characters.
pub(super) fn decimal(value: f64) -> String {
    const LONGEST: usize = 16;
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    (0..=14)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .find(|s| s.len() <= LONGEST)
        .map(|s| {
            if s.contains('.') {
                s.trim_end_matches('0').trim_end_matches('.').into()
            } else {
                s
            }
        })
        .unwrap_or_else(|| format!("{value:.8e}"))
}

pub(super) fn short(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

impl<'a> SeriesHeader<'a> {
    pub(super) fn new(phantom: &'a Phantom, uids: &'a UidSource) -> Self {
        let params = &phantom.truth.params;
        Self {
            phantom,
            params,
            uids,
        }
    }

    /// One file of the series.
    pub(super) fn encode(&self, file: &SliceFile, number: usize) -> Result<Vec<u8>, Error> {
        let SliceFile { stack, slice, .. } = *file;
        let refuse = |reason: String| Error::Encode { slice, reason };
        let instance_uid = match stack {
            0 => self.uids.uid(&format!("instance/{slice}")),
            _ => self.uids.uid(&format!("instance/{stack}/{slice}")),
        };
        let mut object = InMemDicomObject::new_empty();
        self.patient_and_study(&mut object);
        self.series_and_equipment(&mut object);
        text(
            &mut object,
            tags::SOP_CLASS_UID,
            VR::UI,
            sop::CT_IMAGE_STORAGE,
        );
        text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance_uid);
        text(
            &mut object,
            tags::INSTANCE_NUMBER,
            VR::IS,
            &number.to_string(),
        );
        self.plane(&mut object, slice);
        self.pixels(&mut object, slice, file.flipped);
        for (tag, vr, value) in &file.edits {
            text(&mut object, *tag, *vr, value);
        }
        file_bytes(object, sop::CT_IMAGE_STORAGE, &instance_uid).map_err(refuse)
    }

    fn patient_and_study(&self, object: &mut InMemDicomObject) {
        let study_uid = self.uids.uid("study");
        let entries = [
            (tags::PATIENT_NAME, VR::PN, "PHANTOM^HILUM"),
            (tags::PATIENT_ID, VR::LO, PATIENT_ID),
            (tags::PATIENT_BIRTH_DATE, VR::DA, "19600101"),
            (tags::PATIENT_SEX, VR::CS, "O"),
            (tags::PATIENT_AGE, VR::AS, "065Y"),
            (tags::STUDY_INSTANCE_UID, VR::UI, &study_uid),
            (tags::STUDY_DATE, VR::DA, "20250101"),
            (tags::STUDY_TIME, VR::TM, "120000"),
            (tags::STUDY_ID, VR::SH, "1"),
            (tags::STUDY_DESCRIPTION, VR::LO, "Synthetic chest CT"),
            (tags::ACCESSION_NUMBER, VR::SH, ""),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        ];
        entries
            .iter()
            .for_each(|(tag, vr, value)| text(object, *tag, *vr, value));
    }

    fn series_and_equipment(&self, object: &mut InMemDicomObject) {
        let (series_uid, frame_uid) = (self.uids.uid("series"), self.uids.uid("frame"));
        let kernel = match self.params.kernel {
            Kernel::Soft => "SOFT",
            Kernel::Lung => "LUNG",
        };
        let entries = [
            (tags::MODALITY, VR::CS, "CT"),
            (tags::SERIES_INSTANCE_UID, VR::UI, series_uid.as_str()),
            (tags::SERIES_NUMBER, VR::IS, "1"),
            (tags::SERIES_DATE, VR::DA, "20250101"),
            (tags::SERIES_TIME, VR::TM, "120000"),
            (tags::ACQUISITION_DATE, VR::DA, "20250101"),
            (tags::ACQUISITION_TIME, VR::TM, "120000"),
            (tags::CONTENT_DATE, VR::DA, "20250101"),
            (tags::CONTENT_TIME, VR::TM, "120000"),
            (tags::SERIES_DESCRIPTION, VR::LO, "Synthetic chest"),
            (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
            (tags::PATIENT_POSITION, VR::CS, "HFS"),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, &frame_uid),
            (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
            (tags::MANUFACTURER, VR::LO, "Hilum"),
            (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Phantom"),
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
            (tags::ACQUISITION_NUMBER, VR::IS, "1"),
            (tags::CONVOLUTION_KERNEL, VR::SH, kernel),
            (tags::KVP, VR::DS, "120"),
        ];
        entries
            .iter()
            .for_each(|(tag, vr, value)| text(object, *tag, *vr, value));
    }

    fn plane(&self, object: &mut InMemDicomObject, slice: usize) {
        let geometry = &self.phantom.stored.geometry;
        let [sz, sy, sx] = self.params.spacing_mm;
        let matrix = geometry.index_to_lps.matrix3;
        let (row, column) = (matrix.x_axis.normalize(), matrix.y_axis.normalize());
        let position = geometry.to_lps_mm(DVec3::Z * slice as f64);
        decimals(object, tags::IMAGE_POSITION_PATIENT, &position.to_array());
        let orientation = [row.to_array(), column.to_array()].concat();
        decimals(object, tags::IMAGE_ORIENTATION_PATIENT, &orientation);
        decimals(object, tags::PIXEL_SPACING, &[sy, sx]);
        decimals(
            object,
            tags::SLICE_THICKNESS,
            &[sz * self.params.tilt_deg.to_radians().cos()],
        );
        decimals(
            object,
            tags::SLICE_LOCATION,
            &[position.dot(row.cross(column))],
        );
        decimals(object, tags::GANTRY_DETECTOR_TILT, &[self.params.tilt_deg]);
        let current_ma = tube_current_ma(self.params.dose);
        text(object, tags::X_RAY_TUBE_CURRENT, VR::IS, current_ma);
    }

    fn pixels(&self, object: &mut InMemDicomObject, slice: usize, flipped: bool) {
        let stored = &self.phantom.stored;
        let [_, ny, nx] = stored.geometry.size;
        // Signed padding lies below what 12 bits hold.
        let bits: u16 = if stored.signed { 16 } else { 12 };
        short(object, tags::SAMPLES_PER_PIXEL, 1);
        text(
            object,
            tags::PHOTOMETRIC_INTERPRETATION,
            VR::CS,
            "MONOCHROME2",
        );
        short(object, tags::ROWS, u16::try_from(ny).unwrap_or(u16::MAX));
        short(object, tags::COLUMNS, u16::try_from(nx).unwrap_or(u16::MAX));
        short(object, tags::BITS_ALLOCATED, 16);
        short(object, tags::BITS_STORED, bits);
        short(object, tags::HIGH_BIT, bits - 1);
        short(object, tags::PIXEL_REPRESENTATION, u16::from(stored.signed));
        decimals(object, tags::RESCALE_INTERCEPT, &[f64::from(INTERCEPT_HU)]);
        decimals(object, tags::RESCALE_SLOPE, &[1.0]);
        text(object, tags::RESCALE_TYPE, VR::LO, "HU");
        decimals(object, tags::WINDOW_CENTER, &[-600.0]);
        decimals(object, tags::WINDOW_WIDTH, &[1500.0]);
        if let Some((value, _)) = stored.padding {
            let (vr, value) = match i16::try_from(value) {
                Ok(signed) if stored.signed => (VR::SS, PrimitiveValue::from(signed)),
                _ => (
                    VR::US,
                    PrimitiveValue::from(u16::try_from(value).unwrap_or_default()),
                ),
            };
            object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, vr, value));
        }
        let mut samples = stored.samples[slice * ny * nx..][..ny * nx].to_vec();
        samples[0] ^= u16::from(flipped);
        let value = PrimitiveValue::U16(samples.into());
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, value));
    }
}

/// A tube current that such noise goes with, mA.
fn tube_current_ma(dose: Dose) -> &'static str {
    match dose {
        Dose::None | Dose::Standard => "200",
        Dose::Low => "40",
        Dose::UltraLow => "12",
    }
}
