//! Whether a confidence of p is right in the share p of the cases.

use serde::Serialize;

/// Bins of equal count of the reliability table.
pub(super) const BINS: usize = 15;

/// One candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) confidence: f64,
    /// It hits a nodule of enough readers.
    pub(super) hit: bool,
    /// Index of its scan.
    pub(super) scan: usize,
}

/// Candidates, sorted by confidence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples(Vec<Sample>);

/// One row of the reliability table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Candidates.
    pub n: usize,
    /// Least confidence.
    pub lowest: f64,
    /// Largest confidence.
    pub highest: f64,
    /// Mean confidence.
    pub confidence: f64,
    /// Share of the candidates that hit a nodule.
    pub observed: f64,
}

impl Samples {
    pub(super) fn new(mut samples: Vec<Sample>) -> Self {
        // Sums of numbers depend on their order, so that of ties is fixed too.
        let key = |sample: &Sample| (sample.hit, sample.scan);
        samples.sort_by(|a, b| {
            a.confidence
                .total_cmp(&b.confidence)
                .then(key(a).cmp(&key(b)))
        });
        Self(samples)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn hits(&self) -> usize {
        self.0.iter().filter(|sample| sample.hit).count()
    }

    /// The reliability table with each scan taken as often as `weights` says, of as many bins as there are candidates and
    /// 15 at most, which differ by one in their count.
    ///
    /// Candidates of equal confidence share their mean outcome, so that no order among them matters.
    pub(super) fn table(&self, weights: &[u32]) -> Vec<Bin> {
        let mut rows: Vec<(f64, f64)> = Vec::with_capacity(self.0.len());
        let ties = self
            .0
            .chunk_by(|a, b| a.confidence.total_cmp(&b.confidence).is_eq());
        for tied in ties {
            let weight = |sample: &Sample| weights[sample.scan] as usize;
            let all: usize = tied.iter().map(weight).sum();
            let hits: usize = tied.iter().filter(|s| s.hit).map(weight).sum();
            let row = (tied[0].confidence, hits as f64 / all.max(1) as f64);
            rows.extend(std::iter::repeat_n(row, all));
        }
        let bins = BINS.min(rows.len());
        let mut rest = &rows[..];
        let mut table = Vec::with_capacity(bins);
        for bin in 0..bins {
            let count = rows.len() / bins + usize::from(bin < rows.len() % bins);
            let (own, others) = rest.split_at(count);
            table.extend(summed(own));
            rest = others;
        }
        table
    }

    /// Mean squared difference of confidence and outcome (Brier 1950); none without candidates.
    pub(super) fn brier(&self, weights: &[u32]) -> Option<f64> {
        let squared = |s: &Sample| (s.confidence - f64::from(u8::from(s.hit))).powi(2);
        let weight = |s: &Sample| f64::from(weights[s.scan]);
        let all: f64 = self.0.iter().map(weight).sum();
        let sum: f64 = self.0.iter().map(|s| weight(s) * squared(s)).sum();
        (all > 0.0).then(|| sum / all)
    }
}

fn summed(rows: &[(f64, f64)]) -> Option<Bin> {
    let (first, last) = (rows.first()?, rows.last()?);
    let mean = |of: fn(&(f64, f64)) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
    Some(Bin {
        n: rows.len(),
        lowest: first.0,
        highest: last.0,
        confidence: mean(|row| row.0),
        observed: mean(|row| row.1),
    })
}

/// Expected calibration error: mean over candidates of the difference between the bin's confidence and its share of hits;
/// none without candidates.
pub(super) fn expected_error(table: &[Bin]) -> Option<f64> {
    let all: usize = table.iter().map(|bin| bin.n).sum();
    let error = |bin: &Bin| bin.n as f64 * (bin.confidence - bin.observed).abs();
    (all > 0).then(|| table.iter().map(error).sum::<f64>() / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[(f64, bool, usize)]) -> Samples {
        let sample = |(confidence, hit, scan): &(f64, bool, usize)| Sample {
            confidence: *confidence,
            hit: *hit,
            scan: *scan,
        };
        Samples::new(of.iter().map(sample).collect())
    }

    #[test]
    fn equal_confidences_share_their_outcome_whatever_bin_they_fall_into() {
        // 20 candidates of confidence 0.5 of which half hit are perfectly calibrated.
        let all: Vec<_> = (0..20).map(|i| (0.5, i % 2 == 0, 0)).collect();
        let table = samples(&all).table(&[1]);
        let counts: Vec<usize> = table.iter().map(|bin| bin.n).collect();
        assert_eq!(counts, [[2; 5].as_slice(), &[1; 10]].concat());
        assert_eq!(expected_error(&table), Some(0.0));
    }

    #[test]
    fn error_and_brier_are_the_hand_computed_ones_and_weights_repeat_scans() {
        let few = samples(&[(0.25, false, 0), (0.75, true, 1)]);
        assert_eq!(expected_error(&few.table(&[1, 1])), Some(0.25));
        assert_eq!(few.brier(&[1, 1]), Some(0.0625));
        let weighted = few.table(&[0, 3]);
        assert_eq!(weighted.iter().map(|bin| bin.n).sum::<usize>(), 3);
        assert_eq!((few.table(&[0, 0]).len(), few.brier(&[0, 0])), (0, None));
        assert_eq!(expected_error(&[]), None);
    }
}
