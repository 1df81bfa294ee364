//! Every refusal and every doubt.

use super::super::{PetImage, Policy, Suv, Timestamp};
use super::{assert_near, at, codes, corrected, doubtful, image, refusal, strict, with};

/// What is wrong with an image.
type Change = fn(&mut PetImage);

#[test]
fn other_units_are_refused() {
    for units in ["CPS", "PROPCNTS", "PROPCPS", "1CM", "BQ", ""] {
        assert_eq!(
            refusal(|i| i.units = Some(units.into())),
            "suv-units",
            "{units}"
        );
    }
    assert_eq!(refusal(|i| i.units = None), "suv-missing-attribute");
}

#[test]
fn a_dose_below_ten_thousand_is_in_mbq_and_a_weight_above_a_thousand_in_grams() {
    let plain = strict(&image()).unwrap().factors[0];
    let changes: [(Change, &str); 2] = [
        (|i| i.tracers[0].dose = Some(350.0), "suv-dose-in-mbq"),
        (|i| i.patient.weight = Some(70_000.0), "suv-weight-in-grams"),
    ];
    for (change, code) in changes {
        let found = strict(&with(change)).unwrap();
        assert_eq!(codes(&found), [code]);
        assert_near(found.factors[0], plain, 1e-18);
    }
}

#[test]
fn a_date_that_cannot_be_is_replaced_by_that_of_the_scan() {
    for date in ["20241225", "20250102"] {
        let (found, code) = doubtful(|i| {
            i.tracers[0].start = Timestamp::parse(&format!("{date}100000"), None);
        });
        assert_eq!(code, "suv-administration-date-replaced");
        assert_near(5000.0 * found.factors[0], 1.460_64, 5e-6);
    }
}

#[test]
fn injection_times_that_disagree_are_told_and_those_after_the_scan_refused() {
    let (_, code) = doubtful(|i| i.tracers[0].start_time_of_day_s = Some(36_100.0));
    assert_eq!(code, "suv-administration-times-disagree");
    let only_time = |i: &mut PetImage, of_day_s: f64| {
        i.tracers[0].start = None;
        i.tracers[0].start_time_of_day_s = Some(of_day_s);
    };
    // 11:10 of the day before leaves nothing of the fluorine.
    assert_eq!(
        refusal(|i| only_time(i, 40_200.0)),
        "suv-administration-time"
    );
    let long_lived = refusal(|i| {
        only_time(i, 36_000.0);
        i.tracers[0].nuclide = None;
        i.tracers[0].half_life_s = Some(282_240.0);
    });
    assert_eq!(long_lived, "suv-administration-date");
    let none = refusal(|i| (i.tracers[0].start, i.tracers[0].start_time_of_day_s) = (None, None));
    assert_eq!(none, "suv-missing-attribute");
}

#[test]
fn the_half_life_is_the_files_or_else_the_nuclides() {
    let by_code = strict(&with(|i| i.tracers[0].half_life_s = None)).unwrap();
    assert_near(5000.0 * by_code.factors[0], 1.460_64, 5e-6);
    let (_, code) = doubtful(|i| i.tracers[0].half_life_s = Some(4062.6));
    assert_eq!(code, "suv-half-life-disagrees");
    let minutes = |i: &mut PetImage| i.tracers[0].half_life_s = Some(1.8295);
    assert_eq!(refusal(minutes), "suv-bad-value");
    let unknown =
        |i: &mut PetImage| (i.tracers[0].half_life_s, i.tracers[0].nuclide) = (None, None);
    assert_eq!(refusal(unknown), "suv-missing-attribute");
}

#[test]
fn what_is_missing_is_named() {
    let message = |change: Change| strict(&with(change)).unwrap_err().to_string();
    let missing: [(Change, &str); 6] = [
        (|i| i.patient.weight = None, "PatientWeight (0010,1030)"),
        (
            |i| i.patient.weight = Some(0.0),
            "PatientWeight (0010,1030)",
        ),
        (
            |i| i.tracers[0].dose = None,
            "RadionuclideTotalDose (0018,1074)",
        ),
        (
            |i| i.tracers.clear(),
            "RadiopharmaceuticalInformationSequence (0054,0016)",
        ),
        (|i| i.decay_correction = None, "DecayCorrection (0054,1102)"),
        (|i| i.corrections = None, "CorrectedImage (0028,0051)"),
    ];
    for (change, attribute) in missing {
        let message = message(change);
        assert!(message.starts_with(attribute), "{message}");
    }
}

#[test]
fn values_without_their_corrections_or_with_an_intercept_are_refused() {
    assert_eq!(
        refusal(|i| i.corrections = corrected(false, true)),
        "suv-not-corrected"
    );
    assert_eq!(
        refusal(|i| i.corrections = corrected(true, false)),
        "suv-not-corrected"
    );
    assert_eq!(
        refusal(|i| i.decay_correction = Some("NONE".into())),
        "suv-contradiction"
    );
    assert_eq!(
        refusal(|i| i.decay_correction = Some("OTHER".into())),
        "suv-bad-value"
    );
    assert_eq!(refusal(|i| i.rescale_intercept = 1.0), "suv-bad-value");
    assert_eq!(refusal(|i| i.rescale_slope = -1.0), "suv-bad-value");
    let two = |i: &mut PetImage| i.tracers.push(i.tracers[0].clone());
    assert_eq!(refusal(two), "suv-several-tracers");
    let (_, code) = doubtful(|i| {
        i.units = Some("GML".into());
        i.decay_correction = Some("NONE".into());
        i.corrections = corrected(true, false);
    });
    assert_eq!(code, "suv-not-decay-corrected");
}

#[test]
fn slices_that_differ_in_what_holds_for_all_are_refused() {
    let changes: [Change; 4] = [
        |i| i.units = Some("GML".into()),
        |i| i.patient.weight = Some(71.0),
        |i| i.tracers[0].dose = Some(351e6),
        |i| i.series_time = at("110001"),
    ];
    for change in changes {
        let found = Suv::new(&[&image(), &with(change)], Policy::Lenient);
        assert_eq!(found.unwrap_err().code(), "suv-mixed-slices");
    }
    let slopes = with(|i| i.rescale_slope = 0.0);
    assert!(Suv::new(&[&image(), &slopes], Policy::Strict).is_ok());
    assert_eq!(
        Suv::new(&[], Policy::Strict).unwrap_err().code(),
        "suv-missing-attribute"
    );
}

#[test]
fn without_height_or_sex_there_is_suv_by_weight_alone() {
    for change in [
        (|i| i.patient.height_m = None) as Change,
        |i| i.patient.height_m = Some(175.0),
        |i| i.patient.sex = None,
    ] {
        let found = strict(&with(change)).unwrap();
        assert_eq!(
            (found.ratios, codes(&found)),
            (None, vec!["suv-ratios-left-out"])
        );
    }
}
