//! Texts that a person wrote, and hashes of files.

use super::Error;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Read`], also for what is no UTF-8; [`Error::Limit`].
pub(super) fn read(path: &Path, limit: u64) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
    if text.len() as u64 > limit {
        return Err(Error::Limit {
            path: path.into(),
            what: "a text of so many bytes",
            limit,
        });
    }
    Ok(text)
}

/// SHA-256 of a file as lower-case hex.
///
/// # Errors
/// [`Error::Read`].
pub(super) fn sha256(path: &Path) -> Result<String, Error> {
    const CHUNK_BYTES: usize = 1 << 20;
    let hash = || {
        let mut digest = Sha256::new();
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(digest.finalize());
            }
            digest.update(chunk);
            let bytes = chunk.len();
            reader.consume(bytes);
        }
    };
    let digest = hash().map_err(|source: std::io::Error| Error::Read {
        path: path.into(),
        source,
    })?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
