//! From stored pixel values to HU on the model's grid, on the GPU or the CPU.

pub mod air;
pub mod distance;
pub mod label;
pub mod lungs;
pub mod midline;
pub mod padding;
pub mod rescale;
mod thorax;

use crate::error::Class;
use crate::gpu::{self, Kernel};

/// Every kernel of this stage; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[
    &rescale::KERNEL,
    &padding::KERNEL,
    &air::KERNEL,
    &distance::ALONG_X,
    &distance::ACROSS_ROWS,
    &label::START,
    &label::JOIN,
    &label::FINISH,
];

/// Why a volume cannot be preprocessed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The GPU failed or is too small.
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
    /// More voxels than can be numbered.
    #[error("{voxels} voxels are more than 32 bits number; crop the series")]
    TooManyVoxels {
        /// How many.
        voxels: usize,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Gpu(e) => e.class(),
            Self::TooManyVoxels { .. } => Class::Limits,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gpu(e) => e.code(),
            Self::TooManyVoxels { .. } => "too-many-voxels",
        }
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

fn count(voxels: usize) -> Result<u32, Error> {
    u32::try_from(voxels).map_err(|_| Error::TooManyVoxels { voxels })
}
