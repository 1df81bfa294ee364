//! Several models on one series: which lesions only one of them has, and how that is said.

use super::assessment::assessed;
use super::study::{Plane, done, model, report, series, sphere};
use super::{SIZE, failed, json, schema};
use hilum::dicom::Series;
use hilum::lesion::{Kind, Lesion};
use hilum::measure::Measurement;
use hilum::pipeline;
use hilum::provenance::ModelIdentity;
use hilum::report::{SeriesRun, encode};

const HERE: [usize; 3] = [5, 16, 12];

fn run<'a>(name: &str, series: &'a Series, lesions: Vec<(Lesion, Measurement)>) -> SeriesRun<'a> {
    let model = ModelIdentity {
        name: name.into(),
        ..model()
    };
    SeriesRun {
        model,
        ..done(series, lesions)
    }
}

/// The reasons for review of every lesion, after nodule models were compared.
fn reviews(runs: &mut [SeriesRun<'_>]) -> Vec<Vec<Vec<&'static str>>> {
    pipeline::compare(runs, |_| vec![Kind::LungNodule]);
    let of_lesion = |(lesion, _): &(Lesion, Measurement)| {
        let assessment = lesion.assessment.as_ref();
        let review = assessment.map(|a| a.review.iter().map(|reason| reason.code()).collect());
        review.unwrap_or_default()
    };
    let of_run = |run: &SeriesRun<'_>| run.lesions.iter().map(of_lesion).collect();
    runs.iter().map(of_run).collect()
}

/// Whether a lesion of 0.9 [`HERE`] is marked where the other model has `others`.
fn marked(series: &Series, others: Vec<(Lesion, Measurement)>) -> bool {
    let full = run("full", series, vec![assessed(series, HERE, 0.9, &[])]);
    let found = reviews(&mut [full, run("lite", series, others)]);
    found[0][0] == ["models-disagree"]
}

#[test]
fn a_lesion_that_the_other_model_does_not_have_is_marked_and_counted() {
    let series = series(1, Plane::Axial, SIZE);
    let both = assessed(&series, HERE, 0.9, &[]);
    let alone = assessed(&series, [9, 28, 20], 0.5, &[]);
    let mut runs = [
        run("full", &series, vec![both.clone(), alone]),
        run("lite", &series, vec![both]),
    ];
    let none: Vec<&str> = Vec::new();
    let first = vec![none.clone(), vec!["models-disagree"]];
    assert_eq!(reviews(&mut runs), [first, vec![none]]);
    let found = json(&encode(&report(runs.into())).expect("encoded"));
    let review = |lesion: usize| found["lesions"][lesion]["review"].to_string();
    let wanted = ["[]", r#"["models-disagree"]"#, "[]"];
    assert_eq!([0, 1, 2].map(review), wanted);
    let warnings = found["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0]["code"], "models-disagree");
    let text = warnings[0]["text"].as_str().expect("text");
    assert!(
        text.starts_with("1 lesion(s)") && text.contains("lite"),
        "{text}"
    );
    assert!(schema().is_valid(&found));
}

#[test]
fn a_shared_voxel_or_a_near_centroid_is_the_same_lesion() {
    let series = series(1, Plane::Axial, SIZE);
    assert!(marked(&series, vec![]));
    // A lesion of 3 mm radius, slices 2.5 mm apart: one slice beside it is near, four are not.
    let [near, far] = [6, 9].map(|z| sphere(&series, [z, 16, 12], 1.0));
    assert!(!marked(&series, vec![far.clone(), near]));
    assert!(marked(&series, vec![far]));
    let touching = sphere(&series, [9, 16, 12], 8.0);
    assert!(!marked(&series, vec![touching]));
}

#[test]
fn a_lesion_of_another_kind_is_not_the_same_one() {
    let series = series(1, Plane::Axial, SIZE);
    let mut node = sphere(&series, HERE, 3.0);
    node.0.kind = Kind::LymphNode;
    assert!(marked(&series, vec![node]));
}

#[test]
fn low_or_unassessed_lesions_are_not_marked() {
    let series = series(1, Plane::Axial, SIZE);
    let low = assessed(&series, HERE, 0.2, &[]);
    let plain = sphere(&series, [9, 28, 20], 3.0);
    let mut runs = [
        run("full", &series, vec![low, plain]),
        run("lite", &series, vec![]),
    ];
    assert!(reviews(&mut runs)[0].iter().all(Vec::is_empty));
    assert!(runs.iter().all(|run| run.warnings.is_empty()));
}

#[test]
fn only_models_that_ran_on_the_series_and_look_for_the_kind_are_asked() {
    let [first, second] = [1, 2].map(|number| series(number, Plane::Axial, SIZE));
    let full = || run("full", &first, vec![assessed(&first, HERE, 0.9, &[])]);
    let elsewhere = run("lite", &second, vec![]);
    let failed = SeriesRun {
        model: elsewhere.model.clone(),
        ..failed(&first)
    };
    let itself = run("full", &first, vec![]);
    for other in [elsewhere, failed, itself] {
        assert!(reviews(&mut [full(), other])[0][0].is_empty());
    }
    let mut runs = [full(), run("organs", &first, vec![])];
    pipeline::compare(&mut runs, |_| vec![Kind::Organ]);
    assert!(runs[0].warnings.is_empty());
}

#[test]
fn a_lesion_that_two_other_models_do_not_have_has_the_reason_once_and_a_warning_for_each() {
    let series = series(1, Plane::Axial, SIZE);
    let mut runs = [
        run("full", &series, vec![assessed(&series, HERE, 0.9, &[])]),
        run("lite", &series, vec![]),
        run("mine", &series, vec![]),
    ];
    assert_eq!(reviews(&mut runs)[0], [["models-disagree"]]);
    assert_eq!(runs[0].warnings.len(), 2);
}
