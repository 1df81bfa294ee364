//! Which adapter to open, and opening it.

#![expect(unsafe_code, reason = "matrices are an experimental feature of wgpu")]

use super::cache::Cache;
use super::{Compute, Error, Faults, Gpu, Shared, Storage, lock, matrices};
use crate::config::{DeviceConfig, DeviceKind, MatrixUnits, Precision};
use crate::warning::Warning;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// One instance for the life of the process: the Vulkan loader crashes when instances come and go on several threads.
static INSTANCE: LazyLock<wgpu::Instance> = LazyLock::new(|| {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
});

/// An adapter as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AdapterInfo {
    /// Name, as `device.adapter` may quote a part of it.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// Graphics API: `vulkan`, `metal` or `dx12`.
    pub api: String,
    /// Driver name and version.
    pub driver: String,
    /// The most bytes that one storage binding may hold.
    pub binding_limit_bytes: u64,
    /// Whether kernels can be timed on the device.
    pub timestamps: bool,
}

/// What an adapter is; in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// A GPU with its own memory.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A part of a GPU handed to a virtual machine.
    Virtual,
    /// The driver does not say.
    Other,
    /// A software rasteriser: right results, slow.
    Software,
}

/// Every adapter of this machine, the preferred first.
pub fn adapters() -> Vec<AdapterInfo> {
    found().iter().map(describe).collect()
}

impl Compute {
    /// Opens the device that the configuration asks for, and sets how networks store their activations there.
    ///
    /// `auto` takes a hardware GPU or, with [`Warning::CpuFallback`], the CPU; `gpu` takes any adapter, and names a
    /// software one in [`Warning::SoftwareAdapter`]. Among several, the first whose name contains `adapter`.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] or [`Error::Open`], for `gpu` alone: it never falls back. [`Error::NoHalf`].
    pub fn select(config: &DeviceConfig) -> Result<(Self, Vec<Warning>), Error> {
        let (compute, warnings) = Self::open(config)?;
        let storage = match config.precision {
            Precision::F32 => Storage::F32,
            Precision::F16 => Storage::F16,
        };
        match compute {
            Self::Gpu(gpu) => Ok((Self::Gpu(gpu.with_storage(storage)?), warnings)),
            Self::Cpu => Ok((Self::Cpu, warnings)),
        }
    }

    fn open(config: &DeviceConfig) -> Result<(Self, Vec<Warning>), Error> {
        match config.kind {
            DeviceKind::Cpu => Ok((Self::Cpu, Vec::new())),
            DeviceKind::Gpu => {
                let gpu = open_first(config, |_| true)?;
                let adapter = gpu.info().name.clone();
                let software = gpu.is_software();
                let warning = software.then_some(Warning::SoftwareAdapter { adapter });
                Ok((Self::Gpu(gpu), warning.into_iter().collect()))
            }
            DeviceKind::Auto => match open_first(config, |a| a.kind != AdapterKind::Software) {
                Ok(gpu) => Ok((Self::Gpu(gpu), Vec::new())),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "Running on the CPU.");
                    Ok((Self::Cpu, vec![Warning::CpuFallback]))
                }
            },
        }
    }
}

fn found() -> Vec<wgpu::Adapter> {
    let mut found = pollster::block_on(INSTANCE.enumerate_adapters(wgpu::Backends::PRIMARY));
    found.sort_by_key(|adapter| describe(adapter).kind);
    found
}

fn describe(adapter: &wgpu::Adapter) -> AdapterInfo {
    let info = adapter.get_info();
    let limits = adapter.limits();
    AdapterInfo {
        name: info.name,
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::Other => AdapterKind::Other,
        },
        api: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_string(),
        binding_limit_bytes: binding_limit_bytes(&limits),
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
    }
}

fn binding_limit_bytes(limits: &wgpu::Limits) -> u64 {
    limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
}

fn open_first(config: &DeviceConfig, accept: impl Fn(&AdapterInfo) -> bool) -> Result<Gpu, Error> {
    let wanted = &config.adapter;
    let adapters = found();
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let chosen = adapters.into_iter().find(|adapter| {
        let info = describe(adapter);
        info.name.contains(wanted.as_str()) && accept(&info)
    });
    let no_adapter = || Error::NoAdapter {
        wanted: wanted.clone(),
        found: names,
    };
    open(&chosen.ok_or_else(no_adapter)?, config.matrices)
}

fn open(adapter: &wgpu::Adapter, units: MatrixUnits) -> Result<Gpu, Error> {
    let info = describe(adapter);
    let failed = |reason: String| Error::Open {
        adapter: info.name.clone(),
        reason,
    };
    let matrices = match units {
        MatrixUnits::Auto => matrices::offered(adapter),
        MatrixUnits::Off => Vec::new(),
    };
    // Kernels choose by what the adapter can do, so the device offers all of that.
    let mut features = adapter
        .features()
        .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
        .difference(wgpu::Features::all_experimental_mask());
    let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
    if !matrices.is_empty() {
        features |= matrices::FEATURES;
        // SAFETY: of experimental features the matrices alone are required. Their kernel computes every address from
        // lengths that its host checked, and tests compare it with its reference.
        experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let request = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("hilum"),
        required_features: features,
        experimental_features,
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    });
    let (device, queue) = pollster::block_on(request).map_err(|e| failed(e.to_string()))?;
    let faults = watch(&device);
    let cache = Cache::open(&device, &adapter.get_info());
    Ok(Gpu {
        binding_limit_bytes: info.binding_limit_bytes,
        poisons_outputs: false,
        storage: Storage::F32,
        uses_matrices: true,
        shared: Arc::new(Shared {
            info,
            matrices,
            device,
            queue,
            cache,
            pipelines: Mutex::new(HashMap::new()),
            profile: Mutex::new(None),
            faults,
        }),
    })
}

/// Keeps what happens outside every error scope for [`Gpu::check`].
fn watch(device: &wgpu::Device) -> Arc<Faults> {
    let faults = Arc::new(Faults::default());
    let known = Arc::clone(&faults);
    device.set_device_lost_callback(move |reason, message| {
        known.lost.get_or_init(|| format!("{reason:?}: {message}"));
    });
    let known = Arc::clone(&faults);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        if known.lost.get().is_some() {
            return;
        }
        lock(&known.first).get_or_insert(Error::from_wgpu("earlier work", &error));
    }));
    faults
}
