//! JPEG XL images of one grey channel.
//!
//! In: a codestream or container. Out: its samples, as whole numbers of its bit depth.
//! Refused: floating-point samples, colour, animations, and more memory than an image of the size needs.

use super::codestream::ImageSize;
use jxl_oxide::image::BitDepth;
use jxl_oxide::{AllocTracker, JxlImage, JxlThreadPool, PixelFormat};

/// Most bytes that decoding may take, beside so many a sample.
const FIXED_BYTES: usize = 16 << 20;

/// The decoder holds samples as f32, several planes of them.
const BYTES_PER_SAMPLE: usize = 64;

/// Size by the image's own header; none where it has none, or asks for more memory than an image of so many samples needs.
pub(crate) fn image_size(bytes: &[u8], samples: usize) -> Option<ImageSize> {
    size(&open(bytes, samples)?)
}

/// Decodes the first frame; none where it is damaged or no image of so many grey samples.
pub(crate) fn decode(bytes: &[u8], samples: &mut [u16]) -> Option<()> {
    render(&open(bytes, samples.len())?, samples)
}

fn open(bytes: &[u8], samples: usize) -> Option<JxlImage> {
    let limit = FIXED_BYTES.saturating_add(BYTES_PER_SAMPLE.saturating_mul(samples));
    JxlImage::builder()
        .alloc_tracker(AllocTracker::with_limit(limit))
        .pool(JxlThreadPool::none())
        .read(bytes)
        .ok()
}

fn size(image: &JxlImage) -> Option<ImageSize> {
    let BitDepth::IntegerSample { bits_per_sample } = image.image_header().metadata.bit_depth
    else {
        return None;
    };
    Some(ImageSize {
        rows: image.height(),
        columns: image.width(),
        bits: bits_per_sample,
        components: u32::try_from(image.pixel_format().channels()).ok()?,
    })
}

fn render(image: &JxlImage, samples: &mut [u16]) -> Option<()> {
    if !image.is_loading_done() || image.pixel_format() != PixelFormat::Gray {
        return None;
    }
    let bits = image.image_header().metadata.bit_depth.bits_per_sample();
    let most = f32::from(u16::MAX >> 16_u32.checked_sub(bits)?);
    let frame = image.render_frame(0).ok()?;
    let plane = frame.image_all_channels();
    if plane.buf().len() != samples.len() {
        return None;
    }
    for (sample, value) in samples.iter_mut().zip(plane.buf()) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the bit depth"
        )]
        let stored = (value * most + 0.5).clamp(0.0, most) as u16;
        *sample = stored;
    }
    Some(())
}
