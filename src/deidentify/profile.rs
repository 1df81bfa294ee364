//! The Basic Application Level Confidentiality Profile as a table (PS3.15 E.1, Table E.1-1) and what it leaves open.

use dicom_core::dictionary::DataDictionary;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What happens to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// X: it goes.
    Remove,
    /// Z: its value goes.
    Empty,
    /// D: its value becomes another one that says nothing.
    Dummy,
    /// U: each UID becomes another one, the same for the same UID.
    Uid,
    /// C, of dates: it moves by the patient's offset.
    Shift,
    /// K: it stays; in the items of a sequence each attribute has its own action.
    Keep,
}

/// Rows of the table; where it leaves a choice, the one that never breaks an IOD: an empty or a dummy value.
static TABLE: LazyLock<BTreeMap<Tag, Action>> = LazyLock::new(|| {
    let rows = include_str!("basic_profile.tsv").lines();
    rows.filter(|row| !row.starts_with('#'))
        .map(|row| parsed(row).expect("a test reads every row"))
        .collect()
});

fn parsed(row: &str) -> Option<(Tag, Action)> {
    let mut cells = row.split('\t');
    let (group, element) = cells.next()?.split_at_checked(4)?;
    let number = |hex| u16::from_str_radix(hex, 16).ok();
    let tag = Tag(number(group)?, number(element)?);
    let action = match cells.next()? {
        "X" => Action::Remove,
        "Z" | "X/Z" => Action::Empty,
        "D" | "Z/D" | "X/D" | "X/Z/D" => Action::Dummy,
        "U" => Action::Uid,
        "X/Z/U*" => Action::Keep,
        _ => return None,
    };
    Some((tag, action))
}

/// Retired; files have it still.
const ETHNIC_GROUP: Tag = Tag(0x0010, 0x2160);

/// Attributes of the Retain Patient Characteristics Option that need no cleaning (PS3.15 Table E.1-1, column of 113108).
const PATIENT_CHARACTERISTICS: [Tag; 8] = [
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    ETHNIC_GROUP,
    tags::SMOKING_STATUS,
    tags::PREGNANCY_STATUS,
    tags::PATIENT_SEX_NEUTERED,
];

/// UIDs that name a vocabulary and not anybody's object.
const VOCABULARY: [Tag; 3] = [
    tags::CODING_SCHEME_UID,
    tags::CONTEXT_UID,
    tags::MAPPING_RESOURCE_UID,
];

/// The action for an attribute, with the options that are on.
pub(super) fn action(tag: Tag, vr: VR, options: super::Options) -> Action {
    if options.retain_patient_characteristics && PATIENT_CHARACTERISTICS.contains(&tag) {
        return Action::Keep;
    }
    if is_removed_group(tag) {
        return Action::Remove;
    }
    let of_birth = [tags::PATIENT_BIRTH_DATE, tags::PATIENT_BIRTH_TIME].contains(&tag);
    if options.shift_dates && !of_birth {
        match vr {
            VR::DA | VR::DT => return Action::Shift,
            VR::TM => return Action::Keep,
            _ => {}
        }
    }
    TABLE.get(&tag).copied().unwrap_or_else(|| of_vr(tag, vr))
}

/// Private attributes, group lengths, curves, overlays, file meta information, and what follows the pixel data.
fn is_removed_group(Tag(group, element): Tag) -> bool {
    group % 2 == 1
        || element == 0
        || group < 0x0008
        || matches!(group, 0x5000..=0x50ff | 0x6000..=0x60ff)
        || Tag(group, element) > tags::PIXEL_DATA
}

/// The table names attributes one by one; free text, names, dates and what the dictionary does not know go unnamed too.
fn of_vr(tag: Tag, vr: VR) -> Action {
    if StandardDataDictionary.by_tag(tag).is_none() || tag == tags::SPECIFIC_CHARACTER_SET {
        return Action::Remove;
    }
    match vr {
        VR::PN | VR::DA | VR::DT | VR::TM => Action::Empty,
        VR::AE | VR::LT | VR::ST | VR::UT | VR::UC | VR::UR | VR::UN => Action::Remove,
        VR::UI if !VOCABULARY.contains(&tag) => Action::Uid,
        _ => Action::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;

    const BASIC: Options = Options {
        shift_dates: false,
        retain_patient_characteristics: false,
        include_burned_in: false,
    };

    #[test]
    fn every_row_of_the_table_is_an_action() {
        let rows = include_str!("basic_profile.tsv").lines().skip(1);
        rows.clone()
            .for_each(|row| assert!(parsed(row).is_some(), "{row}"));
        assert_eq!(rows.count(), TABLE.len());
        assert!(TABLE.len() > 600);
    }

    #[test]
    fn options_change_only_what_they_name() {
        let shift = Options {
            shift_dates: true,
            ..BASIC
        };
        let retain = Options {
            retain_patient_characteristics: true,
            ..BASIC
        };
        assert_eq!(action(tags::STUDY_DATE, VR::DA, BASIC), Action::Empty);
        assert_eq!(action(tags::STUDY_DATE, VR::DA, shift), Action::Shift);
        assert_eq!(
            action(tags::PATIENT_BIRTH_DATE, VR::DA, shift),
            Action::Empty
        );
        assert_eq!(action(tags::PATIENT_AGE, VR::AS, BASIC), Action::Remove);
        assert_eq!(action(tags::PATIENT_AGE, VR::AS, retain), Action::Keep);
        assert_eq!(action(tags::PATIENT_NAME, VR::PN, retain), Action::Empty);
    }

    #[test]
    fn what_no_row_names_goes_by_its_kind() {
        let basic = |tag, vr| action(tag, vr, BASIC);
        assert_eq!(basic(Tag(0x0009, 0x1001), VR::LO), Action::Remove);
        assert_eq!(basic(Tag(0x6000, 0x0022), VR::LO), Action::Remove);
        assert_eq!(basic(Tag(0x0008, 0xfff0), VR::LO), Action::Remove);
        assert_eq!(basic(tags::SOP_CLASS_UID, VR::UI), Action::Uid);
        assert_eq!(basic(tags::CODING_SCHEME_UID, VR::UI), Action::Keep);
        assert_eq!(basic(tags::CONVOLUTION_KERNEL, VR::SH), Action::Keep);
        assert_eq!(basic(tags::PIXEL_DATA, VR::OW), Action::Keep);
    }
}
