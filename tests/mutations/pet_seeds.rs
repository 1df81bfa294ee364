//! Seeds of PET: two small slices with all that SUV reads, and a square drawn on each.

use super::bodies::join;
use super::corpus::{read, root};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject, from_reader};

const PET: [(Tag, VR, &str); 14] = [
    (tags::MODALITY, VR::CS, "PT"),
    (tags::DECAY_CORRECTION, VR::CS, "START"),
    (tags::CORRECTED_IMAGE, VR::CS, "ATTN\\DECY"),
    (tags::RESCALE_INTERCEPT, VR::DS, "0"),
    (tags::SERIES_DATE, VR::DA, "20250101"),
    (tags::SERIES_TIME, VR::TM, "110000"),
    (tags::ACQUISITION_DATE, VR::DA, "20250101"),
    (tags::ACQUISITION_TIME, VR::TM, "110500.5"),
    (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0100"),
    (tags::FRAME_REFERENCE_TIME, VR::DS, "300000"),
    (tags::ACTUAL_FRAME_DURATION, VR::IS, "120000"),
    (tags::PATIENT_WEIGHT, VR::DS, "70"),
    (tags::PATIENT_SIZE, VR::DS, "1.75"),
    (tags::PATIENT_SEX, VR::CS, "O"),
];

const TRACER: [(Tag, VR, &str); 4] = [
    (tags::RADIONUCLIDE_TOTAL_DOSE, VR::DS, "350000000"),
    (tags::RADIONUCLIDE_HALF_LIFE, VR::DS, "6586.2"),
    (tags::RADIOPHARMACEUTICAL_START_TIME, VR::TM, "100000"),
    (
        tags::RADIOPHARMACEUTICAL_START_DATE_TIME,
        VR::DT,
        "20250101100000+0100",
    ),
];

/// Each an input as `pet::suv` takes it: activity by Series Time or by GE's element, counts of Philips, SUV.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let kinds: [&[(Tag, VR, &str)]; 4] = [
        &[(tags::UNITS, VR::CS, "BQML")],
        &[
            (tags::UNITS, VR::CS, "BQML"),
            (tags::MANUFACTURER, VR::LO, "GE"),
            (Tag(0x0009, 0x0010), VR::LO, "GEMS_PETD_01"),
            (Tag(0x0009, 0x100d), VR::DT, "20250101110000.00"),
        ],
        &[
            (tags::UNITS, VR::CS, "CNTS"),
            (tags::MANUFACTURER, VR::LO, "Philips"),
            (Tag(0x7053, 0x1000), VR::DS, "0"),
            (Tag(0x7053, 0x1009), VR::DS, "0.5"),
        ],
        &[
            (tags::UNITS, VR::CS, "GML"),
            (tags::SUV_TYPE, VR::CS, "LBMJAMES128"),
        ],
    ];
    let input = |kind: &[(Tag, VR, &str)]| {
        let [first, second] = ["explicit-0.dcm", "explicit-1.dcm"].map(|name| slice(name, kind));
        let height = |slice: &DefaultDicomObject| {
            let position = slice
                .element(tags::IMAGE_POSITION_PATIENT)
                .expect("a position");
            position.to_multi_float64().expect("three numbers")
        };
        let square = |slice| square(&height(slice));
        let region = structure_set(vec![square(&first), square(&second)]);
        join(&[region, bytes(&first), bytes(&second)])
    };
    kinds.into_iter().map(input).collect()
}

fn slice(name: &str, kind: &[(Tag, VR, &str)]) -> DefaultDicomObject {
    let file = read(&root().join("testdata/fuzz").join(name));
    let mut object = from_reader(&file[..]).expect("a CT slice");
    let class = uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;
    object.put(text(&(tags::SOP_CLASS_UID, VR::UI, class)));
    PET.iter().chain(kind).for_each(|element| {
        object.put(text(element));
    });
    object.remove_element(tags::RESCALE_TYPE);
    let tracer = InMemDicomObject::from_element_iter(TRACER.iter().map(text));
    object.put(sequence(
        tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
        vec![tracer],
    ));
    object
}

/// A contour of four voxels to the right of and below the first one of a slice.
fn square(first_lps_mm: &[f64]) -> InMemDicomObject {
    let &[x, y, z] = first_lps_mm else {
        panic!("three numbers")
    };
    let corners = [[0.1, 0.1], [3.1, 0.1], [3.1, 3.1], [0.1, 3.1]];
    let points = corners.map(|[dx, dy]| format!("{}\\{}\\{z}", x + dx, y + dy));
    let data = points.join("\\");
    InMemDicomObject::from_element_iter([
        text(&(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR")),
        text(&(tags::CONTOUR_DATA, VR::DS, &data)),
    ])
}

fn structure_set(contours: Vec<InMemDicomObject>) -> Vec<u8> {
    let roi = InMemDicomObject::from_element_iter([
        text(&(tags::ROI_NUMBER, VR::IS, "1")),
        text(&(tags::ROI_NAME, VR::LO, "square")),
    ]);
    let drawn = InMemDicomObject::from_element_iter([
        text(&(tags::REFERENCED_ROI_NUMBER, VR::IS, "1")),
        sequence(tags::CONTOUR_SEQUENCE, contours),
    ]);
    let object = InMemDicomObject::from_element_iter([
        text(&(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE)),
        text(&(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3")),
        sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, vec![roi]),
        sequence(tags::ROI_CONTOUR_SEQUENCE, vec![drawn]),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    bytes(&object.with_meta(meta).expect("an object"))
}

fn text((tag, vr, value): &(Tag, VR, &str)) -> DataElement<InMemDicomObject> {
    DataElement::new(*tag, *vr, *value)
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// The object as a file.
fn bytes(object: &DefaultDicomObject) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).expect("memory takes all");
    if bytes.get(..4) == Some(b"DICM") {
        bytes.splice(..0, [0; 128]);
    }
    bytes
}
