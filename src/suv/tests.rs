//! Every branch, with numbers worked by hand.

mod refusals;

use super::*;
use proptest::prelude::*;

const F18_S: f64 = 6586.2;

fn at(clock: &str) -> Option<Timestamp> {
    let time = Timestamp::parse(&format!("20250101{clock}"), None);
    assert!(time.is_some(), "{clock}");
    time
}

fn corrected(attenuation: bool, decay: bool) -> Option<Corrections> {
    Some(Corrections { attenuation, decay })
}

/// Fluorine injected at 10:00, scanned from 11:00: 350 MBq, 70 kg.
fn image() -> PetImage {
    PetImage {
        units: Some("BQML".into()),
        decay_correction: Some("START".into()),
        corrections: corrected(true, true),
        rescale_slope: 1.0,
        series_time: at("110000"),
        acquisition_time: at("110000"),
        frame_reference_s: Some(0.0),
        frame_duration_s: Some(120.0),
        patient: Patient {
            weight: Some(70.0),
            height_m: Some(1.75),
            sex: Some(Sex::Male),
        },
        tracers: vec![Tracer {
            dose: Some(350e6),
            half_life_s: Some(F18_S),
            nuclide: Some("C-111A1".into()),
            start: at("100000"),
            start_time_of_day_s: Some(36_000.0),
            ..Tracer::default()
        }],
        ..PetImage::default()
    }
}

fn with(change: impl FnOnce(&mut PetImage)) -> PetImage {
    let mut image = image();
    change(&mut image);
    image
}

fn lenient(image: &PetImage) -> Suv {
    Suv::new(&[image], Policy::Lenient).unwrap()
}

fn strict(image: &PetImage) -> Result<Suv, Error> {
    Suv::new(&[image], Policy::Strict)
}

fn codes(suv: &Suv) -> Vec<&'static str> {
    suv.warnings.iter().map(Warning::code).collect()
}

fn refusal(change: impl FnOnce(&mut PetImage)) -> &'static str {
    strict(&with(change)).unwrap_err().code()
}

/// Refused by `strict`, told by `lenient`.
fn doubtful(change: impl Fn(&mut PetImage)) -> (Suv, &'static str) {
    let found = lenient(&with(&change));
    let code = refusal(&change);
    assert!(codes(&found).contains(&code), "{code}: {:?}", codes(&found));
    (found, code)
}

fn assert_near(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() <= tolerance,
        "{found} is not {wanted}"
    );
}

fn rule(suv: &Suv) -> ReferenceRule {
    suv.branch.decay.as_ref().unwrap().reference.unwrap()
}

#[test]
fn the_published_vector_of_start_and_of_admin() {
    let start = strict(&image()).unwrap();
    assert_near(5000.0 * start.factors[0], 1.460_64, 5e-6);
    assert_eq!(codes(&start), [""; 0]);
    let decay = start.branch.decay.as_ref().unwrap();
    assert_eq!(decay.administration_clock, "10:00:00");
    assert_eq!(decay.reference_clock, "11:00:00");
    let admin = strict(&with(|i| i.decay_correction = Some("ADMIN".into()))).unwrap();
    assert_near(5000.0 * admin.factors[0], 1.0, 1e-12);
    assert_eq!(admin.branch.decay, None);
}

#[test]
fn admin_needs_no_time_and_no_half_life() {
    let bare = with(|i| {
        i.decay_correction = Some("ADMIN".into());
        i.series_time = None;
        i.acquisition_time = None;
        i.tracers[0].half_life_s = None;
        i.tracers[0].start = None;
    });
    assert_near(5000.0 * strict(&bare).unwrap().factors[0], 1.0, 1e-12);
}

#[test]
fn uncorrected_values_are_brought_back_through_their_frame_slice_by_slice() {
    let uncorrected = |clock: &str| {
        with(|i| {
            i.decay_correction = Some("NONE".into());
            i.corrections = corrected(true, false);
            i.acquisition_time = at(clock);
            i.frame_duration_s = Some(600.0);
        })
    };
    let (first, second) = (uncorrected("110000"), uncorrected("112000"));
    let found = Suv::new(&[&first, &second], Policy::Strict).unwrap();
    // 70,000 g / 350 MBq, by the decay since 10:00 and by what a frame of ten minutes loses on average.
    let lambda = std::f64::consts::LN_2 / F18_S;
    let loss = lambda * 600.0 / (1.0 - (-lambda * 600.0_f64).exp());
    assert_near(
        found.factors[0],
        2e-4 * loss * (lambda * 3600.0_f64).exp(),
        1e-12,
    );
    assert_near(
        found.factors[1],
        2e-4 * loss * (lambda * 4800.0_f64).exp(),
        1e-12,
    );
    assert_eq!(
        found.branch.decay.unwrap().elapsed_s.map(f64::to_bits),
        [3600.0, 4800.0].map(f64::to_bits)
    );
}

#[test]
fn values_that_are_suv_already_are_turned_into_suv_by_weight() {
    let gml = |suv_type: Option<&str>, sex: Sex| {
        with(|i| {
            i.units = Some("GML".into());
            i.suv_type = suv_type.map(str::to_owned);
            i.patient.sex = Some(sex);
            i.tracers.clear();
        })
    };
    let factor = |suv_type, sex| strict(&gml(suv_type, sex)).unwrap().factors[0];
    assert_near(factor(None, Sex::Male), 1.0, 0.0);
    assert_near(factor(Some("BW"), Sex::Male), 1.0, 0.0);
    // 1.10 × 70 - 128 × (70 / 175)² = 56.52 kg, with 120 57.8 kg; ideal 48 + 1.06 × 23 and 45.5 + 0.91 × 23 kg.
    assert_near(factor(Some("LBMJAMES128"), Sex::Male), 70.0 / 56.52, 1e-9);
    assert_near(factor(Some("LBM"), Sex::Male), 70.0 / 57.8, 1e-9);
    assert_near(factor(Some("IBW"), Sex::Male), 70.0 / 72.38, 1e-9);
    assert_near(factor(Some("IBW"), Sex::Other), 70.0 / 69.405, 1e-9);
    let janma = 9270.0 * 70.0 / (6680.0 + 216.0 * 70.0 / 1.75 / 1.75);
    assert_near(factor(Some("LBMJANMA"), Sex::Male), 70.0 / janma, 1e-9);
    let other = strict(&gml(Some("IBW"), Sex::Other)).unwrap();
    assert_eq!(codes(&other), ["suv-sex-mean"]);
    assert_eq!(
        strict(&gml(Some("BSA"), Sex::Male)).unwrap_err().code(),
        "suv-type"
    );
}

#[test]
fn suv_by_surface_is_turned_into_suv_by_weight() {
    let cm2ml = with(|i| i.units = Some("CM2ML".into()));
    let surface_m2 = 0.007_184 * 175.0_f64.powf(0.725) * 70.0_f64.powf(0.425);
    let found = strict(&cm2ml).unwrap();
    assert_near(found.factors[0], 70.0 * 1000.0 / (surface_m2 * 1e4), 1e-12);
    // Back again by the ratio.
    assert_near(
        found.factors[0] * found.ratios.unwrap().suvbsa.unwrap(),
        1.0,
        1e-12,
    );
}

#[test]
fn counts_need_philips_and_one_of_its_factors_in_every_slice() {
    let counts = |suv, bqml| {
        with(|i| {
            i.units = Some("CNTS".into());
            i.maker = Maker::Philips;
            (i.philips_suv, i.philips_bqml) = (suv, bqml);
        })
    };
    assert_near(
        strict(&counts(Some(5e-4), Some(0.5))).unwrap().factors[0],
        5e-4,
        0.0,
    );
    let by_activity = strict(&counts(Some(0.0), Some(0.5))).unwrap();
    assert_near(
        by_activity.factors[0],
        strict(&image()).unwrap().factors[0] / 2.0,
        1e-15,
    );
    let per_slice = [counts(None, Some(0.5)), counts(None, Some(0.25))];
    let per_slice = Suv::new(&[&per_slice[0], &per_slice[1]], Policy::Strict).unwrap();
    assert_near(per_slice.factors[0], 2.0 * per_slice.factors[1], 1e-15);
    assert_eq!(
        strict(&counts(None, None)).unwrap_err().code(),
        "suv-missing-attribute"
    );
    let other = with(|i| i.units = Some("CNTS".into()));
    assert_eq!(strict(&other).unwrap_err().code(), "suv-units");
}

#[test]
fn a_scan_from_the_series_time_on_is_corrected_to_it_by_all_orders() {
    let found = strict(&image()).unwrap();
    assert_eq!(rule(&found), ReferenceRule::AcquisitionAtSeriesTime);
    let orders: Vec<_> = found.branch.decay.unwrap().candidates;
    let names: Vec<_> = orders.iter().map(|c| (c.order, c.rule)).collect();
    let wanted = [
        ("qiba", ReferenceRule::SeriesTime),
        ("ibsi", ReferenceRule::FrameReference),
        ("mitk", ReferenceRule::AcquisitionAtSeriesTime),
    ];
    assert_eq!(names, wanted);
    // IBSI's lies 59.937 s later, the average time of the frame.
    assert_near(orders[1].suv_ratio, (59.936_86 / F18_S).exp2(), 1e-8);
}

#[test]
fn the_makers_own_time_comes_first_and_a_different_order_is_told() {
    for maker in [Maker::Ge, Maker::Siemens] {
        let found = strict(&with(|i| {
            i.maker = maker;
            i.private_time = at("110000");
            i.acquisition_time = at("113000");
        }))
        .unwrap();
        assert_eq!(rule(&found), ReferenceRule::PrivateTime);
        assert_near(5000.0 * found.factors[0], 1.460_64, 5e-6);
        assert_eq!(codes(&found), ["suv-reference-times-disagree"]);
    }
}

#[test]
fn later_beds_of_a_scan_from_the_series_time_on_share_its_reference() {
    let second = with(|i| i.acquisition_time = at("110400"));
    let found = Suv::new(&[&image(), &second], Policy::Strict).unwrap();
    assert_eq!(rule(&found), ReferenceRule::AcquisitionAtSeriesTime);
    assert_near(found.factors[0], found.factors[1], 0.0);
}

#[test]
fn a_time_that_no_attribute_states_is_derived_as_the_maker_counts() {
    let derived = |maker: Maker| {
        doubtful(move |i| {
            i.maker = maker;
            i.series_time = at("113000");
            i.acquisition_time = at("110500");
            i.frame_reference_s = Some(300.0);
        })
    };
    let (other, code) = derived(Maker::Other);
    assert_eq!(code, "suv-reference-time-derived");
    assert_eq!(rule(&other), ReferenceRule::FrameReference);
    assert_near(other.branch.decay.unwrap().elapsed_s[0], 3_659.936_86, 1e-5);
    let (ge, _) = derived(Maker::Ge);
    assert_eq!(rule(&ge), ReferenceRule::FrameReferenceOfGe);
    assert_near(ge.branch.decay.unwrap().elapsed_s[0], 3600.0, 1e-9);
}

#[test]
fn without_frame_times_the_series_time_or_the_earliest_acquisition_is_taken() {
    let (before, _) = doubtful(|i| {
        i.acquisition_time = at("110500");
        i.frame_reference_s = None;
    });
    assert_eq!(rule(&before), ReferenceRule::SeriesTime);
    let (after, _) = doubtful(|i| {
        i.series_time = at("113000");
        i.frame_duration_s = None;
    });
    assert_eq!(rule(&after), ReferenceRule::EarliestAcquisition);
    let none = refusal(|i| (i.series_time, i.acquisition_time) = (None, None));
    assert_eq!(none, "suv-no-reference-time");
}

#[test]
fn derived_times_that_scatter_are_told() {
    let bed = |clock: &str| {
        with(|i| {
            i.acquisition_time = at(clock);
            i.series_time = at("120000");
        })
    };
    let found = Suv::new(&[&bed("110000"), &bed("111000")], Policy::Lenient).unwrap();
    assert!(
        codes(&found).contains(&"suv-reference-time-scatter"),
        "{:?}",
        codes(&found)
    );
}

#[test]
fn the_time_of_an_enhanced_pet_is_that_of_all_orders() {
    let found = strict(&with(|i| {
        i.decay_correction_time = at("110000");
        i.acquisition_time = at("113000");
    }))
    .unwrap();
    assert_eq!(rule(&found), ReferenceRule::DecayCorrectionDateTime);
    assert_eq!(codes(&found), [""; 0]);
}

#[test]
fn an_injection_before_midnight_is_of_the_day_before() {
    let found = strict(&with(|i| {
        i.series_time = at("003000");
        i.acquisition_time = at("003000");
        i.tracers[0].start = None;
        i.tracers[0].start_time_of_day_s = Some(84_600.0);
    }))
    .unwrap();
    assert_eq!(codes(&found), ["suv-administration-day-before"]);
    assert_near(5000.0 * found.factors[0], 1.460_64, 5e-6);
}

#[test]
fn the_record_tells_rules_and_times_of_day_but_no_date() {
    let json = serde_json::to_string(&strict(&image()).unwrap().branch).unwrap();
    assert!(
        json.contains(r#""reference":"acquisition-at-series-time""#),
        "{json}"
    );
    assert!(json.contains(r#""administration":"date-time""#), "{json}");
    assert!(!json.contains("2025"), "{json}");
}

proptest! {
    #[test]
    fn twice_the_dose_is_half_the_suv(dose_mbq in 1.0..5000.0_f64) {
        let factor = |dose: f64| lenient(&with(|i| i.tracers[0].dose = Some(dose))).factors[0];
        let (once, twice) = (factor(dose_mbq * 1e6), factor(dose_mbq * 2e6));
        prop_assert!((once / twice - 2.0).abs() < 1e-9);
        prop_assert!((factor(dose_mbq) / once - 1.0).abs() < 1e-9, "MBq");
    }

    #[test]
    fn the_clock_of_injection_and_scan_does_not_matter_over_midnight(start in 0..1440_u32, uptake in 1..180_u32) {
        let clock = |minutes: u32| format!("{:02}{:02}00", minutes / 60 % 24, minutes % 60);
        let found = lenient(&with(|i| {
            (i.series_time, i.acquisition_time) = (at(&clock(start + uptake)), at(&clock(start + uptake)));
            i.tracers[0].start = None;
            i.tracers[0].start_time_of_day_s = Some(f64::from(start * 60));
        }));
        let wanted = 2e-4 * (f64::from(uptake * 60) / F18_S).exp2();
        prop_assert!((found.factors[0] / wanted - 1.0).abs() < 1e-9);
    }
}
