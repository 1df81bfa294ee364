//! The convolution on a GPU's matrix units, where it has some: its tiles, and its weights as it reads them.

use super::conv::{Method, Params};
use super::tile::{INVOCATIONS, QUAD_BYTES, Shape};
use super::weights::Weights;
use super::{QUAD, quads};
use crate::gpu::{Access, Error, Gpu, Kernel, Matrices, Storage};

/// `shaders/conv_matrix.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "conv-matrix",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/conv_matrix.wgsl"),
    ),
    constants: &[
        ("KERNEL_Z", 3),
        ("KERNEL_Y", 3),
        ("KERNEL_X", 3),
        ("STRIDE_Z", 1),
        ("STRIDE_Y", 1),
        ("STRIDE_X", 1),
        ("MATRIX", 16),
        ("SUBGROUPS", 8),
        ("TILE_Z", 4),
        ("TILE_Y", 4),
        ("BLOCK_N", 4),
        ("DEPTH", 4),
        ("PITCH", 6),
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
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
};

/// Output channels of a workgroup at most: their sums lie in registers.
const MAX_CHANNELS: usize = 64;
/// Bytes between the channels of two staged voxels, so that the lines of a matrix lie in different banks.
const PADDING_BYTES: usize = 16;

/// How a layer is cut into workgroups, and those into subgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    /// Rows and columns of a matrix.
    matrix: usize,
    /// Lines of `matrix` positions along z and y.
    lines: [usize; 2],
    /// Subgroups that share the lines.
    subgroups: usize,
    /// Matrices of output channels.
    block_n: usize,
    /// Input quads staged at once.
    depth: usize,
    /// Quads from one staged voxel to the next.
    pitch: usize,
}

/// This kernel for a layer; `None` where the GPU has no matrices, or they would mostly multiply zeros, or do not fit.
///
/// # Errors
/// [`Error::BufferTooLarge`], [`Error::OutOfMemory`].
pub(super) fn method(
    gpu: &Gpu,
    shape: &Shape,
    weights: &Weights<'_>,
) -> Result<Option<Method>, Error> {
    let Some(matrices) = gpu.matrices() else {
        return Ok(None);
    };
    let limit_bytes = gpu.workgroup_bytes();
    let tile = Tile::choose(matrices, shape, weights.quads_in(), limit_bytes);
    let Some((tile, words)) = tile.and_then(|tile| {
        let packed = tile.packed(shape, weights);
        Some((tile, words(packed, matrices.operands)?))
    }) else {
        return Ok(None);
    };
    let bias: Vec<[f32; QUAD]> = weights.bias().collect();
    let [z, y] = tile.lines;
    Ok(Some(Method {
        kernel: &KERNEL,
        constants: vec![
            ("MATRIX", tile.matrix),
            ("SUBGROUPS", tile.subgroups),
            ("TILE_Z", z),
            ("TILE_Y", y),
            ("BLOCK_N", tile.block_n),
            ("DEPTH", tile.depth),
            ("PITCH", tile.pitch),
        ],
        tile: [z, y, tile.matrix],
        columns: tile.columns(),
        parameters: vec![
            gpu.upload("weights", &words)?,
            gpu.upload("bias", &bytemuck::cast_vec(bias))?,
        ],
    }))
}

impl Tile {
    /// The first tile that fits in `limit_bytes` of workgroup memory.
    fn choose(
        matrices: Matrices,
        shape: &Shape,
        quads_in: usize,
        limit_bytes: usize,
    ) -> Option<Self> {
        let least = matrices.size / QUAD / 2;
        if quads_in < least || shape.columns < least {
            return None;
        }
        let mut tiles = Self::table(matrices, shape, quads_in);
        tiles.find(|tile| tile.bytes(shape, matrices.operands) <= limit_bytes)
    }

    /// Tiles in the order of preference.
    ///
    /// Many lines use each weight most often. A kernel of one tap computes little for what it stages, so it stages more
    /// channels between two barriers.
    fn table(matrices: Matrices, shape: &Shape, quads_in: usize) -> impl Iterator<Item = Self> {
        let Matrices { size, operands, .. } = matrices;
        let available = INVOCATIONS / matrices.subgroup_size;
        let wanted = (shape.columns * QUAD).div_ceil(size);
        let groups = wanted.div_ceil(MAX_CHANNELS / size);
        let least = size / QUAD;
        let most = if shape.kernel[1] * shape.kernel[2] == 1 {
            8
        } else {
            4
        };
        let depths = [most, least].map(|depth| depth.min(quads_in.next_multiple_of(least)));
        let lines = [[4, 8], [4, 4], [2, 4], [2, 2], [1, 2], [1, 1]];
        let few = move |[z, y]: &[usize; 2]| z * y <= available.max(16);
        lines.into_iter().filter(few).flat_map(move |lines| {
            depths.into_iter().map(move |depth| Self {
                matrix: size,
                lines,
                subgroups: available.min(lines[0] * lines[1]),
                block_n: wanted.div_ceil(groups),
                depth,
                pitch: depth + PADDING_BYTES / (QUAD * operands.bytes()),
            })
        })
    }

    /// Columns of one workgroup.
    fn columns(&self) -> usize {
        self.block_n * self.matrix / QUAD
    }

    /// Workgroup memory, as `shaders/conv_matrix.wgsl` declares it.
    fn bytes(&self, shape: &Shape, operands: Storage) -> usize {
        let [z, y] = self.lines;
        let rows = (y - 1) * shape.stride[1] + shape.kernel[1];
        let line = (self.matrix - 1) * shape.stride[2] + shape.kernel[2];
        let sums = (z * y * self.matrix * self.matrix / QUAD).max(INVOCATIONS);
        z * rows * line * self.pitch * QUAD * operands.bytes() + sums * QUAD_BYTES
    }

    /// `[group][quads in][z][matrix in][y][x][matrix out][channel in]` of the four output channels of each column.
    fn packed(&self, shape: &Shape, weights: &Weights<'_>) -> Vec<[f32; QUAD]> {
        let Self { matrix, depth, .. } = *self;
        let [taps_z, taps_y, taps_x] = shape.kernel;
        let plane = taps_y * taps_x;
        let mut packed = Vec::new();
        for first_column in (0..shape.columns).step_by(self.columns()) {
            for first_quad in (0..weights.quads_in()).step_by(depth) {
                for step in 0..taps_z * (depth * QUAD / matrix) * plane * self.block_n {
                    let (n, step) = (step % self.block_n, step / self.block_n);
                    let (tap, step) = (step % plane, step / plane);
                    let (k, tap_z) = (
                        step % (depth * QUAD / matrix),
                        step / (depth * QUAD / matrix),
                    );
                    let quad = first_quad + k * matrix / QUAD;
                    let column = first_column + n * matrix / QUAD;
                    for row in 0..matrix {
                        packed.extend((0..quads(matrix)).map(|own| {
                            let column = column + own;
                            if column >= shape.columns {
                                return [0.0; QUAD];
                            }
                            let from = [quad + row / QUAD, row % QUAD];
                            weights.quad(column, from, tap_z * plane + tap)
                        }));
                    }
                }
            }
        }
        packed
    }
}

/// As the kernel stores them; `None` where a weight is beyond what 16 bits hold.
fn words(packed: Vec<[f32; QUAD]>, operands: Storage) -> Option<Vec<u32>> {
    if operands == Storage::F32 {
        return Some(bytemuck::cast_vec(packed));
    }
    let half = |value: f32| {
        let half = half::f16::from_f32(value);
        half.is_finite().then(|| u32::from(half.to_bits()))
    };
    let word = |pair: &[f32]| Some(half(pair[0])? | half(pair[1])? << 16);
    let values: Vec<f32> = bytemuck::cast_vec(packed);
    values.chunks_exact(2).map(word).collect()
}
