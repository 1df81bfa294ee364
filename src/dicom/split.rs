//! The stacks of one series.
//!
//! In: the slices of one SeriesInstanceUID. Out: one [`Series`], or one for each of its stacks: planes, phases, acquisitions.
//! Refused: slices of several stacks that no attribute tells apart.

use super::instance::STACK_ATTRIBUTES;
use super::series::first_difference;
use super::{Attribute, Error, Instance, Series};
use crate::quote::quoted;
use crate::warning::Warning;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;

/// What may differ between the stacks of one series besides [`STACK_ATTRIBUTES`].
const PLANES: [Tag; 5] = [
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::FRAME_OF_REFERENCE_UID,
    tags::PIXEL_SPACING,
    tags::ROWS,
    tags::COLUMNS,
];

/// The stacks, which are several only where each is a volume of its own and all are told apart by one attribute.
pub(super) fn stacks(slices: Vec<Instance>) -> Result<Vec<Series>, Error> {
    let mut parts: Vec<Vec<Instance>> = Vec::new();
    for slice in slices {
        let alike = |part: &&mut Vec<Instance>| first_difference(&part[0], &slice).is_none();
        match parts.iter_mut().find(alike) {
            Some(part) => part.push(slice),
            None => parts.push(vec![slice]),
        }
    }
    let [first, second, ..] = &parts[..] else {
        return one_grid(&parts.pop().unwrap_or_default());
    };
    let Some(attribute) = first_difference(&first[0], &second[0]) else {
        return one_grid(&parts.concat());
    };
    let uid = first[0].series_instance_uid.clone();
    let mixed = || Error::Mixed {
        attribute,
        uid: uid.clone(),
    };
    let values: Vec<String> = parts.iter().map(|p| shown(attribute, &p[0])).collect();
    let count = parts.len();
    if !PLANES.contains(&attribute.0) {
        return Err(mixed());
    }
    let mut found = Vec::new();
    for (part, value) in parts.into_iter().zip(values) {
        let mut stacks = one_grid(&part).map_err(|_| mixed())?;
        for stack in &mut stacks {
            stack.warnings.push(warning(count, attribute, &value));
        }
        found.extend(stacks);
    }
    // Pieces of one scan, one above the other, would each show half a lung.
    let apart = [
        tags::IMAGE_ORIENTATION_PATIENT,
        tags::FRAME_OF_REFERENCE_UID,
    ];
    if !apart.contains(&attribute.0) && !any_overlap(&found) {
        return Err(mixed());
    }
    Ok(found)
}

/// The stacks of slices that share a grid but for their position.
fn one_grid(slices: &[Instance]) -> Result<Vec<Series>, Error> {
    let whole = Series::from_instances(slices.to_vec());
    let even = |series: &Series| series.slices.is_even();
    if whole.as_ref().is_ok_and(even) {
        return whole.map(|series| vec![series]);
    }
    // A stack with gaps is still one stack, unless its parts are better ones.
    let wanted = |series: &Series| whole.is_err() || even(series);
    let split = (0..STACK_ATTRIBUTES.len())
        .filter_map(|key| split_by(key, slices))
        .find(|parts| parts.iter().all(wanted));
    match split {
        Some(parts) => Ok(parts),
        None => whole.map(|series| vec![series]),
    }
}

/// The parts that differ in one attribute, where each is a stack and some of them overlap.
fn split_by(key: usize, slices: &[Instance]) -> Option<Vec<Series>> {
    let mut parts: BTreeMap<&Option<String>, Vec<&Instance>> = BTreeMap::new();
    for slice in slices {
        let part = parts.entry(&slice.stack_values[key]).or_default();
        part.push(slice);
    }
    if parts.len() < 2 || parts.values().any(|part| part.len() < 2) {
        return None;
    }
    let attribute = Attribute(STACK_ATTRIBUTES[key]);
    let mut parts: Vec<_> = parts.into_iter().collect();
    let number = |value: &Option<String>| value.as_ref().and_then(|v| v.parse::<f64>().ok());
    parts.sort_by(|(a, _), (b, _)| {
        let numbers = number(a).zip(number(b));
        numbers.map_or_else(|| a.cmp(b), |(a, b)| a.total_cmp(&b))
    });
    let count = parts.len();
    let stack = |(value, part): (&Option<String>, Vec<&Instance>)| {
        let mut series = Series::from_instances(part.into_iter().cloned().collect()).ok()?;
        let value = value.as_deref().map_or("no value".into(), quoted);
        series.warnings.push(warning(count, attribute, &value));
        Some(series)
    };
    let found = parts
        .into_iter()
        .map(stack)
        .collect::<Option<Vec<Series>>>()?;
    any_overlap(&found).then_some(found)
}

fn warning(count: usize, attribute: Attribute, value: &str) -> Warning {
    Warning::StackOfSeries {
        count,
        attribute: attribute.to_string(),
        value: value.to_owned(),
    }
}

/// Two of the stacks share some of their height along the first one's normal.
fn any_overlap(stacks: &[Series]) -> bool {
    let Some(normal) = stacks.first().map(|s| s.instances[0].normal()) else {
        return false;
    };
    let height_mm = |slice: Option<&Instance>| slice.map(|s| s.position_lps_mm.dot(normal));
    let mut ranges: Vec<(f64, f64)> = stacks
        .iter()
        .filter_map(|s| height_mm(s.instances.first()).zip(height_mm(s.instances.last())))
        .collect();
    ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranges.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

/// The value of what planes differ in, as a person reads it.
fn shown(attribute: Attribute, slice: &Instance) -> String {
    match attribute.0 {
        tags::IMAGE_ORIENTATION_PATIENT => {
            let [row, column] = slice.orientation;
            let cosines = [row.to_array(), column.to_array()].concat();
            let text = |c: &f64| format!("{c:.2}");
            cosines.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        tags::FRAME_OF_REFERENCE_UID => slice.frame_of_reference_uid.clone().unwrap_or_default(),
        tags::PIXEL_SPACING => {
            let [rows, columns] = slice.pixel_spacing_mm;
            format!("{rows} by {columns} mm")
        }
        _ => {
            let [rows, columns] = slice.rows_columns;
            format!("{rows} by {columns} pixels")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{instances, slice, with};
    use super::*;
    use dicom_core::VR;

    #[test]
    fn a_dynamic_series_is_a_stack_for_each_time() {
        let at = |z: u16, time_ms: &str| {
            let uid = format!("1.2.3.1.{z}.{time_ms}");
            let object = with(slice(z), tags::SOP_INSTANCE_UID, VR::UI, uid);
            with(object, tags::FRAME_REFERENCE_TIME, VR::DS, time_ms)
        };
        let times = ["5000", "15000", "120000"];
        let slices = times.iter().flat_map(|time| [at(0, time), at(1, time)]);
        let found = stacks(instances(slices)).unwrap();
        let value = |series: &Series| match &series.warnings[..] {
            [
                Warning::StackOfSeries {
                    count: 3, value, ..
                },
            ] => value.clone(),
            other => panic!("{other:?}"),
        };
        // Long numbers are rounded: they could be an id.
        let shown = ["5000", "about 1.5e4", "about 1.2e5"];
        assert_eq!(found.iter().map(value).collect::<Vec<_>>(), shown);
    }
}
