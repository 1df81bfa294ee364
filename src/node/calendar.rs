//! When work may run: quiet and off-peak hours, and when work has to begin to be ready in time.
//!
//! In: the configured hours and a moment of any time zone. Out: what holds at that moment, in seconds since 1970.

use crate::config::{Calendar, Window};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use std::ops::Range;

/// A clock that is set forward skips at most so many half hours.
const MAX_GAP_HALF_HOURS: i32 = 6;

/// The configured hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hours {
    quiet: Option<Window>,
    off_peak: Option<Window>,
}

/// What the calendar says of a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    /// The moment, seconds since 1970.
    pub now_s: i64,
    /// Nothing is run.
    pub quiet: bool,
    /// Work for off-peak hours is run.
    pub off_peak: bool,
    /// Quiet hours around the moment, in their order, seconds since 1970.
    pub quiet_s: Vec<Range<i64>>,
}

impl Hours {
    /// Hours of a checked configuration.
    pub fn new(calendar: &Calendar) -> Self {
        Self {
            quiet: Window::parse(&calendar.quiet),
            off_peak: Window::parse(&calendar.off_peak),
        }
    }

    /// What holds at `now`.
    pub fn agenda<Tz: TimeZone>(&self, now: &DateTime<Tz>) -> Agenda {
        let local = now.naive_local();
        let is_in = |window: Option<Window>| window.is_some_and(|w| w.contains(local.time()));
        let day = |offset: i64| local.date().checked_add_signed(TimeDelta::days(offset));
        let days = (-1..=2).filter_map(day);
        let quiet_s = self.quiet.map(|window| {
            days.filter_map(|day| span_s(window, day, &now.timezone()))
                .collect()
        });
        Agenda {
            now_s: now.timestamp(),
            quiet: is_in(self.quiet),
            off_peak: is_in(self.off_peak),
            quiet_s: quiet_s.unwrap_or_default(),
        }
    }
}

impl Agenda {
    /// When work of `needed_s` has to begin, so that it is done at `ready_by_s` though nothing is run in quiet hours.
    pub fn latest_start_s(&self, ready_by_s: i64, needed_s: i64) -> i64 {
        let (mut end_s, mut needed_s) = (ready_by_s, needed_s);
        for quiet in self.quiet_s.iter().rev() {
            if quiet.start >= end_s {
                continue;
            }
            let free_s = end_s - quiet.end.min(end_s);
            if needed_s <= free_s {
                break;
            }
            needed_s -= free_s;
            end_s = quiet.start;
        }
        end_s - needed_s
    }
}

/// The next moment after `now` at which the clocks show `time`, seconds since 1970.
pub fn next_s<Tz: TimeZone>(time: NaiveTime, now: &DateTime<Tz>) -> Option<i64> {
    let today = now.date_naive();
    let days = [Some(today), today.checked_add_days(Days::new(1))];
    let mut moments = days.into_iter().flatten();
    moments.find_map(|day| {
        moment_s(day, time, &now.timezone()).filter(|moment_s| *moment_s > now.timestamp())
    })
}

/// The window that begins on a day.
fn span_s<Tz: TimeZone>(window: Window, day: NaiveDate, zone: &Tz) -> Option<Range<i64>> {
    let over_midnight = u64::from(window.to <= window.from);
    let last = day.checked_add_days(Days::new(over_midnight))?;
    Some(moment_s(day, window.from, zone)?..moment_s(last, window.to, zone)?)
}

/// The first moment at which the clocks show a time; where they skip it, the moment at which they go on.
fn moment_s<Tz: TimeZone>(day: NaiveDate, time: NaiveTime, zone: &Tz) -> Option<i64> {
    let local = day.and_time(time);
    let shown = |half_hours| local.checked_add_signed(TimeDelta::minutes(30) * half_hours);
    let moments = (0..=MAX_GAP_HALF_HOURS).filter_map(shown);
    let mut moments = moments.filter_map(|local| zone.from_local_datetime(&local).earliest());
    moments.next().map(|moment| moment.timestamp())
}

#[cfg(test)]
mod tests;
