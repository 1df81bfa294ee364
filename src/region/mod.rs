//! A region drawn elsewhere, on the voxels of a series.
//!
//! In: an RT Structure Set, or a label map as NIfTI or MetaImage. Out: a mask on a series' own slices, by patient coordinates.
//! Refused, by code: regions that are not there, lie elsewhere, or were drawn across the slices.

mod contours;
mod error;
mod warning;

pub use error::Error;
pub use warning::Warning;

use crate::dicom::{Roi, Series, StructureSet};
use crate::volume::{Geometry, Mask, SlicePositions, Volume};
use crate::volume_file::{LabelVoxels, is_volume_file};
use glam::DVec3;
use rayon::prelude::*;
use std::path::Path;

/// A region as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    source: Source,
    warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Contours(Vec<Roi>),
    Mask(Mask),
}

impl Region {
    /// Reads a file; of an RT Structure Set the ROIs whose name or number is `wanted`, or all.
    ///
    /// # Errors
    /// What is wrong with the file; [`Error::NoRoi`] where no ROI that encloses something is wanted; a label map of more than
    /// `max_voxels`.
    pub fn read(path: &Path, wanted: Option<&str>, max_voxels: u64) -> Result<Self, crate::Error> {
        if is_volume_file(path) {
            let labels = LabelVoxels::read(path, max_voxels)?;
            let source = Source::Mask(labels.mask());
            return Ok(Self {
                source,
                warnings: Vec::new(),
            });
        }
        let StructureSet { rois } = StructureSet::read(path)?;
        let is_wanted = |roi: &Roi| {
            let is = |name: &str| {
                roi.number.to_string() == name || roi.name.eq_ignore_ascii_case(name.trim())
            };
            wanted.is_none_or(is)
        };
        let chosen = rois.into_iter().filter(is_wanted);
        let (chosen, empty): (Vec<Roi>, Vec<Roi>) =
            chosen.partition(|roi| !roi.contours_lps_mm.is_empty());
        if chosen.is_empty() {
            return Err(Error::NoRoi { empty: empty.len() }.into());
        }
        let open: usize = chosen.iter().map(|roi| roi.open_contours).sum();
        let several = (chosen.len() > 1).then_some(Warning::SeveralRois {
            count: chosen.len(),
        });
        let open = (open > 0).then_some(Warning::OpenContours { count: open });
        Ok(Self {
            source: Source::Contours(chosen),
            warnings: several.into_iter().chain(open).collect(),
        })
    }

    /// The region on the voxels of a series as they were acquired, 1 inside, and what is doubtful about it.
    ///
    /// A voxel is inside if its centre is: within the contours of the nearest slice, by the rule of even and odd where several
    /// of one ROI enclose it, or in a voxel of the label map.
    ///
    /// # Errors
    /// [`Error::OtherFrame`] where contours are of another frame of reference; [`Error::Oblique`] where they cross slices;
    /// [`Error::NoOverlap`] where no voxel is inside.
    pub fn on(&self, series: &Series) -> Result<(Mask, Vec<Warning>), Error> {
        let (geometry, slices) = (&series.geometry, &series.slices);
        let mut warnings = self.warnings.clone();
        let mask = match &self.source {
            Source::Mask(mask) => carry(mask, geometry, slices),
            Source::Contours(rois) => {
                check_frame(rois, series)?;
                contours::fill(rois, geometry, slices, &mut warnings)?
            }
        };
        if mask.voxels.iter().all(|inside| *inside == 0) {
            return Err(Error::NoOverlap);
        }
        Ok((mask, warnings))
    }
}

fn check_frame(rois: &[Roi], series: &Series) -> Result<(), Error> {
    let first = series.instances.first();
    let own = first.and_then(|instance| instance.frame_of_reference_uid.as_ref());
    let other = |roi: &Roi| {
        let of_roi = roi.frame_of_reference_uid.as_ref();
        of_roi.zip(own).is_some_and(|(a, b)| a != b)
    };
    match rois.iter().any(other) {
        true => Err(Error::OtherFrame),
        false => Ok(()),
    }
}

/// Each voxel of a grid takes the value of the nearest one of the mask; beyond it 0.
fn carry(mask: &Mask, onto: &Geometry, slices: &SlicePositions) -> Mask {
    let to_mask = mask.geometry.lps_to_index() * onto.index_to_lps;
    let [_, rows, columns] = onto.size;
    let value = |linear: usize| {
        let (x, y, z) = (
            linear % columns,
            linear / columns % rows,
            linear / columns / rows,
        );
        let index = DVec3::new(x as f64, y as f64, slices.position(z));
        nearest(mask, to_mask.transform_point3(index)).map_or(0, |at| mask.at(at))
    };
    let voxels = (0..onto.voxel_count()).into_par_iter().map(value);
    Volume {
        geometry: *onto,
        voxels: voxels.collect(),
    }
}

/// The voxel `[z, y, x]` that holds a point.
fn nearest(mask: &Mask, index_xyz: DVec3) -> Option<[usize; 3]> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and below a count of voxels"
    )]
    let along = |at: f64, count: usize| {
        let rounded = (at + 0.5).floor();
        (0.0..count as f64)
            .contains(&rounded)
            .then_some(rounded as usize)
    };
    let [nz, ny, nx] = mask.geometry.size;
    let DVec3 { x, y, z } = index_xyz;
    Some([along(z, nz)?, along(y, ny)?, along(x, nx)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DAffine3, DMat3};

    fn grid() -> Geometry {
        Geometry::axis_aligned([4, 5, 6], [3.0, 2.0, 1.5], DVec3::new(-7.0, 4.0, 10.0))
    }

    fn random_mask(geometry: Geometry) -> Mask {
        let voxels = (0..geometry.voxel_count()).map(|i| u8::from(i * 7919 % 5 < 2));
        Volume {
            geometry,
            voxels: voxels.collect(),
        }
    }

    #[test]
    fn a_mask_on_the_same_grid_is_itself() {
        let mask = random_mask(grid());
        assert_eq!(carry(&mask, &grid(), &SlicePositions::even()), mask);
    }

    #[test]
    fn a_mask_in_another_orientation_covers_the_same_points() {
        let mask = random_mask(grid());
        let [nz, ny, nx] = mask.geometry.size;
        // Counted from the other end of x and y, as NIfTI files are.
        let flip = DAffine3::from_mat3_translation(
            DMat3::from_diagonal(DVec3::new(-1.0, -1.0, 1.0)),
            DVec3::new(nx as f64 - 1.0, ny as f64 - 1.0, 0.0),
        );
        let mut turned = Volume::filled(
            Geometry {
                index_to_lps: mask.geometry.index_to_lps * flip,
                ..mask.geometry
            },
            0,
        );
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let there = turned.geometry.linear([z, ny - 1 - y, nx - 1 - x]);
                    turned.voxels[there] = mask.at([z, y, x]);
                }
            }
        }
        assert_eq!(carry(&turned, &grid(), &SlicePositions::even()), mask);
    }

    #[test]
    fn uneven_slices_take_the_label_where_they_lie() {
        let mask_grid = Geometry::axis_aligned([10, 1, 1], [1.0; 3], DVec3::ZERO);
        let mut mask = Volume::filled(mask_grid, 0);
        mask.voxels[7] = 1;
        let onto = Geometry::axis_aligned([4, 1, 1], [3.0, 1.0, 1.0], DVec3::ZERO);
        let slices = SlicePositions::uneven(vec![0.0, 1.0, 2.4, 3.0]).expect("ascending");
        assert_eq!(carry(&mask, &onto, &slices).voxels, [0, 0, 1, 0]);
        assert_eq!(carry(&mask, &onto, &SlicePositions::even()).voxels, [0; 4]);
    }
}
