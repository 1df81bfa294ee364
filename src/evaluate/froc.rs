//! The free-response operating characteristic: sensitivity over false positives a scan.
//!
//! Points and interpolation are those of LUNA16's own evaluation (noduleCADEvaluationLUNA16.py): one point for each
//! confidence that occurs, from none accepted to all; between points linear, beyond the last one its sensitivity.

use serde::Serialize;

/// False positives a scan at which LUNA16 reads the sensitivity; their mean is the competition performance metric (CPM).
pub const OPERATING_POINTS: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Something that is accepted at a threshold up to its confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Event {
    pub(super) confidence: f64,
    /// Index of its scan.
    pub(super) scan: usize,
    /// A nodule that is found then, or else a false positive.
    pub(super) found: bool,
}

/// What one or more scans hold, from which curves are computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Events {
    /// The most confident first.
    events: Vec<Event>,
    /// Nodules of each scan, found or not.
    nodules: Vec<u32>,
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Candidates of at least this confidence are accepted; above 1 none is.
    pub threshold: f64,
    /// False positives a scan.
    pub false_positives_per_scan: f64,
    /// Share of the nodules that are found.
    pub sensitivity: f64,
}

impl Events {
    /// `nodules` has one entry a scan.
    pub(super) fn new(mut events: Vec<Event>, nodules: Vec<u32>) -> Self {
        events.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Self { events, nodules }
    }

    /// Nodules of all scans.
    pub(super) fn nodules(&self) -> u32 {
        self.nodules.iter().sum()
    }

    /// The curve with each scan taken as often as `weights` says; none without scans or nodules.
    pub(super) fn curve(&self, weights: &[u32]) -> Option<Vec<Point>> {
        let scans = f64::from(weights.iter().sum::<u32>());
        let pairs = self.nodules.iter().zip(weights);
        let nodules: f64 = pairs.map(|(n, w)| f64::from(n * w)).sum();
        if scans <= 0.0 || nodules <= 0.0 {
            return None;
        }
        let mut points = vec![Point {
            threshold: f64::INFINITY,
            false_positives_per_scan: 0.0,
            sensitivity: 0.0,
        }];
        let (mut found, mut false_positives) = (0.0, 0.0);
        // Equal confidences are accepted together.
        for tied in self
            .events
            .chunk_by(|a, b| a.confidence.total_cmp(&b.confidence).is_eq())
        {
            for event in tied {
                let weight = f64::from(weights[event.scan]);
                match event.found {
                    true => found += weight,
                    false => false_positives += weight,
                }
            }
            points.push(Point {
                threshold: tied[0].confidence,
                false_positives_per_scan: false_positives / scans,
                sensitivity: found / nodules,
            });
        }
        Some(points)
    }
}

/// Sensitivity at a number of false positives a scan.
pub(super) fn sensitivity_at(curve: &[Point], false_positives_per_scan: f64) -> f64 {
    let rate = |point: &Point| point.false_positives_per_scan;
    let above = curve.partition_point(|point| rate(point) <= false_positives_per_scan);
    let Some(left) = above.checked_sub(1).map(|below| &curve[below]) else {
        return 0.0;
    };
    let Some(right) = curve.get(above) else {
        return left.sensitivity;
    };
    let part = (false_positives_per_scan - rate(left)) / (rate(right) - rate(left));
    left.sensitivity + part * (right.sensitivity - left.sensitivity)
}

/// Sensitivity at the operating points, and last their mean.
pub(super) fn operating_points(curve: &[Point]) -> [f64; OPERATING_POINTS.len() + 1] {
    let sensitivities = OPERATING_POINTS.map(|rate| sensitivity_at(curve, rate));
    let mean = sensitivities.iter().sum::<f64>() / sensitivities.len() as f64;
    std::array::from_fn(|i| sensitivities.get(i).copied().unwrap_or(mean))
}

/// Sensitivity and false positives a scan of all candidates of at least `threshold`.
pub(super) fn at_threshold(curve: &[Point], threshold: f64) -> [f64; 2] {
    let accepted = curve.partition_point(|point| point.threshold >= threshold);
    let point = &curve[accepted.saturating_sub(1)];
    [point.sensitivity, point.false_positives_per_scan]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "quarters and eighths are exact")]

    use super::*;

    /// Two scans of two nodules each, three of which are found, and three false positives.
    fn events() -> Events {
        let event = |(confidence, scan, found)| Event {
            confidence,
            scan,
            found,
        };
        let all = [
            (0.9, 0, true),
            (0.8, 1, false),
            (0.7, 0, true),
            (0.7, 1, false),
            (0.6, 1, true),
            (0.5, 0, false),
        ];
        Events::new(all.map(event).to_vec(), vec![2, 2])
    }

    #[test]
    fn points_are_those_counted_by_hand() {
        let curve = events().curve(&[1, 1]).expect("a curve");
        let rates: Vec<f64> = curve.iter().map(|p| p.false_positives_per_scan).collect();
        assert_eq!(rates, [0.0, 0.0, 0.5, 1.0, 1.0, 1.5]);
        let shares: Vec<f64> = curve.iter().map(|p| p.sensitivity).collect();
        assert_eq!(shares, [0.0, 0.25, 0.25, 0.5, 0.75, 0.75]);
        assert_eq!(at_threshold(&curve, 0.7), [0.5, 1.0]);
        assert_eq!(at_threshold(&curve, 1.0), [0.0, 0.0]);
    }

    #[test]
    fn sensitivity_between_points_is_linear_and_at_a_step_the_upper_one() {
        let curve = events().curve(&[1, 1]).expect("a curve");
        let rates = [0.0, 0.5, 0.75, 1.0, 8.0];
        let found = rates.map(|rate| sensitivity_at(&curve, rate));
        assert_eq!(found, [0.25, 0.25, 0.375, 0.75, 0.75]);
        let [.., mean] = operating_points(&curve);
        let expected = (0.25 * 3.0 + 0.75 * 4.0) / 7.0;
        assert!((mean - expected).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn a_scan_that_is_drawn_twice_counts_twice_and_no_scan_is_no_curve() {
        let curve = events().curve(&[2, 0]).expect("a curve");
        let last = curve[curve.len() - 1];
        assert_eq!(
            (last.sensitivity, last.false_positives_per_scan),
            (1.0, 1.0)
        );
        assert_eq!(events().curve(&[0, 0]), None);
    }
}
