//! `model.toml`: what a model expects, what it gives and what it is for.
//!
//! In: the text of the file. Out: a checked [`Manifest`]. Refused: unknown keys, and values out of range by key.

mod classifier;

pub use classifier::{Bands, Calibration, ClassifierSpec, Review};

use super::Error;
use super::unet::UNetConfig;
use crate::code::{Code, Kind, Terms};
use crate::dicom::KernelPreference;
use crate::preprocess::{Interpolation, Normalization, SearchRegion};
use serde::{Deserialize, Serialize};

/// A checked `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of this file; 1.
    pub format: u32,
    /// Name of the model and of its folder.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// What the model does, in a sentence.
    pub description: String,
    /// Licence of the weights (SPDX identifier or a sentence).
    pub licence: String,
    /// Whom to cite for the data and the weights.
    pub attribution: String,
    /// The weights and how exactly they must reproduce the golden patch.
    pub weights: WeightsSpec,
    /// The shape of the network.
    pub network: UNetConfig,
    /// What the network expects.
    pub input: InputSpec,
    /// What the network gives.
    pub output: OutputSpec,
    /// What the output channels stand for. With sigmoid (nnU-Net's regions) a later label overrides an earlier one.
    pub labels: Vec<Label>,
    /// The network that says of each candidate how sure the model is; none takes the segmenter's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierSpec>,
    /// What the model was made for.
    pub intended_use: IntendedUse,
}

/// `[weights]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// SHA-256 of `weights.safetensors`, lower-case hex.
    pub sha256: String,
    /// Networks of an ensemble, whose logits are averaged; with several, the keys begin with `folds.K.`.
    #[serde(default = "one")]
    pub folds: usize,
    /// Largest difference of a logit from the golden patch's.
    pub golden_tolerance_logit: f32,
    /// Largest difference of a probability from the golden patch's.
    pub golden_tolerance_probability: f32,
}

/// `[input]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Voxel spacing along z, y, x, mm.
    pub spacing_mm: [f64; 3],
    /// On which grid the network works.
    pub grid: ModelGrid,
    /// Where it looks; on a grid of the source everywhere.
    #[serde(default, skip_serializing_if = "SearchRegion::is_lungs")]
    pub region: SearchRegion,
    /// Patch along z, y, x, voxels.
    pub patch: [usize; 3],
    /// Distance between neighbouring patches, as a fraction of the patch.
    #[serde(default = "half")]
    pub step_fraction: f64,
    /// Axes (0 is z) along which a patch may be mirrored for test-time augmentation.
    #[serde(default)]
    pub mirror_axes: Vec<usize>,
    /// The input channels, in order.
    pub channels: Vec<InputChannel>,
}

/// On which grid a network works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelGrid {
    /// Along the patient's axes, over the whole volume.
    Patient {
        /// How the source is resampled to it.
        interpolation: Interpolation,
    },
    /// nnU-Net's: the source's own axes, cropped to what is not 0, resampled by cubic splines.
    Source {
        /// Which axis of the source (0 is z) lies along each axis of the network.
        #[serde(default = "in_order")]
        transpose: [usize; 3],
        /// Where columns, rows and slices of the training data count up to, such as `RAS`; the source is turned to it before
        /// anything else. Empty: as the source lies.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        orientation: String,
    },
}

/// `[[input.channels]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputChannel {
    /// Name, for people.
    pub name: String,
    /// Modality (0008,0060) of the series that it is.
    #[serde(default = "ct")]
    pub modality: String,
    /// Unit of its values.
    #[serde(default)]
    pub unit: Unit,
    /// How its values are normalised.
    pub normalization: ChannelNormalization,
}

/// Unit of an input channel's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// HU of a CT.
    #[default]
    Hu,
    /// Bq/ml of a PET, as its Rescale Slope gives them; no SUV.
    Bqml,
}

/// How the values of an input channel are normalised; nnU-Net's schemes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ChannelNormalization {
    /// `(clip(value, lower, upper) - subtract) / divide`, in the values' own unit: nnU-Net's `CTNormalization`.
    Window {
        /// Lower clip.
        lower: f32,
        /// Upper clip.
        upper: f32,
        /// Subtracted after clipping.
        subtract: f32,
        /// Divided by after subtracting.
        divide: f32,
    },
    /// Mean 0 and standard deviation 1 over the volume.
    ZScore {
        /// Over what is not 0 alone; the rest becomes 0.
        #[serde(default)]
        nonzero: bool,
    },
    /// Smallest value to 0, largest to 1.
    Rescale,
    /// As they are.
    None,
}

fn one() -> usize {
    1
}

fn in_order() -> [usize; 3] {
    [0, 1, 2]
}

fn ct() -> String {
    "CT".into()
}

fn half() -> f64 {
    0.5
}

/// `[output]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// From logits to probabilities.
    pub activation: Activation,
    /// Voxels of at least this probability form components.
    pub probability_threshold: f32,
    /// Smaller components are dropped, mm³.
    pub min_component_volume_mm3: f64,
    /// Lesions of a shorter short axis are dropped, mm; 0 drops none.
    #[serde(default)]
    pub min_short_axis_mm: f64,
    /// How a lesion's confidence is computed where the model has no classifier.
    pub confidence: Confidence,
    /// What the confidence means, for people.
    pub confidence_meaning: String,
}

/// From logits to probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Each channel on its own.
    Sigmoid,
    /// Channels exclude each other; channel 0 is the background.
    Softmax,
}

/// How a lesion's confidence is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The highest probability of the lesion's voxels.
    MaxProbability,
}

/// `[[labels]]`: an output channel with its coded terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Output channel, from 0.
    pub channel: usize,
    /// Name in the training data, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What a component of this label is.
    pub kind: Kind,
    /// Segmented Property Category (0062,0003).
    pub category: Code,
    /// Segmented Property Type (0062,000F), also the finding of the SR.
    #[serde(rename = "type")]
    pub property_type: Code,
    /// Segmented Property Type Modifier (0062,0011), such as the side of a paired organ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modifier: Option<Code>,
}

/// `[intended_use]`: another modality, body part or organ is refused, anything else outside of it warns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedUse {
    /// Modality (0008,0060).
    pub modality: String,
    /// Body Part Examined (0018,0015), any of these; empty: whatever the series shows.
    pub body_parts: Vec<String>,
    /// Smallest distance between slices seen, mm.
    pub min_slice_spacing_mm: f64,
    /// Largest distance between slices seen, mm.
    pub max_slice_spacing_mm: f64,
    /// Manufacturer (0008,0070) of the training series; empty: unknown.
    pub vendors_seen: Vec<String>,
    /// Which reconstruction to take where a study has several.
    pub kernel: KernelPreference,
    /// Series with contrast medium were among the training series.
    pub contrast_seen: bool,
    /// A volume without recognisable lungs is refused instead of searched as a whole.
    #[serde(default)]
    pub requires_lungs: bool,
    /// Not yet shown to work on real patients' data; every finding of the model says so.
    #[serde(default)]
    pub experimental: bool,
}

impl Label {
    /// Its coded terms.
    pub fn terms(&self) -> Terms {
        Terms {
            category: self.category.clone(),
            property_type: self.property_type.clone(),
            modifier: self.modifier.clone(),
        }
    }
}

impl Manifest {
    /// Reads and checks the text of a `model.toml`.
    ///
    /// # Errors
    /// [`Error::Manifest`] for text that is no TOML, an unknown or missing key or a wrong type;
    /// [`Error::OutOfRange`] naming the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let manifest: Self = toml::from_str(text).map_err(|e| Error::Manifest {
            message: e.to_string(),
        })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The label that is segmented on a grid along the patient's axes, which has one.
    pub fn label(&self) -> &Label {
        &self.labels[0]
    }

    /// Normalisation of a network on a grid along the patient's axes, which has one channel of HU.
    pub fn normalization(&self) -> Normalization {
        match self.input.channels[0].normalization {
            ChannelNormalization::Window {
                lower,
                upper,
                subtract,
                divide,
            } => Normalization {
                lower_hu: lower,
                upper_hu: upper,
                subtract_hu: subtract,
                divide_hu: divide,
            },
            // Refused by `validate`.
            other => unreachable!("{other:?} on a grid along the patient's axes"),
        }
    }
}

#[cfg(test)]
mod tests;
