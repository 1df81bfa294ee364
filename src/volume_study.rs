//! A volume file as a study of one series, so that planning and reporting need not know the difference.
//!
//! In: a [`VolumeFile`]. Out: a [`Study`] whose UIDs derive from the file's bytes, never from its name.

use crate::dicom::{Instance, Series, Study};
use crate::uid::UidSource;
use crate::volume::{Rescale, SlicePositions};
use crate::volume_file::VolumeFile;
use crate::warning::Warning;
use glam::DVec3;

/// Below this, no tilt is reported: rounded affines look like that.
const MIN_TILT_DEG: f64 = 0.1;

/// One study, one series, one instance a slice.
///
/// What a volume file does not say (body part, kernel, contrast, maker) is absent. Modality is CT, since nothing else is
/// read from such files.
pub fn study(file: &VolumeFile) -> Study {
    let uids = UidSource::new(["volume-file", &file.sha256]);
    let study_instance_uid = uids.uid("study");
    let slices = file.geometry.size[0];
    let instances = (0..slices).map(|z| instance(file, &uids, z)).collect();
    Study {
        study_instance_uid,
        series: vec![Series {
            instances,
            geometry: file.geometry,
            slices: SlicePositions::even(),
            warnings: tilt_warning(file).into_iter().collect(),
        }],
        left_out: Vec::new(),
    }
}

fn instance(file: &VolumeFile, uids: &UidSource, z: usize) -> Instance {
    let geometry = &file.geometry;
    let axes = geometry.index_to_lps.matrix3;
    let [_, rows, columns] = geometry.size;
    let [_, between_rows_mm, between_columns_mm] = geometry.spacing_mm();
    Instance {
        path: file.path.clone(),
        transfer_syntax_uid: String::new(),
        sop_class_uid: String::new(),
        sop_instance_uid: uids.uid(&format!("instance/{z}")),
        study_instance_uid: uids.uid("study"),
        series_instance_uid: uids.uid("series"),
        frame_of_reference_uid: Some(uids.uid("frame-of-reference")),
        acquired: None,
        modality: "CT".into(),
        image_type: Vec::new(),
        rows_columns: [rows, columns],
        signed: true,
        bits_allocated: 16,
        bits_stored: 16,
        position_lps_mm: geometry.to_lps_mm(DVec3::new(0.0, 0.0, z as f64)),
        orientation: [axes.x_axis.normalize(), axes.y_axis.normalize()],
        pixel_spacing_mm: [between_rows_mm, between_columns_mm],
        slice_thickness_mm: None,
        rescale: Rescale {
            slope: 1.0,
            intercept: 0.0,
        },
        padding: None,
        body_part: None,
        kernel: None,
        contrast: false,
        manufacturer: None,
        units: None,
        pet: None,
        series_number: None,
        frame_number: None,
        stack_values: Vec::new(),
    }
}

/// A sheared affine is a tilted gantry; slices may count towards the head or the feet.
fn tilt_warning(file: &VolumeFile) -> Option<Warning> {
    let axes = file.geometry.index_to_lps.matrix3;
    let normal = axes.x_axis.cross(axes.y_axis);
    let angle_deg = normal.angle_between(axes.z_axis).to_degrees();
    let tilt_deg = angle_deg.min(180.0 - angle_deg);
    (tilt_deg > MIN_TILT_DEG).then_some(Warning::GantryTilt { tilt_deg })
}
