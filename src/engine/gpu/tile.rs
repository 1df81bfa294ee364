//! How a layer is cut into the tiles of its workgroups.

use serde::{Deserialize, Serialize};

/// Invocations of a workgroup; `shaders/conv3d.wgsl` says it too.
pub(super) const INVOCATIONS: usize = 256;
/// Bytes of four channels in workgroup memory.
pub(super) const QUAD_BYTES: usize = 16;

/// Shape of a convolution, as far as it decides the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    /// Taps along z, y, x.
    pub(super) kernel: [usize; 3],
    /// Stride along z, y, x.
    pub(super) stride: [usize; 3],
    /// Channels that an input quad holds: 4, or fewer where the whole input has fewer.
    pub(super) channels_in: usize,
    /// Quads of output channels, times the voxels that each position becomes.
    pub(super) columns: usize,
}

/// Positions of one workgroup along z, y, x; an invocation computes a run along x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tile {
    pub(super) z: usize,
    pub(super) y: usize,
    pub(super) run: usize,
    /// Input quads staged at once.
    pub(super) depth: usize,
}

impl Tile {
    /// The first tile of the table that fits in `limit_bytes` of workgroup memory; `None` where none does.
    pub(super) fn choose(shape: &Shape, limit_bytes: usize) -> Option<Self> {
        let mut fitting = table(shape).filter(|tile| tile.bytes(shape) <= limit_bytes);
        fitting.next()
    }

    /// Every tile worth trying that fits, the usual one first.
    pub(super) fn all(shape: &Shape, limit_bytes: usize) -> Vec<Self> {
        let usual = Self::choose(shape, limit_bytes);
        let depths: &[usize] = match shape.kernel[1] * shape.kernel[2] {
            1 => &[1, 2, 4],
            _ => &[1, 2],
        };
        let lanes = [2, 4, 8]
            .into_iter()
            .flat_map(|z| [4, 8, 16].map(|y| [z, y]));
        let others = lanes.flat_map(|[z, y]| {
            let tile = move |run| depths.iter().map(move |&depth| Self { z, y, run, depth });
            [8, 4, 2].into_iter().flat_map(tile)
        });
        let sound = others.filter(|tile| tile.is_sound(shape, limit_bytes));
        usual
            .into_iter()
            .chain(sound.filter(|tile| Some(*tile) != usual))
            .collect()
    }

    /// Whether the shader can run it and the GPU hold it: what a file says of tiles is not believed.
    pub(super) fn is_sound(&self, shape: &Shape, limit_bytes: usize) -> bool {
        let lanes = |n: usize| n.is_power_of_two() && n <= INVOCATIONS;
        let bounded = lanes(self.z) && lanes(self.y) && self.z * self.y <= INVOCATIONS;
        let counts = [self.run, self.depth].iter().all(|n| (1..=16).contains(n));
        bounded && counts && self.bytes(shape) <= limit_bytes
    }

    /// Quads of output channels of one workgroup.
    pub(super) fn columns(&self) -> usize {
        INVOCATIONS / (self.z * self.y)
    }

    /// Positions along z, y, x.
    pub(super) fn size(&self) -> [usize; 3] {
        [self.z, self.y, self.run]
    }

    /// Workgroup memory, as `shaders/conv3d.wgsl` declares it.
    fn bytes(&self, shape: &Shape) -> usize {
        let rows = (self.y - 1) * shape.stride[1] + shape.kernel[1];
        let pitch = ((self.run - 1) * shape.stride[2] + shape.kernel[2]) | 1;
        let staged = (self.depth * self.z * rows * pitch).max(INVOCATIONS);
        let taps = shape.kernel[1] * shape.kernel[2];
        let weights = self.columns() * self.depth * taps * shape.channels_in;
        (staged + weights) * QUAD_BYTES
    }
}

/// Tiles in the order of preference.
///
/// Long runs use each staged value and weight most often. Few columns leave room for more positions. A kernel of one tap
/// computes little for what it stages, so it stages several quads between two barriers.
fn table(shape: &Shape) -> impl Iterator<Item = Tile> {
    let z = if shape.columns > 4 { 4 } else { 8 };
    let depths: &[usize] = match shape.kernel[1] * shape.kernel[2] {
        1 => &[4, 1],
        _ => &[1],
    };
    let runs = [8, 4, 2, 1].into_iter();
    runs.flat_map(move |run| {
        let tile = move |&depth| Tile {
            z,
            y: 8,
            run,
            depth,
        };
        depths.iter().map(tile)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        kernel: [3; 3],
        stride: [1; 3],
        channels_in: 4,
        columns: 8,
    };

    #[test]
    fn the_least_workgroup_memory_of_webgpu_holds_every_kernel_of_nnunet() {
        for kernel in [[1; 3], [1, 3, 3], [3; 3]] {
            for stride in [[1; 3], [1, 2, 2], [2; 3]] {
                for columns in [1, 4, 8, 80] {
                    let shape = Shape {
                        kernel,
                        stride,
                        columns,
                        ..SHAPE
                    };
                    let tile = Tile::choose(&shape, 16 << 10).expect("fits");
                    assert!(tile.bytes(&shape) <= 16 << 10);
                }
            }
        }
    }

    #[test]
    fn the_usual_layer_gets_runs_of_eight_and_a_kernel_beyond_all_memory_none() {
        let tile = Tile::choose(&SHAPE, 16 << 10).expect("fits");
        assert_eq!((tile.size(), tile.columns()), ([4, 8, 8], 8));
        let huge = Shape {
            kernel: [31; 3],
            ..SHAPE
        };
        assert_eq!(Tile::choose(&huge, 16 << 10), None);
    }
}
