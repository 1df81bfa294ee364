//! Self-check: a device must reproduce the golden patches before its results are trusted.

use super::golden::{Golden, GoldenCandidate};
use super::{Error, Segmenter};

/// Largest error of a probability that activations of 16 bits may cost on the golden patch.
const HALF_TOLERANCE_PROBABILITY: f32 = 1e-2;

impl Segmenter {
    /// Runs the golden patches on the device and compares logits and probabilities.
    ///
    /// # Errors
    /// [`Error::SelfCheck`] when the device miscomputes; [`Error::Gpu`].
    pub fn self_check(&self) -> Result<(), Error> {
        self.check_network()?;
        self.check_classifier()
    }

    fn check_network(&self) -> Result<(), Error> {
        let Golden {
            patch,
            input,
            logits: expected,
        } = &self.golden;
        let logits = self.network.runner(*patch)?.logits(input)?;
        let (channel, voxels) = (self.channel(), patch.iter().product());
        let probabilities = [&logits, expected].map(|logits| -> Vec<f32> {
            let probability = |voxel| channel.probability(logits, voxels, voxel);
            (0..voxels).map(probability).collect()
        });
        self.check(
            ["logit", "probability"],
            [&logits, expected],
            probabilities.each_ref().map(Vec::as_slice),
        )
    }

    fn check_classifier(&self) -> Result<(), Error> {
        let Some((ensemble, golden)) = &self.classifier else {
            return Ok(());
        };
        let GoldenCandidate {
            patch,
            input,
            outputs: expected,
        } = golden;
        let found = ensemble.evidence(&ensemble.runner(*patch)?, input, *patch)?;
        let outputs = [&[found.logit][..], &found.type_logits].concat();
        let probabilities = [&outputs, expected].map(|outputs| -> Vec<f32> {
            outputs.iter().map(|o| 1.0 / (1.0 + (-o).exp())).collect()
        });
        self.check(
            ["classifier's output", "classifier's probability"],
            [&outputs, expected],
            probabilities.each_ref().map(Vec::as_slice),
        )
    }

    /// Found and expected logits, and the probabilities that follow; with activations of 16 bits these alone.
    fn check(
        &self,
        quantities: [&'static str; 2],
        logits: [&[f32]; 2],
        probabilities: [&[f32]; 2],
    ) -> Result<(), Error> {
        let weights = &self.manifest.weights;
        let mut tolerance = weights.golden_tolerance_probability;
        if self.network.stores_halves() {
            tolerance = tolerance.max(HALF_TOLERANCE_PROBABILITY);
        } else {
            self.compare(quantities[0], logits, weights.golden_tolerance_logit)?;
        }
        self.compare(quantities[1], probabilities, tolerance)
    }

    fn compare(
        &self,
        quantity: &'static str,
        [found, expected]: [&[f32]; 2],
        tolerance: f32,
    ) -> Result<(), Error> {
        let difference = largest_difference(found, expected);
        // Written so that NaN fails.
        if difference <= tolerance {
            return Ok(());
        }
        Err(Error::SelfCheck {
            model: self.manifest.name.clone(),
            quantity,
            difference,
            tolerance,
        })
    }
}

/// Infinite where any value is NaN, so that no comparison passes.
pub(crate) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| {
        if d.is_nan() {
            f32::INFINITY
        } else {
            largest.max(d)
        }
    })
}
