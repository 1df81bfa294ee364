//! Image Plane and Image Pixel attributes, checked.
//!
//! In: a data set. Out: finite geometry, rescale, padding and the samples' format.
//! Refused: anything missing, not finite, impossible, or of a format other than 8 or 16 bits greyscale.

use super::Error;
use super::attribute::Attributes;
use crate::volume::Rescale;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use glam::DVec3;

/// Furthest patient coordinate that is believed, mm.
const MAX_COORDINATE_MM: f64 = 1e5;

/// Pixel spacings and slice thicknesses that are believed, mm.
pub(super) const SPACING_RANGE_MM: std::ops::RangeInclusive<f64> = 1e-3..=100.0;

/// How far direction cosines may be from unit length and a right angle; some writers round to three digits.
const ORTHONORMAL_TOLERANCE: f64 = 2e-3;

/// Largest rescale slope and intercept that are believed, HU.
const MAX_RESCALE: f64 = 1e6;

/// Format of the samples (PS3.3 C.7.6.3).
pub(crate) struct Pixels {
    pub(crate) rows_columns: [usize; 2],
    pub(crate) signed: bool,
    pub(crate) bits_allocated: u32,
    pub(crate) bits_stored: u32,
}

impl Pixels {
    pub(crate) fn read(attributes: &Attributes) -> Result<Self, Error> {
        let side = |tag: Tag| match attributes.count(tag)? {
            0 => Err(attributes.bad(tag, "a positive number is")),
            n => Ok(usize::from(n)),
        };
        let rows_columns = [side(tags::ROWS)?, side(tags::COLUMNS)?];
        if attributes.count(tags::SAMPLES_PER_PIXEL)? != 1 {
            return Err(attributes.unsupported(tags::SAMPLES_PER_PIXEL, "1 is"));
        }
        let frames = attributes.optional_number(tags::NUMBER_OF_FRAMES)?;
        if frames.is_some_and(|n| n.total_cmp(&1.0).is_ne()) {
            return Err(attributes.unsupported(tags::NUMBER_OF_FRAMES, "1 is"));
        }
        let signed = match attributes.count(tags::PIXEL_REPRESENTATION)? {
            0 => false,
            1 => true,
            _ => return Err(attributes.bad(tags::PIXEL_REPRESENTATION, "0 or 1 is")),
        };
        let bits_allocated = attributes.count(tags::BITS_ALLOCATED)?;
        if ![8, 16].contains(&bits_allocated) {
            return Err(attributes.unsupported(tags::BITS_ALLOCATED, "8 and 16 are"));
        }
        let bits_stored = attributes.count(tags::BITS_STORED)?;
        if !(1..=bits_allocated).contains(&bits_stored) {
            return Err(attributes.bad(tags::BITS_STORED, "1 to Bits Allocated is"));
        }
        if attributes.count(tags::HIGH_BIT)? + 1 != bits_stored {
            return Err(attributes.unsupported(tags::HIGH_BIT, "Bits Stored - 1 is"));
        }
        Ok(Self {
            rows_columns,
            signed,
            bits_allocated: bits_allocated.into(),
            bits_stored: bits_stored.into(),
        })
    }
}

/// Image Position (Patient) (0020,0032), LPS mm.
pub(crate) fn position(attributes: &Attributes) -> Result<DVec3, Error> {
    let tag = tags::IMAGE_POSITION_PATIENT;
    let position = DVec3::from(attributes.vector::<3>(tag)?);
    if position.abs().max_element() > MAX_COORDINATE_MM {
        return Err(attributes.bad(tag, "coordinates within 100 m are"));
    }
    Ok(position)
}

/// Image Orientation (Patient) (0020,0037) as two perpendicular unit vectors: along a row, along a column.
pub(crate) fn orientation(attributes: &Attributes) -> Result<[DVec3; 2], Error> {
    let tag = tags::IMAGE_ORIENTATION_PATIENT;
    let [rx, ry, rz, cx, cy, cz] = attributes.vector::<6>(tag)?;
    let (row, column) = (DVec3::new(rx, ry, rz), DVec3::new(cx, cy, cz));
    let unit = |v: DVec3| (v.length() - 1.0).abs() <= ORTHONORMAL_TOLERANCE;
    if !unit(row) || !unit(column) || row.dot(column).abs() > ORTHONORMAL_TOLERANCE {
        return Err(attributes.bad(tag, "two perpendicular unit vectors are"));
    }
    let row = row.normalize();
    Ok([row, column.reject_from_normalized(row).normalize()])
}

/// Pixel Spacing (0028,0030): between rows, between columns, mm.
pub(crate) fn pixel_spacing(attributes: &Attributes) -> Result<[f64; 2], Error> {
    let spacing = attributes.vector::<2>(tags::PIXEL_SPACING)?;
    if spacing.iter().all(|mm| SPACING_RANGE_MM.contains(mm)) {
        return Ok(spacing);
    }
    Err(attributes.bad(tags::PIXEL_SPACING, "two numbers from 0.001 to 100 mm are"))
}

/// Rescale Slope (0028,1053) and Intercept (0028,1052).
#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded by MAX_RESCALE; single precision is the pipeline's"
)]
pub(crate) fn rescale(attributes: &Attributes) -> Result<Rescale, Error> {
    let slope = attributes.number(tags::RESCALE_SLOPE)?;
    let intercept = attributes.number(tags::RESCALE_INTERCEPT)?;
    // Some makers scale each PET slice by its own maximum, and a slice without counts by 0.
    let is_empty = slope.to_bits() == 0 && attributes.text(tags::MODALITY).as_deref() == Some("PT");
    if !is_empty && !(1.0 / MAX_RESCALE..=MAX_RESCALE).contains(&slope.abs()) {
        return Err(attributes.bad(tags::RESCALE_SLOPE, "1e-6 to 1e6, but not zero, is"));
    }
    if intercept.abs() > MAX_RESCALE {
        return Err(attributes.bad(tags::RESCALE_INTERCEPT, "-1e6 to 1e6 is"));
    }
    Ok(Rescale {
        slope: slope as f32,
        intercept: intercept as f32,
    })
}

/// Pixel Padding Value (0028,0120) and Range Limit (0028,0121), PS3.3 C.7.5.1.1.2.
pub(crate) fn padding(attributes: &Attributes, signed: bool) -> Result<Option<(i32, i32)>, Error> {
    let stored = |tag| match attributes.optional_number(tag)? {
        None => Ok(None),
        Some(value) => stored_value(value, signed)
            .map(Some)
            .ok_or_else(|| attributes.bad(tag, "a stored value of 16 bits is")),
    };
    let Some(value) = stored(tags::PIXEL_PADDING_VALUE)? else {
        return Ok(None);
    };
    let limit = stored(tags::PIXEL_PADDING_RANGE_LIMIT)?.unwrap_or(value);
    Ok(Some((value.min(limit), value.max(limit))))
}

/// A 16-bit stored value; writers give it as US and as SS whatever the pixels are, so only its bits count.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be whole and in range"
)]
fn stored_value(value: f64, signed: bool) -> Option<i32> {
    if value.fract() != 0.0 || !(-32_768.0..=65_535.0).contains(&value) {
        return None;
    }
    let value = value as i32;
    Some(match signed {
        true if value > 32_767 => value - 65_536,
        false if value < 0 => value + 65_536,
        _ => value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::fixture::texts;
    use dicom_core::VR;

    #[test]
    fn a_slope_of_zero_is_an_empty_slice_of_a_pet_and_a_refusal_elsewhere() {
        let of = |modality, slope| {
            let object = texts([
                (tags::MODALITY, VR::CS, modality),
                (tags::RESCALE_SLOPE, VR::DS, slope),
                (tags::RESCALE_INTERCEPT, VR::DS, "0"),
            ]);
            rescale(&Attributes::new(&object, "1.2")).map(|rescale| rescale.slope)
        };
        assert_eq!(of("PT", "0").ok(), Some(0.0));
        assert_eq!(of("CT", "0").unwrap_err().code(), "bad-value");
        assert_eq!(of("PT", "1e-9").unwrap_err().code(), "bad-value");
    }
}
