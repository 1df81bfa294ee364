//! Voxels and where they lie: pure geometry and arithmetic, without DICOM, GPU or network.

mod blank;
mod geometry;
mod samples;
mod slices;

pub use geometry::Geometry;
pub use samples::Samples;
pub use slices::SlicePositions;

/// Voxels of type `T` on a grid, `[z, y, x]`, x fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<T> {
    /// The grid.
    pub geometry: Geometry,
    /// `geometry.voxel_count()` voxels.
    pub voxels: Vec<T>,
}

/// One byte a voxel, 1 inside, 0 outside.
pub type Mask = Volume<u8>;

/// Component number of each voxel, 0 for none.
pub type LabelMap = Volume<u32>;

/// Probability of the lesion class, 0 to 1.
pub type ProbabilityMap = Volume<f32>;

impl<T: Copy> Volume<T> {
    /// A volume that holds `value` everywhere.
    pub fn filled(geometry: Geometry, value: T) -> Self {
        Self {
            geometry,
            voxels: vec![value; geometry.voxel_count()],
        }
    }

    /// The voxel at `[z, y, x]`.
    pub fn at(&self, index: [usize; 3]) -> T {
        self.voxels[self.geometry.linear(index)]
    }
}

/// Rescale Slope (0028,1053) and Rescale Intercept (0028,1052) of one slice: `hu = stored * slope + intercept`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescale {
    /// Slope.
    pub slope: f32,
    /// Intercept, in the output unit (HU for CT).
    pub intercept: f32,
}

/// Stored pixel values of a stack of slices, as the files hold them, and how to turn them into HU.
///
/// Kept at 16 bits because a thorax of 1000 slices is 0.5 GiB like this and 1 GiB as `f32`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVolume {
    /// The grid of the source slices; of uneven ones, the even grid from the first to the last.
    pub geometry: Geometry,
    /// Where the slices lie along its z axis.
    pub slices: SlicePositions,
    /// Raw 16-bit samples; two's complement where `signed`. Bits above Bits Stored are already sign- or zero-extended.
    pub samples: Samples,
    /// Pixel Representation (0028,0103) is 1.
    pub signed: bool,
    /// One a slice.
    pub rescale: Vec<Rescale>,
    /// Stored values from first to last (inclusive) that mark padding (Pixel Padding Value and Range Limit,
    /// (0028,0120) and (0028,0121)); they become `padding_value`.
    pub padding: Option<(i32, i32)>,
    /// What padding counts as: [`PADDING_HU`] of a CT, 0 of a PET.
    pub padding_value: f32,
}

/// What padding outside the field of view counts as in a CT: air.
pub const PADDING_HU: f32 = -1024.0;

impl StoredVolume {
    /// Stored value of the sample at a linear index.
    pub fn stored(&self, linear: usize) -> i32 {
        let raw = self.samples[linear];
        if self.signed {
            i32::from(raw.cast_signed())
        } else {
            i32::from(raw)
        }
    }

    /// Whether a stored value marks padding.
    pub fn is_padding(&self, stored: i32) -> bool {
        let marks = |(first, last): (i32, i32)| (first..=last).contains(&stored);
        self.padding.is_some_and(marks)
    }

    /// Value of voxel `[z, y, x]` after the rescale: HU of CT; of PET what its rescale leads to, SUV or Bq/ml.
    pub fn rescaled(&self, [z, y, x]: [usize; 3]) -> f32 {
        let stored = self.stored(self.geometry.linear([z, y, x]));
        if self.is_padding(stored) {
            return self.padding_value;
        }
        let Rescale { slope, intercept } = self.rescale[z];
        stored as f32 * slope + intercept
    }
}

/// Side of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Laterality {
    /// The patient's right.
    Right,
    /// The patient's left.
    Left,
}
