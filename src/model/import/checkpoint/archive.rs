//! The zip archive in which `torch.save` puts a checkpoint: records that are stored as they are.
//!
//! In: a file. Out: the bytes of a record, checked against its CRC. Refused: what is no zip archive, compressed or
//! encrypted records (so that nothing can grow), a large directory, records that reach beyond the file.

use super::Error;
use flate2::Crc;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A directory of some ten thousand records; a network has some hundred.
const MAX_DIRECTORY_BYTES: u64 = 4 << 20;

// Signatures and sizes: PKWARE APPNOTE 6.3.10, 4.3.
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;
const MAX_COMMENT_BYTES: u64 = 0xffff;
/// Identifier of the extra field with sizes of 64 bits.
const EXTRA_64: u16 = 1;
/// Stands for a size that the extra field has.
const IN_EXTRA: u64 = 0xffff_ffff;

/// An opened archive.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: RefCell<File>,
    /// Bytes of the whole file.
    length: u64,
    records: BTreeMap<String, Record>,
    checked: RefCell<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    header_at: u64,
    bytes: u64,
    crc: u32,
}

/// Where the directory lies.
struct Directory {
    at: u64,
    bytes: u64,
}

impl Archive {
    /// Reads the directory.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Container`], [`Error::Limit`].
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |source| Error::Read {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(refuse)?;
        let length = file.metadata().map_err(refuse)?.len();
        let mut archive = Self {
            path: path.into(),
            file: RefCell::new(file),
            length,
            records: BTreeMap::new(),
            checked: RefCell::default(),
        };
        let start = archive.read_at(0, length.min(4))?;
        if start != LOCAL {
            return Err(archive.other_container(&start));
        }
        let directory = archive.directory()?;
        if directory.bytes > MAX_DIRECTORY_BYTES {
            return Err(Error::Limit {
                path: path.into(),
                what: "a directory of so many bytes",
                limit: MAX_DIRECTORY_BYTES,
            });
        }
        let bytes = archive.read_at(directory.at, directory.bytes)?;
        archive.records = archive.records(&bytes)?;
        Ok(archive)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Names of all records.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    /// Bytes of a record.
    pub(super) fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(self.record(name)?.bytes)
    }

    /// Part of a record, whose CRC is checked as a whole when it is first read.
    pub(super) fn read(&self, name: &str, start: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        let record = self.record(name)?;
        let end = start.checked_add(bytes);
        if end.is_none_or(|end| end > record.bytes) {
            return Err(self.malformed(format!("record {name:?} ends early")));
        }
        let at = self.data_at(name, record)?;
        if !self.checked.borrow().contains(name) {
            self.check(name, at, record)?;
            self.checked.borrow_mut().insert(name.to_owned());
        }
        self.read_at(at + start, bytes)
    }

    fn record(&self, name: &str) -> Result<Record, Error> {
        let record = self.records.get(name).copied();
        record.ok_or_else(|| self.malformed(format!("record {name:?} is missing")))
    }

    /// The data follow the local header, which repeats the name and may be padded by an extra field.
    fn data_at(&self, name: &str, record: Record) -> Result<u64, Error> {
        let header = self.read_at(record.header_at, LOCAL_BYTES as u64)?;
        let after = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let at = record.header_at + LOCAL_BYTES as u64 + after;
        if header[..4] != LOCAL || at.saturating_add(record.bytes) > self.length {
            return Err(self.malformed(format!("record {name:?} lies outside of the file")));
        }
        Ok(at)
    }

    fn check(&self, name: &str, at: u64, record: Record) -> Result<(), Error> {
        const CHUNK_BYTES: u64 = 1 << 16;
        let mut crc = Crc::new();
        for start in (0..record.bytes).step_by(1 << 16) {
            let bytes = CHUNK_BYTES.min(record.bytes - start);
            crc.update(&self.read_at(at + start, bytes)?);
        }
        if crc.sum() == record.crc {
            return Ok(());
        }
        Err(self.malformed(format!("the CRC of record {name:?} does not fit its bytes")))
    }

    fn directory(&self) -> Result<Directory, Error> {
        let tail_bytes = self.length.min(MAX_COMMENT_BYTES + END_BYTES as u64);
        let tail_at = self.length - tail_bytes;
        let tail = self.read_at(tail_at, tail_bytes)?;
        let end = tail
            .windows(END_BYTES)
            .rposition(|bytes| bytes.starts_with(&END))
            .ok_or_else(|| self.malformed("it has no directory, as if it were cut off".into()))?;
        let directory = Directory {
            bytes: u64::from(u32_at(&tail, end + 12)),
            at: u64::from(u32_at(&tail, end + 16)),
        };
        let locator_at = (tail_at + end as u64).checked_sub(LOCATOR_64_BYTES as u64);
        let directory = match locator_at {
            Some(at) => self.directory_64(at)?.unwrap_or(directory),
            None => directory,
        };
        if directory.at.saturating_add(directory.bytes) > self.length {
            return Err(self.malformed("its directory lies outside of the file".into()));
        }
        Ok(directory)
    }

    fn directory_64(&self, locator_at: u64) -> Result<Option<Directory>, Error> {
        let locator = self.read_at(locator_at, LOCATOR_64_BYTES as u64)?;
        if locator[..4] != LOCATOR_64 {
            return Ok(None);
        }
        let end = self.read_at(u64_at(&locator, 8), END_64_BYTES as u64)?;
        if end[..4] != END_64 {
            return Err(self.malformed("its directory is not where it says".into()));
        }
        Ok(Some(Directory {
            bytes: u64_at(&end, 40),
            at: u64_at(&end, 48),
        }))
    }

    fn records(&self, mut directory: &[u8]) -> Result<BTreeMap<String, Record>, Error> {
        let mut records = BTreeMap::new();
        while directory.starts_with(&CENTRAL) && directory.len() >= CENTRAL_BYTES {
            let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(directory, at)));
            let end = CENTRAL_BYTES + name + extra + comment;
            let Some((entry, rest)) = directory.split_at_checked(end) else {
                return Err(self.malformed("its directory is cut off".into()));
            };
            let extra = &entry[CENTRAL_BYTES + name..][..extra];
            let name = String::from_utf8_lossy(&entry[CENTRAL_BYTES..][..name]).into_owned();
            let record = self.entry(entry, extra)?;
            if records.insert(name, record).is_some() {
                return Err(self.malformed("its directory has a name twice".into()));
            }
            directory = rest;
        }
        if directory.is_empty() {
            return Ok(records);
        }
        Err(self.malformed("its directory is damaged".into()))
    }

    fn entry(&self, entry: &[u8], extra: &[u8]) -> Result<Record, Error> {
        const ENCRYPTED: u16 = 1;
        let [flags, method] = [8, 10].map(|at| u16_at(entry, at));
        if flags & ENCRYPTED != 0 || method != 0 {
            return Err(Error::Container {
                path: self.path.clone(),
                found: "a zip archive with compressed or encrypted records",
            });
        }
        let mut wide = wide_values(extra);
        let mut value = |at: usize| match u64::from(u32_at(entry, at)) {
            IN_EXTRA => wide.next().unwrap_or(u64::MAX),
            value => value,
        };
        // The extra field has them in this order: size, size as stored, place.
        let [bytes, stored, header_at] = [value(24), value(20), value(42)];
        let end = header_at.saturating_add(bytes);
        if bytes != stored || end > self.length {
            return Err(self.malformed(format!("a record of {bytes} bytes lies outside of it")));
        }
        Ok(Record {
            header_at,
            bytes,
            crc: u32_at(entry, 16),
        })
    }

    /// Bytes of the file; nothing is allocated for bytes that it has not.
    fn read_at(&self, at: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        if at.saturating_add(bytes) > self.length {
            return Err(self.malformed("it ends early".into()));
        }
        let mut file = self.file.borrow_mut();
        let mut read = || {
            let mut buffer = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.seek(SeekFrom::Start(at))?;
            file.by_ref().take(bytes).read_to_end(&mut buffer)?;
            Ok::<_, io::Error>(buffer)
        };
        let buffer = read().map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        if buffer.len() as u64 == bytes {
            return Ok(buffer);
        }
        Err(self.malformed("it ends early".into()))
    }

    pub(super) fn malformed(&self, message: String) -> Error {
        Error::Malformed {
            path: self.path.clone(),
            message,
        }
    }

    fn other_container(&self, start: &[u8]) -> Error {
        const PICKLE: u8 = 0x80;
        if start.first() == Some(&PICKLE) {
            return Error::Container {
                path: self.path.clone(),
                found: "the container of PyTorch before 1.6, or a bare pickle,",
            };
        }
        self.malformed("it does not start as one".into())
    }
}

/// The values of the extra field for sizes of 64 bits.
fn wide_values(mut extra: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let mut found: &[u8] = &[];
    while let Some((header, rest)) = extra.split_first_chunk::<4>() {
        let length = usize::from(u16_at(header, 2)).min(rest.len());
        if u16_at(header, 0) == EXTRA_64 {
            found = &rest[..length];
        }
        extra = &rest[length..];
    }
    found
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]))
}
