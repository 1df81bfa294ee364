//! A place in the log, in a small file that is signed: where it ends, or up to where it was sent.

use super::record::NO_HASH;
use super::{Break, Error, Key, files};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// Just behind a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The record's number; 0 before the first.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: String,
    /// Where the next line begins, bytes.
    pub(super) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(flatten)]
    position: Position,
    hmac: String,
}

impl Position {
    /// Before the first record.
    pub(super) fn start() -> Self {
        Self {
            seq: 0,
            hash: NO_HASH.into(),
            bytes: 0,
        }
    }

    /// Reads and checks a position; `None` where there is no file.
    pub(super) fn load(path: &Path, key: &Key) -> Result<Option<Self>, Error> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io(path))?,
        };
        let signed = serde_json::from_slice::<Signed>(&text).ok();
        let signed = signed.filter(|s| s.hmac == s.position.signature(path, key));
        let forged = || Error::Broken {
            path: path.into(),
            found: Break::HeadForged,
        };
        Ok(Some(signed.ok_or_else(forged)?.position))
    }

    /// Replaces the file; durable when this returns.
    pub(super) fn store(&self, path: &Path, key: &Key) -> Result<(), Error> {
        let signed = Signed {
            position: self.clone(),
            hmac: self.signature(path, key),
        };
        let text = serde_json::to_vec(&signed).expect("numbers and texts are JSON");
        files::replace(path, &text)
    }

    /// One file's position does not pass for another's: its name is signed too.
    fn signature(&self, path: &Path, key: &Key) -> String {
        let Self { seq, hash, bytes } = self;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        key.sign(&name, &format!("{seq} {hash} {bytes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{HEAD, KEY, SENT};

    #[test]
    fn a_position_that_was_changed_or_belongs_to_another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::load_or_create(&dir.path().join(KEY)).unwrap();
        let (head, sent) = (dir.path().join(HEAD), dir.path().join(SENT));
        assert_eq!(Position::load(&head, &key).unwrap(), None);
        let position = Position {
            seq: 7,
            ..Position::start()
        };
        position.store(&head, &key).unwrap();
        assert_eq!(Position::load(&head, &key).unwrap(), Some(position));

        let text = fs::read_to_string(&head).unwrap();
        fs::write(&sent, &text).unwrap();
        fs::write(&head, text.replace("\"seq\":7", "\"seq\":6")).unwrap();
        for path in [&head, &sent] {
            let error = Position::load(path, &key).expect_err("forged");
            assert_eq!(error.code(), "audit-broken");
        }
    }
}
