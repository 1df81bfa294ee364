//! The network on our own kernels.
//!
//! In: a network's layers with their weights ([`Layers`]), and a patch. Out: its logits. `reference.rs` defines each layer;
//! burn's forward pass and PyTorch's stored logits are what whole networks are held against.

#[cfg(test)]
mod cases;
pub mod cpu;
mod error;
pub mod gpu;
mod layers;
pub mod random;
#[cfg(test)]
mod reference;
mod shape;

pub use error::Error;
pub use layers::{Activation, ConvParams, Layers, NormParams};
pub use shape::LayerShape;
