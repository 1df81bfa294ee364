//! `[classifier]`: the network that looks at each candidate, and how its outputs are read.

use crate::code::NoduleType;
use crate::model::unet::{Architecture, Norm, UNetConfig};
use serde::{Deserialize, Serialize};

/// `[classifier]`: an ensemble that sees the patch around a candidate, on the segmenter's grid and normalised alike.
///
/// Its first output is the logit of a lesion, one more for each type follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierSpec {
    /// Networks of the ensemble, whose outputs are averaged.
    pub folds: usize,
    /// Patch along z, y, x, voxels; the candidate's centre lies at half of it.
    pub patch: [usize; 3],
    /// Channels of each stage.
    pub channels: Vec<usize>,
    /// Kernel of each stage along z, y, x; odd.
    pub kernels: Vec<[usize; 3]>,
    /// Stride on entering each stage along z, y, x.
    pub strides: Vec<[usize; 3]>,
    /// Convolutions of each stage.
    pub convs: Vec<usize>,
    /// Axes (0 is z) along which a patch is mirrored; the outputs for every combination are averaged.
    #[serde(default)]
    pub mirror_axes: Vec<usize>,
    /// Types of nodule, in the order of their outputs.
    #[serde(default)]
    pub types: Vec<NoduleType>,
    /// From logit to confidence.
    pub calibration: Calibration,
    /// Confidence in words.
    pub bands: Bands,
    /// When a person must look.
    pub review: Review,
}

/// `confidence = sigmoid(scale * logit + offset)`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor of the logit.
    pub scale: f64,
    /// Added after it.
    pub offset: f64,
}

/// Least confidences of the bands; below them is low.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// Of high confidence.
    pub high: f64,
    /// Of intermediate confidence.
    pub intermediate: f64,
}

/// Limits beyond which the model does not decide alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Confidences from here …
    pub lower: f64,
    /// … to here decide nothing.
    pub upper: f64,
    /// Largest standard deviation of the networks' logits.
    pub max_spread: f64,
    /// Largest distance of a candidate's features from those of the training data, in standard deviations of these.
    pub max_novelty: f64,
    /// Largest distance of the mean of the features of places in the lungs from that of the training scans; beyond it, the
    /// run warns.
    pub max_input_novelty: f64,
}

impl ClassifierSpec {
    /// Outputs of the head: the logit of a lesion, then one of each type.
    pub fn outputs(&self) -> usize {
        1 + self.types.len()
    }

    /// Features of a patch: the mean and the maximum of each channel of the last stage.
    pub fn features(&self) -> usize {
        2 * self.channels.last().copied().unwrap_or(0)
    }

    /// Product of all strides along z, y, x: a patch must be a multiple of it.
    pub fn total_stride(&self) -> [usize; 3] {
        self.encoder(1).total_stride()
    }

    /// Its stages, as those of a U-Net that ends at its deepest.
    pub(crate) fn encoder(&self, input_channels: usize) -> UNetConfig {
        UNetConfig {
            architecture: Architecture::Plain,
            norm: Norm::None,
            input_channels,
            classes: self.outputs(),
            channels: self.channels.clone(),
            kernels: self.kernels.clone(),
            strides: self.strides.clone(),
            encoder_convs: self.convs.clone(),
            decoder_convs: Vec::new(),
        }
    }
}
