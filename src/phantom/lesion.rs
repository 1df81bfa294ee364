//! Lesions: their outlines, their exact volumes, and where they fit.

use super::Error;
use super::anatomy::Chest;
use super::params::{Density, LesionShape, LesionSpec, Lesions, Params, Place};
use super::shape::{Blend, Form, Shape, lobed_radius};
use super::tree::Branch;
use crate::volume::Geometry;
use glam::{DMat3, DQuat, DVec3};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;

/// HU of the solid core of a part-solid lesion.
const CORE_HU: f32 = 40.0;
/// Diameter of that core as a part of the lesion's.
const CORE_PART: f64 = 0.5;
/// Least distance between two lesions' surfaces, mm.
const APART_MM: f64 = 8.0;

/// A lesion in its place, in anatomy coordinates.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) spec: LesionSpec,
    pub(super) form: Form,
    pub(super) centroid: DVec3,
    /// Radius of the ball of the same volume, mm.
    pub(super) radius_mm: f64,
    core: Option<Form>,
}

impl Placed {
    /// What to draw, in order.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let raise = |form: &Form, hu| Shape {
            form: form.clone(),
            hu,
            blend: Blend::Raise,
        };
        let mut shapes = vec![raise(&self.form, self.spec.density.hu())];
        shapes.extend(self.core.iter().map(|core| raise(core, CORE_HU)));
        shapes
    }

    /// Attenuation and diameter, as a part of the whole, of the solid core of a part-solid lesion.
    pub(super) fn core(&self) -> Option<(f32, f64)> {
        self.core.as_ref().map(|_| (CORE_HU, CORE_PART))
    }
}

/// The lesions asked for; a number is made into that many of mixed kinds.
pub(super) fn specs(lesions: &Lesions, rng: &mut ChaCha8Rng) -> Vec<LesionSpec> {
    let count = match lesions {
        Lesions::List(specs) => return specs.clone(),
        Lesions::Count(n) => *n,
    };
    let shapes = [
        LesionShape::Sphere,
        LesionShape::Lobulated,
        LesionShape::Ellipsoid,
    ];
    let densities = [
        Density::Solid,
        Density::Solid,
        Density::PartSolid,
        Density::GroundGlass,
    ];
    let places = [Place::Parenchyma, Place::Juxtapleural, Place::Juxtavascular];
    (0..count)
        .map(|i| {
            // Small ones are common: diameters are spread evenly by their logarithm.
            let part = (i as f64 + rng.random_range(0.0..1.0)) / count as f64;
            let diameter_mm = 4.0 * (30.0_f64 / 4.0).powf(1.0 - part);
            let place = places[i % places.len()];
            LesionSpec::new(
                diameter_mm,
                shapes[(i + i / 3) % 3],
                densities[i % densities.len()],
                place,
            )
        })
        .collect()
}

/// The surroundings that decide where a lesion fits.
pub(super) struct Site<'a> {
    pub(super) params: &'a Params,
    pub(super) geometry: Geometry,
    pub(super) chest: &'a Chest,
    pub(super) vessels: &'a [Branch],
}

impl Site<'_> {
    /// Places every lesion, in order.
    ///
    /// # Errors
    /// [`Error::NoRoom`] when a lesion fits nowhere in the lung within the grid.
    pub(super) fn place(
        &self,
        specs: Vec<LesionSpec>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Placed>, Error> {
        let mut placed: Vec<Placed> = Vec::new();
        for (i, spec) in specs.into_iter().enumerate() {
            let lesion = match spec.centre_lps_mm {
                Some(centre) => self.given(&spec, DVec3::from(centre), &placed, rng),
                None => self.find(&spec, &placed, rng),
            };
            let lesion = lesion.ok_or(Error::NoRoom {
                label: i + 1,
                diameter_mm: spec.diameter_mm,
            })?;
            placed.push(lesion);
        }
        Ok(placed)
    }

    /// A lesion at the centre that was asked for, if that lies in the grid and apart from the others.
    fn given(
        &self,
        spec: &LesionSpec,
        centre_lps_mm: DVec3,
        others: &[Placed],
        rng: &mut ChaCha8Rng,
    ) -> Option<Placed> {
        let lesion = self.outline(spec, centre_lps_mm / self.params.chest_scale, rng);
        let index = self.geometry.lps_to_index().transform_point3(centre_lps_mm);
        let [nz, ny, nx] = self.params.size.map(|n| n as f64 - 1.0);
        let in_grid = index.cmpge(DVec3::ZERO).all() && index.cmple(DVec3::new(nx, ny, nz)).all();
        (in_grid && apart(&lesion, others, 0.0)).then_some(lesion)
    }

    /// A lesion of that kind in a place of its own; none where there is no room.
    pub(super) fn find(
        &self,
        spec: &LesionSpec,
        others: &[Placed],
        rng: &mut ChaCha8Rng,
    ) -> Option<Placed> {
        const TRIES: usize = 20_000;
        let (lower, upper) = self.geometry.bounds_lps_mm();
        (0..TRIES).find_map(|_| {
            let part = DVec3::from_array(std::array::from_fn(|_| rng.random_range(0.0..1.0)));
            let start = (lower + (upper - lower) * part) / self.params.chest_scale;
            if self.chest.lung_distance(start) > 0.0 {
                return None;
            }
            let lesion = self.outline(spec, DVec3::ZERO, rng);
            let centre = self.nudge(spec.place, &lesion, start, rng)?;
            let lesion = lesion.moved(centre);
            (self.fits(&lesion) && apart(&lesion, others, APART_MM)).then_some(lesion)
        })
    }

    /// Moves a point of the lung to where a lesion of this place would have its middle.
    fn nudge(
        &self,
        place: Place,
        lesion: &Placed,
        start: DVec3,
        rng: &mut ChaCha8Rng,
    ) -> Option<DVec3> {
        let radius_mm = lesion.form.bounds().1.max_element();
        let place = if self.vessels.is_empty() && place == Place::Juxtavascular {
            Place::Parenchyma
        } else {
            place
        };
        match place {
            Place::Parenchyma => {
                let lonely = self.nearest_vessel_mm(start) > radius_mm + 2.0;
                (lonely && self.chest.lung_distance(start) < -(radius_mm + 4.0)).then_some(start)
            }
            Place::Juxtapleural => {
                let mut centre = start;
                for _ in 0..12 {
                    let normal = self.chest.lung_normal(centre);
                    let gap = -self.chest.lung_distance(centre) - lesion.form.reach_mm(normal);
                    centre += normal * gap;
                }
                let reach = lesion.form.reach_mm(self.chest.lung_normal(centre));
                let touches = (self.chest.lung_distance(centre) + reach).abs() < 0.3;
                (touches && self.chest.mediastinal_distance(centre) > radius_mm + 6.0)
                    .then_some(centre)
            }
            Place::Juxtavascular => {
                let vessel = self
                    .vessels
                    .get(rng.random_range(0..self.vessels.len().max(1)))?;
                let along = (vessel.to - vessel.from).normalize_or(DVec3::Z);
                let aside = along
                    .cross(start - vessel.from)
                    .normalize_or(along.any_orthonormal_vector());
                let centre = vessel.from.midpoint(vessel.to)
                    + aside * (lesion.form.reach_mm(aside) + 0.5 * vessel.radii_mm[1]);
                let plain_size = (0.9..3.0).contains(&vessel.radii_mm[1]);
                (plain_size && self.chest.lung_distance(centre) < -(radius_mm + 3.0))
                    .then_some(centre)
            }
        }
    }

    /// Distance to the surface of the nearest vessel that a reader would call one, mm.
    fn nearest_vessel_mm(&self, p: DVec3) -> f64 {
        const NAMED_MM: f64 = 1.4;
        self.vessels
            .iter()
            .filter(|v| v.radii_mm[1] > NAMED_MM)
            .map(|v| v.form().signed_distance(p))
            .fold(f64::INFINITY, f64::min)
    }

    /// The whole lesion lies in the lung and in the grid (and in its circle).
    fn fits(&self, lesion: &Placed) -> bool {
        const SLACK_MM: f64 = 0.6;
        let (centre, _) = lesion.form.bounds();
        let to_index = self.geometry.lps_to_index();
        let [nz, ny, nx] = self.params.size.map(|n| n as f64 - 1.0);
        let middle = DVec3::new(nx, ny, nz) / 2.0;
        sphere_directions(120).all(|u| {
            let p = centre + u * lesion.form.reach_mm(u);
            let index = to_index.transform_point3(p * self.params.chest_scale);
            let off = ((index - middle) / middle.max(DVec3::ONE)).abs();
            let in_grid = ((index - middle).abs() + 2.0).cmple(middle).all();
            let in_circle = !self.params.circular_fov || off.truncate().length() < 0.97;
            in_grid && in_circle && self.chest.lung_distance(p) < SLACK_MM
        })
    }

    /// The lesion's form around `centre`, turned at random, of the volume that its diameter says.
    pub(super) fn outline(&self, spec: &LesionSpec, centre: DVec3, rng: &mut ChaCha8Rng) -> Placed {
        let radius_mm = spec.diameter_mm / 2.0 / self.params.chest_scale;
        let (form, shift) = match spec.shape {
            LesionShape::Sphere => (Form::ball(centre, radius_mm), DVec3::ZERO),
            LesionShape::Ellipsoid => (ellipsoid(centre, radius_mm, rng), DVec3::ZERO),
            LesionShape::Lobulated => lobulated(centre, radius_mm, rng),
        };
        let core =
            (spec.density == Density::PartSolid).then(|| Form::ball(centre, radius_mm * CORE_PART));
        Placed {
            spec: spec.clone(),
            form,
            centroid: centre + shift,
            radius_mm,
            core,
        }
    }
}

impl Placed {
    /// The same lesion, made around the origin, around `to`.
    pub(super) fn moved(mut self, to: DVec3) -> Self {
        for form in [Some(&mut self.form), self.core.as_mut()]
            .into_iter()
            .flatten()
        {
            if let Form::Ellipsoid { centre, .. } | Form::Lobulated { centre, .. } = form {
                *centre += to;
            }
        }
        self.centroid += to;
        self
    }
}

/// Whether the balls around two lesions leave `gap_mm` between them.
pub(super) fn apart(lesion: &Placed, others: &[Placed], gap_mm: f64) -> bool {
    let ball = |l: &Placed| (l.form.bounds().0, l.form.bounds().1.max_element());
    let (centre, radius_mm) = ball(lesion);
    others
        .iter()
        .map(ball)
        .all(|(c, r)| centre.distance(c) > radius_mm + r + gap_mm)
}

/// A random turn.
pub(super) fn turn(rng: &mut ChaCha8Rng) -> DMat3 {
    let mut part = || rng.random_range(-1.0..1.0);
    let q = DQuat::from_xyzw(part(), part(), part(), part());
    DMat3::from_quat(if q.length() < 1e-3 {
        DQuat::IDENTITY
    } else {
        q.normalize()
    })
}

/// Axes of 1.25 : 1 : 0.8 of the radius.
fn ellipsoid(centre: DVec3, radius_mm: f64, rng: &mut ChaCha8Rng) -> Form {
    let axes = turn(rng);
    let semi_mm = DVec3::new(1.25, 1.0, 0.8) * radius_mm;
    Form::Ellipsoid {
        centre,
        axes,
        semi_mm,
    }
}

/// Four bulges; also gives the centroid's offset from `centre`.
fn lobulated(centre: DVec3, radius_mm: f64, rng: &mut ChaCha8Rng) -> (Form, DVec3) {
    let axes = turn(rng);
    let lobes = vec![
        axes.x_axis,
        axes.y_axis,
        -(axes.x_axis + axes.y_axis).normalize(),
        axes.z_axis,
    ];
    let (volume, offset) = unit_moments(&lobes);
    // The ball under the bulges shrinks, so that the whole has the volume asked for.
    let radius_mm = radius_mm * (4.0 / 3.0 * PI / volume).cbrt();
    let form = Form::Lobulated {
        centre,
        radius_mm,
        lobes,
    };
    (form, offset * radius_mm)
}

/// Volume and centroid of the lobulated unit ball, by quadrature over directions.
fn unit_moments(lobes: &[DVec3]) -> (f64, DVec3) {
    const DIRECTIONS: u32 = 4000;
    let mut volume = 0.0;
    let mut moment = DVec3::ZERO;
    for u in sphere_directions(DIRECTIONS) {
        let r = lobed_radius(u, lobes);
        volume += r.powi(3) / 3.0;
        moment += u * (r.powi(4) / 4.0);
    }
    let area = 4.0 * PI / f64::from(DIRECTIONS);
    (volume * area, moment / volume)
}

/// Unit vectors spread evenly over the sphere (Fibonacci lattice).
pub(super) fn sphere_directions(count: u32) -> impl Iterator<Item = DVec3> {
    let golden = PI * (3.0 - 5.0_f64.sqrt());
    (0..count).map(move |i| {
        let z = 1.0 - (2.0 * f64::from(i) + 1.0) / f64::from(count);
        let (sin, cos) = (golden * f64::from(i)).sin_cos();
        let r = (1.0 - z * z).sqrt();
        DVec3::new(r * cos, r * sin, z)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_lobulated_lesion_has_the_volume_and_centroid_it_states() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (form, offset) = lobulated(DVec3::ZERO, 10.0, &mut rng);
        let (mut volume, mut moment) = (0.0, DVec3::ZERO);
        for i in 0..64_i32.pow(3) {
            let index = DVec3::new(
                f64::from(i % 64),
                f64::from(i / 64 % 64),
                f64::from(i / 4096),
            );
            let p = (index - 31.5) * 0.5;
            let part = form.coverage(p, 0.5) * 0.125;
            volume += part;
            moment += p * part;
        }
        assert!(
            (volume / (4000.0 / 3.0 * PI) - 1.0).abs() < 0.01,
            "{volume}"
        );
        assert!(
            (moment / volume).distance(offset) < 0.05,
            "{} {offset}",
            moment / volume
        );
    }
}
