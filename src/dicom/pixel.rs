//! One slice's stored pixel values.
//!
//! In: an [`Instance`] and the place for its samples. Out: 16-bit samples, extended from Bits Stored.
//! Refused: pixel data shorter or longer than declared, or a compressed image of another size.

use super::Error;
use super::codec::{Codec, Expected, Failure};
use super::codestream::ImageSize;
use super::file::{DicomFile, PixelElement, guarded};
use super::instance::Instance;
use crate::volume::Samples;
use std::ops::DerefMut;

/// Reads the samples of one slice into `samples`, one a pixel, row by row.
///
/// Bits above Bits Stored (overlays of old) are masked: sign-extended for signed data, else zero.
pub(crate) fn read_slice(instance: &Instance, samples: &mut [u16]) -> Result<(), Error> {
    read_into(instance, || Ok(samples)).map(drop)
}

/// The samples of one slice, which nobody has taken memory for yet.
pub(crate) fn slice_samples(instance: &Instance) -> Result<Samples, Error> {
    read_into(instance, || take_frame(instance))
}

/// Zeros for the samples of one image.
pub(crate) fn take_frame(instance: &Instance) -> Result<Samples, Error> {
    let [rows, columns] = instance.rows_columns;
    Samples::try_zeroed(rows * columns).ok_or_else(|| Error::OutOfMemory {
        bytes: 2 * (rows * columns) as u64,
        uid: instance.sop_instance_uid.clone(),
    })
}

/// `take` gives the memory once the pixel data turn out to be of the declared size.
fn read_into<S: DerefMut<Target = [u16]>>(
    instance: &Instance,
    take: impl FnOnce() -> Result<S, Error>,
) -> Result<S, Error> {
    guarded(&instance.sop_instance_uid, || {
        let mut file = DicomFile::open(&instance.path)?;
        file.expect_object(&instance.sop_instance_uid)?;
        let mut samples = match file.pixel {
            Some(PixelElement::Native(bytes)) => {
                check_native_length(instance, bytes)?;
                let mut samples = take()?;
                read_native(instance, &mut file, &mut samples)?;
                samples
            }
            Some(PixelElement::Encapsulated) => {
                // One frame, in one fragment or several (PS3.5 A.4); offset tables tell frames apart and are not needed.
                let codestream = file.read_fragments()?;
                check_codestream(instance, &codestream)?;
                let mut samples = take()?;
                decode_codestream(instance, &codestream, &mut samples)?;
                samples
            }
            None => return Err(length_error(instance, 0)),
        };
        extend_stored_bits(&mut samples, instance.bits_stored, instance.signed);
        Ok(samples)
    })
}

/// Native pixel data must have the declared length; a byte of padding to an even length is allowed (PS3.5 8.1.1).
pub(crate) fn check_native_length(instance: &Instance, found_bytes: u64) -> Result<(), Error> {
    if found_bytes == instance.frame_bytes().next_multiple_of(2) {
        return Ok(());
    }
    Err(length_error(instance, found_bytes))
}

fn read_native(
    instance: &Instance,
    file: &mut DicomFile,
    samples: &mut [u16],
) -> Result<(), Error> {
    if instance.bits_allocated == 8 {
        let mut bytes = vec![0; samples.len().next_multiple_of(2)];
        file.read_native(&mut bytes)?;
        widen(&bytes, samples);
        return Ok(());
    }
    file.read_native(bytemuck::cast_slice_mut(samples))?;
    match file.big_endian() {
        true => samples.iter_mut().for_each(|s| *s = u16::from_be(*s)),
        false => samples.iter_mut().for_each(|s| *s = u16::from_le(*s)),
    }
    Ok(())
}

/// Refuses a codestream that cannot be the image: before memory is taken for its samples.
pub(crate) fn check_codestream(instance: &Instance, codestream: &[u8]) -> Result<(), Error> {
    with_codec(instance, |codec, image| codec.check(codestream, image))
}

/// Decodes the codestream of one image.
pub(crate) fn decode_codestream(
    instance: &Instance,
    codestream: &[u8],
    samples: &mut [u16],
) -> Result<(), Error> {
    with_codec(instance, |codec, image| {
        codec.decode(codestream, image, samples)
    })
}

fn with_codec(
    instance: &Instance,
    run: impl FnOnce(Codec, Expected) -> Result<(), Failure>,
) -> Result<(), Error> {
    let [rows, columns] = instance.rows_columns;
    let expected = Expected {
        rows,
        columns,
        bits_allocated: instance.bits_allocated,
        signed: instance.signed,
    };
    Codec::of(&instance.transfer_syntax_uid)
        .ok_or(Failure::Damaged)
        .and_then(|codec| run(codec, expected))
        .map_err(|failure| decode_error(instance, &failure))
}

fn decode_error(instance: &Instance, failure: &Failure) -> Error {
    let uid = instance.sop_instance_uid.clone();
    let Failure::Size(size) = failure else {
        return Error::Decode {
            transfer_syntax_uid: instance.transfer_syntax_uid.clone(),
            uid,
        };
    };
    let found = size.as_ref().map_or("no readable size".into(), |s| {
        let ImageSize {
            rows,
            columns,
            bits,
            components,
        } = s;
        format!("{rows} x {columns} pixels, {bits} bits, {components} component(s)")
    });
    let [rows, columns] = instance.rows_columns;
    let needed = format!("{rows} x {columns}, {} bits, 1", instance.bits_allocated);
    Error::Codestream { found, needed, uid }
}

/// Samples of one image from its bytes, as rows, columns and Bits Allocated declare them.
pub(crate) fn from_bytes(instance: &Instance, bytes: &[u8], big_endian: bool, samples: &mut [u16]) {
    if instance.bits_allocated == 8 {
        return widen(bytes, samples);
    }
    let samples = samples.iter_mut().zip(bytes.as_chunks().0);
    match big_endian {
        true => samples.for_each(|(sample, pair)| *sample = u16::from_be_bytes(*pair)),
        false => samples.for_each(|(sample, pair)| *sample = u16::from_le_bytes(*pair)),
    }
}

fn widen(bytes: &[u8], samples: &mut [u16]) {
    for (sample, byte) in samples.iter_mut().zip(bytes) {
        *sample = u16::from(*byte);
    }
}

/// Extends `bits_stored` low bits to 16.
pub(crate) fn extend_stored_bits(samples: &mut [u16], bits_stored: u32, signed: bool) {
    let shift = 16_u32.saturating_sub(bits_stored);
    if shift == 0 {
        return;
    }
    for sample in samples {
        let raised = *sample << shift;
        *sample = if signed {
            (raised.cast_signed() >> shift).cast_unsigned()
        } else {
            raised >> shift
        };
    }
}

pub(crate) fn length_error(instance: &Instance, found_bytes: u64) -> Error {
    Error::PixelDataLength {
        found_bytes,
        needed_bytes: instance.frame_bytes(),
        uid: instance.sop_instance_uid.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_above_bits_stored_are_masked_and_the_sign_is_extended() {
        let raw = [0x0fff, 0xf7ff, 0x0800, 0xf000];
        let mut unsigned = raw;
        extend_stored_bits(&mut unsigned, 12, false);
        assert_eq!(unsigned, [0x0fff, 0x07ff, 0x0800, 0]);
        let mut signed = raw;
        extend_stored_bits(&mut signed, 12, true);
        assert_eq!(signed, [0xffff, 0x07ff, 0xf800, 0]);
    }

    #[test]
    fn sixteen_stored_bits_stay_as_they_are() {
        let mut samples = [0xf830, 0x7fff];
        extend_stored_bits(&mut samples, 16, true);
        assert_eq!(samples, [0xf830, 0x7fff]);
    }
}
