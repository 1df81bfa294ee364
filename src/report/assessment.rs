//! What a classifier says of a lesion, for the SR and for `findings.json`.

use super::codes;
use super::content::{Node, coded, number, text};
use super::finding::{Finding, Findings};
use crate::code::NoduleType;
use crate::lesion::{Assessment, Band, ReviewReason, TypeEstimate};
use serde::Serialize;

/// The keys of an assessed lesion in `findings.json`.
#[derive(Serialize)]
pub(super) struct AssessmentEntry {
    band: Band,
    review: Vec<&'static str>,
    nodule_type: Option<TypeEntry>,
    logit: f32,
    spread: f32,
    novelty: f32,
}

#[derive(Serialize)]
struct TypeEntry {
    value: NoduleType,
    probability: f32,
}

impl From<&Assessment> for AssessmentEntry {
    fn from(assessment: &Assessment) -> Self {
        let Assessment {
            band,
            review,
            nodule_type,
            logit,
            spread,
            novelty,
            ..
        } = assessment;
        Self {
            band: *band,
            review: review.iter().map(|reason| reason.code()).collect(),
            nodule_type: nodule_type.map(|TypeEstimate { kind, probability }| TypeEntry {
                value: kind,
                probability,
            }),
            logit: *logit,
            spread: *spread,
            novelty: *novelty,
        }
    }
}

/// Adds the qualitative evaluations of an assessed lesion to its TID 1411 group: the band of its confidence, its type, and
/// one recommendation for each reason why a person must look.
pub(super) fn evaluations(group: Node, assessment: &Assessment) -> Node {
    group
        .contains(coded(codes::CERTAINTY, codes::band(assessment.band)))
        .for_each(assessment.nodule_type, |group, estimate| {
            group.contains(nodule_type(estimate))
        })
        .for_each(&assessment.review, |group, reason| {
            group.contains(text(codes::RECOMMENDATION, &recommendation(*reason)))
        })
}

fn nodule_type(estimate: TypeEstimate) -> Node {
    let probability = number(
        codes::CERTAINTY_OF_FEATURE,
        percent(estimate.probability),
        codes::PERCENT,
    );
    coded(codes::TEXTURE, codes::nodule_type(estimate.kind)).has_properties(probability)
}

/// As `code: text`; no standard has codes for these.
fn recommendation(reason: ReviewReason) -> String {
    let why = match reason {
        ReviewReason::Undecided => "the model does not decide at this confidence",
        ReviewReason::FoldsDisagree => "the networks of the model contradict each other",
        ReviewReason::Unfamiliar => "it is unlike the model's training data",
        ReviewReason::ModelsDisagree => "another model that ran on this series does not have it",
    };
    format!("{}: a person must look; {why}", reason.code())
}

/// Which lesions of the whole report a person must look at, and why; `None` where there are none.
pub(super) fn review_summary(findings: &Findings) -> Option<Node> {
    let reasons = |finding: &Finding| {
        let codes = finding.review();
        let reasons = codes.join(", ");
        (!codes.is_empty()).then(|| format!("{} ({reasons})", finding.tracking_id()))
    };
    let lesions: Vec<String> = findings.all.iter().filter_map(reasons).collect();
    let (count, all) = (lesions.len(), findings.all.len());
    let lesions = lesions.join("; ");
    let summary = format!(
        "A person must look at {count} of {all} lesion(s), of which the model is not sure: {lesions}."
    );
    (count > 0).then(|| text(codes::COMMENT, &summary))
}

/// A probability in percent; digits beyond those of `f32` say nothing and are dropped.
pub(super) fn percent(probability: f32) -> f64 {
    (f64::from(probability) * 1e6).round() / 1e4
}
