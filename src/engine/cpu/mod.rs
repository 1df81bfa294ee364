//! The network on a CPU's vector units, in a blocked layout from the first layer to the last: convolution by Winograd's
//! method where the kernel is 3 × 3 along y and x with stride 1, direct convolution everywhere else.
//!
//! In: a network's layers ([`super::Layers`]), then patches. Out: logits. The kernels are written once, and compiled
//! for every instruction set (`simd.rs`); a layer normalises and activates its input as it gathers it.

mod conv;
mod direct;
mod gather;
mod isa;
mod lanes;
mod network;
mod norm;
mod peak;
mod simd;
mod sum;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod transform;
mod winograd;

pub use isa::InstructionSet;
pub use network::Network;
pub use peak::{copy, multiply_adds};
