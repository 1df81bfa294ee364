//! Multi-frame objects: each frame as the classic image that it would be.
//!
//! In: a data set with functional groups. Out: one [`Instance`] a frame. Refused: groups that do not match Number of Frames.
//!
//! Source: PS3.3 C.7.6.16 (Multi-frame Functional Groups), C.8.15.3 (Enhanced CT), C.8.22 (Enhanced PET).

use super::attribute::Attributes;
use super::enhanced_pet::EnhancedPet;
use super::kind::check_photons;
use super::{Error, Instance};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use std::path::Path;

/// Most frames of one object.
const MAX_FRAMES: u32 = 1 << 14;

/// Attributes of the object that hold for every frame.
const COMMON: [Tag; 25] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::MODALITY,
    tags::IMAGE_TYPE,
    tags::MANUFACTURER,
    tags::BODY_PART_EXAMINED,
    tags::CONTRAST_BOLUS_AGENT,
    tags::CONVOLUTION_KERNEL,
    tags::KVP,
    tags::ACQUISITION_NUMBER,
    tags::FRAME_OF_REFERENCE_UID,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::INSTANCE_NUMBER,
];

/// Functional group, attribute in it, and the attribute of a classic image that says the same.
const MACROS: [(Tag, Tag, Tag); 19] = {
    use tags as t;
    let (measures, transformation) = (
        t::PIXEL_MEASURES_SEQUENCE,
        t::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    );
    let (content, cardiac) = (
        t::FRAME_CONTENT_SEQUENCE,
        t::CARDIAC_SYNCHRONIZATION_SEQUENCE,
    );
    let shared = t::UNASSIGNED_SHARED_CONVERTED_ATTRIBUTES_SEQUENCE;
    let own = t::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE;
    let position = t::IMAGE_POSITION_PATIENT;
    let orientation = t::IMAGE_ORIENTATION_PATIENT;
    let phase = t::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE;
    [
        (t::PLANE_POSITION_SEQUENCE, position, position),
        (t::PLANE_ORIENTATION_SEQUENCE, orientation, orientation),
        (measures, t::PIXEL_SPACING, t::PIXEL_SPACING),
        (measures, t::SLICE_THICKNESS, t::SLICE_THICKNESS),
        (transformation, t::RESCALE_INTERCEPT, t::RESCALE_INTERCEPT),
        (transformation, t::RESCALE_SLOPE, t::RESCALE_SLOPE),
        (transformation, t::RESCALE_TYPE, t::RESCALE_TYPE),
        (
            t::CT_IMAGE_FRAME_TYPE_SEQUENCE,
            t::FRAME_TYPE,
            t::IMAGE_TYPE,
        ),
        (t::PET_FRAME_TYPE_SEQUENCE, t::FRAME_TYPE, t::IMAGE_TYPE),
        (
            t::CT_RECONSTRUCTION_SEQUENCE,
            t::CONVOLUTION_KERNEL,
            t::CONVOLUTION_KERNEL,
        ),
        (t::CTX_RAY_DETAILS_SEQUENCE, t::KVP, t::KVP),
        (content, t::STACK_ID, t::STACK_ID),
        (content, t::FRAME_ACQUISITION_NUMBER, t::ACQUISITION_NUMBER),
        (
            content,
            t::TEMPORAL_POSITION_INDEX,
            t::TEMPORAL_POSITION_IDENTIFIER,
        ),
        (cardiac, phase, phase),
        (
            cardiac,
            t::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME,
            t::TRIGGER_TIME,
        ),
        (shared, t::CONVOLUTION_KERNEL, t::CONVOLUTION_KERNEL),
        (own, t::CONVOLUTION_KERNEL, t::CONVOLUTION_KERNEL),
        (own, t::ACQUISITION_NUMBER, t::ACQUISITION_NUMBER),
    ]
};

/// Codes of regions, as SNOMED CT and as its former identifiers, and the term of Body Part Examined for each.
///
/// Source: PS3.16 CID 4031 and annex L.
const REGIONS: [([&str; 2], &str); 9] = [
    (["816094009", ""], "CHEST"),
    (["51185008", "T-D3000"], "CHEST"),
    (["39607008", "T-28000"], "LUNG"),
    (["417437006", "R-FAB52"], "NECKCHEST"),
    (["416152001", "R-FAB53"], "NECKCHESTABDOMEN"),
    (["416319003", "R-FAB54"], "NECKCHESTABDPELV"),
    (["416550000", "R-FAB55"], "CHESTABDOMEN"),
    (["416775004", "R-FAB56"], "CHESTABDPELVIS"),
    (["38266002", "T-D0010"], "WHOLEBODY"),
];

/// Images whose frames carry functional groups.
pub(super) fn is_multi_frame(sop_class_uid: &str) -> bool {
    [
        uids::ENHANCED_CT_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
        uids::ENHANCED_PET_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE,
    ]
    .contains(&sop_class_uid)
}

/// One instance a frame, in their order.
pub(super) fn instances(
    path: &Path,
    transfer_syntax_uid: &str,
    object: &InMemDicomObject,
) -> Result<Vec<Instance>, Error> {
    let uid = Attributes::new(object, "unknown").uid(tags::SOP_INSTANCE_UID)?;
    let attributes = Attributes::new(object, &uid);
    let count = frame_count(&attributes)?;
    let own = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    if own.len() != count as usize {
        let tag = tags::NUMBER_OF_FRAMES;
        return Err(attributes.bad(
            tag,
            "one item of the Per-frame Functional Groups a frame is",
        ));
    }
    if attributes.text(tags::MODALITY).as_deref() == Some("PT") {
        // What tells it stands in the object, not in its frames.
        check_photons(&attributes)?;
    }
    let mut common = pick(object, &COMMON);
    if !items(object, tags::CONTRAST_BOLUS_AGENT_SEQUENCE).is_empty() {
        put_text(&mut common, tags::CONTRAST_BOLUS_AGENT, "CODED");
    }
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    if let Some(shared) = shared {
        apply(&mut common, shared);
    }
    let pet = EnhancedPet::new(object, shared, &uid);
    (1..)
        .zip(own)
        .map(|(frame_number, groups)| {
            let mut frame = common.clone();
            apply(&mut frame, groups);
            let mut instance = Instance::from_object(path, transfer_syntax_uid, &frame)?;
            instance.frame_number = Some(frame_number);
            if let Some(image) = instance.pet.as_deref_mut() {
                *image = pet.frame(groups);
                let units = image.as_ref().ok().and_then(|image| image.units.clone());
                instance.units = units;
            }
            Ok(instance)
        })
        .collect()
}

/// Number of Frames (0028,0008) within its limit.
pub(super) fn frame_count(attributes: &Attributes) -> Result<u32, Error> {
    let tag = tags::NUMBER_OF_FRAMES;
    let found = attributes.number(tag)?;
    if found.fract() != 0.0 || !(1.0..=f64::from(i32::MAX)).contains(&found) {
        return Err(attributes.bad(tag, "a whole positive number is"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and within 31 bits by the line above"
    )]
    let found = found as u32;
    if found > MAX_FRAMES {
        let (limit, uid) = (MAX_FRAMES, attributes.object_uid());
        return Err(Error::TooManyFrames { limit, uid });
    }
    Ok(found)
}

/// The attributes of `object` that are listed.
pub(super) fn pick(object: &InMemDicomObject, wanted: &[Tag]) -> InMemDicomObject {
    let elements = wanted.iter().filter_map(|tag| short(object, *tag, *tag));
    InMemDicomObject::from_element_iter(elements)
}

/// The element `tag` under the name `classic`; every frame has a copy, so a long value is cut to what is looked at.
fn short(object: &InMemDicomObject, tag: Tag, classic: Tag) -> Option<InMemElement> {
    const LONG_BYTES: usize = 1 << 10;
    let element = object.get(tag)?;
    let value = element.value().primitive()?;
    let value = match value.calculate_byte_len() > LONG_BYTES {
        true => PrimitiveValue::from(Attributes::new(object, "unknown").text(tag)?),
        false => value.clone(),
    };
    Some(DataElement::new(classic, element.vr(), value))
}

/// Part of a concatenation (PS3.3 C.7.6.16.2.2.4): its UID, the number of this object, and how many there are.
pub(super) fn concatenation(object: &InMemDicomObject) -> Option<(String, u16, Option<u16>)> {
    let attributes = Attributes::new(object, "unknown");
    let uid = attributes.uid(tags::CONCATENATION_UID).ok()?;
    let number = attributes.count(tags::IN_CONCATENATION_NUMBER).ok()?;
    let total = attributes.count(tags::IN_CONCATENATION_TOTAL_NUMBER).ok();
    Some((uid, number, total))
}

fn apply(frame: &mut InMemDicomObject, groups: &InMemDicomObject) {
    for (group, inner, classic) in MACROS {
        let Some(item) = items(groups, group).first() else {
            continue;
        };
        if let Some(element) = short(item, inner, classic) {
            frame.put(element);
        }
    }
    if let Some(part) = body_part(groups) {
        put_text(frame, tags::BODY_PART_EXAMINED, &part);
    }
}

/// What Body Part Examined would say of Frame Anatomy (PS3.3 C.7.6.16.2.8): the region's term, else its meaning.
fn body_part(groups: &InMemDicomObject) -> Option<String> {
    let anatomy = items(groups, tags::FRAME_ANATOMY_SEQUENCE).first()?;
    let region = items(anatomy, tags::ANATOMIC_REGION_SEQUENCE).first()?;
    let region = Attributes::new(region, "unknown");
    let code = region.text(tags::CODE_VALUE);
    let is_coded = |(codes, _): &&([&str; 2], &str)| code.iter().any(|c| codes.contains(&&**c));
    let known = REGIONS.iter().find(is_coded);
    let meaning = || region.text(tags::CODE_MEANING);
    known.map(|(_, term)| (*term).to_owned()).or_else(meaning)
}

fn put_text(object: &mut InMemDicomObject, tag: Tag, text: &str) {
    object.put(DataElement::new(tag, VR::LO, PrimitiveValue::from(text)));
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    let element = object.get(tag);
    element.and_then(|e| e.items()).unwrap_or_default()
}
