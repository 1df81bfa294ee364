//! What the PET of a phantom shall be: the scanner, the tracer, how its values are stored, and the lesions.

use super::super::params::{LesionShape, LesionSpec};
use super::super::{Error, Params};
use super::branch::SuvBranch;
use super::defect::PetDefect;
use super::tracer::TracerName;
use serde::{Deserialize, Serialize};

/// Everything that decides the PET of a phantom beside the [`Params`] of its CT, whose seed counts here as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PetParams {
    /// How much of the patient there is.
    pub extent: Extent,
    /// Edge of a voxel, mm.
    pub voxel_mm: f64,
    /// Resolution: full width at half maximum of the point spread, mm.
    pub fwhm_mm: f64,
    /// Noise.
    pub noise: PetNoise,
    /// What was injected.
    pub tracer: TracerName,
    /// What the stored values are, and what they are corrected to.
    pub branch: SuvBranch,
    /// Lesions to place.
    pub lesions: PetLesions,
    /// Smallest and largest diameter of a number of lesions, mm.
    pub diameter_mm: [f64; 2],
    /// Lowest and highest true SUV of a number of lesions.
    pub suv: [f64; 2],
    /// How far the PET shows everything away from where the CT does, LPS mm.
    pub misregistration_mm: [f64; 3],
    /// What is odd.
    pub defects: Vec<PetDefect>,
}

impl Default for PetParams {
    fn default() -> Self {
        Self {
            extent: Extent::Chest,
            voxel_mm: 4.0,
            fwhm_mm: 6.0,
            noise: PetNoise::Standard,
            tracer: TracerName::Fdg,
            branch: SuvBranch::BqmlStart,
            lesions: PetLesions::Count(8),
            diameter_mm: [12.0, 32.0],
            suv: [5.0, 18.0],
            misregistration_mm: [0.0; 3],
            defects: Vec::new(),
        }
    }
}

impl PetParams {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] names the first parameter that is not usable, and its limits.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, ok: bool, limits| match ok {
            true => Ok(()),
            false => Err(Error::OutOfRange { name, limits }),
        };
        let within = |[low, high]: [f64; 2], least: f64, most: f64| {
            (least..=most).contains(&low) && (low..=most).contains(&high)
        };
        check(
            "voxel_mm",
            (1.0..=10.0).contains(&self.voxel_mm),
            "1 to 10 mm",
        )?;
        check(
            "fwhm_mm",
            (0.0..=20.0).contains(&self.fwhm_mm),
            "0 to 20 mm",
        )?;
        check(
            "diameter_mm",
            within(self.diameter_mm, 4.0, 60.0),
            "two ascending diameters of 4 to 60 mm",
        )?;
        check(
            "suv",
            within(self.suv, 0.1, 200.0),
            "two ascending SUVs of 0.1 to 200",
        )?;
        check(
            "misregistration_mm",
            self.misregistration_mm.iter().all(|s| s.abs() <= 200.0),
            "-200 to 200 mm",
        )?;
        check(
            "pet lesions",
            self.lesions.are_usable(),
            "at most 40 lesions, diameters of 4 to 60 mm, SUVs of 0.1 to 200",
        )
    }

    /// Whether the defect was asked for.
    pub(super) fn has(&self, defect: PetDefect) -> bool {
        self.defects.contains(&defect)
    }
}

impl Extent {
    /// Lets the CT's grid hold this much of the patient.
    pub fn prepare(self, ct: &mut Params) {
        if self == Self::Body {
            ct.size = [344, 256, 256];
            ct.spacing_mm = [3.0, 2.0, 2.0];
            ct.centre_lps_mm = [0.0, 8.0, -85.0];
        }
    }
}

/// How much of the patient there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The chest, as a CT alone has it.
    Chest,
    /// From the vertex to the thighs, arms up.
    Body,
}

/// Noise of a PET, as the standard deviation in the liver by its mean; elsewhere it goes with the root of the uptake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PetNoise {
    /// None: for tests of values.
    None,
    /// 10 %.
    Standard,
    /// 20 %: a short scan.
    LowCount,
}

impl PetNoise {
    /// Standard deviation in the liver by its mean.
    pub(super) fn in_liver(self) -> f32 {
        match self {
            Self::None => 0.0,
            Self::Standard => 0.1,
            Self::LowCount => 0.2,
        }
    }
}

/// The lesions to place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PetLesions {
    /// So many, of mixed places, shapes, sizes and SUVs; some touch each other and some lie beside physiologic uptake.
    Count(usize),
    /// These.
    List(Vec<PetLesionSpec>),
}

impl PetLesions {
    fn are_usable(&self) -> bool {
        const MOST: usize = 40;
        match self {
            Self::Count(n) => *n <= MOST,
            Self::List(specs) => specs.len() <= MOST && specs.iter().all(PetLesionSpec::is_usable),
        }
    }
}

/// One lesion to place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PetLesionSpec {
    /// Diameter of the sphere of the same volume, mm.
    pub diameter_mm: f64,
    /// Uptake before the scanner blurs it.
    pub suv: f64,
    /// Where.
    pub place: PetPlace,
    /// Outline: sphere or ellipsoid; of the CT's lung nodules lobulated as well.
    #[serde(default)]
    pub shape: LesionShape,
    /// It touches the lesion before it, which is not in the lung.
    #[serde(default)]
    pub touching: bool,
}

impl PetLesionSpec {
    /// A sphere.
    pub fn sphere(place: PetPlace, diameter_mm: f64, suv: f64) -> Self {
        Self {
            diameter_mm,
            suv,
            place,
            shape: LesionShape::Sphere,
            touching: false,
        }
    }

    /// The nodule that CT shows of a lesion in the lung.
    pub(super) fn nodule(&self) -> LesionSpec {
        LesionSpec {
            shape: self.shape,
            ..LesionSpec::solid_sphere(self.diameter_mm)
        }
    }

    fn is_usable(&self) -> bool {
        (4.0..=60.0).contains(&self.diameter_mm) && (0.1..=200.0).contains(&self.suv)
    }
}

/// Where a lesion lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PetPlace {
    /// A nodule in the lung, in CT as well.
    Lung,
    /// A node between the lungs.
    Mediastinum,
    /// A node at the hilum.
    Hilum,
    /// A node in the armpit.
    Axilla,
    /// In the liver.
    Liver,
    /// In a bone.
    Bone,
    /// Beside the myocardium, in the fat around the heart.
    BesideHeart,
    /// A node of the neck. This and what follows needs [`Extent::Body`].
    Neck,
    /// A node beside the aorta, below the kidneys.
    Abdomen,
    /// A node in the pelvis, beside the bladder.
    BesideBladder,
    /// A node in the groin.
    Groin,
}
