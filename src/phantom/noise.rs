//! Tissue texture, fixed in the patient, and scanner noise, fixed in the slices.

use super::params::Kernel;
use glam::DVec3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Smooth random field, -1 to 1, whose grains are about `grain_mm` wide; the same at the same place for a seed.
pub(super) fn texture(p: DVec3, grain_mm: f64, seed: u32) -> f32 {
    let q = (p / grain_mm).as_vec3();
    let cell = q.floor();
    let t = q - cell;
    let t = t * t * (3.0 - 2.0 * t);
    let [x, y, z] = cell.to_array().map(|c| c as i32);
    let corner = |dx, dy, dz| lattice([x + dx, y + dy, z + dz], seed);
    let edge = |dy, dz| mix(corner(0, dy, dz), corner(1, dy, dz), t.x);
    let face = |dz| mix(edge(0, dz), edge(1, dz), t.y);
    mix(face(0), face(1), t.z)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Random value of a lattice point, -1 to 1, by an integer hash (multiply and shift).
fn lattice(cell: [i32; 3], seed: u32) -> f32 {
    let mut h = seed.wrapping_mul(0x9E37_79B9);
    for (axis, prime) in cell
        .into_iter()
        .zip([0x85EB_CA6B_u32, 0xC2B2_AE35, 0x27D4_EB2F])
    {
        h = (h ^ axis.cast_unsigned().wrapping_mul(prime)).rotate_left(13);
        h = h.wrapping_mul(0x1656_67B1);
    }
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    (h >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// Correlated Gaussian noise of one slice, zero mean, `sigma_hu`.
pub(super) struct ScannerNoise {
    seed: u64,
    sigma_hu: f32,
    kernel: Kernel,
    /// Half of the symmetric smoothing filter, from its middle outwards, sum over both halves 1.
    taps: Vec<f32>,
}

/// Width (standard deviation) of the soft kernel's noise grain, mm.
const GRAIN_MM: f64 = 0.6;
/// How much of the smoothed noise the lung kernel takes away.
const SHARPEN: f32 = 0.7;

impl ScannerNoise {
    pub(super) fn new(seed: u64, sigma_hu: f32, kernel: Kernel, pixel_mm: f64) -> Self {
        Self::of_grain(seed, sigma_hu, kernel, GRAIN_MM / pixel_mm)
    }

    /// The same by the standard deviation of its filter, pixels.
    pub(super) fn of_grain(seed: u64, sigma_hu: f32, kernel: Kernel, grain_pixels: f64) -> Self {
        let sigma = grain_pixels;
        let reach = (3.0 * sigma).ceil().clamp(1.0, 12.0) as i32;
        let gauss = |i: i32| (-0.5 * (f64::from(i) / sigma).powi(2)).exp();
        let sum: f64 = (-reach..=reach).map(gauss).sum();
        let taps = (0..=reach).map(|i| (gauss(i) / sum) as f32).collect();
        Self {
            seed,
            sigma_hu,
            kernel,
            taps,
        }
    }

    /// Adds the noise of slice `z` to `slice_hu`, rows of `width` pixels.
    pub(super) fn add(&self, slice_hu: &mut [f32], z: usize, width: usize) {
        if self.sigma_hu <= 0.0 {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(z as u64 + 1);
        let white: Vec<f32> = slice_hu
            .iter()
            .map(|_| StandardNormal.sample(&mut rng))
            .collect();
        let smooth = self.smoothed(&white, width);
        let (peak, power) = (self.taps[0].powi(2), self.power().powi(2));
        match self.kernel {
            Kernel::Soft => {
                let gain = self.sigma_hu / power.sqrt();
                slice_hu
                    .iter_mut()
                    .zip(&smooth)
                    .for_each(|(hu, n)| *hu += gain * n);
            }
            Kernel::Lung => {
                let variance = 1.0 - 2.0 * SHARPEN * peak + SHARPEN * SHARPEN * power;
                let gain = self.sigma_hu / variance.sqrt();
                for ((hu, fine), coarse) in slice_hu.iter_mut().zip(&white).zip(&smooth) {
                    *hu += gain * (fine - SHARPEN * coarse);
                }
            }
        }
    }

    /// Sum of the squared filter: the variance it leaves along one axis.
    fn power(&self) -> f32 {
        let tail: f32 = self.taps[1..].iter().map(|t| t * t).sum();
        self.taps[0].powi(2) + 2.0 * tail
    }

    /// Rows, then columns, with the slice continued periodically, so that the variance is the same at the border.
    fn smoothed(&self, slice: &[f32], width: usize) -> Vec<f32> {
        let height = slice.len() / width;
        let mut rows = vec![0.0; slice.len()];
        let reach = self.taps.len() - 1;
        let mut ring = vec![0.0; width + 2 * reach];
        for (line, out) in slice.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
            for (i, value) in ring.iter_mut().enumerate() {
                *value = line[(i + width * reach - reach) % width];
            }
            for (x, value) in out.iter_mut().enumerate() {
                *value = self.taps[0] * line[x];
                for (i, tap) in self.taps.iter().enumerate().skip(1) {
                    *value += tap * (ring[x + reach - i] + ring[x + reach + i]);
                }
            }
        }
        let mut out: Vec<f32> = rows.iter().map(|v| v * self.taps[0]).collect();
        for (y, line) in out.chunks_exact_mut(width).enumerate() {
            for (i, tap) in self.taps.iter().enumerate().skip(1) {
                let (before, after) = neighbours(y, i, height);
                let above = &rows[before * width..][..width];
                let below = &rows[after * width..][..width];
                for ((value, a), b) in line.iter_mut().zip(above).zip(below) {
                    *value += tap * (a + b);
                }
            }
        }
        out
    }
}

/// The positions `step` before and after `at` on a ring of `count`.
fn neighbours(at: usize, step: usize, count: usize) -> (usize, usize) {
    let step = step % count;
    ((at + count - step) % count, (at + step) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sigma(kernel: Kernel) -> f32 {
        let mut slice = vec![0.0; 256 * 256];
        ScannerNoise::new(3, 20.0, kernel, 0.7).add(&mut slice, 5, 256);
        (slice.iter().map(|v| v * v).sum::<f32>() / slice.len() as f32).sqrt()
    }

    #[test]
    fn noise_has_the_stated_sigma_with_either_kernel() {
        assert!(
            (sigma(Kernel::Soft) - 20.0).abs() < 0.5,
            "{}",
            sigma(Kernel::Soft)
        );
        assert!(
            (sigma(Kernel::Lung) - 20.0).abs() < 0.5,
            "{}",
            sigma(Kernel::Lung)
        );
    }

    #[test]
    fn texture_is_bounded_and_varies() {
        let values: Vec<f32> = (0..1000)
            .map(|i| texture(DVec3::new(f64::from(i) * 1.7, 3.0, -900.0), 4.0, 7))
            .collect();
        let mean = values.iter().sum::<f32>() / 1000.0;
        assert!(values.iter().all(|v| v.abs() <= 1.0));
        assert!(mean.abs() < 0.1, "{mean}");
        assert!(values.iter().any(|v| *v > 0.4) && values.iter().any(|v| *v < -0.4));
    }
}
