//! What a compressed image says of its own size, read before a decoder may allocate it.
//!
//! In: the first bytes of a JPEG, JPEG-LS or JPEG 2000 codestream. Out: rows, columns, bits and components.

/// Size of a compressed image by its own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageSize {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) bits: u32,
    pub(crate) components: u32,
}

/// Reads the frame header (JPEG, JPEG-LS: ITU-T T.81 B.2.2) or the SIZ segment (JPEG 2000: ITU-T T.800 A.5.1).
///
/// None where `bytes` start with neither.
pub(crate) fn image_size(bytes: &[u8]) -> Option<ImageSize> {
    match bytes {
        [0xff, 0xd8, rest @ ..] => jpeg_size(rest),
        [0xff, 0x4f, 0xff, 0x51, rest @ ..] => jpeg_2000_size(rest),
        // A JP2 file, which PS3.5 A.4.4 forbids and some write: the codestream is behind its boxes.
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', rest @ ..] => {
            let start = |bytes: &[u8]| bytes == [0xff, 0x4f, 0xff, 0x51];
            let at = rest.windows(4).position(start)?;
            jpeg_2000_size(&rest[at + 4..])
        }
        _ => None,
    }
}

fn jpeg_size(mut bytes: &[u8]) -> Option<ImageSize> {
    loop {
        match bytes {
            // Fill bytes may stand before a marker.
            [0xff, 0xff, ..] => bytes = &bytes[1..],
            [0xff, marker, high, low, segment @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
                if is_frame_header(*marker) {
                    return frame_header(segment);
                }
                bytes = segment.get(length..)?;
            }
            _ => return None,
        }
    }
}

/// SOF0 to SOF15 without DHT, JPG and DAC, and JPEG-LS's SOF55.
fn is_frame_header(marker: u8) -> bool {
    marker == 0xf7 || ((0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker))
}

fn frame_header(segment: &[u8]) -> Option<ImageSize> {
    let [bits, r1, r0, c1, c0, components, ..] = *segment else {
        return None;
    };
    Some(ImageSize {
        rows: u16::from_be_bytes([r1, r0]).into(),
        columns: u16::from_be_bytes([c1, c0]).into(),
        bits: bits.into(),
        components: components.into(),
    })
}

fn jpeg_2000_size(segment: &[u8]) -> Option<ImageSize> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(
            segment.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    // Lsiz and Rsiz take 4 bytes; then Xsiz, Ysiz, XOsiz, YOsiz and four words of tile size.
    let [columns_end, rows_end, columns_start, rows_start] =
        [word(4)?, word(8)?, word(12)?, word(16)?];
    let (high, low, precision) = (segment.get(36)?, segment.get(37)?, segment.get(38)?);
    Some(ImageSize {
        rows: rows_end.checked_sub(rows_start)?,
        columns: columns_end.checked_sub(columns_start)?,
        bits: u32::from(precision & 0x7f) + 1,
        components: u16::from_be_bytes([*high, *low]).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize {
        rows: 2,
        columns: 3,
        bits: 12,
        components: 1,
    };

    #[test]
    fn a_jpeg_frame_header_is_found_behind_other_segments() {
        let app0 = [0xff, 0xe0, 0, 4, 0xaa, 0xbb];
        let sof3 = [0xff, 0xff, 0xc3, 0, 11, 12, 0, 2, 0, 3, 1, 1, 0x11, 0];
        let bytes = [&[0xff, 0xd8][..], &app0, &sof3].concat();
        assert_eq!(image_size(&bytes), Some(SIZE));
    }

    #[test]
    fn a_jpeg_2000_size_subtracts_the_image_offset() {
        let mut bytes = vec![0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0];
        for word in [13_u32, 22, 10, 20, 13, 22, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend([0, 1, 11, 1, 1]);
        assert_eq!(image_size(&bytes), Some(SIZE));
    }

    #[test]
    fn cut_off_and_foreign_bytes_have_no_size() {
        let whole = [0xff, 0xd8, 0xff, 0xc3, 0, 11, 12, 0, 2, 0, 3, 1];
        for end in 0..whole.len() {
            assert_eq!(image_size(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(image_size(b"\x89PNG\r\n"), None);
        assert_eq!(image_size(&[0xff, 0xd8, 0xff, 0xe0, 0, 0]), None);
    }
}
