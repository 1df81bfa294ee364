//! Which rule gave an SUV, and from what: a record for the provenance. It has no dates and no identity.

use serde::Serialize;

/// What a rescaled value is, by Units and SUV Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// BQML.
    Activity,
    /// CNTS, to Bq/ml by Philips (7053,xx09).
    PhilipsActivity,
    /// CNTS, to SUVbw by Philips (7053,xx00).
    PhilipsSuv,
    /// GML and SUV Type BW or none.
    SuvBodyWeight,
    /// GML and LBM.
    SuvLeanMassMorgan,
    /// GML and LBMJAMES128.
    SuvLeanMassJames128,
    /// GML and LBMJANMA.
    SuvLeanMassJanmahasatian,
    /// GML and IBW.
    SuvIdealWeight,
    /// CM2ML.
    SuvBodySurface,
}

/// Decay Correction (0054,1102).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecayCorrection {
    /// To a time near the start of the scan.
    Start,
    /// To the injection.
    Admin,
    /// None.
    None,
}

/// Where the time came from that START corrects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceRule {
    /// Decay Correction DateTime (0018,9701) of an enhanced PET.
    DecayCorrectionDateTime,
    /// Siemens (0071,xx22) or GE (0009,xx0D).
    PrivateTime,
    /// The earliest acquisition is at Series Time.
    AcquisitionAtSeriesTime,
    /// Acquisition + average time of the frame - Frame Reference Time.
    FrameReference,
    /// Acquisition - Frame Reference Time, as GE counts it.
    FrameReferenceOfGe,
    /// Series Time, which lies before every acquisition.
    SeriesTime,
    /// The earliest acquisition.
    EarliestAcquisition,
}

/// Where the time of injection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdministrationRule {
    /// Radiopharmaceutical Start DateTime (0018,1078).
    DateTime,
    /// Its time of day, on the day of the scan or the day before.
    TimeOfDateTime,
    /// Radiopharmaceutical Start Time (0018,1072), on the day of the scan or the day before.
    Time,
}

/// One published order of the reference time and what it would have given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate {
    /// `qiba`, `ibsi` or `mitk`.
    pub order: &'static str,
    /// The rule that it comes to.
    pub rule: ReferenceRule,
    /// Its SUV over the one that was taken; of slices that differ, the ratio furthest from 1.
    pub suv_ratio: f64,
}

/// The times between which the dose decayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decay {
    /// What the times are of.
    pub administration: AdministrationRule,
    /// Time of day of the injection.
    pub administration_clock: String,
    /// The time that the values are corrected to; none where they are not.
    pub reference: Option<ReferenceRule>,
    /// Time of day that the values of the first slice are corrected to, or at which its frame began.
    pub reference_clock: String,
    /// Seconds from the injection to that time, of the slices the shortest and the longest.
    pub elapsed_s: [f64; 2],
    /// Every published order that the attributes allow.
    pub candidates: Vec<Candidate>,
}

/// The branch that was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Branch {
    /// The rules' version: another number, other results.
    pub rules: u32,
    /// What the rescaled values are.
    pub meaning: Meaning,
    /// Decay Correction as the file has it.
    pub decay_correction: Option<DecayCorrection>,
    /// Injected dose, Bq; where the rule needs it, as all below.
    pub dose_bq: Option<f64>,
    /// Half-life, s.
    pub half_life_s: Option<f64>,
    /// Weight, kg.
    pub weight_kg: Option<f64>,
    /// The times.
    pub decay: Option<Decay>,
}
