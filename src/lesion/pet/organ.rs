//! Organs that take up FDG, or hold it, in health.

use crate::code::{Code, Terms};
use crate::volume::Laterality;

/// Where uptake is physiological.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Organ {
    /// The brain.
    Brain,
    /// The wall of the heart.
    Heart,
    /// One kidney with its calices and pelvis.
    Kidney(Laterality),
    /// The urinary bladder.
    Bladder,
    /// A ureter: urine on its way.
    Ureter(Laterality),
    /// The liver.
    Liver,
    /// Small intestine or colon.
    Bowel,
    /// A parotid or submandibular gland.
    SalivaryGland(Laterality),
    /// A palatine tonsil.
    Tonsil(Laterality),
    /// Where the tracer was injected, in a limb.
    InjectionSite,
}

impl Organ {
    /// Its name, as it stands in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Brain => "brain",
            Self::Heart => "heart",
            Self::Kidney(_) => "kidney",
            Self::Bladder => "bladder",
            Self::Ureter(_) => "ureter",
            Self::Liver => "liver",
            Self::Bowel => "bowel",
            Self::SalivaryGland(_) => "salivary gland",
            Self::Tonsil(_) => "tonsil",
            Self::InjectionSite => "injection site",
        }
    }

    /// Of a paired organ.
    pub fn laterality(&self) -> Option<Laterality> {
        match self {
            Self::Kidney(side)
            | Self::Ureter(side)
            | Self::SalivaryGland(side)
            | Self::Tonsil(side) => Some(*side),
            _ => None,
        }
    }

    /// Its coded terms: the anatomical structure, with the side of a paired one.
    ///
    /// Source: PS3.16 CID 7150, 7192, 7601 and 244, SNOMED CT for the intestine as a whole; the limb stands for the tissue of
    /// an injection.
    pub fn terms(&self) -> Terms {
        let sct = |value, meaning| Code::new(value, "SCT", meaning);
        let property_type = match self {
            Self::Brain => sct("12738006", "Brain"),
            Self::Heart => sct("80891009", "Heart"),
            Self::Kidney(_) => sct("64033007", "Kidney"),
            Self::Bladder => sct("89837001", "Bladder"),
            Self::Ureter(_) => sct("87953007", "Ureter"),
            Self::Liver => sct("10200004", "Liver"),
            Self::Bowel => sct("113276009", "Intestine"),
            Self::SalivaryGland(_) => sct("385294005", "Salivary gland"),
            Self::Tonsil(_) => sct("75573002", "Palatine tonsil"),
            Self::InjectionSite => sct("66019005", "Extremity"),
        };
        let modifier = self.laterality().map(|side| match side {
            Laterality::Right => sct("24028007", "Right"),
            Laterality::Left => sct("7771000", "Left"),
        });
        Terms {
            category: sct("91723000", "Anatomical Structure"),
            property_type,
            modifier,
        }
    }
}
