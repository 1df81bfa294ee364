//! Why a volume file was refused: what, where and what to do, never its name.

use crate::error::Class;
use crate::quote::quoted;

/// Why a volume file was refused. Names the header's field, never the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The operating system refused the file, or the compressed stream in it is damaged.
    #[error("cannot be read ({kind}); check that the file and its data file exist, and the disk")]
    Io {
        /// What the operating system or the decompressor said.
        kind: std::io::ErrorKind,
    },
    /// Neither a NIfTI-1 nor a MetaImage header.
    #[error("no NIfTI-1 or MetaImage file, by {what}; convert the volume again")]
    Malformed {
        /// What is not as it should be.
        what: &'static str,
    },
    /// A field of the header is missing, not finite, contradictory or impossible.
    #[error("{field} is {found:?}, {needed} needed; convert the volume again")]
    Field {
        /// Which, as the format names it.
        field: &'static str,
        /// The value as a message may show it.
        found: String,
        /// What would be right.
        needed: &'static str,
    },
    /// A valid value that this program does not handle.
    #[error("{field} is {found:?}, only {supported} supported")]
    Unsupported {
        /// Which, as the format names it.
        field: &'static str,
        /// The value as a message may show it.
        found: String,
        /// What is.
        supported: &'static str,
    },
    /// Nothing says which side is the patient's left.
    #[error(
        "neither sform nor qform is set, so left and right are unknown; convert the volume from DICOM again"
    )]
    NoOrientation,
    /// The file ends before its last voxel.
    #[error(
        "the data end before the {needed_bytes} bytes that the header declares; copy the file again"
    )]
    Truncated {
        /// Bytes of all voxels.
        needed_bytes: u64,
    },
    /// A data file of another length than its header declares.
    #[error("the data file holds {found_bytes} bytes, {needed_bytes} are declared; copy it again")]
    DataLength {
        /// Bytes of the data file after its own header.
        found_bytes: u64,
        /// Bytes of all voxels.
        needed_bytes: u64,
    },
    /// The volume is larger than allowed.
    #[error("{voxels} voxels, the limit is {limit}; raise input.max_voxels if there is memory")]
    TooManyVoxels {
        /// Of the whole volume.
        voxels: u64,
        /// The limit.
        limit: u64,
    },
    /// The machine has not enough memory for the volume.
    #[error("no memory for {voxels} voxels; close other programs")]
    OutOfMemory {
        /// Of the whole volume.
        voxels: u64,
    },
    /// A voxel that is not a number or that no CT can hold.
    #[error("a voxel is {found}, no Hounsfield unit; convert the volume again")]
    Voxel {
        /// The value as text.
        found: String,
    },
    /// A voxel of a label map that is no label.
    #[error(
        "a voxel is {found}, a label is a whole number from 0 to 65535; write the label map again"
    )]
    Label {
        /// The value as text.
        found: String,
    },
    /// The values are no HU: another modality, a label map, or a CT without its rescale.
    #[error(
        "fewer than 1 in 200 voxels are as low as lung or air, so the values are no Hounsfield units: \
         a label map, another modality, or a CT that lost its rescale"
    )]
    NotHounsfield,
    /// The file holds another volume than when it was read first.
    #[error("the file was changed while this program ran; run it again")]
    Changed,
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::OutOfMemory { .. } | Self::Changed | Self::Cancelled => {
                Class::Environment
            }
            Self::Unsupported { .. } | Self::NoOrientation | Self::NotHounsfield => {
                Class::Unsupported
            }
            Self::TooManyVoxels { .. } => Class::Limits,
            Self::Malformed { .. }
            | Self::Field { .. }
            | Self::Truncated { .. }
            | Self::DataLength { .. }
            | Self::Voxel { .. }
            | Self::Label { .. } => Class::Input,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "volume-file-io",
            Self::Malformed { .. } => "volume-file-malformed",
            Self::Field { .. } => "volume-file-field",
            Self::Unsupported { .. } => "volume-file-unsupported",
            Self::NoOrientation => "volume-file-no-orientation",
            Self::Truncated { .. } => "volume-file-truncated",
            Self::DataLength { .. } => "volume-file-length",
            Self::TooManyVoxels { .. } => "too-many-voxels",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::Voxel { .. } => "volume-file-voxel",
            Self::Label { .. } => "volume-file-label",
            Self::NotHounsfield => "volume-file-not-hounsfield",
            Self::Changed => "file-changed",
            Self::Cancelled => "cancelled",
        }
    }

    /// A failure of the file system or of the decompressor.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn io(error: std::io::Error) -> Self {
        Self::Io { kind: error.kind() }
    }

    /// A field of the header with a value that cannot be.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
    pub(super) fn field(field: &'static str, found: impl ToString, needed: &'static str) -> Self {
        Self::Field {
            field,
            found: quoted(&found.to_string()),
            needed,
        }
    }

    /// A field of the header with a value that is not handled.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
    pub(super) fn unsupported(
        field: &'static str,
        found: impl ToString,
        supported: &'static str,
    ) -> Self {
        Self::Unsupported {
            field,
            found: quoted(&found.to_string()),
            supported,
        }
    }
}

/// The values of a field as one text.
pub(super) fn list(values: impl IntoIterator<Item = impl ToString>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.join("\\")
}
