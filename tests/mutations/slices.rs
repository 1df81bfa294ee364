//! CT slices from arbitrary bytes: every byte chooses among values that are right, odd or absurd.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use hilum::dicom::{Error, Instance};
use std::path::Path;

/// The bytes, then zeros.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    /// One of `values`; the first is the usual one.
    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        let byte = usize::from(self.byte());
        values[byte.saturating_sub(191) % values.len()]
    }
}

const ORIENTATIONS: [&str; 8] = [
    "1\\0\\0\\0\\1\\0",
    "1\\0\\0\\0\\0\\-1",
    "0\\1\\0\\0\\0\\-1",
    "-1\\0\\0\\0\\-1\\0",
    "0.8\\0.6\\0\\-0.6\\0.8\\0",
    "0.999\\0.001\\-0.001\\0\\0.999\\0.001",
    "1\\0\\0\\1\\0\\0",
    "1\\0\\0\\0\\1",
];
const SPACINGS: [&str; 7] = [
    "1\\1",
    "0.7\\0.7",
    "0.5\\2",
    "1e-3\\100",
    "0\\0",
    "-1\\1",
    "nan\\1",
];
const SIDES: [u16; 6] = [8, 1, 64, 65_535, 0, 7];
const STEPS_MM: [f64; 8] = [2.0, 0.5, 5.0, 1e-4, 0.0, -2.0, 1e5, 99.0];
const JITTER_MM: [f64; 8] = [0.0, 0.01, -0.04, 0.06, 1.0, 2.0, 4.0, -1e4];
const SLOPES: [&str; 6] = ["1", "0.5", "-1", "0", "1e6", "1e-40"];
const PADDINGS: [&str; 5] = ["0", "65535", "-2000", "40000", "1e9"];
const TYPES: [&str; 4] = [
    "ORIGINAL\\PRIMARY\\AXIAL",
    "DERIVED\\PRIMARY",
    "DERIVED\\SECONDARY",
    "ORIGINAL\\PRIMARY\\LOCALIZER",
];
const MODALITIES: [&str; 4] = ["CT", "MR", "SEG", "PT"];
const PARTS: [&str; 4] = ["CHEST", "HEAD", "", "\u{e9}\u{e9}"];

/// Instances as the choices say, each read as from a file.
pub(crate) fn from_bytes(data: &[u8]) -> Vec<Result<Instance, Error>> {
    let mut choose = Choices(data.iter());
    let count = 2 + choose.byte() % 14;
    let base = base(&mut choose);
    let step_mm = choose.of(&STEPS_MM);
    let lean_mm = choose.of(&[0.0, 0.3, 1.0, 50.0]);
    (0..count)
        .map(|z| {
            let mut object = base.clone();
            vary(&mut object, z, [lean_mm, step_mm], &mut choose);
            Instance::from_object(
                Path::new("slice.dcm"),
                uids::EXPLICIT_VR_LITTLE_ENDIAN,
                &object,
            )
        })
        .collect()
}

fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn number(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn base(choose: &mut Choices<'_>) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    let o = &mut object;
    text(o, tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
    text(o, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3");
    text(o, tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4");
    text(o, tags::IMAGE_TYPE, VR::CS, choose.of(&TYPES));
    text(o, tags::MODALITY, VR::CS, choose.of(&MODALITIES));
    text(o, tags::BODY_PART_EXAMINED, VR::CS, choose.of(&PARTS));
    text(
        o,
        tags::IMAGE_ORIENTATION_PATIENT,
        VR::DS,
        choose.of(&ORIENTATIONS),
    );
    text(o, tags::PIXEL_SPACING, VR::DS, choose.of(&SPACINGS));
    text(o, tags::RESCALE_SLOPE, VR::DS, choose.of(&SLOPES));
    text(o, tags::RESCALE_INTERCEPT, VR::DS, "-1024");
    text(o, tags::PIXEL_PADDING_VALUE, VR::DS, choose.of(&PADDINGS));
    text(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    number(o, tags::SAMPLES_PER_PIXEL, choose.of(&[1, 3]));
    number(o, tags::ROWS, choose.of(&SIDES));
    number(o, tags::COLUMNS, choose.of(&SIDES));
    number(o, tags::BITS_ALLOCATED, choose.of(&[16, 8, 32]));
    let bits_stored = choose.of(&[12, 16, 8, 17, 0]);
    number(o, tags::BITS_STORED, bits_stored);
    number(o, tags::HIGH_BIT, bits_stored.wrapping_sub(1));
    number(o, tags::PIXEL_REPRESENTATION, choose.of(&[0, 1, 2]));
    object
}

/// What differs from slice to slice: the position, and at times what should not.
fn vary(
    object: &mut InMemDicomObject,
    z: u8,
    [lean_mm, step_mm]: [f64; 2],
    choose: &mut Choices<'_>,
) {
    let uid = format!("1.2.3.4.{}", choose.of(&[z, 0]));
    text(object, tags::SOP_INSTANCE_UID, VR::UI, &uid);
    let height = f64::from(z);
    let [x, y] = [choose.of(&JITTER_MM), choose.of(&JITTER_MM)];
    let place = [
        x,
        y + lean_mm * height,
        step_mm * height + choose.of(&JITTER_MM),
    ];
    let position = place.map(|mm| mm.to_string()).join("\\");
    text(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &position);
    match choose.byte() {
        250.. => text(
            object,
            tags::IMAGE_ORIENTATION_PATIENT,
            VR::DS,
            choose.of(&ORIENTATIONS),
        ),
        245.. => text(object, tags::PIXEL_SPACING, VR::DS, choose.of(&SPACINGS)),
        240.. => number(object, tags::ROWS, choose.of(&SIDES)),
        235.. => {
            object.remove_element(tags::IMAGE_POSITION_PATIENT);
        }
        _ => {}
    }
}
