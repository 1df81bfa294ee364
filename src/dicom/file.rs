//! One DICOM file, read within bounds.
//!
//! In: a path. Out: the attributes before the pixel data, and a reader that stands at the pixel data.
//! Refused: what is not DICOM, is cut off, or asks for more memory than an image's header needs.

use super::{Attribute, Error};
use dicom_core::Tag;
use dicom_core::header::{HasLength, Header};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::{Codec, TransferSyntax};
use dicom_encoding::{Endianness, TransferSyntaxIndex};
use dicom_object::{DefaultDicomObject, FileMetaTable, OpenFileOptions};
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::{DynStatefulDecoder, StatefulDecode};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most bytes before the pixel data; CT headers have some kilobytes, private elements some megabytes.
pub(crate) const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Most bytes of File Meta Information (PS3.10 7.1).
const MAX_META_BYTES: usize = 64 << 10;

/// Most sequences inside sequences; parsing recurses.
const MAX_DEPTH: usize = 32;

/// What a data element costs beside its value.
const ELEMENT_BYTES: u64 = 8;

type Tokens = LazyDataSetReader<DynStatefulDecoder<Box<dyn Read>>>;

/// How the pixel data are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PixelElement {
    /// As one value of so many bytes.
    Native(u64),
    /// As compressed fragments.
    Encapsulated,
}

/// The attributes before the pixel data.
pub(crate) struct FileHeader {
    pub(crate) object: DefaultDicomObject,
    pub(crate) pixel: Option<PixelElement>,
}

/// Reads the attributes before the pixel data; native pixel data must be there to the end.
pub(crate) fn read_header(path: &Path) -> Result<FileHeader, Error> {
    let mut data = DataSet::open(path)?;
    let pixel = data.skip_to_pixel_data()?;
    if let Some(PixelElement::Native(bytes)) = pixel {
        data.expect_complete(bytes)?;
    }
    let object = OpenFileOptions::new()
        .read_until(tags::PIXEL_DATA)
        .open_file(path)
        .map_err(|_| malformed(tags::FILE_META_INFORMATION_VERSION))?;
    Ok(FileHeader { object, pixel })
}

/// Reads the whole object; every value was measured against the file before it is allocated.
pub(crate) fn read_object(path: &Path) -> Result<DefaultDicomObject, Error> {
    let mut data = DataSet::open(path)?;
    data.skip_to_pixel_data()?;
    let mut walk = Walk::new(data.file_bytes);
    while let Some(token) = data.tokens.advance() {
        walk.pass(token.map_err(|e| broken(&e, tags::PIXEL_DATA))?)?;
    }
    OpenFileOptions::new()
        .open_file(path)
        .map_err(|_| malformed(tags::PIXEL_DATA))
}

/// Runs a parser or decoder; where damage makes it panic, that is an error of the object `uid`.
pub(crate) fn guarded<T>(uid: &str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::DecoderPanicked {
            uid: uid.to_owned(),
        })
    })
}

/// A data set behind its File Meta Information, inflated where it was deflated.
pub(crate) struct DataSet {
    tokens: Tokens,
    file_bytes: u64,
    deflated: bool,
    /// Bytes are stored most significant first.
    pub(crate) big_endian: bool,
}

impl DataSet {
    /// Opens a file and reads its File Meta Information.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|e| io_error(&e))?;
        let file_bytes = file.metadata().map_err(|e| io_error(&e))?.len();
        let (meta, start) = read_meta(&mut file)?;
        let syntax = transfer_syntax(meta.transfer_syntax())?;
        file.seek(SeekFrom::Start(start))
            .map_err(|e| io_error(&e))?;
        let file = Box::new(BufReader::with_capacity(1 << 16, file));
        let (reader, deflated): (Box<dyn Read>, bool) = match syntax.codec() {
            Codec::Dataset(Some(adapter)) => (adapter.adapt_reader(file), true),
            _ => (file, false),
        };
        Ok(Self {
            tokens: tokens(reader, syntax, start)?,
            file_bytes,
            deflated,
            big_endian: syntax.endianness() == Endianness::Big,
        })
    }

    /// Passes over the attributes before the pixel data; none where the data set ends without any.
    pub(crate) fn skip_to_pixel_data(&mut self) -> Result<Option<PixelElement>, Error> {
        let mut walk = Walk::new(MAX_HEADER_BYTES);
        while let Some(token) = self.tokens.advance() {
            match token.map_err(|_| malformed(walk.last))? {
                LazyDataToken::PixelSequenceStart if walk.depth == 0 => {
                    return Ok(Some(PixelElement::Encapsulated));
                }
                LazyDataToken::ElementHeader(header)
                    if walk.depth == 0 && header.tag() >= tags::PIXEL_DATA =>
                {
                    let len = header.length().get().ok_or(malformed(walk.last))?;
                    return Ok((header.tag() == tags::PIXEL_DATA)
                        .then_some(PixelElement::Native(len.into())));
                }
                token => walk.pass(token)?,
            }
        }
        Ok(None)
    }

    /// Reads the value of native pixel data into `out`, whose length is the declared one.
    pub(crate) fn read_native(&mut self, mut out: &mut [u8]) -> Result<(), Error> {
        let token = self.tokens.advance().ok_or(truncated(tags::PIXEL_DATA))?;
        token
            .map_err(|e| broken(&e, tags::PIXEL_DATA))?
            .read_value_into(&mut out)
            .map_err(|e| broken(&e, tags::PIXEL_DATA))?;
        if out.is_empty() {
            return Ok(());
        }
        Err(truncated(tags::PIXEL_DATA))
    }

    /// Whether the file holds native pixel data of so many bytes; deflated ones show that only when inflated.
    fn expect_complete(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(Ok(LazyDataToken::LazyValue { decoder, .. })) = self.tokens.advance() else {
            return Err(truncated(tags::PIXEL_DATA));
        };
        let left = self.file_bytes.saturating_sub(decoder.position());
        if self.deflated || left >= bytes {
            return Ok(());
        }
        Err(truncated(tags::PIXEL_DATA))
    }
}

/// Measures a data set before anything of it is allocated.
struct Walk {
    limit_bytes: u64,
    left_bytes: u64,
    depth: usize,
    last: Tag,
}

impl Walk {
    fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            left_bytes: limit_bytes,
            depth: 0,
            last: tags::FILE_META_INFORMATION_GROUP_LENGTH,
        }
    }

    /// Checks one token and reads past its value.
    fn pass<D: StatefulDecode>(&mut self, token: LazyDataToken<D>) -> Result<(), Error> {
        match &token {
            LazyDataToken::ElementHeader(header) => self.enter(header.tag(), 0),
            LazyDataToken::SequenceStart { tag, .. } => self.enter(*tag, 1),
            LazyDataToken::PixelSequenceStart => self.enter(tags::PIXEL_DATA, 1),
            LazyDataToken::ItemStart { .. } => self.charge(ELEMENT_BYTES),
            LazyDataToken::SequenceEnd => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            LazyDataToken::LazyValue { header, .. } => {
                let len = header.length().get().ok_or(malformed(self.last))?;
                self.pass_value(token, len.into())
            }
            LazyDataToken::LazyItemValue { len, .. } => {
                let len = u64::from(*len);
                self.pass_value(token, len)
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, tag: Tag, deeper: usize) -> Result<(), Error> {
        self.last = tag;
        self.depth += deeper;
        if self.depth > MAX_DEPTH {
            return Err(malformed(tag));
        }
        self.charge(ELEMENT_BYTES)
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Error> {
        self.left_bytes = self
            .left_bytes
            .checked_sub(bytes)
            .ok_or(Error::HeaderTooLarge {
                last: Attribute(self.last),
                limit_bytes: self.limit_bytes,
            })?;
        Ok(())
    }

    fn pass_value<D: StatefulDecode>(
        &mut self,
        token: LazyDataToken<D>,
        bytes: u64,
    ) -> Result<(), Error> {
        self.charge(bytes)?;
        let mut counter = Counter(0);
        token
            .read_value_into(&mut counter)
            .map_err(|e| broken(&e, self.last))?;
        if counter.0 == bytes {
            return Ok(());
        }
        Err(truncated(self.last))
    }
}

/// Counts bytes and forgets them.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the File Meta Information; also says where the data set starts.
fn read_meta(file: &mut File) -> Result<(FileMetaTable, u64), Error> {
    let mut prefix = Vec::new();
    file.take(MAX_META_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(|e| io_error(&e))?;
    if prefix.is_empty() {
        return Err(Error::Empty);
    }
    // Some writers leave the preamble out; the mark is then at the start.
    let mark = [128, 0]
        .into_iter()
        .find(|at| prefix.get(*at..at + 4) == Some(b"DICM"))
        .ok_or(Error::NotDicom)?;
    let end = mark + 4 + group_bytes(&prefix[mark + 4..])?;
    check_group(&prefix[mark + 4..end])?;
    let meta = FileMetaTable::from_reader(&prefix[mark..end])
        .map_err(|_| malformed(tags::FILE_META_INFORMATION_GROUP_LENGTH))?;
    Ok((meta, end as u64))
}

/// Length of the File Meta Information from its first element on, which must be within `bytes`.
fn group_bytes(bytes: &[u8]) -> Result<usize, Error> {
    const GROUP_LENGTH: [u8; 8] = *b"\x02\0\0\0UL\x04\0";
    let last = tags::FILE_META_INFORMATION_GROUP_LENGTH;
    let (element, _) = bytes.split_first_chunk::<12>().ok_or(truncated(last))?;
    let (head, length) = element.split_at(8);
    if head != GROUP_LENGTH {
        return Err(malformed(last));
    }
    let length = length.try_into().map_or(0, u32::from_le_bytes) as usize;
    let end = length.saturating_add(element.len());
    match bytes.len() {
        available if end <= available => Ok(end),
        available if available < MAX_META_BYTES - 132 => Err(truncated(last)),
        _ => Err(Error::HeaderTooLarge {
            last: Attribute(last),
            limit_bytes: MAX_META_BYTES as u64,
        }),
    }
}

/// Measures the File Meta Information, which is always explicit little endian (PS3.10 7.1).
fn check_group(bytes: &[u8]) -> Result<(), Error> {
    let syntax = transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)?;
    let mut tokens = tokens(Box::new(io::Cursor::new(bytes.to_vec())), syntax, 0)?;
    let mut walk = Walk::new(MAX_META_BYTES as u64);
    while let Some(token) = tokens.advance() {
        walk.pass(token.map_err(|e| broken(&e, walk.last))?)?;
    }
    Ok(())
}

fn tokens(reader: Box<dyn Read>, syntax: &TransferSyntax, start: u64) -> Result<Tokens, Error> {
    DynStatefulDecoder::new_with_ts(reader, syntax, start)
        .map(LazyDataSetReader::new)
        .map_err(|_| unsupported_syntax(syntax.uid()))
}

fn transfer_syntax(uid: &str) -> Result<&'static TransferSyntax, Error> {
    TransferSyntaxRegistry
        .get(uid)
        .filter(|syntax| !matches!(syntax.codec(), Codec::Dataset(None)))
        .ok_or_else(|| unsupported_syntax(uid))
}

fn unsupported_syntax(uid: &str) -> Error {
    Error::TransferSyntax {
        found: uid.chars().take(64).collect(),
    }
}

fn io_error(error: &io::Error) -> Error {
    Error::Io { kind: error.kind() }
}

fn malformed(last: Tag) -> Error {
    Error::Malformed {
        last: Attribute(last),
    }
}

fn truncated(last: Tag) -> Error {
    Error::Truncated {
        last: Attribute(last),
    }
}

/// A parser's error: cut off where the bytes ended, else malformed.
fn broken(error: &(dyn std::error::Error + 'static), last: Tag) -> Error {
    let ended = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof)
    };
    let mut cause = Some(error);
    while let Some(e) = cause {
        if ended(e) {
            return truncated(last);
        }
        cause = e.source();
    }
    malformed(last)
}
