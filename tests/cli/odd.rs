//! What is odd about a series stands in `findings.json` and in the SR.

use super::{files, findings, names, process, study};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use hilum::phantom::{Defect, LesionSpec, Lesions, Params, Phantom, WriteOptions, write_series};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Runs the series and expects one warning of its geometry, which the SR repeats; gives the findings.
fn assert_said(series: &Path, code: &str) -> Value {
    let out = tempdir().expect("folder");
    process(&[series], out.path()).assert().code(0);
    let uid = names(out.path()).remove(0);
    let findings = findings(out.path(), &uid);
    let warnings = findings["warnings"].as_array().expect("warnings");
    let of_code = warnings.iter().find(|w| w["code"] == code);
    let text = of_code.expect(code)["text"].as_str().expect("text");
    let sr = fs::read(out.path().join(uid).join("sr.dcm")).expect("SR");
    let said = format!("Warning: {text}");
    let mut windows = sr.windows(said.len());
    assert!(
        windows.any(|w| w == said.as_bytes()),
        "not in the SR: {said}"
    );
    findings
}

#[test]
fn uneven_slices_are_said_in_the_findings_and_in_the_sr() {
    let params = Params {
        size: [44, 48, 48],
        spacing_mm: [1.0; 3],
        lesions: Lesions::List(vec![LesionSpec::solid_sphere(14.0)]),
        ..Params::tiny()
    };
    let phantom = Phantom::new(&params).expect("phantom");
    let folder = tempdir().expect("folder");
    let options = WriteOptions {
        defect: Some(Defect::Uneven),
        ..WriteOptions::default()
    };
    let written = write_series(&phantom, folder.path(), options).expect("written");
    assert_said(&written.series, "uneven-spacing");
}

#[test]
fn an_enhanced_object_is_run_and_its_missing_frame_is_said() {
    let folder = tempdir().expect("folder");
    let mut slices = slices(study());
    slices.remove(20);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = enhanced(&slices).with_meta(meta).expect("an object");
    let path = folder.path().join("all.dcm");
    file.write_to_file(path).expect("written");
    let findings = assert_said(folder.path(), "missing-slices");
    let lesion = &findings["lesions"][0];
    assert!(lesion["frame_number"].is_u64(), "{lesion}");
}

#[test]
fn slices_without_an_image_are_said_in_the_findings_and_in_the_sr() {
    let folder = tempdir().expect("folder");
    let mut enhanced = enhanced(&slices(study()));
    let pixels = enhanced.element(tags::PIXEL_DATA).expect("pixels");
    let mut samples: Vec<u16> = pixels.to_multi_int().expect("samples");
    let slice = samples.len() / slices(study()).len();
    samples[..2 * slice].fill(0);
    let blank = PrimitiveValue::U16(samples.into());
    enhanced.put(DataElement::new(tags::PIXEL_DATA, VR::OW, blank));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = enhanced.with_meta(meta).expect("an object");
    let path = folder.path().join("all.dcm");
    file.write_to_file(path).expect("written");
    assert_said(folder.path(), "blank-slices");
}

/// Slices from foot to head.
fn slices(series: &Path) -> Vec<InMemDicomObject> {
    let read = |path: &std::path::PathBuf| dicom_object::open_file(path).expect("DICOM");
    let mut slices: Vec<InMemDicomObject> =
        files(series).iter().map(|p| (*read(p)).clone()).collect();
    let height_mm = |slice: &InMemDicomObject| {
        let position = slice
            .element(tags::IMAGE_POSITION_PATIENT)
            .expect("position");
        position.to_multi_float64().expect("numbers")[2]
    };
    slices.sort_by(|a, b| height_mm(a).total_cmp(&height_mm(b)));
    slices
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// A functional group of the attributes of a slice.
fn group(of: &InMemDicomObject, tag: Tag, inner: &[Tag]) -> DataElement<InMemDicomObject> {
    let elements = inner
        .iter()
        .map(|t| of.element(*t).expect("attribute").clone());
    sequence(tag, vec![InMemDicomObject::from_element_iter(elements)])
}

/// Enhanced CT with a frame a slice.
fn enhanced(slices: &[InMemDicomObject]) -> InMemDicomObject {
    let mut object = slices[0].clone();
    let shared = [
        group(
            &object,
            tags::PLANE_ORIENTATION_SEQUENCE,
            &[tags::IMAGE_ORIENTATION_PATIENT],
        ),
        group(
            &object,
            tags::PIXEL_MEASURES_SEQUENCE,
            &[tags::PIXEL_SPACING, tags::SLICE_THICKNESS],
        ),
        group(
            &object,
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            &[tags::RESCALE_INTERCEPT, tags::RESCALE_SLOPE],
        ),
    ];
    let position = [tags::IMAGE_POSITION_PATIENT];
    let frame = |slice: &InMemDicomObject| {
        let position = group(slice, tags::PLANE_POSITION_SEQUENCE, &position);
        InMemDicomObject::from_element_iter([position])
    };
    let samples = |slice: &InMemDicomObject| {
        let pixels = slice.element(tags::PIXEL_DATA).expect("pixels");
        pixels.to_multi_int::<u16>().expect("samples")
    };
    for tag in [
        tags::IMAGE_POSITION_PATIENT,
        tags::IMAGE_ORIENTATION_PATIENT,
        tags::PIXEL_SPACING,
        tags::RESCALE_INTERCEPT,
        tags::RESCALE_SLOPE,
    ] {
        object.remove_element(tag);
    }
    let samples: Vec<u16> = slices.iter().flat_map(samples).collect();
    let texts = [
        (
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::ENHANCED_CT_IMAGE_STORAGE.to_owned(),
        ),
        (
            tags::IMAGE_TYPE,
            VR::CS,
            "ORIGINAL\\PRIMARY\\VOLUME\\NONE".to_owned(),
        ),
        (tags::NUMBER_OF_FRAMES, VR::IS, slices.len().to_string()),
    ];
    for (tag, vr, value) in texts {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    let shared = vec![InMemDicomObject::from_element_iter(shared)];
    object.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, shared));
    let frames = slices.iter().map(frame).collect();
    object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames));
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(samples.into()),
    ));
    object
}
