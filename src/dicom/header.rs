//! The encoded elements before the pixel data, measured before anything is parsed.
//!
//! In: a data set's bytes and how it is coded. Out: the bytes up to an element, and that element's tag and length.
//! Refused: elements that end too early, nest too deep or take more bytes than allowed.

use super::{Attribute, Error};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::io::{self, Read};

/// Most sequences inside sequences; parsing recurses.
const MAX_DEPTH: usize = 32;

/// What an element or item costs in memory beside its value.
const ELEMENT_BYTES: usize = 64;

/// What each of several texts in one value costs beside its letters.
const TEXT_BYTES: usize = 24;

/// Longest value that is read in one go.
const STEP_BYTES: usize = 1 << 16;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How elements are written (PS3.5 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Coding {
    pub(crate) const EXPLICIT_LITTLE: Self = Self {
        explicit: true,
        big_endian: false,
    };
    /// Also that of values of VR UN and undefined length (PS3.5 6.2.2).
    pub(crate) const IMPLICIT_LITTLE: Self = Self {
        explicit: false,
        big_endian: false,
    };

    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }
}

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

/// Reads elements and keeps their bytes.
pub(crate) struct HeaderReader<R> {
    source: R,
    coding: Coding,
    limit_bytes: usize,
    /// Bytes that the elements may still take in memory.
    left_bytes: usize,
    bytes: Vec<u8>,
    last: Tag,
}

impl<R: Read> HeaderReader<R> {
    pub(crate) fn new(source: R, coding: Coding, limit_bytes: usize) -> Self {
        Self {
            source,
            coding,
            limit_bytes,
            left_bytes: limit_bytes,
            bytes: Vec::new(),
            last: tags::FILE_META_INFORMATION_GROUP_LENGTH,
        }
    }

    /// Reads up to the first element that `stops`; gives what was read before it, and its head unless the bytes end.
    pub(crate) fn read_until(
        mut self,
        stops: impl Fn(Tag) -> bool,
    ) -> Result<(Vec<u8>, Option<Head>), Error> {
        loop {
            let start = self.bytes.len();
            let head = match self.head(self.coding) {
                Ok(head) => Some(head),
                // Fewer bytes than a tag: the data set's end.
                Err(Error::Truncated { .. }) if self.bytes.len() < start + 4 => None,
                Err(error) => return Err(error),
            };
            match head {
                Some(head) if !stops(head.tag) => self.value(&head, self.coding, 0)?,
                stop => {
                    self.bytes.truncate(start);
                    return Ok((self.bytes, stop));
                }
            }
        }
    }

    fn head(&mut self, coding: Coding) -> Result<Head, Error> {
        let start = self.bytes.len();
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
        let bytes = (self.bytes.len() - start) as u64;
        Ok(Head {
            tag,
            bytes,
            vr,
            length,
        })
    }

    fn value(&mut self, head: &Head, coding: Coding, depth: usize) -> Result<(), Error> {
        self.last = head.tag;
        let start = self.bytes.len();
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
                        let texts = self.bytes[start..].iter().filter(is_backslash).count();
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
        let length = u32::try_from(self.bytes.len() - start).map_err(|_| self.malformed())?;
        let length = match coding.big_endian {
            true => length.to_be_bytes(),
            false => length.to_le_bytes(),
        };
        self.bytes[start - 4..start].copy_from_slice(&length);
        Ok(())
    }

    fn end(&self, length: Option<u32>) -> Option<usize> {
        length.map(|length| self.bytes.len() + length as usize)
    }

    fn is_at(&self, end: Option<usize>) -> Result<bool, Error> {
        match end {
            Some(end) if self.bytes.len() > end => Err(self.malformed()),
            Some(end) => Ok(self.bytes.len() == end),
            None => Ok(false),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let start = self.bytes.len();
        self.pass(N)?;
        let (taken, _) = self.bytes[start..]
            .split_first_chunk::<N>()
            .ok_or(self.truncated())?;
        Ok(*taken)
    }

    /// Keeps the next bytes.
    fn pass(&mut self, length: usize) -> Result<(), Error> {
        self.charge(length)?;
        let start = self.bytes.len();
        let mut left = length;
        // In steps, so that a length that lies allocates no more than there is.
        while left > 0 {
            let (at, step) = (self.bytes.len(), left.min(STEP_BYTES));
            self.bytes.resize(at + step, 0);
            if let Err(error) = self.source.read_exact(&mut self.bytes[at..]) {
                self.bytes.truncate(start);
                return Err(match error.kind() {
                    io::ErrorKind::UnexpectedEof => self.truncated(),
                    _ => self.malformed(),
                });
            }
            left -= step;
        }
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

/// VRs with a length of four bytes (PS3.5 table 7.1-1).
fn has_long_length(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(
        vr,
        OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV
    )
}

/// The VR that the dictionary has, as the object's parser takes it.
fn implicit_vr(tag: Tag) -> VR {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Bytes of one number of a binary VR, 1 for text (PS3.5 6.2).
fn unit_bytes(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::AT | VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Whether backslashes part the texts of this VR (PS3.5 6.2).
fn is_split(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, PN, SH, TM, UC, UI};
    matches!(
        vr,
        AE | AS | CS | DA | DS | DT | IS | LO | PN | SH | TM | UC | UI
    )
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
        HeaderReader::new(bytes, Coding::EXPLICIT_LITTLE, LIMIT)
            .read_until(|t| t >= tags::PIXEL_DATA)
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
