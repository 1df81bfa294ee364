//! The header of NIfTI-1 (nifti.nimh.nih.gov/nifti-1): 348 bytes, then extensions, then the samples, x fastest, in RAS.

use super::Error;
use super::error::list;
use super::layout::{Compression, Data, Layout, Sample, geometry};
use glam::{DAffine3, DMat3, DQuat, DVec3};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub(super) const HEADER_BYTES: usize = 348;
/// The samples start here or later: the header and four bytes that say whether extensions follow.
pub(super) const MIN_OFFSET: usize = 352;
/// Extensions are text; nobody needs more.
const MAX_OFFSET: f32 = 16_777_216.0;

/// Turns RAS into LPS and back.
pub(super) const FLIP: DVec3 = DVec3::new(-1.0, -1.0, 1.0);

/// Reads and checks a header.
pub(super) fn layout(path: &Path, gzip: bool) -> Result<Layout, Error> {
    let header = Header::read(path, gzip)?;
    let [offset, slope, intercept] = [108, 112, 116].map(|at| header.f32(at));
    if !(MIN_OFFSET as f32..=MAX_OFFSET).contains(&offset) || offset.fract() != 0.0 {
        return Err(Error::field(
            "vox_offset",
            offset,
            "352 or more bytes, at most 16 MiB,",
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range just checked"
    )]
    let offset = offset as u64;
    // A slope of zero means that there is no scaling; nibabel also writes NaN for that.
    let (slope, intercept) = match f64::from(slope) {
        slope if slope.is_nan() || slope.abs() <= 0.0 => (1.0, 0.0),
        slope => (slope, f64::from(intercept)),
    };
    if !slope.is_finite() || !intercept.is_finite() {
        return Err(Error::field(
            "scl_slope, scl_inter",
            list([slope, intercept]),
            "finite numbers",
        ));
    }
    Ok(Layout {
        geometry: geometry(header.size_xyz()?, header.index_to_lps()?)?,
        sample: header.sample()?,
        big_endian: header.big_endian,
        slope,
        intercept,
        data: Data {
            path: path.to_owned(),
            offset,
            compression: if gzip {
                Compression::Gzip
            } else {
                Compression::None
            },
            exact: false,
        },
    })
}

struct Header {
    bytes: [u8; HEADER_BYTES],
    big_endian: bool,
}

impl Header {
    fn read(path: &Path, gzip: bool) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io)?;
        let mut reader: Box<dyn Read> = if gzip {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut bytes = [0; HEADER_BYTES];
        reader.read_exact(&mut bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Error::Malformed {
                what: "fewer than 348 bytes",
            },
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Error::Malformed {
                what: "its gzip stream",
            },
            _ => Error::io(e),
        })?;
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let big_endian = match (u32::from_le_bytes(size), u32::from_be_bytes(size)) {
            (348, _) => false,
            (_, 348) => true,
            (540, _) | (_, 540) => {
                return Err(Error::unsupported("sizeof_hdr", 540, "NIfTI-1 (348) is"));
            }
            _ => return Err(Error::Malformed { what: "sizeof_hdr" }),
        };
        match &bytes[344..348] {
            b"n+1\0" => Ok(Self { bytes, big_endian }),
            b"ni1\0" => Err(Error::unsupported("magic", "ni1", "one file (n+1) is")),
            _ => Err(Error::Malformed { what: "magic" }),
        }
    }

    fn i16(&self, at: usize) -> i16 {
        let pair = [self.bytes[at], self.bytes[at + 1]];
        if self.big_endian {
            i16::from_be_bytes(pair)
        } else {
            i16::from_le_bytes(pair)
        }
    }

    fn f32(&self, at: usize) -> f32 {
        let four: [u8; 4] = std::array::from_fn(|i| self.bytes[at + i]);
        if self.big_endian {
            f32::from_be_bytes(four)
        } else {
            f32::from_le_bytes(four)
        }
    }

    fn vec3(&self, at: usize) -> DVec3 {
        DVec3::from_array(std::array::from_fn(|i| f64::from(self.f32(at + 4 * i))))
    }

    /// `dim`: the number of axes, then their sizes; axes after the third must be of size 1.
    fn size_xyz(&self) -> Result<[usize; 3], Error> {
        let dim: [i16; 8] = std::array::from_fn(|i| self.i16(40 + 2 * i));
        let axes = usize::try_from(dim[0]).unwrap_or(0);
        if !(3..=7).contains(&axes) {
            return Err(Error::unsupported("dim[0]", dim[0], "three axes are"));
        }
        if dim[4..=axes].iter().any(|size| *size != 1) {
            return Err(Error::unsupported("dim", list(dim), "one volume a file is"));
        }
        let size = |axis: usize| usize::try_from(dim[axis]).unwrap_or(0);
        Ok([size(1), size(2), size(3)])
    }

    fn sample(&self) -> Result<Sample, Error> {
        let sample = match self.i16(70) {
            2 => Sample::U8,
            4 => Sample::I16,
            8 => Sample::I32,
            16 => Sample::F32,
            64 => Sample::F64,
            256 => Sample::I8,
            512 => Sample::U16,
            768 => Sample::U32,
            other => {
                let supported = "integers of up to 32 bits and floats are";
                return Err(Error::unsupported("datatype", other, supported));
            }
        };
        let bits = self.i16(72);
        if usize::try_from(bits).is_ok_and(|bits| bits == 8 * sample.bytes()) {
            return Ok(sample);
        }
        Err(Error::field("bitpix", bits, "the size of datatype"))
    }

    /// sform where it is set, else qform, as the standard advises for data of a scanner.
    fn index_to_lps(&self) -> Result<DAffine3, Error> {
        // The low three bits are the unit of space; files without one mean millimetres.
        match self.bytes[123] & 7 {
            0 | 2 => {}
            other => return Err(Error::unsupported("xyzt_units", other, "millimetres are")),
        }
        let to_ras = match (self.i16(254) > 0, self.i16(252) > 0) {
            (true, _) => self.sform(),
            (false, true) => self.qform()?,
            (false, false) => return Err(Error::NoOrientation),
        };
        Ok(DAffine3::from_scale(FLIP) * to_ras)
    }

    fn sform(&self) -> DAffine3 {
        let rows = [280, 296, 312];
        let column = |i: usize| DVec3::from_array(rows.map(|at| f64::from(self.f32(at + 4 * i))));
        DAffine3::from_cols(column(0), column(1), column(2), column(3))
    }

    fn qform(&self) -> Result<DAffine3, Error> {
        let b_c_d = self.vec3(256);
        // Stored as float32: a half turn comes out a little off one, and the root would make much of that.
        let rest = match 1.0 - b_c_d.length_squared() {
            rest if rest.abs() < 3.0 * f64::from(f32::EPSILON) => 0.0,
            rest if rest > 0.0 => rest,
            _ => {
                return Err(Error::field(
                    "quatern",
                    list(b_c_d.to_array()),
                    "a unit quaternion",
                ));
            }
        };
        let turn = DQuat::from_xyzw(b_c_d.x, b_c_d.y, b_c_d.z, rest.sqrt()).normalize();
        let mut spacing_mm = self.vec3(80);
        if spacing_mm.min_element() <= 0.0 {
            return Err(Error::field(
                "pixdim",
                list(spacing_mm.to_array()),
                "positive numbers",
            ));
        }
        if self.f32(76) < 0.0 {
            spacing_mm.z = -spacing_mm.z;
        }
        let matrix = DMat3::from_quat(turn) * DMat3::from_diagonal(spacing_mm);
        Ok(DAffine3::from_mat3_translation(matrix, self.vec3(268)))
    }
}
