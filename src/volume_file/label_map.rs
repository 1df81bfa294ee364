//! Label maps as NIfTI-1, gzipped: what researchers overlay and compare.

#![expect(
    clippy::cast_possible_truncation,
    reason = "NIfTI-1 stores the affine as f32"
)]

use super::nifti::{FLIP, HEADER_BYTES, MIN_OFFSET};
use crate::volume::Geometry;
use flate2::{Compression, GzBuilder};
use glam::{DAffine3, DVec3};
use std::io::{self, Write};

/// The bytes of a `.nii.gz` of unsigned 16-bit labels on `geometry`.
///
/// `fill` is called for each slice in order with zeros to write its labels to, so that only one slice is in memory. The
/// same labels give the same bytes.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a side of more than 32767 voxels.
pub fn encode_label_map(
    geometry: &Geometry,
    mut fill: impl FnMut(usize, &mut [u16]),
) -> io::Result<Vec<u8>> {
    let [slices, rows, columns] = geometry.size;
    let mut file = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::fast());
    file.write_all(&header(geometry)?)?;
    let mut labels = vec![0_u16; rows * columns];
    let mut bytes = Vec::with_capacity(2 * labels.len());
    for slice in 0..slices {
        labels.fill(0);
        fill(slice, &mut labels);
        bytes.clear();
        bytes.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    file.finish()
}

fn header(geometry: &Geometry) -> io::Result<[u8; MIN_OFFSET]> {
    const DATATYPE_UINT16: i16 = 512;
    const INTENT_LABEL: i16 = 1002;
    const MILLIMETRES: u8 = 2;
    const SCANNER_ANATOMICAL: i16 = 1;
    let [z, y, x] = geometry.size.map(i16::try_from);
    let size = || Some([3, x.ok()?, y.ok()?, z.ok()?, 1, 1, 1, 1]);
    let dim = size().ok_or(io::ErrorKind::InvalidInput)?;
    let [dz, dy, dx] = geometry.spacing_mm();
    let mut header = Header([0; MIN_OFFSET]);
    header.put(0, &(HEADER_BYTES as u32).to_le_bytes());
    header.i16s(40, &dim);
    header.i16s(68, &[INTENT_LABEL, DATATYPE_UINT16, 16]);
    header.f32s(76, &[1.0, dx, dy, dz]);
    header.f32s(108, &[MIN_OFFSET as f64, 1.0, 0.0]);
    header.put(123, &[MILLIMETRES]);
    header.i16s(254, &[SCANNER_ANATOMICAL]);
    let to_ras = DAffine3::from_scale(FLIP) * geometry.index_to_lps;
    let columns = [
        to_ras.matrix3.x_axis,
        to_ras.matrix3.y_axis,
        to_ras.matrix3.z_axis,
        to_ras.translation,
    ];
    for (row, at) in [280, 296, 312].into_iter().enumerate() {
        header.f32s(at, &columns.map(|column: DVec3| column[row]));
    }
    header.put(344, b"n+1\0");
    Ok(header.0)
}

struct Header([u8; MIN_OFFSET]);

impl Header {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn i16s(&mut self, at: usize, values: &[i16]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.put(at, &bytes);
    }

    fn f32s(&mut self, at: usize, values: &[f64]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|v| (*v as f32).to_le_bytes())
            .collect();
        self.put(at, &bytes);
    }
}
