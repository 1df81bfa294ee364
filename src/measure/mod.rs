//! Numbers of one lesion, as the report states them. Definitions: ARCHITECTURE.md, "What each number means".

use glam::DVec3;

pub use crate::volume::Laterality;

/// Measurements of one lesion on the source grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Mean position of the lesion's voxel centres.
    pub centroid_lps_mm: DVec3,
    /// Number of SEG voxels times the voxel volume.
    pub volume_mm3: f64,
    /// Index of the acquired slice that holds both axes.
    pub axis_slice: usize,
    /// Largest diameter in one acquired slice.
    pub long_axis: Axis,
    /// Largest diameter perpendicular to the long axis, in the same slice.
    pub short_axis: Axis,
    /// Mean HU of the lesion's voxels.
    pub mean_hu: f64,
    /// Where it is, as far as that is known.
    pub laterality: Option<Laterality>,
}

/// A diameter drawn on one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// Length in mm, in the slice plane.
    pub length_mm: f64,
    /// End points as image coordinates `[column, row]`: the centre of the first pixel is (0.5, 0.5) as in SCOORD (PS3.3 C.18.6.1.1).
    pub ends_column_row: [[f64; 2]; 2],
}
