//! What is asked of a PET image, as its file says it; what is absent is `None`, and [`super::Suv`] decides what that means.

use super::{Sex, Timestamp};

/// Whose scanner it was, by Manufacturer (0008,0070): private elements and the meaning of times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maker {
    /// Siemens.
    Siemens,
    /// GE.
    Ge,
    /// Philips.
    Philips,
    /// Any other, or none named.
    #[default]
    Other,
}

impl Maker {
    /// By the name that the file gives.
    pub fn named(manufacturer: &str) -> Self {
        let name = manufacturer.to_ascii_uppercase();
        let is_ge = name
            .split(|c: char| !c.is_alphanumeric())
            .any(|w| w == "GE");
        match () {
            () if name.contains("SIEMENS") => Self::Siemens,
            () if is_ge || name.contains("GENERAL ELECTRIC") => Self::Ge,
            () if name.contains("PHILIPS") => Self::Philips,
            () => Self::Other,
        }
    }
}

/// One slice of a PET, or one frame of an enhanced PET.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PetImage {
    /// Units (0054,1001).
    pub units: Option<String>,
    /// SUV Type (0054,1006).
    pub suv_type: Option<String>,
    /// Decay Correction (0054,1102).
    pub decay_correction: Option<String>,
    /// Corrected Image (0028,0051).
    pub corrections: Option<Corrections>,
    /// Rescale Slope (0028,1053).
    pub rescale_slope: f64,
    /// Rescale Intercept (0028,1052).
    pub rescale_intercept: f64,
    /// By Manufacturer (0008,0070).
    pub maker: Maker,
    /// Series Date (0008,0021) and Series Time (0008,0031).
    pub series_time: Option<Timestamp>,
    /// Acquisition Date (0008,0022) and Acquisition Time (0008,0032), or of a frame Frame Acquisition DateTime (0018,9074).
    pub acquisition_time: Option<Timestamp>,
    /// Decay Correction DateTime (0018,9701) of an enhanced PET.
    pub decay_correction_time: Option<Timestamp>,
    /// The maker's own element for the time that the values are corrected to: Siemens (0071,xx22), GE (0009,xx0D).
    pub private_time: Option<Timestamp>,
    /// Frame Reference Time (0054,1300), s.
    pub frame_reference_s: Option<f64>,
    /// Actual Frame Duration (0018,1242), s.
    pub frame_duration_s: Option<f64>,
    /// Philips (7053,xx00): SUVbw of a rescaled value of 1.
    pub philips_suv: Option<f64>,
    /// Philips (7053,xx09): Bq/ml of a rescaled value of 1.
    pub philips_bqml: Option<f64>,
    /// A private element above was taken by its usual number, since its Private Creator is missing.
    pub without_creator: bool,
    /// Who was measured.
    pub patient: Patient,
    /// Items of the Radiopharmaceutical Information Sequence (0054,0016), two at most: more than one is refused.
    pub tracers: Vec<Tracer>,
}

/// What was corrected for, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Corrections {
    /// ATTN
    pub attenuation: bool,
    /// DECY
    pub decay: bool,
}

/// Measures of the patient, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Patient {
    /// Patient's Weight (0010,1030), kg by the standard.
    pub weight: Option<f64>,
    /// Patient's Size (0010,1020), m.
    pub height_m: Option<f64>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<Sex>,
}

/// What was injected, as stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tracer {
    /// Radionuclide Total Dose (0018,1074), Bq by the standard.
    pub dose: Option<f64>,
    /// Radionuclide Half Life (0018,1075), s.
    pub half_life_s: Option<f64>,
    /// Code Value (0008,0100) of the Radionuclide Code Sequence (0054,0300).
    pub nuclide: Option<String>,
    /// Code Value (0008,0100) of the Radiopharmaceutical Code Sequence (0054,0304).
    pub agent_code: Option<String>,
    /// Its Coding Scheme Designator (0008,0102).
    pub agent_scheme: Option<String>,
    /// Its Code Meaning (0008,0104), and Radiopharmaceutical (0018,0031), as far as they are there.
    pub agent_names: Vec<String>,
    /// Radiopharmaceutical Start DateTime (0018,1078).
    pub start: Option<Timestamp>,
    /// Radiopharmaceutical Start Time (0018,1072), seconds since midnight.
    pub start_time_of_day_s: Option<f64>,
}
