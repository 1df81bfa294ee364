//! Stored pixel values of the frames of one multi-frame object, from one pass over its file.
//!
//! In: frames and the places for their samples. Out: 16-bit samples, extended from Bits Stored.
//! Refused: pixel data of another length than declared, and fragments that nothing assigns to frames.

use super::attribute::Attributes;
use super::file::{DicomFile, PixelElement, guarded};
use super::instance::Instance;
use super::pixel::{decode_codestream, extend_stored_bits, from_bytes, length_error};
use super::{Error, functional};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

/// A frame and the place for its samples.
pub(super) type Target<'a> = (&'a Instance, &'a mut [u16]);

/// Reads frames of one object; all `targets` name it.
pub(super) fn read_frames(targets: Vec<Target>) -> Result<(), Error> {
    let Some((first, _)) = targets.first() else {
        return Ok(());
    };
    let first = *first;
    guarded(&first.sop_instance_uid, || {
        let mut file = DicomFile::open(&first.path)?;
        let object = file.object_of(&first.sop_instance_uid)?;
        let attributes = Attributes::new(&object, &first.sop_instance_uid);
        let frames = functional::frame_count(&attributes)? as usize;
        match file.pixel {
            Some(PixelElement::Native(bytes)) => read_native(&mut file, bytes, frames, targets),
            Some(PixelElement::Encapsulated) => read_encapsulated(&mut file, frames, targets),
            None => Err(length_error(first, 0)),
        }
    })
}

/// Native pixel data must hold all frames; a byte of padding to an even length is allowed (PS3.5 8.1.1).
pub(super) fn check_native_length(
    first: &Instance,
    frames: usize,
    found_bytes: u64,
) -> Result<(), Error> {
    let needed = first.frame_bytes().saturating_mul(frames as u64);
    if found_bytes == needed.next_multiple_of(2) {
        return Ok(());
    }
    Err(Error::PixelDataLength {
        found_bytes,
        needed_bytes: needed,
        uid: first.sop_instance_uid.clone(),
    })
}

fn read_native(
    file: &mut DicomFile,
    bytes: u64,
    frames: usize,
    targets: Vec<Target>,
) -> Result<(), Error> {
    let Some(first) = targets.first().map(|(instance, _)| *instance) else {
        return Ok(());
    };
    check_native_length(first, frames, bytes)?;
    let big_endian = file.big_endian();
    let frame_bytes = usize::try_from(first.frame_bytes()).unwrap_or(usize::MAX);
    let mut places: BTreeMap<usize, Target> = targets
        .into_iter()
        .map(|target| (index_of(target.0), target))
        .collect();
    let mut splitter = Splitter {
        frame_bytes,
        frame: Vec::new(),
        done: 0,
        on_frame: |index, frame: &[u8]| {
            if let Some((instance, samples)) = places.get_mut(&index) {
                from_bytes(instance, frame, big_endian, samples);
                extend_stored_bits(samples, instance.bits_stored, instance.signed);
            }
        },
    };
    file.read_native_into(&mut splitter)?;
    if splitter.done == frames {
        return Ok(());
    }
    Err(length_error(
        first,
        splitter.done as u64 * first.frame_bytes(),
    ))
}

/// Index of a frame within its object.
fn index_of(instance: &Instance) -> usize {
    instance.frame_number.unwrap_or(1) as usize - 1
}

/// Hands over each frame of a stream once it is whole.
struct Splitter<F> {
    frame_bytes: usize,
    frame: Vec<u8>,
    done: usize,
    on_frame: F,
}

impl<F: FnMut(usize, &[u8])> Write for Splitter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = self.frame_bytes - self.frame.len();
        let taken = missing.min(bytes.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        if self.frame.len() == self.frame_bytes {
            (self.on_frame)(self.done, &self.frame);
            self.frame.clear();
            self.done += 1;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_encapsulated(
    file: &mut DicomFile,
    frames: usize,
    targets: Vec<Target>,
) -> Result<(), Error> {
    let mut items = file.read_items()?;
    let table = items.drain(..1.min(items.len())).next().unwrap_or_default();
    let Some((first, _)) = targets.first() else {
        return Ok(());
    };
    let Some(ranges) = frame_fragments(&table, &items, frames) else {
        return Err(Error::FrameFragments {
            fragments: items.len(),
            frames,
            uid: first.sop_instance_uid.clone(),
        });
    };
    targets.into_par_iter().try_for_each(|(instance, samples)| {
        guarded(&instance.sop_instance_uid, || {
            // An image in several fragments is one codestream (PS3.5 A.4).
            let range = ranges.get(index_of(instance)).cloned();
            let codestream = items[range.unwrap_or_default()].concat();
            decode_codestream(instance, &codestream, samples)?;
            extend_stored_bits(samples, instance.bits_stored, instance.signed);
            Ok(())
        })
    })
}

/// Which fragments make which frame: one each, or by the Basic Offset Table, or by the starts of codestreams.
///
/// Source: PS3.5 A.4 (encapsulation; a frame starts with a fragment of its own).
fn frame_fragments(
    table: &[u8],
    fragments: &[Vec<u8>],
    frames: usize,
) -> Option<Vec<Range<usize>>> {
    if fragments.len() == frames {
        return Some((0..frames).map(|i| i..i + 1).collect());
    }
    if frames == 1 && !fragments.is_empty() {
        return Some(std::iter::once(0..fragments.len()).collect());
    }
    let starts = by_table(table, fragments).unwrap_or_else(|| by_codestream(fragments));
    if starts.len() != frames || starts.first() != Some(&0) {
        return None;
    }
    let ends = starts[1..].iter().copied().chain([fragments.len()]);
    Some(
        starts
            .iter()
            .copied()
            .zip(ends)
            .map(|(a, b)| a..b)
            .collect(),
    )
}

/// Fragments to which the Basic Offset Table points; none where it is empty or points elsewhere.
fn by_table(table: &[u8], fragments: &[Vec<u8>]) -> Option<Vec<usize>> {
    const ITEM_HEADER_BYTES: u64 = 8;
    if table.is_empty() {
        return None;
    }
    let mut offsets = BTreeMap::new();
    let mut offset = 0_u64;
    for (index, fragment) in fragments.iter().enumerate() {
        offsets.insert(offset, index);
        offset += ITEM_HEADER_BYTES + fragment.len() as u64;
    }
    let (entries, _) = table.as_chunks::<4>();
    let starts: Option<Vec<usize>> = entries
        .iter()
        .map(|entry| offsets.get(&u64::from(u32::from_le_bytes(*entry))).copied())
        .collect();
    starts.filter(|starts| starts.is_sorted_by(|a, b| a < b))
}

/// Fragments that start a JPEG or JPEG 2000 codestream where the one before has ended.
fn by_codestream(fragments: &[Vec<u8>]) -> Vec<usize> {
    let starts = |bytes: &[u8]| {
        bytes.starts_with(&[0xff, 0xd8, 0xff]) || bytes.starts_with(&[0xff, 0x4f, 0xff, 0x51])
    };
    // EOI and EOC are both FFD9; a byte of padding may follow.
    let ends = |bytes: &[u8]| bytes.ends_with(&[0xff, 0xd9]) || bytes.ends_with(&[0xff, 0xd9, 0]);
    (0..fragments.len())
        .filter(|&i| starts(&fragments[i]) && (i == 0 || ends(&fragments[i - 1])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: [u8; 4] = [0xff, 0xd8, 0xff, 0xc3];
    const END: [u8; 4] = [1, 2, 0xff, 0xd9];

    #[test]
    fn fragments_go_to_frames_one_by_one_by_table_or_by_codestream() {
        let whole = [START, END].concat();
        let split = [START.to_vec(), END.to_vec(), whole.clone()];
        let by_two = Some(vec![0..2, 2..3]);
        assert_eq!(frame_fragments(&[], &split, 2), by_two);
        let table: Vec<u8> = [0_u32, 24].iter().flat_map(|o| o.to_le_bytes()).collect();
        let opaque = [vec![7; 4], vec![7; 4], vec![7; 8]];
        assert_eq!(frame_fragments(&table, &opaque, 2), by_two);
        assert_eq!(
            frame_fragments(&[], &opaque, 3),
            Some(vec![0..1, 1..2, 2..3])
        );
        let one = frame_fragments(&[], &opaque, 1).unwrap();
        assert!(one.len() == 1 && one[0] == (0..3));
    }

    #[test]
    fn fragments_that_nothing_assigns_are_refused() {
        let opaque = [vec![7; 4], vec![7; 4], vec![7; 8]];
        assert_eq!(frame_fragments(&[], &opaque, 2), None);
        assert_eq!(frame_fragments(&[1, 0, 0, 0, 9, 0, 0, 0], &opaque, 2), None);
        assert_eq!(frame_fragments(&[], &[], 2), None);
    }
}
