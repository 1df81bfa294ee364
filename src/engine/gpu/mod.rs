//! The network on a GPU: own WGSL for every layer, activations in quads of four channels from the first to the last.
//!
//! In: a network's layers ([`super::Layers`]), then patches in GPU memory. Out: logits there. A layer normalises and
//! activates its input as it stages it; every sum has a fixed order, so the same patch twice gives the same bits.

mod conv;
mod matrix;
mod network;
mod norm;
mod pack;
mod peak;
mod sum;
#[cfg(test)]
mod tests;
mod tile;
mod tuning;
mod weights;

pub use network::{Network, Program};
pub use peak::{copied_bytes_per_s, multiply_adds_per_s};
pub use tuning::{Trial, Tuned, tune};

use crate::gpu::Kernel;

/// Every kernel of this engine; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[
    &conv::KERNEL,
    &matrix::KERNEL,
    &norm::KERNEL,
    &pack::KERNEL,
    &sum::KERNEL,
    &peak::KERNEL,
    &peak::COPY,
];

/// Channels of one quad.
const QUAD: usize = 4;

/// Quads that `channels` channels fill.
fn quads(channels: usize) -> usize {
    channels.div_ceil(QUAD)
}

/// Voxels of a volume of `size`.
fn voxels(size: [usize; 3]) -> usize {
    size.iter().product()
}

/// A count for a shader; a binding holds fewer values than 32 bits number.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The channels of quad `quad` of `values`, with zeros beyond the last.
fn quad_of(values: &[f32], quad: usize) -> [f32; QUAD] {
    std::array::from_fn(|lane| values.get(quad * QUAD + lane).copied().unwrap_or(0.0))
}
