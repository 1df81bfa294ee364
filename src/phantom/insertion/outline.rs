//! A lesion's surface as a distance from its middle in every direction.

use super::super::lesion::{sphere_directions, turn};
use super::table::Margin;
use glam::{DMat3, DVec3};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::ops::RangeInclusive;

/// Directions over which volumes and the farthest reach are taken.
const DIRECTIONS: u32 = 8000;
/// Least ratio of two semi-axes.
const LEAST_RATIO: f64 = 0.75;
/// Standard deviation of a spicule's thickness where it leaves the surface, mm; as seen from the middle, within limits.
const SPICULE_MM: f64 = 0.8;
const SPICULE_RAD: RangeInclusive<f64> = 0.05..=0.2;

/// A solid around the origin: an ellipsoid, times waves, times spicules.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    axes: DMat3,
    semi_mm: DVec3,
    waves: Vec<Wave>,
    spicules: Vec<Spicule>,
    least_mm: f64,
    most_mm: f64,
}

/// A zonal spherical harmonic: the Legendre polynomial of the angle from `axis`, times `height`.
#[derive(Debug, Clone)]
struct Wave {
    axis: DVec3,
    degree: u8,
    height: f64,
}

#[derive(Debug, Clone)]
struct Spicule {
    axis: DVec3,
    /// How far it rises, as a part of the surface's distance.
    height: f64,
    /// Its standard deviation as seen from the middle, radians.
    width_rad: f64,
}

impl Wave {
    fn at(&self, u: DVec3) -> f64 {
        let t = u.dot(self.axis);
        let legendre = match self.degree {
            2 => 1.5 * t * t - 0.5,
            3 => (2.5 * t * t - 1.5) * t,
            _ => (4.375 * t * t - 3.75) * t * t + 0.375,
        };
        self.height * legendre
    }
}

impl Spicule {
    fn at(&self, u: DVec3) -> f64 {
        let exponent = (u.dot(self.axis) - 1.0) / self.width_rad.powi(2);
        match exponent > -10.0 {
            true => self.height * exponent.exp(),
            false => 0.0,
        }
    }
}

impl Outline {
    /// An outline of the volume of a ball of `diameter_mm`.
    pub(super) fn new(margin: Margin, diameter_mm: f64, rng: &mut ChaCha8Rng) -> Self {
        let (height, spicules) = match margin {
            Margin::Smooth => (0.0, 0),
            Margin::Lobulated => (0.16, 0),
            Margin::Spiculated => (0.06, rng.random_range(10..20)),
        };
        let (least_rad, most_rad) = SPICULE_RAD.into_inner();
        let width_rad = (SPICULE_MM / (diameter_mm / 2.0)).clamp(least_rad, most_rad);
        let mut ratio = || rng.random_range(LEAST_RATIO..1.0);
        let semi_mm = DVec3::new(1.0, ratio(), ratio());
        let axes = turn(rng);
        let waves = (0..9_u8).filter(|_| height > 0.0).map(|i| Wave {
            axis: turn(rng).x_axis,
            degree: 2 + i % 3,
            height: rng.random_range(-height..height),
        });
        let waves = waves.collect();
        let spicules = (0..spicules).map(|_| Spicule {
            axis: turn(rng).x_axis,
            height: rng.random_range(0.25..0.7),
            width_rad,
        });
        let outline = Self {
            axes,
            semi_mm,
            waves,
            spicules: spicules.collect(),
            least_mm: 0.0,
            most_mm: 0.0,
        };
        outline.of_volume(PI / 6.0 * diameter_mm.powi(3))
    }

    /// The ball of `diameter_mm`.
    #[cfg(test)]
    pub(super) fn ball(diameter_mm: f64) -> Self {
        let radius_mm = diameter_mm / 2.0;
        Self {
            axes: DMat3::IDENTITY,
            semi_mm: DVec3::splat(radius_mm),
            waves: Vec::new(),
            spicules: Vec::new(),
            least_mm: radius_mm,
            most_mm: radius_mm,
        }
    }

    fn of_volume(mut self, volume_mm3: f64) -> Self {
        let scale = (volume_mm3 / self.volume_mm3()).cbrt();
        self.semi_mm *= scale;
        let tips = self.spicules.iter().map(|spicule| spicule.axis);
        let reach: Vec<f64> = sphere_directions(DIRECTIONS)
            .chain(tips)
            .map(|u| self.radius_mm(u))
            .collect();
        // Between two sampled directions the surface may lie a little nearer or farther.
        self.least_mm = reach.iter().copied().fold(f64::INFINITY, f64::min) * 0.95;
        self.most_mm = reach.iter().copied().fold(0.0, f64::max) * 1.05;
        self
    }

    /// Volume, mm³, by quadrature over directions.
    pub(super) fn volume_mm3(&self) -> f64 {
        let cubes = sphere_directions(DIRECTIONS).map(|u| self.radius_mm(u).powi(3));
        cubes.sum::<f64>() * 4.0 * PI / 3.0 / f64::from(DIRECTIONS)
    }

    /// The same form, `factor` times as wide.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self {
            semi_mm: self.semi_mm * factor,
            least_mm: self.least_mm * factor,
            most_mm: self.most_mm * factor,
            ..self.clone()
        }
    }

    /// Distance of the surface from the middle along the unit vector `u`, mm.
    pub(super) fn radius_mm(&self, u: DVec3) -> f64 {
        let ellipsoid_mm = 1.0 / (self.axes.transpose() * u / self.semi_mm).length();
        let waves: f64 = self.waves.iter().map(|wave| wave.at(u)).sum();
        let spicules: f64 = self.spicules.iter().map(|spicule| spicule.at(u)).sum();
        ellipsoid_mm * (1.0 + waves).max(0.4) * (1.0 + spicules)
    }

    /// Radius of a ball around the middle that holds everything, mm.
    pub(super) fn most_mm(&self) -> f64 {
        self.most_mm
    }

    /// Whether the offset `q` from the middle lies within `margin_mm` of the form along its ray.
    pub(super) fn holds(&self, q: DVec3, margin_mm: f64) -> bool {
        let length = q.length() - margin_mm;
        length <= self.least_mm
            || length <= self.most_mm && length <= self.radius_mm(q.normalize_or(DVec3::X))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn every_outline_has_the_volume_of_its_diameter(seed: u64, kind in 0..3_usize, diameter_mm in 3.0..30.0) {
            let margin = [Margin::Smooth, Margin::Lobulated, Margin::Spiculated][kind];
            let outline = Outline::new(margin, diameter_mm, &mut ChaCha8Rng::seed_from_u64(seed));
            let (mut inside, step_mm) = (0_u32, outline.most_mm() / 20.0);
            for i in 0..40_i32.pow(3) {
                let index = DVec3::new(f64::from(i % 40), f64::from(i / 40 % 40), f64::from(i / 1600));
                inside += u32::from(outline.holds((index - 19.5) * step_mm, 0.0));
            }
            let counted = f64::from(inside) * step_mm.powi(3);
            let analytic = PI / 6.0 * diameter_mm.powi(3);
            prop_assert!((counted / analytic - 1.0).abs() < 0.04, "{} {}", counted, analytic);
        }
    }

    #[test]
    fn margins_differ_in_their_surface() {
        let roughness = |margin| {
            let outline = Outline::new(margin, 10.0, &mut ChaCha8Rng::seed_from_u64(5));
            outline.most_mm() / outline.least_mm
        };
        assert!(roughness(Margin::Smooth) < roughness(Margin::Lobulated));
        assert!(roughness(Margin::Lobulated) < roughness(Margin::Spiculated));
    }

    #[test]
    fn a_scaled_outline_has_the_cube_of_the_factor_in_volume() {
        let outline = Outline::new(Margin::Lobulated, 9.0, &mut ChaCha8Rng::seed_from_u64(1));
        let part = outline.scaled(0.5).volume_mm3() / outline.volume_mm3();
        assert!((part - 0.125).abs() < 1e-9);
    }
}
