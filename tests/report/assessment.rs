//! What a classifier says of a lesion, as SR, as JSON, and where it cannot be true.

use super::study::{Plane, done, report, series, sphere};
use super::{SIZE, dicom, json, schema, sequence, string};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use hilum::code::NoduleType;
use hilum::dicom::Series;
use hilum::lesion::{Assessment, Band, Lesion, ReviewReason, TypeEstimate};
use hilum::measure::Measurement;
use hilum::report::{StudyReport, encode};
use std::fmt::Write;

/// A lesion of [`sphere`] that a classifier assessed.
pub(crate) fn assessed(
    series: &Series,
    centre: [usize; 3],
    confidence: f32,
    review: &[ReviewReason],
) -> (Lesion, Measurement) {
    let (mut lesion, measurement) = sphere(series, centre, 3.0);
    lesion.confidence = confidence;
    lesion.assessment = Some(Assessment {
        confidence,
        band: match confidence {
            c if c >= 0.8 => Band::High,
            c if c >= 0.5 => Band::Intermediate,
            _ => Band::Low,
        },
        review: review.into(),
        nodule_type: Some(TypeEstimate {
            kind: NoduleType::PartSolid,
            probability: 0.625,
        }),
        logit: 1.25,
        spread: 0.5,
        novelty: 12.0,
    });
    (lesion, measurement)
}

/// Lesions of every band, type and reason for review.
pub(crate) fn every_assessment(series: &Series) -> StudyReport<'_> {
    use ReviewReason::{FoldsDisagree, ModelsDisagree, Undecided, Unfamiliar};
    let [sure, mut unsure, mut low, plain] = [
        assessed(series, [5, 16, 12], 0.9, &[]),
        assessed(series, [6, 20, 20], 0.5, &[Undecided, FoldsDisagree]),
        assessed(series, [3, 8, 8], 0.2, &[Unfamiliar, ModelsDisagree]),
        sphere(series, [9, 8, 20], 3.0),
    ];
    let set_type = |lesion: &mut Lesion, kind: Option<NoduleType>| {
        let assessment = lesion.assessment.as_mut().expect("assessed");
        let probability = 0.75;
        assessment.nodule_type = kind.map(|kind| TypeEstimate { kind, probability });
    };
    set_type(&mut unsure.0, Some(NoduleType::GroundGlass));
    set_type(&mut low.0, None);
    report(vec![done(series, vec![sure, unsure, low, plain])])
}

/// Code Value or Long Code Value.
fn code_value(term: &InMemDicomObject) -> String {
    match term.get(tags::LONG_CODE_VALUE) {
        Some(_) => string(term, tags::LONG_CODE_VALUE),
        None => string(term, tags::CODE_VALUE),
    }
}

/// One line a content item that says something in words or numbers, those of the algorithm left out.
pub(crate) fn spoken(object: &InMemDicomObject, depth: usize, out: &mut String) {
    const ALGORITHM: [&str; 5] = ["111001", "111003", "111002", "111000", "122405"];
    let items = object.get(tags::CONTENT_SEQUENCE);
    for item in items.and_then(|found| found.items()).unwrap_or_default() {
        let name = &sequence(item, tags::CONCEPT_NAME_CODE_SEQUENCE)[0];
        if ALGORITHM.contains(&string(name, tags::CODE_VALUE).as_str()) {
            continue;
        }
        let term = |term: &InMemDicomObject| {
            let of = |tag| string(term, tag);
            let (value, scheme) = (code_value(term), of(tags::CODING_SCHEME_DESIGNATOR));
            format!("({value}, {scheme}, {})", of(tags::CODE_MEANING))
        };
        let value = match string(item, tags::VALUE_TYPE).as_str() {
            "CODE" => term(&sequence(item, tags::CONCEPT_CODE_SEQUENCE)[0]),
            "TEXT" => string(item, tags::TEXT_VALUE),
            "NUM" => {
                let measured = &sequence(item, tags::MEASURED_VALUE_SEQUENCE)[0];
                let unit = &sequence(measured, tags::MEASUREMENT_UNITS_CODE_SEQUENCE)[0];
                let unit = code_value(unit);
                format!("{} {unit}", string(measured, tags::NUMERIC_VALUE))
            }
            other => other.into(),
        };
        let (indent, relationship) = ("  ".repeat(depth), string(item, tags::RELATIONSHIP_TYPE));
        let name = term(name);
        writeln!(out, "{indent}{relationship} {name} = {value}").expect("string");
        spoken(item, depth + 1, out);
    }
}

#[test]
fn sr_of_assessed_lesions_says_how_sure_the_model_is_and_why_a_person_must_look() {
    let series = series(1, Plane::Axial, SIZE);
    let files = encode(&every_assessment(&series)).expect("encoded");
    let mut out = String::new();
    spoken(&dicom(&files, "sr.dcm"), 0, &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn findings_json_of_an_assessed_lesion_has_its_keys_and_of_another_none() {
    let series = series(1, Plane::Axial, SIZE);
    let found = json(&encode(&every_assessment(&series)).expect("encoded"));
    let keys = [
        "band",
        "review",
        "nodule_type",
        "logit",
        "spread",
        "novelty",
    ];
    let of = |lesion: usize| keys.map(|key| found["lesions"][lesion].get(key).cloned());
    let unsure = serde_json::json!([
        "intermediate",
        ["undecided", "folds-disagree"],
        { "value": "ground-glass", "probability": 0.75 },
        1.25,
        0.5,
        12.0,
    ]);
    assert_eq!(
        of(1).map(|value| value.expect("key")).to_vec(),
        *unsure.as_array().expect("six")
    );
    assert_eq!(of(2)[2], Some(serde_json::Value::Null));
    assert_eq!(of(3), [const { None }; 6]);
    let meaning = &found["series"][0]["confidence_meaning"];
    assert_eq!(meaning, "Calibrated probability of a nodule.");
    let errors: Vec<String> = schema()
        .iter_errors(&found)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    for key in keys {
        let mut less = found.clone();
        less["lesions"][0]
            .as_object_mut()
            .expect("lesion")
            .remove(key);
        assert!(!schema().is_valid(&less), "{key}");
    }
}

#[test]
fn without_a_classifier_nothing_is_said_of_bands_reviews_or_meanings() {
    let series = series(1, Plane::Axial, SIZE);
    let lesion = sphere(&series, [5, 16, 12], 3.0);
    let files = encode(&report(vec![done(&series, vec![lesion])])).expect("encoded");
    let mut out = String::new();
    spoken(&dicom(&files, "sr.dcm"), 0, &mut out);
    for word in ["246103008", "C41144", "121075", "must look", "Confidence:"] {
        assert!(!out.contains(word), "{word}");
    }
    assert!(
        json(&files)["series"][0]
            .get("confidence_meaning")
            .is_none()
    );
}

#[test]
fn an_assessment_that_cannot_be_true_is_refused() {
    let refused = |change: fn(&mut Assessment)| {
        let series = series(1, Plane::Axial, SIZE);
        let mut found = assessed(&series, [5, 16, 12], 0.9, &[]);
        change(found.0.assessment.as_mut().expect("assessed"));
        let report = report(vec![done(&series, vec![found])]);
        encode(&report).expect_err("refused").code()
    };
    let changes: [fn(&mut Assessment); 5] = [
        |a| a.confidence = 0.8,
        |a| a.logit = f32::NAN,
        |a| a.spread = f32::INFINITY,
        |a| a.novelty = -1.0,
        |a| a.nodule_type.as_mut().expect("typed").probability = 1.5,
    ];
    assert_eq!(changes.map(refused), ["measurement-invalid"; 5]);
}
