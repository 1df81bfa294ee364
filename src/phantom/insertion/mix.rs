//! A drawn lesion into the scan's values, with noise as the scan has it.

use super::super::noise::ScannerNoise;
use super::super::params::Kernel;
use super::Scan;
use super::chest::{Chest, Tissue};
use super::drawing::{Drawing, Window};
use super::table::Recipe;
use super::taps::{Taps, reduce};
use crate::volume::StoredVolume;

/// Denser voxels of the lungs are no parenchyma: they take no part in its noise, HU.
const PARENCHYMA_BELOW_HU: f32 = -500.0;
/// Width of the smoothing that tells noise from what lies under it, mm.
const SMOOTHING_MM: f64 = 1.5;
/// Noise is cut off at this many standard deviations.
const MOST_SIGMA: f32 = 3.0;
/// What stands out of the parenchyma by more is a vessel's rim or an airway, no noise, in standard deviations.
const STRUCTURE_SIGMA: f32 = 2.5;
/// Finer noise is white.
const LEAST_GRAIN_PIXELS: f64 = 0.2;
/// Standard deviation of a normal distribution whose median absolute value is 1.
const MAD_SIGMA: f32 = 1.482_6;

/// Draws one lesion into the stored values.
///
/// Each voxel rises by its part of the way to the lesion's attenuation, and none ever falls: vessels and walls that are
/// denser stay as they are. Where it rises, the noise that this would take away comes back, and the table's is added.
pub(super) fn mix(
    stored: &mut StoredVolume,
    (chest, scan): (&Chest, &Scan),
    drawing: &Drawing,
    recipe: &Recipe,
    noise_seed: u64,
) {
    let noise = Noise::new(stored, chest, drawing.window, recipe.noise_hu, noise_seed);
    for (i, voxel) in drawing.window.voxels(&chest.geometry).enumerate() {
        let part = drawing.blurred[i];
        let before_hu = hu(stored, voxel);
        if part <= 0.0
            || chest.of(voxel) == Tissue::Outside
            || is_padding(stored, stored.stored(voxel))
        {
            continue;
        }
        let mut after_hu = noise.raised(before_hu, recipe.value_hu, part, i);
        if let (Some(core), Some(part)) = (recipe.core, drawing.core.get(i)) {
            after_hu = noise.raised(after_hu, core.value_hu, *part, i);
        }
        store(stored, voxel, after_hu - before_hu, scan.bits_stored);
    }
}

pub(super) fn hu(stored: &StoredVolume, linear: usize) -> f32 {
    let [_, ny, nx] = stored.geometry.size;
    stored.rescaled([linear / nx / ny, linear / nx % ny, linear % nx])
}

fn is_padding(stored: &StoredVolume, value: i32) -> bool {
    stored
        .padding
        .is_some_and(|(first, last)| (first..=last).contains(&value))
}

/// Raises a voxel, rounded to a stored value that its bits can hold; never to one that means padding.
fn store(stored: &mut StoredVolume, voxel: usize, rise_hu: f32, bits_stored: u32) {
    let [_, ny, nx] = stored.geometry.size;
    let slope = stored.rescale[voxel / nx / ny].slope;
    let (least, most) = match stored.signed {
        true => (
            -(1_i32 << (bits_stored - 1)),
            (1_i32 << (bits_stored - 1)) - 1,
        ),
        false => (0, (1_i32 << bits_stored) - 1),
    };
    let old = stored.stored(voxel);
    let new = (old + (rise_hu / slope).round() as i32).clamp(least.min(old), most.max(old));
    if !is_padding(stored, new) {
        // Two's complement of 16 bits, as the samples are.
        stored.samples[voxel] = (new & 0xFFFF) as u16;
    }
}

/// The noise of a window's voxels.
struct Noise {
    /// Standard deviation of the scan's noise and the table's together, HU.
    sigma_hu: f32,
    hu: Vec<f32>,
}

impl Noise {
    /// As strong and as coarse as the parenchyma's, and the table's `added_hu` more.
    fn new(stored: &StoredVolume, chest: &Chest, window: Window, added_hu: f32, seed: u64) -> Self {
        let texture = Texture::of(&parenchyma(stored, chest, window), window.size);
        let sigma_hu = texture.sigma_hu.hypot(added_hu);
        let scanner = ScannerNoise::of_grain(seed, sigma_hu, Kernel::Soft, texture.grain_pixels);
        let [_, ny, nx] = window.size;
        let mut hu = vec![0.0; window.size.iter().product()];
        let slices = hu.chunks_exact_mut((ny * nx).max(1)).enumerate();
        slices.for_each(|(z, slice)| scanner.add(slice, z, nx));
        let most_hu = MOST_SIGMA * sigma_hu;
        hu.iter_mut()
            .for_each(|noise| *noise = noise.clamp(-most_hu, most_hu));
        Self { sigma_hu, hu }
    }

    /// `before_hu` moved by `part` of the way to `value_hu`, with noise; never lower than before.
    fn raised(&self, before_hu: f32, value_hu: f32, part: f32, i: usize) -> f32 {
        let rise_hu = (value_hu - before_hu).max(0.0);
        let room = (rise_hu / (MOST_SIGMA * self.sigma_hu).max(1e-3)).min(1.0);
        before_hu + part * (rise_hu + room * self.hu[i])
    }
}

/// What the parenchyma of each slice has beyond its smoothed self, HU; none elsewhere.
fn parenchyma(stored: &StoredVolume, chest: &Chest, window: Window) -> Vec<Option<f32>> {
    let own = |i| {
        let hu = hu(stored, i);
        (chest.of(i) == Tissue::Lung && hu < PARENCHYMA_BELOW_HU).then_some(hu)
    };
    let values: Vec<Option<f32>> = window.voxels(&chest.geometry).map(own).collect();
    let [_, sy, sx] = chest.geometry.spacing_mm();
    let [nz, ny, nx] = window.size;
    let taps = [
        Taps::mean(nz, 1),
        Taps::gaussian(ny, 1, sy, SMOOTHING_MM),
        Taps::gaussian(nx, 1, sx, SMOOTHING_MM),
    ];
    let smooth =
        |of: fn(&Option<f32>) -> f32| reduce(&values.iter().map(of).collect::<Vec<f32>>(), &taps);
    let sum = smooth(|value| value.unwrap_or(0.0));
    let weight = smooth(|value| f32::from(u8::from(value.is_some())));
    let means = sum.iter().zip(&weight);
    let pairs = values.into_iter().zip(means);
    pairs
        .map(|(value, (sum, weight))| value.map(|value| value - sum / weight.max(1e-6)))
        .collect()
}

/// Strength and grain of noise.
struct Texture {
    sigma_hu: f32,
    /// Standard deviation of the Gaussian that makes white noise as coarse, pixels.
    grain_pixels: f64,
}

impl Texture {
    /// Of what is left of the parenchyma; what stands out from it is structure.
    fn of(residual: &[Option<f32>], size: [usize; 3]) -> Self {
        let mut sizes: Vec<f32> = residual.iter().flatten().map(|r| r.abs()).collect();
        let sigma_hu = MAD_SIGMA * median(&mut sizes).unwrap_or(0.0);
        let (mut same, mut next) = (0.0_f64, 0.0_f64);
        for row in residual.chunks_exact(size[2].max(1)) {
            for pair in row.windows(2) {
                let [Some(a), Some(b)] = pair else { continue };
                if a.abs().max(b.abs()) < STRUCTURE_SIGMA * sigma_hu {
                    same += f64::from(a * a + b * b) / 2.0;
                    next += f64::from(a * b);
                }
            }
        }
        // White noise behind a Gaussian of s pixels has the correlation exp(-1 / 4s²) from one pixel to the next.
        let correlation = (next / same.max(1e-9)).clamp(0.0, 0.9);
        let grain_pixels = 0.5 / (-correlation.max(1e-9).ln()).sqrt();
        Self {
            sigma_hu,
            grain_pixels: grain_pixels.max(LEAST_GRAIN_PIXELS),
        }
    }
}

/// The middle value; of an even number the upper one of both.
pub(super) fn median(values: &mut [f32]) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texture_is_measured_as_it_was_made() {
        let size = [3, 96, 96];
        let made = ScannerNoise::of_grain(9, 20.0, Kernel::Soft, 0.8);
        let mut hu = vec![0.0; size.iter().product()];
        let slices = hu.chunks_exact_mut(96 * 96).enumerate();
        slices.for_each(|(z, slice)| made.add(slice, z, 96));
        let residual: Vec<Option<f32>> = hu.into_iter().map(Some).collect();
        let found = Texture::of(&residual, size);
        assert!((found.sigma_hu - 20.0).abs() < 1.0, "{}", found.sigma_hu);
        assert!(
            (found.grain_pixels - 0.8).abs() < 0.08,
            "{}",
            found.grain_pixels
        );
    }

    proptest! {
        #[test]
        fn no_voxel_is_ever_lowered(
            before_hu in -1024.0..3000.0_f32,
            value_hu in -750.0..100.0_f32,
            part in 0.0..1.0_f32,
            sigma_hu in 0.0..80.0_f32,
            noise in -1.0..1.0_f32,
        ) {
            let hu = vec![noise * MOST_SIGMA * sigma_hu];
            let after = Noise { sigma_hu, hu }.raised(before_hu, value_hu, part, 0);
            prop_assert!(after >= before_hu - 1e-3, "{}", after);
            if before_hu >= value_hu {
                prop_assert!((after - before_hu).abs() < 1e-6);
            }
        }
    }
}
