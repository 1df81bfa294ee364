//! The GPU: choosing an adapter, running kernels, and saying in coded errors what went wrong.
//!
//! Comes in: a device choice. Goes out: [`Compute`]. Refused: a GPU that is not there, buffers beyond its limits.
//! All work on one [`Gpu`] is done from one thread: wgpu's error scopes belong to a thread.

mod buffer;
mod cache;
mod error;
mod kernel;
mod matrices;
mod pass;
mod profile;
mod select;

pub use buffer::{Binding, Buffer};
pub use error::Error;
pub(crate) use kernel::params;
pub use kernel::{Access, Extent, Grid, Kernel, ParamsLayout, Storage, Variant};
pub use matrices::Matrices;
pub use pass::{Dispatch, Pass, Submission};
pub use profile::KernelTime;
pub use select::{AdapterInfo, AdapterKind, adapters};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where the numbers are crunched. Chosen once, by [`Compute::select`].
#[derive(Debug, Clone)]
pub enum Compute {
    /// On a GPU, through wgpu.
    Gpu(Gpu),
    /// On the CPU.
    Cpu,
}

/// An open GPU: wgpu's device and queue. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    binding_limit_bytes: u64,
    poisons_outputs: bool,
    storage: Storage,
    uses_matrices: bool,
}

#[derive(Debug)]
struct Shared {
    info: AdapterInfo,
    matrices: Vec<Matrices>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    cache: Option<cache::Cache>,
    pipelines: Mutex<HashMap<(&'static str, Variant), Arc<kernel::Pipeline>>>,
    profile: Mutex<Option<Vec<KernelTime>>>,
    faults: Arc<Faults>,
}

/// What went wrong outside every error scope.
#[derive(Debug, Default)]
struct Faults {
    /// Why the device was lost; nothing works after that.
    lost: OnceLock<String>,
    /// The first error since the last check.
    first: Mutex<Option<Error>>,
}

impl Gpu {
    /// The adapter this GPU was opened on.
    pub fn info(&self) -> &AdapterInfo {
        &self.shared.info
    }

    /// The most bytes that one storage binding may hold.
    pub fn binding_limit_bytes(&self) -> u64 {
        self.binding_limit_bytes
    }

    /// How networks store their activations.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The same GPU, on which networks store their activations otherwise.
    ///
    /// # Errors
    /// [`Error::NoHalf`]
    pub fn with_storage(&self, storage: Storage) -> Result<Self, Error> {
        let features = self.shared.device.features();
        if storage == Storage::F16 && !features.contains(wgpu::Features::SHADER_F16) {
            let adapter = self.info().name.clone();
            return Err(Error::NoHalf { adapter });
        }
        Ok(Self {
            storage,
            ..self.clone()
        })
    }

    /// The most bytes of memory that the invocations of one workgroup may share.
    pub fn workgroup_bytes(&self) -> usize {
        self.shared
            .device
            .limits()
            .max_compute_workgroup_storage_size as usize
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

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// What went wrong on the device since the last call: [`Error::Lost`], [`Error::OutOfMemory`], [`Error::Rejected`].
    /// Results read before this returned `Ok` must not be trusted.
    pub fn wait(&self) -> Result<(), Error> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    /// Waits until `submission` is done.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub fn wait_for(&self, submission: &Submission) -> Result<(), Error> {
        self.poll(wgpu::PollType::Wait {
            submission_index: Some(submission.0.clone()),
            timeout: None,
        })
    }

    fn poll(&self, until: wgpu::PollType) -> Result<(), Error> {
        let polled = self.scoped("waiting", |device| device.poll(until));
        self.check()?;
        polled?.map(|_| ()).map_err(|e| Error::Lost {
            reason: e.to_string(),
        })
    }

    /// What went wrong since the last check outside our own calls.
    ///
    /// # Errors
    /// [`Error::Lost`], from then on for ever; or the first error, which is then forgotten, so that a smaller tile can
    /// be tried after [`Error::OutOfMemory`].
    pub fn check(&self) -> Result<(), Error> {
        let faults = &self.shared.faults;
        let first = lock(&faults.first).take();
        match (faults.lost.get(), first) {
            (Some(reason), _) => Err(Error::Lost {
                reason: reason.clone(),
            }),
            (None, Some(first)) => Err(first),
            (None, None) => Ok(()),
        }
    }

    /// On a lost device every call fails in its own way; says that it was lost.
    fn lost_or(&self, error: Error) -> Error {
        // The loss is announced while polling; that this fails too is no news.
        let _failed = self.shared.device.poll(wgpu::PollType::Poll);
        self.check().err().unwrap_or(error)
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
            [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        match memory.or(validation).or(internal) {
            Some(error) => Err(self.lost_or(Error::from_wgpu(what, &error))),
            None => Ok(value),
        }
    }
}

/// A mutex whose holder panicked still guards valid data here: every update is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A GPU of its own for a test that uses one; `None` without an adapter, said loudly, a failure with `REQUIRE_GPU=1`.
#[cfg(test)]
pub(crate) fn for_tests() -> Option<Gpu> {
    let config = crate::config::DeviceConfig {
        kind: crate::config::DeviceKind::Gpu,
        ..Default::default()
    };
    match Compute::select(&config) {
        Ok((Compute::Gpu(gpu), _)) => Some(gpu),
        other => {
            let required = std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "REQUIRE_GPU=1 but {other:?}");
            println!("SKIPPED, NO GPU: {other:?}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_is_a_coded_error() {
        let Some(gpu) = for_tests() else { return };
        let buffer = gpu.upload("values", &[1.0_f32]).expect("uploads");
        gpu.shared.device.destroy();
        let error = gpu.download(&buffer).expect_err("destroyed");
        assert_eq!(error.code(), "gpu-lost", "{error}");
    }

    #[test]
    fn a_kernel_that_does_not_compile_is_a_coded_error() {
        static BROKEN: Kernel = Kernel {
            label: "broken",
            source: "fn main() { return 1; }",
            constants: &[],
            unchecked: false,
            entry_point: "main",
            workgroup_size: [1, 1, 1],
            params: ParamsLayout {
                size: 16,
                members: &[],
            },
            buffers: &[],
        };
        let Some(gpu) = for_tests() else { return };
        let mut pass = Pass::new(&gpu).expect("pass");
        let error = pass
            .dispatch(&BROKEN, &[0_u32; 4], &[], Extent::Linear(1))
            .expect_err("no WGSL");
        assert_eq!(error.code(), "gpu-rejected");
    }

    #[test]
    fn every_timed_dispatch_is_named() {
        static IDLE: Kernel = Kernel {
            label: "idle",
            source: "@compute @workgroup_size(1) fn main() {}",
            constants: &[],
            unchecked: false,
            entry_point: "main",
            workgroup_size: [1, 1, 1],
            params: ParamsLayout {
                size: 16,
                members: &[],
            },
            buffers: &[],
        };
        let Some(gpu) = for_tests() else { return };
        if !gpu.start_profile() {
            println!("SKIPPED: no timestamps on {}", gpu.info().name);
            return;
        }
        let mut pass = Pass::new(&gpu).expect("pass");
        for _ in 0..2 {
            pass.dispatch(&IDLE, &[0_u32; 4], &[], Extent::Linear(1))
                .expect("records");
        }
        pass.submit().expect("runs");
        let times = gpu.finish_profile();
        assert_eq!(times.len(), 2);
        assert!(times.iter().all(|t| t.kernel == "idle" && t.ms >= 0.0));
        assert!(gpu.finish_profile().is_empty());
    }
}
