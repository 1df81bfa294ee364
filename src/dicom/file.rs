//! One DICOM file, read within bounds.
//!
//! In: a path. Out: the attributes before the pixel data, and a reader that stands at the pixel data.
//! Refused: what is not DICOM, is cut off, or asks for more memory than an image's header needs.

use super::attribute::Attributes;
use super::{Attribute, Error};
use dicom_core::header::{HasLength, Header};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::{Codec, TransferSyntax};
use dicom_encoding::{Endianness, TransferSyntaxIndex};
use dicom_object::InMemDicomObject;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::{DynStatefulDecoder, StatefulDecode};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

/// Most bytes that the attributes before the pixel data may take in memory; CT headers take some kilobytes, private
/// elements some megabytes.
const MAX_HEADER_BYTES: u64 = 48 << 20;

/// Most bytes up to the end of the File Meta Information (PS3.10 7.1).
const MAX_META_BYTES: usize = 64 << 10;

/// Most sequences inside sequences; parsing recurses.
const MAX_DEPTH: usize = 32;

/// What a data element costs beside its value.
const ELEMENT_BYTES: u64 = 64;

/// What each of several texts in one value costs beside its letters.
const TEXT_BYTES: u64 = 24;

type Tokens = LazyDataSetReader<DynStatefulDecoder<Box<dyn Read>>>;

/// How the pixel data are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PixelElement {
    /// As one value of so many bytes.
    Native(u64),
    /// As compressed fragments.
    Encapsulated,
}

/// A DICOM file, read up to its pixel data.
pub(crate) struct DicomFile {
    /// How the data set is encoded.
    pub(crate) syntax: &'static TransferSyntax,
    /// Media Storage SOP Class UID (0002,0002), empty where absent.
    pub(crate) media_class_uid: String,
    /// The pixel data that come next; none where the data set ends without any.
    pub(crate) pixel: Option<PixelElement>,
    header: Vec<u8>,
    tokens: Tokens,
    file_bytes: u64,
}

impl DicomFile {
    /// Opens a file and passes over everything before its pixel data, measuring each value.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|e| io_error(&e))?;
        let file_bytes = file.metadata().map_err(|e| io_error(&e))?.len();
        let (meta, start) = read_meta(&mut file)?;
        let text = |tag| {
            let value = meta.get(tag).and_then(|element| element.to_str().ok());
            value.map_or(String::new(), |v| v.trim_end_matches(['\0', ' ']).into())
        };
        let syntax = transfer_syntax(&text(tags::TRANSFER_SYNTAX_UID))?;
        file.seek(SeekFrom::Start(start))
            .map_err(|e| io_error(&e))?;
        let buffered = Box::new(BufReader::with_capacity(1 << 16, file));
        let reader: Box<dyn Read> = match syntax.codec() {
            Codec::Dataset(Some(adapter)) => adapter.adapt_reader(buffered),
            _ => buffered,
        };
        let record: Record = Rc::new(RefCell::new(Some(Vec::new())));
        let recorder = Recorder(reader, Rc::clone(&record));
        let mut tokens = tokens(Box::new(recorder), syntax, start)?;
        let (pixel, header_bytes) = skip_to_pixel_data(&mut tokens, &record)?;
        let mut header = record.take().unwrap_or_default();
        header.truncate(header_bytes);
        Ok(Self {
            syntax,
            media_class_uid: text(tags::MEDIA_STORAGE_SOP_CLASS_UID),
            pixel,
            header,
            tokens,
            file_bytes,
        })
    }

    /// The attributes before the pixel data.
    pub(crate) fn object(&self) -> Result<InMemDicomObject, Error> {
        // The recorded bytes are inflated already, and a deflated data set is explicit little endian (PS3.5 A.5).
        let syntax = match self.syntax.codec() {
            Codec::Dataset(_) => transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)?,
            _ => self.syntax,
        };
        InMemDicomObject::read_dataset_with_ts(&self.header[..], syntax)
            .map_err(|e| broken(&e, tags::FILE_META_INFORMATION_GROUP_LENGTH))
    }

    /// The attributes before the pixel data of the object `uid`, if the file still holds that one.
    pub(crate) fn object_of(&self, uid: &str) -> Result<InMemDicomObject, Error> {
        let object = self.object()?;
        let found = Attributes::new(&object, uid).text(tags::SOP_INSTANCE_UID);
        if found.as_deref() == Some(uid) {
            return Ok(object);
        }
        let uid = uid.to_owned();
        Err(Error::FileChanged { uid })
    }

    /// Samples of two bytes are stored most significant first.
    pub(crate) fn big_endian(&self) -> bool {
        self.syntax.endianness() == Endianness::Big
    }

    /// Refuses a file that ends within its native pixel data; deflated ones show that only when they are read.
    pub(crate) fn expect_complete(&mut self) -> Result<(), Error> {
        let Some(PixelElement::Native(bytes)) = self.pixel else {
            return Ok(());
        };
        let Some(Ok(LazyDataToken::LazyValue { decoder, .. })) = self.tokens.advance() else {
            return Err(truncated(tags::PIXEL_DATA));
        };
        let left = self.file_bytes.saturating_sub(decoder.position());
        if matches!(self.syntax.codec(), Codec::Dataset(_)) || left >= bytes {
            return Ok(());
        }
        Err(truncated(tags::PIXEL_DATA))
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

    /// Reads the fragments of encapsulated pixel data, without the offset table before them.
    pub(crate) fn read_fragments(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut items = self.read_items()?;
        items.drain(..1.min(items.len()));
        Ok(items)
    }

    /// Reads the items of encapsulated pixel data: the offset table, then the fragments.
    pub(crate) fn read_items(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut items: Vec<Vec<u8>> = Vec::new();
        while let Some(token) = self.tokens.advance() {
            match token.map_err(|e| broken(&e, tags::PIXEL_DATA))? {
                LazyDataToken::ItemStart { .. } => items.push(Vec::new()),
                LazyDataToken::SequenceEnd => return Ok(items),
                LazyDataToken::LazyItemValue { len, decoder } => {
                    let item = items.last_mut().ok_or(malformed(tags::PIXEL_DATA))?;
                    let value = LazyDataToken::LazyItemValue { len, decoder };
                    value
                        .read_value_into(&mut *item)
                        .map_err(|e| broken(&e, tags::PIXEL_DATA))?;
                    if item.len() as u64 != u64::from(len) {
                        return Err(truncated(tags::PIXEL_DATA));
                    }
                }
                _ => {}
            }
        }
        Err(truncated(tags::PIXEL_DATA))
    }
}

/// Runs a parser or decoder; where damage makes it panic, that is an error of the object `uid`.
pub(crate) fn guarded<T>(uid: &str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::DecoderPanicked {
            uid: uid.to_owned(),
        })
    })
}

/// Passes over the attributes before the pixel data; also says how many bytes they take.
fn skip_to_pixel_data(
    tokens: &mut Tokens,
    record: &Record,
) -> Result<(Option<PixelElement>, usize), Error> {
    let mut walk = Walk::new(MAX_HEADER_BYTES);
    loop {
        let passed = record.borrow().as_ref().map_or(0, Vec::len);
        let Some(token) = tokens.advance() else {
            return Ok((None, passed));
        };
        match token.map_err(|e| broken(&e, walk.last))? {
            LazyDataToken::PixelSequenceStart if walk.depth == 0 => {
                return Ok((Some(PixelElement::Encapsulated), passed));
            }
            LazyDataToken::ElementHeader(header)
                if walk.depth == 0 && header.tag() >= tags::PIXEL_DATA =>
            {
                let len = header.length().get().ok_or(malformed(walk.last))?;
                let native = PixelElement::Native(len.into());
                return Ok(((header.tag() == tags::PIXEL_DATA).then_some(native), passed));
            }
            token => walk.pass(token)?,
        }
    }
}

/// Bytes read so far, until somebody takes them.
type Record = Rc<RefCell<Option<Vec<u8>>>>;

/// Reads and remembers.
struct Recorder(Box<dyn Read>, Record);

impl Read for Recorder {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        if let Some(seen) = self.1.borrow_mut().as_mut() {
            seen.extend_from_slice(&bytes[..count]);
        }
        Ok(count)
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
                // Of a value that is no whole number of units, the object's parser would leave the rest as an element.
                if !u64::from(len).is_multiple_of(unit_bytes(header.vr())) {
                    return Err(malformed(self.last));
                }
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
        let several =
            matches!(&token, LazyDataToken::LazyValue { header, .. } if is_split(header.vr()));
        let mut counter = Counter::default();
        token
            .read_value_into(&mut counter)
            .map_err(|e| broken(&e, self.last))?;
        if several {
            self.charge(counter.backslashes * TEXT_BYTES)?;
        }
        if counter.bytes == bytes {
            return Ok(());
        }
        Err(truncated(self.last))
    }
}

/// Bytes of one number of a binary VR, 1 for text (PS3.5 6.2).
fn unit_bytes(vr: VR) -> u64 {
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

/// Counts bytes and forgets them.
#[derive(Default)]
struct Counter {
    bytes: u64,
    backslashes: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.backslashes += bytes.iter().filter(|b| **b == b'\\').count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the File Meta Information; also says where the data set starts.
fn read_meta(file: &mut File) -> Result<(InMemDicomObject, u64), Error> {
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
    let meta = parse_group(&prefix[mark + 4..end])?;
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

/// Parses the File Meta Information, which is always explicit little endian (PS3.10 7.1), after measuring it.
fn parse_group(bytes: &[u8]) -> Result<InMemDicomObject, Error> {
    let syntax = transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)?;
    let mut tokens = tokens(Box::new(io::Cursor::new(bytes.to_vec())), syntax, 0)?;
    let mut walk = Walk::new(MAX_META_BYTES as u64);
    while let Some(token) = tokens.advance() {
        walk.pass(token.map_err(|e| broken(&e, walk.last))?)?;
    }
    InMemDicomObject::read_dataset_with_ts(bytes, syntax).map_err(|e| broken(&e, walk.last))
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
