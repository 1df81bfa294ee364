//! Why a region is not to be had on a series.

use crate::error::Class;

/// Why there is no region. Names no ROI, since their names are free text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No ROI of that name or number, or none with closed contours.
    #[error(
        "no ROI with closed planar contours has that name or number ({empty} without such contours have); the names are in StructureSetROISequence (3006,0020)"
    )]
    NoRoi {
        /// ROIs that are wanted and enclose nothing.
        empty: usize,
    },
    /// The contours lie in other coordinates.
    #[error(
        "the contours are of another frame of reference than the series, by ReferencedFrameOfReferenceUID (3006,0024); give the region of this series"
    )]
    OtherFrame,
    /// The contours were drawn on other planes.
    #[error(
        "a contour crosses the slices of the series, by ContourData (3006,0050); give contours that were drawn on this series, or a label map"
    )]
    Oblique,
    /// No voxel is inside.
    #[error("no voxel of the series lies in the region; give the region of this series")]
    NoOverlap,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::NoRoi { .. } | Self::OtherFrame | Self::NoOverlap => Class::Input,
            Self::Oblique => Class::Unsupported,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRoi { .. } => "region-no-roi",
            Self::OtherFrame => "region-other-frame",
            Self::Oblique => "region-oblique",
            Self::NoOverlap => "region-no-overlap",
        }
    }
}
