//! Ranges and cross-checks of `[network]`.

use super::check;
use crate::model::unet::Architecture;
use crate::model::{Error, UNetConfig};

/// More weights than any published nnU-Net has; bounds what a manifest can make this program allocate.
const MAX_WEIGHTS: usize = 500_000_000;
/// Checks the shape of a network.
///
/// # Errors
/// [`Error::OutOfRange`] naming the key.
pub(super) fn validate(network: &UNetConfig) -> Result<(), Error> {
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
        (1..=16).contains(&network.input_channels),
        "1 to 16",
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
            // A residual block has two convolutions and a projection.
            let convs = match network.architecture {
                Architecture::Plain => convs,
                Architecture::Residual => 3 * convs + 1,
            };
            convs * kernel * widest(stage) * network.channels[stage]
        })
        .sum()
}
