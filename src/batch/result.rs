//! How one study of a batch ended, for people and as JSON.

use crate::dicom::Study;
use crate::lesion::{Assessment, Band};
use crate::report::{LeftOutSeries, Reason, SeriesRun, Status, StudyReport};
use crate::{Class, Error};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// How one study ended.
#[derive(Debug, Serialize)]
pub struct StudyResult {
    study_instance_uid: String,
    /// The volume file that the study is, as the person who gave it knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<PathBuf>,
    outcome: StudyOutcome,
    /// The folder of its results.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    series: Vec<SeriesResult>,
    lesions: usize,
    highest_confidence: Option<f32>,
    /// Of the lesions that a classifier assessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    assessed: Option<Assessed>,
}

/// Lesions in each band of confidence, and those that a person must look at.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Assessed {
    high: usize,
    intermediate: usize,
    low: usize,
    review: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum StudyOutcome {
    Written,
    Unchanged,
    Failed,
}

#[derive(Debug, Serialize)]
struct SeriesResult {
    series_instance_uid: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl StudyResult {
    fn ended(study: &Study, outcome: StudyOutcome, reason: Option<Reason>) -> Self {
        let study_instance_uid = study.study_instance_uid.clone();
        Self {
            study_instance_uid,
            source: None,
            outcome,
            dir: None,
            reason,
            series: Vec::new(),
            lesions: 0,
            highest_confidence: None,
            assessed: None,
        }
    }

    /// No results, and why.
    pub fn failure(study: &Study, error: &Error) -> Self {
        Self::ended(study, StudyOutcome::Failed, Some(reason_of(error)))
    }

    /// The same run was written before.
    pub fn unchanged(study: &Study, dir: PathBuf) -> Self {
        let result = Self::ended(study, StudyOutcome::Unchanged, None);
        Self {
            dir: Some(dir),
            ..result
        }
    }

    /// The report was written to `dir`.
    pub fn written(study: &Study, report: &StudyReport<'_>, dir: PathBuf) -> Self {
        let lesions = || report.runs.iter().flat_map(|run| &run.lesions);
        Self {
            dir: Some(dir),
            series: report
                .runs
                .iter()
                .map(SeriesResult::of_run)
                .chain(report.left_out.iter().map(SeriesResult::of_left_out))
                .collect(),
            lesions: lesions().count(),
            highest_confidence: lesions()
                .map(|(lesion, _)| lesion.confidence)
                .reduce(f32::max),
            assessed: Assessed::count(
                lesions().filter_map(|(lesion, _)| lesion.assessment.as_ref()),
            ),
            ..Self::ended(study, StudyOutcome::Written, None)
        }
    }

    /// Study Instance UID.
    pub fn study_instance_uid(&self) -> &str {
        &self.study_instance_uid
    }

    /// Tells which volume file the study is; its UID says it to nobody.
    pub fn name_source(&mut self, source: Option<PathBuf>) {
        self.source = source;
    }

    /// Whether a person must look at what went wrong.
    pub fn failed(&self) -> bool {
        self.outcome == StudyOutcome::Failed
            || self.series.iter().any(|s| s.status == Status::Failed)
    }

    /// The folder of its results, where there are any.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Why another try may end otherwise: what failed for a reason that lies in this machine or this program.
    pub fn passing_failure(&self) -> Option<&Reason> {
        let is_passing =
            |reason: &&Reason| matches!(reason.class, Class::Environment | Class::Internal);
        self.failure_reasons().find(is_passing)
    }

    /// Why there are no results at all.
    pub fn failure_reason(&self) -> Option<&Reason> {
        self.reason
            .as_ref()
            .filter(|_| self.outcome == StudyOutcome::Failed)
    }

    fn failure_reasons(&self) -> impl Iterator<Item = &Reason> {
        let series = self.series.iter().filter(|s| s.status == Status::Failed);
        self.failure_reason()
            .into_iter()
            .chain(series.filter_map(|s| s.reason.as_ref()))
    }

    /// Whether any model ran to its end: only then does "no lesion" mean that none was found.
    fn ran(&self) -> bool {
        self.series.iter().any(|s| s.status == Status::Done)
    }

    /// One line a failure.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let line = |what: &str, reason: &Reason, uid: &str| {
            format!(
                "{what} failed [{}] {} ({what} {uid})",
                reason.code, reason.text
            )
        };
        let study = self
            .reason
            .iter()
            .filter(|_| self.outcome == StudyOutcome::Failed);
        let series = self.series.iter().filter(|s| s.status == Status::Failed);
        let series = series
            .filter_map(move |s| Some(line("series", s.reason.as_ref()?, &s.series_instance_uid)));
        study
            .map(move |reason| line("study", reason, &self.study_instance_uid))
            .chain(series)
    }
}

impl fmt::Display for StudyResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.dir.as_deref().map_or_else(
            || self.study_instance_uid.clone(),
            |dir| dir.display().to_string(),
        );
        if let Some(source) = &self.source {
            write!(f, "{} -> ", source.display())?;
        }
        match self.outcome {
            StudyOutcome::Written => match self.highest_confidence {
                Some(highest) => {
                    write!(f, "{place}: {} lesion(s)", self.lesions)?;
                    if let Some(assessed) = &self.assessed {
                        write!(f, " ({assessed})")?;
                    }
                    write!(f, ", highest confidence {highest:.2}")
                }
                None if self.failed() => write!(f, "{place}: failed, see findings.json"),
                None if !self.ran() => write!(f, "{place}: no series was run, see findings.json"),
                None => write!(f, "{place}: no lesion"),
            },
            StudyOutcome::Unchanged => write!(
                f,
                "{place}: the results of this run are there already, left alone"
            ),
            StudyOutcome::Failed => write!(
                f,
                "{place}: failed, {}",
                self.reason.as_ref().map_or("", |r| &r.text)
            ),
        }
    }
}

impl Assessed {
    /// `None` of none.
    fn count<'a>(assessments: impl Iterator<Item = &'a Assessment>) -> Option<Self> {
        let mut count = None;
        for assessment in assessments {
            let count = count.get_or_insert_with(Self::default);
            *match assessment.band {
                Band::High => &mut count.high,
                Band::Intermediate => &mut count.intermediate,
                Band::Low => &mut count.low,
            } += 1;
            count.review += usize::from(!assessment.review.is_empty());
        }
        count
    }
}

impl fmt::Display for Assessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            high,
            intermediate,
            low,
            review,
        } = self;
        write!(
            f,
            "{high} high, {intermediate} intermediate, {low} low; {review} for review"
        )
    }
}

impl SeriesResult {
    fn of_run(run: &SeriesRun<'_>) -> Self {
        Self {
            series_instance_uid: run.series.uid().into(),
            status: run.status,
            reason: run.reason.clone(),
        }
    }

    fn of_left_out(left_out: &LeftOutSeries) -> Self {
        Self {
            series_instance_uid: left_out.series_instance_uid.clone(),
            status: left_out.status,
            reason: Some(left_out.reason.clone()),
        }
    }
}

/// Code and words of an error, as they stand in `findings.json`.
pub(super) fn reason_of(error: &Error) -> Reason {
    let hint = if error.class() == Class::Internal {
        " (a defect of this program; please report it)"
    } else {
        ""
    };
    Reason {
        code: error.code().into(),
        text: format!("{error}{hint}"),
        class: error.class(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesion::ReviewReason;

    #[test]
    fn nothing_found_is_not_said_where_nothing_was_run() {
        let study = |status| StudyResult {
            study_instance_uid: "1.2".into(),
            outcome: StudyOutcome::Written,
            source: None,
            dir: None,
            reason: None,
            series: vec![SeriesResult {
                series_instance_uid: "1.2.3".into(),
                status,
                reason: None,
            }],
            lesions: 0,
            highest_confidence: None,
            assessed: None,
        };
        assert_eq!(study(Status::Done).to_string(), "1.2: no lesion");
        assert!(!study(Status::Skipped).to_string().contains("no lesion"));
        assert!(!study(Status::Failed).to_string().contains("no lesion"));
    }

    #[test]
    fn lesions_are_counted_by_band_and_by_need_for_review() {
        let assessment = |band, review: &[ReviewReason]| Assessment {
            confidence: 0.5,
            band,
            review: review.into(),
            nodule_type: None,
            logit: 0.0,
            spread: 0.0,
            novelty: 0.0,
        };
        let reasons = [ReviewReason::Undecided, ReviewReason::Unfamiliar];
        let of = |assessments: &[Assessment]| Assessed::count(assessments.iter());
        assert_eq!(of(&[]), None);
        let found = of(&[
            assessment(Band::High, &[]),
            assessment(Band::Intermediate, &reasons),
            assessment(Band::Low, &[]),
            assessment(Band::Low, &reasons[..1]),
        ]);
        let line = "1 high, 1 intermediate, 2 low; 2 for review";
        assert_eq!(found.expect("four").to_string(), line);
    }
}
