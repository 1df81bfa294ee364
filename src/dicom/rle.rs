//! RLE Lossless images (PS3.5 annex G).
//!
//! In: one frame's fragment. Out: its samples.
//! Refused: another count of segments than bytes a sample, and segments that end too early.

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 64;

/// Most bytes that two of a segment can stand for.
const LONGEST_RUN: usize = 128;

/// Fewer than these bytes cannot be an image of so many samples.
pub(crate) fn least_bytes(samples: usize, bytes_each: usize) -> usize {
    HEADER_BYTES + bytes_each * 2 * samples.div_ceil(LONGEST_RUN)
}

/// Decodes an image of `bytes_each` bytes a sample; none where it is damaged or too short.
pub(crate) fn decode(bytes: &[u8], bytes_each: usize, samples: &mut [u16]) -> Option<()> {
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (words, _) = header.as_chunks::<4>();
    let word = |i: usize| usize::try_from(u32::from_le_bytes(words[i])).ok();
    if word(0)? != bytes_each {
        return None;
    }
    samples.fill(0);
    // The first segment holds the most significant bytes.
    for segment in 0..bytes_each {
        let start = word(1 + segment)?;
        let end = match segment + 1 {
            next if next < bytes_each => word(1 + next)?,
            _ => bytes.len(),
        };
        unpack(bytes.get(start..end)?, samples)?;
    }
    Some(())
}

/// Shifts the bytes of a segment into the samples from below (PS3.5 G.3.2).
///
/// What a last run has too many is dropped: some writers pad.
fn unpack(mut bytes: &[u8], samples: &mut [u16]) -> Option<()> {
    let mut at = 0;
    while at < samples.len() {
        let (head, rest) = bytes.split_first()?;
        let repeated = 257 - usize::from(*head);
        let literal = usize::from(*head) + 1;
        let run = |length| at..samples.len().min(at + length);
        match head {
            0..=127 => {
                let (values, rest) = rest.split_at_checked(literal)?;
                let range = run(literal);
                at = range.end;
                for (sample, value) in samples[range].iter_mut().zip(values) {
                    *sample = (*sample << 8) | u16::from(*value);
                }
                bytes = rest;
            }
            128 => bytes = rest,
            129..=255 => {
                let (value, rest) = rest.split_first()?;
                let range = run(repeated);
                at = range.end;
                for sample in &mut samples[range] {
                    *sample = (*sample << 8) | u16::from(*value);
                }
                bytes = rest;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = vec![u32::try_from(segments.len()).unwrap()];
        let mut offset = 64;
        for segment in segments {
            header.push(offset);
            offset += u32::try_from(segment.len()).unwrap();
        }
        header.resize(16, 0);
        let header: Vec<u8> = header.iter().flat_map(|w| w.to_le_bytes()).collect();
        [header, segments.concat()].concat()
    }

    #[test]
    fn runs_and_literals_of_both_bytes_make_samples() {
        // High bytes: 1 four times. Low bytes: 5, 6, a byte without meaning, 7 twice.
        let bytes = image(&[&[253, 1], &[1, 5, 6, 128, 255, 7]]);
        let mut samples = [0; 4];
        assert_eq!(decode(&bytes, 2, &mut samples), Some(()));
        assert_eq!(samples, [0x105, 0x106, 0x107, 0x107]);
    }

    #[test]
    fn no_frame_is_shorter_than_one_of_the_longest_runs() {
        // 300 zeros of two bytes: 128 + 128 + 44 each.
        let runs = [129, 0, 129, 0, 213, 0];
        let bytes = image(&[&runs, &runs]);
        let mut samples = [9; 300];
        assert_eq!(decode(&bytes, 2, &mut samples), Some(()));
        assert_eq!(least_bytes(300, 2), bytes.len());
    }

    #[test]
    fn one_segment_makes_samples_of_eight_bits() {
        let mut samples = [9; 3];
        assert_eq!(decode(&image(&[&[200, 4]]), 1, &mut samples), Some(()));
        assert_eq!(samples, [4; 3]);
    }

    #[test]
    fn missing_segments_and_bytes_are_refused() {
        let mut samples = [0; 4];
        let whole = image(&[&[253, 1], &[3, 5, 6, 7, 8]]);
        assert_eq!(decode(&whole, 1, &mut samples), None);
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end], 2, &mut samples), None, "{end} bytes");
        }
    }
}
