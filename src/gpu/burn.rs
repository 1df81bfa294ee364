//! burn's device on our wgpu device, and a burn tensor's memory as a binding for our kernels.
//!
//! The one file with burn's low-level calls, which change between its releases.

use super::{Binding, Error, Gpu};
use burn::backend::wgpu::{CubeTensor, Wgpu, WgpuSetup};
use burn::cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use burn::tensor::{DType, ExecutionError};

pub(super) use burn::tensor::{Device, Tensor};

/// Runs a future to its end on this thread; wgpu's are ready at once outside the browser.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    burn::cubecl::future::block_on(future)
}

/// Lets burn work on an opened wgpu device. Its kernels are compiled from WGSL: SPIR-V passthrough is not built in.
pub(super) fn register(
    adapter: wgpu::Adapter,
    device: &wgpu::Device,
    queue: &wgpu::Queue,
) -> Result<Device, String> {
    let setup = WgpuSetup {
        instance: super::select::instance().clone(),
        backend: adapter.get_info().backend,
        adapter,
        device: device.clone(),
        queue: queue.clone(),
    };
    let registered = Device::wgpu_options().setup(setup).init();
    registered.map_err(|e| e.to_string())
}

/// Waits for burn's work.
pub(super) fn sync(device: &Device) -> Result<(), Error> {
    device.sync().map_err(|e| from_burn(&e))
}

/// Hands burn's recorded kernels to the queue, so that ours run after them.
pub(super) fn flush(device: &Device) -> Result<(), Error> {
    device.flush().map_err(|e| from_burn(&e))
}

fn from_burn(error: &ExecutionError) -> Error {
    Error::Rejected {
        what: "a burn operation".into(),
        reason: error.reason().to_string(),
    }
}

/// The memory behind a burn tensor of `f32`, kept alive while this value lives.
///
/// Several tensors may lie in one wgpu buffer, so kernels declare every such binding `read_write`.
#[derive(Debug)]
pub struct TensorMemory {
    resource: WgpuResource,
    elements: usize,
    _tensor: CubeTensor,
}

impl Gpu {
    /// A new tensor of undefined content, and its memory for a kernel to fill.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`], [`Error::OutOfMemory`], [`Error::Rejected`].
    pub fn tensor<const D: usize>(
        &self,
        shape: [usize; D],
    ) -> Result<(Tensor<D>, TensorMemory), Error> {
        let elements: usize = shape.iter().product();
        self.checked_bytes::<f32>("a tensor", elements)?;
        let tensor = self.caught(|| Tensor::<D>::empty(shape, self.burn_device()))?;
        let memory = self.tensor_memory(&tensor)?;
        Ok((tensor, memory))
    }

    /// The memory of a tensor that lives on this GPU, in `[.., z, y, x]` order without gaps.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the tensor lives elsewhere, is not `f32`, or is a view with strides.
    pub fn tensor_memory<const D: usize>(&self, tensor: &Tensor<D>) -> Result<TensorMemory, Error> {
        let refused = |reason: String| Error::Rejected {
            what: "a tensor's memory".into(),
            reason,
        };
        let cube: CubeTensor = tensor
            .clone()
            .try_into_primitive::<Wgpu>()
            .map_err(|e| refused(format!("{e:?}")))?;
        if cube.dtype != DType::F32 || !cube.is_contiguous() {
            return Err(refused(format!("{cube:?} is not plain f32 without gaps")));
        }
        let handle = cube.handle.clone();
        let managed = self
            .caught(|| cube.client.get_resource::<WgpuServer<AutoCompiler>>(handle))?
            .map_err(|e| refused(e.to_string()))?;
        Ok(TensorMemory {
            resource: managed.resource().clone(),
            elements: tensor.shape().num_elements(),
            _tensor: cube,
        })
    }
}

impl TensorMemory {
    /// The whole tensor as a binding.
    pub fn binding(&self) -> Binding<'_> {
        self.slice(0, self.elements)
    }

    /// `count` elements from element `first` on.
    pub fn slice(&self, first: usize, count: usize) -> Binding<'_> {
        let bytes = |n: usize| (n * size_of::<f32>()) as u64;
        Binding {
            buffer: &self.resource.buffer,
            offset_bytes: self.resource.offset + bytes(first),
            size_bytes: bytes(count),
        }
    }
}
