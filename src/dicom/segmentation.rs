//! Binary Segmentations (PS3.3 A.51), for what compares them with others.
//!
//! In: a file. Out: where the pixels of each segment lie in the patient. Refused: fractional and compressed segments, and
//! pixel data shorter than their frames.

use super::attribute::Attributes;
use super::{Error, WholeObject, read_whole};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use glam::DVec3;
use std::path::Path;

/// A segmentation of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Series Instance UID (0020,000E) of the series that was segmented.
    pub source_series_uid: String,
    /// Its segments.
    pub segments: Vec<Segment>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Segment Number (0062,0004).
    pub number: u16,
    /// Tracking UID (0062,0021); none for a structure that is no finding.
    pub tracking_uid: Option<String>,
    /// Centres of its pixels, LPS mm, frame by frame; none where they were not wanted.
    pub pixels_lps_mm: Vec<DVec3>,
}

impl Segmentation {
    /// Reads a file, of its segments the pixels of those that are wanted.
    ///
    /// # Errors
    /// What is wrong with the file; [`Error::Unsupported`] for anything but an uncompressed binary segmentation.
    pub fn read(path: &Path, is_wanted: impl Fn(&Segment) -> bool) -> Result<Self, Error> {
        let WholeObject { object, .. } = read_whole(path)?;
        let unknown = Attributes::new(&object, "unknown");
        let uid = unknown.uid(tags::SOP_INSTANCE_UID)?;
        let attributes = Attributes::new(&object, &uid);
        expect_binary(&attributes)?;
        let source = sequence(&attributes, tags::REFERENCED_SERIES_SEQUENCE)?;
        let mut segments = segments(&attributes)?;
        let pixels = pixels(&object, &attributes)?;
        for (index, frame) in frames(&attributes)?.iter().enumerate() {
            let own = segments.iter_mut().find(|s| s.number == frame.segment);
            let segment = own.ok_or_else(|| attributes.bad(tags::SEGMENT_SEQUENCE, NUMBERS))?;
            if is_wanted(segment) {
                frame.append(index, &pixels, &mut segment.pixels_lps_mm);
            }
        }
        Ok(Self {
            source_series_uid: source.uid(tags::SERIES_INSTANCE_UID)?,
            segments,
        })
    }
}

const NUMBERS: &str = "a segment of every number that a frame names is";

fn expect_binary(attributes: &Attributes) -> Result<(), Error> {
    if attributes.uid(tags::SOP_CLASS_UID)? != uids::SEGMENTATION_STORAGE {
        return Err(attributes.unsupported(tags::SOP_CLASS_UID, "Segmentation Storage is"));
    }
    if attributes.required_text(tags::SEGMENTATION_TYPE)? != "BINARY" {
        return Err(attributes.unsupported(tags::SEGMENTATION_TYPE, "BINARY is"));
    }
    if attributes.count(tags::BITS_ALLOCATED)? != 1 {
        return Err(attributes.unsupported(tags::BITS_ALLOCATED, "one bit is"));
    }
    Ok(())
}

/// The first item of a sequence that must be there.
fn sequence<'a>(attributes: &Attributes<'a>, tag: Tag) -> Result<Attributes<'a>, Error> {
    let first = attributes.items(tag).into_iter().next();
    first.ok_or_else(|| attributes.missing(tag))
}

fn segments(attributes: &Attributes) -> Result<Vec<Segment>, Error> {
    let segment = |item: Attributes| {
        Ok(Segment {
            number: item.count(tags::SEGMENT_NUMBER)?,
            tracking_uid: item.optional_uid(tags::TRACKING_UID)?,
            pixels_lps_mm: Vec::new(),
        })
    };
    let items = attributes.items(tags::SEGMENT_SEQUENCE);
    items.into_iter().map(segment).collect()
}

/// The packed pixels of all frames, checked to hold them.
fn pixels(object: &InMemDicomObject, attributes: &Attributes) -> Result<Vec<u8>, Error> {
    let element = object.get(tags::PIXEL_DATA);
    let value = element.ok_or_else(|| attributes.missing(tags::PIXEL_DATA))?;
    let native = value.value().primitive();
    let native = native.ok_or_else(|| {
        attributes.unsupported(tags::PIXEL_DATA, "uncompressed binary segments are")
    })?;
    let [rows, columns] = size(attributes)?;
    let frames = attributes
        .items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .len();
    let bytes = native.to_bytes().into_owned();
    if (frames * rows * columns).div_ceil(8) > bytes.len() {
        return Err(Error::Truncated {
            last: super::Attribute::PIXEL_DATA,
        });
    }
    Ok(bytes)
}

fn size(attributes: &Attributes) -> Result<[usize; 2], Error> {
    let [rows, columns] = [tags::ROWS, tags::COLUMNS].map(|tag| attributes.count(tag));
    Ok([rows?.into(), columns?.into()])
}

/// Where the pixels of a frame lie.
struct Frame {
    segment: u16,
    rows: usize,
    columns: usize,
    first_lps_mm: DVec3,
    to_next_row_mm: DVec3,
    to_next_column_mm: DVec3,
}

fn frames(attributes: &Attributes) -> Result<Vec<Frame>, Error> {
    let shared = sequence(attributes, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?;
    let items = attributes.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let [rows, columns] = size(attributes)?;
    let frame = |item: Attributes| {
        let group = |tag| sequence(&item, tag).or_else(|_| sequence(&shared, tag));
        let segment = group(tags::SEGMENT_IDENTIFICATION_SEQUENCE)?;
        let position = group(tags::PLANE_POSITION_SEQUENCE)?;
        let orientation = group(tags::PLANE_ORIENTATION_SEQUENCE)?;
        let [rx, ry, rz, cx, cy, cz] = orientation.vector(tags::IMAGE_ORIENTATION_PATIENT)?;
        let measures = group(tags::PIXEL_MEASURES_SEQUENCE)?;
        let [row_mm, column_mm] = measures.vector(tags::PIXEL_SPACING)?;
        Ok(Frame {
            segment: segment.count(tags::REFERENCED_SEGMENT_NUMBER)?,
            rows,
            columns,
            first_lps_mm: DVec3::from_array(position.vector(tags::IMAGE_POSITION_PATIENT)?),
            to_next_row_mm: DVec3::new(cx, cy, cz) * row_mm,
            to_next_column_mm: DVec3::new(rx, ry, rz) * column_mm,
        })
    };
    items.into_iter().map(frame).collect()
}

impl Frame {
    /// Adds the positions of the pixels of frame `index` (PS3.3 C.7.6.2.1.1); they are packed lowest bit first, without
    /// a gap between frames (PS3.5 8.1.1).
    fn append(&self, index: usize, packed: &[u8], pixels_lps_mm: &mut Vec<DVec3>) {
        let count = self.rows * self.columns;
        let start = index * count;
        let mut pixel = 0;
        while pixel < count {
            let bit = start + pixel;
            if packed[bit / 8] == 0 {
                pixel += 8 - bit % 8;
                continue;
            }
            if packed[bit / 8] >> (bit % 8) & 1 == 1 {
                let (row, column) = (pixel / self.columns, pixel % self.columns);
                pixels_lps_mm.push(
                    self.first_lps_mm
                        + self.to_next_row_mm * row as f64
                        + self.to_next_column_mm * column as f64,
                );
            }
            pixel += 1;
        }
    }
}
