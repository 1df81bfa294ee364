//! What stands before the data set of a file (PS3.10 7.1).
//!
//! In: the start of a file. Out: how its data set is encoded and where it starts.
//! Refused: an empty file, and one that neither says that it is DICOM nor looks like it.

use super::Error;
use super::codec::EXPLICIT_VR_BIG_ENDIAN;
use super::coding::Coding;
use super::header::{Header, HeaderReader};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use std::io;

/// Most bytes up to the end of the File Meta Information.
pub(super) const MAX_META_BYTES: usize = 16 << 10;

/// Longest first element of a data set without File Meta Information.
const MAX_FIRST_BYTES: u32 = 1 << 10;

/// Preamble, mark and File Meta Information.
pub(super) struct Meta {
    /// Transfer Syntax UID (0002,0010), or a guess where it is absent.
    pub(super) transfer_syntax_uid: String,
    /// Media Storage SOP Class UID (0002,0002), empty where absent.
    pub(super) class_uid: String,
    /// The file says that it is DICOM.
    pub(super) marked: bool,
    /// Where the data set starts.
    pub(super) bytes: usize,
}

impl Meta {
    /// Reads the first [`MAX_META_BYTES`] of a file, or what it has.
    pub(super) fn read(prefix: &[u8]) -> Result<Self, Error> {
        if prefix.is_empty() {
            return Err(Error::Empty);
        }
        // Some writers leave the preamble out; the mark is then at the start.
        let mark = [128, 0]
            .into_iter()
            .find(|at| prefix.get(*at..at + 4) == Some(b"DICM"));
        let start = mark.map_or(0, |at| at + 4);
        let group = read_group(&prefix[start..])?;
        let bytes = start + group.as_ref().map_or(0, |group| group.bytes.len());
        let text = |tag| {
            let text = group.as_ref().and_then(|group| group.text(tag));
            text.unwrap_or_default()
        };
        let mut transfer_syntax_uid = text(tags::TRANSFER_SYNTAX_UID);
        if transfer_syntax_uid.is_empty() {
            let guess = guess_syntax(&prefix[bytes..]);
            transfer_syntax_uid = guess.unwrap_or_default().into();
        }
        if mark.is_none() && transfer_syntax_uid.is_empty() {
            return Err(Error::NotDicom);
        }
        Ok(Self {
            transfer_syntax_uid,
            class_uid: text(tags::MEDIA_STORAGE_SOP_CLASS_UID),
            marked: mark.is_some(),
            bytes,
        })
    }
}

/// The File Meta Information, which is always explicit little endian; none where another group stands first.
///
/// Its group length is not asked: some writers leave it out or get it wrong.
fn read_group(bytes: &[u8]) -> Result<Option<Header>, Error> {
    if !bytes.starts_with(&[2, 0]) {
        return Ok(None);
    }
    let coding = Coding::EXPLICIT_LITTLE;
    let reader = HeaderReader::new(bytes.to_vec(), io::empty(), coding, MAX_META_BYTES);
    let (group, _) = reader.read_until(|tag| tag.0 != 2)?;
    Ok(Some(group))
}

/// The transfer syntax of a data set that starts as one does: with a short element of group 0008.
fn guess_syntax(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.first_chunk::<8>()?;
    let explicit = VR::from_binary([head[4], head[5]]).is_some();
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    match head {
        [8, 0, ..] if explicit => Some(uids::EXPLICIT_VR_LITTLE_ENDIAN),
        [0, 8, ..] if explicit => Some(EXPLICIT_VR_BIG_ENDIAN),
        [8, 0, ..] if length <= MAX_FIRST_BYTES => Some(uids::IMPLICIT_VR_LITTLE_ENDIAN),
        _ => None,
    }
}
