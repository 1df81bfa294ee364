//! When a study is complete: a decision on moments of the monotonic clock, so that no change of the time of day makes one.
//!
//! In: arrivals, and counts that a peer gave. Out: the studies to be closed, and those to be counted.
//! The end of an association tells nothing: some senders open one for each instance, and silence tells the rest as soon.

use super::store::Arrived;
use crate::config::CompletionConfig;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A study to which nothing came for so long is worth a question how many instances it has.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// Longer waits than ten years are these, so that no sum overflows.
const LONGEST_S: u64 = 10 * 365 * 86_400;

/// Why a study counts as complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing came for `idle_s`.
    Idle,
    /// As many instances came as the peer said, and nothing for `counted_idle_s`.
    Counted,
    /// The first instance came `max_wait_s` ago.
    MaxWait,
}

impl Reason {
    /// A stable kebab-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Counted => "counted",
            Self::MaxWait => "max-wait",
        }
    }
}

/// A study that is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Instances that it had when this was decided.
    pub instances: u32,
    /// Why.
    pub reason: Reason,
    /// Since its last instance.
    pub waited: Duration,
}

/// What is known of an open study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    first: Instant,
    last: Instant,
    instances: u32,
    /// What the peer answered, since the last instance came.
    counted: Option<u32>,
    /// The peer was asked since the last instance came.
    asked: bool,
}

/// What a moment means for a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Close(Reason),
    /// Nothing changes before this moment by itself.
    WaitUntil(Instant),
}

/// All open studies.
#[derive(Debug)]
pub struct Completion {
    idle: Duration,
    counted_idle: Duration,
    max_wait: Duration,
    asks: bool,
    open: BTreeMap<String, Open>,
}

impl Completion {
    /// Begins with the studies that were open at a start: what they have and what they wait for begins anew.
    pub fn new(
        config: &CompletionConfig,
        receiving: impl IntoIterator<Item = (String, u32)>,
        now: Instant,
    ) -> Self {
        let open = |(study, instances)| (study, Open::new(instances, now));
        let wait = |seconds: u64| Duration::from_secs(seconds.min(LONGEST_S));
        Self {
            idle: wait(config.idle_s),
            counted_idle: wait(config.counted_idle_s),
            max_wait: wait(config.max_wait_s),
            asks: !config.count_by.is_empty(),
            open: receiving.into_iter().map(open).collect(),
        }
    }

    /// An instance came.
    pub fn arrived(&mut self, arrived: &Arrived, now: Instant) {
        if !arrived.receiving {
            return;
        }
        let study = arrived.study_instance_uid.clone();
        let new = Open::new(arrived.instances, now);
        let open = self.open.entry(study).or_insert(new);
        *open = Open {
            first: open.first,
            // Several threads tell of arrivals, in any order.
            instances: open.instances.max(arrived.instances),
            ..new
        };
    }

    /// The studies whose instances are to be counted by the peer now; each is named once until more comes of it.
    pub fn to_count(&mut self, now: Instant) -> Vec<String> {
        if !self.asks {
            return Vec::new();
        }
        let open = self.open.iter_mut();
        let due = open.filter(|(_, open)| !open.asked && open.asks_at() <= now);
        due.map(|(study, open)| {
            open.asked = true;
            study.clone()
        })
        .collect()
    }

    /// The peer's answer; one to a question that an instance has overtaken is forgotten.
    pub fn counted(&mut self, study_instance_uid: &str, instances: u32) {
        let open = self.open.get_mut(study_instance_uid);
        if let Some(open) = open.filter(|open| open.asked) {
            open.counted = Some(instances);
        }
    }

    /// The studies that are complete now; they are forgotten here.
    pub fn take_complete(&mut self, now: Instant) -> Vec<Complete> {
        let mut complete = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        open.retain(|study, open| match self.decide(open, now) {
            Decision::Close(reason) => {
                complete.push(Complete {
                    study_instance_uid: study.clone(),
                    instances: open.instances,
                    reason,
                    waited: now.saturating_duration_since(open.last),
                });
                false
            }
            Decision::WaitUntil(_) => true,
        });
        self.open = open;
        complete
    }

    /// The database did not take it that a study is complete: it waits anew.
    pub fn put_back(&mut self, study_instance_uid: &str, instances: u32, now: Instant) {
        let study = study_instance_uid.to_owned();
        self.open
            .entry(study)
            .or_insert_with(|| Open::new(instances, now));
    }

    /// When to look again, if nothing comes until then; none while no study is open.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        let looks = self.open.values().flat_map(|open| {
            let decision = match self.decide(open, now) {
                Decision::Close(_) => now,
                Decision::WaitUntil(then) => then,
            };
            let question = (self.asks && !open.asked).then(|| open.asks_at());
            question.into_iter().chain([decision])
        });
        looks.min()
    }

    /// How many studies are open.
    pub fn open_studies(&self) -> usize {
        self.open.len()
    }

    fn decide(&self, open: &Open, now: Instant) -> Decision {
        let all_came = open.counted == Some(open.instances);
        let counted = all_came.then_some((open.last + self.counted_idle, Reason::Counted));
        let idle = (open.last + self.idle, Reason::Idle);
        let latest = (open.first + self.max_wait, Reason::MaxWait);
        let ends = [counted, Some(latest)].into_iter().flatten();
        let (end, reason) = ends.fold(idle, |a, b| if b.0 < a.0 { b } else { a });
        match end <= now {
            true => Decision::Close(reason),
            false => Decision::WaitUntil(end),
        }
    }
}

impl Open {
    fn new(instances: u32, now: Instant) -> Self {
        Self {
            first: now,
            last: now,
            instances,
            counted: None,
            asked: false,
        }
    }

    /// When the peer is asked how many instances there are.
    fn asks_at(&self) -> Instant {
        self.last + ASK_AFTER
    }
}

#[cfg(test)]
mod tests;
