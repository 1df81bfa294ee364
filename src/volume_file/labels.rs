//! Label maps of researchers: which voxels have which label.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "values are checked to be labels before, and sides are at most 32767"
)]

use super::layout::{Layout, Sample};
use super::{Error, layout, samples};
use crate::volume::{Geometry, Mask};
use std::collections::BTreeMap;
use std::path::Path;

/// The labelled voxels of a grid; most of a label map is background, which takes no memory.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelVoxels {
    /// The grid, in LPS.
    pub geometry: Geometry,
    /// Voxel indices `[z, y, x]` of each label but 0, in storage order.
    pub voxels: BTreeMap<u16, Vec<[u16; 3]>>,
}

impl LabelVoxels {
    /// Reads a NIfTI-1 or MetaImage file whose voxels are whole numbers from 0 to 65535.
    ///
    /// # Errors
    /// What is wrong with the file; [`Error::TooManyVoxels`] beyond `max_voxels`, before any is read; [`Error::Label`]
    /// for a voxel that is no label.
    pub fn read(path: &Path, max_voxels: u64) -> Result<Self, Error> {
        let layout = layout(path)?;
        let voxels = layout.voxels();
        if voxels > max_voxels {
            return Err(Error::TooManyVoxels {
                voxels,
                limit: max_voxels,
            });
        }
        let mut found = Self {
            geometry: layout.geometry,
            voxels: BTreeMap::new(),
        };
        let mut index = 0;
        samples::read_chunks(&layout, None, |chunk| {
            for value in values(chunk, &layout) {
                found.add(index, value * layout.slope + layout.intercept)?;
                index += 1;
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// 1 where there is any label.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::filled(self.geometry, 0);
        for voxel in self.voxels.values().flatten() {
            let at = self.geometry.linear(voxel.map(usize::from));
            mask.voxels[at] = 1;
        }
        mask
    }

    fn add(&mut self, index: usize, value: f64) -> Result<(), Error> {
        if value.fract() != 0.0 || !(0.0..=f64::from(u16::MAX)).contains(&value) {
            let found = value.to_string();
            return Err(Error::Label { found });
        }
        if value > 0.0 {
            let [_, ny, nx] = self.geometry.size;
            let voxel = [index / (ny * nx), index / nx % ny, index % nx].map(|i| i as u16);
            self.voxels.entry(value as u16).or_default().push(voxel);
        }
        Ok(())
    }
}

/// The stored values of some samples.
fn values<'a>(bytes: &'a [u8], layout: &Layout) -> Box<dyn Iterator<Item = f64> + 'a> {
    match layout.sample {
        Sample::U8 => Box::new(bytes.iter().map(|b| f64::from(*b))),
        Sample::I8 => Box::new(bytes.iter().map(|b| f64::from(b.cast_signed()))),
        Sample::U16 => {
            Box::new(samples::words(bytes, layout).map(|w| f64::from(u16::from_le_bytes(w))))
        }
        Sample::I16 => {
            Box::new(samples::words(bytes, layout).map(|w| f64::from(i16::from_le_bytes(w))))
        }
        Sample::U32 => {
            Box::new(samples::words(bytes, layout).map(|w| f64::from(u32::from_le_bytes(w))))
        }
        Sample::I32 => {
            Box::new(samples::words(bytes, layout).map(|w| f64::from(i32::from_le_bytes(w))))
        }
        Sample::F32 => {
            Box::new(samples::words(bytes, layout).map(|w| f64::from(f32::from_le_bytes(w))))
        }
        Sample::F64 => Box::new(samples::words(bytes, layout).map(f64::from_le_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode_label_map;
    use super::*;
    use glam::DVec3;

    fn written(labels: &[(usize, u16)]) -> (tempfile::TempDir, std::path::PathBuf, Geometry) {
        let geometry =
            Geometry::axis_aligned([2, 3, 4], [2.5, 0.5, 0.75], DVec3::new(1.0, -2.0, 3.0));
        let bytes = encode_label_map(&geometry, |slice, plane| {
            for (index, label) in labels.iter().filter(|(i, _)| i / 12 == slice) {
                plane[index % 12] = *label;
            }
        });
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("labels.nii.gz");
        std::fs::write(&path, bytes.expect("encoded")).expect("written");
        (folder, path, geometry)
    }

    #[test]
    fn a_label_map_that_was_written_is_read_with_its_grid() {
        let (_folder, path, geometry) = written(&[(0, 7), (17, 1), (23, 7)]);
        let found = LabelVoxels::read(&path, 24).expect("read");
        assert_eq!(found.geometry, geometry);
        let expected = [(1, vec![[1, 1, 1]]), (7, vec![[0, 0, 0], [1, 2, 3]])];
        assert_eq!(found.voxels, BTreeMap::from(expected));
        let refused = LabelVoxels::read(&path, 23).expect_err("too many");
        assert_eq!(refused.code(), "too-many-voxels");
    }

    #[test]
    fn values_between_labels_are_refused() {
        let mut labels = LabelVoxels {
            geometry: Geometry::axis_aligned([2, 1, 1], [1.0; 3], DVec3::ZERO),
            voxels: BTreeMap::new(),
        };
        for value in [0.5, -1.0, 65_536.0, f64::NAN, f64::INFINITY] {
            let refused = labels.add(0, value).expect_err("no label");
            assert_eq!(refused.code(), "volume-file-label", "{value}");
        }
        assert_eq!(labels.add(1, 65_535.0), Ok(()));
    }
}
