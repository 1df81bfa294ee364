//! Stored pixel values of the frames of one multi-frame object, from one pass over its file.
//!
//! In: frames and the places for their samples. Out: 16-bit samples, extended from Bits Stored.
//! Refused: pixel data of another length than declared, and fragments that nothing assigns to frames.

use super::attribute::Attributes;
use super::file::{DicomFile, PixelElement, guarded};
use super::instance::Instance;
use super::pixel::{
    check_codestream, decode_codestream, extend_stored_bits, from_bytes, length_error, take_frame,
};
use super::{Error, functional};
use dicom_core::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::{DerefMut, Range};

/// A frame and the place for its samples.
pub(super) type Target<'a> = (&'a Instance, &'a mut [u16]);

/// Reads frames of one object; all `targets` name it.
pub(super) fn read_frames(targets: Vec<Target>) -> Result<(), Error> {
    let Some((first, _)) = targets.first() else {
        return Ok(());
    };
    let first = *first;
    guarded(&first.sop_instance_uid, || {
        let mut object = Frames::open(first)?;
        match object.file.pixel {
            Some(PixelElement::Native(bytes)) => {
                let mut places: BTreeMap<usize, Target> = targets
                    .into_iter()
                    .map(|target| (index_of(target.0), target))
                    .collect();
                object.read_native(bytes, |index, frame, big_endian| {
                    if let Some((instance, samples)) = places.get_mut(&index) {
                        from_bytes(instance, frame, big_endian, samples);
                        extend_stored_bits(samples, instance.bits_stored, instance.signed);
                    }
                })
            }
            Some(PixelElement::Encapsulated) => {
                let frames = object.read_encapsulated()?;
                let read = |(instance, samples): Target| {
                    let decoded = frames.decode(index_of(instance), instance, || Ok(samples));
                    decoded.map(drop)
                };
                targets.into_par_iter().try_for_each(read)
            }
            None => Err(length_error(first, 0)),
        }
    })
}

/// Whether two objects, each named by one of its frames, hold equal samples, however they are encoded.
pub(super) fn same_frames(a: &Instance, b: &Instance) -> Result<bool, Error> {
    Ok(digests(a)? == digests(b)?)
}

/// SHA-256 of the samples of each frame of an object: one frame a thread is in memory.
fn digests(first: &Instance) -> Result<Vec<[u8; 32]>, Error> {
    let [rows, columns] = first.rows_columns;
    let digest = |samples: &[u16]| Sha256::digest(bytemuck::cast_slice::<u16, u8>(samples)).into();
    guarded(&first.sop_instance_uid, || {
        let mut object = Frames::open(first)?;
        match object.file.pixel {
            Some(PixelElement::Native(bytes)) => {
                let mut found = Vec::new();
                object.read_native(bytes, |_, frame, big_endian| {
                    let mut samples = vec![0; rows * columns];
                    from_bytes(first, frame, big_endian, &mut samples);
                    extend_stored_bits(&mut samples, first.bits_stored, first.signed);
                    found.push(digest(&samples));
                })?;
                Ok(found)
            }
            Some(PixelElement::Encapsulated) => {
                let frames = object.read_encapsulated()?;
                let each = (0..object.count).into_par_iter().map(|index| {
                    let samples = frames.decode(index, first, || take_frame(first))?;
                    Ok(digest(&samples))
                });
                each.collect()
            }
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

/// A multi-frame object that stands at its pixel data.
struct Frames<'a> {
    first: &'a Instance,
    file: DicomFile,
    /// Number of Frames.
    count: usize,
    /// The Extended Offset Table (7FE0,0001), empty where absent.
    extended_offsets: Vec<u64>,
}

impl<'a> Frames<'a> {
    fn open(first: &'a Instance) -> Result<Self, Error> {
        let file = DicomFile::open(&first.path)?;
        let object = file.object_of(&first.sop_instance_uid)?;
        let attributes = Attributes::new(&object, &first.sop_instance_uid);
        Ok(Self {
            first,
            count: functional::frame_count(&attributes)? as usize,
            extended_offsets: extended_offsets(&object),
            file,
        })
    }

    /// Hands over the bytes of each frame, with its index and whether their order is big endian.
    fn read_native(
        &mut self,
        bytes: u64,
        mut on_frame: impl FnMut(usize, &[u8], bool),
    ) -> Result<(), Error> {
        check_native_length(self.first, self.count, bytes)?;
        let big_endian = self.file.big_endian();
        let mut splitter = Splitter {
            frame_bytes: usize::try_from(self.first.frame_bytes()).unwrap_or(usize::MAX),
            frame: Vec::new(),
            done: 0,
            on_frame: |index, frame: &[u8]| on_frame(index, frame, big_endian),
        };
        self.file.read_native_into(&mut splitter)?;
        if splitter.done == self.count {
            return Ok(());
        }
        let found_bytes = splitter.done as u64 * self.first.frame_bytes();
        Err(length_error(self.first, found_bytes))
    }

    fn read_encapsulated(&mut self) -> Result<Codestreams, Error> {
        let mut items = self.file.read_items()?;
        let table = items.drain(..1.min(items.len())).next().unwrap_or_default();
        let (basic, _) = table.as_chunks::<4>();
        let mut offsets: Vec<u64> = basic
            .iter()
            .map(|entry| u32::from_le_bytes(*entry).into())
            .collect();
        if offsets.is_empty() {
            offsets.clone_from(&self.extended_offsets);
        }
        match frame_fragments(&offsets, &items, self.count) {
            Some(ranges) => Ok(Codestreams { items, ranges }),
            None => Err(Error::FrameFragments {
                fragments: items.len(),
                frames: self.count,
                uid: self.first.sop_instance_uid.clone(),
            }),
        }
    }
}

/// 64-bit offsets of frames, for objects beyond the reach of the Basic Offset Table (PS3.3 C.7.6.3.1.8).
fn extended_offsets(object: &InMemDicomObject) -> Vec<u64> {
    let element = object.get(tags::EXTENDED_OFFSET_TABLE);
    match element.and_then(|e| e.value().primitive()) {
        Some(PrimitiveValue::U64(offsets)) => offsets.to_vec(),
        Some(PrimitiveValue::U8(bytes)) => {
            let (offsets, _) = bytes.as_chunks::<8>();
            offsets.iter().map(|o| u64::from_le_bytes(*o)).collect()
        }
        _ => Vec::new(),
    }
}

/// The fragments of an object, and which of them make which frame.
struct Codestreams {
    items: Vec<Vec<u8>>,
    ranges: Vec<Range<usize>>,
}

impl Codestreams {
    /// `take` gives the memory once the codestream turns out to be of the declared size.
    fn decode<S: DerefMut<Target = [u16]>>(
        &self,
        index: usize,
        instance: &Instance,
        take: impl FnOnce() -> Result<S, Error>,
    ) -> Result<S, Error> {
        guarded(&instance.sop_instance_uid, || {
            // An image in several fragments is one codestream (PS3.5 A.4).
            let range = self.ranges.get(index).cloned();
            let codestream = self.items[range.unwrap_or_default()].concat();
            check_codestream(instance, &codestream)?;
            let mut samples = take()?;
            decode_codestream(instance, &codestream, &mut samples)?;
            extend_stored_bits(&mut samples, instance.bits_stored, instance.signed);
            Ok(samples)
        })
    }
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

/// Which fragments make which frame: one each, or by an offset table, or by the starts of codestreams.
///
/// Source: PS3.5 A.4 (encapsulation; a frame starts with a fragment of its own).
fn frame_fragments(
    offsets: &[u64],
    fragments: &[Vec<u8>],
    frames: usize,
) -> Option<Vec<Range<usize>>> {
    if fragments.len() == frames {
        return Some((0..frames).map(|i| i..i + 1).collect());
    }
    if frames == 1 && !fragments.is_empty() {
        return Some(std::iter::once(0..fragments.len()).collect());
    }
    let starts = by_table(offsets, fragments).unwrap_or_else(|| by_codestream(fragments));
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

/// Fragments to which an offset table points; none where it is empty or points elsewhere.
fn by_table(table: &[u64], fragments: &[Vec<u8>]) -> Option<Vec<usize>> {
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
    let starts = table.iter().map(|offset| offsets.get(offset).copied());
    let starts: Option<Vec<usize>> = starts.collect();
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
        let opaque = [vec![7; 4], vec![7; 4], vec![7; 8]];
        assert_eq!(frame_fragments(&[0, 24], &opaque, 2), by_two);
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
        assert_eq!(frame_fragments(&[1, 9], &opaque, 2), None);
        assert_eq!(frame_fragments(&[], &[], 2), None);
    }
}
