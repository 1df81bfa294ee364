//! Attributes of PET that SUV needs, of classic images.
//!
//! In: a data set. Out: a [`PetImage`]; what is absent is `None`. Refused: values that do not parse, by keyword and tag.
//!
//! Source: PS3.3 C.8.9 (PET); QIBA's pseudo-code and MITK for the private elements.

use super::attribute::Attributes;
use super::private::Private;
use super::{Error, private};
use crate::suv::{
    Corrections, Maker, Patient, PetImage, Sex, Timestamp, Tracer, time_of_day_s, zone,
};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

const DATE_TIME: &str = "a date and time as in PS3.5 6.2 are";

const PHILIPS_SUV: Private = Private {
    creator: "Philips PET Private Group",
    group: 0x7053,
    element: 0x00,
    maker: Maker::Philips,
};
const PHILIPS_BQML: Private = Private {
    element: 0x09,
    ..PHILIPS_SUV
};
const GE_SCAN_TIME: Private = Private {
    creator: "GEMS_PETD_01",
    group: 0x0009,
    element: 0x0d,
    maker: Maker::Ge,
};
const SIEMENS_DECAY_TIME: Private = Private {
    creator: "SIEMENS MED PT",
    group: 0x0071,
    element: 0x22,
    maker: Maker::Siemens,
};

/// Reads a classic PET image, or what is said of all frames of an enhanced one.
pub(super) fn read(object: &InMemDicomObject, uid: &str) -> Result<PetImage, Error> {
    let attributes = Attributes::new(object, uid);
    let zone_s = zone_s(&attributes)?;
    let milliseconds = |tag| Ok(attributes.optional_number(tag)?.map(|ms| ms / 1000.0));
    let manufacturer = attributes.text(tags::MANUFACTURER);
    let mut image = PetImage {
        units: code(&attributes, tags::UNITS),
        suv_type: code(&attributes, tags::SUV_TYPE),
        decay_correction: code(&attributes, tags::DECAY_CORRECTION),
        corrections: corrections(&attributes),
        rescale_slope: attributes
            .optional_number(tags::RESCALE_SLOPE)?
            .unwrap_or(1.0),
        rescale_intercept: attributes
            .optional_number(tags::RESCALE_INTERCEPT)?
            .unwrap_or(0.0),
        maker: manufacturer.map_or(Maker::Other, |name| Maker::named(&name)),
        series_time: joined(&attributes, SERIES, zone_s)?,
        acquisition_time: acquisition_time(&attributes, zone_s)?,
        frame_reference_s: milliseconds(tags::FRAME_REFERENCE_TIME)?,
        frame_duration_s: milliseconds(tags::ACTUAL_FRAME_DURATION)?,
        patient: patient(&attributes)?,
        tracers: tracers(&attributes, zone_s)?,
        ..PetImage::default()
    };
    read_private(object, &attributes, zone_s, &mut image)?;
    Ok(image)
}

/// Date and time of an event, and where the date may stand if not with it.
type DateAndTime = ([Tag; 2], Tag);

const SERIES: DateAndTime = (
    [tags::SERIES_DATE, tags::ACQUISITION_DATE],
    tags::SERIES_TIME,
);
const ACQUISITION: DateAndTime = (
    [tags::ACQUISITION_DATE, tags::SERIES_DATE],
    tags::ACQUISITION_TIME,
);

fn joined(
    attributes: &Attributes,
    (dates, time): DateAndTime,
    zone_s: Option<f64>,
) -> Result<Option<Timestamp>, Error> {
    let date = dates.into_iter().find_map(|tag| attributes.text(tag));
    let Some((date, text)) = date.zip(attributes.text(time)) else {
        return Ok(None);
    };
    let parsed = Timestamp::from_date_and_time(&date, &text, zone_s);
    parsed
        .map(Some)
        .ok_or_else(|| attributes.bad(time, DATE_TIME))
}

fn acquisition_time(
    attributes: &Attributes,
    zone_s: Option<f64>,
) -> Result<Option<Timestamp>, Error> {
    match joined(attributes, ACQUISITION, zone_s)? {
        Some(time) => Ok(Some(time)),
        None => date_time(attributes, tags::ACQUISITION_DATE_TIME, zone_s),
    }
}

/// When an image of any modality was acquired; none where that is not said, or not as PS3.5 6.2 has it.
pub(super) fn acquired(attributes: &Attributes) -> Option<Timestamp> {
    let zone_s = zone_s(attributes).ok()?;
    acquisition_time(attributes, zone_s).ok()?
}

pub(super) fn date_time(
    attributes: &Attributes,
    tag: Tag,
    zone_s: Option<f64>,
) -> Result<Option<Timestamp>, Error> {
    let Some(text) = attributes.text(tag) else {
        return Ok(None);
    };
    let parsed = Timestamp::parse(&text, zone_s);
    parsed
        .map(Some)
        .ok_or_else(|| attributes.bad(tag, DATE_TIME))
}

/// Timezone Offset From UTC (0008,0201), s.
pub(super) fn zone_s(attributes: &Attributes) -> Result<Option<f64>, Error> {
    let tag = tags::TIMEZONE_OFFSET_FROM_UTC;
    let Some(text) = attributes.text(tag) else {
        return Ok(None);
    };
    let parsed = zone(&text);
    parsed
        .map(Some)
        .ok_or_else(|| attributes.bad(tag, "an offset such as +0100 is"))
}

/// A coded value, cut to the 16 characters that it may have: each frame keeps a copy.
fn code(attributes: &Attributes, tag: Tag) -> Option<String> {
    let mut text = attributes.text(tag)?.to_ascii_uppercase();
    text.truncate(text.floor_char_boundary(16));
    Some(text)
}

/// A text, cut to the 64 characters that it may have.
fn name(attributes: &Attributes, tag: Tag) -> Option<String> {
    let mut text = attributes.text(tag)?;
    text.truncate(text.floor_char_boundary(64));
    Some(text)
}

fn corrections(attributes: &Attributes) -> Option<Corrections> {
    let listed = attributes.texts(tags::CORRECTED_IMAGE);
    let has = |name: &str| listed.iter().any(|value| value == name);
    (!listed.is_empty()).then(|| Corrections {
        attenuation: has("ATTN"),
        decay: has("DECY"),
    })
}

fn patient(attributes: &Attributes) -> Result<Patient, Error> {
    Ok(Patient {
        weight: attributes.optional_number(tags::PATIENT_WEIGHT)?,
        // Only needed for some SUVs, which are left out where it is not sound.
        height_m: attributes
            .optional_number(tags::PATIENT_SIZE)
            .unwrap_or(None),
        sex: match attributes.text(tags::PATIENT_SEX).as_deref() {
            Some("M") => Some(Sex::Male),
            Some("F") => Some(Sex::Female),
            Some("O") => Some(Sex::Other),
            _ => None,
        },
    })
}

fn tracers(attributes: &Attributes, zone_s: Option<f64>) -> Result<Vec<Tracer>, Error> {
    let tracer = |item: Attributes| {
        let codes = item.items(tags::RADIONUCLIDE_CODE_SEQUENCE);
        let agents = item.items(tags::RADIOPHARMACEUTICAL_CODE_SEQUENCE);
        let agent = agents.first();
        let meaning = agent.and_then(|item| name(item, tags::CODE_MEANING));
        let tag = tags::RADIOPHARMACEUTICAL_START_TIME;
        let start_time = item.text(tag);
        let of_day_s = start_time.map(|text| {
            time_of_day_s(&text).ok_or_else(|| item.bad(tag, "a time as in PS3.5 6.2 is"))
        });
        Ok(Tracer {
            dose: item.optional_number(tags::RADIONUCLIDE_TOTAL_DOSE)?,
            half_life_s: item.optional_number(tags::RADIONUCLIDE_HALF_LIFE)?,
            nuclide: codes.first().and_then(|item| code(item, tags::CODE_VALUE)),
            agent_code: agent.and_then(|item| code(item, tags::CODE_VALUE)),
            agent_scheme: agent.and_then(|item| code(item, tags::CODING_SCHEME_DESIGNATOR)),
            agent_names: meaning
                .into_iter()
                .chain(name(&item, tags::RADIOPHARMACEUTICAL))
                .collect(),
            start: date_time(&item, tags::RADIOPHARMACEUTICAL_START_DATE_TIME, zone_s)?,
            start_time_of_day_s: of_day_s.transpose()?,
        })
    };
    let items = attributes.items(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE);
    items.into_iter().take(2).map(tracer).collect()
}

/// What the makers keep in elements of their own.
fn read_private(
    object: &InMemDicomObject,
    attributes: &Attributes,
    zone_s: Option<f64>,
    image: &mut PetImage,
) -> Result<(), Error> {
    let maker = image.maker;
    let mut without_creator = false;
    let mut text = |element: &Private| {
        let (tag, owned) = element.find(object, maker)?;
        let text = private::text(object, tag)?;
        without_creator |= !owned;
        Some((tag, text))
    };
    let times = [text(&GE_SCAN_TIME), text(&SIEMENS_DECAY_TIME)];
    let factors = [text(&PHILIPS_SUV), text(&PHILIPS_BQML)];
    image.without_creator = without_creator;
    if let Some((tag, text)) = times.into_iter().flatten().next() {
        let parsed = Timestamp::parse(&text, zone_s);
        image.private_time = Some(parsed.ok_or_else(|| attributes.bad(tag, DATE_TIME))?);
    }
    let number = |(tag, text): (Tag, String)| {
        let number = text.parse().ok().filter(|n: &f64| n.is_finite());
        number.ok_or_else(|| attributes.bad(tag, "a finite number is"))
    };
    let [suv, bqml] = factors.map(|factor| factor.map(number).transpose());
    (image.philips_suv, image.philips_bqml) = (suv?, bqml?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{item, texts, with};
    use super::*;
    use dicom_core::{PrimitiveValue, VR};

    fn of_maker(maker: &str) -> InMemDicomObject {
        texts([(tags::MANUFACTURER, VR::LO, maker)])
    }

    #[test]
    fn attributes_are_read_in_the_units_that_their_names_say() {
        let mut object = texts([
            (tags::UNITS, VR::CS, "bqml"),
            (tags::SERIES_DATE, VR::DA, "20250101"),
            (tags::SERIES_TIME, VR::TM, "110000.5"),
            (tags::ACQUISITION_DATE_TIME, VR::DT, "20250101110001"),
            (tags::FRAME_REFERENCE_TIME, VR::DS, "150000"),
            (tags::ACTUAL_FRAME_DURATION, VR::IS, "300000"),
            (tags::CORRECTED_IMAGE, VR::CS, "ATTN\\DECY"),
            (tags::PATIENT_WEIGHT, VR::DS, "70"),
        ]);
        let code = texts([(tags::CODE_VALUE, VR::SH, "C-111A1")]);
        let mut tracer = texts([
            (tags::RADIONUCLIDE_TOTAL_DOSE, VR::DS, "3.5e8"),
            (tags::RADIOPHARMACEUTICAL_START_TIME, VR::TM, "1030"),
        ]);
        tracer.put(item(tags::RADIONUCLIDE_CODE_SEQUENCE, code));
        let agent = texts([
            (tags::CODE_VALUE, VR::SH, "35321007"),
            (tags::CODING_SCHEME_DESIGNATOR, VR::SH, "SCT"),
            (tags::CODE_MEANING, VR::LO, "Fluorodeoxyglucose F^18^"),
        ]);
        tracer.put(item(tags::RADIOPHARMACEUTICAL_CODE_SEQUENCE, agent));
        object.put(item(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, tracer));
        let image = read(&object, "1.2").unwrap();
        assert_eq!(image.units.as_deref(), Some("BQML"));
        assert_eq!(
            (image.frame_reference_s, image.frame_duration_s),
            (Some(150.0), Some(300.0))
        );
        let later_s = image
            .acquisition_time
            .unwrap()
            .seconds_after(image.series_time.unwrap());
        assert!((later_s - 0.5).abs() < 1e-6);
        let corrections = image.corrections.unwrap();
        assert!(corrections.attenuation && corrections.decay);
        assert_eq!(image.tracers[0].start_time_of_day_s, Some(37_800.0));
        let tracer = &image.tracers[0];
        assert_eq!(tracer.nuclide.as_deref(), Some("C-111A1"));
        assert_eq!(tracer.agent_code.as_deref(), Some("35321007"));
        assert_eq!(tracer.agent_scheme.as_deref(), Some("SCT"));
        assert_eq!(tracer.agent_names, ["Fluorodeoxyglucose F^18^"]);
    }

    #[test]
    fn values_that_do_not_parse_are_refused_by_name() {
        for (tag, vr, value) in [
            (tags::PATIENT_WEIGHT, VR::DS, "Secret"),
            (tags::SERIES_TIME, VR::TM, "2500"),
            (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "CET"),
            (tags::FRAME_REFERENCE_TIME, VR::DS, "nan"),
        ] {
            let object = texts([(tags::SERIES_DATE, VR::DA, "20250101"), (tag, vr, value)]);
            let error = read(&object, "1.2").unwrap_err();
            assert_eq!(error.code(), "bad-value", "{tag}");
            assert!(error.to_string().contains(&tag.to_string()), "{error}");
            assert!(!error.to_string().contains("Secret"), "{error}");
        }
    }

    #[test]
    fn private_elements_are_found_by_their_creator_in_any_block() {
        let object = with(
            of_maker("Philips"),
            Tag(0x7053, 0x11),
            VR::LO,
            "Philips PET Private Group",
        );
        let object = with(object, Tag(0x7053, 0x10), VR::LO, "ANOTHER");
        let object = with(object, Tag(0x7053, 0x1000), VR::DS, "7");
        let object = with(object, Tag(0x7053, 0x1100), VR::DS, "0.0005");
        let as_unknown = PrimitiveValue::from(b"0.5 ".to_vec());
        let object = with(object, Tag(0x7053, 0x1109), VR::UN, as_unknown);
        let image = read(&object, "1.2").unwrap();
        assert_eq!(
            (image.philips_suv, image.philips_bqml),
            (Some(0.0005), Some(0.5))
        );
        assert!(!image.without_creator);
    }

    #[test]
    fn a_private_element_without_creator_must_be_of_the_right_maker() {
        let time = (Tag(0x0009, 0x100d), VR::DT, "20250101110000.00");
        let of = |maker: &str| {
            let object = with(of_maker(maker), time.0, time.1, time.2);
            read(&object, "1.2").unwrap()
        };
        let ge = of("GE MEDICAL SYSTEMS");
        assert!(ge.private_time.is_some() && ge.without_creator);
        let other = of("GENERIC");
        assert!(other.private_time.is_none() && !other.without_creator);
        let siemens = with(
            of_maker("SIEMENS"),
            Tag(0x0071, 0x10),
            VR::LO,
            "SIEMENS MED PT",
        );
        let siemens = with(siemens, Tag(0x0071, 0x1022), VR::DT, "20250101110000");
        let siemens = read(&siemens, "1.2").unwrap();
        assert_eq!(siemens.private_time, ge.private_time);
    }
}
