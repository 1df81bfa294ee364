//! When the tracer was injected.
//!
//! In: the tracer's times and those of the scan. Out: one moment. Refused: one after the scan, or too long before it.

use super::branch::AdministrationRule;
use super::time::DAY_S;
use super::{Error, Policy, Timestamp, Tracer, Warning, names};

/// By the time of day alone, the day of injection of nuclides that live longer is unknown, s.
///
/// Source: IBSI's manual of SUV computation.
const MAX_HALF_LIFE_WITHOUT_DATE_S: f64 = 41_400.0;

/// Less than 0.1 % of a dose is left after so many half-lives: nobody scans that late.
const MAX_HALF_LIVES: f64 = 10.0;

/// Within this, two times may be one: clocks are set by hand, s.
const SAME_TIME_S: f64 = 60.0;

/// When the tracer was injected, and by which attribute.
pub(super) struct Administration {
    pub(super) rule: AdministrationRule,
    pub(super) time: Timestamp,
}

/// `scan` is the earliest time that any slice is corrected to.
pub(super) fn find(
    tracer: &Tracer,
    scan: Timestamp,
    half_life_s: f64,
    policy: Policy,
    warnings: &mut Vec<Warning>,
) -> Result<Administration, Error> {
    let Some(start) = tracer.start else {
        let time_of_day_s = tracer.start_time_of_day_s.ok_or(Error::Missing {
            attribute: names::START,
            purpose: "the decay of the dose",
        })?;
        return Ok(Administration {
            rule: AdministrationRule::Time,
            time: on_day_of(scan, time_of_day_s, half_life_s, warnings)?,
        });
    };
    if contradicts(start, tracer.start_time_of_day_s) {
        policy.admit(Warning::AdministrationTimesDisagree, warnings)?;
    }
    if is_plausible(scan.seconds_after(start), half_life_s) {
        return Ok(Administration {
            rule: AdministrationRule::DateTime,
            time: start,
        });
    }
    if half_life_s >= MAX_HALF_LIFE_WITHOUT_DATE_S {
        return Err(Error::AdministrationTime);
    }
    // De-identification may have moved one date and not the other.
    policy.admit(Warning::AdministrationDateReplaced, warnings)?;
    Ok(Administration {
        rule: AdministrationRule::TimeOfDateTime,
        time: on_day_of(scan, start.time_of_day_s(), half_life_s, warnings)?,
    })
}

/// A time of day on the day of the scan, or the day before where it would lie after the scan.
fn on_day_of(
    scan: Timestamp,
    time_of_day_s: f64,
    half_life_s: f64,
    warnings: &mut Vec<Warning>,
) -> Result<Timestamp, Error> {
    if half_life_s >= MAX_HALF_LIFE_WITHOUT_DATE_S {
        return Err(Error::AdministrationDate);
    }
    let mut time = scan.at_time_of_day(time_of_day_s);
    if scan.seconds_after(time) < -SAME_TIME_S {
        time = time.plus_s(-DAY_S);
        warnings.push(Warning::AdministrationDayBefore);
    }
    match is_plausible(scan.seconds_after(time), half_life_s) {
        true => Ok(time),
        false => Err(Error::AdministrationTime),
    }
}

fn is_plausible(elapsed_s: f64, half_life_s: f64) -> bool {
    (-SAME_TIME_S..=MAX_HALF_LIVES * half_life_s).contains(&elapsed_s)
}

fn contradicts(start: Timestamp, time_of_day_s: Option<f64>) -> bool {
    let away_s = |of_day_s: f64| (start.time_of_day_s() - of_day_s).abs();
    time_of_day_s
        .is_some_and(|of_day_s| away_s(of_day_s).min(DAY_S - away_s(of_day_s)) > SAME_TIME_S)
}
