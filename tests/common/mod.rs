//! What several test files need.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use hilum::config::{DeviceConfig, DeviceKind};
use hilum::gpu::{Compute, Gpu};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The GPU with poisoned outputs, for one test at a time: all work on a device belongs to one thread.
///
/// `None` without an adapter, said loudly; a failure with `REQUIRE_GPU=1`.
pub(crate) fn gpu() -> Option<MutexGuard<'static, Gpu>> {
    static GPU: OnceLock<Option<Mutex<Gpu>>> = OnceLock::new();
    let opened = GPU.get_or_init(|| {
        let config = DeviceConfig {
            kind: DeviceKind::Gpu,
            ..DeviceConfig::default()
        };
        match Compute::select(&config) {
            Ok((Compute::Gpu(gpu), _)) => Some(Mutex::new(gpu.with_poisoned_outputs())),
            Ok((Compute::Cpu, _)) => unreachable!("gpu never falls back"),
            Err(error) => {
                let required = std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1");
                assert!(!required, "REQUIRE_GPU=1 but {error}");
                println!("SKIPPED, NO KERNEL WAS TESTED: {error}");
                None
            }
        }
    });
    let gpu = opened.as_ref()?;
    Some(gpu.lock().unwrap_or_else(PoisonError::into_inner))
}
