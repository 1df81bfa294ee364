//! `model.toml`: what a model expects, what it gives and what it is for.
//!
//! In: the text of the file. Out: a checked [`Manifest`]. Refused: unknown keys, and values out of range by key.

use super::Error;
use super::unet::UNetConfig;
use crate::code::Code;
use crate::lesion::Kind;
use crate::preprocess::{Interpolation, Normalization};
use serde::{Deserialize, Serialize};

/// The only format of `model.toml` so far.
const FORMAT: u32 = 1;
/// More weights than any published nnU-Net has; bounds what a manifest can make this program allocate.
const MAX_WEIGHTS: usize = 500_000_000;
/// A patch of more voxels fits no device that this program runs on.
const MAX_PATCH_VOXELS: usize = 512 * 512 * 512;

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
    /// What the output channels stand for; one label so far.
    pub labels: Vec<Label>,
    /// What the model was made for.
    pub intended_use: IntendedUse,
}

/// `[weights]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// SHA-256 of `weights.safetensors`, lower-case hex.
    pub sha256: String,
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
    /// How the source is resampled to it.
    pub interpolation: Interpolation,
    /// Intensity normalisation, HU.
    pub normalization: Normalization,
    /// Patch along z, y, x, voxels.
    pub patch: [usize; 3],
    /// Distance between neighbouring patches, as a fraction of the patch.
    #[serde(default = "half")]
    pub step_fraction: f64,
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
    /// How a lesion's confidence is computed.
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
    /// What a component of this label is.
    pub kind: Kind,
    /// Segmented Property Category (0062,0003).
    pub category: Code,
    /// Segmented Property Type (0062,000F), also the finding of the SR.
    #[serde(rename = "type")]
    pub property_type: Code,
}

/// `[intended_use]`: outside of it a run warns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedUse {
    /// Modality (0008,0060).
    pub modality: String,
    /// Body Part Examined (0018,0015), any of these.
    pub body_parts: Vec<String>,
    /// Smallest distance between slices seen, mm.
    pub min_slice_spacing_mm: f64,
    /// Largest distance between slices seen, mm.
    pub max_slice_spacing_mm: f64,
    /// Manufacturer (0008,0070) of the training series.
    pub vendors_seen: Vec<String>,
    /// Which reconstruction to take where a study has several.
    pub kernel: KernelPreference,
    /// Series with contrast medium were among the training series.
    pub contrast_seen: bool,
}

/// Which reconstruction kernel a model prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelPreference {
    /// No preference.
    Any,
    /// Smooth.
    Soft,
    /// Sharp.
    Lung,
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

    /// The label that is segmented.
    pub fn label(&self) -> &Label {
        &self.labels[0]
    }

    fn validate(&self) -> Result<(), Error> {
        check("format", self.format, self.format == FORMAT, "1")?;
        let named = |text: &str| !text.trim().is_empty();
        check(
            "name",
            &self.name,
            is_folder_name(&self.name),
            "lower-case letters, digits and '-'",
        )?;
        check("version", &self.version, named(&self.version), "a version")?;
        check("licence", &self.licence, named(&self.licence), "a licence")?;
        check(
            "attribution",
            &self.attribution,
            named(&self.attribution),
            "whom to cite",
        )?;
        self.weights.validate()?;
        validate_network(&self.network)?;
        self.input.validate(self.network.total_stride())?;
        self.output.validate()?;
        self.validate_labels()?;
        self.intended_use.validate()
    }

    fn validate_labels(&self) -> Result<(), Error> {
        let [label] = self.labels.as_slice() else {
            let wanted = "one label (models of several are not supported)";
            return check("labels", self.labels.len(), false, wanted);
        };
        let classes = self.network.classes;
        check(
            "labels.channel",
            label.channel,
            label.channel < classes,
            "a channel below network.classes",
        )?;
        let softmax = self.output.activation == Activation::Softmax;
        let background = softmax && (classes < 2 || label.channel == 0);
        check(
            "labels.channel",
            label.channel,
            !background,
            "with softmax, a channel beside the background 0",
        )
    }
}

impl WeightsSpec {
    fn validate(&self) -> Result<(), Error> {
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let is_hash = self.sha256.len() == 64 && self.sha256.bytes().all(hex);
        check(
            "weights.sha256",
            &self.sha256,
            is_hash,
            "64 lower-case hex digits",
        )?;
        let tolerance = |value: f32| value > 0.0 && value <= 0.01;
        let logit = self.golden_tolerance_logit;
        check(
            "weights.golden_tolerance_logit",
            logit,
            tolerance(logit),
            "above 0, at most 0.01",
        )?;
        let probability = self.golden_tolerance_probability;
        check(
            "weights.golden_tolerance_probability",
            probability,
            tolerance(probability),
            "above 0, at most 0.01",
        )
    }
}

impl InputSpec {
    fn validate(&self, total_stride: [usize; 3]) -> Result<(), Error> {
        let spacing_fits = self.spacing_mm.iter().all(|mm| (0.1..=20.0).contains(mm));
        check(
            "input.spacing_mm",
            format!("{:?}", self.spacing_mm),
            spacing_fits,
            "0.1 to 20 mm along z, y, x",
        )?;
        let Normalization {
            lower_hu,
            upper_hu,
            subtract_hu,
            divide_hu,
        } = self.normalization;
        let window_fits = lower_hu.is_finite() && upper_hu.is_finite() && lower_hu < upper_hu;
        check(
            "input.normalization.upper_hu",
            upper_hu,
            window_fits,
            "above lower_hu, both finite",
        )?;
        check(
            "input.normalization.subtract_hu",
            subtract_hu,
            subtract_hu.is_finite(),
            "a finite number",
        )?;
        check(
            "input.normalization.divide_hu",
            divide_hu,
            divide_hu.is_normal() && divide_hu > 0.0,
            "above 0",
        )?;
        let patch_fits = self
            .patch
            .iter()
            .zip(total_stride)
            .all(|(n, s)| *n > 0 && n % s == 0);
        let patch = format!("{:?}", self.patch);
        check(
            "input.patch",
            &patch,
            patch_fits,
            "multiples of the network's total stride",
        )?;
        let voxels = self.patch.iter().try_fold(1usize, |n, m| n.checked_mul(*m));
        check(
            "input.patch",
            &patch,
            voxels.is_some_and(|n| n <= MAX_PATCH_VOXELS),
            "at most 512^3 voxels",
        )?;
        let step = self.step_fraction;
        check(
            "input.step_fraction",
            step,
            (0.1..=1.0).contains(&step),
            "0.1 to 1",
        )
    }
}

impl OutputSpec {
    fn validate(&self) -> Result<(), Error> {
        let threshold = self.probability_threshold;
        check(
            "output.probability_threshold",
            threshold,
            threshold > 0.0 && threshold < 1.0,
            "between 0 and 1",
        )?;
        let volume = self.min_component_volume_mm3;
        check(
            "output.min_component_volume_mm3",
            volume,
            (0.0..=1e6).contains(&volume),
            "0 to 1000000 mm3",
        )?;
        let meaning = &self.confidence_meaning;
        check(
            "output.confidence_meaning",
            meaning,
            !meaning.trim().is_empty(),
            "a sentence",
        )
    }
}

impl IntendedUse {
    fn validate(&self) -> Result<(), Error> {
        check(
            "intended_use.modality",
            &self.modality,
            self.modality == "CT",
            "CT",
        )?;
        let (min, max) = (self.min_slice_spacing_mm, self.max_slice_spacing_mm);
        check(
            "intended_use.min_slice_spacing_mm",
            min,
            min > 0.0 && min <= max,
            "above 0, at most the maximum",
        )?;
        check(
            "intended_use.max_slice_spacing_mm",
            max,
            max <= 50.0,
            "at most 50 mm",
        )
    }
}

fn validate_network(network: &UNetConfig) -> Result<(), Error> {
    let stages = network.channels.len();
    check(
        "network.channels",
        stages,
        (1..=10).contains(&stages),
        "1 to 10 stages",
    )?;
    let lengths = [
        ("network.kernels", network.kernels.len(), stages),
        ("network.strides", network.strides.len(), stages),
        ("network.encoder_convs", network.encoder_convs.len(), stages),
        (
            "network.decoder_convs",
            network.decoder_convs.len(),
            stages - 1,
        ),
    ];
    for (key, found, wanted) in lengths {
        check(
            key,
            found,
            found == wanted,
            "one entry a stage (decoder_convs: one fewer)",
        )?;
    }
    let channels = &network.channels;
    let channels_fit = channels.iter().all(|c| (1..=2048).contains(c));
    check(
        "network.channels",
        format!("{channels:?}"),
        channels_fit,
        "1 to 2048 each",
    )?;
    check(
        "network.input_channels",
        network.input_channels,
        network.input_channels == 1,
        "1: one CT series",
    )?;
    check(
        "network.classes",
        network.classes,
        (1..=256).contains(&network.classes),
        "1 to 256",
    )?;
    let kernels_fit = network
        .kernels
        .iter()
        .flatten()
        .all(|k| k % 2 == 1 && *k <= 11);
    check(
        "network.kernels",
        format!("{:?}", network.kernels),
        kernels_fit,
        "odd, at most 11",
    )?;
    let strides_fit = network
        .strides
        .iter()
        .flatten()
        .all(|s| (1..=4).contains(s));
    let first_fits = network.strides[0] == [1; 3];
    check(
        "network.strides",
        format!("{:?}", network.strides),
        strides_fit && first_fits,
        "1 to 4, the first [1, 1, 1]",
    )?;
    let mut convs = network.encoder_convs.iter().chain(&network.decoder_convs);
    check(
        "network.encoder_convs, network.decoder_convs",
        "out of range",
        convs.all(|n| (1..=10).contains(n)),
        "1 to 10 each",
    )?;
    let weights = weight_count(network);
    check(
        "network.channels",
        format!("{weights} weights"),
        weights <= MAX_WEIGHTS,
        "a network of at most 500 million weights",
    )
}

/// Upper bound of the number of weights, for a network whose single values are in range.
fn weight_count(network: &UNetConfig) -> usize {
    let widest = |stage: usize| {
        let above = stage
            .checked_sub(1)
            .map_or(network.input_channels, |s| network.channels[s]);
        (2 * network.channels[stage]).max(above)
    };
    (0..network.channels.len())
        .map(|stage| {
            let kernel: usize = network.kernels[stage].iter().product();
            let decoder = network.channels.len() - 1 - stage;
            let convs = network.encoder_convs[stage]
                + decoder
                    .checked_sub(1)
                    .map_or(0, |i| network.decoder_convs[i]);
            convs * kernel * widest(stage) * network.channels[stage]
        })
        .sum()
}

fn is_folder_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn check(
    key: &'static str,
    found: impl std::fmt::Display,
    fits: bool,
    wanted: &'static str,
) -> Result<(), Error> {
    if fits {
        return Ok(());
    }
    Err(Error::OutOfRange {
        key,
        found: found.to_string(),
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITE: &str = include_str!("../../models/lung-nodule-lite/model.toml");

    /// The shipped manifest with one line replaced.
    fn with(line: &str, replacement: &str) -> Result<Manifest, Error> {
        assert!(LITE.contains(line), "the shipped manifest holds {line}");
        Manifest::parse(&LITE.replace(line, replacement))
    }

    fn refused_key(line: &str, replacement: &str) -> String {
        match with(line, replacement) {
            Err(Error::OutOfRange { key, .. }) => key.to_owned(),
            other => panic!("{replacement}: {other:?}"),
        }
    }

    #[test]
    fn the_shipped_manifest_is_valid_and_survives_a_round_trip() {
        let manifest = Manifest::parse(LITE).expect("valid");
        let text = toml::to_string(&manifest).expect("serialises");
        assert_eq!(Manifest::parse(&text).expect("valid again"), manifest);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let refused = with("format = 1", "format = 1\nspeed = 9");
        assert!(matches!(refused, Err(Error::Manifest { message }) if message.contains("speed")));
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        assert_eq!(refused_key("format = 1", "format = 2"), "format");
        assert_eq!(
            refused_key("patch = [64, 64, 64]", "patch = [64, 64, 60]"),
            "input.patch"
        );
        assert_eq!(
            refused_key("patch = [64, 64, 64]", "patch = [0, 64, 64]"),
            "input.patch"
        );
        assert_eq!(
            refused_key("divide_hu = 700.0", "divide_hu = nan"),
            "input.normalization.divide_hu"
        );
        assert_eq!(
            refused_key(
                "spacing_mm = [1.0, 1.0, 1.0]",
                "spacing_mm = [1.0, 0.0, 1.0]"
            ),
            "input.spacing_mm"
        );
        assert_eq!(
            refused_key("step_fraction = 0.625", "step_fraction = 0.0"),
            "input.step_fraction"
        );
        assert_eq!(
            refused_key("channels = [12, 24, 48, 64]", "channels = [12, 24, 48]"),
            "network.kernels"
        );
        assert_eq!(
            refused_key("channels = [12, 24, 48, 64]", "channels = []"),
            "network.channels"
        );
        assert_eq!(
            refused_key("decoder_convs = [2, 2, 2]", "decoder_convs = [2, 2]"),
            "network.decoder_convs"
        );
        assert_eq!(
            refused_key("activation = \"sigmoid\"", "activation = \"softmax\""),
            "labels.channel"
        );
    }

    #[test]
    fn a_missing_step_fraction_is_a_half() {
        let manifest = with("step_fraction = 0.625", "").expect("valid");
        assert_eq!(manifest.input.step_fraction.to_bits(), 0.5f64.to_bits());
    }
}
