//! Body and lungs: in goes smoothed HU on a 2 mm grid along the patient's axes; out come the masks that choose where
//! the network looks, and the border between right and left. Where no lungs are recognised, the whole grid is searched.
//!
//! The search mask is meant to err on the large side: a lesion left out of it is lost.

use glam::DVec3;

use super::label::Connectivity::Faces;
use super::midline::Midline;
use super::thorax::{Chest, Parts, Radii, inverse, largest, voxels};
use super::{Error, air, distance, label, opening, padding};
use crate::gpu::{Buffer, Compute, Gpu, Pass};
use crate::volume::{Geometry, Laterality, Mask, Volume};

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
    pub(super) midline: Midline,
}

impl Lungs {
    /// The side on which a position lies; `None` near the midline and when no lungs were found.
    pub fn side(&self, position_lps_mm: DVec3) -> Option<Laterality> {
        self.midline.side(&self.search.geometry, position_lps_mm)
    }

    /// Empties the masks where a voxel `[z, y, x]` was not scanned.
    pub(super) fn keep(&mut self, is_scanned: impl Fn([usize; 3]) -> bool) {
        let [_, ny, nx] = self.search.geometry.size;
        for i in 0..self.search.voxels.len() {
            if !is_scanned([i / (ny * nx), i / nx % ny, i % nx]) {
                for mask in [&mut self.body, &mut self.lung, &mut self.search] {
                    mask.voxels[i] = 0;
                }
            }
        }
    }
}

/// Finds body and lungs on the device chosen: [`reference()`] or [`on_gpu`], which give the same masks.
///
/// # Errors
/// [`Error::Gpu`].
pub fn find(compute: &Compute, hu: &Volume<f32>) -> Result<Lungs, Error> {
    match compute {
        Compute::Gpu(gpu) => on_gpu(gpu, &hu.voxels, &hu.geometry),
        Compute::Cpu => Ok(reference(&hu.voxels, &hu.geometry)),
    }
}

/// Ways that join lungs and room are parted where a ball of such a radius does not pass, one after the other until there are
/// lungs: nose and glottis, a tracheostomy, what smoothing makes of padding behind the last slice, mm.
const OPENINGS_MM: [f64; 2] = [4.0, 8.0];

/// The definition; the GPU must agree to the bit.
///
/// `hu` is `[z, y, x]` on `grid`, which is isotropic and along the patient's axes; 2 mm and a smoothing of one voxel
/// are what the rule was found with.
pub fn reference(hu: &[f32], grid: &Geometry) -> Lungs {
    let size = grid.size;
    let radii = Radii::on(grid);
    let padding = distance::reference(&padding::reference(hu), &radii.border());
    let air = air::reference(hu, &padding, radii.padding.pow(2));
    let parts = Parts::of(hu, &padding, label::reference(&air, size, Faces), grid);
    let body = largest(label::reference(&parts.inside, size, Faces));
    let chest = Chest::new(hu, grid, body, parts.lung);
    if !chest.plausible() {
        return opened(hu, grid, &padding, &air).unwrap_or_else(|| chest.without_lungs());
    }
    searched(chest, &radii, size)
}

fn searched(chest: Chest<'_>, radii: &Radii, size: [usize; 3]) -> Lungs {
    let dilated = distance::reference(&chest.lung, &radii.dilation());
    let closed = distance::reference(&dilated, &radii.erosion());
    let search = chest.search(&closed, radii.closing);
    let rest = label::reference(&inverse(&search), size, Faces);
    chest.finish(&search, rest)
}

/// Lungs that an open way joins to the room, found once it is closed. Rare, so that it runs on the host for every device.
fn opened(hu: &[f32], grid: &Geometry, padding: &[u16], air: &[u8]) -> Option<Lungs> {
    let (size, radii) = (grid.size, Radii::on(grid));
    OPENINGS_MM.iter().find_map(|radius_mm| {
        let labels = opening::reference(air, size, voxels(*radius_mm, grid));
        let parts = Parts::opened(hu, padding, &labels, grid);
        let body = largest(label::reference(&parts.inside, size, Faces));
        let chest = Chest::new(hu, grid, body, parts.lung);
        chest.plausible().then(|| searched(chest, &radii, size))
    })
}

/// The same by the GPU's kernels; components and distances come to the host where it decides.
///
/// # Errors
/// [`Error::Gpu`].
pub fn on_gpu(gpu: &Gpu, hu: &[f32], grid: &Geometry) -> Result<Lungs, Error> {
    let size = grid.size;
    let radii = Radii::on(grid);
    let mut pass = Pass::new(gpu)?;
    let input = gpu.upload("smoothed HU", hu)?;
    let padding = padding::record(&mut pass, &input, size)?;
    let padding = distance::record(&mut pass, &padding, &radii.border())?;
    let air = air::record(&mut pass, &input, &padding, radii.padding.pow(2), size)?;
    let labels = label::record(&mut pass, &air, size, Faces)?;
    pass.submit()?;
    let padding = distance::download(gpu, &padding)?;
    let parts = Parts::of(hu, &padding, gpu.download(&labels)?, grid);
    let body = largest(components(gpu, &parts.inside, size)?);
    let chest = Chest::new(hu, grid, body, parts.lung);
    if !chest.plausible() {
        let air = air::reference(hu, &padding, radii.padding.pow(2));
        let opened = opened(hu, grid, &padding, &air);
        return Ok(opened.unwrap_or_else(|| chest.without_lungs()));
    }
    let mut pass = Pass::new(gpu)?;
    let lung = upload(gpu, &chest.lung)?;
    let dilated = distance::record(&mut pass, &lung, &radii.dilation())?;
    let closed = distance::record(&mut pass, &dilated, &radii.erosion())?;
    pass.submit()?;
    let search = chest.search(&distance::download(gpu, &closed)?, radii.closing);
    let rest = components(gpu, &inverse(&search), size)?;
    Ok(chest.finish(&search, rest))
}

fn components(gpu: &Gpu, mask: &[u8], size: [usize; 3]) -> Result<Vec<u32>, Error> {
    let mask = upload(gpu, mask)?;
    let mut pass = Pass::new(gpu)?;
    let labels = label::record(&mut pass, &mask, size, Faces)?;
    pass.submit()?;
    Ok(gpu.download(&labels)?)
}

/// One word a voxel, as the kernels take masks.
fn upload(gpu: &Gpu, mask: &[u8]) -> Result<Buffer<u32>, Error> {
    let words: Vec<u32> = mask.iter().map(|&v| u32::from(v)).collect();
    Ok(gpu.upload("mask", &words)?)
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
        Geometry::axis_aligned(SIZE, [2.0; 3], DVec3::ZERO)
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
        let mass = Ellipsoid([7.5; 3], [22.5, 55.0, 45.0]);
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
    fn lungs_that_an_open_airway_joins_to_the_room_are_found() {
        // Trachea and main bronchi of 16 mm, and a way of 6 mm from there to the room.
        let airway = |p: [f64; 3]| {
            let is_trachea = (p[0] - 75.0).hypot(p[1] - 55.0) < 4.0 && p[2] > 45.0;
            let is_bronchus =
                (p[1] - 55.0).hypot(p[2] - 45.0) < 4.0 && (42.0..108.0).contains(&p[0]);
            is_trachea || is_bronchus
        };
        let stoma = |p: [f64; 3]| (p[0] - 75.0).hypot(p[2] - 82.0) < 1.5 && p[1] < 55.0;
        let open = |airways: &dyn Fn([f64; 3]) -> bool| {
            let is_open = volume(|p| f32::from(u8::from(airways(p) && BODY.holds(p))));
            let mut hu = chest(&[RIGHT, LEFT]);
            hu.iter_mut().zip(&is_open).for_each(|(v, open)| {
                if *open > 0.0 {
                    *v = -990.0;
                }
            });
            reference(&hu, &grid())
        };
        let (shut, open) = (open(&airway), open(&|p| airway(p) || stoma(p)));
        assert!(shut.found && open.found);
        for lung in [RIGHT, LEFT] {
            assert!(share(&open.lung, &lung) > 0.99);
            assert!(share(&open.search, &lung) > 0.999);
        }
        assert_eq!(open.search.at([45, 55, 2]), 0);
        assert!(share(&open.search, &BODY) < 1.05 * share(&shut.search, &BODY));
    }

    #[test]
    fn foam_that_reaches_the_border_is_no_lung() {
        let mut hu = chest(&[RIGHT, LEFT]);
        let [_, ny, nx] = SIZE;
        let foam = |i: usize| i / nx % ny >= 106;
        for (_, v) in hu.iter_mut().enumerate().filter(|(i, _)| foam(*i)) {
            *v = -850.0;
        }
        // A shell between foam and room air, so that the foam is a component of its own.
        let shell = |i: usize| i / nx % ny == 105;
        for (_, v) in hu.iter_mut().enumerate().filter(|(i, _)| shell(*i)) {
            *v = -100.0;
        }
        let lungs = reference(&hu, &grid());
        assert!(lungs.found);
        assert_eq!(lungs.lung.at([45, 108, 75]), 0);
        assert_eq!(lungs.lung.at([45, 55, 42]), 1);
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
            let grid = Geometry::axis_aligned(size, [2.0; 3], DVec3::ZERO);
            let lungs = reference(&vec![-850.0; grid.voxel_count()], &grid);
            assert!(!lungs.found);
        }
    }
}
