//! Dates and times as DICOM writes them, on one scale of seconds.
//!
//! In: the text of DA, TM and DT values (PS3.5 6.2). Out: [`Timestamp`]s that can be subtracted. Refused: impossible values.

use chrono::NaiveDate;

/// Seconds of a day.
pub(super) const DAY_S: f64 = 86_400.0;

/// A moment by the clock of whoever wrote it, with that clock's distance from UTC where it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 by that clock.
    clock_s: f64,
    /// Local time less UTC, seconds.
    offset_s: Option<f64>,
}

impl Timestamp {
    /// A DT value such as `20250101100000.000000+0100`, at least to the hour; `zone_s` is its offset where it has none.
    pub fn parse(text: &str, zone_s: Option<f64>) -> Option<Self> {
        let text = text.trim();
        // The sign of an offset stands behind the year at least.
        let sign = text.rfind(['+', '-']).filter(|at| *at >= 4);
        let (local, offset_s) = match sign {
            Some(at) => (&text[..at], Some(zone(&text[at..])?)),
            None => (text, zone_s),
        };
        let (date, time) = local.split_at_checked(8)?;
        Some(Self {
            clock_s: day_s(date)? + time_of_day_s(time)?,
            offset_s,
        })
    }

    /// A DA and a TM value, with the offset of Timezone Offset From UTC (0008,0201) where there is one.
    pub fn from_date_and_time(date: &str, time: &str, zone_s: Option<f64>) -> Option<Self> {
        Some(Self {
            clock_s: day_s(date)? + time_of_day_s(time)?,
            offset_s: zone_s,
        })
    }

    /// Seconds from `earlier` to this moment.
    ///
    /// Offsets count where both have one. A clock without is taken for that of the same place.
    pub fn seconds_after(self, earlier: Self) -> f64 {
        let shift_s = match (self.offset_s, earlier.offset_s) {
            (Some(own_s), Some(other_s)) => other_s - own_s,
            _ => 0.0,
        };
        self.clock_s - earlier.clock_s + shift_s
    }

    /// So many seconds later, by the same clock.
    pub fn plus_s(self, seconds: f64) -> Self {
        Self {
            clock_s: self.clock_s + seconds,
            ..self
        }
    }

    /// Seconds since midnight by its clock.
    pub fn time_of_day_s(self) -> f64 {
        self.clock_s.rem_euclid(DAY_S)
    }

    /// The moment of the same day and clock at which `time_of_day_s` seconds had passed since midnight.
    pub fn at_time_of_day(self, time_of_day_s: f64) -> Self {
        let midnight_s = self.clock_s - self.time_of_day_s();
        Self {
            clock_s: midnight_s + time_of_day_s,
            ..self
        }
    }

    /// The time of day as `HH:MM:SS`, to the nearest second; the date is left out, since it tells a patient.
    pub fn clock(self) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds of a day"
        )]
        let seconds = self.time_of_day_s().round() as u32 % 86_400;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
    }
}

/// A TM value such as `103500.25`, or as ACR-NEMA wrote it `10:35:00`, in seconds since midnight.
pub fn time_of_day_s(text: &str) -> Option<f64> {
    let text = text.trim().replace(':', "");
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if whole.len() == 6 => (whole, fraction),
        Some(_) => return None,
        None => (text.as_str(), ""),
    };
    let number = |from: usize, limit: u32| match whole.get(from..from + 2) {
        None => Some(0),
        Some(two) => digits(two).filter(|n| *n < limit),
    };
    // A leap second is written as 60.
    let [hours, minutes, seconds] = [number(0, 24)?, number(2, 60)?, number(4, 61)?];
    let even = matches!(whole.len(), 2 | 4 | 6);
    let fraction_s: f64 = match fraction {
        "" => 0.0,
        _ => {
            digits(fraction.get(..9).unwrap_or(fraction))?;
            format!("0.{fraction}").parse().ok()?
        }
    };
    even.then(|| f64::from(hours * 3600 + minutes * 60 + seconds) + fraction_s)
}

/// A UTC offset such as `+0100`, in seconds.
pub fn zone(text: &str) -> Option<f64> {
    let text = text.trim();
    let sign = match text.chars().next()? {
        '+' => 1.0,
        '-' => -1.0,
        _ => return None,
    };
    let hours_minutes = text.get(1..).filter(|rest| rest.len() == 4)?;
    let seconds = time_of_day_s(hours_minutes)?;
    (seconds <= 14.0 * 3600.0).then_some(sign * seconds)
}

/// Midnight of a DA value such as `20250101`, or as ACR-NEMA wrote it `2025.01.01`, in seconds since 1970.
fn day_s(text: &str) -> Option<f64> {
    let text = text.trim().replace('.', "");
    if text.len() != 8 {
        return None;
    }
    let part = |range| text.get(range).and_then(digits);
    let year = i32::try_from(part(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, part(4..6)?, part(6..8)?)?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    Some(days as f64 * DAY_S)
}

fn digits(text: &str) -> Option<u32> {
    let all = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(text: &str) -> Timestamp {
        Timestamp::parse(text, None).expect(text)
    }

    #[test]
    fn what_the_standard_allows_is_read() {
        assert_eq!(stamp("19700102000000").clock_s.to_bits(), DAY_S.to_bits());
        assert_eq!(stamp("2025010110"), stamp("20250101100000.000000"));
        assert_eq!(time_of_day_s("10:35:00"), time_of_day_s("1035"));
        assert_eq!(time_of_day_s("000000.25"), Some(0.25));
        let joined = Timestamp::from_date_and_time("2025.01.01", "100000", None);
        assert_eq!(joined, Some(stamp("20250101100000")));
        assert_eq!(stamp("20250101235959.6").clock(), "00:00:00");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2025",
            "20250101",
            "20251301100000",
            "20250101250000",
            "20250101106000",
            "20250101100000+2500",
            "20250101100000+1",
            "2025010110000",
            "ANON",
            "20250101ANON",
            "2025\u{e9}101100000",
        ] {
            assert_eq!(Timestamp::parse(text, None), None, "{text}");
        }
        for text in ["1", "123", "12.5", "1200.5", "-10000", "12000a", "120000.x"] {
            assert_eq!(time_of_day_s(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_count_where_both_have_one() {
        let (utc, berlin) = (stamp("20250101090000+0000"), stamp("20250101100000+0100"));
        assert!(utc.seconds_after(berlin).abs() < 1e-9);
        assert!((stamp("20250101110000").seconds_after(berlin) - 3600.0).abs() < 1e-9);
        let zoned = Timestamp::parse("20250101110000", Some(3600.0)).expect("zoned");
        assert!((zoned.seconds_after(utc) - 3600.0).abs() < 1e-9);
    }

    #[test]
    fn a_time_of_day_is_put_on_the_day_of_another_moment() {
        let late = stamp("20250102003000").at_time_of_day(84_600.0);
        assert_eq!(late, stamp("20250102233000"));
        assert_eq!(stamp("19600301120000").clock(), "12:00:00");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = (Timestamp::parse(&text, None), zone(&text), time_of_day_s(&text));
        }

        #[test]
        fn minutes_over_midnight_and_year_are_counted(start in 0..1440_u32, later in 0..3000_u32) {
            let at = |minutes: u32| {
                let day = ["20241230", "20241231", "20250101", "20250102"][(minutes / 1440) as usize];
                stamp(&format!("{day}{:02}{:02}", minutes / 60 % 24, minutes % 60))
            };
            let end = (start + later).min(5759);
            prop_assert!((at(end).seconds_after(at(start)) - f64::from(60 * (end - start))).abs() < 1e-9);
        }
    }
}
