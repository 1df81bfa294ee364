//! Why the GPU cannot be used or did not finish.

use crate::error::Class;

/// Why the GPU cannot be used or did not finish.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No adapter fits the choice.
    #[error(
        "no GPU{} found (there: {}); use --device cpu, or name one that `hilum devices` lists",
        if wanted.is_empty() { String::new() } else { format!(" named like {wanted:?}") },
        if found.is_empty() { "none".into() } else { found.join(", ") }
    )]
    NoAdapter {
        /// The substring asked for, empty for any.
        wanted: String,
        /// Names of the adapters that are there.
        found: Vec<String>,
    },
    /// The adapter is there but gives no device.
    #[error("the GPU {adapter} cannot be opened: {reason}; use --device cpu")]
    Open {
        /// Its name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The adapter has no numbers of 16 bits.
    #[error("the GPU {adapter} has no 16-bit numbers; use precision f32")]
    NoHalf {
        /// Its name.
        adapter: String,
    },
    /// A buffer exceeds what one binding or one buffer may hold.
    #[error("{what} needs {bytes} bytes of GPU memory in one piece; this GPU allows {limit_bytes}")]
    BufferTooLarge {
        /// Which buffer.
        what: String,
        /// Needed.
        bytes: u64,
        /// Allowed.
        limit_bytes: u64,
    },
    /// More work than one dispatch takes.
    #[error("{what} needs {groups:?} workgroups; this GPU allows {limit} a dimension")]
    DispatchTooLarge {
        /// Which kernel.
        what: String,
        /// Needed, x y z.
        groups: [u64; 3],
        /// Allowed in each dimension.
        limit: u32,
    },
    /// The GPU has no memory left.
    #[error(
        "out of GPU memory at {what}; close other programs that use the GPU, or use --device cpu"
    )]
    OutOfMemory {
        /// During which step.
        what: String,
    },
    /// The device stopped: driver reset, watchdog or unplugged.
    #[error("the GPU was lost ({reason}); try again, or use --device cpu")]
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// wgpu refused a call: a defect of this program or of the driver.
    #[error("the GPU refused {what}: {reason}")]
    Rejected {
        /// Which step.
        what: String,
        /// wgpu's words.
        reason: String,
    },
    /// A kernel was handed memory that does not fit its signature: a defect of this program.
    #[error("kernel {kernel}: {reason}")]
    Signature {
        /// The kernel's label.
        kernel: &'static str,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    pub(super) fn from_wgpu(what: &str, error: &wgpu::Error) -> Self {
        let what = what.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => Self::OutOfMemory { what },
            wgpu::Error::Validation { description, .. }
            | wgpu::Error::Internal { description, .. } => {
                let reason = description.clone();
                Self::Rejected { what, reason }
            }
        }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::NoAdapter { .. }
            | Self::Open { .. }
            | Self::NoHalf { .. }
            | Self::Lost { .. } => Class::Environment,
            Self::BufferTooLarge { .. }
            | Self::DispatchTooLarge { .. }
            | Self::OutOfMemory { .. } => Class::Limits,
            Self::Rejected { .. } | Self::Signature { .. } => Class::Internal,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAdapter { .. } => "gpu-not-found",
            Self::Open { .. } => "gpu-not-opened",
            Self::NoHalf { .. } => "gpu-no-f16",
            Self::BufferTooLarge { .. } => "gpu-buffer-too-large",
            Self::DispatchTooLarge { .. } => "gpu-dispatch-too-large",
            Self::OutOfMemory { .. } => "gpu-out-of-memory",
            Self::Lost { .. } => "gpu-lost",
            Self::Rejected { .. } => "gpu-rejected",
            Self::Signature { .. } => "gpu-kernel-signature",
        }
    }
}
