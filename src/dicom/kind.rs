//! What kind of image an object is, by what it says of itself.
//!
//! In: its identity and attributes. Out: the Image Type of an acquired slice of CT or PET.
//! Refused: other SOP classes, other modalities in the classes of CT and PET, localizers, captures, derived images.

use super::attribute::Attributes;
use super::instance::Identity;
use super::{Attribute, Error, functional};
use dicom_core::Tag;
use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::{StandardSopClassDictionary, tags, uids};

/// Values of Image Type that makers give to pages for people: dose reports and screenshots.
const SCREENS: [&str; 4] = ["SCREEN SAVE", "DOSE_INFO", "DOSE REPORT", "PROTOCOL"];

/// Values of Image Type of images in which each pixel is taken from several slices.
const PROJECTIONS: [&str; 5] = ["MIP", "MINIP", "PROJECTION IMAGE", "VRT", "VOLUME_RENDER"];

/// Codes of radionuclides that emit single photons and no positrons, as SNOMED CT and as its former identifiers
/// (PS3.16 CID 18 less CID 4020): Tc-99m, I-123, I-125, I-131, In-111, Tl-201, Ga-67, Lu-177, Sm-153, Xe-133, Kr-81m.
const SINGLE_PHOTON: [&str; 22] = [
    "72454006",
    "C-163A8",
    "21572004",
    "C-114A4",
    "68630002",
    "C-114A6",
    "1368003",
    "C-114B1",
    "56609000",
    "C-145A4",
    "60057003",
    "C-138A9",
    "2008008",
    "C-131A2",
    "447553000",
    "C-101ED",
    "419804008",
    "C-B1134",
    "80751004",
    "C-172A8",
    "61716009",
    "C-173A5",
];

/// Energy of both photons of an annihilation, keV.
const ANNIHILATION_KEV: f64 = 511.0;

/// Refuses what is not an acquired slice of CT or PET; gives the Image Type.
pub(super) fn check(identity: &Identity, attributes: &Attributes) -> Result<Vec<String>, Error> {
    let uid = identity.sop_instance_uid.clone();
    let modality = check_class(identity)?;
    // Some writers keep the SOP class of the images that a segmentation or a SPECT was made from.
    if identity.modality != modality && attributes.text(tags::MODALITY).is_some() {
        let found = identity.modality.clone();
        return Err(Error::ForeignModality { found, uid });
    }
    if modality == "PT" {
        check_photons(attributes)?;
    }
    let image_type = check_image_type(identity, attributes)?;
    match attributes.text(tags::RESCALE_TYPE) {
        Some(found) if found != "HU" && modality == "CT" => Err(Error::NotHounsfield {
            found: attributes.shown(tags::RESCALE_TYPE),
            uid,
        }),
        _ => Ok(image_type),
    }
}

/// Refuses pictures of screens, localizers and what was made from other images.
fn check_image_type(identity: &Identity, attributes: &Attributes) -> Result<Vec<String>, Error> {
    let uid = identity.sop_instance_uid.clone();
    let image_type = attributes.texts(tags::IMAGE_TYPE);
    let is = |word: &str| image_type.iter().any(|value| value == word);
    if is("LOCALIZER") {
        return Err(Error::Localizer { uid });
    }
    // Conversion Type (0008,0064) is of the Secondary Capture module alone (PS3.3 C.8.6.1).
    if SCREENS.into_iter().any(is) || attributes.text(tags::CONVERSION_TYPE).is_some() {
        return Err(Error::SecondaryCapture { uid });
    }
    // Lossy compression alone makes DERIVED\PRIMARY; reformats and projections are DERIVED\SECONDARY (PS3.3 C.7.6.1.1.2).
    let derived = matches!(&image_type[..], [pixels, examination, ..] if pixels == "DERIVED" && examination == "SECONDARY");
    // PET may be seen from one side, as its Series Type says (PS3.3 C.8.9.1.1.4).
    let series_type = attributes.texts(tags::SERIES_TYPE);
    let reprojection = series_type.get(1).is_some_and(|v| v == "REPROJECTION");
    if derived || reprojection || PROJECTIONS.into_iter().any(is) {
        return Err(Error::Derived { uid });
    }
    // Value 4 of a frame says what made its contrast, such as MAX_IP or RCBF (PS3.3 C.8.16.1).
    match &image_type[..] {
        [_, _, _, contrast, ..]
            if contrast != "NONE" && functional::is_multi_frame(&identity.sop_class_uid) =>
        {
            Err(Error::Derived { uid })
        }
        _ => Ok(image_type),
    }
}

/// Refuses a SPECT that is stored as PET.
pub(super) fn check_photons(attributes: &Attributes) -> Result<(), Error> {
    single_photon(attributes).map_or(Ok(()), |(attribute, found)| {
        Err(Error::SinglePhoton {
            attribute: Attribute(attribute),
            found,
            uid: attributes.object_uid(),
        })
    })
}

/// What tells a SPECT that is stored as PET: its radionuclide, or energy windows below that of annihilation.
fn single_photon(attributes: &Attributes) -> Option<(Tag, String)> {
    let tag = tags::RADIONUCLIDE_CODE_SEQUENCE;
    let tracers = attributes.items(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE);
    let mut codes = tracers.into_iter().flat_map(|t| t.items(tag));
    let is_single = |code: &Attributes| {
        let value = code.text(tags::CODE_VALUE);
        value.is_some_and(|v| SINGLE_PHOTON.contains(&v.as_str()))
    };
    if let Some(code) = codes.find(is_single) {
        return Some((tag, code.shown(tags::CODE_VALUE)));
    }
    let tag = tags::ENERGY_WINDOW_UPPER_LIMIT;
    let windows = attributes.items(tags::ENERGY_WINDOW_RANGE_SEQUENCE);
    let upper_kev = |window: &Attributes| window.optional_number(tag).ok().flatten();
    let highest_kev = windows.iter().filter_map(upper_kev).reduce(f64::max)?;
    // Some writers leave zeros.
    (highest_kev > 0.0 && highest_kev < ANNIHILATION_KEV)
        .then(|| (tag, format!("{highest_kev} keV")))
}

/// The modality of the images of a SOP class that models read; none for any other class.
pub(super) fn modality_of_class(sop_class_uid: &str) -> Option<&'static str> {
    match sop_class_uid {
        uids::CT_IMAGE_STORAGE
        | uids::ENHANCED_CT_IMAGE_STORAGE
        | uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE => Some("CT"),
        uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE
        | uids::ENHANCED_PET_IMAGE_STORAGE
        | uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE => Some("PT"),
        _ => None,
    }
}

/// Refuses every SOP class but those of CT and PET images; gives the modality that they have.
fn check_class(identity: &Identity) -> Result<&'static str, Error> {
    let class = identity.sop_class_uid.as_str();
    if let Some(modality) = modality_of_class(class) {
        return Ok(modality);
    }
    let uid = identity.sop_instance_uid.clone();
    // The base class and its multi-frame children, `.7.1` to `.7.4`.
    let capture = class.strip_prefix(uids::SECONDARY_CAPTURE_IMAGE_STORAGE);
    Err(match capture {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => Error::SecondaryCapture { uid },
        _ => foreign_class(class, uid),
    })
}

/// Names the class in words and says what to send instead.
fn foreign_class(class: &str, uid: String) -> Error {
    let entry = StandardSopClassDictionary.by_uid(class);
    let name = entry.map_or("not in the standard", |entry| entry.name);
    let advice = match name.contains("Image Storage") {
        true => "no model takes it; send the CT of the study, if there is one",
        false => "it is no image; send the images that it was made from",
    };
    Error::SopClass {
        found: format!("{class} ({name})"),
        advice,
        uid,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Instance;
    use super::super::fixture::{empty, item, slice, with};
    use super::*;
    use dicom_core::{PrimitiveValue, VR};
    use dicom_object::InMemDicomObject;
    use std::path::Path;

    fn read(object: &InMemDicomObject) -> Result<Instance, Error> {
        Instance::from_object(Path::new("a.dcm"), uids::EXPLICIT_VR_LITTLE_ENDIAN, object)
    }

    fn refusal(tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) -> &'static str {
        read(&with(slice(0), tag, vr, value)).unwrap_err().code()
    }

    fn pet() -> InMemDicomObject {
        let class = uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;
        let object = with(slice(0), tags::SOP_CLASS_UID, VR::UI, class);
        with(object, tags::MODALITY, VR::CS, "PT")
    }

    fn pet_of(radionuclide: &str, upper_kev: &str) -> InMemDicomObject {
        let code = with(empty(), tags::CODE_VALUE, VR::SH, radionuclide);
        let code = item(tags::RADIONUCLIDE_CODE_SEQUENCE, code);
        let tracer = InMemDicomObject::from_element_iter([code]);
        let window = with(empty(), tags::ENERGY_WINDOW_UPPER_LIMIT, VR::DS, upper_kev);
        let mut object = pet();
        object.put(item(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, tracer));
        object.put(item(tags::ENERGY_WINDOW_RANGE_SEQUENCE, window));
        object
    }

    #[test]
    fn a_pet_slice_is_read_and_its_projection_is_not() {
        let slice = read(&pet_of("C-111A1", "650")).unwrap();
        assert_eq!(slice.modality, "PT");
        let view = with(pet(), tags::SERIES_TYPE, VR::CS, "STATIC\\REPROJECTION");
        assert_eq!(read(&view).unwrap_err().code(), "derived");
        let counts = with(pet(), tags::RESCALE_TYPE, VR::LO, "US");
        assert!(read(&counts).is_ok());
    }

    #[test]
    fn a_spect_stored_as_pet_is_told_by_its_modality_nuclide_or_energy() {
        let modality = with(pet(), tags::MODALITY, VR::CS, "NM");
        let cases = [
            (modality, "foreign-modality"),
            (pet_of("C-163A8", "650"), "single-photon"),
            (pet_of("77004003", "154.3"), "single-photon"),
        ];
        for (object, code) in cases {
            let error = read(&object).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn a_foreign_class_is_named_in_words_with_what_to_send() {
        let said = |class: &str| {
            let object = with(slice(0), tags::SOP_CLASS_UID, VR::UI, class);
            read(&object).unwrap_err().to_string()
        };
        for (class, words) in [
            (
                uids::MR_IMAGE_STORAGE,
                ["(MR Image Storage)", "no model takes it"],
            ),
            (
                uids::NUCLEAR_MEDICINE_IMAGE_STORAGE,
                ["(Nuclear Medicine Image Storage)", "no model takes it"],
            ),
            (
                uids::RT_STRUCTURE_SET_STORAGE,
                [
                    "(RT Structure Set Storage)",
                    "the images that it was made from",
                ],
            ),
            (
                uids::SEGMENTATION_STORAGE,
                ["(Segmentation Storage)", "the images that it was made from"],
            ),
            ("1.2.3.4", ["1.2.3.4 (not in the standard)", ""]),
        ] {
            let said = said(class);
            assert!(words.iter().all(|w| said.contains(w)), "{said}");
        }
    }

    #[test]
    fn what_is_no_acquired_ct_slice_is_left_out_by_kind() {
        let class = |uid: &str| refusal(tags::SOP_CLASS_UID, VR::UI, uid);
        assert_eq!(
            class(uids::SECONDARY_CAPTURE_IMAGE_STORAGE),
            "secondary-capture"
        );
        assert_eq!(class("1.2.840.10008.5.1.4.1.1.7.4"), "secondary-capture");
        assert_eq!(class("1.2.840.10008.5.1.4.1.1.77.1.4"), "sop-class");
        assert_eq!(class(uids::MR_IMAGE_STORAGE), "sop-class");
        for (name, uid) in [
            ("SPECT", uids::NUCLEAR_MEDICINE_IMAGE_STORAGE),
            ("segmentation", uids::SEGMENTATION_STORAGE),
            ("dose report", uids::X_RAY_RADIATION_DOSE_SR_STORAGE),
            ("dose map", uids::RT_DOSE_STORAGE),
        ] {
            assert_eq!(class(uid), "sop-class", "{name}");
        }
        let kind = |value: &str| refusal(tags::IMAGE_TYPE, VR::CS, value);
        assert_eq!(
            kind("ORIGINAL\\SECONDARY\\SCREEN SAVE"),
            "secondary-capture"
        );
        assert_eq!(kind("DERIVED\\PRIMARY\\AXIAL\\MIP"), "derived");
        assert_eq!(kind("ORIGINAL\\PRIMARY\\LOCALIZER"), "localizer");
        assert_eq!(kind("DERIVED\\SECONDARY\\MPR"), "derived");
        assert_eq!(
            refusal(tags::RESCALE_TYPE, VR::LO, "MGML"),
            "not-hounsfield"
        );
        assert!(
            read(&with(
                slice(0),
                tags::IMAGE_TYPE,
                VR::CS,
                "DERIVED\\PRIMARY\\AXIAL"
            ))
            .is_ok()
        );
    }

    #[test]
    fn what_only_borrows_the_class_of_ct_is_told_by_its_modality() {
        for other in ["SEG", "PT", "NM", "MR", "OT"] {
            assert_eq!(refusal(tags::MODALITY, VR::CS, other), "foreign-modality");
        }
        let screenshot = refusal(tags::CONVERSION_TYPE, VR::CS, "WSD");
        assert_eq!(screenshot, "secondary-capture");
        let frames = refusal(tags::NUMBER_OF_FRAMES, VR::IS, "2");
        assert_eq!(frames, "unsupported-value");
        let one_bit = refusal(tags::BITS_ALLOCATED, VR::US, 1_u16);
        assert_eq!(one_bit, "unsupported-value");
    }
}
