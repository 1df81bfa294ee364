//! Ranges and cross-checks of `model.toml`.

mod classifier;
mod network;

use super::Error;
use super::manifest::{
    Activation, ChannelNormalization, InputSpec, IntendedUse, Manifest, ModelGrid, OutputSpec,
    Unit, WeightsSpec,
};
use crate::code::Code;
use crate::preprocess::nnunet::Orientation;

/// The only format of `model.toml` so far.
const FORMAT: u32 = 1;
/// A patch of more voxels fits no device that this program runs on.
const MAX_PATCH_VOXELS: usize = 512 * 512 * 512;

impl Manifest {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the key.
    pub(super) fn validate(&self) -> Result<(), Error> {
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
        network::validate(&self.network)?;
        self.input.validate(self.network.total_stride())?;
        self.validate_grid()?;
        self.output.validate()?;
        self.validate_labels()?;
        classifier::validate(self)?;
        self.intended_use.validate()
    }

    fn validate_labels(&self) -> Result<(), Error> {
        let count = self.labels.len();
        match &self.input.grid {
            ModelGrid::Patient { .. } => check(
                "labels",
                count,
                count == 1,
                "one label on a grid of kind \"patient\"",
            )?,
            ModelGrid::Source { .. } => check("labels", count, count > 0, "one label or more")?,
        }
        let classes = self.network.classes;
        let softmax = self.output.activation == Activation::Softmax;
        check(
            "network.classes",
            classes,
            !softmax || classes > 1,
            "with softmax, a background and a label",
        )?;
        for (number, label) in self.labels.iter().enumerate() {
            let codes = [&label.category, &label.property_type].into_iter();
            let mut codes = codes.chain(&label.modifier);
            check(
                "labels.category, labels.type, labels.modifier",
                number,
                codes.all(Code::is_valid),
                "a value and a scheme of at most 16 and a meaning of at most 64 ASCII characters",
            )?;
            let (first, taken) = (usize::from(softmax), &self.labels[..number]);
            let fits = (first..classes).contains(&label.channel)
                && taken.iter().all(|other| other.channel != label.channel);
            check(
                "labels.channel",
                label.channel,
                fits,
                "channels below network.classes, each once; with softmax not the background 0",
            )?;
        }
        Ok(())
    }

    /// What a grid along the patient's axes cannot do: it reads one channel of HU.
    fn validate_grid(&self) -> Result<(), Error> {
        let input = &self.input;
        let channels = input.channels.len();
        check(
            "input.channels",
            channels,
            channels == self.network.input_channels,
            "as many as network.input_channels",
        )?;
        let ModelGrid::Source {
            transpose,
            orientation,
        } = &input.grid
        else {
            let normalization = input.channels[0].normalization;
            let is_window = matches!(normalization, ChannelNormalization::Window { .. });
            return check(
                "input.channels",
                channels,
                channels == 1 && is_window,
                "one channel with the scheme \"window\" on a grid of kind \"patient\"",
            );
        };
        for (number, channel) in input.channels.iter().enumerate() {
            let (modality, taken) = (&channel.modality, &input.channels[..number]);
            let unit = match modality.as_str() {
                "CT" => channel.unit == Unit::Hu,
                "PT" => channel.unit == Unit::Bqml,
                _ => false,
            };
            check(
                "input.channels.modality",
                modality,
                unit && taken.iter().all(|other| other.modality != *modality),
                "CT with the unit \"hu\" or PT with \"bqml\", each once",
            )?;
        }
        let first = &input.channels[0].modality;
        check(
            "intended_use.modality",
            &self.intended_use.modality,
            self.intended_use.modality == *first,
            "that of the first channel",
        )?;
        check(
            "intended_use.requires_lungs",
            self.intended_use.requires_lungs,
            !self.intended_use.requires_lungs,
            "false on a grid of kind \"source\"",
        )?;
        let short_axis_mm = self.output.min_short_axis_mm;
        check(
            "output.min_short_axis_mm",
            short_axis_mm,
            short_axis_mm <= 0.0,
            "left out on a grid of kind \"source\"",
        )?;
        check(
            "input.region",
            format!("{:?}", input.region),
            input.region.is_lungs(),
            "left out on a grid of kind \"source\"",
        )?;
        check(
            "input.grid.orientation",
            orientation,
            orientation.is_empty() || Orientation::is_named(orientation),
            "three letters: R or L, A or P, S or I, in any order",
        )?;
        let all = [0, 1, 2].iter().all(|axis| transpose.contains(axis));
        check(
            "input.grid.transpose",
            format!("{transpose:?}"),
            all,
            "0, 1 and 2 in any order",
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
        check(
            "weights.folds",
            self.folds,
            (1..=10).contains(&self.folds),
            "1 to 10",
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
        self.channels
            .iter()
            .try_for_each(|channel| channel.normalization.validate())?;
        check_axes("input.mirror_axes", &self.mirror_axes)?;
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

impl ChannelNormalization {
    fn validate(&self) -> Result<(), Error> {
        let Self::Window {
            lower,
            upper,
            subtract,
            divide,
        } = *self
        else {
            return Ok(());
        };
        let window_fits = lower.is_finite() && upper.is_finite() && lower < upper;
        check(
            "input.channels.normalization.upper",
            upper,
            window_fits,
            "above lower, both finite",
        )?;
        check(
            "input.channels.normalization.subtract",
            subtract,
            subtract.is_finite(),
            "a finite number",
        )?;
        check(
            "input.channels.normalization.divide",
            divide,
            divide.is_normal() && divide > 0.0,
            "above 0",
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
        let short_axis_mm = self.min_short_axis_mm;
        check(
            "output.min_short_axis_mm",
            short_axis_mm,
            (0.0..=100.0).contains(&short_axis_mm),
            "0 to 100 mm",
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

fn is_folder_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn check_axes(key: &'static str, axes: &[usize]) -> Result<(), Error> {
    let fits = |i: usize| axes[i] < 3 && !axes[..i].contains(&axes[i]);
    check(
        key,
        format!("{axes:?}"),
        (0..axes.len()).all(fits),
        "0, 1 and 2, each at most once",
    )
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
