//! nnU-Net's own preprocessing and export, so that a network sees what it was trained on.
//!
//! Comes in: channels on a source grid, `[z, y, x]`. Goes out: cropped, normalised and resampled channels, and labels
//! back on the source grid. Refused: spacings that are not positive, grids beyond the limits.
//!
//! The order is nnU-Net's: [`Axes`] (transpose), [`Crop`] (to the voxels that are not zero), [`Scheme`] (normalise),
//! [`Resize::cubic`]; after the network [`Export`], [`Crop::paste`] and [`Axes::backward`]. [`prepare`] does it on a CPU;
//! [`gather`] and [`logits`] do the two costly steps on a GPU.

mod axes;
mod chain;
mod crop;
mod export;
pub mod gather;
mod interpolate;
mod lines;
pub mod logits;
mod orientation;
mod resize;
mod scheme;
mod spacings;
mod taps;

pub use axes::Axes;
pub use chain::{Plan, Prepared, prepare};
pub use crop::{Crop, filled_mask};
pub use export::{Decision, Export, Exported};
pub use interpolate::SourceRows;
pub use orientation::Orientation;
pub use resize::Resize;
pub use scheme::Scheme;
pub use spacings::Spacings;
