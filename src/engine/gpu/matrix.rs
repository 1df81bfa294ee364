//! The convolution on a GPU's matrix units, where it has some: its tiles, and its weights as it reads them.

use super::conv::{Method, Params};
use super::tile::{INVOCATIONS, QUAD_BYTES, Shape};
use super::weights::Weights;
use super::{QUAD, quads};
use crate::gpu::{Access, Error, Gpu, Kernel, Matrices};

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
/// Bytes of four channels of 16 bits.
const HALVES_BYTES: usize = 8;

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
        Some((tile, words(packed)?))
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
        tiles.find(|tile| tile.bytes(shape) <= limit_bytes)
    }

    /// Tiles in the order of preference.
    ///
    /// Many lines use each weight most often. A kernel of one tap computes little for what it stages, so it stages more
    /// channels between two barriers.
    fn table(matrices: Matrices, shape: &Shape, quads_in: usize) -> impl Iterator<Item = Self> {
        let size = matrices.size;
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
                pitch: depth + PADDING_BYTES / HALVES_BYTES,
            })
        })
    }

    /// Columns of one workgroup.
    fn columns(&self) -> usize {
        self.block_n * self.matrix / QUAD
    }

    /// Workgroup memory, as `shaders/conv_matrix.wgsl` declares it.
    fn bytes(&self, shape: &Shape) -> usize {
        let [z, y] = self.lines;
        let rows = (y - 1) * shape.stride[1] + shape.kernel[1];
        let line = (self.matrix - 1) * shape.stride[2] + shape.kernel[2];
        let sums = (z * y * self.matrix * self.matrix / QUAD).max(INVOCATIONS);
        z * rows * line * self.pitch * HALVES_BYTES + sums * QUAD_BYTES
    }

    /// `[group][quads in][z][matrix in][y][x][matrix out][channel in]` of the four output channels of each column.
    fn packed(&self, shape: &Shape, weights: &Weights<'_>) -> Vec<[f32; QUAD]> {
        let mut packed = Vec::new();
        for first_column in (0..shape.columns).step_by(self.columns()) {
            for first_quad in (0..weights.quads_in()).step_by(self.depth) {
                for tap_z in 0..shape.kernel[0] {
                    let place = (first_column, first_quad, tap_z);
                    self.pack_step(shape, weights, place, &mut packed);
                }
            }
        }
        packed
    }

    /// What a group multiplies between two barriers; zeros beyond the last column and channel.
    fn pack_step(
        &self,
        shape: &Shape,
        weights: &Weights<'_>,
        (first_column, first_quad, tap_z): (usize, usize, usize),
        packed: &mut Vec<[f32; QUAD]>,
    ) {
        let plane = shape.kernel[1] * shape.kernel[2];
        let columns = first_column..first_column + self.columns();
        let own = quads(self.matrix);
        for quad in (first_quad..first_quad + self.depth).step_by(own) {
            for tap in tap_z * plane..(tap_z + 1) * plane {
                for column in columns.clone().step_by(own) {
                    for row in 0..self.matrix {
                        let from = [quad + row / QUAD, row % QUAD];
                        packed.extend((column..column + own).map(|column| {
                            if column < shape.columns {
                                weights.quad(column, from, tap)
                            } else {
                                [0.0; QUAD]
                            }
                        }));
                    }
                }
            }
        }
    }
}

/// In 16 bits; `None` where a weight is beyond what they hold.
fn words(packed: Vec<[f32; QUAD]>) -> Option<Vec<u32>> {
    let half = |value: f32| {
        let half = half::f16::from_f32(value);
        half.is_finite().then(|| u32::from(half.to_bits()))
    };
    let word = |pair: &[f32]| Some(half(pair[0])? | half(pair[1])? << 16);
    let values: Vec<f32> = bytemuck::cast_vec(packed);
    values.chunks_exact(2).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        kernel: [3; 3],
        stride: [1; 3],
        channels_in: 4,
        columns: 16,
    };

    fn matrices(size: usize, subgroup_size: usize) -> Matrices {
        Matrices {
            size,
            subgroup_size,
        }
    }

    #[test]
    fn a_tile_gives_every_subgroup_lines_and_stays_within_workgroup_memory() {
        for size in [8, 16] {
            for subgroup_size in [4, 8, 16, 32, 64, 128] {
                for (stride, columns) in [([1; 3], 5), ([2; 3], 16), ([1, 2, 2], 80)] {
                    let shape = Shape {
                        stride,
                        columns,
                        ..SHAPE
                    };
                    let offered = matrices(size, subgroup_size);
                    let tile = Tile::choose(offered, &shape, 8, 32 << 10).expect("fits");
                    let lines = tile.lines[0] * tile.lines[1];
                    assert!(tile.bytes(&shape) <= 32 << 10);
                    assert_eq!(lines % tile.subgroups, 0);
                    assert!(tile.subgroups * subgroup_size <= INVOCATIONS);
                    assert!(tile.block_n * size <= MAX_CHANNELS);
                    assert_eq!(tile.depth * QUAD % size, 0);
                }
            }
        }
    }

    #[test]
    fn a_layer_of_a_modern_card_gets_what_the_kernel_is_built_for() {
        let tile = Tile::choose(matrices(16, 32), &SHAPE, 8, 48 << 10);
        let expected = Tile {
            matrix: 16,
            lines: [4, 4],
            subgroups: 8,
            block_n: 4,
            depth: 4,
            pitch: 6,
        };
        assert_eq!(tile, Some(expected));
        assert_eq!(expected.bytes(&SHAPE), 37_120);
    }

    #[test]
    fn layers_that_would_mostly_multiply_zeros_keep_the_other_kernel() {
        let offered = matrices(16, 32);
        let narrow = Shape {
            columns: 1,
            ..SHAPE
        };
        assert_eq!(Tile::choose(offered, &narrow, 8, 48 << 10), None);
        assert_eq!(Tile::choose(offered, &SHAPE, 1, 48 << 10), None);
    }

    #[test]
    fn a_weight_beyond_16_bits_is_noticed() {
        let packed = words(vec![[1.0, 2.0, 0.5, -1.0]]);
        assert_eq!(packed, Some(vec![0x4000_3c00, 0xbc00_3800]));
        assert_eq!(words(vec![[1.0, 1e5, 0.0, 0.0]]), None);
    }
}
