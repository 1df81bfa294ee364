//! Recoverable facts that must reach the log, the JSON and the SR.

use crate::suv;

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
    /// With the GPU's matrix units a model failed its self-check; without them it passed.
    #[error("The matrix units of {adapter} failed a self-check ({code}): ran without them.")]
    MatricesFailed {
        /// Adapter name as the driver gives it.
        adapter: String,
        /// Code of the check's error.
        code: &'static str,
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
    /// The lungs look unlike those that the model learned from.
    #[error(
        "These lungs look unlike those that the model was trained on (novelty {novelty:.1}, at most {limit:.1} is familiar): check the scan before relying on any result."
    )]
    UnfamiliarInput {
        /// Distance of the features from those of the training scans, in standard deviations.
        novelty: f64,
        /// The model's limit.
        limit: f64,
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
    /// Slices are missing between others; what lies there was not seen.
    #[error(
        "{count} slice(s) missing: neighbours up to {gap_mm:.1} mm apart; what lies between them was not seen."
    )]
    MissingSlices {
        /// How many.
        count: usize,
        /// Widest distance between neighbours, mm.
        gap_mm: f64,
    },
    /// Slices without an image: one value alone, or padding.
    #[error("{count} slice(s) are blank: what lies there was not seen.")]
    BlankSlices {
        /// How many.
        count: usize,
    },
    /// Neighbouring slices lie at different distances; each was taken where it lies.
    #[error(
        "Uneven slices, {least_mm:.2} to {largest_mm:.2} mm apart: resampled by the slices' true positions."
    )]
    UnevenSpacing {
        /// Least distance between neighbours, mm.
        least_mm: f64,
        /// Widest distance between neighbours, mm.
        largest_mm: f64,
    },
    /// Slices are thicker than their distance; volumes are by distance.
    #[error(
        "Overlapping slices: {thickness_mm:.2} mm thick, {increment_mm:.2} mm apart; volumes count the distance."
    )]
    OverlappingSlices {
        /// Slice Thickness (0018,0050), mm.
        thickness_mm: f64,
        /// Usual distance between neighbours, mm.
        increment_mm: f64,
    },
    /// The slices are a reformat in another plane, where axes are measured.
    #[error("The slices are {plane}, not axial: both axes of a lesion are measured in that plane.")]
    NotAxial {
        /// `coronal`, `sagittal` or `oblique`.
        plane: &'static str,
    },
    /// The series holds several stacks, such as phases; this is one of them.
    #[error(
        "The series holds {count} stacks, told apart by {attribute}: this is the one of {value}."
    )]
    StackOfSeries {
        /// How many there are.
        count: usize,
        /// Keyword and tag of what tells them apart.
        attribute: String,
        /// Its value in this stack.
        value: String,
    },
    /// Another model on the same series does not have some lesions of this one at all.
    #[error(
        "{count} lesion(s) of this model, of intermediate or high confidence, are none of {other}, which ran on the same series: a person must look at them."
    )]
    ModelsDisagree {
        /// How many lesions.
        count: usize,
        /// Name of the other model.
        other: String,
    },
    /// What is doubtful about the SUV of a PET.
    #[error(transparent)]
    Suv(#[from] suv::Warning),
    /// No CT of the study lies in the PET's frame of reference.
    #[error(
        "No CT of the study shares the PET's FrameOfReferenceUID (0020,0052): uptake was judged by the PET alone."
    )]
    PetWithoutCt,
    /// The PET's CT shows no lungs.
    #[error("No lungs were recognised in the PET's CT: uptake was judged by the PET alone.")]
    PetWithoutLungs,
    /// The patient, or the couch, moved between PET and CT.
    #[error(
        "The lungs of the PET lie {offset_mm:.0} mm from those of its CT: uptake was judged by the PET alone, and its places on the CT are not to be relied on."
    )]
    PetMisaligned {
        /// How far, mm.
        offset_mm: f64,
    },
    /// More lesions than are wanted.
    #[error(
        "{count} further lesion(s), of lower score, were left out: candidates.max_lesions is reached."
    )]
    LesionsLeftOut {
        /// How many.
        count: usize,
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
            Self::MatricesFailed { .. } => "matrices-failed",
            Self::LungMaskFallback => "lung-mask-fallback",
            Self::SmallerPatch { .. } => "smaller-patch",
            Self::UnfamiliarInput { .. } => "unfamiliar-input",
            Self::OutsideIntendedUse { .. } => "outside-intended-use",
            Self::GantryTilt { .. } => "gantry-tilt",
            Self::MissingSlices { .. } => "missing-slices",
            Self::BlankSlices { .. } => "blank-slices",
            Self::UnevenSpacing { .. } => "uneven-spacing",
            Self::OverlappingSlices { .. } => "overlapping-slices",
            Self::NotAxial { .. } => "not-axial",
            Self::StackOfSeries { .. } => "stack-of-series",
            Self::ModelsDisagree { .. } => "models-disagree",
            Self::Suv(warning) => warning.code(),
            Self::PetWithoutCt => "pet-without-ct",
            Self::PetWithoutLungs => "pet-without-lungs",
            Self::PetMisaligned { .. } => "pet-misaligned",
            Self::LesionsLeftOut { .. } => "lesions-left-out",
            Self::InstancesLeftOut { .. } => "instances-left-out",
        }
    }
}
