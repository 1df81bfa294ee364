//! The network's layers on our own kernels.
//!
//! In: a network's layers with their weights, and a patch. Out: its logits. burn's forward pass is the reference.

pub mod cpu;
mod layers;

pub use layers::{Activation, ConvParams, Layers, NormParams};
