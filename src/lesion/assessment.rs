//! How sure a model's classifier is of a lesion, of what type it is, and whether a person must look.
//!
//! In: what the classifier gives for one candidate, and the limits of the model's `model.toml`. Out: an [`Assessment`].

#![expect(
    clippy::cast_possible_truncation,
    reason = "probabilities are computed in f64 and kept in f32"
)]

use crate::code::NoduleType;
use crate::model::Evidence;
use serde::Serialize;

/// How a model reads its classifier's evidence; the values of `[classifier]` in `model.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    /// Factor of the logit.
    pub scale: f64,
    /// Added to the logit after [`Judge::scale`].
    pub offset: f64,
    /// Least confidence of [`Band::High`].
    pub high: f64,
    /// Least confidence of [`Band::Intermediate`].
    pub intermediate: f64,
    /// Confidences from here to [`Judge::undecided_to`] decide nothing.
    pub undecided_from: f64,
    /// See [`Judge::undecided_from`].
    pub undecided_to: f64,
    /// Largest spread of an ensemble that agrees.
    pub max_spread: f64,
    /// Largest novelty of what is like the training data.
    pub max_novelty: f64,
    /// Types of nodule; empty where the model tells none apart.
    pub types: Vec<NoduleType>,
}

/// What a model's classifier says of one lesion.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Calibrated probability that the candidate is a lesion, 0 to 1.
    pub confidence: f32,
    /// The same in words.
    pub band: Band,
    /// Why a person must look at it; empty where nothing speaks for that. Each reason once, in the order of the type.
    pub review: Vec<ReviewReason>,
    /// The most likely type; `None` where the model tells none apart.
    pub nodule_type: Option<TypeEstimate>,
    /// Logit before calibration.
    pub logit: f32,
    /// Standard deviation of the ensemble's logits; 0 of a single network.
    pub spread: f32,
    /// Distance of the features from those of the training data, in standard deviations of these.
    pub novelty: f32,
}

/// A type of nodule and how likely it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypeEstimate {
    /// The type.
    pub kind: NoduleType,
    /// Its probability among the types, 0 to 1.
    pub probability: f32,
}

/// A confidence in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Band {
    /// At least the model's `bands.high`.
    High,
    /// Below [`Band::High`], at least the model's `bands.intermediate`.
    Intermediate,
    /// Everything else.
    Low,
}

/// Why a person must look at a lesion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewReason {
    /// The confidence lies where the model's errors do.
    Undecided,
    /// The networks of the ensemble contradict each other.
    FoldsDisagree,
    /// Unlike anything in the training data.
    Unfamiliar,
    /// Another model that ran on the same series does not have it.
    ModelsDisagree,
}

impl ReviewReason {
    /// A stable kebab-case code, as it stands in `findings.json` and in the SR.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::FoldsDisagree => "folds-disagree",
            Self::Unfamiliar => "unfamiliar",
            Self::ModelsDisagree => "models-disagree",
        }
    }
}

impl Assessment {
    /// Reads the evidence as the model's limits say.
    pub fn new(evidence: &Evidence, judge: &Judge) -> Self {
        let confidence = sigmoid(judge.scale * f64::from(evidence.logit) + judge.offset);
        let band = match confidence {
            c if c >= judge.high => Band::High,
            c if c >= judge.intermediate => Band::Intermediate,
            _ => Band::Low,
        };
        let undecided = (judge.undecided_from..=judge.undecided_to).contains(&confidence);
        let reasons = [
            (ReviewReason::Undecided, undecided),
            (
                ReviewReason::FoldsDisagree,
                f64::from(evidence.spread) > judge.max_spread,
            ),
            (ReviewReason::Unfamiliar, judge.is_unfamiliar(evidence)),
        ];
        let applies = reasons.into_iter().filter(|(_, applies)| *applies);
        Self {
            confidence: confidence as f32,
            band,
            review: applies.map(|(reason, _)| reason).collect(),
            nodule_type: most_likely(&judge.types, &evidence.type_logits),
            logit: evidence.logit,
            spread: evidence.spread,
            novelty: evidence.novelty,
        }
    }
}

impl Judge {
    /// Whether a candidate is unlike anything in the training data.
    fn is_unfamiliar(&self, evidence: &Evidence) -> bool {
        f64::from(evidence.novelty) > self.max_novelty
    }
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The type of the largest logit, of equals the first, with its softmax.
fn most_likely(types: &[NoduleType], logits: &[f32]) -> Option<TypeEstimate> {
    let pairs = types.iter().zip(logits);
    let (kind, largest) = pairs.rev().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let relative = |logit: &f32| f64::from(logit - largest).exp();
    let sum: f64 = logits.iter().map(relative).sum();
    Some(TypeEstimate {
        kind: *kind,
        probability: (1.0 / sum) as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        Judge {
            scale: 0.5,
            offset: 1.0,
            high: 0.8,
            intermediate: 0.5,
            undecided_from: 0.3,
            undecided_to: 0.7,
            max_spread: 2.0,
            max_novelty: 30.0,
            types: vec![
                NoduleType::Solid,
                NoduleType::PartSolid,
                NoduleType::GroundGlass,
            ],
        }
    }

    fn of_logit(logit: f32) -> Assessment {
        let evidence = Evidence {
            logit,
            ..Evidence::default()
        };
        Assessment::new(&evidence, &judge())
    }

    #[test]
    fn the_confidence_is_the_sigmoid_of_the_calibrated_logit() {
        let by_hand = [(-2.0, 0.5), (1.0, 0.817_574_5), (-1e30, 0.0), (1e30, 1.0)];
        for (logit, confidence) in by_hand {
            assert!((of_logit(logit).confidence - confidence).abs() < 1e-6);
        }
    }

    #[test]
    fn bands_and_the_undecided_begin_at_their_limits() {
        let (undecided, decided) = (vec![ReviewReason::Undecided], vec![]);
        let found = [1.0, 0.0, -2.0, -3.6, -4.0].map(|logit| {
            let assessment = of_logit(logit);
            (assessment.band, assessment.review)
        });
        let expected = [
            (Band::High, decided.clone()),
            (Band::Intermediate, decided.clone()),
            (Band::Intermediate, undecided.clone()),
            (Band::Low, undecided),
            (Band::Low, decided),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn spread_and_novelty_above_their_limits_call_for_a_person() {
        let at = |spread, novelty| {
            let evidence = Evidence {
                logit: 9.0,
                spread,
                novelty,
                ..Evidence::default()
            };
            Assessment::new(&evidence, &judge()).review
        };
        assert_eq!(at(2.0, 30.0), []);
        let both = [ReviewReason::FoldsDisagree, ReviewReason::Unfamiliar];
        assert_eq!(at(2.1, 30.1), both);
    }

    #[test]
    fn the_type_is_the_most_likely_one_and_of_equals_the_first() {
        let of = |type_logits: &[f32]| {
            let evidence = Evidence {
                type_logits: type_logits.into(),
                ..Evidence::default()
            };
            let estimate = Assessment::new(&evidence, &judge()).nodule_type;
            estimate.map(|estimate| (estimate.kind, estimate.probability))
        };
        assert_eq!(of(&[]), None);
        let third = 1.0 / 3.0;
        assert_eq!(of(&[5.0; 3]), Some((NoduleType::Solid, third)));
        let (kind, probability) = of(&[0.0, 2.0f32.ln(), 0.0]).expect("one");
        assert_eq!(kind, NoduleType::PartSolid);
        assert!((probability - 0.5).abs() < 1e-6);
    }
}
