//! The further series that a model of several input channels reads with a chosen one, such as the PET with its CT.

use super::{Series, Study};

/// What a further input channel must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Companion<'a> {
    /// Modality (0008,0060).
    pub modality: &'a str,
    /// Units (0054,1001); `None`: any.
    pub units: Option<&'a str>,
}

/// Index of the series of the modality that shares the frame of reference of series `chosen` and has most slices.
///
/// # Errors
/// A stable kebab-case code and the reason in words: no such series, or it has other units.
pub fn companion(
    study: &Study,
    chosen: usize,
    wanted: Companion<'_>,
) -> Result<usize, (&'static str, String)> {
    let Companion { modality, units } = wanted;
    let frame = |series: &Series| series.instances.first()?.frame_of_reference_uid.clone();
    let own = frame(&study.series[chosen]);
    let fits = |index: &usize| {
        let series = &study.series[*index];
        let first = series.instances.first();
        *index != chosen
            && first.is_some_and(|first| first.modality == modality)
            && own.is_some()
            && frame(series) == own
    };
    let slices = |index: &usize| study.series[*index].instances.len();
    // Of equal ones the first.
    let found = (0..study.series.len())
        .rev()
        .filter(fits)
        .max_by_key(slices);
    let Some(found) = found else {
        let reason = format!("no series of modality {modality} in the same frame of reference");
        return Err(("channel-missing", reason));
    };
    let first = study.series[found].instances.first();
    let found_units = first.and_then(|first| first.units.as_deref());
    match units {
        Some(wanted) if found_units != Some(wanted) => Err((
            "channel-units",
            format!("Units (0054,1001) of the {modality} series is not {wanted}"),
        )),
        _ => Ok(found),
    }
}
