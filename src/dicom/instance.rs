//! One CT or PET image with the attributes that make it a slice of a volume.
//!
//! In: a parsed header. Out: an [`Instance`] whose numbers are finite and consistent.
//! Refused: what [`super::kind`] refuses, missing or impossible geometry and pixel formats.

use super::attribute::Attributes;
use super::image::{
    Pixels, SPACING_RANGE_MM, orientation, padding, pixel_spacing, position, rescale,
};
use super::{Error, kind, pet};
use crate::suv::{PetImage, Timestamp};
use crate::volume::Rescale;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use glam::DVec3;
use std::path::{Path, PathBuf};

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
    /// Acquisition Date and Time (0008,0022), (0008,0032), or Acquisition DateTime (0008,002A), where they can be read.
    pub acquired: Option<Timestamp>,
    /// Modality (0008,0060).
    pub modality: String,
    /// Image Type (0008,0008).
    pub image_type: Vec<String>,
    /// Rows (0028,0010) and Columns (0028,0011).
    pub rows_columns: [usize; 2],
    /// Pixel Representation (0028,0103) is 1.
    pub signed: bool,
    /// Bits Allocated (0028,0100): 8 or 16.
    pub bits_allocated: u32,
    /// Bits Stored (0028,0101): 1 to Bits Allocated.
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
    /// Convolution Kernel (0018,1210), its values joined by backslashes.
    pub kernel: Option<String>,
    /// Contrast/Bolus Agent (0018,0010) is not empty.
    pub contrast: bool,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Units (0054,1001) of a PET.
    pub units: Option<String>,
    /// What SUV needs of a PET, or why that cannot be read.
    pub pet: Option<Box<Result<PetImage, Error>>>,
    /// Series Number (0020,0011).
    pub series_number: Option<i64>,
    /// Frame of a multi-frame object, from 1; none for an object of one image.
    pub frame_number: Option<u32>,
    /// Values of the attributes that tell stacks apart, in a fixed order.
    pub stack_values: Vec<Option<String>>,
}

/// What may tell apart the stacks that share a Series Instance UID, the most telling first.
pub(crate) const STACK_ATTRIBUTES: [Tag; 10] = [
    tags::TEMPORAL_POSITION_IDENTIFIER,
    tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE,
    tags::TRIGGER_TIME,
    tags::FRAME_REFERENCE_TIME,
    tags::ACQUISITION_NUMBER,
    tags::STACK_ID,
    tags::ECHO_NUMBERS,
    tags::KVP,
    tags::CONVOLUTION_KERNEL,
    tags::IMAGE_TYPE,
];

/// What names an object, whether or not it is a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) sop_class_uid: String,
    pub(crate) sop_instance_uid: String,
    pub(crate) study_instance_uid: String,
    pub(crate) series_instance_uid: String,
    pub(crate) modality: String,
    pub(crate) patient: Option<Patient>,
}

/// Patient ID (0010,0020), to be compared and never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Patient(String);

impl Patient {
    /// The id itself, for a keyed hash or a question to a peer, and for nothing that is kept or shown.
    pub(crate) fn id(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patient")
    }
}

impl Identity {
    /// Reads the UIDs, which must be valid since they name folders and references.
    pub(crate) fn from_object(object: &InMemDicomObject) -> Result<Self, Error> {
        let sop_instance_uid = Attributes::new(object, "unknown").uid(tags::SOP_INSTANCE_UID)?;
        let attributes = Attributes::new(object, &sop_instance_uid);
        Ok(Self {
            sop_class_uid: attributes.uid(tags::SOP_CLASS_UID)?,
            study_instance_uid: attributes.uid(tags::STUDY_INSTANCE_UID)?,
            series_instance_uid: attributes.uid(tags::SERIES_INSTANCE_UID)?,
            modality: attributes.shown(tags::MODALITY),
            patient: attributes.text(tags::PATIENT_ID).map(Patient),
            sop_instance_uid,
        })
    }
}

impl Instance {
    /// Reads and checks the attributes of a classic CT or PET image, or of one frame that was made to look like one.
    ///
    /// # Errors
    /// A coded refusal that names the attribute: another kind of image, a localizer, derived or non-HU image, a pixel format
    /// other than 8 or 16 bits greyscale, or geometry and rescale that are missing, not finite or impossible.
    ///
    /// Source: PS3.3 C.7.6.2 (Image Plane), C.7.6.3 (Image Pixel), C.8.2.1 (CT Image), C.8.9.4 (PET Image).
    pub fn from_object(
        path: &Path,
        transfer_syntax_uid: &str,
        object: &InMemDicomObject,
    ) -> Result<Self, Error> {
        let identity = Identity::from_object(object)?;
        let attributes = Attributes::new(object, &identity.sop_instance_uid);
        let image_type = kind::check(&identity, &attributes)?;
        let pixels = Pixels::read(&attributes)?;
        Ok(Self {
            path: path.to_owned(),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
            frame_of_reference_uid: attributes.optional_uid(tags::FRAME_OF_REFERENCE_UID)?,
            acquired: pet::acquired(&attributes),
            modality: attributes.required_text(tags::MODALITY)?,
            image_type,
            rows_columns: pixels.rows_columns,
            signed: pixels.signed,
            bits_allocated: pixels.bits_allocated,
            bits_stored: pixels.bits_stored,
            position_lps_mm: position(&attributes)?,
            orientation: orientation(&attributes)?,
            pixel_spacing_mm: pixel_spacing(&attributes)?,
            slice_thickness_mm: attributes
                .optional_number(tags::SLICE_THICKNESS)
                .unwrap_or(None)
                .filter(|mm| SPACING_RANGE_MM.contains(mm)),
            rescale: rescale(&attributes)?,
            padding: padding(&attributes, pixels.signed)?,
            body_part: attributes.text(tags::BODY_PART_EXAMINED),
            kernel: attributes.text(tags::CONVOLUTION_KERNEL),
            contrast: attributes.text(tags::CONTRAST_BOLUS_AGENT).is_some(),
            manufacturer: attributes.text(tags::MANUFACTURER),
            units: attributes.text(tags::UNITS),
            pet: (identity.modality == "PT")
                .then(|| Box::new(pet::read(object, &identity.sop_instance_uid))),
            series_number: attributes
                .text(tags::SERIES_NUMBER)
                .and_then(|n| n.parse().ok()),
            frame_number: None,
            stack_values: STACK_ATTRIBUTES.map(|tag| attributes.text(tag)).to_vec(),
            sop_class_uid: identity.sop_class_uid,
            sop_instance_uid: identity.sop_instance_uid,
            study_instance_uid: identity.study_instance_uid,
            series_instance_uid: identity.series_instance_uid,
        })
    }

    /// Bytes of one slice as rows, columns and Bits Allocated declare them.
    pub(crate) fn frame_bytes(&self) -> u64 {
        let [rows, columns] = self.rows_columns;
        rows as u64 * columns as u64 * u64::from(self.bits_allocated / 8)
    }

    /// What names this image: the object and the frame.
    pub(crate) fn key(&self) -> (&str, Option<u32>) {
        (&self.sop_instance_uid, self.frame_number)
    }

    /// Direction in which slices are stacked: row direction × column direction.
    pub(crate) fn normal(&self) -> DVec3 {
        self.orientation[0].cross(self.orientation[1])
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{instances, slice, with, without};
    use super::*;
    use dicom_core::{PrimitiveValue, Tag, VR};
    use dicom_dictionary_std::uids;
    use glam::DVec2;

    fn read(object: &InMemDicomObject) -> Result<Instance, Error> {
        Instance::from_object(Path::new("a.dcm"), uids::EXPLICIT_VR_LITTLE_ENDIAN, object)
    }

    fn refusal(tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) -> &'static str {
        read(&with(slice(0), tag, vr, value)).unwrap_err().code()
    }

    #[test]
    fn a_ct_slice_is_read_with_its_geometry_and_format() {
        let slice = &instances([slice(3)])[0];
        assert_eq!(slice.position_lps_mm, DVec3::new(-10.0, 20.0, 6.0));
        assert_eq!(slice.orientation, [DVec3::X, DVec3::Y]);
        assert_eq!(DVec2::from(slice.pixel_spacing_mm), DVec2::new(0.5, 0.75));
        assert_eq!(slice.rows_columns, [4, 6]);
        assert_eq!(
            (slice.bits_allocated, slice.bits_stored, slice.signed),
            (16, 16, false)
        );
        assert_eq!(slice.kernel.as_deref(), Some("STANDARD"));
        assert!(!slice.contrast);
    }

    #[test]
    fn impossible_geometry_is_refused() {
        let spacing = |value: &str| refusal(tags::PIXEL_SPACING, VR::DS, value);
        for bad in [
            "0\\0.5", "-1\\1", "NaN\\1", "inf\\1", "1", "1\\1\\1", "1e9\\1", "abc\\1",
        ] {
            assert_eq!(spacing(bad), "bad-value", "{bad}");
        }
        let orientation = |value: &str| refusal(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, value);
        for bad in [
            "1\\0\\0\\1\\0\\0",
            "2\\0\\0\\0\\1\\0",
            "0\\0\\0\\0\\0\\0",
            "1\\0\\0\\0.1\\1\\0",
        ] {
            assert_eq!(orientation(bad), "bad-value", "{bad}");
        }
        assert_eq!(
            refusal(tags::IMAGE_POSITION_PATIENT, VR::DS, "1e300\\0\\0"),
            "bad-value"
        );
    }

    #[test]
    fn impossible_pixel_formats_are_refused() {
        assert_eq!(refusal(tags::ROWS, VR::US, 0_u16), "bad-value");
        assert_eq!(
            refusal(tags::SAMPLES_PER_PIXEL, VR::US, 3_u16),
            "unsupported-value"
        );
        assert_eq!(
            refusal(tags::BITS_ALLOCATED, VR::US, 32_u16),
            "unsupported-value"
        );
        assert_eq!(refusal(tags::BITS_STORED, VR::US, 17_u16), "bad-value");
        assert_eq!(refusal(tags::HIGH_BIT, VR::US, 11_u16), "unsupported-value");
        assert_eq!(
            refusal(tags::NUMBER_OF_FRAMES, VR::IS, "2"),
            "unsupported-value"
        );
        assert_eq!(
            refusal(tags::PIXEL_REPRESENTATION, VR::US, 2_u16),
            "bad-value"
        );
    }

    #[test]
    fn a_rescale_that_loses_the_values_is_refused() {
        for bad in ["0", "nan", "1e-30", "-1e20"] {
            assert_eq!(
                refusal(tags::RESCALE_SLOPE, VR::DS, bad),
                "bad-value",
                "{bad}"
            );
        }
        assert_eq!(
            refusal(tags::RESCALE_INTERCEPT, VR::DS, "1e12"),
            "bad-value"
        );
    }

    #[test]
    fn every_required_attribute_is_missed_by_name() {
        for tag in [
            tags::SOP_INSTANCE_UID,
            tags::STUDY_INSTANCE_UID,
            tags::SERIES_INSTANCE_UID,
            tags::SOP_CLASS_UID,
            tags::MODALITY,
            tags::IMAGE_POSITION_PATIENT,
            tags::IMAGE_ORIENTATION_PATIENT,
            tags::PIXEL_SPACING,
            tags::ROWS,
            tags::COLUMNS,
            tags::BITS_ALLOCATED,
            tags::RESCALE_SLOPE,
            tags::RESCALE_INTERCEPT,
        ] {
            let error = read(&without(slice(0), tag)).unwrap_err();
            assert!(
                matches!(error, Error::Missing { attribute, .. } if attribute.0 == tag),
                "{error}"
            );
        }
    }

    #[test]
    fn padding_is_read_by_its_bits_whatever_its_representation() {
        let signed = with(slice(0), tags::PIXEL_REPRESENTATION, VR::US, 1_u16);
        let as_unsigned = with(
            signed.clone(),
            tags::PIXEL_PADDING_VALUE,
            VR::US,
            63_536_u16,
        );
        let as_signed = with(signed, tags::PIXEL_PADDING_VALUE, VR::SS, -2000_i16);
        assert_eq!(read(&as_unsigned).unwrap().padding, Some((-2000, -2000)));
        assert_eq!(read(&as_signed).unwrap().padding, Some((-2000, -2000)));
        let range = with(
            as_signed,
            tags::PIXEL_PADDING_RANGE_LIMIT,
            VR::SS,
            -2010_i16,
        );
        assert_eq!(read(&range).unwrap().padding, Some((-2010, -2000)));
    }

    #[test]
    fn no_error_shows_the_patients_name() {
        let object = with(slice(0), tags::PIXEL_SPACING, VR::DS, "0\\0");
        let error = read(&object).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Secret"));
    }
}
