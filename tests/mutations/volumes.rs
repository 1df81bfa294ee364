//! Seeds of volume files: small volumes of air and tissue in every layout that is read.

use super::bodies::{VOLUME_DATA, join};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;

const SIZE_XYZ: [u16; 3] = [5, 4, 3];

/// Datatype of NIfTI-1, its bits and the name that MetaImage has for it.
const TYPES: [(i16, i16, &str); 8] = [
    (2, 8, "MET_UCHAR"),
    (256, 8, "MET_CHAR"),
    (512, 16, "MET_USHORT"),
    (4, 16, "MET_SHORT"),
    (768, 32, "MET_UINT"),
    (8, 32, "MET_INT"),
    (16, 32, "MET_FLOAT"),
    (64, 64, "MET_DOUBLE"),
];

/// Each an input as `bodies::volume_file` takes it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (datatype, bits, name) in TYPES {
        let samples = samples(bits, name);
        let nifti = [nifti_header(datatype, bits), samples.clone()].concat();
        seeds.push(join(&[&nifti]));
        seeds.push(join(&[
            &meta_image(name, VOLUME_DATA).into_bytes(),
            &samples,
        ]));
        let local = [meta_image(name, "LOCAL").as_bytes(), &samples].concat();
        seeds.push(join(&[&local]));
    }
    let nifti = [nifti_header(4, 16), samples(16, "MET_SHORT")].concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(&nifti).expect("memory takes all");
    seeds.push(join(&[&gzip.finish().expect("memory takes all")]));
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&samples(16, "MET_SHORT"))
        .expect("memory takes all");
    let header = meta_image("MET_SHORT", VOLUME_DATA).replace("Data = False", "Data = True");
    let data = zlib.finish().expect("memory takes all");
    seeds.push(join(&[&header.into_bytes(), &data]));
    seeds
}

/// -1000 in every second voxel, else 40; numbers without a sign keep 0 and 40.
fn samples(bits: i16, name: &str) -> Vec<u8> {
    let count = SIZE_XYZ.iter().product::<u16>();
    let value = |i: u16| if i.is_multiple_of(2) { -1000_i16 } else { 40 };
    let sample = |i: u16| match (bits, name) {
        (8, _) => vec![i.to_le_bytes()[0]],
        (_, "MET_USHORT") => i.to_le_bytes().to_vec(),
        (16, _) => value(i).to_le_bytes().to_vec(),
        (_, "MET_UINT") => u32::from(i).to_le_bytes().to_vec(),
        (_, "MET_FLOAT") => f32::from(value(i)).to_le_bytes().to_vec(),
        (64, _) => f64::from(value(i)).to_le_bytes().to_vec(),
        _ => i32::from(value(i)).to_le_bytes().to_vec(),
    };
    (0..count).flat_map(sample).collect()
}

/// The fields of the standard that are read; unsigned samples get the intercept that makes half of them air.
fn nifti_header(datatype: i16, bits: i16) -> Vec<u8> {
    let mut header = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    let [x, y, z] = SIZE_XYZ;
    for (i, size) in [3, x, y, z, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * i, &size.to_le_bytes());
    }
    put(70, &datatype.to_le_bytes());
    put(72, &bits.to_le_bytes());
    let unsigned = [2, 256, 512, 768].contains(&datatype);
    let intercept = if unsigned { -1024.0 } else { 0.0 };
    let floats: [(usize, f32); 13] = [
        (76, 1.0),
        (80, 0.7),
        (84, 0.7),
        (88, 2.5),
        (108, 352.0),
        (112, 1.0),
        (116, intercept),
        (268, -12.0),
        (272, 7.0),
        (276, -90.0),
        (280, 0.7),
        (300, 0.7),
        (320, 2.5),
    ];
    for (at, value) in floats {
        put(at, &value.to_le_bytes());
    }
    put(123, &[2]);
    put(252, &1_i16.to_le_bytes());
    // Half of the seeds say their place by qform alone.
    put(254, &i16::from(bits > 16).to_le_bytes());
    put(344, b"n+1\0");
    header
}

fn meta_image(name: &str, data: &str) -> String {
    let [x, y, z] = SIZE_XYZ;
    format!(
        "ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = -12.5 7 -90
ElementSpacing = 0.7 0.7 2.5
DimSize = {x} {y} {z}
HeaderSize = 0
ElementNumberOfChannels = 1
ElementType = {name}
ElementDataFile = {data}
"
    )
}
