//! Recoverable facts that must reach the log, the JSON and the SR.

/// Something that did not stop the run but that a reader of the report must know.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Warning {
    /// The device choice `auto` found no usable GPU.
    #[error("No usable GPU: ran on the CPU.")]
    CpuFallback,
    /// The GPU is a software rasteriser; slow, but right.
    #[error("The adapter {adapter} is software: right results, slow.")]
    SoftwareAdapter {
        /// Adapter name as the driver gives it.
        adapter: String,
    },
    /// No lungs were recognised, so every patch of the volume was searched.
    #[error(
        "No lungs recognised: the whole volume was searched; more false candidates are likely."
    )]
    LungMaskFallback,
    /// Out of GPU memory at the model's patch size; a smaller tile was used.
    #[error(
        "Out of device memory: patches of {patch:?} voxels (z, y, x) instead of the model's own."
    )]
    SmallerPatch {
        /// The patch that fitted, `[z, y, x]` voxels.
        patch: [usize; 3],
    },
    /// The series lies outside what the model was made for.
    #[error("Outside the model's intended use: {reason}.")]
    OutsideIntendedUse {
        /// Which limit, in words.
        reason: String,
    },
    /// The gantry was tilted; the volume was resampled by its own affine.
    #[error("Gantry tilt of {tilt_deg:.1} degrees: resampled by the slices' true positions.")]
    GantryTilt {
        /// Angle between the stacking direction and the slice normal, degrees.
        tilt_deg: f64,
    },
    /// Files of the study that could not be read or were left out of the series.
    #[error("{count} file(s) of this series were left out: {reason}.")]
    InstancesLeftOut {
        /// How many.
        count: usize,
        /// Why, in words.
        reason: String,
    },
}

impl Warning {
    /// A stable kebab-case code, as it stands in `findings.json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CpuFallback => "cpu-fallback",
            Self::SoftwareAdapter { .. } => "software-adapter",
            Self::LungMaskFallback => "lung-mask-fallback",
            Self::SmallerPatch { .. } => "smaller-patch",
            Self::OutsideIntendedUse { .. } => "outside-intended-use",
            Self::GantryTilt { .. } => "gantry-tilt",
            Self::InstancesLeftOut { .. } => "instances-left-out",
        }
    }
}
