//! Ranges and cross-checks of `[network]`.

use super::check;
use crate::model::unet::Architecture;
use crate::model::{Error, UNetConfig};

/// More weights than any published nnU-Net has; bounds what a manifest can make this program allocate.
const MAX_WEIGHTS: usize = 500_000_000;

/// Encoder stages, under the keys of their channels, kernels, strides and convolutions.
pub(super) struct Stages<'a> {
    pub(super) keys: [&'static str; 4],
    pub(super) channels: &'a [usize],
    pub(super) kernels: &'a [[usize; 3]],
    pub(super) strides: &'a [[usize; 3]],
    pub(super) convs: &'a [usize],
}

impl Stages<'_> {
    /// Checks that every stage has an entry in each list, and every entry's range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the key.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let [channels, kernels, strides, convs] = self.keys;
        let stages = self.channels.len();
        check(
            channels,
            stages,
            (1..=10).contains(&stages),
            "1 to 10 stages",
        )?;
        for (key, found) in [
            (kernels, self.kernels.len()),
            (strides, self.strides.len()),
            (convs, self.convs.len()),
        ] {
            check(key, found, found == stages, "one entry a stage")?;
        }
        check(
            channels,
            format!("{:?}", self.channels),
            self.channels.iter().all(|c| (1..=2048).contains(c)),
            "1 to 2048 each",
        )?;
        let odd = |k: &usize| k % 2 == 1 && *k <= 11;
        check(
            kernels,
            format!("{:?}", self.kernels),
            self.kernels.iter().flatten().all(odd),
            "odd, at most 11",
        )?;
        check(
            strides,
            format!("{:?}", self.strides),
            self.strides.iter().flatten().all(|s| (1..=4).contains(s)),
            "1 to 4",
        )?;
        check_convs(convs, self.convs)
    }
}

/// Checks the shape of a network.
///
/// # Errors
/// [`Error::OutOfRange`] naming the key.
pub(super) fn validate(network: &UNetConfig) -> Result<(), Error> {
    Stages {
        keys: [
            "network.channels",
            "network.kernels",
            "network.strides",
            "network.encoder_convs",
        ],
        channels: &network.channels,
        kernels: &network.kernels,
        strides: &network.strides,
        convs: &network.encoder_convs,
    }
    .validate()?;
    let decoder = network.decoder_convs.len();
    check(
        "network.decoder_convs",
        decoder,
        decoder + 1 == network.channels.len(),
        "one entry fewer than stages",
    )?;
    check_convs("network.decoder_convs", &network.decoder_convs)?;
    check(
        "network.strides",
        format!("{:?}", network.strides[0]),
        network.strides[0] == [1; 3],
        "the first [1, 1, 1]",
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
    check_weights("network.channels", network)
}

fn check_convs(key: &'static str, convs: &[usize]) -> Result<(), Error> {
    let fits = convs.iter().all(|n| (1..=10).contains(n));
    check(key, format!("{convs:?}"), fits, "1 to 10 each")
}

/// Checks the number of weights of a network whose single values are in range; it may have no decoder.
///
/// # Errors
/// [`Error::OutOfRange`].
pub(super) fn check_weights(key: &'static str, network: &UNetConfig) -> Result<(), Error> {
    let weights = weight_count(network);
    check(
        key,
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
                    .and_then(|i| network.decoder_convs.get(i))
                    .unwrap_or(&0);
            // A residual block has two convolutions and a projection.
            let convs = match network.architecture {
                Architecture::Plain => convs,
                Architecture::Residual => 3 * convs + 1,
            };
            convs * kernel * widest(stage) * network.channels[stage]
        })
        .sum()
}
