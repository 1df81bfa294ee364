//! How much a region of high uptake stands out: a score by rule, no probability.

use super::reference::USUAL_LIVER_SUV;

/// What the score follows from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// Largest smoothed SUV.
    pub peak_suv: f64,
    /// Median SUV of what lies around.
    pub background_suv: f64,
    /// Mean of the liver's sphere, where there is one.
    pub liver_suv: Option<f64>,
    pub volume_ml: f64,
    /// It touches physiological uptake.
    pub beside: bool,
}

/// A lesion of this volume has half of what size gives, ml.
const HALF_ML: f64 = 0.25;
/// What is left of the score of a lesion beside physiological uptake.
const BESIDE: f64 = 0.5;

impl Score {
    /// 0 to 1: (1 − larger of background and half the liver ÷ peak) × volume ÷ (volume + 0.25 ml), halved beside an organ.
    ///
    /// It grows with peak and volume, and falls with what lies around.
    pub(super) fn value(&self) -> f32 {
        let liver_suv = self.liver_suv.unwrap_or(USUAL_LIVER_SUV);
        let level = self.background_suv.max(0.5 * liver_suv);
        let contrast = (1.0 - level / self.peak_suv).max(0.0);
        let size = self.volume_ml / (self.volume_ml + HALF_ML);
        let beside = if self.beside { BESIDE } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "confidences are single precision"
        )]
        let score = (contrast * size * beside) as f32;
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCORE: Score = Score {
        peak_suv: 8.0,
        background_suv: 2.0,
        liver_suv: Some(2.0),
        volume_ml: 0.75,
        beside: false,
    };

    #[test]
    fn the_score_is_contrast_times_size_and_halved_beside_an_organ() {
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        close(SCORE.value(), 0.75 * 0.75);
        close(
            Score {
                beside: true,
                ..SCORE
            }
            .value(),
            0.5 * 0.75 * 0.75,
        );
        // In the lung half of the liver counts.
        close(
            Score {
                background_suv: 0.4,
                ..SCORE
            }
            .value(),
            0.875 * 0.75,
        );
        close(
            Score {
                peak_suv: 1.0,
                ..SCORE
            }
            .value(),
            0.0,
        );
    }

    proptest! {
        #[test]
        fn the_score_lies_within_0_and_1_grows_with_peak_and_size_and_falls_with_the_background(
            peak_suv in 0.5..60.0_f64, background_suv in 0.0..10.0_f64, volume_ml in 0.01..500.0_f64, more in 1.0..3.0_f64,
        ) {
            let score = Score { peak_suv, background_suv, volume_ml, ..SCORE };
            let value = score.value();
            prop_assert!((0.0..=1.0).contains(&value));
            let brighter = Score { peak_suv: peak_suv * more, ..score };
            let larger = Score { volume_ml: volume_ml * more, ..score };
            let warmer = Score { background_suv: background_suv * more, ..score };
            prop_assert!(brighter.value() >= value && larger.value() >= value && warmer.value() <= value);
        }
    }
}
