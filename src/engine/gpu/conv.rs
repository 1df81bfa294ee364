//! A convolution, or a transposed one whose kernel is its stride, by the kernel that suits it and the GPU.

use super::matrix;
use super::tile::{Shape, Tile};
use super::tuning::Tuned;
use super::weights::Weights;
use super::{QUAD, narrow, quads, voxels};
use crate::engine::ConvParams;
use crate::gpu::{
    Access, Binding, Buffer, Dispatch, Error, Extent, Gpu, Grid, Kernel, Storage, Variant, params,
};

params! {
    /// Mirrors `Params` in `shaders/conv3d.wgsl` and in `shaders/conv_matrix.wgsl`.
    pub(super) struct Params {
        positions: Grid,
        input_grid: Grid,
        tiles: [u32; 3],
        columns: u32,
        up: [u32; 3],
        _pad0: u32,
        quads_a: u32,
        quads_b: u32,
        norm_a: u32,
        norm_b: u32,
        slope_a: f32,
        slope_b: f32,
        first_tile_z: u32,
        _pad1: u32,
    }
}

/// `shaders/conv3d.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "conv3d",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/conv3d.wgsl"),
    ),
    constants: &[
        ("KERNEL_Z", 3),
        ("KERNEL_Y", 3),
        ("KERNEL_X", 3),
        ("STRIDE_Z", 1),
        ("STRIDE_Y", 1),
        ("STRIDE_X", 1),
        ("CHANNELS_IN", 4),
        ("TILE_Z", 4),
        ("TILE_Y", 8),
        ("RUN", 8),
        ("DEPTH", 1),
        ("WITH_STATISTICS", 1),
    ],
    unchecked: true,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
};

/// Work of one dispatch and of one submission, so that a slow GPU's watchdog does not end it.
pub(super) const MAX_FLOP: f64 = 64e9;

/// A layer in GPU memory, ready for any size.
#[derive(Debug)]
pub(super) struct Conv {
    shape: Shape,
    method: Method,
    /// By how much the output is larger along z, y, x: 1, or a transposed convolution's stride.
    up: [usize; 3],
    /// Quads of each input.
    quads_in: Vec<usize>,
    channels: [usize; 2],
}

/// A kernel for a layer, and the layer's parameters as the kernel reads them.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) kernel: &'static Kernel,
    /// Values of its constants but those of [`Shape`] and of [`Plan`].
    pub(super) constants: Vec<(&'static str, usize)>,
    /// Positions of one workgroup along z, y, x.
    pub(super) tile: [usize; 3],
    /// Columns of one workgroup.
    pub(super) columns: usize,
    pub(super) parameters: Vec<Buffer<u32>>,
}

/// One input of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) quads: Binding<'a>,
    /// First of its entries in the norms.
    pub(super) norm: usize,
    /// Of the leaky ReLU below zero; 1 where it is not activated.
    pub(super) slope: f32,
}

/// How a layer runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How activations are stored.
    pub(super) storage: Storage,
    /// Whether a norm follows.
    pub(super) with_statistics: bool,
    /// Work of one dispatch at most, where the tiles along z allow that.
    pub(super) max_flop: f64,
}

/// Memory that a layer writes, and what normalises its inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) norms: Binding<'a>,
    pub(super) output: Binding<'a>,
    pub(super) statistics: Binding<'a>,
}

impl Conv {
    /// `channels_in`: of each input, one or two; together those of the weights.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`] where the weights, or a tile of the kernel, exceed what the GPU allows;
    /// [`Error::OutOfMemory`].
    pub(super) fn new(
        (gpu, tuned): (&Gpu, &Tuned),
        params: &ConvParams<'_>,
        transposed: bool,
        channels_in: &[usize],
    ) -> Result<Self, Error> {
        let taps_up = if transposed { voxels(params.stride) } else { 1 };
        let total: usize = channels_in.iter().sum();
        let shape = Shape {
            kernel: if transposed { [1; 3] } else { params.kernel },
            stride: if transposed { [1; 3] } else { params.stride },
            channels_in: total.min(QUAD),
            columns: quads(params.bias.len()) * taps_up,
        };
        let weights = Weights::new(params, transposed, channels_in);
        let method = match matrix::method(gpu, &shape, &weights)? {
            Some(method) => method,
            None => plain(gpu, tuned, &shape, &weights)?,
        };
        Ok(Self {
            shape,
            method,
            up: if transposed { params.stride } else { [1; 3] },
            quads_in: channels_in
                .iter()
                .map(|channels| quads(*channels))
                .collect(),
            channels: [total, params.bias.len()],
        })
    }

    /// Its shape, where its tile can be chosen.
    pub(super) fn shape(&self) -> Option<Shape> {
        let is_plain = self.method.kernel.label == KERNEL.label;
        is_plain.then_some(self.shape)
    }

    /// Positions of the kernel for an input of `size_in` voxels.
    fn positions(&self, size_in: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| (size_in[axis] - 1) / self.shape.stride[axis] + 1)
    }

    /// Size of the output for an input of `size_in` voxels.
    pub(super) fn size_out(&self, size_in: [usize; 3]) -> [usize; 3] {
        let positions = self.positions(size_in);
        [0, 1, 2].map(|axis| positions[axis] * self.up[axis])
    }

    /// Tiles along z, y, x.
    fn tiles(&self, size_in: [usize; 3]) -> [usize; 3] {
        let positions = self.positions(size_in);
        [0, 1, 2].map(|axis| positions[axis].div_ceil(self.method.tile[axis]))
    }

    /// Tiles for which statistics are left, for each quad.
    pub(super) fn tile_count(&self, size_in: [usize; 3]) -> usize {
        voxels(self.tiles(size_in))
    }

    /// Entries of the statistics, four floats each.
    pub(super) fn statistics_len(&self, size_in: [usize; 3]) -> usize {
        3 * self.shape.columns * self.tile_count(size_in)
    }

    /// Floating-point operations.
    pub(super) fn flop(&self, size_in: [usize; 3]) -> f64 {
        let [channels_in, channels_out] = self.channels;
        let positions = voxels(self.positions(size_in)) * voxels(self.up);
        2.0 * (channels_in * channels_out * voxels(self.shape.kernel) * positions) as f64
    }

    /// The layer as dispatches, with their share of work.
    ///
    /// # Errors
    /// As [`Dispatch::new`]; [`Error::Signature`] where a binding has another length than the sizes say.
    pub(super) fn dispatches(
        &self,
        gpu: &Gpu,
        plan: Plan,
        (inputs, size_in): (&[Input<'_>], [usize; 3]),
        memory: Memory<'_>,
    ) -> Result<Vec<(Dispatch, f64)>, Error> {
        self.check(plan, (inputs, size_in), memory)?;
        let [tiles_z, tiles_y, tiles_x] = self.tiles(size_in);
        let second = inputs.get(1).unwrap_or(&inputs[0]);
        let flop = self.flop(size_in);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive count"
        )]
        let parts = ((flop / plan.max_flop).ceil() as usize).clamp(1, tiles_z);
        let part = tiles_z.div_ceil(parts);
        let variant = self.variant(plan);
        let parameters = self.method.parameters.iter().map(Buffer::binding);
        let buffers: Vec<Binding<'_>> = [inputs[0].quads, second.quads, memory.norms]
            .into_iter()
            .chain(parameters)
            .chain([memory.output, memory.statistics])
            .collect();
        let dispatch = |first: usize| {
            let params = Params {
                positions: Grid::new(self.positions(size_in))?,
                input_grid: Grid::new(size_in)?,
                tiles: [tiles_x, tiles_y, tiles_z].map(narrow),
                columns: narrow(self.shape.columns),
                up: [self.up[2], self.up[1], self.up[0]].map(narrow),
                _pad0: 0,
                quads_a: narrow(self.quads_in[0]),
                quads_b: narrow(self.quads_in.get(1).copied().unwrap_or(0)),
                norm_a: narrow(inputs[0].norm),
                norm_b: narrow(second.norm),
                slope_a: inputs[0].slope,
                slope_b: second.slope,
                first_tile_z: narrow(first),
                _pad1: 0,
            };
            let own = part.min(tiles_z - first);
            let columns = self.shape.columns.div_ceil(self.method.columns);
            let extent = Extent::Groups([tiles_x * tiles_y, own, columns]);
            let kernel = (self.method.kernel, &variant);
            let dispatch = Dispatch::new(gpu, kernel, &params, &buffers, extent)?;
            Ok((dispatch, flop * own as f64 / tiles_z as f64))
        };
        (0..tiles_z).step_by(part).map(dispatch).collect()
    }

    fn variant(&self, plan: Plan) -> Variant {
        let [kernel, stride] = [self.shape.kernel, self.shape.stride];
        let constants = [
            ("KERNEL_Z", kernel[0]),
            ("KERNEL_Y", kernel[1]),
            ("KERNEL_X", kernel[2]),
            ("STRIDE_Z", stride[0]),
            ("STRIDE_Y", stride[1]),
            ("STRIDE_X", stride[2]),
            ("WITH_STATISTICS", usize::from(plan.with_statistics)),
        ];
        let constants = constants.iter().chain(&self.method.constants);
        Variant {
            storage: plan.storage,
            constants: constants
                .map(|&(name, value)| (name, narrow(value)))
                .collect(),
        }
    }

    /// The kernel is compiled without bounds checks: the lengths that its indices follow from are checked here.
    fn check(
        &self,
        plan: Plan,
        (inputs, size_in): (&[Input<'_>], [usize; 3]),
        memory: Memory<'_>,
    ) -> Result<(), Error> {
        let quad_bytes = QUAD * plan.storage.bytes();
        let size_out = voxels(self.positions(size_in)) * voxels(self.up);
        let quads_out = quads(self.channels[1]);
        let mut fits = inputs.len() == self.quads_in.len()
            && memory.output.size_bytes() == (quads_out * size_out * quad_bytes) as u64;
        for (input, quads) in inputs.iter().zip(&self.quads_in) {
            fits &= input.quads.size_bytes() == (quads * voxels(size_in) * quad_bytes) as u64;
            fits &= memory.norms.size_bytes() >= ((input.norm + 3 * quads) * 4 * QUAD) as u64;
        }
        if plan.with_statistics {
            let bytes = (self.statistics_len(size_in) * 4 * QUAD) as u64;
            fits &= memory.statistics.size_bytes() >= bytes && self.up == [1; 3];
        }
        if fits {
            return Ok(());
        }
        Err(Error::Signature {
            kernel: self.method.kernel.label,
            reason: format!("a buffer has another length than {size_in:?} voxels need"),
        })
    }
}

/// The kernel of every GPU.
fn plain(gpu: &Gpu, tuned: &Tuned, shape: &Shape, weights: &Weights<'_>) -> Result<Method, Error> {
    let limit_bytes = gpu.workgroup_bytes();
    let tile = tuned.tile(gpu.storage(), shape, limit_bytes);
    let tile = tile.or_else(|| Tile::choose(shape, limit_bytes));
    let tile = tile.ok_or_else(|| Error::BufferTooLarge {
        what: format!("a tile of a kernel of {:?}", shape.kernel),
        bytes: limit_bytes as u64 + 1,
        limit_bytes: limit_bytes as u64,
    })?;
    let mut packed = weights.by_column(shape.columns, shape.channels_in);
    packed.extend(weights.bias());
    Ok(Method {
        kernel: &KERNEL,
        constants: vec![
            ("CHANNELS_IN", shape.channels_in),
            ("TILE_Z", tile.z),
            ("TILE_Y", tile.y),
            ("RUN", tile.run),
            ("DEPTH", tile.depth),
        ],
        tile: tile.size(),
        columns: tile.columns(),
        parameters: vec![gpu.upload("weights", &bytemuck::cast_vec(packed))?],
    })
}
