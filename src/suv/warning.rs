//! What is doubtful about an SUV, and what to do then.

use super::Error;
use super::names::{DOSE, START, WEIGHT};

/// What is doubtful about an SUV. What the policy `strict` refuses says so in its code's row of `docs/suv.md`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Warning {
    /// The published orders of the reference time lead to different SUVs.
    #[error(
        "The published orders of the reference time differ by up to {percent:.1} % in SUV; the branch says which one was taken."
    )]
    ReferenceTimesDisagree {
        /// Largest difference from the order that was taken.
        percent: f64,
    },
    /// No attribute states the time that the values are corrected to.
    #[error(
        "No attribute states the time of decay correction: neither the maker's own element, nor an AcquisitionTime (0008,0032) equal to SeriesTime (0008,0031). It was derived from other times."
    )]
    ReferenceTimeDerived,
    /// Derived times of different slices disagree, though a series is corrected to one.
    #[error(
        "The derived times of decay correction differ between slices by {percent:.1} % in SUV, though a series is corrected to one time."
    )]
    ReferenceTimeScatter {
        /// Largest difference.
        percent: f64,
    },
    /// A dose that can only be meant in MBq.
    #[error("{DOSE} is below 10,000, so no injected activity in Bq. It was taken as MBq.")]
    DoseInMbq,
    /// A weight that can only be meant in grams.
    #[error("{WEIGHT} is above 1000, so no weight in kg. It was taken as grams.")]
    WeightInGrams,
    /// Half-life and radionuclide contradict each other.
    #[error(
        "RadionuclideHalfLife (0018,1075) is not that of RadionuclideCodeSequence (0054,0300). The half-life was taken."
    )]
    HalfLifeDisagrees,
    /// Both forms of the injection time are there and differ.
    #[error(
        "{START} and RadiopharmaceuticalStartTime (0018,1072) differ by more than a minute. The former was taken."
    )]
    AdministrationTimesDisagree,
    /// The date of injection cannot be right.
    #[error(
        "By {START} the injection lies after the scan or more than ten half-lives before it. The day of the scan was taken."
    )]
    AdministrationDateReplaced,
    /// Injected before midnight, scanned after it.
    #[error(
        "RadiopharmaceuticalStartTime (0018,1072) lies after the scan's time of day: injected on the day before."
    )]
    AdministrationDayBefore,
    /// The values are SUV already, and not decay-corrected.
    #[error(
        "DecayCorrection (0054,1102) is NONE, though by Units (0054,1001) the values are SUV. They were taken as SUV."
    )]
    NotDecayCorrected,
    /// A private element without its owner's mark.
    #[error(
        "A private element lacks its Private Creator. It was taken for that of Manufacturer (0008,0070)."
    )]
    PrivateCreatorMissing,
    /// The norm is the mean of the male and the female one.
    #[error("PatientSex (0010,0040) is O: the norm is the mean of the male and the female one.")]
    SexMean,
    /// Values below zero.
    #[error("{voxels} voxel(s) are below 0, the lowest {lowest:.2} g/ml.")]
    NegativeValues {
        /// How many.
        voxels: usize,
        /// SUVbw.
        lowest: f64,
    },
    /// No SUV but that by weight.
    #[error(
        "PatientSize (0010,1020), PatientWeight (0010,1030) or PatientSex (0010,0040) is missing or cannot be: SUVlbm, SUVbsa and SUVibw are left out."
    )]
    RatiosLeftOut,
}

impl Warning {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReferenceTimesDisagree { .. } => "suv-reference-times-disagree",
            Self::ReferenceTimeDerived => "suv-reference-time-derived",
            Self::ReferenceTimeScatter { .. } => "suv-reference-time-scatter",
            Self::DoseInMbq => "suv-dose-in-mbq",
            Self::WeightInGrams => "suv-weight-in-grams",
            Self::HalfLifeDisagrees => "suv-half-life-disagrees",
            Self::AdministrationTimesDisagree => "suv-administration-times-disagree",
            Self::AdministrationDateReplaced => "suv-administration-date-replaced",
            Self::AdministrationDayBefore => "suv-administration-day-before",
            Self::NotDecayCorrected => "suv-not-decay-corrected",
            Self::PrivateCreatorMissing => "suv-private-creator-missing",
            Self::NegativeValues { .. } => "suv-negative-values",
            Self::SexMean => "suv-sex-mean",
            Self::RatiosLeftOut => "suv-ratios-left-out",
        }
    }
}

/// What to do where a published rule has to take an attribute for something else than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Refuse.
    #[default]
    Strict,
    /// Follow the rule, with a warning.
    Lenient,
}

impl Policy {
    /// Lets a doubt pass as a warning, or refuses for it.
    pub(super) fn admit(self, doubt: Warning, warnings: &mut Vec<Warning>) -> Result<(), Error> {
        match self {
            Self::Strict => Err(Error::Doubtful(doubt)),
            Self::Lenient => {
                warnings.push(doubt);
                Ok(())
            }
        }
    }
}
