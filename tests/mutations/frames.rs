//! A seed of many frames: enhanced CT with shared and per-frame functional groups, whose frames the other seeds lack.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

const FRAMES: u16 = 4;
const ROWS: u16 = 4;
const COLUMNS: u16 = 6;

type Element = DataElement<InMemDicomObject>;

fn text(tag: Tag, vr: VR, value: &str) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

fn number(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

fn sequence(tag: Tag, items: impl IntoIterator<Item = Vec<Element>>) -> Element {
    let items: Vec<_> = items
        .into_iter()
        .map(InMemDicomObject::from_element_iter)
        .collect();
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn ds(tag: Tag, value: &str) -> Element {
    text(tag, VR::DS, value)
}

/// The bytes of the file, explicit little endian.
pub(crate) fn seed() -> Vec<u8> {
    let shared = vec![
        sequence(
            tags::PLANE_ORIENTATION_SEQUENCE,
            [vec![ds(
                tags::IMAGE_ORIENTATION_PATIENT,
                "1\\0\\0\\0\\1\\0",
            )]],
        ),
        sequence(
            tags::PIXEL_MEASURES_SEQUENCE,
            [vec![ds(tags::PIXEL_SPACING, "0.5\\0.75")]],
        ),
        sequence(
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            [vec![
                ds(tags::RESCALE_INTERCEPT, "-1024"),
                ds(tags::RESCALE_SLOPE, "1"),
            ]],
        ),
    ];
    let frame = |z: u16| {
        let position = ds(tags::IMAGE_POSITION_PATIENT, &format!("0\\0\\{}", 2 * z));
        vec![
            sequence(tags::PLANE_POSITION_SEQUENCE, [vec![position]]),
            sequence(
                tags::FRAME_CONTENT_SEQUENCE,
                [vec![text(tags::STACK_ID, VR::SH, "1")]],
            ),
        ]
    };
    let samples: Vec<u16> = (0..FRAMES * ROWS * COLUMNS).collect();
    let object = InMemDicomObject::from_element_iter([
        text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
        text(tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4.1"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::MANUFACTURER, VR::LO, "maker"),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &FRAMES.to_string()),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, ROWS),
        number(tags::COLUMNS, COLUMNS),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::BITS_STORED, 16),
        number(tags::HIGH_BIT, 15),
        number(tags::PIXEL_REPRESENTATION, 0),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [shared]),
        sequence(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            (0..FRAMES).map(frame),
        ),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(samples.into()),
        ),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = object.with_meta(meta).expect("meta is complete");
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).expect("memory takes all");
    bytes
}
