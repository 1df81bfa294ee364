//! What is doubtful about a region.

/// What is doubtful about a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Nothing said which of several ROIs is meant.
    #[error("The region is what {count} ROIs cover together; --roi-name takes one.")]
    SeveralRois {
        /// How many.
        count: usize,
    },
    /// Points and open lines.
    #[error("{count} contour(s) are not closed and enclose nothing.")]
    OpenContours {
        /// How many.
        count: usize,
    },
    /// Contours above or below the series.
    #[error("{count} contour(s) lie beyond the first or last slice and were left out.")]
    ContoursOutside {
        /// How many.
        count: usize,
    },
    /// Slices between two contours, which none was drawn on.
    #[error(
        "The contours lie further apart than the slices: {count} slice(s) between them have none."
    )]
    SlicesWithoutContour {
        /// How many.
        count: usize,
    },
}

impl Warning {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SeveralRois { .. } => "region-several-rois",
            Self::OpenContours { .. } => "region-open-contours",
            Self::ContoursOutside { .. } => "region-contours-outside",
            Self::SlicesWithoutContour { .. } => "region-slices-without-contour",
        }
    }
}
