//! From stored pixel values to HU on the model's grid, on the GPU or the CPU.
//!
//! Comes in: a [`StoredVolume`]. Goes out: [`Prepared`]. Refused: broken geometry or rescale, grids beyond the limits.

pub mod air;
mod aligned;
mod channel;
pub mod distance;
pub mod label;
pub mod lungs;
pub mod mapping;
pub mod midline;
pub mod nnunet;
pub mod normalize;
mod opening;
pub mod padding;
pub mod resample;
pub mod rescale;
mod search_region;
pub mod slab;
pub mod smooth;
mod taps;
mod thorax;

pub use channel::on_grid_of;
pub use search_region::SearchRegion;

use crate::error::Class;
use crate::gpu::{self, Compute, Gpu, Kernel, Pass};
use crate::volume::{Geometry, StoredVolume, Volume};
use crate::warning::Warning;
use lungs::Lungs;
use mapping::Mapping;
use slab::Slab;

/// Every kernel of this stage; `tests/shaders.rs` checks each against its WGSL.
pub static KERNELS: &[&Kernel] = &[
    &rescale::KERNEL,
    &resample::KERNEL,
    &smooth::KERNEL,
    &normalize::KERNEL,
    &padding::KERNEL,
    &air::KERNEL,
    &distance::ALONG_X,
    &distance::ACROSS_ROWS,
    &label::START,
    &label::JOIN,
    &label::FINISH,
    &nnunet::gather::KERNEL,
    &nnunet::logits::DECIDE,
    &nnunet::logits::PROBABILITY,
];

/// Larger grids are refused before anything is allocated.
const MAX_GRID_VOXELS: usize = 1 << 29;

/// Tables of each axis are allocated too.
const MAX_AXIS_VOXELS: usize = 1 << 16;

/// Spacing of the grid on which the lungs are looked for, mm.
const SEARCH_SPACING_MM: f64 = 2.0;

/// Smoothing before the lungs are looked for, voxels of that grid.
const SEARCH_SIGMA_VOXELS: f64 = 1.0;

/// What a model wants of a volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The grid the model works on.
    pub grid: Geometry,
    /// How the source is read there.
    pub interpolation: Interpolation,
}

/// A volume on the model's grid.
#[derive(Debug)]
pub struct Prepared {
    /// The model's grid.
    pub grid: Geometry,
    /// HU on it, not yet normalised.
    pub hu: GridHu,
    /// Body, lungs and where to search, on a coarser grid.
    pub lungs: Lungs,
    /// What the report must say.
    pub warnings: Vec<Warning>,
}

impl Prepared {
    /// Looks elsewhere than in the lungs.
    #[must_use]
    pub fn searched_in(mut self, region: SearchRegion) -> Self {
        self.lungs.search = region.mask(&self.lungs);
        self
    }

    /// Refuses a volume in which no lungs were recognised: for models that are made for lungs and nothing else.
    ///
    /// # Errors
    /// [`Error::LungsNotFound`].
    pub fn require_lungs(&self) -> Result<(), Error> {
        if self.lungs.found {
            return Ok(());
        }
        Err(Error::LungsNotFound)
    }
}

/// HU on the model's grid, `[z, y, x]`, where the model will read them.
#[derive(Debug)]
pub enum GridHu {
    /// In the CPU's memory.
    Cpu(Vec<f32>),
    /// On the GPU, in slabs of slices that each fit one binding.
    Gpu(Vec<Slab>),
}

/// Brings a volume onto the model's grid.
///
/// # Errors
/// [`Error::BadVolume`], [`Error::GridTooLarge`], or [`Error::Gpu`].
pub fn run(compute: &Compute, stored: &StoredVolume, plan: &Plan) -> Result<Prepared, Error> {
    check_stored(stored)?;
    let search_grid = stored.geometry.covering([SEARCH_SPACING_MM; 3]);
    check_grid(&plan.grid)?;
    check_grid(&search_grid)?;
    let search = Mapping::of_stack(stored, &search_grid, Interpolation::Trilinear);
    let (hu, search_hu) = match compute {
        Compute::Gpu(gpu) => on_gpu(gpu, stored, plan, &search)?,
        Compute::Cpu => on_cpu(stored, plan, &search),
    };
    let mut lungs = lungs::find(
        compute,
        &Volume {
            geometry: search_grid,
            voxels: search_hu,
        },
    )?;
    if lungs.found {
        lungs.keep(|voxel| search.position(voxel).is_some());
    }
    let warning = (!lungs.found).then_some(Warning::LungMaskFallback);
    Ok(Prepared {
        grid: plan.grid,
        hu,
        lungs,
        warnings: warning.into_iter().collect(),
    })
}

/// HU on the model's grid, and smoothed HU on the grid of the lung masks. There the source goes on beyond its ends: smoothed with air
/// that lies behind a tilted stack, tissue would look like air, through which lungs that end with the scan join the room.
type Chain = (GridHu, Vec<f32>);

fn on_gpu(gpu: &Gpu, stored: &StoredVolume, plan: &Plan, search: &Mapping) -> Result<Chain, Error> {
    let model = Mapping::of_stack(stored, &plan.grid, plan.interpolation);
    let slabs = slab::allocate(gpu, plan.grid.size)?;
    let search_slab = slab::whole(gpu, search.target_size)?;
    let targets = [
        (&model, &slabs[..]),
        (&search.endless(), std::slice::from_ref(&search_slab)),
    ];
    resample_on_gpu(gpu, stored, &targets)?;
    let mut pass = Pass::new(gpu)?;
    let smoothed = smooth::record(&mut pass, search.target_size, SEARCH_SIGMA, &search_slab.hu)?;
    pass.submit()?;
    Ok((GridHu::Gpu(slabs), gpu.download(&smoothed)?))
}

/// Fills the slabs of each target grid, reading the source once.
fn resample_on_gpu(
    gpu: &Gpu,
    stored: &StoredVolume,
    targets: &[(&Mapping, &[Slab])],
) -> Result<(), Error> {
    for source in slab::source_slabs(gpu, stored.geometry.size)? {
        let mut pass = Pass::new(gpu)?;
        let source_hu = rescale::record(&mut pass, stored, source.loaded.clone())?;
        for (mapping, slabs) in targets {
            for target in *slabs {
                resample::record(&mut pass, mapping, (&source, &source_hu), target)?;
            }
        }
        pass.submit()?;
        // Frees this slab's memory before the next is allocated.
        gpu.wait()?;
    }
    Ok(())
}

fn on_cpu(stored: &StoredVolume, plan: &Plan, search: &Mapping) -> Chain {
    let model = Mapping::of_stack(stored, &plan.grid, plan.interpolation);
    let hu = resample::from_stored(&model, stored);
    let search_hu = resample::from_stored(&search.endless(), stored);
    let smoothed = smooth::reference(search.target_size, SEARCH_SIGMA, &search_hu);
    (GridHu::Cpu(hu), smoothed)
}

const SEARCH_SIGMA: [f64; 3] = [SEARCH_SIGMA_VOXELS; 3];

fn check_stored(stored: &StoredVolume) -> Result<(), Error> {
    let bad = |reason: String| Err(Error::BadVolume { reason });
    let voxels = checked_voxels(stored.geometry.size);
    if voxels != Some(stored.samples.len()) || stored.samples.is_empty() {
        let (samples, size) = (stored.samples.len(), stored.geometry.size);
        return bad(format!("{samples} samples for {size:?} voxels"));
    }
    if stored.rescale.len() != stored.geometry.size[0] {
        let (lines, slices) = (stored.rescale.len(), stored.geometry.size[0]);
        return bad(format!("{lines} rescale slopes for {slices} slices"));
    }
    let positions = stored.slices.as_slice().len();
    if ![0, stored.geometry.size[0]].contains(&positions) {
        let slices = stored.geometry.size[0];
        return bad(format!("{positions} positions for {slices} slices"));
    }
    let finite = |r: &crate::volume::Rescale| r.slope.is_finite() && r.intercept.is_finite();
    if let Some(slice) = stored.rescale.iter().position(|r| !finite(r)) {
        return bad(format!(
            "Rescale Slope (0028,1053) or Intercept (0028,1052) of slice {slice} is not finite"
        ));
    }
    check_affine(&stored.geometry)
}

fn check_grid(grid: &Geometry) -> Result<(), Error> {
    check_affine(grid)?;
    check_size(grid.size)
}

/// Refuses grids without voxels and those beyond [`MAX_GRID_VOXELS`] or [`MAX_AXIS_VOXELS`].
fn check_size(size: [usize; 3]) -> Result<(), Error> {
    let is_long = size.iter().any(|&n| n > MAX_AXIS_VOXELS);
    match checked_voxels(size) {
        Some(1..=MAX_GRID_VOXELS) if !is_long => Ok(()),
        _ => Err(Error::GridTooLarge { size }),
    }
}

fn check_affine(grid: &Geometry) -> Result<(), Error> {
    let volume_mm3 = grid.voxel_volume_mm3();
    if grid.index_to_lps.is_finite() && volume_mm3.is_finite() && volume_mm3 > 0.0 {
        return Ok(());
    }
    Err(Error::BadVolume {
        reason: format!("voxels of {volume_mm3} mm³"),
    })
}

fn checked_voxels(size: [usize; 3]) -> Option<usize> {
    size.iter().try_fold(1_usize, |n, &s| n.checked_mul(s))
}

/// Why a volume cannot be preprocessed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The GPU failed or is too small.
    #[error(transparent)]
    Gpu(#[from] gpu::Error),
    /// Geometry, samples and rescale contradict each other or are not finite.
    #[error("the volume cannot be resampled: {reason}")]
    BadVolume {
        /// What is wrong.
        reason: String,
    },
    /// More voxels than are ever allocated.
    #[error(
        "a grid of {size:?} voxels (z, y, x) is refused; at most {MAX_GRID_VOXELS} are allocated, {MAX_AXIS_VOXELS} along an axis"
    )]
    GridTooLarge {
        /// Its size, `[z, y, x]`.
        size: [usize; 3],
    },
    /// Nothing in the volume looks like lungs: another part of the body, or lungs without air.
    #[error(
        "no lungs were recognised, and the model is for lungs; if there are some, set input.search_without_lungs"
    )]
    LungsNotFound,
    /// A patch that lies so far outside that its indices do not fit 32 bits: a defect of the caller.
    #[error("{patch:?} lies out of range")]
    PatchOutOfRange {
        /// The patch.
        patch: normalize::Patch,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Gpu(e) => e.class(),
            Self::BadVolume { .. } => Class::Input,
            Self::GridTooLarge { .. } => Class::Limits,
            Self::LungsNotFound => Class::Unsupported,
            Self::PatchOutOfRange { .. } => Class::Internal,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gpu(e) => e.code(),
            Self::BadVolume { .. } => "volume-inconsistent",
            Self::GridTooLarge { .. } => "grid-too-large",
            Self::LungsNotFound => "lungs-not-found",
            Self::PatchOutOfRange { .. } => "patch-out-of-range",
        }
    }
}

/// How voxels between grid points are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Linear along each axis.
    Trilinear,
    /// Catmull-Rom along each axis.
    Cubic,
}

/// Intensity normalisation of a model: `(clip(hu, lower_hu, upper_hu) - subtract_hu) / divide_hu`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Lower clip, HU.
    pub lower_hu: f32,
    /// Upper clip, HU.
    pub upper_hu: f32,
    /// Subtracted after clipping, HU.
    pub subtract_hu: f32,
    /// Divided by after subtracting, HU.
    pub divide_hu: f32,
}
