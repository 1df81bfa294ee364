//! Which rule a study falls under, and what that means for its work.
//!
//! In: what was received of the study, and the rules. Out: the work, or that nothing is run.

use super::calendar::next_s;
use super::queue::Work;
use super::store::{SeriesFacts, StudyFacts};
use crate::config::{RuleConfig, When, time_of_day};
use chrono::{DateTime, TimeZone};

/// What is done with a version of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It is handed to the queue.
    Run {
        /// The work.
        work: Work,
        /// So many earlier studies of the patient are fetched.
        priors: u8,
    },
    /// It is kept, nothing is run.
    Keep {
        /// Name of the rule that says so, where there is one.
        rule: Option<String>,
        /// Why, as a code: `rule`, `no-rule`, or `prior` of a study that was fetched for a later one.
        why: &'static str,
    },
}

/// The work of the first rule that fits; where there are no rules at all, every study is run.
pub fn plan<Tz: TimeZone>(
    study_instance_uid: &str,
    version: u32,
    facts: &StudyFacts,
    rules: &[RuleConfig],
    now: &DateTime<Tz>,
) -> Plan {
    if facts.is_prior {
        let (rule, why) = (None, "prior");
        return Plan::Keep { rule, why };
    }
    let every_study = RuleConfig::default();
    let rule = match rules {
        [] => Some(&every_study),
        rules => rules.iter().find(|rule| fits(rule, facts)),
    };
    match rule {
        Some(rule) if rule.when != When::Never => Plan::Run {
            work: Work {
                study_instance_uid: study_instance_uid.to_owned(),
                version,
                rule: rule.name.clone(),
                models: rule.models.clone(),
                priority: rule.priority,
                off_peak: rule.when == When::OffPeak,
                ready_by_s: time_of_day(&rule.ready_by).and_then(|time| next_s(time, now)),
            },
            priors: rule.priors,
        },
        rule => Plan::Keep {
            rule: rule.map(|rule| rule.name.clone()),
            why: if rule.is_some() { "rule" } else { "no-rule" },
        },
    }
}

/// Whether the sender fits, and some series fits in all that is asked of a series.
fn fits(rule: &RuleConfig, facts: &StudyFacts) -> bool {
    let sent = |wanted: &String| facts.senders.iter().any(|sender| same(sender, wanted));
    let sender = rule.sender.is_empty() || rule.sender.iter().any(sent);
    let series = facts.series.iter();
    sender
        && series
            .into_iter()
            .any(|series| series_fits(rule, series, facts))
}

fn series_fits(rule: &RuleConfig, series: &SeriesFacts, facts: &StudyFacts) -> bool {
    let texts = [&series.description, &facts.description];
    let described = |wanted: &String| texts.iter().any(|text| holds(text.as_deref(), wanted));
    let of_body_part = |wanted: &String| holds(series.body_part.as_deref(), wanted);
    let of_modality = |wanted: &String| {
        let modality = series.modality.as_deref();
        modality.is_some_and(|modality| same(modality, wanted))
    };
    let thin = rule.max_slice_thickness_mm.is_none_or(|max_mm| {
        let thickness_mm = series.slice_thickness_mm;
        thickness_mm.is_some_and(|mm| mm <= max_mm)
    });
    let any = |wanted: &[String], is: &dyn Fn(&String) -> bool| {
        wanted.is_empty() || wanted.iter().any(is)
    };
    thin && any(&rule.modality, &of_modality)
        && any(&rule.body_part, &of_body_part)
        && any(&rule.description, &described)
}

fn same(found: &str, wanted: &str) -> bool {
    found.trim().to_lowercase() == wanted.trim().to_lowercase()
}

fn holds(found: Option<&str>, wanted: &str) -> bool {
    found.is_some_and(|found| found.to_lowercase().contains(&wanted.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    const NOW: &str = "2026-07-01T05:00:00Z";

    fn now() -> DateTime<Utc> {
        NOW.parse().unwrap()
    }

    fn chest_ct() -> StudyFacts {
        let text = |text: &str| Some(text.to_owned());
        let series = |description, thickness_mm| SeriesFacts {
            modality: text("CT"),
            body_part: text("CHEST"),
            description: text(description),
            slice_thickness_mm: thickness_mm,
        };
        StudyFacts {
            description: text("Thorax nativ"),
            senders: vec!["CT1".into()],
            series: vec![
                series("Topogram", None),
                series("Lunge 1.0 Br57", Some(1.0)),
            ],
            is_prior: false,
        }
    }

    fn rule(name: &str) -> RuleConfig {
        RuleConfig {
            name: name.into(),
            ..RuleConfig::default()
        }
    }

    fn chosen(rules: &[RuleConfig]) -> Option<String> {
        match plan("1.2", 1, &chest_ct(), rules, &now()) {
            Plan::Run { work, .. } => Some(work.rule),
            Plan::Keep { .. } => None,
        }
    }

    fn runs(change: impl FnOnce(&mut RuleConfig)) -> bool {
        let mut rule = rule("the rule");
        change(&mut rule);
        chosen(&[rule]).is_some()
    }

    #[test]
    fn without_rules_every_study_is_run_and_with_rules_those_that_fit_one() {
        assert_eq!(chosen(&[]).as_deref(), Some(""));
        assert!(!runs(|rule| rule.modality = vec!["MR".into()]));
    }

    #[test]
    fn the_first_rule_that_fits_holds() {
        let mut mr = rule("mr");
        mr.modality = vec!["MR".into()];
        let rules = [mr, rule("first"), rule("second")];
        assert_eq!(chosen(&rules).as_deref(), Some("first"));
    }

    #[test]
    fn each_condition_counts_whatever_the_case_of_its_letters() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert!(runs(|rule| rule.modality = texts(&["PT", "ct"])));
        assert!(!runs(|rule| rule.modality = texts(&["C"])));
        assert!(runs(|rule| rule.body_part = texts(&["chest"])));
        assert!(!runs(|rule| rule.body_part = texts(&["ABDOMEN"])));
        assert!(runs(|rule| rule.description = texts(&["lunge"])));
        assert!(runs(|rule| rule.description = texts(&["THORAX"])));
        assert!(!runs(|rule| rule.description = texts(&["knee"])));
        assert!(runs(|rule| rule.sender = texts(&["ct1"])));
        assert!(!runs(|rule| rule.sender = texts(&["CT2"])));
        assert!(runs(|rule| rule.max_slice_thickness_mm = Some(1.0)));
        assert!(!runs(|rule| rule.max_slice_thickness_mm = Some(0.9)));
    }

    #[test]
    fn all_that_is_asked_of_a_series_has_to_hold_for_one_series() {
        let topogram = vec!["topogram".into()];
        assert!(!runs(|rule| {
            rule.description = topogram;
            rule.max_slice_thickness_mm = Some(2.0);
        }));
    }

    #[test]
    fn a_rule_says_what_runs_when_and_how_urgently() {
        let night = RuleConfig {
            models: vec!["lung-nodule".into()],
            priority: 7,
            when: When::OffPeak,
            ready_by: "07:00".into(),
            priors: 2,
            ..rule("night")
        };
        let work = Work {
            study_instance_uid: "1.2".into(),
            version: 3,
            rule: "night".into(),
            models: vec!["lung-nodule".into()],
            priority: 7,
            off_peak: true,
            ready_by_s: Some(now().timestamp() + 2 * 3600),
        };
        let planned = plan("1.2", 3, &chest_ct(), &[night], &now());
        assert_eq!(planned, Plan::Run { work, priors: 2 });
    }

    #[test]
    fn a_rule_may_say_that_nothing_runs() {
        let mut never = rule("kept");
        never.when = When::Never;
        let planned = plan("1.2", 1, &chest_ct(), &[never, rule("later")], &now());
        let rule = Some("kept".to_owned());
        assert_eq!(planned, Plan::Keep { rule, why: "rule" });
    }

    #[test]
    fn a_study_that_was_fetched_as_a_prior_is_kept_whatever_rules_say() {
        let facts = StudyFacts {
            is_prior: true,
            ..chest_ct()
        };
        let mut asking = rule("all");
        asking.priors = 3;
        let planned = plan("1.2", 1, &facts, &[asking], &now());
        let (rule, why) = (None, "prior");
        assert_eq!(planned, Plan::Keep { rule, why });
    }
}
