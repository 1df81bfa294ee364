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

/// Series acquired within so long of each other are as near in time, s: reconstructions of one scan begin at different slices,
/// and a bed position of PET takes minutes.
const SAME_TIME_S: f64 = 300.0;

/// Index of the series of the modality that shares the frame of reference of series `chosen` and was acquired nearest to it
/// in time; of several as near, or where times are not known, the one of most slices.
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
    let candidates: Vec<usize> = (0..study.series.len()).filter(fits).collect();
    let apart_s = |index: &usize| apart_s(&study.series[*index], &study.series[chosen]);
    let nearest_s = candidates.iter().map(apart_s).fold(f64::INFINITY, f64::min);
    let is_near =
        |index: &usize| nearest_s.is_infinite() || apart_s(index) <= nearest_s + SAME_TIME_S;
    let slices = |index: &usize| study.series[*index].instances.len();
    // Of equal ones the first.
    let near = candidates.into_iter().rev().filter(is_near);
    let Some(found) = near.max_by_key(slices) else {
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

/// Between the beginnings of two series, s; infinite where either is not known.
fn apart_s(series: &Series, other: &Series) -> f64 {
    let [first, second] = [series, other].map(Series::acquired);
    let pair = first.zip(second);
    pair.map_or(f64::INFINITY, |(first, second)| {
        first.seconds_after(second).abs()
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{STUDY, instances, slice, with};
    use super::*;
    use dicom_core::VR;
    use dicom_dictionary_std::tags;

    /// A CT of so many slices that began at this time; of unknown time where that is empty.
    fn ct(count: u16, time: &str) -> Series {
        let object = |z: u16| {
            let object = with(slice(z), tags::ACQUISITION_DATE, VR::DA, "20260102");
            with(object, tags::ACQUISITION_TIME, VR::TM, time)
        };
        Series::from_instances(instances((0..count).map(object))).unwrap()
    }

    /// Which of the further series is the companion of the first one.
    fn chosen(series: Vec<Series>) -> usize {
        let study = Study {
            study_instance_uid: STUDY.into(),
            series,
            left_out: Vec::new(),
        };
        let wanted = Companion {
            modality: "CT",
            units: None,
        };
        companion(&study, 0, wanted).unwrap()
    }

    #[test]
    fn of_two_scans_the_one_nearest_in_time_is_taken_though_it_has_fewer_slices() {
        assert_eq!(chosen(vec![ct(3, "1000"), ct(9, "0900"), ct(4, "1010")]), 2);
        assert_eq!(chosen(vec![ct(3, "1000"), ct(4, "0955"), ct(9, "1130")]), 1);
    }

    #[test]
    fn of_reconstructions_of_one_scan_the_one_of_most_slices_is_taken_and_of_equal_ones_the_first()
    {
        let scans = ["100000", "100200", "100230", "100200"];
        let [first, few, most, equal] = scans;
        let series = vec![ct(3, first), ct(4, few), ct(9, most), ct(9, equal)];
        assert_eq!(chosen(series), 2);
    }

    #[test]
    fn where_no_time_is_known_slices_decide_and_a_known_time_goes_before_an_unknown_one() {
        assert_eq!(chosen(vec![ct(3, ""), ct(4, "1000"), ct(9, "1100")]), 2);
        assert_eq!(chosen(vec![ct(3, "1000"), ct(9, ""), ct(4, "1100")]), 2);
        assert_eq!(chosen(vec![ct(3, "1000"), ct(4, ""), ct(9, "")]), 2);
    }
}
