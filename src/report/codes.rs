//! Coded terms of the reports: DCM (PS3.16 D), SCT (SNOMED CT), UCUM, LOINC.

use crate::code::{Code, NoduleType};
use crate::lesion::pet::Site;
use crate::lesion::{Band, Kind};
use crate::measure::Laterality;
use crate::provenance::Method;

/// A coded term; the constants are those that this program always writes the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term<'a> {
    /// Code Value (0008,0100).
    pub(super) value: &'a str,
    /// Coding Scheme Designator (0008,0102).
    pub(super) scheme: &'a str,
    /// Code Meaning (0008,0104).
    pub(super) meaning: &'a str,
}

impl<'a> From<&'a Code> for Term<'a> {
    fn from(code: &'a Code) -> Self {
        Self {
            value: &code.value,
            scheme: &code.scheme,
            meaning: &code.meaning,
        }
    }
}

const fn term(value: &'static str, scheme: &'static str, meaning: &'static str) -> Term<'static> {
    Term {
        value,
        scheme,
        meaning,
    }
}

const fn dcm(value: &'static str, meaning: &'static str) -> Term<'static> {
    term(value, "DCM", meaning)
}

const fn sct(value: &'static str, meaning: &'static str) -> Term<'static> {
    term(value, "SCT", meaning)
}

const fn ucum(value: &'static str, meaning: &'static str) -> Term<'static> {
    term(value, "UCUM", meaning)
}

// Document and observation context (TID 1500, 1204, 1001 to 1004).
pub(super) const IMAGING_MEASUREMENT_REPORT: Term<'static> =
    dcm("126000", "Imaging Measurement Report");
pub(super) const LANGUAGE: Term<'static> =
    dcm("121049", "Language of Content Item and Descendants");
pub(super) const ENGLISH: Term<'static> = term("en-US", "RFC5646", "English (United States)");
pub(super) const OBSERVER_TYPE: Term<'static> = dcm("121005", "Observer Type");
pub(super) const DEVICE: Term<'static> = dcm("121007", "Device");
pub(super) const DEVICE_OBSERVER_UID: Term<'static> = dcm("121012", "Device Observer UID");
pub(super) const DEVICE_OBSERVER_NAME: Term<'static> = dcm("121013", "Device Observer Name");
pub(super) const DEVICE_OBSERVER_MANUFACTURER: Term<'static> =
    dcm("121014", "Device Observer Manufacturer");
pub(super) const DEVICE_OBSERVER_MODEL_NAME: Term<'static> =
    dcm("121015", "Device Observer Model Name");
pub(super) const PROCEDURE_REPORTED: Term<'static> = dcm("121058", "Procedure reported");
pub(super) const CT_PROCEDURE: Term<'static> = term("25045-6", "LN", "CT unspecified body region");
pub(super) const IMAGING_PROCEDURE: Term<'static> = sct("363679005", "Imaging procedure");
pub(super) const IMAGING_MEASUREMENTS: Term<'static> = dcm("126010", "Imaging Measurements");
pub(super) const QUALITATIVE_EVALUATIONS: Term<'static> =
    term("C0034375", "UMLS", "Qualitative Evaluations");
pub(super) const COMMENT: Term<'static> = dcm("121106", "Comment");
pub(super) const PROCESSING_EQUIPMENT: Term<'static> = dcm("109102", "Processing Equipment");

// Outcome (CID 6047 and 6042).
pub(super) const PROCESSING_SUMMARY: Term<'static> =
    dcm("111017", "CAD Processing and Findings Summary");
pub(super) const ALL_SUCCEEDED_WITHOUT_FINDINGS: Term<'static> =
    dcm("111241", "All algorithms succeeded; without findings");
pub(super) const ALL_SUCCEEDED_WITH_FINDINGS: Term<'static> =
    dcm("111242", "All algorithms succeeded; with findings");
pub(super) const SOME_SUCCEEDED_WITHOUT_FINDINGS: Term<'static> =
    dcm("111243", "Not all algorithms succeeded; without findings");
pub(super) const SOME_SUCCEEDED_WITH_FINDINGS: Term<'static> =
    dcm("111244", "Not all algorithms succeeded; with findings");
pub(super) const NONE_SUCCEEDED: Term<'static> =
    dcm("111245", "No algorithms succeeded; without findings");
pub(super) const SUMMARY_OF_DETECTIONS: Term<'static> = dcm("111064", "Summary of Detections");
pub(super) const SUCCEEDED: Term<'static> = dcm("111222", "Succeeded");
pub(super) const FAILED: Term<'static> = dcm("111224", "Failed");
pub(super) const NOT_ATTEMPTED: Term<'static> = dcm("111225", "Not Attempted");
pub(super) const SERIES_INSTANCE_UID: Term<'static> = dcm("112002", "Series Instance UID");

// Measurement groups (TID 1411, 1501, 1419, 300).
pub(super) const MEASUREMENT_GROUP: Term<'static> = dcm("125007", "Measurement Group");
pub(super) const TRACKING_IDENTIFIER: Term<'static> = dcm("112039", "Tracking Identifier");
pub(super) const TRACKING_UNIQUE_IDENTIFIER: Term<'static> =
    dcm("112040", "Tracking Unique Identifier");
pub(super) const FINDING_CATEGORY: Term<'static> = sct("276214006", "Finding category");
pub(super) const FINDING: Term<'static> = dcm("121071", "Finding");
pub(super) const FINDING_SITE: Term<'static> = sct("363698007", "Finding Site");
pub(super) const LATERALITY: Term<'static> = sct("272741003", "Laterality");
pub(super) const REFERENCED_SEGMENT: Term<'static> = dcm("121191", "Referenced Segment");
pub(super) const SOURCE_IMAGE_FOR_SEGMENTATION: Term<'static> =
    dcm("121233", "Source image for segmentation");
pub(super) const SOURCE: Term<'static> = sct("260753009", "Source");
pub(super) const VOLUME: Term<'static> = sct("118565006", "Volume");
pub(super) const LONG_AXIS: Term<'static> = sct("103339001", "Long axis");
pub(super) const SHORT_AXIS: Term<'static> = sct("103340004", "Short axis");
pub(super) const ATTENUATION_COEFFICIENT: Term<'static> = dcm("112031", "Attenuation Coefficient");
pub(super) const DERIVATION: Term<'static> = dcm("121401", "Derivation");
pub(super) const MEAN: Term<'static> = sct("373098007", "Mean");
pub(super) const CERTAINTY_OF_FINDING: Term<'static> = dcm("111012", "Certainty of Finding");

// What a classifier says (qualitative evaluations of TID 1411).
pub(super) const CERTAINTY: Term<'static> = sct("246103008", "Certainty");
pub(super) const CERTAINTY_OF_FEATURE: Term<'static> = dcm("111011", "Certainty of Feature");
pub(super) const TEXTURE: Term<'static> = term("C41144", "NCIt", "Texture");
pub(super) const RECOMMENDATION: Term<'static> = dcm("121075", "Recommendation");

// Algorithm identification (TID 4019).
pub(super) const ALGORITHM_NAME: Term<'static> = dcm("111001", "Algorithm Name");
pub(super) const ALGORITHM_VERSION: Term<'static> = dcm("111003", "Algorithm Version");
pub(super) const ALGORITHM_PARAMETERS: Term<'static> = dcm("111002", "Algorithm Parameters");
pub(super) const ALGORITHM_FAMILY: Term<'static> = dcm("111000", "Algorithm Family");
pub(super) const ALGORITHM_MANUFACTURER: Term<'static> = dcm("122405", "Algorithm Manufacturer");
const ARTIFICIAL_INTELLIGENCE: Term<'static> = dcm("123110", "Artificial Intelligence");
const MORPHOLOGICAL_OPERATIONS: Term<'static> = dcm("123104", "Morphological Operations");

// Uptake (CID 7464, 7466, 7469), reference regions (CID 7151) and what is said of them.
pub(super) const MAXIMUM: Term<'static> = sct("56851009", "Maximum");
pub(super) const PEAK: Term<'static> = dcm("126031", "Peak Value Within ROI");
pub(super) const STANDARD_DEVIATION: Term<'static> = sct("386136009", "Standard Deviation");
pub(super) const TOTAL: Term<'static> = sct("255619001", "Total");
pub(super) const METABOLIC_VOLUME: Term<'static> = dcm("126032", "Metabolic Volume");
pub(super) const TOTAL_LESION_GLYCOLYSIS: Term<'static> = dcm("126033", "Total Lesion Glycolysis");
pub(super) const MEASUREMENT_METHOD: Term<'static> = sct("370129005", "Measurement Method");
pub(super) const NUMBER_OF_LESIONS: Term<'static> = sct("246206008", "Number of lesions");
pub(super) const DISTANCE: Term<'static> = dcm("121206", "Distance");
pub(super) const FUNCTION: Term<'static> = sct("246464006", "Function");
pub(super) const INTERPRETATION: Term<'static> = dcm("110005", "Interpretation");
pub(super) const NORMAL: Term<'static> = sct("17621005", "Normal");
pub(super) const SPATIAL_CONCEPT: Term<'static> =
    sct("309825002", "Spatial and Relational Concept");
pub(super) const REFERENCE_REGION: Term<'static> = term("C94970", "NCIt", "Reference Region");
pub(super) const ABNORMAL: Term<'static> = sct("49755003", "Morphologically Abnormal Structure");
pub(super) const ENTIRE_BODY: Term<'static> = sct("38266002", "Entire body");
pub(super) const QUALITY_ASSESSMENT: Term<'static> = dcm("111050", "Quality Assessment");
pub(super) const MEETS_QUALITY: Term<'static> =
    dcm("111237", "Usable - Meets the quality control standard");
pub(super) const LACKS_QUALITY: Term<'static> = dcm(
    "111236",
    "Usable - Does not meet the quality control standard",
);

// Segmentation (PS3.3 C.8.20.2).
pub(super) const SEGMENTATION: Term<'static> = dcm("113076", "Segmentation");
pub(super) const SOURCE_IMAGE_FOR_PROCESSING: Term<'static> =
    dcm("121322", "Source image for image processing operation");

// Units.
pub(super) const MM: Term<'static> = ucum("mm", "millimeter");
pub(super) const MM3: Term<'static> = ucum("mm3", "cubic millimeter");
pub(super) const HOUNSFIELD_UNIT: Term<'static> = ucum("[hnsf'U]", "Hounsfield unit");
pub(super) const PERCENT: Term<'static> = ucum("%", "Percent");
pub(super) const ML: Term<'static> = ucum("ml", "milliliter");
pub(super) const GRAM: Term<'static> = ucum("g", "gram");
pub(super) const NO_UNITS: Term<'static> = ucum("1", "no units");

/// One of the SUVs that differ in what they are normalised by.
pub(super) struct SuvTerms {
    pub(super) name: Term<'static>,
    pub(super) unit: Term<'static>,
    pub(super) method: Term<'static>,
}

pub(super) const SUVBW: SuvTerms = SuvTerms {
    name: dcm("126401", "SUVbw"),
    unit: ucum("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
    method: dcm("126410", "SUV body weight calculation method"),
};
pub(super) const SUVLBM_JAMES128: SuvTerms = SuvTerms {
    name: dcm("126406", "SUVlbm(James128)"),
    unit: ucum(
        "g/ml{SUVlbm(James128)}",
        "Standardized Uptake Value lean body mass (James 128)",
    ),
    method: dcm(
        "126415",
        "SUV lean body mass calculation method using 128 multiplier",
    ),
};
pub(super) const SUVLBM_JANMA: SuvTerms = SuvTerms {
    name: dcm("126405", "SUVlbm(Janma)"),
    unit: ucum(
        "g/ml{SUVlbm(Janma)}",
        "Standardized Uptake Value lean body mass (Janma)",
    ),
    method: dcm(
        "126414",
        "SUV lean body mass calculation Janmahasatian method",
    ),
};
pub(super) const SUVBSA: SuvTerms = SuvTerms {
    name: dcm("126403", "SUVbsa"),
    unit: ucum(
        "cm2/ml{SUVbsa}",
        "Standardized Uptake Value body surface area",
    ),
    method: dcm("126412", "SUV body surface area calculation method"),
};
pub(super) const SUVIBW: SuvTerms = SuvTerms {
    name: dcm("126404", "SUVibw"),
    unit: ucum(
        "g/ml{SUVibw}",
        "Standardized Uptake Value ideal body weight",
    ),
    method: dcm("126413", "SUV ideal body weight calculation method"),
};

/// Algorithm family (CID 7162) of what gives findings; the rules of PET lesions are thresholds and watersheds.
pub(super) fn algorithm_family(method: Method) -> Term<'static> {
    match method {
        Method::TrainedModel => ARTIFICIAL_INTELLIGENCE,
        Method::Rules => MORPHOLOGICAL_OPERATIONS,
    }
}

/// Where a reference region lies.
pub(super) fn reference_site(site: Site) -> Term<'static> {
    match site {
        Site::Liver => sct("10200004", "Liver"),
        Site::BloodPool => sct("32672002", "Descending aorta"),
    }
}

/// Where a lesion is, as far as its kind alone tells.
pub(super) fn site(kind: Kind) -> Term<'static> {
    match kind {
        Kind::LungNodule => sct("39607008", "Lung"),
        Kind::LymphNode | Kind::PetLesion | Kind::PhysiologicUptake | Kind::Organ => ENTIRE_BODY,
    }
}

/// A confidence in words.
pub(super) fn band(band: Band) -> Term<'static> {
    match band {
        Band::High => sct("75540009", "High"),
        Band::Intermediate => sct("11896004", "Intermediate"),
        Band::Low => sct("62482003", "Low"),
    }
}

/// Type of a nodule; no context group of PS3.16 has them, so [`TEXTURE`] and these are the terms in which the nodules of
/// LIDC-IDRI are published as DICOM.
///
/// Source: Fedorov et al., Med Phys 2020.
pub(super) fn nodule_type(kind: NoduleType) -> Term<'static> {
    let radlex = |value, meaning| term(value, "RADLEX", meaning);
    match kind {
        NoduleType::Solid => radlex("RID50151", "Solid pulmonary nodule"),
        NoduleType::PartSolid => radlex("RID50152", "Part-solid pulmonary nodule"),
        NoduleType::GroundGlass => radlex("RID50153", "Non-solid pulmonary nodule"),
    }
}

/// The patient's side.
pub(super) fn side(laterality: Laterality) -> Term<'static> {
    match laterality {
        Laterality::Right => sct("24028007", "Right"),
        Laterality::Left => sct("7771000", "Left"),
    }
}
