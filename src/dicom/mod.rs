//! Bytes to series: the only reader of DICOM.
//!
//! In: files and folders. Out: studies of ordered series with checked geometry, and stored pixel values on request.
//! Refused, by code: what is not DICOM, lacks required attributes or contradicts itself.

use crate::error::Class;
use crate::volume::{Geometry, Rescale};
use crate::warning::Warning;
use glam::DVec3;
use std::path::PathBuf;

/// Attributes of one SOP Instance that the pipeline uses; pixel data stay in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The file it was read from; never shown with patient attributes.
    pub path: PathBuf,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: String,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: String,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Frame of Reference UID (0020,0052).
    pub frame_of_reference_uid: Option<String>,
    /// Modality (0008,0060).
    pub modality: String,
    /// Image Type (0008,0008).
    pub image_type: Vec<String>,
    /// Rows (0028,0010) and Columns (0028,0011).
    pub rows_columns: [usize; 2],
    /// Pixel Representation (0028,0103) is 1.
    pub signed: bool,
    /// Bits Stored (0028,0101).
    pub bits_stored: u32,
    /// Image Position (Patient) (0020,0032), LPS mm.
    pub position_lps_mm: DVec3,
    /// Image Orientation (Patient) (0020,0037): direction of a row (towards higher columns), then of a column.
    pub orientation: [DVec3; 2],
    /// Pixel Spacing (0028,0030): between rows, between columns, mm.
    pub pixel_spacing_mm: [f64; 2],
    /// Slice Thickness (0018,0050), mm.
    pub slice_thickness_mm: Option<f64>,
    /// Rescale Slope and Intercept.
    pub rescale: Rescale,
    /// Pixel Padding Value to Range Limit, stored values.
    pub padding: Option<(i32, i32)>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Convolution Kernel (0018,1210).
    pub kernel: Option<String>,
    /// Contrast/Bolus Agent (0018,0010) is not empty.
    pub contrast: bool,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Series Number (0020,0011).
    pub series_number: Option<i64>,
}

/// Slices of one SeriesInstanceUID, ordered along the normal, on one regular grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Slice `z` of the volume is `instances[z]`.
    pub instances: Vec<Instance>,
    /// The grid of the stacked slices.
    pub geometry: Geometry,
    /// What the reader of the report must know of this series.
    pub warnings: Vec<Warning>,
}

/// A series that no model runs on, and why.
#[derive(Debug, thiserror::Error)]
#[error("series {series_instance_uid} is left out: {error}")]
pub struct LeftOut {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Modality, where known.
    pub modality: String,
    /// The reason.
    pub error: Error,
}

/// All series of one StudyInstanceUID.
#[derive(Debug)]
pub struct Study {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series that are volumes.
    pub series: Vec<Series>,
    /// Series that are not (localizers, secondary captures, broken ones).
    pub left_out: Vec<LeftOut>,
}

/// Why an object was refused. Names the attribute and the series, never the patient.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Placeholder until the reader lands.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        Class::Input
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        "other"
    }
}
