//! The GPU: choosing an adapter, running kernels, and saying in coded errors what went wrong.
//!
//! Comes in: a device choice. Goes out: [`Compute`]. Refused: a GPU that is not there, buffers beyond its limits.
//! All work on one [`Gpu`] is done from one thread: wgpu's error scopes and burn's streams both belong to a thread.

mod buffer;
mod burn;
mod kernel;
mod profile;
mod select;

pub use buffer::{Binding, Buffer};
pub use burn::TensorMemory;
pub(crate) use kernel::params;
pub use kernel::{Access, Extent, Grid, Kernel, ParamsLayout, Pass};
pub use profile::KernelTime;
pub use select::{AdapterInfo, AdapterKind, adapters};

use crate::error::Class;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the numbers are crunched. Chosen once, by [`Compute::select`].
#[derive(Debug, Clone)]
pub enum Compute {
    /// On a GPU, through wgpu.
    Gpu(Gpu),
    /// On the CPU.
    Cpu,
}

/// An open GPU: wgpu's device and queue, shared with burn. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    binding_limit_bytes: u64,
    poisons_outputs: bool,
}

#[derive(Debug)]
struct Shared {
    info: AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    burn: ::burn::tensor::Device,
    pipelines: Mutex<HashMap<&'static str, Arc<kernel::Pipeline>>>,
    profile: Mutex<Option<Vec<KernelTime>>>,
    /// The first error that no scope caught, most likely from burn's own thread.
    fault: Arc<Mutex<Option<Error>>>,
}

impl Gpu {
    /// The adapter this GPU was opened on.
    pub fn info(&self) -> &AdapterInfo {
        &self.shared.info
    }

    /// burn's device on the same wgpu device and queue.
    pub fn burn_device(&self) -> &::burn::tensor::Device {
        &self.shared.burn
    }

    /// The most bytes that one storage binding may hold.
    pub fn binding_limit_bytes(&self) -> u64 {
        self.binding_limit_bytes
    }

    /// The same GPU with a smaller binding limit, so that small volumes go in slabs too.
    pub fn with_binding_limit_bytes(&self, bytes: u64) -> Self {
        Self {
            binding_limit_bytes: bytes.min(self.binding_limit_bytes),
            ..self.clone()
        }
    }

    /// The same GPU whose output buffers start as garbage, to test that kernels write all of them.
    pub fn with_poisoned_outputs(&self) -> Self {
        Self {
            poisons_outputs: true,
            ..self.clone()
        }
    }

    /// Whether this is a software rasteriser.
    pub fn is_software(&self) -> bool {
        self.shared.info.kind == AdapterKind::Software
    }

    /// Waits until everything submitted so far, burn's work included, is done.
    ///
    /// # Errors
    /// What went wrong on the device since the last call: [`Error::Lost`], [`Error::OutOfMemory`], [`Error::Rejected`].
    /// Results read before this returned `Ok` must not be trusted.
    pub fn wait(&self) -> Result<(), Error> {
        let synced = burn::sync(&self.shared.burn);
        let polled = self
            .shared
            .device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| Error::Lost {
                reason: e.to_string(),
            });
        self.check()?;
        polled.and(synced)
    }

    /// The first error since the last check that no scope caught.
    ///
    /// # Errors
    /// That error; it is then forgotten, so that a smaller tile can be tried after [`Error::OutOfMemory`].
    pub fn check(&self) -> Result<(), Error> {
        let mut fault = lock(&self.shared.fault);
        fault.take().map_or(Ok(()), Err)
    }

    /// Runs burn work, waits for it, and turns burn's panics and device errors into coded errors.
    ///
    /// # Errors
    /// As [`Gpu::wait`], or [`Error::Rejected`] with burn's own words.
    pub fn guard<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        self.wait()?;
        caught.map_err(|panic| Error::Rejected {
            what: "a burn operation".into(),
            reason: panic_message(panic.as_ref()),
        })
    }

    /// Runs wgpu calls of this thread and returns the first error that they caused.
    fn scoped<T>(&self, what: &str, calls: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Error> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let device = &self.shared.device;
        let [memory, validation, internal] =
            [OutOfMemory, Validation, Internal].map(|f| device.push_error_scope(f));
        let value = calls(device);
        // The guards must pop in the reverse order of their push.
        let [internal, validation, memory] =
            [internal, validation, memory].map(|scope| burn::block_on(scope.pop()));
        match memory.or(validation).or(internal) {
            Some(error) => Err(Error::from_wgpu(what, &error)),
            None => Ok(value),
        }
    }
}

/// A mutex whose holder panicked still guards valid data here: every update is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

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
    /// wgpu or burn refused a call: a defect of this program or of the driver.
    #[error("the GPU refused {what}: {reason}")]
    Rejected {
        /// Which step.
        what: String,
        /// wgpu's or burn's words.
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
    fn from_wgpu(what: &str, error: &wgpu::Error) -> Self {
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
            Self::NoAdapter { .. } | Self::Open { .. } | Self::Lost { .. } => Class::Environment,
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
            Self::BufferTooLarge { .. } => "gpu-buffer-too-large",
            Self::DispatchTooLarge { .. } => "gpu-dispatch-too-large",
            Self::OutOfMemory { .. } => "gpu-out-of-memory",
            Self::Lost { .. } => "gpu-lost",
            Self::Rejected { .. } => "gpu-rejected",
            Self::Signature { .. } => "gpu-kernel-signature",
        }
    }
}
