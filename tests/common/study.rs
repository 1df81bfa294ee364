//! Studies made by hand: series on any grid, spheres in them, and the report of both.

use dicom_core::{DataElement, Tag, VR, value::PrimitiveValue};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use glam::{DAffine3, DVec3};
use hilum::dicom::{Instance, Series};
use hilum::lesion::{Kind, Lesion, LesionMask};
use hilum::measure::{Axis, Laterality, Measurement};
use hilum::provenance::{Method, ModelIdentity, Provenance};
use hilum::report::{Outputs, SeriesRun, Status, StudyReport};
use hilum::uid::UidSource;
use hilum::volume::{Geometry, Rescale, SlicePositions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) const STUDY_UID: &str = "1.2.826.0.1.3680043.8.498.1";

/// Which way the slices lie.
#[derive(Clone, Copy)]
pub(crate) enum Plane {
    Axial,
    Oblique,
    /// Axial, with every slice shifted towards the back: gantry tilt.
    Tilted,
}

/// Series number `number` of the study, of `size` voxels.
pub(crate) fn series(number: usize, plane: Plane, size: [usize; 3]) -> Series {
    let (row, column, step) = match plane {
        Plane::Axial => (DVec3::X, DVec3::Y, DVec3::Z),
        Plane::Oblique => {
            let row = DVec3::new(0.8, 0.6, 0.0);
            let column = DVec3::new(-0.36, 0.48, 0.8);
            (row, column, row.cross(column))
        }
        Plane::Tilted => {
            let shift = DVec3::new(0.0, 0.3, 1.0);
            (DVec3::X, DVec3::Y, shift)
        }
    };
    let index_to_lps = DAffine3::from_cols(
        row * 0.75,
        column * 0.7,
        step * 2.5,
        DVec3::new(-100.25, -90.5, 33.3),
    );
    let geometry = Geometry { size, index_to_lps };
    Series {
        instances: (0..size[0])
            .map(|z| instance(number, z, &geometry))
            .collect(),
        geometry,
        slices: SlicePositions::even(),
        warnings: Vec::new(),
    }
}

fn instance(series: usize, z: usize, geometry: &Geometry) -> Instance {
    let m = geometry.index_to_lps.matrix3;
    Instance {
        path: PathBuf::new(),
        transfer_syntax_uid: uids::EXPLICIT_VR_LITTLE_ENDIAN.into(),
        sop_class_uid: uids::CT_IMAGE_STORAGE.into(),
        sop_instance_uid: format!("{STUDY_UID}.{series}.{}", z + 1),
        study_instance_uid: STUDY_UID.into(),
        series_instance_uid: format!("{STUDY_UID}.{series}"),
        frame_of_reference_uid: Some(format!("{STUDY_UID}.99")),
        acquired: None,
        modality: "CT".into(),
        image_type: ["ORIGINAL", "PRIMARY", "AXIAL"].map(String::from).into(),
        rows_columns: [geometry.size[1], geometry.size[2]],
        signed: true,
        bits_stored: 16,
        bits_allocated: 16,
        position_lps_mm: geometry.to_lps_mm(DVec3::new(0.0, 0.0, z as f64)),
        orientation: [m.x_axis.normalize(), m.y_axis.normalize()],
        pixel_spacing_mm: [m.y_axis.length(), m.x_axis.length()],
        slice_thickness_mm: Some(2.5),
        rescale: Rescale {
            slope: 1.0,
            intercept: -1024.0,
        },
        padding: None,
        body_part: Some("CHEST".into()),
        kernel: None,
        contrast: false,
        manufacturer: None,
        units: None,
        pet: None,
        series_number: Some(series as i64),
        frame_number: None,
        stack_values: Vec::new(),
    }
}

pub(crate) fn text(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

/// Patient and study attributes of the source.
pub(crate) fn header() -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        text(tags::STUDY_DATE, VR::DA, "20240229"),
        text(tags::STUDY_TIME, VR::TM, "101500"),
        text(tags::ACCESSION_NUMBER, VR::SH, "A1"),
        text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        text(tags::STUDY_DESCRIPTION, VR::LO, "CT chest"),
        text(tags::PATIENT_NAME, VR::PN, "Müller^Jörg"),
        text(tags::PATIENT_ID, VR::LO, "SECRET-ID"),
        text(tags::PATIENT_BIRTH_DATE, VR::DA, "19500102"),
        text(tags::PATIENT_SEX, VR::CS, "M"),
        text(tags::PATIENT_AGE, VR::AS, "074Y"),
        text(tags::PATIENT_WEIGHT, VR::DS, "70.5"),
        text(tags::STUDY_ID, VR::SH, "7"),
    ])
}

/// A sphere about voxel `centre` (z, y, x), measured as its voxels are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "radii are a few voxels"
)]
pub(crate) fn sphere(series: &Series, centre: [usize; 3], radius_mm: f64) -> (Lesion, Measurement) {
    let g = &series.geometry;
    let [sz, sy, sx] = g.spacing_mm();
    let reach = [sz, sy, sx].map(|s| (radius_mm / s).ceil() as usize + 2);
    let origin: [usize; 3] = std::array::from_fn(|a| centre[a].saturating_sub(reach[a]));
    let size: [usize; 3] =
        std::array::from_fn(|a| (centre[a] + reach[a] + 1).min(g.size[a]) - origin[a]);
    let lps = |[z, y, x]: [usize; 3]| g.to_lps_mm(DVec3::new(x as f64, y as f64, z as f64));
    let mut inside = Vec::new();
    for z in 0..size[0] {
        for y in 0..size[1] {
            for x in 0..size[2] {
                let at = lps([origin[0] + z, origin[1] + y, origin[2] + x]);
                inside.push(at.distance(lps(centre)) <= radius_mm);
            }
        }
    }
    let mask = LesionMask {
        origin,
        size,
        inside,
    };
    let axis = |columns: f64, rows: f64| {
        let [c, r] = [centre[2] as f64 + 0.5, centre[1] as f64 + 0.5];
        Axis {
            length_mm: 2.0 * radius_mm,
            ends_column_row: [[c - columns, r - rows], [c + columns, r + rows]],
        }
    };
    let measurement = Measurement {
        centroid_lps_mm: lps(centre),
        volume_mm3: mask.count() as f64 * g.voxel_volume_mm3(),
        axis_slice: centre[0],
        long_axis: axis(radius_mm / sx, 0.0),
        short_axis: axis(0.0, radius_mm / sy),
        mean_hu: Some(-12.3456789),
        pet: None,
        on_pet: None,
        site: None,
        laterality: Some(Laterality::Right),
    };
    let lesion = Lesion {
        kind: Kind::LungNodule,
        terms: Kind::LungNodule.into(),
        confidence: 0.87,
        assessment: None,
        centre_lps_mm: lps(centre),
        mask,
    };
    (lesion, measurement)
}

/// A run that is done.
pub(crate) fn done(series: &Series, lesions: Vec<(Lesion, Measurement)>) -> SeriesRun<'_> {
    SeriesRun {
        series,
        companions: Vec::new(),
        model: model(),
        confidence_meaning: "Calibrated probability of a nodule.".into(),
        status: Status::Done,
        reason: None,
        lesions,
        structures: Vec::new(),
        pet: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn model() -> ModelIdentity {
    ModelIdentity {
        name: "lung-nodule-lite".into(),
        version: "3".into(),
        sha256: "0123456789abcdef".repeat(4),
        method: Method::TrainedModel,
        experimental: false,
    }
}

/// The report of `runs` on the study of [`header`].
pub(crate) fn report(runs: Vec<SeriesRun>) -> StudyReport {
    let uid_source = UidSource::new(["test"]);
    StudyReport {
        study_instance_uid: STUDY_UID.into(),
        source_header: header(),
        outputs: Outputs {
            dicom: true,
            label_maps: false,
        },
        supersedes: None,
        runs,
        left_out: Vec::new(),
        warnings: Vec::new(),
        timings_ms: BTreeMap::from([("read".into(), 12.5), ("model".into(), 1000.25)]),
        provenance: Provenance {
            version: "0.0.0".into(),
            git_hash: "c0ffee".into(),
            adapter: "Test® adapter".into(),
            driver: "none".into(),
            models: vec![model()],
            parameters: serde_json::json!({"min_confidence": 0.3}),
            run_id: uid_source.run_id(),
        },
        uid_source,
    }
}

/// Writes the headers of a series as files, so that outside tools can check a report against them.
pub(crate) fn write_sources(dir: &Path, series: &Series) {
    std::fs::create_dir_all(dir).expect("folder");
    let join = |values: &[f64]| {
        let texts: Vec<String> = values.iter().map(|v| format!("{v:.6}")).collect();
        texts.join("\\")
    };
    for (z, i) in series.instances.iter().enumerate() {
        let mut object = header();
        let [row, column] = i.orientation;
        for (tag, vr, value) in [
            (tags::SOP_CLASS_UID, VR::UI, i.sop_class_uid.clone()),
            (tags::SOP_INSTANCE_UID, VR::UI, i.sop_instance_uid.clone()),
            (
                tags::STUDY_INSTANCE_UID,
                VR::UI,
                i.study_instance_uid.clone(),
            ),
            (
                tags::SERIES_INSTANCE_UID,
                VR::UI,
                i.series_instance_uid.clone(),
            ),
            (
                tags::FRAME_OF_REFERENCE_UID,
                VR::UI,
                i.frame_of_reference_uid.clone().unwrap_or_default(),
            ),
            (tags::MODALITY, VR::CS, i.modality.clone()),
            (tags::SLICE_THICKNESS, VR::DS, "2.5".into()),
            (
                tags::IMAGE_POSITION_PATIENT,
                VR::DS,
                join(&i.position_lps_mm.to_array()),
            ),
            (
                tags::IMAGE_ORIENTATION_PATIENT,
                VR::DS,
                join(&[row.to_array(), column.to_array()].concat()),
            ),
            (tags::PIXEL_SPACING, VR::DS, join(&i.pixel_spacing_mm)),
        ] {
            object.put(text(tag, vr, &value));
        }
        for (tag, n) in [tags::ROWS, tags::COLUMNS].into_iter().zip(i.rows_columns) {
            let n = PrimitiveValue::from(u16::try_from(n).expect("small"));
            object.put(DataElement::new(tag, VR::US, n));
        }
        let meta = dicom_object::FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let file = object.with_meta(meta).expect("meta");
        file.write_to_file(dir.join(format!("{z}.dcm")))
            .expect("written");
    }
}
