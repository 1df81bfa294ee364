//! A whole object, with its pixel data as the file stores them: for what passes objects on.

use super::file::{DicomFile, PixelElement, guarded};
use super::{Attribute, Error};
use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::Codec;
use dicom_object::InMemDicomObject;
use std::path::Path;

/// Deflate never shrinks data to less than 1/1032.
const MAX_DEFLATE_RATIO: u64 = 1040;

/// An object and how its pixel data are encoded.
#[derive(Debug)]
pub struct WholeObject {
    /// All attributes up to and with the pixel data. What may follow these is padding and signatures.
    pub object: InMemDicomObject,
    /// Transfer Syntax UID (0002,0010) to write it in, without touching the pixel data.
    pub transfer_syntax_uid: String,
}

/// Reads a file, within bounds, without decoding its pixel data.
///
/// # Errors
/// What is wrong with the file; [`Error::Dicomdir`] for an index of files; [`Error::TransferSyntax`] for big endian, which
/// is retired.
pub fn read_whole(path: &Path) -> Result<WholeObject, Error> {
    guarded("unknown", || {
        let mut file = DicomFile::open(path)?;
        if file.media_class_uid == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
            return Err(Error::Dicomdir);
        }
        if file.big_endian() {
            let found = file.syntax.uid().to_owned();
            return Err(Error::TransferSyntax { found });
        }
        let mut object = file.object()?;
        // A deflated data set was inflated on reading, and is explicit little endian then (PS3.5 A.5).
        let transfer_syntax_uid = match file.syntax.codec() {
            Codec::Dataset(_) => uids::EXPLICIT_VR_LITTLE_ENDIAN.into(),
            _ => file.syntax.uid().to_owned(),
        };
        match file.pixel {
            Some(PixelElement::Native(bytes)) => {
                let pixels = native(path, &mut file, bytes)?;
                let wide = bits_allocated(&object) > 8;
                let vr = if wide { VR::OW } else { VR::OB };
                object.put(DataElement::new(tags::PIXEL_DATA, vr, pixels));
            }
            Some(PixelElement::Encapsulated) => {
                let fragments = encapsulated(&mut file)?;
                object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
            }
            None => {}
        }
        Ok(WholeObject {
            object,
            transfer_syntax_uid,
        })
    })
}

fn bits_allocated(object: &InMemDicomObject) -> u16 {
    let bits = object.get(tags::BITS_ALLOCATED);
    bits.and_then(|bits| bits.to_int().ok()).unwrap_or(16)
}

/// The value of native pixel data, if the file can hold it.
fn native(path: &Path, file: &mut DicomFile, bytes: u64) -> Result<PrimitiveValue, Error> {
    let truncated = Error::Truncated {
        last: Attribute::PIXEL_DATA,
    };
    let stored = std::fs::metadata(path).map_err(|e| Error::Io { kind: e.kind() })?;
    let most = match file.syntax.codec() {
        Codec::Dataset(_) => stored.len().saturating_mul(MAX_DEFLATE_RATIO),
        _ => stored.len(),
    };
    let Some(length) = usize::try_from(bytes).ok().filter(|_| bytes <= most) else {
        return Err(truncated);
    };
    let mut pixels = vec![0; length];
    file.read_native(&mut pixels)?;
    Ok(PrimitiveValue::from(pixels))
}

fn encapsulated(file: &mut DicomFile) -> Result<PixelFragmentSequence<Vec<u8>>, Error> {
    let mut items = file.read_items()?.into_iter();
    let table = items.next().unwrap_or_default();
    let offsets: Vec<u32> = table
        .as_chunks()
        .0
        .iter()
        .map(|four| u32::from_le_bytes(*four))
        .collect();
    let fragments: Vec<Vec<u8>> = items.collect();
    Ok(PixelFragmentSequence::new(offsets, fragments))
}
