//! How others name the tensors of the same networks.
//!
//! In: a layer's name here. Out: its name in nnU-Net's, MONAI's or this program's own files; and which other tensors of
//! such a file are known to be copies or of use in training alone.

use super::checkpoint::StateDict;
use crate::model::UNetConfig;

/// Whose names a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `dynamic-network-architectures`, with which nnU-Net builds its networks.
    NnUNet,
    /// MONAI's `DynUNet`.
    DynUNet,
    /// `weights.safetensors`.
    Own,
}

/// What else a file may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// The same numbers as this tensor's.
    CopyOf(String),
    /// Training alone needs it.
    Training,
    Unknown,
}

impl Dialect {
    /// Whose names these are.
    pub(super) fn of(file: &StateDict) -> Self {
        let begins = |prefix: &str| file.names().any(|name| name.starts_with(prefix));
        if begins("encoder.stages.") {
            Self::NnUNet
        } else if begins("input_block.") {
            Self::DynUNet
        } else {
            Self::Own
        }
    }

    /// The convolution of a layer without a norm: `head` or `upsample.D`.
    pub(super) fn layer(self, layer: &str, config: &UNetConfig) -> String {
        let last = config.channels.len().saturating_sub(2);
        match (self, layer.strip_prefix("upsample.")) {
            (Self::Own, _) => layer.to_owned(),
            (Self::NnUNet, Some(stage)) => format!("decoder.transpconvs.{stage}"),
            (Self::NnUNet, None) => format!("decoder.seg_layers.{last}"),
            (Self::DynUNet, Some(stage)) => format!("upsamples.{stage}.transp_conv.conv"),
            (Self::DynUNet, None) => "output_block.conv.conv".into(),
        }
    }

    /// Convolution and norm of a block, such as `encoder.0.1` or `residual.2.0.project`.
    pub(super) fn block(self, block: &str, config: &UNetConfig) -> [String; 2] {
        let parts: Vec<&str> = block.split('.').collect();
        match self {
            Self::Own => ["conv", "norm"].map(|part| format!("{block}.{part}")),
            Self::NnUNet => {
                let block = nnunet_block(&parts, config);
                ["conv", "norm"].map(|part| format!("{block}.{part}"))
            }
            Self::DynUNet => dynunet_block(&parts, config),
        }
    }

    /// Scale and shift of a norm.
    pub(super) fn affine(self) -> [&'static str; 2] {
        match self {
            Self::Own => ["gamma", "beta"],
            Self::NnUNet | Self::DynUNet => ["weight", "bias"],
        }
    }

    /// What a tensor is that no layer has.
    pub(super) fn other(self, name: &str) -> Other {
        if name.ends_with(".num_batches_tracked") {
            return Other::Training;
        }
        match self {
            Self::NnUNet => nnunet_other(name),
            // MONAI registers every block a second time, nested as the skips are.
            Self::DynUNet => training(name, &["skip_layers.", "deep_supervision_heads.", "heads."]),
            Self::Own => training(name, &["deep_supervision."]),
        }
    }
}

fn nnunet_block(parts: &[&str], config: &UNetConfig) -> String {
    match parts {
        ["encoder", stage, block] => format!("encoder.stages.{stage}.0.convs.{block}"),
        ["decoder", stage, block] => format!("decoder.stages.{stage}.convs.{block}"),
        ["residual", stage, block, part] => {
            let part = match *part {
                "first" => "conv1".into(),
                "second" => "conv2".into(),
                _ => format!("skip.{}", projection(stage, block, config)),
            };
            format!("encoder.stages.{stage}.blocks.{block}.{part}")
        }
        _ => "encoder.stem.convs.0".into(),
    }
}

/// Place of the projection in a skip: behind the mean over the stride where there is one.
fn projection(stage: &str, block: &str, config: &UNetConfig) -> usize {
    let stride = stage
        .parse()
        .ok()
        .and_then(|stage: usize| config.strides.get(stage));
    usize::from(block == "0" && stride.is_some_and(|stride| *stride != [1; 3]))
}

fn dynunet_block(parts: &[&str], config: &UNetConfig) -> [String; 2] {
    let (folder, conv) = match parts {
        ["decoder", stage, conv] => (format!("upsamples.{stage}.conv_block"), conv),
        ["encoder", stage, conv] => {
            let stage: usize = stage.parse().unwrap_or(0);
            let folder = match stage {
                0 => "input_block".into(),
                _ if stage + 1 == config.channels.len() => "bottleneck".into(),
                _ => format!("downsamples.{}", stage - 1),
            };
            (folder, conv)
        }
        _ => (parts.join("."), &"0"),
    };
    let number = conv.parse().unwrap_or(0) + 1;
    [
        format!("{folder}.conv{number}.conv"),
        format!("{folder}.norm{number}"),
    ]
}

/// Blocks stand a second time under `all_modules`, the encoder a second time under the decoder.
fn nnunet_other(name: &str) -> Other {
    if let Some(encoder) = name.strip_prefix("decoder.encoder.") {
        return match nnunet_other(&format!("encoder.{encoder}")) {
            Other::Unknown => Other::CopyOf(format!("encoder.{encoder}")),
            other => other,
        };
    }
    if let Some((block, rest)) = name.split_once(".all_modules.") {
        let Some((place, tensor)) = rest.split_once('.') else {
            return Other::Unknown;
        };
        let part = if place == "0" { "conv" } else { "norm" };
        return Other::CopyOf(format!("{block}.{part}.{tensor}"));
    }
    training(name, &["decoder.seg_layers."])
}

fn training(name: &str, prefixes: &[&str]) -> Other {
    if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
        return Other::Training;
    }
    Other::Unknown
}
