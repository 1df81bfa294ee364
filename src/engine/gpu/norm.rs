//! Instance norm: from the statistics of a layer's tiles to what normalises its output where the next layer stages it.

use super::{narrow, quad_of, quads};
use crate::engine::NormParams;
use crate::gpu::{Access, Binding, Buffer, Dispatch, Error, Extent, Gpu, Kernel, Variant, params};

params! {
    /// Mirrors `Params` in `shaders/norm.wgsl`.
    struct Params {
        tiles: u32,
        first: u32,
        quads: u32,
        epsilon: f32,
    }
}

/// `shaders/norm.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "norm",
    source: include_str!("../../../shaders/norm.wgsl"),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::Read, Access::ReadWrite],
};

/// Gamma and beta of one layer, in GPU memory.
#[derive(Debug)]
pub(super) struct Norm {
    affine: Buffer<[f32; 4]>,
    quads: usize,
    epsilon: f32,
}

impl Norm {
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn new(gpu: &Gpu, params: &NormParams<'_>) -> Result<Self, Error> {
        #![expect(
            clippy::cast_possible_truncation,
            reason = "a constant with few digits"
        )]
        let quads = quads(params.gamma.len());
        let of = |values| (0..quads).map(move |quad| quad_of(values, quad));
        let affine: Vec<[f32; 4]> = of(params.gamma).chain(of(params.beta)).collect();
        Ok(Self {
            affine: gpu.upload("gamma and beta", &affine)?,
            quads,
            epsilon: params.epsilon as f32,
        })
    }

    /// Fills `norms` from its entry `first` on; `statistics` holds `tiles` entries for each quad.
    ///
    /// # Errors
    /// As [`Dispatch::new`].
    pub(super) fn dispatch(
        &self,
        gpu: &Gpu,
        (statistics, tiles): (Binding<'_>, usize),
        (norms, first): (Binding<'_>, usize),
    ) -> Result<Dispatch, Error> {
        let params = Params {
            tiles: narrow(tiles),
            first: narrow(first),
            quads: narrow(self.quads),
            epsilon: self.epsilon,
        };
        let buffers = [statistics, self.affine.binding(), norms];
        let extent = Extent::Groups([self.quads, 1, 1]);
        Dispatch::new(
            gpu,
            (&KERNEL, &Variant::default()),
            &params,
            &buffers,
            extent,
        )
    }
}
