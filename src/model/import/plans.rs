//! nnU-Net's `plans.json`: grid, patch, normalisation and network of one configuration.
//!
//! In: the file and the configuration's name. Out: [`Plan`]. Refused by code: cascades, two axes, other networks, layers,
//! normalisation and resampling than those that run here. Source: Isensee et al., Nat Methods 2021; nnunetv2's
//! `plans_handler.py`.

use super::architecture::{self, Architecture};
use super::json::Json;
use super::{Error, Feature};
use serde_json::Value;

/// What a configuration of the plans asks for; axes are nnU-Net's own, after its transposition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) architecture: Architecture,
    pub(super) spacing_mm: [f64; 3],
    pub(super) patch: [usize; 3],
    /// Which source axis (z, y, x) becomes the first, the second and the third.
    pub(super) transpose: [usize; 3],
    /// What the reader turns images to; empty where it leaves them as they lie.
    pub(super) orientation: &'static str,
    /// One for each input channel.
    pub(super) normalization: Vec<Scheme>,
}

/// Intensity normalisation of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scheme {
    /// `CTNormalization`
    Window {
        lower: f32,
        upper: f32,
        subtract: f32,
        divide: f32,
    },
    /// `ZScoreNormalization`, of the voxels that are not zero or of all
    ZScore { nonzero: bool },
    /// `RescaleTo01Normalization`
    Rescale,
    /// `NoNormalization`
    None,
}

impl Plan {
    /// Reads the configuration `name`.
    ///
    /// # Errors
    /// [`Error::Configuration`], [`Error::Invalid`], [`Error::Unsupported`].
    pub(super) fn read(plans: &Value, name: &str) -> Result<Self, Error> {
        let file = Json::new(FILE, plans);
        let resolved = resolve(&file.get("configurations")?, name)?;
        let configuration = Json::new(FILE, &resolved);
        check_kind(&file, &configuration)?;
        let patch = configuration.get("patch_size")?;
        if patch.is_list() && patch.items()?.len() == 2 {
            return Err(patch.unsupported(Feature::TwoAxes));
        }
        check_resampling(&configuration)?;
        Ok(Self {
            architecture: architecture::read(&configuration)?,
            spacing_mm: configuration.get("spacing")?.three(Json::number)?,
            patch: patch.three(Json::count)?,
            transpose: transpose(&file)?,
            orientation: orientation(&file)?,
            normalization: schemes(&file, &configuration)?,
        })
    }
}

const FILE: &str = "plans.json";

/// Names of all configurations.
pub(super) fn configurations(plans: &Value) -> Result<Vec<&str>, Error> {
    let entries = Json::new(FILE, plans).get("configurations")?.entries()?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

/// A configuration with what it inherits; its own keys win.
fn resolve(configurations: &Json, name: &str) -> Result<Value, Error> {
    let known = configurations.entries()?;
    let mut chain: Vec<&str> = Vec::new();
    let mut resolved = serde_json::Map::new();
    let mut next = Some(name);
    while let Some(name) = next {
        let Some((key, value)) = known.iter().find(|(key, _)| *key == name) else {
            let known = known.iter().map(|(key, _)| key.escape_debug().to_string());
            let known: Vec<String> = known.collect();
            return Err(Error::Configuration {
                asked: name.escape_debug().to_string(),
                known: known.join(", "),
            });
        };
        if chain.contains(key) {
            return Err(value.invalid("inherits from itself"));
        }
        chain.push(key);
        for (key, value) in value.entries()? {
            resolved.entry(key).or_insert_with(|| value.value().clone());
        }
        next = value
            .find("inherits_from")
            .map(|parent| parent.text())
            .transpose()?;
    }
    Ok(Value::Object(resolved))
}

/// Cascades and classes with rules of their own are refused.
fn check_kind(file: &Json, configuration: &Json) -> Result<(), Error> {
    if let Some(previous) = configuration.find("previous_stage") {
        return Err(previous.unsupported(Feature::Cascade));
    }
    let classes = [
        (
            configuration.find("preprocessor_name"),
            "DefaultPreprocessor",
        ),
        (file.find("label_manager"), "LabelManager"),
    ];
    for (class, usual) in classes {
        if let Some(class) = class
            && class.text()? != usual
        {
            return Err(class.unsupported(Feature::Preprocessing));
        }
    }
    Ok(())
}

/// Where the axes of what a reader gives count up to.
fn orientation(file: &Json) -> Result<&'static str, Error> {
    let reader = file.get("image_reader_writer")?;
    match reader.text()? {
        "SimpleITKIO" | "NibabelIO" => Ok(""),
        "SimpleITKIOWithReorient" | "NibabelIOWithReorient" => Ok("RAS"),
        _ => Err(reader.unsupported(Feature::Reader)),
    }
}

/// Only nnU-Net's default resampling is known to the voxel.
fn check_resampling(configuration: &Json) -> Result<(), Error> {
    const DEFAULT: &str = "resample_data_or_seg_to_shape";
    for (of, order) in [("data", 3), ("probabilities", 1)] {
        let function = configuration.get(&format!("resampling_fn_{of}"))?;
        if function.text()? != DEFAULT {
            return Err(function.unsupported(Feature::Resampling));
        }
        let arguments = configuration.get(&format!("resampling_fn_{of}_kwargs"))?;
        for (key, value) in arguments.entries()? {
            let usual = match key {
                "is_seg" => !value.flag()?,
                "order" => value.count()? == order,
                "order_z" => value.count()? == 0,
                "force_separate_z" => value.is_null(),
                "separate_z_anisotropy_threshold" => value.count().is_ok_and(|n| n == 3),
                _ => false,
            };
            if !usual {
                return Err(value.unsupported(Feature::Resampling));
            }
        }
        for key in ["order", "order_z"] {
            arguments.get(key)?;
        }
    }
    Ok(())
}

fn transpose(file: &Json) -> Result<[usize; 3], Error> {
    let axes = file.get("transpose_forward")?;
    let forward = axes.three(Json::count)?;
    let mut sorted = forward;
    sorted.sort_unstable();
    if sorted == [0, 1, 2] {
        return Ok(forward);
    }
    Err(axes.invalid("is no order of the axes 0, 1 and 2"))
}

fn schemes(file: &Json, configuration: &Json) -> Result<Vec<Scheme>, Error> {
    let names = configuration.get("normalization_schemes")?.items()?;
    let masks = configuration.get("use_mask_for_norm")?;
    let masks = masks.each(names.len(), Json::flag)?;
    let schemes = names.iter().zip(masks).enumerate();
    let scheme = |(channel, (name, mask)): (usize, (&Json, bool))| {
        Ok(match name.text()? {
            "CTNormalization" => window(file, channel)?,
            "ZScoreNormalization" => Scheme::ZScore { nonzero: mask },
            "RescaleTo01Normalization" => Scheme::Rescale,
            "NoNormalization" => Scheme::None,
            _ => return Err(name.unsupported(Feature::Normalization)),
        })
    };
    schemes.map(scheme).collect()
}

/// The window of `CTNormalization`: percentiles, mean and standard deviation of the training series' foreground.
fn window(file: &Json, channel: usize) -> Result<Scheme, Error> {
    /// nnU-Net divides by no less.
    const MIN_DEVIATION: f32 = 1e-8;
    let properties = file
        .find("foreground_intensity_properties_per_channel")
        .map_or_else(
            || file.get("foreground_intensity_properties_by_modality"),
            Ok,
        )?;
    let of_channel = properties.get(&channel.to_string())?;
    Ok(Scheme::Window {
        lower: of_channel.get("percentile_00_5")?.float()?,
        upper: of_channel.get("percentile_99_5")?.float()?,
        subtract: of_channel.get("mean")?.float()?,
        divide: of_channel.get("std")?.float()?.max(MIN_DEVIATION),
    })
}
