//! Output UIDs, derived so that the same run names the same objects.

use sha2::{Digest, Sha256};

/// Root of UIDs made from UUIDs (PS3.5 B.2).
const UUID_ROOT: &str = "2.25.";

/// Names this implementation in files and associations (PS3.7 D.3.3.2); fixed for good.
pub(crate) const IMPLEMENTATION_CLASS_UID: &str = "2.25.205480918262347590317642208855710983421";

/// Whether `uid` is a UID by PS3.5 9.1: digits and dots, no leading zeros, at most 64 characters.
///
/// UIDs from files become folder names, so nothing else may pass.
pub fn is_valid(uid: &str) -> bool {
    let component = |c: &str| {
        !c.is_empty() && c.bytes().all(|b| b.is_ascii_digit()) && (c == "0" || !c.starts_with('0'))
    };
    uid.len() <= 64 && uid.contains('.') && uid.split('.').all(component)
}

/// Derives UIDs from everything that decides the output: inputs, model, parameters and version.
#[derive(Debug, Clone)]
pub struct UidSource {
    digest: [u8; 32],
}

impl UidSource {
    /// `parts` are hashed in order, each with its length, so no two lists collide by concatenation.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self {
            digest: hash.finalize().into(),
        }
    }

    /// The UID of one `role` (`"sr"`, `"seg/1"`, `"lesion/3"`), the same for the same source.
    pub fn uid(&self, role: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.digest);
        hash.update(role.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        format!(
            "{UUID_ROOT}{}",
            uuid::Builder::from_custom_bytes(bytes)
                .into_uuid()
                .as_u128()
        )
    }

    /// Hex digest that identifies the run.
    pub fn run_id(&self) -> String {
        self.digest.iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_uids_are_valid_and_depend_on_every_part() {
        let a = UidSource::new(["1.2", "model"]);
        assert_eq!(a.uid("sr"), UidSource::new(["1.2", "model"]).uid("sr"));
        assert!(is_valid(&a.uid("sr")));
        assert_ne!(a.uid("sr"), a.uid("seg/1"));
        assert_ne!(a.uid("sr"), UidSource::new(["1.2m", "odel"]).uid("sr"));
    }

    #[test]
    fn paths_and_malformed_uids_are_not_valid() {
        for bad in [
            "",
            "1",
            "..",
            "../1.2",
            "1..2",
            "1.02",
            "1.2.",
            ".1",
            "1.2/3",
            &"1.".repeat(40),
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
        assert!(is_valid("1.2.840.10008.5.1.4.1.1.2"));
    }
}
