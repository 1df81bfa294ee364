//! Why there is no SUV.

use super::Warning;
use super::names::START;
use crate::error::Class;

/// Why no SUV can be computed. Names attributes, never a patient's values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// An attribute that the rule at hand needs is absent.
    #[error("{attribute} is missing, which {purpose} needs; ask the sender for complete objects")]
    Missing {
        /// Keyword and tag.
        attribute: &'static str,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// A value that cannot be.
    #[error("{attribute} is no value that can be: {needed} needed; ask the sender")]
    BadValue {
        /// Keyword and tag.
        attribute: &'static str,
        /// What would be right, in words.
        needed: &'static str,
    },
    /// Units that do not lead to SUV.
    #[error(
        "Units (0054,1001) is none of BQML, GML, CM2ML and Philips' CNTS; send a reconstruction in BQML"
    )]
    Units,
    /// Units and SUV Type contradict each other, or the type is unknown.
    #[error(
        "SUVType (0054,1006) is none of BW, LBM, LBMJAMES128, LBMJANMA and IBW for GML, or not BSA for CM2ML; send a reconstruction in BQML"
    )]
    SuvType,
    /// The values lack a correction without which they are no activity.
    #[error(
        "CorrectedImage (0028,0051) does not list {correction}, which {purpose} asks for; send a corrected reconstruction"
    )]
    NotCorrected {
        /// ATTN or DECY.
        correction: &'static str,
        /// What asks for it.
        purpose: &'static str,
    },
    /// Two attributes say opposite things.
    #[error("{first} and {second} contradict each other; ask the sender which one is right")]
    Contradiction {
        /// Keyword and tag.
        first: &'static str,
        /// Keyword and tag.
        second: &'static str,
    },
    /// Slices of one series differ in what holds for the whole of it.
    #[error("{attribute} differs between the slices of the series; send each part as a series")]
    Mixed {
        /// Keyword and tag.
        attribute: &'static str,
    },
    /// More than one radiopharmaceutical.
    #[error(
        "RadiopharmaceuticalInformationSequence (0054,0016) names several radiopharmaceuticals; their doses cannot be told apart in the image"
    )]
    SeveralTracers,
    /// No order of the reference time has what it needs.
    #[error(
        "the time that the values are decay-corrected to is unknown: SeriesTime (0008,0031) and AcquisitionTime (0008,0032) are missing; ask the sender for complete objects"
    )]
    NoReferenceTime,
    /// The injection lies after the scan or too long before it.
    #[error(
        "{START} or (0018,1072) and the scan's times contradict each other: injected after the scan, or more than ten half-lives before it; ask the sender for the right time"
    )]
    AdministrationTime,
    /// Only the time of day of the injection of a long-lived nuclide is known.
    #[error(
        "{START} is missing, and by the time of day alone the day of injection of a nuclide with a half-life of 11.5 hours or more is unknown; ask the sender for the date"
    )]
    AdministrationDate,
    /// The policy is strict and a published rule would have to guess.
    #[error("{0} The policy strict refuses this; correct the attribute, or use the policy lenient")]
    Doubtful(Warning),
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Units | Self::SuvType | Self::SeveralTracers => Class::Unsupported,
            Self::Missing { .. }
            | Self::BadValue { .. }
            | Self::NotCorrected { .. }
            | Self::Contradiction { .. }
            | Self::Mixed { .. }
            | Self::NoReferenceTime
            | Self::AdministrationTime
            | Self::AdministrationDate
            | Self::Doubtful(_) => Class::Input,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "suv-missing-attribute",
            Self::BadValue { .. } => "suv-bad-value",
            Self::Units => "suv-units",
            Self::SuvType => "suv-type",
            Self::NotCorrected { .. } => "suv-not-corrected",
            Self::Contradiction { .. } => "suv-contradiction",
            Self::Mixed { .. } => "suv-mixed-slices",
            Self::SeveralTracers => "suv-several-tracers",
            Self::NoReferenceTime => "suv-no-reference-time",
            Self::AdministrationTime => "suv-administration-time",
            Self::AdministrationDate => "suv-administration-date",
            Self::Doubtful(e) => e.code(),
        }
    }
}
