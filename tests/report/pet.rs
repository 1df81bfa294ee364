//! Uptake of a PET in SR, SEG and JSON: lesions, normal uptake, reference regions, sums; rules; experimental models.

use super::assessment::spoken;
use super::study::{Plane, done, model, report, series, sphere};
use super::{SIZE, coded_values, dicom, json, names, schema, sequence, string};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use glam::DVec3;
use hilum::code::Code;
use hilum::dicom::Series;
use hilum::lesion::pet::{NoReference, PetReview, Reference, Site, Threshold};
use hilum::lesion::{Kind, Lesion};
use hilum::measure::{
    Delineation, Measurement, PetMeasurement, PetSummary, RuleVolume, SuvPeak, UptakeOnPet,
};
use hilum::provenance::{Method, ModelIdentity};
use hilum::report::{OutputFile, PetRun, SeriesRun, StudyReport, encode};
use hilum::suv::{Branch, DecayCorrection, Meaning, Ratios};
use hilum::warning::Warning;

/// A PET of the study, on the grid of [`series`].
pub(crate) fn pet_series(number: usize) -> Series {
    let mut series = series(number, Plane::Axial, SIZE);
    for instance in &mut series.instances {
        instance.modality = "PT".into();
        instance.sop_class_uid = uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE.into();
    }
    series
}

/// A sphere of a kind with uptake.
fn hot(series: &Series, kind: Kind, centre: [usize; 3], suv_max: f64) -> (Lesion, Measurement) {
    let (mut lesion, mut measurement) = sphere(series, centre, 4.0);
    (lesion.kind, lesion.terms) = (kind, kind.into());
    let mtv_ml = measurement.volume_mm3 / 1e3;
    let rule = |rule, least_suv| RuleVolume {
        rule,
        least_suv,
        mtv_ml: mtv_ml / 2.0,
        tlg_g: suv_max * mtv_ml / 2.0,
    };
    measurement.mean_hu = None;
    measurement.laterality = None;
    measurement.pet = Some(PetMeasurement {
        suv_max,
        suv_max_lps_mm: measurement.centroid_lps_mm,
        suv_mean: suv_max / 2.0,
        suv_peak: Some(SuvPeak {
            suv: suv_max * 0.75,
            centre_lps_mm: measurement.centroid_lps_mm,
        }),
        mtv_ml,
        tlg_g: mtv_ml * suv_max / 2.0,
        delineation: Some(Delineation {
            rule: Threshold::OfMax(0.41),
            least_suv: 0.41 * suv_max,
            is_raised: false,
            background_suv: 1.25,
            review: Vec::new(),
        }),
        by_rule: vec![
            rule(Threshold::Fixed(2.5), 2.5),
            rule(Threshold::Liver(3.0), 3.25),
        ],
    });
    (lesion, measurement)
}

fn rules() -> ModelIdentity {
    ModelIdentity {
        name: "pet-rules".into(),
        version: "1".into(),
        sha256: "fedcba9876543210".repeat(4),
        method: Method::Rules,
        experimental: false,
    }
}

fn reference(site: Site, is_expected: bool) -> Reference {
    Reference {
        site,
        centre_lps_mm: DVec3::new(-60.0, -10.0, 50.5),
        radius_mm: 15.0,
        mean_suv: 2.125,
        sd_suv: 0.25,
        voxels: 216,
        is_expected,
    }
}

/// Rules that found these lesions on a PET.
pub(crate) fn pet_run(series: &Series, lesions: Vec<(Lesion, Measurement)>) -> SeriesRun<'_> {
    let pet = PetRun {
        branch: Branch {
            rules: 1,
            meaning: Meaning::SuvBodyWeight,
            decay_correction: Some(DecayCorrection::Start),
            dose_bq: None,
            half_life_s: None,
            weight_kg: None,
            decay: None,
        },
        ratios: None,
        summary: PetSummary::of(&lesions),
        liver: Ok(reference(Site::Liver, true)),
        blood_pool: Ok(reference(Site::BloodPool, true)),
    };
    SeriesRun {
        model: rules(),
        confidence_meaning: "No trained model: 100 % for what the rules take for a lesion.".into(),
        pet: Some(pet),
        ..done(series, lesions)
    }
}

/// Two lesions, one of them at the edge of the image, and the uptake of the heart.
pub(crate) fn pet_report(series: &Series) -> StudyReport<'_> {
    let mut edge = hot(series, Kind::PetLesion, [9, 8, 20], 5.0);
    let uptake = edge.1.pet.as_mut().expect("uptake");
    uptake.suv_peak = None;
    let drawn = uptake.delineation.as_mut().expect("drawn");
    drawn.is_raised = true;
    drawn.review = vec![PetReview::BesidePhysiologic, PetReview::ThresholdRaised];
    let mut heart = hot(series, Kind::PhysiologicUptake, [4, 24, 10], 8.0);
    heart.0.terms.category = Code::new("91723000", "SCT", "Anatomical Structure");
    heart.0.terms.property_type = Code::new("80891009", "SCT", "Heart");
    let lesions = vec![hot(series, Kind::PetLesion, [5, 16, 12], 12.5), edge, heart];
    report(vec![pet_run(series, lesions)])
}

fn spoken_sr(files: &[OutputFile]) -> String {
    let mut out = String::new();
    spoken(&dicom(files, "sr.dcm"), 0, &mut out);
    out
}

fn assert_valid(found: &serde_json::Value) {
    let errors: Vec<String> = schema().iter_errors(found).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn sr_of_a_pet_has_uptake_reference_regions_and_sums() {
    let series = pet_series(1);
    let files = encode(&pet_report(&series)).expect("encoded");
    insta::assert_snapshot!(spoken_sr(&files));
}

#[test]
fn findings_json_of_a_pet_has_uptake_reference_regions_and_sums() {
    let series = pet_series(1);
    let mut report = pet_report(&series);
    let pet = report.runs[0].pet.as_mut().expect("a PET");
    pet.liver = Ok(reference(Site::Liver, false));
    pet.blood_pool = Err(NoReference::BloodPoolNotFound);
    let found = json(&encode(&report).expect("encoded"));
    assert_valid(&found);
    let [first, edge, heart] = [0, 1, 2].map(|i| &found["lesions"][i]);
    assert_eq!(first["pet"]["suv_max"], 12.5);
    assert_eq!(first["pet"]["suv_peak"], 9.375);
    assert_eq!(first["pet"]["delineation"]["rule"], "suv-share-of-max");
    assert_eq!(first["pet"]["by_rule"][0]["value"], 2.5);
    assert_eq!(first["pet"]["by_rule"][1]["rule"], "suv-above-liver");
    let review = &edge["pet"]["delineation"]["review"];
    assert_eq!(review[0], "beside-physiologic");
    assert_eq!(first["model"], "pet-rules");
    assert!(first["mean_hu"].is_null() && edge["pet"]["suv_peak"].is_null());
    assert_eq!(heart["kind"], "physiologic-uptake");
    assert_eq!(heart["site"]["meaning"], "Heart");
    let entry = &found["series"][0];
    assert_eq!(entry["method"], "rules");
    assert_eq!(entry["pet_summary"]["sites"], 2);
    let mtv_ml = |lesion: &serde_json::Value| lesion["pet"]["mtv_ml"].as_f64().expect("ml");
    assert_eq!(
        entry["pet_summary"]["tmtv_ml"],
        mtv_ml(first) + mtv_ml(edge)
    );
    let [liver, blood_pool] = [0, 1].map(|i| &entry["reference_regions"][i]);
    assert_eq!(liver["is_expected"], false);
    assert!(liver["missing"].is_null() && blood_pool.get("suv_mean").is_none());
    assert_eq!(blood_pool["missing"], "blood-pool-not-found");
    assert!(
        entry["confidence_meaning"]
            .as_str()
            .expect("text")
            .starts_with("No trained model")
    );
    let branch = &found["provenance"]["suv"][0]["branch"];
    assert_eq!(branch["meaning"], "suv-body-weight");
    for key in ["suv_max", "suv_peak_variant", "tlg_g"] {
        let mut less = found.clone();
        less["lesions"][0]["pet"]
            .as_object_mut()
            .expect("uptake")
            .remove(key);
        assert!(!schema().is_valid(&less), "{key}");
    }
}

#[test]
fn normal_uptake_alone_is_no_finding_and_is_called_normal() {
    let series = pet_series(1);
    let heart = hot(&series, Kind::PhysiologicUptake, [5, 16, 12], 8.0);
    let files = encode(&report(vec![pet_run(&series, vec![heart])])).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    assert_eq!(coded_values(&sr, "111017"), ["111241"]);
    assert_eq!(coded_values(&sr, "110005"), ["17621005"]);
    let seg = dicom(&files, "seg.dcm");
    let segment = &sequence(&seg, tags::SEGMENT_SEQUENCE)[0];
    assert_eq!(string(segment, tags::TRACKING_ID), "physiologic-uptake-1");
    let category = &sequence(segment, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE)[0];
    assert_eq!(string(category, tags::CODE_MEANING), "Function");
    assert_eq!(json(&files)["series"][0]["pet_summary"]["sites"], 0);
}

#[test]
fn a_pet_without_uptake_above_the_rules_still_shows_its_reference_regions() {
    let series = pet_series(1);
    let mut run = pet_run(&series, Vec::new());
    let pet = run.pet.as_mut().expect("a PET");
    pet.liver = Ok(reference(Site::Liver, false));
    let files = encode(&report(vec![run])).expect("encoded");
    assert_eq!(names(&files), ["sr.dcm", "findings.json"]);
    let sr = dicom(&files, "sr.dcm");
    assert_eq!(coded_values(&sr, "111050"), ["111236", "111237"]);
    assert!(spoken_sr(&files).contains("Its mean is not what is expected"));
    assert_valid(&json(&files));
}

#[test]
fn a_missing_reference_region_is_said_with_its_reason() {
    let series = pet_series(1);
    let mut run = pet_run(&series, Vec::new());
    let pet = run.pet.as_mut().expect("a PET");
    pet.liver = Err(NoReference::LiverNotFound);
    let files = encode(&report(vec![run])).expect("encoded");
    assert_eq!(coded_values(&dicom(&files, "sr.dcm"), "111050"), ["111237"]);
    assert!(spoken_sr(&files).contains("(liver). liver-not-found: "));
}

#[test]
fn values_of_a_pet_are_never_called_hu() {
    let series = pet_series(1);
    let mut found = sphere(&series, [5, 16, 12], 4.0);
    found.1.mean_hu = Some(7.0);
    let files = encode(&report(vec![done(&series, vec![found])])).expect("encoded");
    assert!(!spoken_sr(&files).contains("112031"));
    assert!(json(&files)["lesions"][0]["mean_hu"].is_null());
}

#[test]
fn a_lesion_of_a_ct_has_the_uptake_that_the_pet_shows_there() {
    let series = series(1, Plane::Axial, SIZE);
    let mut found = sphere(&series, [5, 16, 12], 4.0);
    found.1.on_pet = Some(UptakeOnPet {
        suv_max: 7.25,
        suv_mean: 4.5,
    });
    let files = encode(&report(vec![done(&series, vec![found.clone()])])).expect("encoded");
    let on_pet = json(&files);
    assert_valid(&on_pet);
    assert_eq!(on_pet["lesions"][0]["on_pet"]["suv_max"], 7.25);
    let spoken = spoken_sr(&files);
    assert_eq!(
        spoken.matches("(126401, DCM, SUVbw)").count(),
        2,
        "{spoken}"
    );
    assert!(spoken.contains("7.25") && spoken.contains("breathing may have moved it"));
    found.1.on_pet = None;
    let files = encode(&report(vec![done(&series, vec![found])])).expect("encoded");
    assert!(json(&files)["lesions"][0].get("on_pet").is_none());
    assert!(!spoken_sr(&files).contains("126401"));
}

#[test]
fn other_suvs_stand_beside_suvbw_only_where_they_are_known() {
    let series = pet_series(1);
    let mut report = pet_report(&series);
    report.runs[0].pet.as_mut().expect("a PET").ratios = Some(Ratios {
        suvlbm_james128: None,
        suvlbm_janmahasatian: Some(0.8),
        suvbsa: None,
        suvibw: None,
    });
    let files = encode(&report).expect("encoded");
    let spoken = spoken_sr(&files);
    assert!(
        spoken.contains("(126405, DCM, SUVlbm(Janma)) = 10 g/ml{SUVlbm(Janma)}"),
        "{spoken}"
    );
    assert!(!spoken.contains("126406") && !spoken.contains("126403"));
    let found = json(&files);
    assert_eq!(
        found["series"][0]["suv_ratios"]["suvlbm_janmahasatian"],
        0.8
    );
    assert_valid(&found);
}

/// Every value of a text or a code under a concept name.
fn said(object: &InMemDicomObject, name: &str, out: &mut Vec<String>) {
    let items = object.get(tags::CONTENT_SEQUENCE);
    for item in items.and_then(|e| e.items()).unwrap_or_default() {
        let concept = &sequence(item, tags::CONCEPT_NAME_CODE_SEQUENCE)[0];
        if string(concept, tags::CODE_VALUE) == name && item.get(tags::TEXT_VALUE).is_some() {
            out.push(string(item, tags::TEXT_VALUE));
        }
        said(item, name, out);
    }
}

#[test]
fn rules_are_cited_as_rules_and_a_model_as_a_model() {
    let pet = pet_series(1);
    let cited = |run: SeriesRun<'_>| {
        let files = encode(&report(vec![run])).expect("encoded");
        let sr = dicom(&files, "sr.dcm");
        let mut parameters = Vec::new();
        said(&sr, "111002", &mut parameters);
        (coded_values(&sr, "111000").remove(0), parameters.remove(0))
    };
    let lesion = || vec![hot(&pet, Kind::PetLesion, [5, 16, 12], 9.0)];
    let (family, parameter) = cited(pet_run(&pet, lesion()));
    assert_eq!(family, "123104");
    assert!(parameter.starts_with("rules sha256 "), "{parameter}");
    let by_rules = spoken_sr(&encode(&report(vec![pet_run(&pet, lesion())])).expect("encoded"));
    assert!(by_rules.contains("Found by rules, not by a trained model."));
    let (family, parameter) = cited(done(&pet, lesion()));
    assert_eq!(family, "123110");
    assert!(parameter.starts_with("weights sha256 "), "{parameter}");
}

#[test]
fn every_finding_of_an_experimental_model_says_so() {
    let ct = series(1, Plane::Axial, SIZE);
    let experimental = |experimental| {
        let run = SeriesRun {
            model: ModelIdentity {
                experimental,
                ..model()
            },
            ..done(&ct, vec![sphere(&ct, [5, 16, 12], 4.0)])
        };
        let files = encode(&report(vec![run])).expect("encoded");
        let mut comments = Vec::new();
        said(&dicom(&files, "sr.dcm"), "121106", &mut comments);
        let seg = dicom(&files, "seg.dcm");
        let segment = &sequence(&seg, tags::SEGMENT_SEQUENCE)[0];
        comments.push(string(segment, tags::SEGMENT_DESCRIPTION));
        let said = comments
            .iter()
            .filter(|text| text.contains("Experimental: "));
        let found = json(&files);
        assert_valid(&found);
        (said.count(), found["series"][0]["experimental"].as_bool())
    };
    // Both groups of the lesion, the outcome of the series, and the segment.
    assert_eq!(experimental(true), (4, Some(true)));
    assert_eq!(experimental(false), (0, Some(false)));
}

#[test]
fn what_is_doubtful_about_an_suv_is_a_warning_of_its_series() {
    let series = pet_series(1);
    let mut report = pet_report(&series);
    let doubt = hilum::suv::Warning::DoseInMbq;
    report.runs[0].warnings.push(Warning::from(doubt));
    let found = json(&encode(&report).expect("encoded"));
    assert_eq!(found["warnings"][0]["code"], "suv-dose-in-mbq");
}

#[test]
fn uptake_that_is_not_finite_is_refused() {
    let refused = |change: fn(&mut PetMeasurement)| {
        let series = pet_series(1);
        let mut found = hot(&series, Kind::PetLesion, [5, 16, 12], 9.0);
        change(found.1.pet.as_mut().expect("uptake"));
        let report = report(vec![done(&series, vec![found])]);
        encode(&report).expect_err("refused").code()
    };
    let changes: [fn(&mut PetMeasurement); 5] = [
        |pet| pet.suv_max = f64::NAN,
        |pet| pet.delineation.as_mut().expect("drawn").background_suv = f64::NAN,
        |pet| pet.suv_peak.as_mut().expect("peak").suv = f64::INFINITY,
        |pet| pet.by_rule[0].mtv_ml = f64::NAN,
        |pet| pet.tlg_g = f64::NEG_INFINITY,
    ];
    assert_eq!(changes.map(refused), ["measurement-invalid"; 5]);
}
