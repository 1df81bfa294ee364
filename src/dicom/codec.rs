//! Which compressed images are decoded, and by what.
//!
//! In: the codestream of one frame. Out: 16-bit samples as stored, not yet sign-extended.
//! Refused: a codestream of another size than declared, and one that is damaged.

use super::codestream::{ImageSize, image_size};
use super::{jpeg, jpeg_xl, rle};
use dicom_dictionary_std::uids;
use jpeg2k::DecodeParameters;

/// How the samples of a transfer syntax are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not at all.
    Native,
    /// RLE Lossless.
    Rle,
    /// Baseline, extended and lossless JPEG.
    Jpeg,
    /// JPEG-LS, lossless and near-lossless.
    JpegLs,
    /// JPEG 2000 and High-Throughput JPEG 2000.
    Jpeg2000,
    /// JPEG XL.
    JpegXl,
}

/// Why an image was not decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It declares another size than the header; none where it declares none that can be read.
    Size(Option<ImageSize>),
    /// It is damaged, ends too early or uses what the decoder does not know.
    Damaged,
}

/// The image that the header describes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) bits_allocated: u32,
    pub(crate) signed: bool,
}

impl Expected {
    fn fits(&self, size: &ImageSize) -> bool {
        [size.rows as usize, size.columns as usize] == [self.rows, self.columns]
            && size.components == 1
            && size.bits.next_multiple_of(8) == self.bits_allocated
    }

    /// Bytes of a sample.
    fn bytes(&self) -> usize {
        self.bits_allocated as usize / 8
    }
}

/// Whether images of this transfer syntax can be read.
pub(crate) fn decodes(transfer_syntax_uid: &str) -> bool {
    Codec::of(transfer_syntax_uid).is_some()
}

impl Codec {
    /// The codec of a transfer syntax; none where there is no decoder.
    pub(crate) fn of(transfer_syntax_uid: &str) -> Option<Self> {
        Some(match transfer_syntax_uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_BIG_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Self::Native,
            uids::RLE_LOSSLESS => Self::Rle,
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1 => Self::Jpeg,
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Self::JpegLs,
            uids::JPEG2000_LOSSLESS
            | uids::JPEG2000
            | uids::HTJ2K_LOSSLESS
            | uids::HTJ2K_LOSSLESS_RPCL
            | uids::HTJ2K => Self::Jpeg2000,
            uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL => Self::JpegXl,
            _ => return None,
        })
    }

    /// Refuses a codestream that cannot be the image: decoders trust one and allocate what it asks for.
    pub(crate) fn check(self, bytes: &[u8], expected: Expected) -> Result<(), Failure> {
        let size = match self {
            Self::Native => return Ok(()),
            Self::Rle => {
                let least = rle::least_bytes(expected.rows * expected.columns, expected.bytes());
                return (least <= bytes.len()).then_some(()).ok_or(Failure::Damaged);
            }
            Self::Jpeg | Self::JpegLs | Self::Jpeg2000 => image_size(bytes),
            Self::JpegXl => jpeg_xl::image_size(bytes, expected.rows * expected.columns),
        };
        match size.as_ref().is_some_and(|size| expected.fits(size)) {
            true => Ok(()),
            false => Err(Failure::Size(size)),
        }
    }

    /// Decodes one frame that passed [`Self::check`].
    pub(crate) fn decode(
        self,
        bytes: &[u8],
        expected: Expected,
        samples: &mut [u16],
    ) -> Result<(), Failure> {
        let decoded = match self {
            Self::Native => None,
            Self::Rle => rle::decode(bytes, expected.bytes(), samples),
            Self::Jpeg => jpeg::decode(bytes, expected.columns, samples),
            Self::JpegLs => jpeg_ls(bytes, expected, samples),
            Self::Jpeg2000 => jpeg_2000(bytes, expected.signed, samples),
            Self::JpegXl => jpeg_xl::decode(bytes, samples),
        };
        decoded.ok_or(Failure::Damaged)
    }
}

/// Explicit VR Big Endian, retired (PS3.5 2016b A.3).
pub(crate) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

fn jpeg_ls(bytes: &[u8], expected: Expected, samples: &mut [u16]) -> Option<()> {
    let decoded = charls::CharLS::default().decode(bytes).ok()?;
    if expected.bits_allocated == 8 {
        return fill(samples, decoded.iter().map(|byte| u16::from(*byte)));
    }
    let (pairs, _) = decoded.as_chunks();
    fill(samples, pairs.iter().map(|pair| u16::from_ne_bytes(*pair)))
}

/// Some writers code signed samples as unsigned ones: the highest bit of the codestream's precision is then the sign.
///
/// Strict, because OpenJPEG otherwise calls a codestream that was cut off decoded.
fn jpeg_2000(bytes: &[u8], signed: bool, samples: &mut [u16]) -> Option<()> {
    let strict = DecodeParameters::new().strict(true);
    let image = jpeg2k::Image::from_bytes_with(bytes, strict).ok()?;
    let component = image.components().first()?;
    let unsigned_as_signed = signed && !component.is_signed();
    let shift = 32_u32
        .checked_sub(component.precision())
        .filter(|_| unsigned_as_signed)
        .unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the size check allows 16 bits at most"
    )]
    let stored = component
        .data()
        .iter()
        .map(|v| (v << shift >> shift) as u16);
    fill(samples, stored)
}

/// Takes the values, if there are as many as samples.
fn fill(samples: &mut [u16], values: impl ExactSizeIterator<Item = u16>) -> Option<()> {
    if values.len() != samples.len() {
        return None;
    }
    for (sample, value) in samples.iter_mut().zip(values) {
        *sample = value;
    }
    Some(())
}
