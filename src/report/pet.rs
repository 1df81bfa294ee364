//! What a run measured of a PET, as SR: the uptake of each lesion, reference regions, and the sums over the patient.

mod entry;

use super::codes::{self, SuvTerms, Term};
use super::content::{Node, coded, container, number, text, uid_reference};
use super::finding::Finding;
use super::{SeriesRun, Status, StudyReport, sr};
use crate::code::Code;
use crate::measure::{
    PetMeasurement, PetSummary, ReferenceDoubt, ReferenceRegion, RuleVolume, SUV_PEAK_VARIANT,
    VolumeRule,
};
use crate::suv::{Branch, Ratios};

pub(super) use entry::{PetEntry, PetSeriesEntry, SuvEntry};

/// What a run measured of a PET as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PetRun {
    /// By which rules its values became SUV.
    pub branch: Branch,
    /// The other SUVs that are reported beside SUVbw, as factors of it; `None` reports SUVbw alone.
    pub ratios: Option<Ratios>,
    /// Sums over the lesions of this run.
    pub summary: PetSummary,
    /// Regions that lesions are compared with.
    pub reference_regions: Vec<ReferenceRegion>,
}

impl PetRun {
    /// The rules that made SUVs of the values, for people who check them.
    pub(super) fn branch_text(&self) -> String {
        let branch = serde_json::to_string(&self.branch).unwrap_or_default();
        format!("SUV branch: {branch}")
    }
}

/// Runs on a PET, each with what it measured.
pub(super) fn runs<'a>(
    report: &'a StudyReport,
) -> impl Iterator<Item = (&'a SeriesRun<'a>, &'a PetRun)> {
    let done = report.runs.iter().filter(|run| run.status == Status::Done);
    done.filter_map(|run| Some((run, run.pet.as_ref()?)))
}

/// The uptake of a lesion, for its TID 1411 group; nothing of a lesion on CT.
pub(super) fn uptake(finding: &Finding) -> Vec<Node> {
    let Some(pet) = &finding.measurement.pet else {
        return Vec::new();
    };
    let ratios = finding.run.pet.as_ref().and_then(|run| run.ratios);
    let mut nodes: Vec<Node> = suvs(ratios)
        .into_iter()
        .flat_map(|(terms, ratio)| values(pet, &terms, ratio))
        .collect();
    nodes.push(text(codes::COMMENT, &peak_text(pet)));
    nodes.push(number(codes::METABOLIC_VOLUME, pet.mtv_ml, codes::ML));
    nodes.push(number(codes::TOTAL_LESION_GLYCOLYSIS, pet.tlg_g, codes::GRAM));
    nodes.extend(pet.by_rule.iter().flat_map(by_rule));
    if finding.is_normal() {
        nodes.push(coded(codes::INTERPRETATION, codes::NORMAL));
        nodes.push(text(codes::COMMENT, NORMAL_NOTE));
    }
    nodes
}

const NORMAL_NOTE: &str =
    "Physiologic uptake: normal by its place and shape, and in no sum over the lesions.";

fn peak_text(pet: &PetMeasurement) -> String {
    let note = match pet.suv_peak {
        Some(_) => "highest mean in a sphere of 1 cm3 with its centre in the lesion",
        None => "not given, for every such sphere leaves the image",
    };
    format!("SUVpeak ({SUV_PEAK_VARIANT}): {note}.")
}

/// SUVbw, and the others with what it is multiplied by.
fn suvs(ratios: Option<Ratios>) -> Vec<(SuvTerms, f64)> {
    let others = ratios.map_or_else(Vec::new, |ratios| {
        vec![
            (codes::SUVLBM_JAMES128, ratios.suvlbm_james128),
            (codes::SUVLBM_JANMA, ratios.suvlbm_janmahasatian),
            (codes::SUVBSA, ratios.suvbsa),
            (codes::SUVIBW, ratios.suvibw),
        ]
    });
    let others = others.into_iter();
    let others = others.filter_map(|(terms, ratio)| Some((terms, ratio?)));
    std::iter::once((codes::SUVBW, 1.0)).chain(others).collect()
}

fn values(pet: &PetMeasurement, terms: &SuvTerms, ratio: f64) -> Vec<Node> {
    let value = |derivation, suv: f64| suv_number(terms, derivation, suv * ratio);
    let peak = pet.suv_peak.map(|peak| value(codes::PEAK, peak.suv));
    let maximum = value(codes::MAXIMUM, pet.suv_max);
    let mean = value(codes::MEAN, pet.suv_mean);
    std::iter::once(maximum).chain(peak).chain([mean]).collect()
}

fn suv_number(terms: &SuvTerms, derivation: Term, value: f64) -> Node {
    number(terms.name, value, terms.unit)
        .has_concept_mod(coded(codes::DERIVATION, derivation))
        .has_concept_mod(coded(codes::MEASUREMENT_METHOD, terms.method))
}

fn by_rule(volume: &RuleVolume) -> [Node; 2] {
    let rule = rule(volume.rule);
    let method = || coded(codes::MEASUREMENT_METHOD, Term::from(&rule));
    [
        number(codes::METABOLIC_VOLUME, volume.mtv_ml, codes::ML).has_concept_mod(method()),
        number(codes::TOTAL_LESION_GLYCOLYSIS, volume.tlg_g, codes::GRAM)
            .has_concept_mod(method()),
    ]
}

/// A rule as a private code; no standard has one.
fn rule(rule: VolumeRule) -> Code {
    let short = |value: f64| (value * 1e3).round() / 1e3;
    let (value, meaning) = match rule {
        VolumeRule::PartOfMax(part) => {
            let percent = short(part * 100.0);
            let meaning = format!("SUV at least {percent} % of the lesion's maximum");
            (format!("mtv-max-{percent}"), meaning)
        }
        VolumeRule::AtLeast(suv) => {
            let suv = short(suv);
            (format!("mtv-suv-{suv}"), format!("SUVbw at least {suv} g/ml"))
        }
        VolumeRule::AboveLiver => {
            let meaning = "SUV at least the liver's mean and 3 standard deviations";
            ("mtv-liver".into(), meaning.into())
        }
    };
    Code::new(&value, "99HILUM", &meaning)
}

/// TID 1501 groups of every PET: its reference regions, then the sums over its lesions.
pub(super) fn groups(report: &StudyReport) -> Vec<Node> {
    let of_run = |(number, (run, pet)): (usize, (&SeriesRun, &PetRun))| {
        let regions = pet.reference_regions.iter().enumerate();
        let group = |name: &str| {
            let name = format!("pet-{}-{name}", number + 1);
            tracked(report, run, &name)
        };
        let mut groups: Vec<Node> = regions
            .map(|(i, region)| reference(group(&format!("reference-{}", i + 1)), region))
            .collect();
        groups.push(sums(group("sum"), &pet.summary));
        groups
    };
    runs(report).enumerate().flat_map(of_run).collect()
}

/// A group that is not of one lesion.
fn tracked(report: &StudyReport, run: &SeriesRun, name: &str) -> Node {
    let group = container(codes::MEASUREMENT_GROUP)
        .template("1501")
        .has_obs_context(text(codes::TRACKING_IDENTIFIER, name))
        .has_obs_context(uid_reference(
            codes::TRACKING_UNIQUE_IDENTIFIER,
            &report.uid_source.uid(name),
        ));
    sr::algorithm(group, &run.model, &report.provenance)
}

fn reference(group: Node, region: &ReferenceRegion) -> Node {
    let quality = match region.doubts.is_empty() {
        true => codes::MEETS_QUALITY,
        false => codes::LACKS_QUALITY,
    };
    let suv = |derivation, value| suv_number(&codes::SUVBW, derivation, value);
    let site = codes::reference_site(region.kind);
    group
        .contains(coded(codes::FINDING_CATEGORY, codes::SPATIAL_CONCEPT))
        .contains(coded(codes::FINDING, codes::REFERENCE_REGION))
        .has_concept_mod(coded(codes::FINDING_SITE, site))
        .contains(suv(codes::MEAN, region.suv_mean))
        .contains(suv(codes::STANDARD_DEVIATION, region.suv_sd))
        .contains(number(codes::VOLUME, region.volume_ml * 1e3, codes::MM3))
        .contains(coded(codes::QUALITY_ASSESSMENT, quality))
        .for_each(&region.doubts, |group, doubt| {
            group.contains(text(codes::COMMENT, &doubt_text(*doubt)))
        })
}

/// As `code: text`; no standard has codes for these.
fn doubt_text(doubt: ReferenceDoubt) -> String {
    format!("{}: {doubt}", doubt.code())
}

fn sums(group: Node, summary: &PetSummary) -> Node {
    const NOTE: &str = "Sums over the PET lesions of this report; physiologic uptake is in none. The distance is the largest between the centroids of two lesions.";
    let total = |name, value, unit| {
        number(name, value, unit).has_concept_mod(coded(codes::DERIVATION, codes::TOTAL))
    };
    group
        .contains(coded(codes::FINDING_CATEGORY, codes::ABNORMAL))
        .contains(coded(codes::FINDING, codes::TUMOR_BURDEN))
        .has_concept_mod(coded(codes::FINDING_SITE, codes::ENTIRE_BODY))
        .contains(number(
            codes::NUMBER_OF_LESIONS,
            summary.sites as f64,
            codes::NO_UNITS,
        ))
        .contains(total(codes::METABOLIC_VOLUME, summary.tmtv_ml, codes::ML))
        .contains(total(
            codes::TOTAL_LESION_GLYCOLYSIS,
            summary.tlg_g,
            codes::GRAM,
        ))
        .for_each(summary.dmax_mm, |group, dmax_mm| {
            let distance = number(codes::DISTANCE, dmax_mm, codes::MM);
            group.contains(distance.has_concept_mod(coded(codes::DERIVATION, codes::MAXIMUM)))
        })
        .contains(text(codes::COMMENT, NOTE))
}
