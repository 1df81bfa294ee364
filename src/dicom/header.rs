//! The encoded elements before the pixel data, measured before anything is parsed.
//!
//! In: a data set's bytes and how it is coded. Out: the bytes up to an element, and that element's tag and length.
//! Refused: elements that end too early, nest too deep or take more bytes than allowed.

use super::coding::{Coding, has_long_length, implicit_vr, is_split, unit_bytes};
use super::{Attribute, Error};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::io::{self, Read};
use std::ops::Range;

/// Most sequences inside sequences; parsing recurses.
const MAX_DEPTH: usize = 32;

/// What an element or item costs in memory beside its value.
const ELEMENT_BYTES: usize = 64;

/// What each of several texts in one value costs beside its letters.
const TEXT_BYTES: usize = 24;

/// So many bytes are read at once, for what comes next: most headers are shorter.
pub(crate) const AHEAD_BYTES: usize = 16 << 10;

/// Most bytes that are read at once, so that a length that lies allocates no more than there is.
const STEP_BYTES: usize = 1 << 16;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// An element's tag, VR and length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) tag: Tag,
    /// Bytes that the three take.
    pub(crate) bytes: u64,
    vr: VR,
    length: u32,
}

impl Head {
    /// Bytes of the value; none for undefined length.
    pub(crate) fn length(&self) -> Option<u32> {
        (self.length != UNDEFINED).then_some(self.length)
    }
}

/// The elements before one that stopped the reading.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) bytes: Vec<u8>,
    /// Tag of each element that is in no other, and where its value lies.
    elements: Vec<(Tag, Range<usize>)>,
}

impl Header {
    /// The value of an element as trimmed text, such as a UID; none for an absent one.
    ///
    /// Bytes that are no text show as such: a damaged value is not an absent one.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        // Of two, the object's parser takes the last.
        let element = self.elements.iter().rfind(|element| element.0 == tag);
        let (_, value) = element?;
        let text = String::from_utf8_lossy(&self.bytes[value.clone()]);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        Some(text.to_owned())
    }

    /// Whether there is such an element.
    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.elements.iter().any(|element| element.0 == tag)
    }
}

/// What stands behind a [`Header`].
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// The head of the element that stopped the reading; none where the bytes end.
    pub(crate) head: Option<Head>,
    /// Bytes behind that head which were read already.
    pub(crate) ahead: Vec<u8>,
}

/// Reads elements and keeps their bytes.
pub(crate) struct HeaderReader<R> {
    source: R,
    coding: Coding,
    limit_bytes: usize,
    /// Bytes that the elements may still take in memory.
    left_bytes: usize,
    /// The elements so far, then what was read ahead of them.
    bytes: Vec<u8>,
    /// End of the elements so far.
    at: usize,
    last: Tag,
}

impl<R: Read> HeaderReader<R> {
    /// Reads `ahead`, then `source`.
    pub(crate) fn new(ahead: Vec<u8>, source: R, coding: Coding, limit_bytes: usize) -> Self {
        Self {
            source,
            coding,
            limit_bytes,
            left_bytes: limit_bytes,
            bytes: ahead,
            at: 0,
            last: tags::FILE_META_INFORMATION_GROUP_LENGTH,
        }
    }

    /// Reads up to the first element that `stops`.
    pub(crate) fn read_until(
        mut self,
        stops: impl Fn(Tag) -> bool,
    ) -> Result<(Header, Rest), Error> {
        let mut elements = Vec::new();
        loop {
            let start = self.at;
            let head = match self.head(self.coding) {
                Ok(head) if !stops(head.tag) => head,
                Ok(head) => return Ok(self.split(elements, start, Some(head))),
                // Fewer bytes than a tag: the data set's end.
                Err(Error::Truncated { .. }) if self.at < start + 4 => {
                    return Ok(self.split(elements, start, None));
                }
                Err(error) => return Err(error),
            };
            let value = self.at;
            self.value(&head, self.coding, 0)?;
            elements.push((head.tag, value..self.at));
        }
    }

    fn split(
        mut self,
        elements: Vec<(Tag, Range<usize>)>,
        end: usize,
        head: Option<Head>,
    ) -> (Header, Rest) {
        let ahead = self.bytes.split_off(self.at);
        self.bytes.truncate(end);
        let bytes = self.bytes;
        (Header { bytes, elements }, Rest { head, ahead })
    }

    fn head(&mut self, coding: Coding) -> Result<Head, Error> {
        let start = self.at;
        self.charge(ELEMENT_BYTES)?;
        let [g0, g1, e0, e1] = self.take()?;
        let tag = Tag(coding.u16([g0, g1]), coding.u16([e0, e1]));
        let (vr, length) = if !coding.explicit || tag.0 == 0xfffe {
            (implicit_vr(tag), coding.u32(self.take()?))
        } else {
            let [v0, v1, l0, l1] = self.take()?;
            let vr = VR::from_binary([v0, v1]).unwrap_or(VR::UN);
            let length = match has_long_length(vr) {
                true => coding.u32(self.take()?),
                false => coding.u16([l0, l1]).into(),
            };
            (vr, length)
        };
        let bytes = (self.at - start) as u64;
        Ok(Head {
            tag,
            bytes,
            vr,
            length,
        })
    }

    fn value(&mut self, head: &Head, coding: Coding, depth: usize) -> Result<(), Error> {
        self.last = head.tag;
        let start = self.at;
        match head.length() {
            None if head.tag == tags::PIXEL_DATA => self.fragments(coding),
            None if coding.explicit && head.vr == VR::UN => {
                self.items(Coding::IMPLICIT_LITTLE, None, depth + 1)?;
                self.define_length(start, coding)
            }
            None => self.items(coding, None, depth + 1),
            Some(length) if head.vr == VR::SQ => self.items(coding, Some(length), depth + 1),
            // Of a value that is no whole number of units, the object's parser would leave the rest as an element.
            Some(length) if !length.is_multiple_of(unit_bytes(head.vr)) => Err(self.malformed()),
            Some(length) => {
                self.pass(length as usize)?;
                let is_backslash = |byte: &&u8| **byte == b'\\';
                match is_split(head.vr) {
                    true => {
                        let texts = self.bytes[start..self.at]
                            .iter()
                            .filter(is_backslash)
                            .count();
                        self.charge(texts * TEXT_BYTES)
                    }
                    false => Ok(()),
                }
            }
        }
    }

    /// Items up to the delimiter, or `length` bytes of them.
    fn items(&mut self, coding: Coding, length: Option<u32>, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(self.malformed());
        }
        let end = self.end(length);
        while !self.is_at(end)? {
            let head = self.head(coding)?;
            match head.tag {
                ITEM => self.elements(coding, head.length(), depth)?,
                SEQUENCE_END => return Ok(()),
                _ => return Err(self.malformed()),
            }
        }
        Ok(())
    }

    /// Elements of an item up to its delimiter, or `length` bytes of them.
    fn elements(&mut self, coding: Coding, length: Option<u32>, depth: usize) -> Result<(), Error> {
        let end = self.end(length);
        while !self.is_at(end)? {
            let head = self.head(coding)?;
            match head.tag {
                ITEM_END => return Ok(()),
                _ => self.value(&head, coding, depth)?,
            }
        }
        Ok(())
    }

    /// Compressed pixel data within a sequence, such as an icon.
    fn fragments(&mut self, coding: Coding) -> Result<(), Error> {
        loop {
            let head = self.head(coding)?;
            match (head.tag, head.length()) {
                (ITEM, Some(length)) => self.pass(length as usize)?,
                (SEQUENCE_END, _) => return Ok(()),
                _ => return Err(self.malformed()),
            }
        }
    }

    /// Gives the UN element whose value starts at `start` the length that it has: parsers take its items for explicit ones.
    fn define_length(&mut self, start: usize, coding: Coding) -> Result<(), Error> {
        let length = u32::try_from(self.at - start).map_err(|_| self.malformed())?;
        let length = match coding.big_endian {
            true => length.to_be_bytes(),
            false => length.to_le_bytes(),
        };
        self.bytes[start - 4..start].copy_from_slice(&length);
        Ok(())
    }

    fn end(&self, length: Option<u32>) -> Option<usize> {
        length.map(|length| self.at + length as usize)
    }

    fn is_at(&self, end: Option<usize>) -> Result<bool, Error> {
        match end {
            Some(end) if self.at > end => Err(self.malformed()),
            Some(end) => Ok(self.at == end),
            None => Ok(false),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let start = self.at;
        self.pass(N)?;
        let taken = self.bytes[start..].first_chunk::<N>();
        taken.copied().ok_or(self.truncated())
    }

    /// Keeps the next bytes.
    fn pass(&mut self, length: usize) -> Result<(), Error> {
        self.charge(length)?;
        let end = self.at + length;
        while self.bytes.len() < end {
            let step = (end - self.bytes.len()).clamp(AHEAD_BYTES, STEP_BYTES);
            self.bytes.reserve(step);
            let mut next = (&mut self.source).take(step as u64);
            let found = next.read_to_end(&mut self.bytes);
            // An error behind these bytes comes again with those that it spoils.
            if self.bytes.len() < end {
                match found.map_err(|error| error.kind()) {
                    Ok(0) | Err(io::ErrorKind::UnexpectedEof) => return Err(self.truncated()),
                    Ok(_) => {}
                    Err(_) => return Err(self.malformed()),
                }
            }
        }
        self.at = end;
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        let left_bytes = self.left_bytes.checked_sub(bytes);
        self.left_bytes = left_bytes.ok_or(Error::HeaderTooLarge {
            last: Attribute(self.last),
            limit_bytes: self.limit_bytes as u64,
        })?;
        Ok(())
    }

    fn truncated(&self) -> Error {
        Error::Truncated {
            last: Attribute(self.last),
        }
    }

    fn malformed(&self) -> Error {
        Error::Malformed {
            last: Attribute(self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4 << 10;
    const UNDEFINED_UN: [u8; 12] = [9, 0, 1, 0x10, b'U', b'N', 0, 0, 255, 255, 255, 255];
    const SEQUENCE_DELIMITER: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];

    /// An item of undefined length with one implicit element of two bytes.
    const ITEM_OF_IMPLICIT: [u8; 26] = [
        0xfe, 0xff, 0x00, 0xe0, 255, 255, 255, 255, 9, 0, 2, 0x10, 2, 0, 0, 0, b'A', b'B', 0xfe,
        0xff, 0x0d, 0xe0, 0, 0, 0, 0,
    ];

    fn read(bytes: &[u8]) -> Result<(Vec<u8>, Option<Head>), Error> {
        let (ahead, source) = bytes.split_at(bytes.len().min(5));
        let (header, rest) =
            HeaderReader::new(ahead.to_vec(), source, Coding::EXPLICIT_LITTLE, LIMIT)
                .read_until(|t| t >= tags::PIXEL_DATA)?;
        let behind = rest.head.map_or(0, |head| head.bytes) + rest.ahead.len() as u64;
        assert!(rest.head.is_none() || header.bytes.len() as u64 + behind == bytes.len() as u64);
        Ok((header.bytes, rest.head))
    }

    #[test]
    fn unknown_values_of_undefined_length_are_implicit_and_get_their_length() {
        let value = [ITEM_OF_IMPLICIT.as_slice(), &SEQUENCE_DELIMITER].concat();
        let (bytes, next) = read(&[UNDEFINED_UN.as_slice(), &value].concat()).unwrap();
        assert!(next.is_none());
        assert_eq!(bytes[..8], UNDEFINED_UN[..8]);
        assert_eq!(bytes[8..12], [34, 0, 0, 0]);
        assert_eq!(bytes[12..], value);
    }

    #[test]
    fn the_element_that_stops_is_not_kept() {
        let element = [8, 0, 0x60, 0, b'C', b'S', 2, 0, b'C', b'T'];
        let pixels = [0xe0, 0x7f, 0x10, 0, b'O', b'W', 0, 0, 4, 0, 0, 0, 1, 2];
        let (bytes, next) = read(&[element.as_slice(), &pixels].concat()).unwrap();
        assert_eq!(bytes, element);
        let next = next.unwrap();
        assert_eq!(
            (next.tag, next.bytes, next.length()),
            (tags::PIXEL_DATA, 12, Some(4))
        );
    }

    #[test]
    fn of_two_elements_of_one_tag_the_last_counts() {
        let element =
            |modality: &[u8; 2]| [&[8, 0, 0x60, 0, b'C', b'S', 2, 0], &modality[..]].concat();
        let twice = [element(b"CT"), element(b"M\0")].concat();
        let reader = HeaderReader::new(twice, io::empty(), Coding::EXPLICIT_LITTLE, LIMIT);
        let (header, _) = reader.read_until(|_| false).unwrap();
        assert_eq!(header.text(tags::MODALITY).as_deref(), Some("M"));
        assert_eq!(header.text(tags::SOP_CLASS_UID), None);
        assert!(header.has(tags::MODALITY) && !header.has(tags::SOP_CLASS_UID));
    }

    #[test]
    fn an_icon_with_compressed_pixels_is_passed() {
        let open = [0x88, 0, 0, 2, b'S', b'Q', 0, 0, 255, 255, 255, 255];
        let item = [0xfe, 0xff, 0x00, 0xe0, 255, 255, 255, 255];
        let pixels = [0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 255, 255, 255, 255];
        let fragment = [0xfe, 0xff, 0x00, 0xe0, 2, 0, 0, 0, 1, 2];
        let item_end = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
        let whole = [
            open.as_slice(),
            &item,
            &pixels,
            &fragment,
            &SEQUENCE_DELIMITER,
            &item_end,
            &SEQUENCE_DELIMITER,
        ]
        .concat();
        assert_eq!(read(&whole).unwrap().0, whole);
        for end in 4..whole.len() {
            assert_eq!(
                read(&whole[..end]).unwrap_err().code(),
                "truncated",
                "{end} bytes"
            );
        }
    }

    #[test]
    fn items_longer_than_their_sequence_are_malformed() {
        let open = [0x88, 0, 0, 2, b'S', b'Q', 0, 0, 12, 0, 0, 0];
        let item = [0xfe, 0xff, 0x00, 0xe0, 10, 0, 0, 0];
        let element = [8, 0, 0x60, 0, b'C', b'S', 2, 0, b'C', b'T'];
        let whole = [open.as_slice(), &item, &element].concat();
        assert_eq!(read(&whole).unwrap_err().code(), "malformed");
    }
}
