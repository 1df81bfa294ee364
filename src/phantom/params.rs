//! What a phantom shall be: the grid, the scanner and the lesions.

use super::{Error, Orientation};
use crate::volume::Geometry;
use glam::{DAffine3, DMat3, DQuat, DVec3};
use serde::{Deserialize, Serialize};

/// Everything that decides a phantom: equal parameters give equal voxels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Seed of anatomy, lesion places and noise.
    pub seed: u64,
    /// Voxels along z, y, x (slices, rows, columns).
    pub size: [usize; 3],
    /// Distance between voxel centres along z, y, x, mm; z is the table's step, also under gantry tilt.
    pub spacing_mm: [f64; 3],
    /// Patient position of the middle of the grid; the carina lies near the origin.
    pub centre_lps_mm: [f64; 3],
    /// Size of the anatomy; 1.0 is an adult chest of 32 cm width with lungs of 27 cm height. Lesions are not scaled.
    pub chest_scale: f64,
    /// Noise of the scan.
    pub dose: Dose,
    /// Reconstruction kernel: sharpness of edges, grain of the noise.
    pub kernel: Kernel,
    /// How much anatomy is drawn.
    pub detail: Detail,
    /// Lesions to place.
    pub lesions: Lesions,
    /// Directions of columns, rows and slices in the patient.
    pub orientation: Orientation,
    /// Gantry tilt: rotation of each slice about its row direction, degrees. The slices' stacking direction stays.
    pub tilt_deg: f64,
    /// Voxels outside the circle that fits a slice hold Pixel Padding Value, as scanners reconstruct them.
    pub circular_fov: bool,
    /// Stored values are signed (Pixel Representation 1).
    pub signed: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            seed: 1,
            size: [300, 512, 512],
            spacing_mm: [1.0, 0.7, 0.7],
            centre_lps_mm: [0.0, 8.0, -28.0],
            chest_scale: 1.0,
            dose: Dose::Standard,
            kernel: Kernel::Soft,
            detail: Detail::Full,
            lesions: Lesions::Count(6),
            orientation: Orientation::default(),
            tilt_deg: 0.0,
            circular_fov: false,
            signed: false,
        }
    }
}

/// Largest number of voxels along one axis.
const MAX_AXIS: usize = 4096;
/// Largest number of voxels: 1 GiB of stored values.
const MAX_VOXELS: usize = 1 << 29;

impl Params {
    /// A whole small chest in 4 MB, for the demo and the pipeline's tests.
    pub fn demo() -> Self {
        Self {
            size: [96, 144, 144],
            spacing_mm: [2.5, 2.2, 2.2],
            centre_lps_mm: [0.0, 6.0, -26.0],
            chest_scale: 0.88,
            dose: Dose::Low,
            lesions: Lesions::List(vec![
                LesionSpec::solid_sphere(22.0),
                LesionSpec::new(
                    16.0,
                    LesionShape::Lobulated,
                    Density::Solid,
                    Place::Juxtapleural,
                ),
                LesionSpec::new(
                    13.0,
                    LesionShape::Sphere,
                    Density::PartSolid,
                    Place::Parenchyma,
                ),
                LesionSpec::new(
                    9.0,
                    LesionShape::Sphere,
                    Density::Solid,
                    Place::Juxtavascular,
                ),
            ]),
            ..Self::default()
        }
    }

    /// 96³ voxels of 1.25 mm inside the right lung with three lesions, quick to make.
    pub fn tiny() -> Self {
        Self {
            size: [96, 96, 96],
            spacing_mm: [1.25; 3],
            centre_lps_mm: [-75.0, 0.0, -25.0],
            lesions: Lesions::List(vec![
                LesionSpec::solid_sphere(20.0),
                LesionSpec::new(
                    13.0,
                    LesionShape::Ellipsoid,
                    Density::Solid,
                    Place::Parenchyma,
                ),
                LesionSpec::new(
                    9.0,
                    LesionShape::Sphere,
                    Density::Solid,
                    Place::Juxtavascular,
                ),
            ]),
            ..Self::default()
        }
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] names the first parameter that is not usable, and its limits.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, ok: bool, limits| match ok {
            true => Ok(()),
            false => Err(Error::OutOfRange { name, limits }),
        };
        let voxels = self.size.iter().try_fold(1_usize, |n, &s| n.checked_mul(s));
        check(
            "size",
            self.size.iter().all(|n| (1..=MAX_AXIS).contains(n))
                && voxels.is_some_and(|n| n <= MAX_VOXELS),
            "1 to 4096 voxels an axis, 2^29 in all",
        )?;
        check(
            "spacing_mm",
            self.spacing_mm.iter().all(|s| (0.2..=20.0).contains(s)),
            "0.2 to 20 mm",
        )?;
        check(
            "centre_lps_mm",
            self.centre_lps_mm.iter().all(|c| c.abs() <= 2000.0),
            "-2000 to 2000 mm",
        )?;
        check(
            "chest_scale",
            (0.4..=1.5).contains(&self.chest_scale),
            "0.4 to 1.5",
        )?;
        check("tilt_deg", self.tilt_deg.abs() <= 45.0, "-45 to 45 degrees")?;
        check(
            "lesions",
            self.lesions.specs_are_usable(),
            "at most 64 lesions, diameters of 2 to 60 mm, finite centres",
        )
    }

    /// The grid of the slices in the patient.
    pub fn geometry(&self) -> Geometry {
        let [row, column, stack] = self.orientation.vectors();
        let column = DQuat::from_axis_angle(row, self.tilt_deg.to_radians()) * column;
        let [sz, sy, sx] = self.spacing_mm;
        let matrix = DMat3::from_cols(row * sx, column * sy, stack * sz);
        let [nz, ny, nx] = self.size.map(|n| (n - 1) as f64 / 2.0);
        let origin = DVec3::from(self.centre_lps_mm) - matrix * DVec3::new(nx, ny, nz);
        Geometry {
            size: self.size,
            index_to_lps: DAffine3::from_mat3_translation(matrix, origin),
        }
    }

    /// Standard deviation of the noise, HU: that of the dose, doubled by the lung kernel.
    pub fn noise_sigma_hu(&self) -> f32 {
        let sigma_hu = match self.dose {
            Dose::None => 0.0,
            Dose::Standard => 12.0,
            Dose::Low => 25.0,
            Dose::UltraLow => 45.0,
        };
        match self.kernel {
            Kernel::Soft => sigma_hu,
            Kernel::Lung => 2.0 * sigma_hu,
        }
    }
}

/// Noise of the scan as its standard deviation with the soft kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dose {
    /// No noise: for tests of geometry.
    None,
    /// 12 HU: a diagnostic chest CT.
    Standard,
    /// 25 HU: lung cancer screening.
    Low,
    /// 45 HU: the dose of a chest radiograph or two.
    UltraLow,
}

/// Reconstruction kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Smooth edges, coarse noise.
    Soft,
    /// Sharp edges, fine noise of twice the strength.
    Lung,
}

/// How much anatomy is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Everything.
    Full,
    /// Lungs without vessels, airways, fissures and texture: a threshold alone finds the lesions.
    Plain,
}

/// The lesions to place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lesions {
    /// So many, of mixed kinds, 4 to 30 mm.
    Count(usize),
    /// These.
    List(Vec<LesionSpec>),
}

impl Lesions {
    fn specs_are_usable(&self) -> bool {
        const MOST: usize = 64;
        match self {
            Self::Count(n) => *n <= MOST,
            Self::List(specs) => specs.len() <= MOST && specs.iter().all(LesionSpec::is_usable),
        }
    }
}

/// One lesion to place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionSpec {
    /// Diameter of the sphere of the same volume, mm.
    pub diameter_mm: f64,
    /// Outline.
    #[serde(default)]
    pub shape: LesionShape,
    /// Attenuation.
    #[serde(default)]
    pub density: Density,
    /// Where in the lung.
    #[serde(default)]
    pub place: Place,
    /// Exact centre; then `place` is only a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre_lps_mm: Option<[f64; 3]>,
}

impl LesionSpec {
    /// A lesion whose centre is chosen by the seed.
    pub fn new(diameter_mm: f64, shape: LesionShape, density: Density, place: Place) -> Self {
        Self {
            diameter_mm,
            shape,
            density,
            place,
            centre_lps_mm: None,
        }
    }

    /// A solid sphere in the parenchyma.
    pub fn solid_sphere(diameter_mm: f64) -> Self {
        Self::new(
            diameter_mm,
            LesionShape::default(),
            Density::default(),
            Place::default(),
        )
    }

    /// The same lesion at `centre_lps_mm`.
    pub fn at(self, centre_lps_mm: [f64; 3]) -> Self {
        Self {
            centre_lps_mm: Some(centre_lps_mm),
            ..self
        }
    }

    fn is_usable(&self) -> bool {
        (2.0..=60.0).contains(&self.diameter_mm)
            && self
                .centre_lps_mm
                .is_none_or(|c| c.iter().all(|v| v.is_finite()))
    }
}

/// Outline of a lesion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LesionShape {
    /// A ball.
    #[default]
    Sphere,
    /// Three different axes, turned at random.
    Ellipsoid,
    /// A ball with bulges.
    Lobulated,
}

/// Attenuation of a lesion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Density {
    /// 40 HU.
    #[default]
    Solid,
    /// Ground glass with a solid core of half the diameter.
    PartSolid,
    /// -600 HU; vessels remain visible in it.
    GroundGlass,
}

impl Density {
    /// Attenuation of the lesion's outer part, HU.
    pub fn hu(self) -> f32 {
        match self {
            Self::Solid => 40.0,
            Self::PartSolid | Self::GroundGlass => -600.0,
        }
    }
}

/// Where in the lung a lesion lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Surrounded by lung, away from the larger vessels.
    #[default]
    Parenchyma,
    /// Touching the costal or diaphragmatic pleura.
    Juxtapleural,
    /// Touching a vessel.
    Juxtavascular,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_grid_stays_put_under_tilt() {
        let params = Params {
            size: [5, 7, 9],
            tilt_deg: 20.0,
            ..Params::default()
        };
        let middle = params.geometry().to_lps_mm(DVec3::new(4.0, 3.0, 2.0));
        assert!(middle.distance(DVec3::from(params.centre_lps_mm)) < 1e-9);
    }

    #[test]
    fn absurd_parameters_are_refused_by_name() {
        let refused = |params: Params| params.validate().unwrap_err().to_string();
        let size = [usize::MAX, 2, 2];
        assert!(
            refused(Params {
                size,
                ..Params::default()
            })
            .contains("size")
        );
        let spacing_mm = [f64::NAN, 1.0, 1.0];
        assert!(
            refused(Params {
                spacing_mm,
                ..Params::default()
            })
            .contains("spacing_mm")
        );
        let tilt_deg = f64::INFINITY;
        assert!(
            refused(Params {
                tilt_deg,
                ..Params::default()
            })
            .contains("tilt_deg")
        );
        let lesions = Lesions::List(vec![LesionSpec::solid_sphere(-3.0)]);
        assert!(
            refused(Params {
                lesions,
                ..Params::default()
            })
            .contains("lesions")
        );
    }
}
