//! Coded terms of the reports: DCM (PS3.16 D), SCT (SNOMED CT), UCUM, LOINC.

use crate::lesion::Kind;
use crate::measure::Laterality;

/// A coded term that this program always writes the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term {
    /// Code Value (0008,0100).
    pub(super) value: &'static str,
    /// Coding Scheme Designator (0008,0102).
    pub(super) scheme: &'static str,
    /// Code Meaning (0008,0104).
    pub(super) meaning: &'static str,
}

const fn term(value: &'static str, scheme: &'static str, meaning: &'static str) -> Term {
    Term {
        value,
        scheme,
        meaning,
    }
}

const fn dcm(value: &'static str, meaning: &'static str) -> Term {
    term(value, "DCM", meaning)
}

const fn sct(value: &'static str, meaning: &'static str) -> Term {
    term(value, "SCT", meaning)
}

const fn ucum(value: &'static str, meaning: &'static str) -> Term {
    term(value, "UCUM", meaning)
}

// Document and observation context (TID 1500, 1204, 1001 to 1004).
pub(super) const IMAGING_MEASUREMENT_REPORT: Term = dcm("126000", "Imaging Measurement Report");
pub(super) const LANGUAGE: Term = dcm("121049", "Language of Content Item and Descendants");
pub(super) const ENGLISH: Term = term("en-US", "RFC5646", "English (United States)");
pub(super) const OBSERVER_TYPE: Term = dcm("121005", "Observer Type");
pub(super) const DEVICE: Term = dcm("121007", "Device");
pub(super) const DEVICE_OBSERVER_UID: Term = dcm("121012", "Device Observer UID");
pub(super) const DEVICE_OBSERVER_NAME: Term = dcm("121013", "Device Observer Name");
pub(super) const DEVICE_OBSERVER_MANUFACTURER: Term = dcm("121014", "Device Observer Manufacturer");
pub(super) const DEVICE_OBSERVER_MODEL_NAME: Term = dcm("121015", "Device Observer Model Name");
pub(super) const PROCEDURE_REPORTED: Term = dcm("121058", "Procedure reported");
pub(super) const CT_PROCEDURE: Term = term("25045-6", "LN", "CT unspecified body region");
pub(super) const IMAGING_PROCEDURE: Term = sct("363679005", "Imaging procedure");
pub(super) const IMAGING_MEASUREMENTS: Term = dcm("126010", "Imaging Measurements");
pub(super) const QUALITATIVE_EVALUATIONS: Term =
    term("C0034375", "UMLS", "Qualitative Evaluations");
pub(super) const COMMENT: Term = dcm("121106", "Comment");
pub(super) const PROCESSING_EQUIPMENT: Term = dcm("109102", "Processing Equipment");

// Outcome (CID 6047 and 6042).
pub(super) const PROCESSING_SUMMARY: Term = dcm("111017", "CAD Processing and Findings Summary");
pub(super) const ALL_SUCCEEDED_WITHOUT_FINDINGS: Term =
    dcm("111241", "All algorithms succeeded; without findings");
pub(super) const ALL_SUCCEEDED_WITH_FINDINGS: Term =
    dcm("111242", "All algorithms succeeded; with findings");
pub(super) const SOME_SUCCEEDED_WITHOUT_FINDINGS: Term =
    dcm("111243", "Not all algorithms succeeded; without findings");
pub(super) const SOME_SUCCEEDED_WITH_FINDINGS: Term =
    dcm("111244", "Not all algorithms succeeded; with findings");
pub(super) const NONE_SUCCEEDED: Term = dcm("111245", "No algorithms succeeded; without findings");
pub(super) const SUMMARY_OF_DETECTIONS: Term = dcm("111064", "Summary of Detections");
pub(super) const SUCCEEDED: Term = dcm("111222", "Succeeded");
pub(super) const FAILED: Term = dcm("111224", "Failed");
pub(super) const NOT_ATTEMPTED: Term = dcm("111225", "Not Attempted");
pub(super) const SERIES_INSTANCE_UID: Term = dcm("112002", "Series Instance UID");

// Measurement groups (TID 1411, 1501, 1419, 300).
pub(super) const MEASUREMENT_GROUP: Term = dcm("125007", "Measurement Group");
pub(super) const TRACKING_IDENTIFIER: Term = dcm("112039", "Tracking Identifier");
pub(super) const TRACKING_UNIQUE_IDENTIFIER: Term = dcm("112040", "Tracking Unique Identifier");
pub(super) const FINDING_CATEGORY: Term = sct("276214006", "Finding category");
pub(super) const FINDING: Term = dcm("121071", "Finding");
pub(super) const FINDING_SITE: Term = sct("363698007", "Finding Site");
pub(super) const LATERALITY: Term = sct("272741003", "Laterality");
pub(super) const REFERENCED_SEGMENT: Term = dcm("121191", "Referenced Segment");
pub(super) const SOURCE_IMAGE_FOR_SEGMENTATION: Term =
    dcm("121233", "Source image for segmentation");
pub(super) const SOURCE: Term = sct("260753009", "Source");
pub(super) const VOLUME: Term = sct("118565006", "Volume");
pub(super) const LONG_AXIS: Term = sct("103339001", "Long axis");
pub(super) const SHORT_AXIS: Term = sct("103340004", "Short axis");
pub(super) const ATTENUATION_COEFFICIENT: Term = dcm("112031", "Attenuation Coefficient");
pub(super) const DERIVATION: Term = dcm("121401", "Derivation");
pub(super) const MEAN: Term = sct("373098007", "Mean");
pub(super) const CERTAINTY_OF_FINDING: Term = dcm("111012", "Certainty of Finding");

// Algorithm identification (TID 4019).
pub(super) const ALGORITHM_NAME: Term = dcm("111001", "Algorithm Name");
pub(super) const ALGORITHM_VERSION: Term = dcm("111003", "Algorithm Version");
pub(super) const ALGORITHM_PARAMETERS: Term = dcm("111002", "Algorithm Parameters");
pub(super) const ALGORITHM_FAMILY: Term = dcm("111000", "Algorithm Family");
pub(super) const ALGORITHM_MANUFACTURER: Term = dcm("122405", "Algorithm Manufacturer");
pub(super) const ARTIFICIAL_INTELLIGENCE: Term = dcm("123110", "Artificial Intelligence");

// Segmentation (PS3.3 C.8.20.2).
pub(super) const MORPHOLOGICALLY_ABNORMAL: Term =
    sct("49755003", "Morphologically Abnormal Structure");
pub(super) const SEGMENTATION: Term = dcm("113076", "Segmentation");
pub(super) const SOURCE_IMAGE_FOR_PROCESSING: Term =
    dcm("121322", "Source image for image processing operation");

// Units.
pub(super) const MM: Term = ucum("mm", "millimeter");
pub(super) const MM3: Term = ucum("mm3", "cubic millimeter");
pub(super) const HOUNSFIELD_UNIT: Term = ucum("[hnsf'U]", "Hounsfield unit");
pub(super) const PERCENT: Term = ucum("%", "Percent");

/// What a lesion is.
pub(super) fn finding(kind: Kind) -> Term {
    match kind {
        Kind::LungNodule => sct("27925004", "Nodule"),
        Kind::LymphNode => sct("59441001", "Lymph node"),
        Kind::PetLesion => sct("52988006", "Lesion"),
        Kind::Organ => sct("91723000", "Anatomical structure"),
        Kind::PhysiologicUptake => term("physiologic-uptake", "99HILUM", "Physiologic uptake"),
    }
}

/// Where a lesion is, as far as its kind tells.
pub(super) fn site(kind: Kind) -> Term {
    match kind {
        Kind::LungNodule => sct("39607008", "Lung"),
        Kind::LymphNode | Kind::PetLesion | Kind::PhysiologicUptake | Kind::Organ => {
            sct("38266002", "Entire body")
        }
    }
}

/// The patient's side.
pub(super) fn side(laterality: Laterality) -> Term {
    match laterality {
        Laterality::Right => sct("24028007", "Right"),
        Laterality::Left => sct("7771000", "Left"),
    }
}
