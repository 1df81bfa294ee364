use super::*;
use crate::config::time_of_day;
use chrono::{FixedOffset, MappedLocalTime, NaiveDateTime, Offset, Utc};

/// Clocks that go one hour forward at 02:00 on 2026-03-29 and back at 03:00 on 2026-10-25, as in Berlin.
#[derive(Debug, Clone, Copy)]
struct Berlin;

const WINTER_S: i32 = 3600;
const SUMMER_S: i32 = 7200;

fn offset(seconds: i32) -> FixedOffset {
    FixedOffset::east_opt(seconds).unwrap()
}

impl TimeZone for Berlin {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Self
    }

    fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        MappedLocalTime::None
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        let fits = |seconds: i32| {
            let utc = *local - offset(seconds);
            self.offset_from_utc_datetime(&utc) == offset(seconds)
        };
        match (fits(SUMMER_S), fits(WINTER_S)) {
            (true, true) => MappedLocalTime::Ambiguous(offset(SUMMER_S), offset(WINTER_S)),
            (true, false) => MappedLocalTime::Single(offset(SUMMER_S)),
            (false, true) => MappedLocalTime::Single(offset(WINTER_S)),
            (false, false) => MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
        Utc.fix()
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        let at_one = |month, day| {
            let day = NaiveDate::from_ymd_opt(2026, month, day).unwrap();
            day.and_hms_opt(1, 0, 0).unwrap()
        };
        match (at_one(3, 29)..at_one(10, 25)).contains(utc) {
            true => offset(SUMMER_S),
            false => offset(WINTER_S),
        }
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn berlin(text: &str) -> DateTime<Berlin> {
    utc(text).with_timezone(&Berlin)
}

fn hours(quiet: &[&str], off_peak: &[&str]) -> Hours {
    let texts = |times: &[&str]| times.iter().map(|time| (*time).into()).collect();
    Hours::new(&Calendar {
        quiet: texts(quiet),
        off_peak: texts(off_peak),
    })
}

fn ready(time: &str, now: &str) -> DateTime<Utc> {
    let moment_s = next_s(time_of_day(time).unwrap(), &berlin(now)).unwrap();
    DateTime::from_timestamp(moment_s, 0).unwrap()
}

#[test]
fn hours_are_those_of_the_clock_on_the_wall() {
    let hours = hours(&["12:00", "13:00"], &["19:00", "06:00"]);
    let noon = hours.agenda(&berlin("2026-07-01T10:30:00Z"));
    assert!(noon.quiet && !noon.off_peak);
    let night = hours.agenda(&berlin("2026-07-01T17:00:00Z"));
    assert!(!night.quiet && night.off_peak);
    let winter = hours.agenda(&berlin("2026-12-01T17:00:00Z"));
    assert!(!winter.off_peak);
}

#[test]
fn without_hours_nothing_is_quiet_and_nothing_off_peak() {
    let agenda = Hours::default().agenda(&utc("2026-07-01T03:00:00Z"));
    assert!(!agenda.quiet && !agenda.off_peak);
    assert_eq!(agenda.latest_start_s(1000, 400), 600);
}

#[test]
fn ready_by_is_the_next_time_that_the_clock_shows() {
    let cases = [
        ("07:00", "2026-07-01T04:59:00Z", "2026-07-01T05:00:00Z"),
        ("07:00", "2026-07-01T05:00:00Z", "2026-07-02T05:00:00Z"),
        ("07:00", "2026-12-01T05:00:00Z", "2026-12-01T06:00:00Z"),
        // The evening before the clocks change.
        ("07:00", "2026-03-28T20:00:00Z", "2026-03-29T05:00:00Z"),
        ("07:00", "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
    ];
    for (time, now, wanted) in cases {
        assert_eq!(ready(time, now), utc(wanted), "{time} after {now}");
    }
}

#[test]
fn a_time_that_the_clock_skips_is_when_it_goes_on_and_one_shown_twice_is_the_first() {
    let skipped = ready("02:30", "2026-03-28T20:00:00Z");
    assert_eq!(skipped, utc("2026-03-29T01:00:00Z"));
    let twice = ready("02:30", "2026-10-24T20:00:00Z");
    assert_eq!(twice, utc("2026-10-25T00:30:00Z"));
}

#[test]
fn work_begins_before_quiet_hours_where_it_would_not_be_ready_after_them() {
    let hours = hours(&["12:00", "13:00"], &[]);
    let agenda = hours.agenda(&utc("2026-07-01T08:00:00Z"));
    let start = |ready_by: &str, needed_s| {
        let start_s = agenda.latest_start_s(utc(ready_by).timestamp(), needed_s);
        DateTime::from_timestamp(start_s, 0).unwrap()
    };
    let half_hour = 1800;
    let cases = [
        ("2026-07-01T13:00:00Z", half_hour, "2026-07-01T11:30:00Z"),
        ("2026-07-01T12:30:00Z", half_hour, "2026-07-01T11:30:00Z"),
        ("2026-07-01T13:30:00Z", half_hour, "2026-07-01T13:00:00Z"),
        ("2026-07-01T13:15:00Z", half_hour, "2026-07-01T11:45:00Z"),
        ("2026-07-01T12:00:00Z", half_hour, "2026-07-01T11:30:00Z"),
        // Two days' quiet hours lie between.
        ("2026-07-02T13:00:00Z", 86_400, "2026-07-01T11:00:00Z"),
    ];
    for (ready_by, needed_s, wanted) in cases {
        assert_eq!(start(ready_by, needed_s), utc(wanted), "{ready_by}");
    }
}
