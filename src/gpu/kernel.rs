//! Kernels: WGSL with its signature, compiled once a GPU and variant.

#![expect(unsafe_code, reason = "kernels without bounds checks")]

use super::cache::Cache;
use super::{Binding, Error, Gpu, lock};
use bytemuck::{Pod, Zeroable};
use std::sync::Arc;

/// One entry point of a shader, and what its host file promises about it; `tests/shaders.rs` holds both together.
#[derive(Debug)]
pub struct Kernel {
    /// Unique name, for errors, timings and the pipeline cache.
    pub label: &'static str,
    /// WGSL, shared files first; [`Kernel::wgsl`] completes it.
    pub source: &'static str,
    /// Constants that the source leaves open, with values that are valid for any GPU. A kernel with a constant `MATRIX`
    /// multiplies matrices of so many rows and columns, of which [`Gpu::matrices`] tells.
    pub constants: &'static [(&'static str, u32)],
    /// Compiled without bounds checks: its host file checks every length, and its loops end.
    pub unchecked: bool,
    /// Name of the `@compute` function.
    pub entry_point: &'static str,
    /// Invocations a group, x y z.
    pub workgroup_size: [u32; 3],
    /// Layout of `Params`, the uniform at binding 0.
    pub params: ParamsLayout,
    /// Storage buffers from binding 1 on: inputs, then outputs.
    pub buffers: &'static [Access],
}

/// What a kernel is compiled for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How activations are stored: the shader's `Quad`.
    pub storage: Storage,
    /// Values of the kernel's constants, in place of those that it names itself.
    pub constants: Vec<(&'static str, u32)>,
}

/// How activations are stored; sums are always 32 bits wide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, three decimal digits.
    F16,
}

impl Storage {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

impl Kernel {
    /// The WGSL to be compiled: `Quad`, the types of matrices and the constants, then the source.
    pub fn wgsl(&self, variant: &Variant) -> String {
        let value = |&(name, default): &(&'static str, u32)| {
            let chosen = variant.constants.iter().find(|(own, _)| *own == name);
            (name, chosen.map_or(default, |(_, value)| *value))
        };
        let constants: Vec<_> = self.constants.iter().map(value).collect();
        let matrix = constants.iter().find(|(name, _)| *name == "MATRIX");
        let (enable, scalar) = match variant.storage {
            Storage::F32 => ("", "f32"),
            Storage::F16 => ("enable f16;\n", "f16"),
        };
        let mut text = enable.to_owned();
        if let Some((_, n)) = matrix {
            text += "enable wgpu_cooperative_matrix;\n";
            text += &format!("alias Left = coop_mat{n}x{n}<{scalar}, A>;\n");
            text += &format!("alias Right = coop_mat{n}x{n}<{scalar}, B>;\n");
            text += &format!("alias Sums = coop_mat{n}x{n}<f32, C>;\n");
        }
        text += &format!("alias Quad = vec4<{scalar}>;\n");
        for (name, value) in constants {
            text += &format!("const {name}: u32 = {value}u;\n");
        }
        text + self.source
    }
}

/// How a kernel uses a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// Size of a Rust parameter struct and where its members lie, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamsLayout {
    /// Size.
    pub size: usize,
    /// Name and offset, in order.
    pub members: &'static [(&'static str, usize)],
}

/// Defines a kernel's parameter struct as `#[repr(C)]` plain data with its `LAYOUT`.
macro_rules! params {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        $visibility struct $name { $($field: $type),+ }

        impl $name {
            $visibility const LAYOUT: $crate::gpu::ParamsLayout = $crate::gpu::ParamsLayout {
                size: size_of::<Self>(),
                members: &[$((stringify!($field), std::mem::offset_of!(Self, $field))),+],
            };
        }
    };
}
pub(crate) use params;

/// Size of a grid as shaders see it; mirrors `Grid` in `shaders/shared/grid.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Grid {
    /// Voxels along x, y, z.
    size: [u32; 3],
    _pad0: u32,
}

impl Grid {
    /// From a size in `[z, y, x]`.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`] when the voxels cannot be numbered in 32 bits.
    pub fn new(size: [usize; 3]) -> Result<Self, Error> {
        let voxels = size.iter().try_fold(1_usize, |n, &s| n.checked_mul(s));
        let fits = voxels.and_then(|n| u32::try_from(n).ok());
        let [z, y, x] = size.map(|n| u32::try_from(n).ok());
        match (fits, x, y, z) {
            (Some(_), Some(x), Some(y), Some(z)) => Ok(Self {
                size: [x, y, z],
                _pad0: 0,
            }),
            _ => Err(Error::BufferTooLarge {
                what: format!("a grid of {size:?} voxels"),
                bytes: voxels.map_or(u64::MAX, |n| n as u64),
                limit_bytes: u64::from(u32::MAX),
            }),
        }
    }
}

/// How many invocations a dispatch needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One a voxel of a `[z, y, x]` grid, by `global_invocation_id`.
    Voxels([usize; 3]),
    /// One an element, folded over two dimensions; the shader counts with `linear_id` of `shared/grid.wgsl`.
    Linear(usize),
    /// So many groups along x, y, z.
    Groups([usize; 3]),
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    pub(super) fn max_groups(&self) -> u32 {
        self.shared
            .device
            .limits()
            .max_compute_workgroups_per_dimension
    }

    pub(super) fn pipeline(
        &self,
        kernel: &'static Kernel,
        variant: &Variant,
    ) -> Result<Arc<Pipeline>, Error> {
        let key = (kernel.label, variant.clone());
        if let Some(known) = lock(&self.shared.pipelines).get(&key) {
            return Ok(Arc::clone(known));
        }
        let source = kernel.wgsl(variant);
        let cache = self.shared.cache.as_ref().map(Cache::driver);
        let compiled = self.scoped(kernel.label, |device| {
            compile(device, kernel, &source, cache)
        })?;
        let compiled = Arc::new(compiled);
        lock(&self.shared.pipelines).insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    pub(super) fn bind(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        uniform: &wgpu::Buffer,
        buffers: &[Binding<'_>],
    ) -> Result<wgpu::BindGroup, Error> {
        let storage = buffers.iter().map(|b| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: b.buffer,
                offset: b.offset_bytes,
                size: std::num::NonZeroU64::new(b.size_bytes),
            })
        });
        let entries: Vec<_> = std::iter::once(uniform.as_entire_binding())
            .chain(storage)
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        self.scoped(label, |device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout,
                entries: &entries,
            })
        })
    }
}

/// The layout is spelled out, not derived: an entry point may leave buffers of its file unused.
fn compile(
    device: &wgpu::Device,
    kernel: &Kernel,
    source: &str,
    cache: Option<&wgpu::PipelineCache>,
) -> Pipeline {
    let label = Some(kernel.label);
    let storage = |access: &Access| wgpu::BufferBindingType::Storage {
        read_only: *access == Access::Read,
    };
    let entries: Vec<_> = std::iter::once(wgpu::BufferBindingType::Uniform)
        .chain(kernel.buffers.iter().map(storage))
        .zip(0..)
        .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label,
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        ..Default::default()
    });
    let descriptor = wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    let module = if kernel.unchecked {
        // SAFETY: the kernel's host file checks the lengths that its indices follow from, and every loop of it ends;
        // tests compare it with its reference on poisoned memory.
        unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        }
    } else {
        device.create_shader_module(descriptor)
    };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(kernel.entry_point),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: !kernel.unchecked,
            ..Default::default()
        },
        cache,
    });
    Pipeline { pipeline, layout }
}

pub(super) fn check_signature(
    gpu: &Gpu,
    kernel: &'static Kernel,
    params_size: usize,
    buffers: &[Binding<'_>],
) -> Result<(), Error> {
    let wrong = |reason: String| {
        Err(Error::Signature {
            kernel: kernel.label,
            reason,
        })
    };
    if params_size != kernel.params.size {
        let wanted = kernel.params.size;
        return wrong(format!(
            "{params_size} bytes of parameters, {wanted} wanted"
        ));
    }
    if buffers.len() != kernel.buffers.len() {
        let (found, wanted) = (buffers.len(), kernel.buffers.len());
        return wrong(format!("{found} buffers, {wanted} wanted"));
    }
    let alignment = gpu
        .shared
        .device
        .limits()
        .min_storage_buffer_offset_alignment;
    for (b, i) in buffers.iter().zip(1..) {
        if b.offset_bytes % u64::from(alignment) != 0 {
            let offset = b.offset_bytes;
            return wrong(format!(
                "binding {i} starts at byte {offset}, not at a multiple of {alignment}"
            ));
        }
        if b.size_bytes > gpu.binding_limit_bytes() {
            return Err(Error::BufferTooLarge {
                what: format!("binding {i} of {}", kernel.label),
                bytes: b.size_bytes,
                limit_bytes: gpu.binding_limit_bytes(),
            });
        }
    }
    Ok(())
}

/// Workgroups along x, y, z.
pub(super) fn groups(kernel: &Kernel, extent: Extent, limit: u32) -> Result<[u32; 3], Error> {
    let limit_u64 = u64::from(limit);
    let size = kernel.workgroup_size.map(u64::from);
    let wanted = match extent {
        Extent::Groups(groups) => groups.map(|n| n as u64),
        Extent::Voxels([z, y, x]) => [
            (x as u64).div_ceil(size[0]),
            (y as u64).div_ceil(size[1]),
            (z as u64).div_ceil(size[2]),
        ],
        Extent::Linear(n) => {
            let groups = (n as u64).div_ceil(size.iter().product());
            let x = groups.min(limit_u64);
            [x, groups.div_ceil(x.max(1)), 1]
        }
    };
    match wanted.map(|n| u32::try_from(n).ok().filter(|&n| n <= limit)) {
        [Some(x), Some(y), Some(z)] => Ok([x, y, z]),
        _ => Err(Error::DispatchTooLarge {
            what: kernel.label.to_string(),
            groups: wanted,
            limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: Kernel = Kernel {
        label: "test",
        source: "",
        constants: &[],
        unchecked: false,
        entry_point: "main",
        workgroup_size: [256, 1, 1],
        params: ParamsLayout {
            size: 0,
            members: &[],
        },
        buffers: &[],
    };

    #[test]
    fn linear_work_beyond_one_dimension_is_folded_into_the_second() {
        let groups = |n| groups(&LINEAR, Extent::Linear(n), 65_535);
        assert_eq!(groups(0).expect("fits"), [0, 0, 1]);
        assert_eq!(groups(257).expect("fits"), [2, 1, 1]);
        assert_eq!(groups(65_535 * 256).expect("fits"), [65_535, 1, 1]);
        assert_eq!(groups(65_535 * 256 + 1).expect("fits"), [65_535, 2, 1]);
    }

    #[test]
    fn a_grid_beyond_the_limit_of_a_dimension_is_refused() {
        let error = groups(&LINEAR, Extent::Voxels([65_536, 1, 1]), 65_535).expect_err("z");
        assert_eq!(error.code(), "gpu-dispatch-too-large");
    }

    #[test]
    fn a_grid_whose_voxels_exceed_32_bits_is_refused() {
        assert!(Grid::new([1 << 11, 1 << 11, 1 << 10]).is_err());
        assert!(Grid::new([usize::MAX, 2, 1]).is_err());
        assert!(Grid::new([1 << 11, 1 << 11, 1 << 9]).is_ok());
    }
}
