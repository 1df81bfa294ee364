//! What programs compare: coded terms (PS3.3 8.8) with the words that people read, kinds of lesion and types of nodule.

use serde::{Deserialize, Serialize};

/// Code Value, Coding Scheme Designator and Code Meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Code Value (0008,0100).
    pub value: String,
    /// Coding Scheme Designator (0008,0102), such as `SCT` or `DCM`.
    pub scheme: String,
    /// Code Meaning (0008,0104).
    pub meaning: String,
}

impl Code {
    /// Whether its parts may stand in a code sequence whatever the character set: ASCII of the lengths of SH, SH and LO.
    pub fn is_valid(&self) -> bool {
        let fits = |text: &str, longest: usize| {
            let allowed = |c: u8| (b' '..=b'~').contains(&c) && c != b'\\';
            !text.trim().is_empty() && text.len() <= longest && text.bytes().all(allowed)
        };
        fits(&self.value, 16) && fits(&self.scheme, 16) && fits(&self.meaning, 64)
    }

    /// A term from its three parts.
    pub fn new(value: &str, scheme: &str, meaning: &str) -> Self {
        Self {
            value: value.into(),
            scheme: scheme.into(),
            meaning: meaning.into(),
        }
    }
}

/// What a segment is (PS3.3 C.8.20.4); of a lesion also the finding of the SR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Segmented Property Category (0062,0003).
    pub category: Code,
    /// Segmented Property Type (0062,000F).
    pub property_type: Code,
    /// Segmented Property Type Modifier (0062,0011), such as the side of a paired organ.
    pub modifier: Option<Code>,
}

/// The terms that a kind has where a model names no others.
impl From<Kind> for Terms {
    fn from(kind: Kind) -> Self {
        let abnormal = Code::new("49755003", "SCT", "Morphologically Abnormal Structure");
        let anatomical = Code::new("91723000", "SCT", "Anatomical structure");
        let sct = |value, meaning| Code::new(value, "SCT", meaning);
        let (category, property_type) = match kind {
            Kind::LungNodule => (abnormal, sct("27925004", "Nodule")),
            Kind::LymphNode => (abnormal, sct("59441001", "Lymph node")),
            Kind::PetLesion => (abnormal, sct("52988006", "Lesion")),
            Kind::PhysiologicUptake => (sct("246464006", "Function"), sct("17621005", "Normal")),
            Kind::Organ => (anatomical.clone(), anatomical),
        };
        Self {
            category,
            property_type,
            modifier: None,
        }
    }
}

/// What a lesion is; `kind` in `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lung nodule.
    LungNodule,
    /// A lymph node.
    LymphNode,
    /// A lesion with high tracer uptake.
    PetLesion,
    /// Normal uptake, shown so that nothing is dropped in silence.
    PhysiologicUptake,
    /// No lesion: a normal structure, which becomes one segment without measurements.
    Organ,
}

/// How dense a lung nodule is on CT.
///
/// Source: MacMahon et al., Radiology 2017 (Fleischner Society).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoduleType {
    /// It hides the vessels behind it.
    Solid,
    /// Ground glass with a solid part.
    PartSolid,
    /// Hazy: vessels show through it.
    GroundGlass,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_every_kind_may_stand_in_a_code_sequence() {
        let kinds = [
            Kind::LungNodule,
            Kind::LymphNode,
            Kind::PetLesion,
            Kind::PhysiologicUptake,
            Kind::Organ,
        ];
        for kind in kinds {
            let terms = Terms::from(kind);
            assert!(
                terms.category.is_valid() && terms.property_type.is_valid(),
                "{terms:?}"
            );
        }
    }

    #[test]
    fn a_code_value_of_more_than_sixteen_characters_is_not_valid() {
        assert!(Code::new("1234567890123456", "SCT", "x").is_valid());
        assert!(!Code::new("12345678901234567", "SCT", "x").is_valid());
    }
}
