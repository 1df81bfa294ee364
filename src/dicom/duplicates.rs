//! Objects that came twice.
//!
//! In: the instances of a series. Out: each image once. Refused: one SOP Instance UID with two contents.

use super::{Error, Instance};
use crate::warning::Warning;
use std::path::Path;

/// Keeps one of identical images, the one whose path sorts first; orders by SOP Instance UID and frame.
///
/// `same_pixels` compares the stored samples of two images whose attributes are equal.
pub(super) fn without_duplicates(
    mut instances: Vec<Instance>,
    same_pixels: impl Fn(&Instance, &Instance) -> Result<bool, Error>,
) -> Result<(Vec<Instance>, Option<Warning>), Error> {
    let count = instances.len();
    instances.sort_by(|a, b| (a.key(), &a.path).cmp(&(b.key(), &b.path)));
    let mut kept: Vec<Instance> = Vec::with_capacity(count);
    for instance in instances {
        match kept.last() {
            Some(last) if last.key() == instance.key() => {
                if !same_attributes(last, &instance) || !same_pixels(last, &instance)? {
                    let uid = instance.sop_instance_uid;
                    return Err(Error::ConflictingDuplicates { uid });
                }
            }
            _ => kept.push(instance),
        }
    }
    let dropped = count - kept.len();
    let warning = (dropped > 0).then(|| Warning::InstancesLeftOut {
        count: dropped,
        reason: "copies of an object that is read".into(),
    });
    Ok((kept, warning))
}

/// Equal but for where and how it is stored.
fn same_attributes(a: &Instance, b: &Instance) -> bool {
    let content = |i: &Instance| Instance {
        path: Path::new("").to_owned(),
        transfer_syntax_uid: String::new(),
        ..i.clone()
    };
    content(a) == content(b)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, instances, slice};
    use super::*;
    use glam::DVec3;

    #[test]
    fn an_identical_copy_is_dropped_with_a_warning() {
        let twice = instances([slice(0), slice(1), slice(1)]);
        let (kept, warning) = without_duplicates(twice, |_, _| Ok(true)).unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(warning.unwrap().code(), "instances-left-out");
    }

    #[test]
    fn one_uid_with_two_contents_is_refused() {
        let code = |found: Result<_, Error>| found.map(|_: (Vec<_>, _)| ()).unwrap_err().code();
        let other = at(slice(1), DVec3::new(0.0, 0.0, 9.0));
        let header = without_duplicates(instances([slice(1), other]), |_, _| Ok(true));
        assert_eq!(code(header), "conflicting-duplicates");
        let pixels = without_duplicates(instances([slice(1), slice(1)]), |_, _| Ok(false));
        assert_eq!(code(pixels), "conflicting-duplicates");
    }
}
