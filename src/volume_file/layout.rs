//! What both formats come down to: a grid, and where and how its samples are stored.

use super::Error;
use super::error::list;
use crate::volume::Geometry;
use glam::DAffine3;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Most voxels along one axis; NIfTI-1 can say no more.
const MAX_SIDE: usize = 32767;

/// A voxel is neither smaller nor larger than this along any axis, mm.
const SPACING_MM: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// No voxel lies further from the origin of the patient's coordinates, mm.
const MAX_POSITION_MM: f64 = 1e5;

/// Volume of a voxel over that of a box with the same sides: 0.7 is a shear of 45 degrees, 0 is a plane.
const MIN_BOX_SHARE: f64 = 0.7;

/// Deflate never shrinks data to less than 1/1032.
const MAX_DEFLATE_RATIO: u64 = 1040;

/// Where the samples are and what they mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) geometry: Geometry,
    pub(super) sample: Sample,
    pub(super) big_endian: bool,
    /// `hu = stored * slope + intercept`.
    pub(super) slope: f64,
    pub(super) intercept: f64,
    pub(super) data: Data,
}

/// The bytes of the samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Data {
    pub(super) path: PathBuf,
    /// Bytes before the first sample; in a gzip file, after decompression.
    pub(super) offset: u64,
    pub(super) compression: Compression,
    /// Nothing may follow the samples.
    pub(super) exact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zlib,
}

/// Type of one stored sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

impl Sample {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl Layout {
    pub(super) fn voxels(&self) -> u64 {
        let sides = self.geometry.size;
        sides.iter().map(|side| *side as u64).product()
    }

    pub(super) fn data_bytes(&self) -> u64 {
        self.voxels() * self.sample.bytes() as u64
    }

    /// Refuses data that cannot hold the declared voxels, before anything is allocated for them.
    pub(super) fn check_length(&self) -> Result<(), Error> {
        let file = std::fs::metadata(&self.data.path).map_err(Error::io)?;
        if !file.is_file() {
            return Err(Error::Io {
                kind: std::io::ErrorKind::InvalidInput,
            });
        }
        let needed_bytes = self.data_bytes();
        let found_bytes = file.len().saturating_sub(self.data.offset);
        match self.data.compression {
            Compression::None if self.data.exact && found_bytes != needed_bytes => {
                Err(Error::DataLength {
                    found_bytes,
                    needed_bytes,
                })
            }
            Compression::None if found_bytes < needed_bytes => {
                Err(Error::Truncated { needed_bytes })
            }
            Compression::Gzip | Compression::Zlib
                if file.len().saturating_mul(MAX_DEFLATE_RATIO) < needed_bytes =>
            {
                Err(Error::Truncated { needed_bytes })
            }
            _ => Ok(()),
        }
    }

    /// A reader that stands at the first sample.
    pub(super) fn reader(&self) -> Result<Box<dyn Read>, Error> {
        let Data { path, offset, .. } = &self.data;
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io)?);
        if self.data.compression == Compression::Gzip {
            let mut reader = flate2::bufread::MultiGzDecoder::new(file);
            std::io::copy(&mut (&mut reader).take(*offset), &mut std::io::sink())
                .map_err(Error::io)?;
            return Ok(Box::new(reader));
        }
        file.seek(SeekFrom::Start(*offset)).map_err(Error::io)?;
        Ok(match self.data.compression {
            Compression::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(file)),
            _ => Box::new(file),
        })
    }
}

/// The grid of a header, if it is one: `size_xyz` as both formats write it, `index_to_lps` in mm.
pub(super) fn geometry(size_xyz: [usize; 3], index_to_lps: DAffine3) -> Result<Geometry, Error> {
    let [x, y, z] = size_xyz;
    if z < 2 || size_xyz.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
        let needed = "sides of 1 to 32767 voxels, two slices at least,";
        return Err(Error::field("size", list(size_xyz), needed));
    }
    let geometry = Geometry {
        size: [z, y, x],
        index_to_lps,
    };
    let spacing_mm = geometry.spacing_mm();
    if !spacing_mm.iter().all(|mm| SPACING_MM.contains(mm)) {
        return Err(Error::field(
            "voxel spacing",
            list(spacing_mm),
            "0.01 to 100 mm (z, y, x)",
        ));
    }
    let box_mm3: f64 = spacing_mm.iter().product();
    let share = geometry.voxel_volume_mm3() / box_mm3;
    if share.is_nan() || share < MIN_BOX_SHARE {
        return Err(Error::field(
            "affine",
            share,
            "axes that are about perpendicular",
        ));
    }
    let (lower, upper) = geometry.bounds_lps_mm();
    let farthest_mm = lower.abs().max(upper.abs()).max_element();
    if !index_to_lps.translation.is_finite() || farthest_mm > MAX_POSITION_MM {
        return Err(Error::field(
            "origin",
            list(index_to_lps.translation.to_array()),
            "a position within 100 m",
        ));
    }
    Ok(geometry)
}
