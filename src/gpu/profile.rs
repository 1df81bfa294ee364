//! Time spent in each kernel, measured by the GPU's own timestamps.

use super::{Error, Gpu, lock};

/// Time of one dispatch.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct KernelTime {
    /// The kernel's label.
    pub kernel: &'static str,
    /// Milliseconds between its first and its last invocation.
    pub ms: f64,
}

impl Gpu {
    /// Starts timing every dispatch; false where the adapter has no timestamps.
    ///
    /// Each pass then waits for its end, so a profiled run as a whole is slower.
    pub fn start_profile(&self) -> bool {
        let offered = self.info().timestamps;
        *lock(&self.shared.profile) = offered.then(Vec::new);
        offered
    }

    /// Stops timing; the dispatches since [`Gpu::start_profile`], in order.
    pub fn finish_profile(&self) -> Vec<KernelTime> {
        lock(&self.shared.profile).take().unwrap_or_default()
    }
}

/// Dispatches that one pass can time; later ones of the same pass are not timed.
const MAX_DISPATCHES: u32 = 512;

/// The timestamps of one pass.
#[derive(Debug)]
pub(super) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    kernels: Vec<&'static str>,
}

impl Timer {
    /// None unless the GPU is being profiled.
    pub(super) fn new(gpu: &Gpu) -> Result<Option<Self>, Error> {
        if lock(&gpu.shared.profile).is_none() {
            return Ok(None);
        }
        let timer = gpu.scoped("timestamps", |device| Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2 * MAX_DISPATCHES,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: u64::from(2 * MAX_DISPATCHES) * wgpu::QUERY_SIZE as u64,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            kernels: Vec::new(),
        })?;
        Ok(Some(timer))
    }

    /// Where the next dispatch writes its begin and end.
    pub(super) fn next(
        &mut self,
        kernel: &'static str,
    ) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let first = 2 * u32::try_from(self.kernels.len()).ok()?;
        if first >= 2 * MAX_DISPATCHES {
            return None;
        }
        self.kernels.push(kernel);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// Records copying the timestamps into a buffer.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Ok(count @ 1..) = u32::try_from(2 * self.kernels.len()) {
            encoder.resolve_query_set(&self.queries, 0..count, &self.resolved, 0);
        }
    }

    /// Waits for the pass and files its times.
    pub(super) fn collect(self, gpu: &Gpu) -> Result<(), Error> {
        if self.kernels.is_empty() {
            return Ok(());
        }
        let ticks: Vec<u64> = gpu.download_binding(super::Binding {
            buffer: &self.resolved,
            offset_bytes: 0,
            size_bytes: (2 * self.kernels.len() * size_of::<u64>()) as u64,
        })?;
        let tick_ns = f64::from(gpu.shared.queue.get_timestamp_period());
        let times = self.kernels.iter().zip(ticks.chunks_exact(2));
        let times = times.map(|(kernel, t)| KernelTime {
            kernel,
            ms: t[1].saturating_sub(t[0]) as f64 * tick_ns / 1e6,
        });
        if let Some(profile) = lock(&gpu.shared.profile).as_mut() {
            profile.extend(times);
        }
        Ok(())
    }
}
