//! The network of a configuration, as nnU-Net's new plans and its old ones write it.

use super::json::Json;
use super::{Error, Feature};

/// The shape of the network and how its norms compute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Architecture {
    /// `ResidualEncoderUNet`; else `PlainConvUNet`.
    pub(super) residual: bool,
    pub(super) channels: Vec<usize>,
    pub(super) kernels: Vec<[usize; 3]>,
    pub(super) strides: Vec<[usize; 3]>,
    /// Convolutions of each stage; of a residual encoder its blocks.
    pub(super) encoder_convs: Vec<usize>,
    pub(super) decoder_convs: Vec<usize>,
    /// `BatchNorm3d`; else `InstanceNorm3d`.
    pub(super) batch_norm: bool,
    /// What the norm adds to the variance.
    pub(super) norm_epsilon: f64,
}

/// What PyTorch's norms add to the variance by default, and the only value for an instance norm here.
const USUAL_EPSILON: f64 = 1e-5;

/// Reads the network of a configuration.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Unsupported`].
pub(super) fn read(configuration: &Json) -> Result<Architecture, Error> {
    match configuration.find("architecture") {
        Some(architecture) => new_plans(&architecture),
        None => old_plans(configuration),
    }
}

fn new_plans(architecture: &Json) -> Result<Architecture, Error> {
    let residual = is_residual(&architecture.get("network_class_name")?)?;
    let arguments = architecture.get("arch_kwargs")?;
    let stages = arguments.get("n_stages")?.count()?;
    let convs = if residual {
        "n_blocks_per_stage"
    } else {
        "n_conv_per_stage"
    };
    let channels = arguments
        .get("features_per_stage")?
        .each(stages, Json::count)?;
    check_layers(&arguments, residual, channels.first().copied())?;
    let (batch_norm, norm_epsilon) = norm(&arguments)?;
    Ok(Architecture {
        residual,
        channels,
        kernels: each_three(&arguments.get("kernel_sizes")?, stages)?,
        strides: each_three(&arguments.get("strides")?, stages)?,
        encoder_convs: arguments.get(convs)?.each(stages, Json::count)?,
        decoder_convs: arguments
            .get("n_conv_per_stage_decoder")?
            .each(stages.saturating_sub(1), Json::count)?,
        batch_norm,
        norm_epsilon,
    })
}

/// Before nnunetv2 2.3: channels double from stage to stage, layers are always the same.
fn old_plans(configuration: &Json) -> Result<Architecture, Error> {
    let residual = is_residual(&configuration.get("UNet_class_name")?)?;
    let convs = configuration.get("n_conv_per_stage_encoder")?;
    let stages = convs.items()?.len();
    let base = configuration.get("UNet_base_num_features")?.count()?;
    let most = configuration.get("unet_max_num_features")?.count()?;
    let channels = (0..stages).map(|stage| {
        let doubled = 1usize.checked_shl(u32::try_from(stage).unwrap_or(u32::MAX));
        base.saturating_mul(doubled.unwrap_or(usize::MAX)).min(most)
    });
    Ok(Architecture {
        residual,
        channels: channels.collect(),
        kernels: each_three(&configuration.get("conv_kernel_sizes")?, stages)?,
        strides: each_three(&configuration.get("pool_op_kernel_sizes")?, stages)?,
        encoder_convs: convs.each(stages, Json::count)?,
        decoder_convs: configuration
            .get("n_conv_per_stage_decoder")?
            .each(stages.saturating_sub(1), Json::count)?,
        batch_norm: false,
        norm_epsilon: USUAL_EPSILON,
    })
}

fn each_three(list: &Json, stages: usize) -> Result<Vec<[usize; 3]>, Error> {
    list.each(stages, |item| item.three(Json::count))
}

fn is_residual(class: &Json) -> Result<bool, Error> {
    match class.text()?.rsplit('.').next() {
        Some("PlainConvUNet") => Ok(false),
        Some("ResidualEncoderUNet") => Ok(true),
        _ => Err(class.unsupported(Feature::Architecture)),
    }
}

fn check_layers(arguments: &Json, residual: bool, width: Option<usize>) -> Result<(), Error> {
    check_class(arguments, "conv_op", "Conv3d", Feature::Convolution)?;
    check_class(arguments, "nonlin", "LeakyReLU", Feature::Activation)?;
    if let Some(slope) = arguments
        .find("nonlin_kwargs")
        .and_then(|kwargs| kwargs.find("negative_slope"))
        && !nearly(slope.number()?, crate::model::block::NEGATIVE_SLOPE)
    {
        return Err(slope.unsupported(Feature::Activation));
    }
    if let Some(first) = arguments.find("nonlin_first")
        && first.flag()?
    {
        return Err(first.unsupported(Feature::Norm));
    }
    if !residual {
        return Ok(());
    }
    if arguments.find("block").is_some() {
        check_class(arguments, "block", "BasicBlockD", Feature::Block)?;
    }
    let stem = arguments.find("stem_channels");
    let other_stem = stem.filter(|stem| stem.count().ok() != width);
    let squeezes = |value: &Json| value.flag().unwrap_or(true);
    let squeezed = arguments.find("squeeze_excitation").filter(squeezes);
    let bottleneck = arguments.find("bottleneck_channels");
    match other_stem.or(squeezed).or(bottleneck) {
        Some(value) => Err(value.unsupported(Feature::Block)),
        None => Ok(()),
    }
}

/// A class by its last name: plans write `torch.nn.modules.conv.Conv3d` and `torch.nn.Conv3d`.
fn check_class(arguments: &Json, key: &str, wanted: &str, feature: Feature) -> Result<(), Error> {
    let class = arguments.get(key)?;
    if class.text()?.rsplit('.').next() == Some(wanted) {
        return Ok(());
    }
    Err(class.unsupported(feature))
}

/// Whether the norm is a batch norm, and its epsilon.
fn norm(arguments: &Json) -> Result<(bool, f64), Error> {
    let class = arguments.get("norm_op")?;
    let batch = match class.text()?.rsplit('.').next() {
        Some("InstanceNorm3d") => false,
        Some("BatchNorm3d") => true,
        _ => return Err(class.unsupported(Feature::Norm)),
    };
    let epsilon = arguments
        .find("norm_op_kwargs")
        .and_then(|kwargs| kwargs.find("eps"));
    let Some(epsilon) = epsilon else {
        return Ok((batch, USUAL_EPSILON));
    };
    let value = epsilon.number()?;
    // That of a batch norm is folded into the weights; an instance norm computes with the usual one.
    if value > 0.0 && (batch || nearly(value, USUAL_EPSILON)) {
        return Ok((batch, value));
    }
    Err(epsilon.unsupported(Feature::Norm))
}

fn nearly(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-6 * wanted
}
