//! What a run measured of a PET, as SR: the uptake of each lesion, reference regions, and the sums over the patient.

mod entry;

use super::codes::{self, SuvTerms, Term};
use super::content::{Node, coded, container, number, text, uid_reference};
use super::finding::Finding;
use super::{SeriesRun, Status, StudyReport, sr};
use crate::lesion::pet::{NoReference, PetReview, Reference, Site, Threshold};
use crate::measure::{
    Delineation, PetMeasurement, PetSummary, RuleVolume, SUV_PEAK_VARIANT, UptakeOnPet,
};
use crate::suv::{Branch, Ratios};

pub(super) use entry::{OnPetEntry, PetEntry, PetSeriesEntry, SuvEntry};

/// What a run measured of a PET as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PetRun {
    /// By which rules its values became SUV.
    pub branch: Branch,
    /// The other SUVs that are reported beside SUVbw, as factors of it; `None` reports SUVbw alone.
    pub ratios: Option<Ratios>,
    /// Sums over the lesions of this run.
    pub summary: PetSummary,
    /// The liver, or why there is none to compare with.
    pub liver: Result<Reference, NoReference>,
    /// The mediastinal blood pool, likewise.
    pub blood_pool: Result<Reference, NoReference>,
}

impl PetRun {
    /// The regions that lesions are compared with, or why there are none.
    fn references(&self) -> [(Site, Result<Reference, NoReference>); 2] {
        [
            (Site::Liver, self.liver),
            (Site::BloodPool, self.blood_pool),
        ]
    }

    /// The rules that made SUVs of the values, for people who check them.
    pub(super) fn branch_text(&self) -> String {
        let branch = serde_json::to_string(&self.branch).unwrap_or_default();
        format!("SUV branch: {branch}")
    }

    /// Which regions to compare with are missing and why, as `code: text`.
    pub(super) fn missing_references(&self) -> impl Iterator<Item = String> {
        let missing = |(site, found): (Site, Result<Reference, NoReference>)| {
            let error = found.err()?;
            Some(format!(
                "No reference region ({}). {}: {error}",
                site_name(site),
                error.code()
            ))
        };
        self.references().into_iter().filter_map(missing)
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
    let drawn_by = pet.delineation.as_ref().map(|drawn| drawn.rule);
    nodes.extend(volume(pet.mtv_ml, pet.tlg_g, drawn_by));
    nodes.extend(pet.delineation.iter().flat_map(delineation));
    let by_rule = |v: &RuleVolume| volume(v.mtv_ml, v.tlg_g, Some(v.rule));
    nodes.extend(pet.by_rule.iter().flat_map(by_rule));
    if finding.is_normal() {
        nodes.push(coded(codes::INTERPRETATION, codes::NORMAL));
        nodes.push(text(codes::COMMENT, NORMAL_NOTE));
    }
    nodes
}

/// The uptake of a lesion on a CT where the study's PET has it, for its TID 1411 group.
pub(super) fn uptake_on_pet(finding: &Finding) -> Vec<Node> {
    const NOTE: &str =
        "SUV of the study's PET where this CT shows the lesion; breathing may have moved it there.";
    let found = finding.measurement.on_pet.iter();
    let nodes = |found: &UptakeOnPet| {
        [
            suv_number(&codes::SUVBW, codes::MAXIMUM, found.suv_max),
            suv_number(&codes::SUVBW, codes::MEAN, found.suv_mean),
            text(codes::COMMENT, NOTE),
        ]
    };
    found.flat_map(nodes).collect()
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

/// Metabolic volume and glycolysis; the rule of their voxels is their algorithm (TID 4019), for no standard has codes for it.
fn volume(mtv_ml: f64, tlg_g: f64, rule: Option<Threshold>) -> [Node; 2] {
    [
        number(codes::METABOLIC_VOLUME, mtv_ml, codes::ML),
        number(codes::TOTAL_LESION_GLYCOLYSIS, tlg_g, codes::GRAM),
    ]
    .map(|node| {
        node.for_each(rule, |node, rule| {
            node.has_concept_mod(text(codes::ALGORITHM_NAME, rule.code()))
                .has_concept_mod(text(codes::ALGORITHM_VERSION, env!("CARGO_PKG_VERSION")))
                .has_concept_mod(text(codes::ALGORITHM_PARAMETERS, &rule_text(rule)))
        })
    })
}

/// How rules drew a lesion, and why a person must look.
fn delineation(drawn: &Delineation) -> Vec<Node> {
    let raised = match drawn.is_raised {
        true => ", raised above the rule's so that the lesion ends",
        false => "",
    };
    let note = format!(
        "Drawn at SUV {:.3} and above{raised}; SUV {:.3} around it.",
        drawn.least_suv, drawn.background_suv
    );
    let review = drawn.review.iter().map(|reason| {
        let why = recommendation(*reason);
        text(codes::RECOMMENDATION, &why)
    });
    std::iter::once(text(codes::COMMENT, &note))
        .chain(review)
        .collect()
}

/// As `code: text`; no standard has codes for these.
fn recommendation(reason: PetReview) -> String {
    let why = match reason {
        PetReview::BesidePhysiologic => "it touches physiologic uptake and may be part of it",
        PetReview::OrganUncertain => "its place and shape may be those of a lesion as well",
        PetReview::ThresholdRaised => "its volume depends on what lies around it",
    };
    format!("{}: a person must look; {why}", reason.code())
}

fn rule_text(rule: Threshold) -> String {
    match rule {
        Threshold::OfMax(share) => {
            let percent = (share * 1e5).round() / 1e3;
            format!("SUV at least {percent} % of the lesion's maximum")
        }
        Threshold::Fixed(suv) => format!("SUV at least {suv}"),
        Threshold::Liver(sds) => {
            format!("SUV at least the liver's mean and {sds} standard deviations")
        }
    }
}

/// TID 1501 groups of every PET: its reference regions, then the sums over its lesions.
pub(super) fn groups(report: &StudyReport) -> Vec<Node> {
    let of_run = |(number, (run, pet)): (usize, (&SeriesRun, &PetRun))| {
        let group = |name: &str| {
            let name = format!("pet-{}-{name}", number + 1);
            tracked(report, run, &name)
        };
        let found = pet
            .references()
            .into_iter()
            .filter_map(|(_, found)| found.ok());
        let mut groups: Vec<Node> = found
            .map(|found| reference(group(site_name(found.site)), &found))
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

fn reference(group: Node, found: &Reference) -> Node {
    let quality = match found.is_expected {
        true => codes::MEETS_QUALITY,
        false => codes::LACKS_QUALITY,
    };
    let suv = |derivation, value| suv_number(&codes::SUVBW, derivation, value);
    let volume_mm3 = 4.0 / 3.0 * std::f64::consts::PI * found.radius_mm.powi(3);
    let at = found.centre_lps_mm;
    let note = format!(
        "Sphere of {} mm radius about ({:.1}, {:.1}, {:.1}) mm in patient coordinates, {} voxels.",
        found.radius_mm, at.x, at.y, at.z, found.voxels
    );
    let unexpected = (!found.is_expected).then_some(UNEXPECTED);
    let notes = std::iter::once(note.as_str()).chain(unexpected);
    group
        .contains(coded(codes::FINDING_CATEGORY, codes::SPATIAL_CONCEPT))
        .contains(coded(codes::FINDING, codes::REFERENCE_REGION))
        .has_concept_mod(coded(
            codes::FINDING_SITE,
            codes::reference_site(found.site),
        ))
        .contains(suv(codes::MEAN, found.mean_suv))
        .contains(suv(codes::STANDARD_DEVIATION, found.sd_suv))
        .contains(number(codes::VOLUME, volume_mm3, codes::MM3))
        .contains(coded(codes::QUALITY_ASSESSMENT, quality))
        .for_each(notes, |group, note| {
            group.contains(text(codes::COMMENT, note))
        })
}

const UNEXPECTED: &str = "Its mean is not what is expected (liver: SUV 1.3 to 3.0): check dose, weight, uptake time and the place.";

/// Name of a reference region, as it stands in reports.
fn site_name(site: Site) -> &'static str {
    match site {
        Site::Liver => "liver",
        Site::BloodPool => "mediastinal-blood-pool",
    }
}

fn sums(group: Node, summary: &PetSummary) -> Node {
    const NOTE: &str = "Sums over the PET lesions of this report; physiologic uptake is in none. The distance is the largest between the centroids of two lesions.";
    let total = |name, value, unit| {
        number(name, value, unit).has_concept_mod(coded(codes::DERIVATION, codes::TOTAL))
    };
    group
        .contains(coded(codes::FINDING_CATEGORY, codes::ABNORMAL))
        .contains(coded(codes::FINDING, codes::SUMMARY_OF_DETECTIONS))
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
