//! The blocked layout of activations: `[channels / 16][z][y][x][16]`, and how weights lie for it.

/// Channels of one block.
pub(super) const LANES: usize = 16;

/// One voxel's channels of one block: a cache line. Lanes beyond the last channel are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    /// The channels of block `block` of `values`, with zeros beyond the last.
    pub(super) fn of(values: &[f32], block: usize) -> Self {
        let mut lanes = Self::ZERO;
        let rest = values.get(block * LANES..).unwrap_or_default();
        for (lane, value) in lanes.0.iter_mut().zip(rest) {
            *lane = *value;
        }
        lanes
    }
}

/// Blocks that `channels` channels fill.
pub(super) fn blocks(channels: usize) -> usize {
    channels.div_ceil(LANES)
}

/// How many channels each block of `channels` channels has.
pub(super) fn block_channels(channels: usize) -> impl Iterator<Item = usize> {
    (0..blocks(channels)).map(move |block| LANES.min(channels - block * LANES))
}

/// Voxels of a volume of `size`.
pub(super) fn voxels(size: [usize; 3]) -> usize {
    size.iter().product()
}
