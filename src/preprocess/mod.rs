//! To come.

pub mod air;
pub mod distance;
pub mod label;
pub mod lungs;
pub mod midline;

use crate::error::Class;

/// Placeholder.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match *self {}
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match *self {}
    }
}

/// How voxels between grid points are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Linear along each axis.
    Trilinear,
    /// Catmull-Rom along each axis.
    Cubic,
}

/// Intensity normalisation of a model: `(clip(hu, lower_hu, upper_hu) - subtract_hu) / divide_hu`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Lower clip, HU.
    pub lower_hu: f32,
    /// Upper clip, HU.
    pub upper_hu: f32,
    /// Subtracted after clipping, HU.
    pub subtract_hu: f32,
    /// Divided by after subtracting, HU.
    pub divide_hu: f32,
}
