//! Which series of a study a model runs on.
//!
//! In: a study and what a model needs, as plain data. Out: the chosen series, and why not the others.

use super::{Series, Study};
use crate::quote::quoted;
use std::cmp::Ordering;

/// What a model needs of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Modality (0008,0060), such as `CT`.
    pub modality: String,
    /// Accepted words of Body Part Examined (0018,0015): `CHEST` also takes `NECKCHESTABDPELV`. A series without one always
    /// fits, and an empty list takes any.
    pub body_parts: Vec<String>,
    /// The reconstruction kernel that the model was made for.
    pub kernel: KernelPreference,
    /// Shortest stack that is worth a run, mm along z.
    pub min_coverage_mm: f64,
    /// Widest distance of slices that the model takes, mm.
    pub max_slice_spacing_mm: f64,
}

/// Which reconstruction kernel comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelPreference {
    /// Smooth, for soft tissue.
    Soft,
    /// Sharp, for lung.
    Lung,
    /// No preference.
    Any,
}

/// The outcome of [`select`].
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Indices into [`Study::series`], best first.
    pub chosen: Vec<usize>,
    /// The other series of [`Study::series`], in their order.
    pub passed_over: Vec<PassedOver>,
}

/// A volume that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Index into [`Study::series`].
    pub series: usize,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Stable kebab-case code: `modality`, `body-part`, `coverage`, `slice-spacing`, `better-series`.
    pub code: &'static str,
    /// The reason in words.
    pub text: String,
}

/// Chooses the series that a model runs on: the best one, or with `all` every one that fits.
///
/// A series fits if its modality is the model's, Body Part Examined is accepted or absent, it covers enough and its slices
/// are close enough. Of those that fit, the best is the one with, in this order: the preferred kernel (a kernel that is not
/// known comes between the preferred and the other); the least slice spacing; the most coverage; the first UID.
pub fn select(study: &Study, request: &Request, all: bool) -> Selection {
    let mut fitting = Vec::new();
    let mut refused = Vec::new();
    for (index, series) in study.series.iter().enumerate() {
        match misfit(series, request) {
            None => fitting.push(index),
            Some((code, text)) => refused.push((index, code, text)),
        }
    }
    fitting.sort_by(|a, b| compare(&study.series[*a], &study.series[*b], request.kernel));
    if !all {
        for index in fitting.drain(1.min(fitting.len())..) {
            let text =
                String::from("another series has a better kernel, thinner slices or more coverage");
            refused.push((index, "better-series", text));
        }
    }
    refused.sort_by_key(|(index, ..)| *index);
    let passed_over = |(index, code, text): (usize, &'static str, String)| PassedOver {
        series: index,
        series_instance_uid: study.series[index].uid().to_owned(),
        code,
        text,
    };
    Selection {
        chosen: fitting,
        passed_over: refused.into_iter().map(passed_over).collect(),
    }
}

/// Distance between the centres of neighbouring slices, mm.
fn slice_spacing_mm(series: &Series) -> f64 {
    series.geometry.spacing_mm()[0]
}

/// Height of the volume from foot to head, half a slice above and below included, mm.
fn coverage_mm(series: &Series) -> f64 {
    let (lower, upper) = series.geometry.bounds_lps_mm();
    upper.z - lower.z + slice_spacing_mm(series)
}

/// Why a series does not fit at all.
fn misfit(series: &Series, request: &Request) -> Option<(&'static str, String)> {
    let slice = series.instances.first()?;
    if slice.modality != request.modality {
        let text = format!(
            "modality {}, the model takes {}",
            slice.modality, request.modality
        );
        return Some(("modality", text));
    }
    if let Some(part) = foreign_body_part(series, request) {
        return Some((
            "body-part",
            format!(
                "body part {}, which the model was not made for",
                quoted(part)
            ),
        ));
    }
    let coverage_mm = coverage_mm(series);
    if coverage_mm < request.min_coverage_mm {
        let needed = request.min_coverage_mm;
        return Some((
            "coverage",
            format!("covers {coverage_mm:.0} mm, the model needs {needed:.0} mm"),
        ));
    }
    let spacing_mm = slice_spacing_mm(series);
    if spacing_mm > request.max_slice_spacing_mm {
        let limit = request.max_slice_spacing_mm;
        return Some((
            "slice-spacing",
            format!("slices {spacing_mm:.2} mm apart, the model takes {limit:.2} mm"),
        ));
    }
    None
}

/// The first body part that is named, where none of those named fits; frames may each name their own.
fn foreign_body_part<'a>(series: &'a Series, request: &Request) -> Option<&'a str> {
    // Defined terms of several parts are written together (PS3.16 Annex L), and makers add signs.
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphabetic);
        letters.map(|c| c.to_ascii_uppercase()).collect()
    };
    let fits = |part: &str| {
        let found = letters(part);
        let whole = ["WHOLEBODY", "TRUNK", ""].contains(&found.as_str());
        let accepted = |known: &String| found.contains(&letters(known));
        whole || request.body_parts.is_empty() || request.body_parts.iter().any(accepted)
    };
    let parts = series
        .instances
        .iter()
        .filter_map(|s| s.body_part.as_deref());
    let fitting = parts.clone().any(fits);
    parts.clone().next().filter(|_| !fitting)
}

/// Best first.
fn compare(a: &Series, b: &Series, preference: KernelPreference) -> Ordering {
    kernel_rank(a, preference)
        .cmp(&kernel_rank(b, preference))
        .then(slice_spacing_mm(a).total_cmp(&slice_spacing_mm(b)))
        .then(coverage_mm(b).total_cmp(&coverage_mm(a)))
        .then(a.uid().cmp(b.uid()))
}

/// 0 preferred, 1 not known, 2 the other kind.
fn kernel_rank(series: &Series, preference: KernelPreference) -> u8 {
    let kernel = series.instances.first().and_then(|i| i.kernel.as_deref());
    match (preference, kernel.and_then(sharpness)) {
        (KernelPreference::Any, _)
        | (KernelPreference::Soft, Some(Sharpness::Soft))
        | (KernelPreference::Lung, Some(Sharpness::Sharp)) => 0,
        (_, None) => 1,
        _ => 2,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharpness {
    Soft,
    Sharp,
}

/// Whether a Convolution Kernel (0018,1210) is sharp, for lung or bone; none where its name is not known.
pub fn is_sharp_kernel(kernel: &str) -> Option<bool> {
    sharpness(kernel).map(|sharpness| sharpness == Sharpness::Sharp)
}

/// What makers' kernel names mean: words (GE and others), a letter code with a number (Siemens, `B70f`, `Br40d\3`) or
/// `FC` with a number (Canon).
fn sharpness(kernel: &str) -> Option<Sharpness> {
    const SHARP: [&str; 4] = ["LUNG", "BONE", "EDGE", "SHARP"];
    const SOFT: [&str; 4] = ["STANDARD", "STND", "SOFT", "CHEST"];
    /// Siemens kernels from this number on are for lung and bone.
    const SIEMENS_SHARP: u32 = 55;
    let kernel = kernel.to_ascii_uppercase();
    let has = |word: &str| kernel.contains(word);
    if SHARP.iter().any(|word| has(word)) {
        return Some(Sharpness::Sharp);
    }
    if SOFT.iter().any(|word| has(word)) {
        return Some(Sharpness::Soft);
    }
    let letters = kernel.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let digits = letters.split(|c: char| !c.is_ascii_digit()).next()?;
    let number: u32 = digits.parse().ok()?;
    let sharp = match &kernel[..kernel.len() - letters.len()] {
        "FC" => (30..40).contains(&number) || (50..60).contains(&number) || number >= 80,
        "B" | "I" | "BR" | "BF" | "BL" | "BV" | "BI" | "QR" => number >= SIEMENS_SHARP,
        _ => return None,
    };
    Some(if sharp {
        Sharpness::Sharp
    } else {
        Sharpness::Soft
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{STUDY, at, instances, slice, with};
    use super::*;
    use dicom_core::VR;
    use dicom_dictionary_std::tags;
    use glam::DVec3;

    fn series(uid: &str, kernel: &str, spacing_mm: f64, count: u16) -> Series {
        let object = |z: u16| {
            let object = with(slice(z), tags::SERIES_INSTANCE_UID, VR::UI, uid);
            let object = with(object, tags::CONVOLUTION_KERNEL, VR::SH, kernel);
            at(object, DVec3::new(0.0, 0.0, spacing_mm * f64::from(z)))
        };
        Series::from_instances(instances((0..count).map(object))).unwrap()
    }

    fn study(series: Vec<Series>) -> Study {
        Study {
            study_instance_uid: STUDY.into(),
            series,
            left_out: Vec::new(),
        }
    }

    fn request(kernel: KernelPreference) -> Request {
        Request {
            modality: "CT".into(),
            body_parts: vec!["CHEST".into()],
            kernel,
            min_coverage_mm: 20.0,
            max_slice_spacing_mm: 3.0,
        }
    }

    fn four_reconstructions() -> Study {
        study(vec![
            series("1.2.1", "STANDARD", 2.5, 20),
            series("1.2.2", "LUNG", 1.25, 40),
            series("1.2.3", "STANDARD", 1.25, 40),
            series("1.2.4", "LUNG", 5.0, 10),
        ])
    }

    #[test]
    fn the_thinnest_series_of_the_preferred_kernel_is_chosen() {
        let study = four_reconstructions();
        assert_eq!(
            select(&study, &request(KernelPreference::Soft), false).chosen,
            [2]
        );
        assert_eq!(
            select(&study, &request(KernelPreference::Lung), false).chosen,
            [1]
        );
    }

    #[test]
    fn the_others_are_listed_with_the_reason() {
        let selection = select(
            &four_reconstructions(),
            &request(KernelPreference::Soft),
            false,
        );
        let reasons: Vec<_> = selection
            .passed_over
            .iter()
            .map(|p| (p.series_instance_uid.as_str(), p.code))
            .collect();
        assert_eq!(
            reasons,
            [
                ("1.2.1", "better-series"),
                ("1.2.2", "better-series"),
                ("1.2.4", "slice-spacing")
            ]
        );
    }

    #[test]
    fn all_takes_every_series_that_fits_best_first() {
        let selection = select(
            &four_reconstructions(),
            &request(KernelPreference::Soft),
            true,
        );
        assert_eq!(selection.chosen, [2, 0, 1]);
        assert_eq!(selection.passed_over.len(), 1);
    }

    #[test]
    fn coverage_then_uid_break_ties() {
        let longer = study(vec![
            series("1.2.1", "", 2.0, 20),
            series("1.2.2", "", 2.0, 30),
        ]);
        assert_eq!(
            select(&longer, &request(KernelPreference::Soft), false).chosen,
            [1]
        );
        let equal = study(vec![
            series("1.2.2", "", 2.0, 20),
            series("1.2.1", "", 2.0, 20),
        ]);
        assert_eq!(
            select(&equal, &request(KernelPreference::Any), false).chosen,
            [1]
        );
    }

    #[test]
    fn short_foreign_and_other_series_do_not_fit() {
        let mut head = series("1.2.1", "", 2.0, 20);
        head.instances[0].body_part = Some("HEAD".into());
        let mut pet = series("1.2.2", "", 2.0, 20);
        pet.instances[0].modality = "PT".into();
        let short = series("1.2.3", "", 2.0, 5);
        let selection = select(
            &study(vec![head, pet, short]),
            &request(KernelPreference::Any),
            true,
        );
        let codes: Vec<_> = selection.passed_over.iter().map(|p| p.code).collect();
        assert_eq!(codes, ["body-part", "modality", "coverage"]);
        assert_eq!(selection.chosen, [0_usize; 0]);
    }

    #[test]
    fn a_body_part_fits_if_the_models_is_among_it() {
        let fits = |part: &str| {
            let mut series = series("1.2.1", "", 2.0, 20);
            series.instances[0].body_part = Some(part.into());
            let selection = select(&study(vec![series]), &request(KernelPreference::Any), true);
            selection.chosen == [0]
        };
        for chest in [
            "CHEST",
            "Chest",
            "CHESTABDPELVIS",
            "NECK_CHEST",
            "WHOLEBODY",
            "WHOLE BODY",
        ] {
            assert!(fits(chest), "{chest}");
        }
        for other in ["HEAD", "BRAIN", "ABDOMEN", "NECK", "EXTREMITY"] {
            assert!(!fits(other), "{other}");
        }
    }

    #[test]
    fn frames_of_which_one_shows_the_models_part_fit() {
        let mut series = series("1.2.1", "", 2.0, 20);
        for instance in &mut series.instances {
            instance.body_part = Some("ABDOMEN".into());
        }
        series.instances[19].body_part = Some("CHEST".into());
        let partly = select(
            &study(vec![series.clone()]),
            &request(KernelPreference::Any),
            true,
        );
        assert_eq!(partly.chosen, [0]);
        series.instances[19].body_part = Some("PELVIS".into());
        let other = select(&study(vec![series]), &request(KernelPreference::Any), true);
        assert_eq!(other.passed_over[0].code, "body-part");
    }

    #[test]
    fn makers_kernel_names_are_told_apart() {
        for soft in [
            "STANDARD",
            "Soft Tissue",
            "B30f",
            "Br40d\\3",
            "I31s",
            "FC08",
        ] {
            assert_eq!(sharpness(soft), Some(Sharpness::Soft), "{soft}");
        }
        for sharp in [
            "LUNG",
            "BONEPLUS",
            "B70f",
            "Bl64f\\2",
            "Br59d",
            "FC52",
            "FC86",
            "B_SHARP_C",
        ] {
            assert_eq!(sharpness(sharp), Some(Sharpness::Sharp), "{sharp}");
        }
        for unknown in ["", "C", "YA", "5", "é"] {
            assert_eq!(sharpness(unknown), None, "{unknown}");
        }
    }
}
