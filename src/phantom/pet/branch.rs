//! What stored values are: the units, the correction for decay, and what 1 SUV is stored as.
//!
//! The formulas are those of docs/suv.md, turned round; nothing of `crate::suv`'s rules is called, so that each checks the
//! other. Norms by the body's measures are shared.

use super::patient::Patient;
use super::times::{FRAME_S, Times};
use crate::suv::Body;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// A way to store a PET that SUV has a rule for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuvBranch {
    /// Bq/ml at Series Time, when the first bed begins.
    BqmlStart,
    /// Bq/ml at a time that only Siemens' private element states.
    BqmlStartSiemens,
    /// Bq/ml at a time that only GE's private element states.
    BqmlStartGe,
    /// Bq/ml at a time that nothing states: Frame Reference Time leads to it.
    BqmlStartFrame,
    /// Bq/ml at the injection.
    BqmlAdmin,
    /// Bq/ml as counted, each bed at its own time.
    BqmlNone,
    /// SUV by weight, which SUV Type leaves unsaid.
    Gml,
    /// SUV by weight.
    GmlBw,
    /// SUV by lean mass after Morgan.
    GmlLbm,
    /// SUV by lean mass after James.
    GmlLbmJames128,
    /// SUV by lean mass after Janmahasatian.
    GmlLbmJanma,
    /// SUV by ideal weight.
    GmlIbw,
    /// SUV by surface.
    Cm2ml,
    /// Counts that Philips' private factor turns into SUV.
    CntsSuv,
    /// Counts that Philips' other private factor turns into Bq/ml.
    CntsBqml,
}

/// Private factors of the phantom's Philips scanner.
pub(super) const PHILIPS_SUV: f64 = 0.000_412_5;
pub(super) const PHILIPS_BQML: f64 = 1.634;

impl SuvBranch {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BqmlStart,
        Self::BqmlStartSiemens,
        Self::BqmlStartGe,
        Self::BqmlStartFrame,
        Self::BqmlAdmin,
        Self::BqmlNone,
        Self::Gml,
        Self::GmlBw,
        Self::GmlLbm,
        Self::GmlLbmJames128,
        Self::GmlLbmJanma,
        Self::GmlIbw,
        Self::Cm2ml,
        Self::CntsSuv,
        Self::CntsBqml,
    ];

    /// Units (0054,1001).
    pub(super) fn units(self) -> &'static str {
        match self {
            Self::CntsSuv | Self::CntsBqml => "CNTS",
            Self::Cm2ml => "CM2ML",
            _ if self.is_activity() => "BQML",
            _ => "GML",
        }
    }

    /// SUV Type (0054,1006).
    pub(super) fn suv_type(self) -> Option<&'static str> {
        match self {
            Self::GmlBw => Some("BW"),
            Self::GmlLbm => Some("LBM"),
            Self::GmlLbmJames128 => Some("LBMJAMES128"),
            Self::GmlLbmJanma => Some("LBMJANMA"),
            Self::GmlIbw => Some("IBW"),
            Self::Cm2ml => Some("BSA"),
            _ => None,
        }
    }

    /// Decay Correction (0054,1102).
    pub(super) fn decay_correction(self) -> &'static str {
        match self {
            Self::BqmlAdmin => "ADMIN",
            Self::BqmlNone => "NONE",
            _ => "START",
        }
    }

    /// Manufacturer (0008,0070): whose private elements are there.
    pub(super) fn manufacturer(self) -> &'static str {
        match self {
            Self::BqmlStartSiemens => "SIEMENS (synthetic)",
            Self::BqmlStartGe => "GE MEDICAL SYSTEMS (synthetic)",
            Self::CntsSuv | Self::CntsBqml => "Philips (synthetic)",
            _ => "Hilum",
        }
    }

    /// Series Time is that to which the values are corrected.
    pub(super) fn states_series_time(self) -> bool {
        !matches!(
            self,
            Self::BqmlStartSiemens | Self::BqmlStartGe | Self::BqmlStartFrame
        )
    }

    fn is_activity(self) -> bool {
        matches!(
            self,
            Self::BqmlStart
                | Self::BqmlStartSiemens
                | Self::BqmlStartGe
                | Self::BqmlStartFrame
                | Self::BqmlAdmin
                | Self::BqmlNone
                | Self::CntsBqml
        )
    }

    /// The rescaled value of SUVbw 1 in a slice.
    pub(super) fn value_of_one(self, patient: &Patient, times: &Times, slice: usize) -> f64 {
        let body = Body {
            weight_kg: patient.weight_kg,
            height_cm: patient.height_m * 100.0,
            sex: patient.sex(),
        };
        let by_norm = |norm_kg: f64| norm_kg / patient.weight_kg;
        match self {
            Self::Gml | Self::GmlBw => 1.0,
            Self::GmlLbm => by_norm(body.lean_mass_morgan_kg()),
            Self::GmlLbmJames128 => by_norm(body.lean_mass_james128_kg()),
            Self::GmlLbmJanma => by_norm(body.lean_mass_janmahasatian_kg()),
            Self::GmlIbw => by_norm(body.ideal_weight_kg()),
            Self::Cm2ml => body.surface_m2() * 1e4 / (patient.weight_kg * 1e3),
            Self::CntsSuv => 1.0 / PHILIPS_SUV,
            Self::CntsBqml => self.activity(patient, times, slice) / PHILIPS_BQML,
            _ => self.activity(patient, times, slice),
        }
    }

    /// Bq/ml of SUVbw 1.
    fn activity(self, patient: &Patient, times: &Times, slice: usize) -> f64 {
        let left = |until_s: f64| (-(until_s - times.injection_s) / times.half_life_s).exp2();
        let injected = patient.dose_mbq * 1e6 / (patient.weight_kg * 1e3);
        let decays = LN_2 * FRAME_S / times.half_life_s;
        match self {
            Self::BqmlAdmin => injected,
            Self::BqmlNone => {
                injected * left(times.acquisition_s(slice)) * -(-decays).exp_m1() / decays
            }
            _ => injected * left(times.reference_s),
        }
    }
}
