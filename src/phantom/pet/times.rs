//! When the tracer was injected and when each bed was scanned, in seconds since the midnight that begins the day.

use super::defect::PetDefect;
use super::params::PetParams;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How long a bed is counted, s.
pub(super) const FRAME_S: f64 = 120.0;
/// From the begin of a bed to that of the next, s.
const BED_S: f64 = 125.0;
/// Slices of a bed.
const BED_SLICES: usize = 40;
/// Where the table is by then that no time states, Series Time lies later than the first bed, s.
const LATE_S: f64 = 600.0;
/// From the CT to the PET, s.
const CT_S: f64 = 300.0;
const DAY_S: f64 = 86_400.0;

/// Times of one PET.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Times {
    pub(super) half_life_s: f64,
    pub(super) injection_s: f64,
    /// Begin of the first bed, and what START corrects to.
    pub(super) reference_s: f64,
    /// Series Time.
    pub(super) series_s: f64,
    /// The CT's.
    pub(super) ct_s: f64,
}

impl Times {
    pub(super) fn new(params: &PetParams, rng: &mut ChaCha8Rng) -> Self {
        let uptake_s = 60.0 * f64::from(rng.random_range(55..72));
        let reference_s = match params.has(PetDefect::OverMidnight) {
            true => DAY_S + 1_200.0,
            false => 12.0 * 3600.0 + CT_S,
        };
        let series_s = match params.branch.states_series_time() {
            true => reference_s,
            false => reference_s + LATE_S,
        };
        Self {
            half_life_s: params.tracer.tracer().half_life_s,
            injection_s: reference_s - uptake_s,
            reference_s,
            series_s,
            ct_s: reference_s - CT_S,
        }
    }

    /// When the bed of a slice began.
    pub(super) fn acquisition_s(&self, slice: usize) -> f64 {
        self.reference_s + BED_S * (slice / BED_SLICES) as f64
    }
}

/// A DA value; the day is the first of 2025.
pub(super) fn date(seconds: f64) -> String {
    format!("202501{:02}", 1 + (seconds / DAY_S).floor() as u32)
}

/// A TM value.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.rem_euclid(DAY_S) as u32;
    format!("{:02}{:02}{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

/// A DT value.
pub(super) fn date_time(seconds: f64) -> String {
    date(seconds) + &time(seconds)
}
