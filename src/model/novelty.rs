//! How far the features of the classifier's first network lie from those of its training data: of a candidate's patch, and of
//! places in the lungs that stand for the whole scan.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sums are computed in f64 and kept in f32"
)]

use super::classify::dot;
use super::weights::Tensors;
use super::{Error, Input, Segmenter};
use std::sync::atomic::AtomicBool;

/// Where the features of training data lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Familiar {
    /// Mean of the features, `[features]`.
    mean: Vec<f32>,
    /// Brings features to mean 0 and covariance 1, `[features, features]`.
    whitening: Vec<f32>,
}

/// How the tensors are called that tell where candidates lie …
pub(super) const CANDIDATES: &str = "novelty";
/// … and where the mean over places in the lungs does.
pub(super) const INPUT: &str = "novelty.input";

impl Familiar {
    /// Takes `NAME.mean` and `NAME.whitening` from a model's tensors.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorMismatch`].
    pub(super) fn load(file: &mut Tensors<'_>, name: &str, features: usize) -> Result<Self, Error> {
        Ok(Self {
            mean: file.values(&format!("{name}.mean"), &[features])?,
            whitening: file.values(&format!("{name}.whitening"), &[features, features])?,
        })
    }

    /// Length of `whitening * (features - mean)`: standard deviations of the training data.
    pub(super) fn distance(&self, features: &[f32]) -> f32 {
        let centred = features.iter().zip(&self.mean);
        let centred: Vec<f64> = centred
            .map(|(f, mean)| f64::from(*f) - f64::from(*mean))
            .collect();
        let rows = self.whitening.chunks_exact(features.len());
        let squares = rows.map(|row| dot(row, centred.iter().copied(), 0.0).powi(2));
        squares.fold(0.0, |sum, square| sum + square).sqrt() as f32
    }
}

impl Segmenter {
    /// Novelty of a whole scan: the distance of the mean of the features at `places` (`[z, y, x]` on the model's grid) from
    /// those of the training scans. `None` of a model without classifier, or without places.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::Device`], [`Error::Gpu`], [`Error::Cancelled`].
    pub fn input_novelty(
        &self,
        input: &Input<'_>,
        places: &[[i64; 3]],
        cancel: &AtomicBool,
    ) -> Result<Option<f32>, Error> {
        let (Some((ensemble, _)), Some(first)) = (&self.classifier, places.first()) else {
            return Ok(None);
        };
        let mut sums = vec![0.0_f64; ensemble.spec().features()];
        self.look(input, places, cancel, |runner, patch| {
            let features = ensemble.features(runner, patch)?;
            let pairs = sums.iter_mut().zip(&features);
            pairs.for_each(|(sum, feature)| *sum += f64::from(*feature));
            Ok(())
        })?;
        let count = places.len() as f64;
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
        let novelty = ensemble.input.distance(&mean);
        match novelty.is_finite() {
            true => Ok(Some(novelty)),
            false => Err(self.non_finite(*first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn novelty_is_the_length_of_the_whitened_distance() {
        let familiar = Familiar {
            mean: vec![1.0, -1.0],
            whitening: vec![3.0, 0.0, 0.0, 2.0],
        };
        // (3 * (2 - 1), 2 * (1 - -1)) is 3, 4.
        assert_eq!(familiar.distance(&[2.0, 1.0]).to_bits(), 5.0f32.to_bits());
    }
}
