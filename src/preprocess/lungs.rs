//! Body and lungs: in goes smoothed HU on a 2 mm grid along the patient's axes; out come the masks that choose where
//! the network looks, and the border between right and left. Where no lungs are recognised, the whole grid is searched.
//!
//! The search mask is meant to err on the large side: a lesion left out of it is lost.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "radii of some mm and component numbers fit 32 bits; indices are clamped to the grid"
)]

use std::ops::RangeInclusive;

use glam::DVec3;

use super::label::Connectivity::Faces;
use super::midline::Midline;
use super::{air, distance, label};
use crate::volume::{Geometry, Laterality, Mask};

/// Spacing of the grid on which the masks are made, mm.
pub const SPACING_MM: f64 = 2.0;
/// Standard deviation of the Gaussian that smooths the HU before, in voxels of that grid.
pub const SMOOTHING_SIGMA_VOXELS: f64 = 1.0;

/// Room air is below, lung above, HU.
const ROOM_AIR_BELOW_HU: f32 = -950.0;
/// Smoothing carries padding this far into the body, mm.
const PADDING_REACH_MM: f64 = 6.0;
/// Smaller components of air are bowel gas, folds and noise, ml.
const MIN_COMPONENT_ML: f64 = 20.0;
/// As above, as a share of the largest component that may be lung.
const MIN_COMPONENT_SHARE: f64 = 0.05;
/// What lungs, whole or cut, can hold, ml.
const PLAUSIBLE_LUNGS_ML: RangeInclusive<f64> = 100.0..=12_000.0;
/// Added around the lungs: the pleura, and what padding hid, mm.
const MARGIN_MM: f64 = 6.0;
/// Vessels, hila, pleural and consolidated lesions up to twice as wide are closed, mm.
const CLOSING_MM: f64 = 20.0;
/// With less air than this share of the other side, a lung is taken for consolidated and searched where the other's
/// mirror image lies.
const MIN_SIDE_SHARE: f64 = 0.6;

/// Masks of one volume, all on the same grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Lungs {
    /// The patient, with all air inside; the table may be part of it.
    pub body: Mask,
    /// Aerated lung, with larger airways and, at times, other gas inside the body. Empty when not `found`.
    pub lung: Mask,
    /// Where lesions are looked for. The whole grid when not `found`.
    pub search: Mask,
    /// Lungs of plausible volume were recognised; if not, the report carries
    /// [`crate::warning::Warning::LungMaskFallback`].
    pub found: bool,
    midline: Midline,
}

impl Lungs {
    /// The side on which a position lies; `None` near the midline and when no lungs were found.
    pub fn side(&self, position_lps_mm: DVec3) -> Option<Laterality> {
        self.midline.side(&self.search.geometry, position_lps_mm)
    }
}

/// The definition; the GPU must agree to the bit.
///
/// `hu` is `[z, y, x]` on `grid`, which is isotropic and along the patient's axes ([`SPACING_MM`]), smoothed by
/// [`SMOOTHING_SIGMA_VOXELS`].
pub fn reference(hu: &[f32], grid: &Geometry) -> Lungs {
    let size = grid.size;
    let radii = Radii::on(grid);
    let padding = distance::reference(&air::padding(hu), &IN_MASK, size, radii.border());
    let air = air::reference(hu, &padding, radii.padding.pow(2));
    let parts = Parts::of(hu, &padding, label::reference(&air, size, Faces), grid);
    let body = largest(label::reference(&parts.inside, size, Faces));
    let chest = Chest::new(hu, grid, body, parts.lung);
    if !chest.plausible() {
        return chest.without_lungs();
    }
    let dilated = distance::reference(&chest.lung, &IN_MASK, size, radii.dilation());
    let closed = distance::reference(&dilated, &radii.undilated(), size, radii.closing);
    let search = chest.search(&closed, radii.closing);
    let rest = label::reference(&inverse(&search), size, Faces);
    chest.finish(search, rest)
}

/// Seeds of [`distance`] in a mask.
const IN_MASK: RangeInclusive<u16> = 1..=1;

/// Radii in voxels.
struct Radii {
    padding: u16,
    margin: u16,
    closing: u16,
}

impl Radii {
    fn on(grid: &Geometry) -> Self {
        let voxels = |mm: f64| (mm / grid.spacing_mm()[2]).round() as u16;
        Self {
            padding: voxels(PADDING_REACH_MM),
            margin: voxels(MARGIN_MM),
            closing: voxels(CLOSING_MM),
        }
    }

    /// Air within this distance of padding lies at the border of the field of view.
    fn border(&self) -> u16 {
        self.padding + 1
    }

    /// Dilating by margin and closing at once, then eroding by closing, is the closing of the dilated mask.
    fn dilation(&self) -> u16 {
        self.margin + self.closing
    }

    fn undilated(&self) -> RangeInclusive<u16> {
        distance::beyond(self.dilation())..=u16::MAX
    }
}

/// The components of air, sorted into lungs and outside.
struct Parts {
    /// 1 where lung.
    lung: Vec<u8>,
    /// 1 where neither outside air nor padding.
    inside: Vec<u8>,
}

/// What is known of one component of air.
#[derive(Default, Clone)]
struct Part {
    voxels: usize,
    room_air: usize,
    at_border: bool,
}

impl Part {
    /// Room air reaches the border of the field of view; so may lungs in a tight one, but they are denser.
    fn is_outside(&self) -> bool {
        self.at_border && self.room_air * 2 > self.voxels
    }
}

impl Parts {
    fn of(hu: &[f32], padding: &[u16], mut labels: Vec<u32>, grid: &Geometry) -> Self {
        let count = label::number(&mut labels) as usize;
        let radii = Radii::on(grid);
        let parts = measure(hu, padding, &labels, count, grid, radii.border().pow(2));
        let largest = parts.iter().filter(|p| !p.is_outside()).map(|p| p.voxels);
        let largest_ml = ml(largest.max().unwrap_or(0), grid);
        let min_ml = MIN_COMPONENT_ML.max(MIN_COMPONENT_SHARE * largest_ml);
        let outside: Vec<bool> = parts.iter().map(Part::is_outside).collect();
        let lung: Vec<bool> = parts
            .iter()
            .map(|p| !p.is_outside() && ml(p.voxels, grid) >= min_ml)
            .collect();
        let reach_squared = radii.padding.pow(2);
        let of_part = |table: &[bool], label: u32| label > 0 && table[label as usize - 1];
        Self {
            lung: labels
                .iter()
                .map(|&l| u8::from(of_part(&lung, l)))
                .collect(),
            inside: labels
                .iter()
                .zip(padding)
                .map(|(&l, &d)| u8::from(d > reach_squared && !of_part(&outside, l)))
                .collect(),
        }
    }
}

fn measure(
    hu: &[f32],
    padding: &[u16],
    labels: &[u32],
    count: usize,
    grid: &Geometry,
    border_squared: u16,
) -> Vec<Part> {
    let [_, ny, nx] = grid.size;
    let mut parts = vec![Part::default(); count];
    for (row, labels) in labels.chunks_exact(nx.max(1)).enumerate() {
        let row_at_face = row % ny == 0 || row % ny + 1 == ny;
        for (x, &label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
            let i = row * nx + x;
            let part = &mut parts[label as usize - 1];
            part.voxels += 1;
            part.room_air += usize::from(hu[i] < ROOM_AIR_BELOW_HU);
            let at_face = row_at_face || x == 0 || x + 1 == nx;
            part.at_border |= at_face || padding[i] <= border_squared;
        }
    }
    parts
}

fn ml(voxels: usize, grid: &Geometry) -> f64 {
    voxels as f64 * grid.voxel_volume_mm3() / 1000.0
}

/// What is known once body and lungs are told apart, and the steps that need no kernel.
struct Chest<'a> {
    hu: &'a [f32],
    grid: &'a Geometry,
    body: Vec<u8>,
    lung: Vec<u8>,
    /// Mean x of the body, as a voxel index.
    centre_x: usize,
}

impl<'a> Chest<'a> {
    fn new(hu: &'a [f32], grid: &'a Geometry, body: Vec<u8>, lung: Vec<u8>) -> Self {
        let nx = grid.size[2];
        let inside = || body.iter().enumerate().filter(|(_, inside)| **inside == 1);
        let sum: usize = inside().map(|(i, _)| i % nx).sum();
        let centre_x = sum.checked_div(inside().count()).unwrap_or(nx / 2);
        Self {
            hu,
            grid,
            body,
            lung,
            centre_x,
        }
    }

    fn plausible(&self) -> bool {
        let voxels = self.lung.iter().filter(|v| **v == 1).count();
        PLAUSIBLE_LUNGS_ML.contains(&ml(voxels, self.grid))
    }

    /// The closed lungs, with the mirror image of a lung whose fellow is consolidated.
    fn search(&self, closed: &[u16], closing: u16) -> Vec<u8> {
        let search: Vec<u8> = closed
            .iter()
            .map(|&d| u8::from(d > closing.pow(2)))
            .collect();
        let nx = self.grid.size[2];
        let aerated = self.lung.iter().enumerate().filter(|(_, v)| **v == 1);
        let (right, left): (Vec<_>, Vec<_>) = aerated.partition(|(i, _)| i % nx < self.centre_x);
        let (smaller, larger) = (right.len().min(left.len()), right.len().max(left.len()));
        if smaller as f64 >= MIN_SIDE_SHARE * larger as f64 {
            return search;
        }
        let mirrored = |i: usize| {
            let x = (2 * self.centre_x).checked_sub(i % nx).filter(|&x| x < nx);
            x.map_or(0, |x| search[i / nx * nx + x])
        };
        (0..search.len()).map(|i| search[i] | mirrored(i)).collect()
    }

    /// Adds to `search` what it encloses; `rest` are the components of its complement.
    fn finish(self, search: Vec<u8>, mut rest: Vec<u32>) -> Lungs {
        let count = label::number(&mut rest) as usize;
        let [nz, ny, nx] = self.grid.size;
        let mut open = vec![false; count + 1];
        for (row, labels) in rest.chunks_exact(nx).enumerate() {
            let (z, y) = (row / ny, row % ny);
            if z == 0 || z + 1 == nz || y == 0 || y + 1 == ny {
                labels.iter().for_each(|&l| open[l as usize] = true);
            }
            open[labels[0] as usize] = true;
            open[labels[nx - 1] as usize] = true;
        }
        let closed = search.iter().zip(&rest);
        let search = closed
            .map(|(&s, &l)| s | u8::from(!open[l as usize]))
            .collect();
        let midline = Midline::reference(self.hu, self.grid, self.centre_x);
        self.into_lungs(search, true, midline)
    }

    fn without_lungs(mut self) -> Lungs {
        self.lung.fill(0);
        let everywhere = vec![1; self.lung.len()];
        self.into_lungs(everywhere, false, Midline::unknown())
    }

    fn into_lungs(self, search: Vec<u8>, found: bool, midline: Midline) -> Lungs {
        let mask = |voxels| Mask {
            geometry: *self.grid,
            voxels,
        };
        Lungs {
            body: mask(self.body),
            lung: mask(self.lung),
            search: mask(search),
            found,
            midline,
        }
    }
}

/// Mask of the largest component, the first of several.
fn largest(mut labels: Vec<u32>) -> Vec<u8> {
    let count = label::number(&mut labels) as usize;
    let mut voxels = vec![0_usize; count + 1];
    for &label in &labels {
        voxels[label as usize] += 1;
    }
    let first_largest = (1..=count).rev().max_by_key(|&label| voxels[label]);
    labels
        .iter()
        .map(|&l| u8::from(Some(l as usize) == first_largest))
        .collect()
}

fn inverse(mask: &[u8]) -> Vec<u8> {
    mask.iter().map(|&v| 1 - v).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [90, 110, 150];

    /// Semi-axes and centre in voxels, x y z.
    struct Ellipsoid([f64; 3], [f64; 3]);

    impl Ellipsoid {
        fn holds(&self, p: [f64; 3]) -> bool {
            let terms = (0..3).map(|k| ((p[k] - self.1[k]) / self.0[k]).powi(2));
            terms.sum::<f64>() < 1.0
        }
    }

    const RIGHT: Ellipsoid = Ellipsoid([26.0, 38.0, 36.0], [42.0, 55.0, 45.0]);
    const LEFT: Ellipsoid = Ellipsoid([26.0, 38.0, 36.0], [108.0, 55.0, 45.0]);
    const BODY: Ellipsoid = Ellipsoid([70.0, 50.0, 1e3], [75.0, 55.0, 45.0]);

    fn grid() -> Geometry {
        Geometry::axis_aligned(SIZE, [SPACING_MM; 3], DVec3::ZERO)
    }

    fn volume(hu: impl Fn([f64; 3]) -> f32) -> Vec<f32> {
        let [nz, ny, nx] = SIZE;
        let voxels = 0..nz * ny * nx;
        let place = |i| [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
        voxels.map(|i| hu(place(i))).collect()
    }

    /// A body of 0 HU in room air, with the lungs given.
    fn chest(lungs: &[Ellipsoid]) -> Vec<f32> {
        volume(|p| {
            if lungs.iter().any(|e| e.holds(p)) {
                -850.0
            } else if BODY.holds(p) {
                0.0
            } else {
                -1000.0
            }
        })
    }

    fn share(mask: &Mask, part: &Ellipsoid) -> f64 {
        let inside = volume(|p| f32::from(u8::from(part.holds(p))));
        let both = mask
            .voxels
            .iter()
            .zip(&inside)
            .filter(|(m, i)| **m == 1 && **i > 0.0);
        both.count() as f64 / inside.iter().filter(|i| **i > 0.0).count() as f64
    }

    #[test]
    fn a_pleural_mass_of_30_mm_is_searched() {
        let mass = Ellipsoid([7.5; 3], [20.0, 55.0, 45.0]);
        let mut hu = chest(&[RIGHT, LEFT]);
        let solid = volume(|p| f32::from(u8::from(mass.holds(p))));
        hu.iter_mut()
            .zip(&solid)
            .for_each(|(v, s)| *v += s * (30.0 - *v));
        let lungs = reference(&hu, &grid());
        assert!(lungs.found);
        assert!((share(&lungs.search, &mass) - 1.0).abs() < 1e-9);
        assert!(share(&lungs.lung, &mass) < 1e-9);
        assert!(share(&lungs.search, &BODY) < 0.7);
    }

    #[test]
    fn room_air_is_outside_and_lungs_belong_to_the_body() {
        let lungs = reference(&chest(&[RIGHT, LEFT]), &grid());
        for lung in [RIGHT, LEFT] {
            assert!((share(&lungs.lung, &lung) - 1.0).abs() < 1e-9);
        }
        assert!((share(&lungs.body, &BODY) - 1.0).abs() < 1e-9);
        assert_eq!(lungs.body.at([0, 0, 0]), 0);
        assert_eq!(lungs.search.at([45, 55, 2]), 0);
    }

    #[test]
    fn a_consolidated_lung_is_searched_where_its_fellow_is_mirrored() {
        let lungs = reference(&chest(&[RIGHT]), &grid());
        assert!(lungs.found);
        assert!(share(&lungs.search, &LEFT) > 0.99);
        assert!(share(&lungs.lung, &LEFT) < 1e-9);
    }

    #[test]
    fn lungs_that_reach_the_padding_of_a_tight_field_of_view_are_kept() {
        let field = Ellipsoid([50.0, 45.0, 1e3], [75.0, 55.0, 45.0]);
        let mut hu = chest(&[RIGHT, LEFT]);
        let seen = volume(|p| f32::from(u8::from(field.holds(p))));
        hu.iter_mut().zip(&seen).for_each(|(v, &s)| {
            if s < 1.0 {
                *v = crate::volume::PADDING_HU;
            }
        });
        let lungs = reference(&hu, &grid());
        let seen_lung = Ellipsoid([14.0, 30.0, 30.0], [50.0, 55.0, 45.0]);
        assert!(lungs.found);
        assert!((share(&lungs.search, &seen_lung) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_lungs_the_whole_grid_is_searched_and_no_side_told() {
        for hu in [chest(&[]), volume(|_| -1000.0), volume(|_| 40.0)] {
            let lungs = reference(&hu, &grid());
            assert!(!lungs.found);
            assert!(lungs.search.voxels.iter().all(|&v| v == 1));
            assert!(lungs.lung.voxels.iter().all(|&v| v == 0));
            assert_eq!(lungs.side(DVec3::new(10.0, 110.0, 90.0)), None);
        }
    }

    #[test]
    fn sides_are_the_patients() {
        let lungs = reference(&chest(&[RIGHT, LEFT]), &grid());
        let side = |x: f64| lungs.side(DVec3::new(2.0 * x, 110.0, 90.0));
        assert_eq!(side(42.0), Some(Laterality::Right));
        assert_eq!(side(108.0), Some(Laterality::Left));
        assert_eq!(side(75.0), None);
    }

    #[test]
    fn an_empty_or_tiny_grid_is_searched_whole() {
        for size in [[0, 0, 0], [1, 1, 1], [3, 1, 2]] {
            let grid = Geometry::axis_aligned(size, [SPACING_MM; 3], DVec3::ZERO);
            let lungs = reference(&vec![-850.0; grid.voxel_count()], &grid);
            assert!(!lungs.found);
        }
    }
}
