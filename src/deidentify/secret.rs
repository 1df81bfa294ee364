//! What links the new names to the old ones: drawn at the start of a run, never written, forgotten at its end.

use crate::uid::UidSource;
use chrono::{Days, NaiveDate};

/// Dates move back by up to ten years.
const MAX_SHIFT_DAYS: u64 = 3650;

/// The secret of one run.
pub(super) struct Secret {
    salt: String,
    uids: UidSource,
}

impl Secret {
    /// Drawn from the system's random numbers.
    pub(super) fn draw() -> Self {
        Self::of(rand::random())
    }

    pub(super) fn of(salt: [u8; 32]) -> Self {
        let salt: String = salt.iter().map(|b| format!("{b:02x}")).collect();
        let uids = UidSource::new(["deidentify", "uid", &salt]);
        Self { salt, uids }
    }

    /// The new UID for an old one.
    pub(super) fn uid(&self, old: &str) -> String {
        self.uids.uid(old)
    }

    /// The patient behind `identity`, which is whatever tells one patient from another.
    pub(super) fn patient(&self, identity: &[&str]) -> Patient<'_> {
        let parts = ["deidentify", "patient", self.salt.as_str()];
        let digest = UidSource::new(parts.iter().chain(identity).copied()).run_id();
        let (number, pseudonym) = (&digest[..8], &digest[8..20]);
        let number = u64::from_str_radix(number, 16).expect("hexadecimal digits");
        Patient {
            secret: self,
            shift: Days::new(1 + number % MAX_SHIFT_DAYS),
            pseudonym: format!("HILUM-{}", pseudonym.to_ascii_uppercase()),
        }
    }
}

/// One patient in one run.
pub(super) struct Patient<'a> {
    pub(super) secret: &'a Secret,
    shift: Days,
    pseudonym: String,
}

impl Patient<'_> {
    /// New name and ID.
    pub(super) fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// A date, or a date with time, moved back by whole days; the time of day stays. None for what is no whole date.
    pub(super) fn shifted(&self, value: &str) -> Option<String> {
        let (date, rest) = value.split_at_checked(8)?;
        let date = NaiveDate::parse_from_str(date, "%Y%m%d").ok()?;
        let date = date.checked_sub_days(self.shift)?;
        Some(format!("{}{rest}", date.format("%Y%m%d")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_becomes_the_same_and_another_run_another() {
        let (a, b) = (Secret::of([1; 32]), Secret::of([2; 32]));
        assert_eq!(a.uid("1.2.3"), a.uid("1.2.3"));
        assert_ne!(a.uid("1.2.3"), a.uid("1.2.4"));
        assert_ne!(a.uid("1.2.3"), b.uid("1.2.3"));
        assert_ne!(a.patient(&["7"]).pseudonym(), b.patient(&["7"]).pseudonym());
        assert!(crate::uid::is_valid(&a.uid("1.2.3")));
    }

    #[test]
    fn dates_of_a_patient_keep_their_distance() {
        let secret = Secret::of([1; 32]);
        let patient = secret.patient(&["7"]);
        let date = |text: &str| {
            let text = patient.shifted(text).unwrap();
            NaiveDate::parse_from_str(&text[..8], "%Y%m%d").unwrap()
        };
        let (a, b) = (date("20240228"), date("20240301101500.5+0100"));
        assert_eq!((b - a).num_days(), 2);
        assert!(a < NaiveDate::from_ymd_opt(2024, 2, 28).unwrap());
        assert!(
            patient
                .shifted("20240301101500.5+0100")
                .unwrap()
                .ends_with("101500.5+0100")
        );
        for bad in ["", "2024", "2024.2.28", "20241301", "19é01011"] {
            assert_eq!(patient.shifted(bad), None, "{bad}");
        }
    }
}
