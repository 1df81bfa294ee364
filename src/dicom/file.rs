//! One DICOM file, read within bounds.
//!
//! In: a path. Out: the attributes before the pixel data, and a reader that stands at the pixel data.
//! Refused: what is not DICOM, is cut off, or asks for more memory than an image's header needs.

use super::coding::Coding;
use super::header::{Head, Header, HeaderReader};
use super::meta::{MAX_META_BYTES, Meta};
use super::{Attribute, Error};
use crate::quote::quoted;
use crate::uid;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::{Codec, TransferSyntax};
use dicom_encoding::{Endianness, TransferSyntaxIndex};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most bytes that the attributes before the pixel data may take in memory; CT headers take some kilobytes, private
/// elements some megabytes.
const MAX_HEADER_BYTES: usize = 48 << 20;

/// Bytes that are read from a file at once, unless more are asked for.
const BUFFER_BYTES: usize = 16 << 10;

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
    header: Header,
    reader: Box<dyn Read>,
    /// Bytes of the file from the pixel data's value on; no use where the data set is deflated.
    left_bytes: u64,
}

impl DicomFile {
    /// Opens a file and passes over everything before its pixel data.
    ///
    /// Where File Meta Information is missing, a data set that starts as one does is read all the same.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| io_error(&e))?;
        let file_bytes = file.metadata().map_err(|e| io_error(&e))?.len();
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut start = Vec::with_capacity(MAX_META_BYTES);
        (&mut file)
            .take(MAX_META_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(|e| io_error(&e))?;
        let meta = Meta::read(&start)?;
        let left_bytes = file_bytes.saturating_sub(meta.bytes as u64);
        let opened = Self::open_data_set(start.split_off(meta.bytes), file, left_bytes, &meta);
        if meta.marked {
            return opened;
        }
        // A guess must be borne out by the attribute that every object starts with.
        match opened {
            Ok(file) if file.header.has(tags::SOP_CLASS_UID) => Ok(file),
            Err(Error::Truncated { last }) if last.0 > tags::SOP_CLASS_UID => {
                Err(Error::Truncated { last })
            }
            _ => Err(Error::NotDicom),
        }
    }

    /// Reads the data set of `left_bytes`, of which `ahead` were read already.
    fn open_data_set(
        ahead: Vec<u8>,
        file: BufReader<File>,
        left_bytes: u64,
        meta: &Meta,
    ) -> Result<Self, Error> {
        let syntax = transfer_syntax(&meta.transfer_syntax_uid)?;
        let (ahead, mut reader): (Vec<u8>, Box<dyn Read>) = match syntax.codec() {
            Codec::Dataset(Some(adapter)) => {
                let deflated = Box::new(io::Cursor::new(ahead).chain(file));
                (Vec::new(), adapter.adapt_reader(deflated))
            }
            _ => (ahead, Box::new(file)),
        };
        let (header, rest) =
            HeaderReader::new(ahead, &mut reader, coding(syntax), MAX_HEADER_BYTES)
                .read_until(|tag| tag >= tags::PIXEL_DATA)?;
        let read_bytes = header.bytes.len() as u64 + rest.head.map_or(0, |head| head.bytes);
        let pixel = rest.head.filter(|head| head.tag == tags::PIXEL_DATA);
        Ok(Self {
            syntax,
            media_class_uid: meta.class_uid.clone(),
            left_bytes: left_bytes.saturating_sub(read_bytes),
            pixel: pixel.as_ref().map(pixel_element),
            header,
            reader: Box::new(io::Cursor::new(rest.ahead).chain(reader)),
        })
    }

    /// The attributes before the pixel data.
    pub(crate) fn object(&self) -> Result<InMemDicomObject, Error> {
        parse(&self.header.bytes, self.header_syntax())
    }

    /// The kept bytes are inflated already, and a deflated data set is explicit little endian (PS3.5 A.5).
    fn header_syntax(&self) -> &str {
        match self.syntax.codec() {
            Codec::Dataset(_) => uids::EXPLICIT_VR_LITTLE_ENDIAN,
            _ => self.syntax.uid(),
        }
    }

    /// The attributes before the pixel data of the object `uid`, if the file still holds that one.
    pub(crate) fn object_of(&self, uid: &str) -> Result<InMemDicomObject, Error> {
        self.expect_object(uid)?;
        self.object()
    }

    /// Refuses a file that holds another object than `uid`.
    pub(crate) fn expect_object(&self, uid: &str) -> Result<(), Error> {
        if self.header.text(tags::SOP_INSTANCE_UID).as_deref() == Some(uid) {
            return Ok(());
        }
        let uid = uid.to_owned();
        Err(Error::FileChanged { uid })
    }

    /// Samples of two bytes are stored most significant first.
    pub(crate) fn big_endian(&self) -> bool {
        self.syntax.endianness() == Endianness::Big
    }

    /// Refuses a file that ends within its native pixel data; deflated ones show that only when they are read.
    pub(crate) fn expect_complete(&self) -> Result<(), Error> {
        let deflated = matches!(self.syntax.codec(), Codec::Dataset(_));
        match self.pixel {
            Some(PixelElement::Native(bytes)) if !deflated && self.left_bytes < bytes => {
                Err(truncated(tags::PIXEL_DATA))
            }
            _ => Ok(()),
        }
    }

    /// Reads the value of native pixel data into `out`, whose length is the declared one.
    pub(crate) fn read_native(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(out).map_err(|e| broken(&e))
    }

    /// Reads the value of native pixel data as a stream.
    pub(crate) fn read_native_into(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        let Some(PixelElement::Native(bytes)) = self.pixel else {
            return Err(truncated(tags::PIXEL_DATA));
        };
        let mut value = (&mut self.reader).take(bytes);
        match io::copy(&mut value, out).map_err(|e| broken(&e))? {
            count if count == bytes => Ok(()),
            _ => Err(truncated(tags::PIXEL_DATA)),
        }
    }

    /// Reads the fragments of encapsulated pixel data, joined, without the offset table before them.
    pub(crate) fn read_fragments(&mut self) -> Result<Vec<u8>, Error> {
        let items = self.read_items()?;
        Ok(match items.get(1..).unwrap_or_default() {
            [_] => items.into_iter().next_back().unwrap_or_default(),
            fragments => fragments.concat(),
        })
    }

    /// Reads the items of encapsulated pixel data: the Basic Offset Table, then the fragments (PS3.5 A.4).
    ///
    /// The last fragment may be the file's end: some writers leave the delimiter out.
    pub(crate) fn read_items(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut items = Vec::new();
        while let Some(length) = self.next_item()? {
            // A length that lies allocates no more than the file has.
            let expected = u64::from(length).min(self.left_bytes);
            let mut item = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
            let mut value = (&mut self.reader).take(length.into());
            let count = value.read_to_end(&mut item).map_err(|e| broken(&e))?;
            if count != length as usize {
                return Err(truncated(tags::PIXEL_DATA));
            }
            items.push(item);
        }
        Ok(items)
    }

    /// Length of the next item; none after the last one.
    fn next_item(&mut self) -> Result<Option<u32>, Error> {
        let mut head = Vec::new();
        let count = (&mut self.reader).take(8).read_to_end(&mut head);
        count.map_err(|e| broken(&e))?;
        match head[..] {
            [] | [0xfe, 0xff, 0xdd, 0xe0, ..] => Ok(None),
            [0xfe, 0xff, 0x00, 0xe0, l0, l1, l2, l3] => {
                Ok(Some(u32::from_le_bytes([l0, l1, l2, l3])))
            }
            _ if head.len() < 8 => Err(truncated(tags::PIXEL_DATA)),
            _ => Err(malformed(tags::PIXEL_DATA)),
        }
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

/// Whether two files hold the same bytes.
pub(crate) fn same_bytes(a: &Path, b: &Path) -> Result<bool, Error> {
    let open = |path: &Path| File::open(path).map(BufReader::new);
    let (mut a, mut b) = (
        open(a).map_err(|e| io_error(&e))?,
        open(b).map_err(|e| io_error(&e))?,
    );
    loop {
        let (left, right) = (
            a.fill_buf().map_err(|e| io_error(&e))?,
            b.fill_buf().map_err(|e| io_error(&e))?,
        );
        let count = left.len().min(right.len());
        if left[..count] != right[..count] || (count == 0 && left.len() != right.len()) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        a.consume(count);
        b.consume(count);
    }
}

fn pixel_element(head: &Head) -> PixelElement {
    head.length().map_or(PixelElement::Encapsulated, |bytes| {
        PixelElement::Native(bytes.into())
    })
}

fn coding(syntax: &TransferSyntax) -> Coding {
    Coding {
        explicit: syntax.uid() != uids::IMPLICIT_VR_LITTLE_ENDIAN,
        big_endian: syntax.endianness() == Endianness::Big,
    }
}

/// A data set that came by network, measured before it is parsed: in memory it takes at most `limit_bytes`.
pub(crate) fn data_set(
    bytes: &[u8],
    syntax_uid: &str,
    limit_bytes: usize,
) -> Result<InMemDicomObject, Error> {
    let coding = coding(transfer_syntax(syntax_uid)?);
    let reader = HeaderReader::new(bytes.to_vec(), io::empty(), coding, limit_bytes);
    let (header, _) = reader.read_until(|_| false)?;
    guarded("", || parse(&header.bytes, syntax_uid))
}

fn parse(bytes: &[u8], syntax_uid: &str) -> Result<InMemDicomObject, Error> {
    InMemDicomObject::read_dataset_with_ts(bytes, transfer_syntax(syntax_uid)?)
        .map_err(|_| malformed(tags::FILE_META_INFORMATION_GROUP_LENGTH))
}

fn transfer_syntax(uid: &str) -> Result<&'static TransferSyntax, Error> {
    TransferSyntaxRegistry
        .get(uid)
        .filter(|syntax| !matches!(syntax.codec(), Codec::Dataset(None)))
        .ok_or_else(|| unsupported_syntax(uid))
}

fn unsupported_syntax(uid: &str) -> Error {
    let found = match uid::is_valid(uid) {
        true => uid.to_owned(),
        false => quoted(uid),
    };
    Error::TransferSyntax { found }
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

fn broken(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated(tags::PIXEL_DATA),
        _ => malformed(tags::PIXEL_DATA),
    }
}
