//! The binary Segmentation of one source grid (PS3.3 A.51): one segment a lesion or structure, a frame for
//! each slice it touches.
//!
//! Frames lie exactly on their source slices: position, orientation and spacing are the source's own, so gantry tilt
//! and oblique planes need no thought.

use super::codes::{self, Term};
use super::element::{
    ascii, code, code_item, decimals, element, empty, image_reference, item, items,
    object_references,
};
use super::finding::{self, Finding, Findings, Segment};
use super::header::{self, Identity, PRODUCT};
use super::{Error, StudyReport};
use crate::dicom::{Instance, Series};
use crate::lesion::Terms;
use dicom_core::dicom_value;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// Series Number (0020,0011) of the first SEG.
const FIRST_SERIES_NUMBER: usize = 9101;
const SERIES_DESCRIPTION: &str = "Hilum AI segments, assistive, for review by a physician";
/// Readers hold the whole of it in memory.
const MAX_PIXEL_BYTES: u64 = 1 << 30;

/// SOP Instance UID of the SEG of a grid.
pub(super) fn sop_instance_uid(report: &StudyReport, grid: usize) -> String {
    report.uid_source.uid(&format!("seg/{}", grid + 1))
}

/// Series Instance UID of the SEG of a grid; grids may differ in frame of reference, so each has its own series.
pub(super) fn series_instance_uid(report: &StudyReport, grid: usize) -> String {
    report.uid_source.uid(&format!("seg-series/{}", grid + 1))
}

/// The slice of one segment.
struct Frame<'a> {
    segment: &'a Segment<'a>,
    slice: usize,
}

/// The SEG of one of `findings.grids`.
pub(super) fn segmentation(
    report: &StudyReport,
    findings: &Findings,
    grid: usize,
) -> Result<InMemDicomObject, Error> {
    let series = findings.grids[grid];
    let segments = findings.segments(grid);
    let frames: Vec<Frame> = segments
        .iter()
        .flat_map(|segment| {
            let slices = finding::slices(segment.mask).into_iter();
            slices.map(move |slice| Frame { segment, slice })
        })
        .collect();
    let identity = Identity {
        sop_class_uid: uids::SEGMENTATION_STORAGE,
        sop_instance_uid: sop_instance_uid(report, grid),
        series_instance_uid: series_instance_uid(report, grid),
        modality: "SEG",
        series_number: FIRST_SERIES_NUMBER + grid,
        series_description: SERIES_DESCRIPTION,
    };
    let items_of_segments = segments.iter().map(|s| segment(report, s)).collect();
    let mut object = header::object(report, identity)?;
    object.extend(image_description(series, &frames)?);
    object.extend(frame_of_reference(report, series));
    object.extend(dimensions(report, grid));
    object.extend([
        items(tags::SEGMENT_SEQUENCE, items_of_segments),
        items(tags::REFERENCED_SERIES_SEQUENCE, vec![referenced(series)]),
        items(
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![shared_groups(series)],
        ),
        items(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            frame_groups(&frames),
        ),
    ]);
    Ok(object)
}

/// Image Pixel and Segmentation Image modules (PS3.3 C.7.6.3, C.8.20.2).
fn image_description(series: &Series, frames: &[Frame]) -> Result<Vec<InMemElement>, Error> {
    let [_, rows, columns] = series.geometry.size;
    let pixels = pack(series, frames)?;
    let size = |n: usize| n.to_string();
    Ok(vec![
        element(tags::IMAGE_TYPE, dicom_value!(Strs, ["DERIVED", "PRIMARY"])),
        element(tags::CONTENT_LABEL, "HILUM_LESIONS"),
        element(tags::CONTENT_DESCRIPTION, "Lesion candidates found by AI"),
        empty(tags::CONTENT_CREATOR_NAME),
        element(tags::LOSSY_IMAGE_COMPRESSION, "00"),
        element(tags::SEGMENTATION_TYPE, "BINARY"),
        element(tags::SAMPLES_PER_PIXEL, 1_u16),
        element(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2"),
        element(tags::PIXEL_REPRESENTATION, 0_u16),
        element(tags::BITS_ALLOCATED, 1_u16),
        element(tags::BITS_STORED, 1_u16),
        element(tags::HIGH_BIT, 0_u16),
        element(tags::NUMBER_OF_FRAMES, size(frames.len())),
        element(tags::ROWS, rows_or_columns(rows, series)?),
        element(tags::COLUMNS, rows_or_columns(columns, series)?),
        dicom_core::DataElement::new(
            tags::PIXEL_DATA,
            dicom_core::VR::OB,
            PrimitiveValue::from(pixels),
        ),
    ])
}

fn rows_or_columns(count: usize, series: &Series) -> Result<u16, Error> {
    u16::try_from(count).map_err(|_| too_large(series, u64::MAX))
}

fn too_large(series: &Series, bytes: u64) -> Error {
    let first = series.instances.first();
    Error::SegTooLarge {
        bytes,
        limit: MAX_PIXEL_BYTES,
        series_instance_uid: first.map_or_else(String::new, |i| i.series_instance_uid.clone()),
    }
}

/// One bit a pixel, lowest bit first, without a gap between frames (PS3.5 8.1.1 and annex D).
fn pack(series: &Series, frames: &[Frame]) -> Result<Vec<u8>, Error> {
    let [_, rows, columns] = series.geometry.size;
    let bits = (frames.len() as u64).saturating_mul((rows * columns) as u64);
    let bytes = bits.div_ceil(8).next_multiple_of(2);
    if bytes > MAX_PIXEL_BYTES {
        return Err(too_large(series, bytes));
    }
    let mut packed = vec![0_u8; usize::try_from(bytes).unwrap_or(usize::MAX)];
    for (index, frame) in frames.iter().enumerate() {
        let mask = frame.segment.mask;
        let [z0, y0, x0] = mask.origin;
        let [_, ny, nx] = mask.size;
        let plane = (frame.slice - z0) * ny * nx..;
        for (i, _) in mask.inside[plane][..ny * nx]
            .iter()
            .enumerate()
            .filter(|(_, inside)| **inside)
        {
            let bit = (index * rows + y0 + i / nx) * columns + x0 + i % nx;
            packed[bit / 8] |= 1 << (bit % 8);
        }
    }
    Ok(packed)
}

/// PS3.3 C.7.4.1.
fn frame_of_reference(report: &StudyReport, series: &Series) -> Vec<InMemElement> {
    let first = series.instances.first();
    let Some(uid) = first.and_then(|i| i.frame_of_reference_uid.as_deref()) else {
        return Vec::new();
    };
    let indicator = report.source_header.get(tags::POSITION_REFERENCE_INDICATOR);
    let indicator = indicator
        .and_then(|found| found.to_str().ok())
        .unwrap_or_default();
    vec![
        element(tags::FRAME_OF_REFERENCE_UID, uid),
        element(tags::POSITION_REFERENCE_INDICATOR, ascii(&indicator, 64)),
    ]
}

/// Frames are indexed by segment, then by position (PS3.3 C.7.6.17).
fn dimensions(report: &StudyReport, grid: usize) -> [InMemElement; 2] {
    let organization = report.uid_source.uid(&format!("dimensions/{}", grid + 1));
    let index = |pointer, group, label: &str| {
        item([
            element(tags::DIMENSION_ORGANIZATION_UID, organization.as_str()),
            element(tags::DIMENSION_INDEX_POINTER, pointer),
            element(tags::FUNCTIONAL_GROUP_POINTER, group),
            element(tags::DIMENSION_DESCRIPTION_LABEL, label),
        ])
    };
    let uid = element(tags::DIMENSION_ORGANIZATION_UID, organization.as_str());
    [
        items(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![item([uid])]),
        items(
            tags::DIMENSION_INDEX_SEQUENCE,
            vec![
                index(
                    tags::REFERENCED_SEGMENT_NUMBER,
                    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                    "Segment",
                ),
                index(
                    tags::IMAGE_POSITION_PATIENT,
                    tags::PLANE_POSITION_SEQUENCE,
                    "Position",
                ),
            ],
        ),
    ]
}

/// An item of the Segment Sequence (PS3.3 C.8.20.4).
fn segment(report: &StudyReport, segment: &Segment) -> InMemDicomObject {
    let Segment { terms, run, .. } = segment;
    let name = header::algorithm_name(&run.model);
    let algorithm = item([
        header::family(&run.model),
        element(tags::ALGORITHM_NAME, name.as_str()),
        element(
            tags::ALGORITHM_VERSION,
            header::algorithm_version(&run.model, &report.provenance),
        ),
        element(
            tags::ALGORITHM_PARAMETERS,
            ascii(
                &header::algorithm_parameters(&run.model, &report.provenance).join("; "),
                10_240,
            ),
        ),
        element(tags::ALGORITHM_SOURCE, PRODUCT),
    ]);
    let mut item = item([
        element(tags::SEGMENT_NUMBER, segment.number),
        element(tags::SEGMENT_LABEL, ascii(&segment.label, 64)),
        element(tags::SEGMENT_DESCRIPTION, header::disclaimer(&run.model)),
        element(tags::SEGMENT_ALGORITHM_TYPE, "AUTOMATIC"),
        element(tags::SEGMENT_ALGORITHM_NAME, name),
        items(
            tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE,
            vec![algorithm],
        ),
        code(
            tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
            Term::from(&terms.category),
        ),
        property_type(terms),
    ]);
    if let Some(finding) = segment.finding {
        item.extend([
            anatomic_region(finding),
            element(tags::TRACKING_ID, finding.tracking_id()),
            element(tags::TRACKING_UID, finding.tracking_uid.as_str()),
        ]);
    }
    item
}

fn property_type(terms: &Terms) -> InMemElement {
    let mut item = code_item(Term::from(&terms.property_type));
    if let Some(modifier) = &terms.modifier {
        item.put(code(
            tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE,
            Term::from(modifier),
        ));
    }
    items(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![item])
}

fn anatomic_region(finding: &Finding) -> InMemElement {
    let mut region = code_item(finding.site());
    if let Some(laterality) = finding.measurement.laterality {
        let side = codes::side(laterality);
        region.put(code(tags::ANATOMIC_REGION_MODIFIER_SEQUENCE, side));
    }
    items(tags::ANATOMIC_REGION_SEQUENCE, vec![region])
}

/// Common Instance Reference: the whole source series, so that readers know the gap between slices (PS3.3 C.12.2).
fn referenced(series: &Series) -> InMemDicomObject {
    let instances = &series.instances;
    let references = object_references(instances);
    let uid = instances.first().map_or("", |i| &i.series_instance_uid);
    item([
        element(tags::SERIES_INSTANCE_UID, uid),
        items(tags::REFERENCED_INSTANCE_SEQUENCE, references),
    ])
}

/// What all frames share: orientation and pixel measures (PS3.3 C.7.6.16.2).
fn shared_groups(series: &Series) -> InMemDicomObject {
    let Some(first) = series.instances.first() else {
        return item([]);
    };
    let [row, column] = first.orientation;
    let orientation = [row.to_array(), column.to_array()].concat();
    let gap_mm = slice_gap_mm(&series.instances);
    let thickness_mm = first.slice_thickness_mm.or(gap_mm);
    let measures = [element_of(tags::SLICE_THICKNESS, thickness_mm)]
        .into_iter()
        .chain([element_of(
            tags::SPACING_BETWEEN_SLICES,
            gap_mm.or(thickness_mm),
        )])
        .flatten()
        .chain([decimals(tags::PIXEL_SPACING, &first.pixel_spacing_mm)]);
    item([
        items(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![item([decimals(
                tags::IMAGE_ORIENTATION_PATIENT,
                &orientation,
            )])],
        ),
        items(tags::PIXEL_MEASURES_SEQUENCE, vec![item(measures)]),
    ])
}

fn element_of(tag: dicom_core::Tag, value_mm: Option<f64>) -> Option<InMemElement> {
    value_mm.map(|value| decimals(tag, &[value]))
}

/// Median distance between neighbouring slices along their normal, mm; none for a single slice.
fn slice_gap_mm(instances: &[Instance]) -> Option<f64> {
    let [row, column] = instances.first()?.orientation;
    let normal = row.cross(column).normalize();
    let mut along: Vec<f64> = instances
        .iter()
        .map(|i| i.position_lps_mm.dot(normal))
        .collect();
    along.sort_by(f64::total_cmp);
    let mut gaps: Vec<f64> = along.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    let middle = gaps.len() / 2;
    match gaps.len() {
        0 => None,
        n if n % 2 == 1 => Some(gaps[middle]),
        _ => Some(f64::midpoint(gaps[middle - 1], gaps[middle])),
    }
}

fn frame_groups(frames: &[Frame]) -> Vec<InMemDicomObject> {
    let mut positions: Vec<usize> = frames.iter().map(|f| f.slice).collect();
    positions.sort_unstable();
    positions.dedup();
    frames
        .iter()
        .map(|frame| {
            let position = positions.partition_point(|slice| *slice < frame.slice) + 1;
            frame_group(frame, u32::try_from(position).unwrap_or(u32::MAX))
        })
        .collect()
}

/// What differs from frame to frame; `position` is the 1-based rank of its slice.
fn frame_group(frame: &Frame, position: u32) -> InMemDicomObject {
    let segment_number = frame.segment.number;
    let instance = &frame.segment.run.series.instances[frame.slice];
    let index = dicom_value!(U32, [u32::from(segment_number), position]);
    let mut source = image_reference(instance);
    source.put(code(
        tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
        codes::SOURCE_IMAGE_FOR_PROCESSING,
    ));
    source.put(element(tags::SPATIAL_LOCATIONS_PRESERVED, "YES"));
    let derivation = item([
        code(tags::DERIVATION_CODE_SEQUENCE, codes::SEGMENTATION),
        items(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
    ]);
    let one = |tag, inner| items(tag, vec![item([inner])]);
    item([
        one(
            tags::FRAME_CONTENT_SEQUENCE,
            element(tags::DIMENSION_INDEX_VALUES, index),
        ),
        one(
            tags::PLANE_POSITION_SEQUENCE,
            decimals(
                tags::IMAGE_POSITION_PATIENT,
                &instance.position_lps_mm.to_array(),
            ),
        ),
        one(
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            element(tags::REFERENCED_SEGMENT_NUMBER, segment_number),
        ),
        items(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]),
    ])
}
