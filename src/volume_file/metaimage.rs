//! The header of MetaImage (itk.org, MetaIO): lines of `Key = Value`, the last of which says where the samples are.

use super::Error;
use super::layout::{Compression, Data, Layout, Sample, geometry};
use glam::{DAffine3, DMat3, DVec3};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Headers have some hundred bytes; those with private keys some thousand.
const MAX_HEADER_BYTES: u64 = 64 << 10;

const DATA_FILE: &str = "ElementDataFile";

/// Reads and checks a header.
pub(super) fn layout(path: &Path) -> Result<Layout, Error> {
    let header = Header::read(path)?;
    if header.text("NDims") != "3" {
        let found = header.text("NDims");
        return Err(Error::unsupported("NDims", found, "three axes are"));
    }
    if !matches!(header.text("ElementNumberOfChannels"), "" | "1") {
        let found = header.text("ElementNumberOfChannels");
        let supported = "one is";
        return Err(Error::unsupported(
            "ElementNumberOfChannels",
            found,
            supported,
        ));
    }
    if !header.flag("BinaryData", true)? {
        return Err(Error::unsupported("BinaryData", "False", "True is"));
    }
    let big_endian = header.flag("BinaryDataByteOrderMSB", false)?
        || header.flag("ElementByteOrderMSB", false)?;
    let geometry = geometry(header.size_xyz()?, header.index_to_lps()?)?;
    let sample = header.sample()?;
    let mut layout = Layout {
        geometry,
        sample,
        big_endian,
        slope: 1.0,
        intercept: 0.0,
        data: header.data(path)?,
    };
    layout.data.offset = header.offset(&layout)?;
    Ok(layout)
}

struct Header {
    values: BTreeMap<String, String>,
    /// Of the header, up to and with the end of its last line.
    bytes: u64,
}

impl Header {
    fn read(path: &Path) -> Result<Self, Error> {
        let mut start = Vec::new();
        let file = File::open(path).map_err(Error::io)?;
        file.take(MAX_HEADER_BYTES)
            .read_to_end(&mut start)
            .map_err(Error::io)?;
        let mut values = BTreeMap::new();
        let mut bytes = 0;
        for line in start.split_inclusive(|byte| *byte == b'\n') {
            bytes += line.len() as u64;
            let Ok(line) = std::str::from_utf8(line) else {
                break;
            };
            if line.trim().is_empty() {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                break;
            };
            let key = key.trim().to_owned();
            let last = key == DATA_FILE;
            values.insert(key, value.trim().to_owned());
            if last {
                return Ok(Self { values, bytes });
            }
        }
        Err(Error::Malformed {
            what: "ElementDataFile, which is missing",
        })
    }

    fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "" => Ok(default),
            "true" | "t" | "1" => Ok(true),
            "false" | "f" | "0" => Ok(false),
            other => Err(Error::field(key, other, "True or False")),
        }
    }

    /// `N` numbers under the first of `keys` that is there.
    fn numbers<const N: usize>(
        &self,
        keys: &[&'static str],
        default: Option<[f64; N]>,
    ) -> Result<[f64; N], Error> {
        let Some(key) = keys.iter().find(|key| self.values.contains_key(**key)) else {
            return default.ok_or_else(|| Error::field(keys[0], "", "numbers"));
        };
        let text = self.text(key);
        let numbers: Option<Vec<f64>> = text
            .split_ascii_whitespace()
            .map(|n| n.parse().ok().filter(|n: &f64| n.is_finite()))
            .collect();
        numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| Error::field(key, text, "as many finite numbers as there are axes"))
    }

    fn size_xyz(&self) -> Result<[usize; 3], Error> {
        let text = self.text("DimSize");
        let sizes: Option<Vec<usize>> = text
            .split_ascii_whitespace()
            .map(|n| n.parse().ok())
            .collect();
        sizes
            .and_then(|sizes| sizes.try_into().ok())
            .ok_or_else(|| Error::field("DimSize", text, "three whole numbers"))
    }

    /// Row `i` of TransformMatrix is the direction of axis `i`; positions are LPS, as ITK writes them.
    fn index_to_lps(&self) -> Result<DAffine3, Error> {
        let axes: [f64; 9] = self.numbers(
            &["TransformMatrix", "Rotation", "Orientation"],
            Some(DMat3::IDENTITY.to_cols_array()),
        )?;
        let spacing_mm = self.numbers(&["ElementSpacing", "ElementSize"], None)?;
        let origin = self.numbers(&["Offset", "Position", "Origin"], None)?;
        let directions = DMat3::from_cols_array(&axes);
        let unit = |axis: DVec3| (axis.length() - 1.0).abs() < 1e-3;
        if ![directions.x_axis, directions.y_axis, directions.z_axis]
            .into_iter()
            .all(unit)
        {
            let found = self.text("TransformMatrix");
            return Err(Error::field(
                "TransformMatrix",
                found,
                "three unit directions",
            ));
        }
        let matrix = directions * DMat3::from_diagonal(DVec3::from_array(spacing_mm));
        Ok(DAffine3::from_mat3_translation(
            matrix,
            DVec3::from_array(origin),
        ))
    }

    fn sample(&self) -> Result<Sample, Error> {
        Ok(match self.text("ElementType") {
            "MET_UCHAR" => Sample::U8,
            "MET_CHAR" => Sample::I8,
            "MET_USHORT" => Sample::U16,
            "MET_SHORT" => Sample::I16,
            "MET_UINT" => Sample::U32,
            "MET_INT" => Sample::I32,
            "MET_FLOAT" => Sample::F32,
            "MET_DOUBLE" => Sample::F64,
            other => {
                let supported = "integers of up to 32 bits and floats are";
                return Err(Error::unsupported("ElementType", other, supported));
            }
        })
    }

    fn data(&self, path: &Path) -> Result<Data, Error> {
        let compression = if self.flag("CompressedData", false)? {
            Compression::Zlib
        } else {
            Compression::None
        };
        let name = self.text(DATA_FILE);
        let local = name.eq_ignore_ascii_case("local");
        Ok(Data {
            path: if local {
                path.to_owned()
            } else {
                beside(path, name)?
            },
            offset: 0,
            compression,
            exact: !local,
        })
    }

    /// Bytes before the first sample. HeaderSize -1 means that the samples are the end of the file.
    fn offset(&self, layout: &Layout) -> Result<u64, Error> {
        if self.text(DATA_FILE).eq_ignore_ascii_case("local") {
            return Ok(self.bytes);
        }
        let text = match self.text("HeaderSize") {
            "" => "0",
            text => text,
        };
        if text == "-1" {
            let file = std::fs::metadata(&layout.data.path).map_err(Error::io)?;
            return Ok(file.len().saturating_sub(layout.data_bytes()));
        }
        text.parse()
            .map_err(|_| Error::field("HeaderSize", text, "a number of bytes or -1"))
    }
}

/// The data file, which must lie beside its header: a header from elsewhere may not make us read any other file.
fn beside(path: &Path, name: &str) -> Result<PathBuf, Error> {
    let listed = name.eq_ignore_ascii_case("list")
        || name.contains('%')
        || name.contains(char::is_whitespace);
    if listed {
        return Err(Error::Unsupported {
            field: DATA_FILE,
            found: "several files".into(),
            supported: "one file without spaces in its name is",
        });
    }
    let plain = !name.contains(['/', '\\', ':', '\0']) && !matches!(name, "" | "." | "..");
    if plain {
        return Ok(path.with_file_name(name));
    }
    Err(Error::Field {
        field: DATA_FILE,
        found: "a path".into(),
        needed: "the name of a file in the same folder",
    })
}
