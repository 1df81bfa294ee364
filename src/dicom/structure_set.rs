//! Contours of an RT Structure Set (PS3.3 A.19).
//!
//! In: a file. Out: its regions of interest as closed planar contours in the patient. Refused: another SOP class, contours of
//! numbers that are no points.

use super::attribute::Attributes;
use super::{Attribute, Error, WholeObject, read_whole};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use glam::DVec3;
use std::collections::BTreeMap;
use std::path::Path;

/// Most coordinates of all contours: 8 million points.
const MAX_COORDINATES: usize = 3 << 23;

/// Furthest patient coordinate that is believed, mm.
const MAX_COORDINATE_MM: f64 = 1e5;

/// The regions of one file, in the order of their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct StructureSet {
    /// Regions with or without contours.
    pub rois: Vec<Roi>,
}

/// One region of interest.
#[derive(Debug, Clone, PartialEq)]
pub struct Roi {
    /// ROI Number (3006,0022).
    pub number: u32,
    /// ROI Name (3006,0026); free text, so it is for the person who gave the file, not for logs.
    pub name: String,
    /// Referenced Frame of Reference UID (3006,0024).
    pub frame_of_reference_uid: Option<String>,
    /// Points of each closed planar contour, LPS mm.
    pub contours_lps_mm: Vec<Vec<DVec3>>,
    /// Contours of other types, such as points and open lines, which enclose nothing.
    pub open_contours: usize,
}

impl StructureSet {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with the file; [`Error::Unsupported`] for another SOP class; [`Error::BadValue`] for Contour Data
    /// (3006,0050) that are not finite points or more than 8 million.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let WholeObject { object, .. } = read_whole(path)?;
        let unknown = Attributes::new(&object, "unknown");
        let uid = unknown.uid(tags::SOP_INSTANCE_UID)?;
        let attributes = Attributes::new(&object, &uid);
        if attributes.uid(tags::SOP_CLASS_UID)? != uids::RT_STRUCTURE_SET_STORAGE {
            return Err(attributes.unsupported(tags::SOP_CLASS_UID, "RT Structure Set Storage is"));
        }
        let mut rois = BTreeMap::new();
        for item in attributes.items(tags::STRUCTURE_SET_ROI_SEQUENCE) {
            let roi = roi(&item)?;
            rois.insert(roi.number, roi);
        }
        let mut left = MAX_COORDINATES;
        for item in items(&object, tags::ROI_CONTOUR_SEQUENCE) {
            let of = number(&Attributes::new(item, &uid), tags::REFERENCED_ROI_NUMBER)?;
            let roi = rois.get_mut(&of);
            let unnamed =
                || attributes.bad(tags::STRUCTURE_SET_ROI_SEQUENCE, "every ROI's number is");
            add_contours(roi.ok_or_else(unnamed)?, item, &uid, &mut left)?;
        }
        Ok(Self {
            rois: rois.into_values().collect(),
        })
    }
}

fn roi(item: &Attributes) -> Result<Roi, Error> {
    Ok(Roi {
        number: number(item, tags::ROI_NUMBER)?,
        name: item.text(tags::ROI_NAME).unwrap_or_default(),
        frame_of_reference_uid: item.optional_uid(tags::REFERENCED_FRAME_OF_REFERENCE_UID)?,
        contours_lps_mm: Vec::new(),
        open_contours: 0,
    })
}

fn number(item: &Attributes, tag: Tag) -> Result<u32, Error> {
    let text = item.required_text(tag)?;
    text.parse().map_err(|_| item.bad(tag, "a whole number is"))
}

fn add_contours(
    roi: &mut Roi,
    item: &InMemDicomObject,
    uid: &str,
    left: &mut usize,
) -> Result<(), Error> {
    for contour in items(item, tags::CONTOUR_SEQUENCE) {
        let kind = Attributes::new(contour, uid).text(tags::CONTOUR_GEOMETRIC_TYPE);
        match kind.as_deref() {
            Some("CLOSED_PLANAR" | "CLOSEDPLANAR_XOR") => {
                let points = points(contour, left).ok_or_else(|| Error::BadValue {
                    attribute: Attribute(tags::CONTOUR_DATA),
                    found: String::from("other numbers"),
                    needed: "three finite coordinates a point, of 8 million points at most, are",
                    uid: uid.to_owned(),
                })?;
                roi.contours_lps_mm.push(points);
            }
            _ => roi.open_contours += 1,
        }
    }
    Ok(())
}

/// Contour Data (3006,0050) as points, as far as `left` coordinates go.
fn points(contour: &InMemDicomObject, left: &mut usize) -> Option<Vec<DVec3>> {
    let value = contour.get(tags::CONTOUR_DATA)?.value().primitive()?;
    let count = value.multiplicity() as usize;
    *left = left.checked_sub(count)?;
    let numbers = value.to_multi_float64().ok()?;
    let sound = |mm: &f64| mm.abs() <= MAX_COORDINATE_MM;
    if !numbers.iter().all(sound) {
        return None;
    }
    let (points, rest) = numbers.as_chunks::<3>();
    rest.is_empty()
        .then(|| points.iter().map(|p| DVec3::from_array(*p)).collect())
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    let element = object.get(tag);
    element.and_then(|e| e.items()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{empty, sequence, with, write};
    use super::*;
    use dicom_core::VR;
    use tempfile::tempdir;

    fn contour(kind: &str, data: &str) -> InMemDicomObject {
        let contour = with(empty(), tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, kind);
        with(contour, tags::CONTOUR_DATA, VR::DS, data)
    }

    /// One ROI, number 7, with these contours; the contours say that they are of ROI `of`.
    fn read(of: &str, contours: Vec<InMemDicomObject>) -> Result<StructureSet, Error> {
        let roi = with(empty(), tags::ROI_NUMBER, VR::IS, "7");
        let roi = with(roi, tags::ROI_NAME, VR::LO, "tumour");
        let mut drawn = with(empty(), tags::REFERENCED_ROI_NUMBER, VR::IS, of);
        drawn.put(sequence(tags::CONTOUR_SEQUENCE, contours));
        let object = with(
            empty(),
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::RT_STRUCTURE_SET_STORAGE,
        );
        let mut object = with(object, tags::SOP_INSTANCE_UID, VR::UI, "1.2.3");
        object.put(sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, vec![roi]));
        object.put(sequence(tags::ROI_CONTOUR_SEQUENCE, vec![drawn]));
        let folder = tempdir().unwrap();
        StructureSet::read(&write(folder.path(), "rs.dcm", object))
    }

    #[test]
    fn closed_contours_are_read_and_others_are_counted() {
        let triangle = contour("CLOSED_PLANAR", "0\\0\\5\\10\\0\\5\\0\\10\\5");
        let found = read("7", vec![triangle, contour("POINT", "1\\2\\3")]).unwrap();
        let [roi] = &found.rois[..] else {
            panic!("one ROI")
        };
        assert_eq!(
            (roi.number, roi.name.as_str(), roi.open_contours),
            (7, "tumour", 1)
        );
        let corner = DVec3::new(10.0, 0.0, 5.0);
        assert_eq!(
            roi.contours_lps_mm,
            [vec![DVec3::Z * 5.0, corner, DVec3::new(0.0, 10.0, 5.0)]]
        );
    }

    #[test]
    fn coordinates_that_are_no_points_are_refused() {
        for bad in ["0\\0", "0\\0\\NaN", "0\\0\\1e9", "a\\b\\c", ""] {
            let refused = read("7", vec![contour("CLOSED_PLANAR", bad)]).unwrap_err();
            assert_eq!(refused.code(), "bad-value", "{bad}");
        }
        let refused = read("8", Vec::new()).unwrap_err();
        assert_eq!(refused.code(), "bad-value", "contours of no ROI");
    }
}
