//! Organs and other structures: segments of the SEG that are no findings.

use super::study::{Plane, done, model, report, series, sphere};
use super::{SIZE, dicom, json, names, schema, sequence, string};
use dicom_dictionary_std::{tags, uids};
use hilum::code::{Code, Terms};
use hilum::lesion::Structure;
use hilum::report::encode;

fn liver(series: &hilum::dicom::Series) -> Structure {
    let (lesion, _) = sphere(series, [6, 20, 10], 4.0);
    Structure {
        name: "liver".into(),
        terms: Terms {
            category: Code::new("91723000", "SCT", "Anatomical Structure"),
            property_type: Code::new("10200004", "SCT", "Liver"),
            modifier: None,
        },
        mask: lesion.mask,
    }
}

#[test]
fn an_organ_is_a_segment_without_a_finding() {
    let series = series(1, Plane::Axial, SIZE);
    let mut run = done(&series, Vec::new());
    run.structures.push(liver(&series));
    let files = encode(&report(vec![run])).expect("encoded");
    assert_eq!(names(&files), ["sr.dcm", "seg.dcm", "findings.json"]);
    let seg = dicom(&files, "seg.dcm");
    let segments = sequence(&seg, tags::SEGMENT_SEQUENCE);
    assert_eq!(string(&segments[0], tags::SEGMENT_LABEL), "liver");
    let kind = &sequence(&segments[0], tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)[0];
    assert_eq!(string(kind, tags::CODE_VALUE), "10200004");
    assert!(segments[0].element(tags::TRACKING_UID).is_err());
    let found = json(&files);
    assert!(found["lesions"].as_array().expect("lesions").is_empty());
    assert_eq!(found["structures"][0]["code"]["meaning"], "Liver");
    assert!(schema().is_valid(&found));
}

#[test]
fn a_side_is_a_modifier_of_the_segments_type() {
    let series = series(1, Plane::Axial, SIZE);
    let mut kidney = liver(&series);
    kidney.terms.property_type = Code::new("64033007", "SCT", "Kidney");
    kidney.terms.modifier = Some(Code::new("7771000", "SCT", "Left"));
    let mut run = done(&series, Vec::new());
    run.structures.push(kidney);
    let files = encode(&report(vec![run])).expect("encoded");
    let seg = dicom(&files, "seg.dcm");
    let segment = &sequence(&seg, tags::SEGMENT_SEQUENCE)[0];
    let kind = &sequence(segment, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)[0];
    let modifier = &sequence(kind, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE)[0];
    assert_eq!(string(modifier, tags::CODE_MEANING), "Left");
    let found = json(&files);
    assert_eq!(found["structures"][0]["modifier"]["value"], "7771000");
    assert!(schema().is_valid(&found));
}

#[test]
fn the_sr_of_organs_alone_has_no_finding_and_names_the_seg_as_evidence() {
    let series = series(1, Plane::Axial, SIZE);
    let mut run = done(&series, Vec::new());
    run.structures.push(liver(&series));
    let files = encode(&report(vec![run])).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    let evidence = sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let of_study = sequence(&evidence[0], tags::REFERENCED_SERIES_SEQUENCE);
    let classes: Vec<String> = of_study
        .iter()
        .map(|series| &sequence(series, tags::REFERENCED_SOP_SEQUENCE)[0])
        .map(|reference| string(reference, tags::REFERENCED_SOP_CLASS_UID))
        .collect();
    assert!(
        classes.contains(&uids::SEGMENTATION_STORAGE.to_owned()),
        "{classes:?}"
    );
}

#[test]
fn lesions_and_organs_of_two_models_share_a_seg_and_their_numbers_follow_each_other() {
    let series = series(1, Plane::Axial, SIZE);
    let lesions = done(&series, vec![sphere(&series, [3, 8, 20], 2.0)]);
    let mut organs = done(&series, Vec::new());
    organs.model = hilum::provenance::ModelIdentity {
        name: "organs".into(),
        ..model()
    };
    organs.structures.push(liver(&series));
    let files = encode(&report(vec![lesions, organs])).expect("encoded");
    let seg = dicom(&files, "seg.dcm");
    let numbers: Vec<String> = sequence(&seg, tags::SEGMENT_SEQUENCE)
        .iter()
        .map(|segment| string(segment, tags::SEGMENT_NUMBER))
        .collect();
    assert_eq!(numbers, ["1", "2"]);
    let found = json(&files);
    assert_eq!(found["lesions"][0]["segment_number"], 1);
    assert_eq!(found["structures"][0]["segment_number"], 2);
}

#[test]
fn the_series_of_a_further_channel_is_evidence_too() {
    let [ct, pet] = [1, 2].map(|number| series(number, Plane::Axial, SIZE));
    let mut run = done(&ct, vec![sphere(&ct, [3, 8, 20], 2.0)]);
    run.companions.push(&pet);
    let files = encode(&report(vec![run])).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    let evidence = sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let of_study = sequence(&evidence[0], tags::REFERENCED_SERIES_SEQUENCE);
    let uids = of_study
        .iter()
        .map(|series| string(series, tags::SERIES_INSTANCE_UID));
    assert!(uids.collect::<Vec<_>>().contains(&pet.uid().to_owned()));
}
