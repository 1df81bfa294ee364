//! Solid forms with a signed distance: what bones, vessels, airways and lesions are made of.

use glam::{DMat3, DVec3};

/// A solid in space, mm.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Round rod between two points whose radius changes linearly.
    Tube {
        from: DVec3,
        to: DVec3,
        radii_mm: [f64; 2],
    },
    /// `axes` are the unit directions of the semi-axes, as columns.
    Ellipsoid {
        centre: DVec3,
        axes: DMat3,
        semi_mm: DVec3,
    },
    /// Upright elliptic cylinder; `semi_mm.z` is half its height.
    Cylinder { centre: DVec3, semi_mm: DVec3 },
    /// A ball of `radius_mm` with bulges around `lobes` (unit vectors).
    Lobulated {
        centre: DVec3,
        radius_mm: f64,
        lobes: Vec<DVec3>,
    },
}

/// How high a bulge rises above the ball, as a part of its radius.
const LOBE_HEIGHT: f64 = 0.35;

impl Form {
    pub(super) fn ball(centre: DVec3, radius_mm: f64) -> Self {
        let (axes, semi_mm) = (DMat3::IDENTITY, DVec3::splat(radius_mm));
        Self::Ellipsoid {
            centre,
            axes,
            semi_mm,
        }
    }

    pub(super) fn tube(from: DVec3, to: DVec3, radius_mm: f64) -> Self {
        let radii_mm = [radius_mm; 2];
        Self::Tube { from, to, radii_mm }
    }

    /// Distance to the surface, mm, negative inside; first-order right near the surface.
    pub(super) fn signed_distance(&self, p: DVec3) -> f64 {
        match self {
            Self::Tube { from, to, radii_mm } => {
                let (axis, q) = (*to - *from, p - *from);
                let t = (q.dot(axis) / axis.length_squared().max(1e-12)).clamp(0.0, 1.0);
                (q - axis * t).length() - (radii_mm[0] + (radii_mm[1] - radii_mm[0]) * t)
            }
            Self::Ellipsoid {
                centre,
                axes,
                semi_mm,
            } => ellipsoid_distance(axes.transpose() * (p - *centre), *semi_mm),
            Self::Cylinder { centre, semi_mm } => {
                let q = p - *centre;
                let radial = ellipsoid_distance(q.with_z(0.0), semi_mm.with_z(1.0));
                radial.max(q.z.abs() - semi_mm.z)
            }
            Self::Lobulated {
                centre,
                radius_mm,
                lobes,
            } => {
                let q = p - *centre;
                q.length() - radius_mm * lobed_radius(q.normalize_or_zero(), lobes)
            }
        }
    }

    /// Middle and half size of a box that holds the form.
    pub(super) fn bounds(&self) -> (DVec3, DVec3) {
        match self {
            Self::Tube { from, to, radii_mm } => {
                let radius = radii_mm[0].max(radii_mm[1]);
                ((*from + *to) / 2.0, (*to - *from).abs() / 2.0 + radius)
            }
            Self::Ellipsoid { centre, .. } => {
                (*centre, DVec3::AXES.map(|n| self.reach_mm(n)).into())
            }
            Self::Cylinder { centre, semi_mm } => (*centre, *semi_mm),
            Self::Lobulated { centre, .. } => (*centre, DVec3::splat(self.reach_mm(DVec3::X))),
        }
    }

    /// How far the form reaches from its middle along the unit vector `n`; an upper bound where it has bulges.
    pub(super) fn reach_mm(&self, n: DVec3) -> f64 {
        match self {
            Self::Ellipsoid { axes, semi_mm, .. } => (axes.transpose() * n * *semi_mm).length(),
            Self::Lobulated {
                radius_mm, lobes, ..
            } => {
                let highest = lobes
                    .iter()
                    .map(|&l| lobed_radius(l, lobes))
                    .fold(1.0, f64::max);
                // Between two close lobes the sum may exceed the value at either.
                radius_mm * highest * 1.08
            }
            Self::Tube { .. } | Self::Cylinder { .. } => self.bounds().1.length(),
        }
    }

    /// The part of a cell of `width_mm` at `p` that the form fills, 0 to 1.
    ///
    /// A ramp of the cell's width stands for the box average; radii are corrected so that the volume stays that of the form.
    pub(super) fn coverage(&self, p: DVec3, width_mm: f64) -> f64 {
        let distance = self.signed_distance(p);
        let square = width_mm * width_mm;
        match self {
            Self::Tube { radii_mm, .. } => {
                let radius = radii_mm[1];
                let drawn = (radius * radius - square / 12.0).max(square / 4.0);
                let strength = (radius * radius / (drawn + square / 12.0)).min(1.0);
                strength * ramp(distance + radius - drawn.sqrt(), width_mm)
            }
            Self::Ellipsoid { semi_mm, .. } => {
                let radius = semi_mm.min_element().max(width_mm / 2.0);
                ramp(distance + square / (12.0 * radius), width_mm)
            }
            Self::Lobulated { radius_mm, .. } => {
                ramp(distance + square / (12.0 * radius_mm), width_mm)
            }
            Self::Cylinder { .. } => ramp(distance, width_mm),
        }
    }
}

/// 1 well inside, 0 well outside, linear over `width_mm` around the surface.
pub(super) fn ramp(distance_mm: f64, width_mm: f64) -> f64 {
    (0.5 - distance_mm / width_mm).clamp(0.0, 1.0)
}

/// Signed distance of `q` from an origin-centred ellipsoid along x, y, z, to first order.
pub(super) fn ellipsoid_distance(q: DVec3, semi_mm: DVec3) -> f64 {
    let scaled = q / semi_mm;
    let (length, slope) = (scaled.length(), (scaled / semi_mm).length());
    if slope < 1e-9 {
        return -semi_mm.min_element();
    }
    length * (length - 1.0) / slope
}

/// Radius of a lobulated unit ball in direction `u`.
pub(super) fn lobed_radius(u: DVec3, lobes: &[DVec3]) -> f64 {
    let bulge = |lobe: &DVec3| u.dot(*lobe).max(0.0).powi(6);
    1.0 + LOBE_HEIGHT * lobes.iter().map(bulge).sum::<f64>()
}

/// How a shape meets what is already drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blend {
    /// Takes its place.
    Replace,
    /// Only lifts what is darker: a lesion does not erase the vessel that runs through it.
    Raise,
}

/// A form with an attenuation.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) form: Form,
    pub(super) hu: f32,
    pub(super) blend: Blend,
}

impl Shape {
    pub(super) fn solid(form: Form, hu: f32) -> Self {
        let blend = Blend::Replace;
        Self { form, hu, blend }
    }

    /// Draws the shape over `hu` in a cell of `width_mm` at `p`.
    pub(super) fn draw(&self, hu: &mut f32, p: DVec3, width_mm: f64) {
        let rise = match self.blend {
            Blend::Replace => self.hu - *hu,
            Blend::Raise => (self.hu - *hu).max(0.0),
        };
        *hu += rise * self.form.coverage(p, width_mm) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ball_covers_its_analytic_volume_at_five_cells_across() {
        let form = Form::ball(DVec3::new(0.3, -0.2, 0.1), 2.5);
        let mut covered = 0.0;
        for i in 0..10_i32.pow(3) {
            let index = DVec3::new(
                f64::from(i % 10),
                f64::from(i / 10 % 10),
                f64::from(i / 100),
            );
            covered += form.coverage(index - 4.5, 1.0);
        }
        let analytic = 4.0 / 3.0 * std::f64::consts::PI * 2.5_f64.powi(3);
        assert!(
            (covered / analytic - 1.0).abs() < 0.02,
            "{covered} {analytic}"
        );
    }

    #[test]
    fn a_thin_tube_covers_its_analytic_volume() {
        let form = Form::tube(DVec3::new(0.2, 0.4, -40.0), DVec3::new(0.2, 0.4, 40.0), 0.3);
        let mut covered = 0.0;
        for i in 0..100 {
            let p = DVec3::new(f64::from(i % 10) - 4.5, f64::from(i / 10) - 4.5, 0.0);
            covered += form.coverage(p, 1.0);
        }
        let analytic = std::f64::consts::PI * 0.09;
        assert!(
            (covered / analytic - 1.0).abs() < 0.1,
            "{covered} {analytic}"
        );
    }

    #[test]
    fn bounds_hold_a_turned_ellipsoid() {
        let axes = DMat3::from_rotation_z(0.5) * DMat3::from_rotation_x(0.3);
        let semi_mm = DVec3::new(9.0, 4.0, 2.0);
        let (centre, half) = Form::Ellipsoid {
            centre: DVec3::ONE,
            axes,
            semi_mm,
        }
        .bounds();
        let tip = DVec3::ONE + axes.x_axis * 9.0;
        assert!((tip - centre).abs().cmple(half + 1e-9).all());
    }
}
