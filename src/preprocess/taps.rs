//! Which voxels along one axis a position reads, and how much of each.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions lie within the grid"
)]

/// The voxels along one axis that a position reads, edges repeated, and their weights: 2 linear, 4 Catmull-Rom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taps<const N: usize> {
    pub(super) index: [usize; N],
    pub(super) weight: [f32; N],
}

impl<const N: usize> Taps<N> {
    /// For a position in `0..=n - 1`.
    pub(super) fn at(position: f32, n: usize) -> Self {
        let base = position as usize;
        let weights = match N {
            2 => linear_weights(position.fract()),
            _ => cubic_weights(position.fract()),
        };
        let below = N / 2 - 1;
        Self {
            index: std::array::from_fn(|i| (base + i).saturating_sub(below).min(n - 1)),
            weight: std::array::from_fn(|i| weights[i]),
        }
    }

    /// The same voxels, weighted linearly for the same position.
    pub(super) fn linear(self, position: f32) -> Self {
        let linear = linear_weights(position.fract());
        let below = N / 2 - 1;
        Self {
            weight: std::array::from_fn(|i| i.checked_sub(below).map_or(0.0, |i| linear[i])),
            ..self
        }
    }

    /// The weighted sum, from the lowest voxel on.
    pub(super) fn sum(&self, value_at: impl Fn(usize) -> f32) -> f32 {
        let mut sum = self.weight[0] * value_at(self.index[0]);
        for i in 1..N {
            sum += self.weight[i] * value_at(self.index[i]);
        }
        sum
    }
}

fn linear_weights(t: f32) -> [f32; 4] {
    [1.0 - t, t, 0.0, 0.0]
}

fn cubic_weights(t: f32) -> [f32; 4] {
    [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
}
