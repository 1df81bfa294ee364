//! Passes: kernels recorded one after another, and sent to the GPU together.

use super::kernel::{Kernel, Pipeline, Variant, check_signature, groups};
use super::profile::Timer;
use super::{Binding, Error, Extent, Gpu};
use bytemuck::Pod;
use std::sync::Arc;

/// One kernel with its parameters and memory, ready to be recorded any number of times.
#[derive(Debug)]
pub struct Dispatch {
    label: &'static str,
    pipeline: Arc<Pipeline>,
    /// Keeps the buffers alive.
    group: wgpu::BindGroup,
    groups: [u32; 3],
}

/// Work that was sent to the GPU.
#[derive(Debug, Clone)]
pub struct Submission(pub(super) wgpu::SubmissionIndex);

impl Dispatch {
    /// `buffers` are bindings 1, 2, … in order.
    ///
    /// # Errors
    /// [`Error::Signature`] when parameters or buffers do not fit the kernel; [`Error::DispatchTooLarge`];
    /// [`Error::Rejected`] when the kernel does not compile or a binding is out of bounds.
    pub fn new<P: Pod>(
        gpu: &Gpu,
        (kernel, variant): (&'static Kernel, &Variant),
        params: &P,
        buffers: &[Binding<'_>],
        extent: Extent,
    ) -> Result<Self, Error> {
        check_signature(gpu, kernel, size_of::<P>(), buffers)?;
        let groups = groups(kernel, extent, gpu.max_groups())?;
        let pipeline = gpu.pipeline(kernel, variant)?;
        let uniform = gpu.filled(
            kernel.label,
            wgpu::BufferUsages::UNIFORM,
            bytemuck::bytes_of(params),
        )?;
        let group = gpu.bind(kernel.label, &pipeline.layout, &uniform, buffers)?;
        Ok(Self {
            label: kernel.label,
            pipeline,
            group,
            groups,
        })
    }
}

/// Kernels recorded one after another into one command encoder; nothing runs before [`Pass::submit`].
#[derive(Debug)]
pub struct Pass<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    timer: Option<Timer>,
}

impl<'a> Pass<'a> {
    /// An empty pass.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Rejected`].
    pub fn new(gpu: &'a Gpu) -> Result<Self, Error> {
        let encoder = gpu.scoped("a pass", |device| {
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        })?;
        let timer = Timer::new(gpu)?;
        Ok(Self {
            gpu,
            encoder,
            timer,
        })
    }

    /// The GPU it records for.
    pub fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// Records one kernel. `buffers` are bindings 1, 2, … in order.
    ///
    /// # Errors
    /// As [`Dispatch::new`].
    pub fn dispatch<P: Pod>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        buffers: &[Binding<'_>],
        extent: Extent,
    ) -> Result<(), Error> {
        let variant = Variant::default();
        let dispatch = Dispatch::new(self.gpu, (kernel, &variant), params, buffers, extent)?;
        self.run(&dispatch);
        Ok(())
    }

    /// Records a dispatch that was prepared before.
    pub fn run(&mut self, dispatch: &Dispatch) {
        let [x, y, z] = dispatch.groups;
        if x * y * z == 0 {
            return;
        }
        let timestamps = self.timer.as_mut().and_then(|t| t.next(dispatch.label));
        let mut pass = self
            .encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(dispatch.label),
                timestamp_writes: timestamps,
            });
        pass.set_pipeline(&dispatch.pipeline.pipeline);
        pass.set_bind_group(0, &dispatch.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }

    /// Records filling a binding with zero bytes.
    pub fn clear(&mut self, target: Binding<'_>) {
        let Binding {
            buffer,
            offset_bytes,
            size_bytes,
        } = target;
        self.encoder
            .clear_buffer(buffer, offset_bytes, Some(size_bytes));
    }

    /// Sends everything recorded to the GPU; returns before it is done.
    ///
    /// # Errors
    /// [`Error::Rejected`], [`Error::OutOfMemory`], [`Error::Lost`].
    pub fn submit(mut self) -> Result<Submission, Error> {
        let gpu = self.gpu;
        if let Some(timer) = &self.timer {
            timer.resolve(&mut self.encoder);
        }
        let index = gpu.scoped("submitting a pass", |_| {
            gpu.shared.queue.submit([self.encoder.finish()])
        })?;
        if let Some(timer) = self.timer {
            timer.collect(gpu)?;
        }
        Ok(Submission(index))
    }
}
