//! Times of day, as `HH:MM` of the machine's time zone.

use chrono::NaiveTime;

/// A time of day such as `07:00`; none for any other text.
pub fn time_of_day(text: &str) -> Option<NaiveTime> {
    let shape = text.len() == 5 && text.bytes().filter(u8::is_ascii_digit).count() == 4;
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
    time.filter(|_| shape)
}

/// From a time of day to another one; over midnight where the second is the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: NaiveTime,
    /// The first moment after it.
    pub to: NaiveTime,
}

impl Window {
    /// A window of two different times, such as `["19:00", "06:00"]`; none for any other list.
    pub fn parse(times: &[String]) -> Option<Self> {
        let [from, to] = times else { return None };
        let (from, to) = (time_of_day(from)?, time_of_day(to)?);
        (from != to).then_some(Self { from, to })
    }

    /// Whether a time of day lies in it.
    pub fn contains(&self, time: NaiveTime) -> bool {
        match self.from < self.to {
            true => (self.from..self.to).contains(&time),
            false => time >= self.from || time < self.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str) -> Option<Window> {
        Window::parse(&[from.into(), to.into()])
    }

    #[test]
    fn hours_and_minutes_are_two_digits_each() {
        assert_eq!(time_of_day("07:05"), NaiveTime::from_hms_opt(7, 5, 0));
        for bad in [
            "", "7:05", "07:5", "24:00", "07:60", "07-05", "07:05:00", "+7:05", " 7:05",
        ] {
            assert_eq!(time_of_day(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_window_over_midnight_holds_the_evening_and_the_morning() {
        let night = window("19:00", "06:00").unwrap();
        let is_in = |text| night.contains(time_of_day(text).unwrap());
        assert!(is_in("19:00") && is_in("23:59") && is_in("00:00") && is_in("05:59"));
        assert!(!is_in("06:00") && !is_in("12:00") && !is_in("18:59"));
    }

    #[test]
    fn a_window_has_two_different_times() {
        assert!(window("12:00", "12:00").is_none());
        assert!(Window::parse(&["12:00".into()]).is_none());
    }
}
