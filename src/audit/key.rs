//! The node's secret: signs where the log ends, and hashes identifiers for logs that must not carry them.

use super::{Error, files};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Hexadecimal digits of a link: 64 bits, so that a million studies share none.
const LINK_DIGITS: usize = 16;

/// Numbers with so many dots are UIDs; addresses have three at most.
const MIN_UID_DOTS: usize = 4;

/// 32 random bytes that nobody but the node knows.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::KeyExposed`] where others may read it (on Unix), [`Error::KeyMalformed`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        if is_exposed(path).map_err(Error::io(path))? {
            return Err(Error::KeyExposed { path: path.into() });
        }
        let bytes = <[u8; 32]>::try_from(bytes);
        let malformed = |_| Error::KeyMalformed { path: path.into() };
        Ok(Self(bytes.map_err(malformed)?))
    }

    /// Reads a key, or makes one where there is none; it is durable when this returns.
    ///
    /// # Errors
    /// Those of [`Key::load`].
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let bytes: [u8; 32] = rand::random();
        match files::create(path, &bytes) {
            // Another process was first.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            written => written.map(|()| Self(bytes)),
        }
    }

    /// What stands for an identifier in an ordinary log: the same for the same text on this node, and no way back.
    ///
    /// The first 16 hexadecimal digits of the HMAC-SHA-256 of `link` and the text.
    pub fn link(&self, text: &str) -> String {
        let mut link = self.sign("link", text);
        link.truncate(LINK_DIGITS);
        link
    }

    /// A message with the link of each UID in its place, for an ordinary log.
    pub fn linked(&self, message: &str) -> String {
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let (mut linked, mut number) = (String::new(), String::new());
        for c in message.chars().chain(['\0']) {
            if is_part(c) {
                number.push(c);
                continue;
            }
            let uid = number.trim_end_matches('.');
            match uid.matches('.').count() >= MIN_UID_DOTS {
                true => linked += &(self.link(uid) + &number[uid.len()..]),
                false => linked += &number,
            }
            number.clear();
            linked.push(c);
        }
        linked.truncate(linked.len() - 1);
        linked
    }

    /// HMAC-SHA-256 of a text for one purpose, hexadecimal.
    pub(super) fn sign(&self, purpose: &str, text: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        let mac = mac.chain_update(format!("{purpose} {text}"));
        hex(&mac.finalize().into_bytes())
    }
}

/// Tells nothing of the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_hmac_that_openssl_computes() {
        // printf 'link 1.2.840.1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01 (32 bytes)
        let key = Key([1; 32]);
        assert_eq!(key.link("1.2.840.1"), "2a109c22ca671bed");
        assert_ne!(key.link("1.2.840.2"), key.link("1.2.840.1"));
        assert_ne!(Key([2; 32]).link("1.2.840.1"), key.link("1.2.840.1"));
    }

    #[test]
    fn a_message_keeps_all_but_its_uids() {
        let key = Key([1; 32]);
        let linked = key.linked("127.0.0.1 took 2.5 s (study 1.2.840.1.1.5). See 1.2.840.1.1.5.");
        let link = key.link("1.2.840.1.1.5");
        let wanted = format!("127.0.0.1 took 2.5 s (study {link}). See {link}.");
        assert_eq!(linked, wanted);
        assert_eq!(key.linked(""), "");
    }

    #[test]
    fn a_key_is_made_once_and_its_owner_alone_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let first = Key::load_or_create(&path).unwrap();
        let again = Key::load_or_create(&path).unwrap();
        assert_eq!(first.link("a"), again.link("a"));
        assert!(!is_exposed(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let code = || Key::load_or_create(&path).expect_err("refused").code();
        Key::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(code(), "audit-key-exposed");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert_eq!(code(), "audit-key-malformed");
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Key([7; 32])), "Key(…)");
    }
}
