//! Writes a scan with inserted lesions as CT Image Storage (PS3.3 A.3), with its truth and label map beside it.
//!
//! Of the source's headers only what describes geometry, pixels and the acquisition is taken over, by name, so nothing
//! of the patient can be. Everything is written beside the target and renamed in one step.

use super::super::Error;
use super::super::write::{text, write_synced};
use super::Inserted;
use crate::volume_file::encode_label_map;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids as sop};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use rayon::prelude::*;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Attributes of the source that its derived images keep.
const KEPT: [Tag; 45] = [
    tags::MODALITY,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::BODY_PART_EXAMINED,
    tags::SCAN_OPTIONS,
    tags::SLICE_THICKNESS,
    tags::KVP,
    tags::SPACING_BETWEEN_SLICES,
    tags::DATA_COLLECTION_DIAMETER,
    tags::RECONSTRUCTION_DIAMETER,
    tags::DISTANCE_SOURCE_TO_DETECTOR,
    tags::DISTANCE_SOURCE_TO_PATIENT,
    tags::GANTRY_DETECTOR_TILT,
    tags::TABLE_HEIGHT,
    tags::ROTATION_DIRECTION,
    tags::EXPOSURE_TIME,
    tags::X_RAY_TUBE_CURRENT,
    tags::EXPOSURE,
    tags::FILTER_TYPE,
    tags::GENERATOR_POWER,
    tags::FOCAL_SPOTS,
    tags::CONVOLUTION_KERNEL,
    tags::REVOLUTION_TIME,
    tags::SINGLE_COLLIMATION_WIDTH,
    tags::TOTAL_COLLIMATION_WIDTH,
    tags::SPIRAL_PITCH_FACTOR,
    tags::PATIENT_POSITION,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::SLICE_LOCATION,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::LOSSY_IMAGE_COMPRESSION,
];

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertedFiles {
    /// Folder of the slices, `000001.dcm` and on.
    pub series: PathBuf,
    /// The truth.
    pub truth: PathBuf,
    /// Its label map.
    pub labels: PathBuf,
}

impl InsertedFiles {
    fn within(dir: &Path, case: &str) -> Self {
        Self {
            series: dir.join(super::super::SERIES_FOLDER),
            truth: dir.join(format!("{case}.truth.json")),
            labels: dir.join(format!("{case}.truth.nii.gz")),
        }
    }
}

/// Writes `dir/series/*.dcm`, `dir/<patient>.truth.json` and `dir/<patient>.truth.nii.gz`, all or nothing.
///
/// `headers` are those of the source's slices, in the order of the volume.
///
/// # Errors
/// [`Error::NotEmpty`] where `dir` holds anything; [`Error::Write`] where the disk refuses; [`Error::Encode`].
pub fn write_inserted(
    inserted: &Inserted,
    headers: &[InMemDicomObject],
    dir: &Path,
) -> Result<InsertedFiles, Error> {
    if dir.exists() && fs::read_dir(dir).map_err(at(dir))?.next().is_some() {
        return Err(Error::NotEmpty { path: dir.into() });
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(at(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".phantom-")
        .tempdir_in(parent)
        .map_err(at(parent))?;
    // A folder of its own, since the temporary one is closed to others.
    let fresh = staging.path().join("whole");
    write_all(
        inserted,
        headers,
        &InsertedFiles::within(&fresh, &inserted.truth.patient),
    )?;
    if dir.exists() {
        fs::remove_dir(dir).map_err(at(dir))?;
    }
    fs::rename(&fresh, dir).map_err(at(dir))?;
    Ok(InsertedFiles::within(dir, &inserted.truth.patient))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Write { path, source }
}

fn write_all(
    inserted: &Inserted,
    headers: &[InMemDicomObject],
    files: &InsertedFiles,
) -> Result<(), Error> {
    fs::create_dir_all(&files.series).map_err(at(&files.series))?;
    headers
        .par_iter()
        .enumerate()
        .try_for_each(|(slice, header)| {
            let path = files.series.join(format!("{:06}.dcm", slice + 1));
            write_synced(&path, &encode(inserted, header, slice)?).map_err(at(&path))
        })?;
    let json = serde_json::to_vec_pretty(&inserted.truth);
    let mut json = json.map_err(|e| at(&files.truth)(e.into()))?;
    json.push(b'\n');
    write_synced(&files.truth, &json).map_err(at(&files.truth))?;
    let labels = label_map(inserted).map_err(at(&files.labels))?;
    write_synced(&files.labels, &labels).map_err(at(&files.labels))
}

/// Every nodule's voxels, by its label.
fn label_map(inserted: &Inserted) -> io::Result<Vec<u8>> {
    let geometry = &inserted.stored.geometry;
    let slice_voxels = geometry.size[1] * geometry.size[2];
    encode_label_map(geometry, |slice, labels| {
        for (label, mask) in (1..).zip(&inserted.masks) {
            let within = mask.iter().filter(|&&voxel| voxel / slice_voxels == slice);
            within.for_each(|voxel| labels[voxel % slice_voxels] = label);
        }
    })
}

/// One slice, uncompressed, explicit little endian.
fn encode(inserted: &Inserted, source: &InMemDicomObject, slice: usize) -> Result<Vec<u8>, Error> {
    let refuse = |reason: String| Error::Encode { slice, reason };
    let instance_uid = inserted.uids.uid(&format!("instance/{slice}"));
    let kept = KEPT.into_iter().filter_map(|tag| source.get(tag));
    let mut object = InMemDicomObject::from_element_iter(kept.filter(|e| is_plain(e)).cloned());
    identity(&mut object, inserted, &instance_uid, slice);
    image_type(&mut object, source);
    if has_contrast(source) {
        text(&mut object, tags::CONTRAST_BOLUS_AGENT, VR::LO, "CONTRAST");
    }
    let [_, ny, nx] = inserted.stored.geometry.size;
    let samples = inserted.stored.samples[slice * ny * nx..][..ny * nx].to_vec();
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(samples.into()),
    ));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(sop::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(sop::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid(instance_uid);
    let file = object.with_meta(meta).map_err(|e| refuse(e.to_string()))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes)
        .map_err(|e| refuse(e.to_string()))?;
    Ok(bytes)
}

/// Contrast/Bolus Agent (0018,0010) is not empty; what it says is free text, so only that is kept.
fn has_contrast(source: &InMemDicomObject) -> bool {
    let agent = source.get(tags::CONTRAST_BOLUS_AGENT);
    agent
        .and_then(|agent| agent.to_str().ok())
        .is_some_and(|agent| !agent.trim_matches(['\0', ' ']).is_empty())
}

/// Text in ASCII, so that no character set is needed; every number.
fn is_plain(element: &dicom_object::mem::InMemElement) -> bool {
    element.vr() != VR::SQ && element.value().to_str().is_ok_and(|text| text.is_ascii())
}

/// A phantom's patient, and what says that nothing else is one.
fn identity(object: &mut InMemDicomObject, inserted: &Inserted, instance_uid: &str, slice: usize) {
    let truth = &inserted.truth;
    let uid = |role| inserted.uids.uid(role);
    let (study_uid, frame_uid) = (uid("study"), uid("frame"));
    let number = (slice + 1).to_string();
    let derivation = format!(
        "Synthetic lesions inserted by hilum {} for tests; no finding of a patient",
        env!("CARGO_PKG_VERSION")
    );
    let entries = [
        (tags::SOP_CLASS_UID, VR::UI, sop::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, instance_uid),
        (tags::STUDY_INSTANCE_UID, VR::UI, &study_uid),
        (
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            &truth.series_instance_uid,
        ),
        (tags::FRAME_OF_REFERENCE_UID, VR::UI, &frame_uid),
        (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        (tags::PATIENT_NAME, VR::PN, "PHANTOM^INSERTED"),
        (tags::PATIENT_ID, VR::LO, &truth.patient),
        (tags::PATIENT_BIRTH_DATE, VR::DA, ""),
        (tags::PATIENT_SEX, VR::CS, "O"),
        (tags::STUDY_DATE, VR::DA, "20250101"),
        (tags::STUDY_TIME, VR::TM, "120000"),
        (tags::STUDY_ID, VR::SH, "1"),
        (
            tags::STUDY_DESCRIPTION,
            VR::LO,
            "Chest CT with synthetic lesions",
        ),
        (tags::ACCESSION_NUMBER, VR::SH, ""),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (
            tags::SERIES_DESCRIPTION,
            VR::LO,
            "Synthetic lesions inserted",
        ),
        (tags::ACQUISITION_NUMBER, VR::IS, "1"),
        (tags::INSTANCE_NUMBER, VR::IS, &number),
        (tags::DERIVATION_DESCRIPTION, VR::ST, &derivation),
    ];
    entries
        .iter()
        .for_each(|(tag, vr, value)| text(object, *tag, *vr, value));
}

/// `DERIVED\PRIMARY` and the source's further values (PS3.3 C.7.6.1.1.2).
fn image_type(object: &mut InMemDicomObject, source: &InMemDicomObject) {
    let values = source
        .get(tags::IMAGE_TYPE)
        .and_then(|e| e.to_multi_str().ok().map(|v| v.to_vec()));
    let further = values.unwrap_or_default().into_iter().skip(2);
    let derived = ["DERIVED", "PRIMARY"].map(String::from).into_iter();
    let plain = further.filter(|value| value.is_ascii());
    let value = PrimitiveValue::Strs(derived.chain(plain).collect());
    object.put(DataElement::new(tags::IMAGE_TYPE, VR::CS, value));
}
