//! Why the engine refused.

use crate::error::Class;

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The instruction set that was asked for is another CPU's.
    #[error(
        "this CPU has no {wanted} instructions, or this program was built for another kind of CPU; it has {available}"
    )]
    InstructionsMissing {
        /// As the configuration calls it.
        wanted: &'static str,
        /// Those that can be asked for, likewise.
        available: String,
    },
    /// Strides that do not divide the patch.
    #[error("a patch of {size:?} voxels (z, y, x); multiples of {multiple:?} are needed")]
    PatchSize {
        /// Size of the patch.
        size: [usize; 3],
        /// Product of the network's strides.
        multiple: [usize; 3],
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::InstructionsMissing { .. } => Class::Environment,
            Self::PatchSize { .. } => Class::Config,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InstructionsMissing { .. } => "instructions-missing",
            Self::PatchSize { .. } => "patch-size",
        }
    }
}
