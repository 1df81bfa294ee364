//! Matrix units of a GPU, as far as WGSL reaches them: `enable wgpu_cooperative_matrix`.

use super::{Gpu, Storage};
use wgpu::CooperativeScalarType::{F16, F32};

/// What a shader needs of a device to multiply matrices.
pub(super) const FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SUBGROUP);

/// Square matrices that the invocations of a subgroup multiply together: factors of 16 bits, sums of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrices {
    /// Rows and columns: 8 or 16.
    pub size: usize,
    /// Invocations of a subgroup at most.
    pub subgroup_size: usize,
}

/// Matrices that an adapter multiplies, the larger first; none but through Vulkan, where kernels may load four values at once.
pub(super) fn offered(adapter: &wgpu::Adapter) -> Vec<Matrices> {
    let info = adapter.get_info();
    if info.backend != wgpu::Backend::Vulkan || !adapter.features().contains(FEATURES) {
        return Vec::new();
    }
    let properties = adapter.cooperative_matrix_properties();
    let subgroup_size = info.subgroup_max_size as usize;
    let mut offered: Vec<Matrices> = properties
        .iter()
        .filter(|p| p.m_size == p.n_size && p.m_size == p.k_size)
        .filter(|p| p.ab_type == F16 && p.cr_type == F32)
        .map(|p| Matrices {
            size: p.m_size as usize,
            subgroup_size,
        })
        .collect();
    offered.sort_by_key(|matrices| std::cmp::Reverse(matrices.size));
    offered
}

impl Gpu {
    /// Matrices where this GPU has some and they cost no precision: where activations have 16 bits anyway.
    pub fn matrices(&self) -> Option<Matrices> {
        let used = self.uses_matrices && self.storage == Storage::F16;
        self.shared.matrices.first().copied().filter(|_| used)
    }

    /// The same GPU without its matrix units.
    pub fn without_matrices(&self) -> Self {
        Self {
            uses_matrices: false,
            ..self.clone()
        }
    }
}
