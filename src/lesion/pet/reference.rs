//! The regions that uptake is compared with: a sphere in the right lobe of the liver, and one in the descending aorta.
//!
//! In: the PET and where the body lies. Out: a [`Reference`], or by code why there is none that can be trusted.

use super::blur::smoothed;
use super::body::{Body, nearest_voxel};
use super::field::Field;
use crate::lesion::watershed::{Basin, Split, watershed};
use crate::volume::Geometry;
use glam::DVec3;
use rayon::prelude::*;

/// What a reference region lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// The right lobe of the liver.
    Liver,
    /// The descending thoracic aorta, for the mediastinal blood pool.
    BloodPool,
}

/// A sphere of normal uptake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// What it lies in.
    pub site: Site,
    /// Its centre.
    pub centre_lps_mm: DVec3,
    /// Its radius, mm.
    pub radius_mm: f64,
    /// Mean SUV of the voxels whose centres it holds.
    pub mean_suv: f64,
    /// Their standard deviation.
    pub sd_suv: f64,
    /// How many they are.
    pub voxels: usize,
    /// Whether the mean is one that is expected: of a liver 1.3 to 3.0 (EANM). If not, dose, weight, uptake time or the
    /// liver itself is unusual.
    pub is_expected: bool,
}

/// Why there is no reference region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReference {
    /// No large, even, moderately warm region lies right of the middle.
    #[error(
        "no liver was recognised: no large region of even, moderate uptake lies right of the body's middle"
    )]
    LiverNotFound,
    /// The voxels of the sphere differ too much.
    #[error("the voxels of the reference sphere differ by more than {} % of their mean", (MAX_NOISE * 100.0).round())]
    Uneven,
    /// Nothing above the liver looks like the aorta.
    #[error("no even region of the uptake of blood lies where the descending aorta is")]
    BloodPoolNotFound,
}

impl NoReference {
    /// A stable kebab-case code, as it stands in reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LiverNotFound => "liver-not-found",
            Self::Uneven => "reference-uneven",
            Self::BloodPoolNotFound => "blood-pool-not-found",
        }
    }
}

/// Where the liver lies.
#[derive(Debug, Clone)]
pub(super) struct Liver {
    /// Whether a voxel of the body's coarse grid belongs to it.
    pub inside: Vec<bool>,
    /// Its lowest and highest z, mm.
    pub ends_mm: [f64; 2],
    pub reference: Reference,
}

impl Liver {
    /// Whether a position lies in it.
    pub(super) fn holds(&self, body: &Body, position_lps_mm: DVec3) -> bool {
        let geometry = &body.coarse.geometry;
        let index = geometry.lps_to_index().transform_point3(position_lps_mm);
        nearest_voxel(geometry, index).is_some_and(|voxel| self.inside[voxel])
    }
}

/// Large normal tissues take up less than so many times the liver's mean.
const WARM: f64 = 1.3;

/// SUV above which no large normal tissue is.
pub(super) fn warm_suv(liver: Option<&Reference>) -> f64 {
    WARM * liver.map_or(USUAL_LIVER_SUV, |liver| liver.mean_suv)
}

/// What a liver has where it was not found, SUV: the middle of what is expected.
pub(super) const USUAL_LIVER_SUV: f64 = 2.0;
/// Expected mean SUV of a liver. Source: EANM (s00259-022-05977-5).
const EXPECTED_LIVER_SUV: [f64; 2] = [1.3, 3.0];
/// Livers are looked for within this, so that an unusual one is found and said to be unusual. SUV.
const LIVER_SUV: [f32; 2] = [0.8, 5.0];
/// Radius of the sphere in the liver, 3 cm across (EANM), mm.
const LIVER_RADIUS_MM: f64 = 15.0;
/// Radius of the sphere in the aorta, well within its wall, mm.
const AORTA_RADIUS_MM: f64 = 7.5;
/// Largest standard deviation of the voxels of a sphere, as a share of their mean.
const MAX_NOISE: f64 = 0.35;
/// Centres of 3 cm spheres of even uptake fill this much of any liver, ml.
const MIN_CORE_ML: f64 = 100.0;
/// The middle of the liver lies at least this far right of the body's, mm.
const MIN_RIGHT_MM: f64 = 15.0;
/// How uneven smoothed uptake in such a sphere may be, strict first.
const UNEVENNESS: [f32; 4] = [0.10, 0.14, 0.18, 0.22];
/// Steps of SUV in which the liver is looked for from above: the next is so much of the last.
const STEP: f32 = 0.95;
/// What belongs to the liver is at least so much of its brightest part.
const LIVER_SHARE: f32 = 0.88;

/// Mean and unevenness in a sphere around each voxel of the body's coarse grid.
struct Local {
    mean: Vec<f32>,
    unevenness: Vec<f32>,
}

impl Local {
    /// Of the spheres around the voxels that are wanted; elsewhere too uneven for anything.
    fn new(
        body: &Body,
        calm: &[f32],
        radius_mm: f64,
        wanted: impl Fn(usize) -> bool + Sync,
    ) -> Self {
        let ball = Ball::new(&body.coarse.geometry, radius_mm);
        let local = |i: usize| {
            let whole = || {
                let held = ball.around(i).filter(|j| body.inside[*j]);
                held.count() == ball.offsets.len()
            };
            if !wanted(i) || !whole() {
                return (0.0, f32::INFINITY);
            }
            let count = ball.offsets.len() as f32;
            let mean = ball.around(i).map(|j| calm[j]).sum::<f32>() / count;
            let square = ball
                .around(i)
                .map(|j| (calm[j] - mean).powi(2))
                .sum::<f32>()
                / count;
            (mean, square.sqrt() / mean)
        };
        let (mean, unevenness) = (0..calm.len()).into_par_iter().map(local).unzip();
        Self { mean, unevenness }
    }
}

/// The voxels of the balls around voxels of a grid of even spacing.
struct Ball {
    size: [usize; 3],
    /// Steps along z, y, x.
    offsets: Vec<[isize; 3]>,
}

impl Ball {
    #[expect(clippy::cast_possible_truncation, reason = "a few voxels")]
    fn new(geometry: &Geometry, radius_mm: f64) -> Self {
        let reach = (radius_mm / geometry.spacing_mm()[0]).floor();
        let square = (reach * reach) as isize;
        let steps = || -(reach as isize)..=reach as isize;
        let all = steps().flat_map(|z| steps().flat_map(move |y| steps().map(move |x| [z, y, x])));
        let within = |o: &[isize; 3]| o.iter().map(|k| k * k).sum::<isize>() <= square;
        Self {
            size: geometry.size,
            offsets: all.filter(within).collect(),
        }
    }

    /// Linear indices of those that lie in the grid.
    fn around(&self, index: usize) -> impl Iterator<Item = usize> {
        let [_, ny, nx] = self.size;
        let centre = [index / (ny * nx), index / nx % ny, index % nx];
        self.offsets.iter().filter_map(move |offset| {
            let along = |axis: usize| {
                let at = centre[axis].checked_add_signed(offset[axis])?;
                (at < self.size[axis]).then_some(at)
            };
            Some((along(0)? * ny + along(1)?) * nx + along(2)?)
        })
    }
}

/// Finds the liver: the largest even, moderately warm region whose middle lies right of the body's.
pub(super) fn liver(field: &Field, body: &Body) -> Result<Liver, NoReference> {
    let calm = calm(body);
    let moderate = |i: usize| body.inside[i] && (LIVER_SUV[0]..=LIVER_SUV[1]).contains(&calm[i]);
    let local = Local::new(body, &calm, LIVER_RADIUS_MM, moderate);
    let core = core(body, &local).ok_or(NoReference::LiverNotFound)?;
    let centre = upper_right(body, &local, &core);
    let reference = reference(field, Site::Liver, position(body, centre), LIVER_RADIUS_MM)?;
    let inside = closed(body, &core);
    let own = (0..inside.len()).filter(|i| inside[*i]);
    let heights = own.map(|i| position(body, i).z);
    let ends_mm = heights.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], z| {
        [low.min(z), high.max(z)]
    });
    Ok(Liver {
        inside,
        ends_mm,
        reference,
    })
}

/// The coarse PET, smoothed to where noise does not hide how even an organ is.
fn calm(body: &Body) -> Vec<f32> {
    smoothed(
        body.coarse.voxels.clone(),
        body.coarse.geometry.size,
        [1.0; 3],
    )
}

fn position(body: &Body, index: usize) -> DVec3 {
    let [_, ny, nx] = body.coarse.geometry.size;
    let at = [index % nx, index / nx % ny, index / (ny * nx)].map(|v| v as f64);
    body.coarse.geometry.to_lps_mm(DVec3::from_array(at))
}

/// Centres of the spheres that lie in the liver: the first that are enough, from the most even and the brightest down, and
/// with them what is connected and not much darker.
fn core(body: &Body, local: &Local) -> Option<Vec<usize>> {
    for limit in UNEVENNESS {
        let mut floor = LIVER_SUV[1];
        while floor > LIVER_SUV[0] {
            if let Some(bright) = right_part(body, local, limit, floor) {
                let mean = bright.iter().map(|i| local.mean[*i]).sum::<f32>() / bright.len() as f32;
                let whole = right_part(body, local, limit, floor.min(LIVER_SHARE * mean));
                return whole.or(Some(bright));
            }
            floor *= STEP;
        }
    }
    None
}

/// The largest component right of the middle that is large enough.
fn right_part(body: &Body, local: &Local, limit: f32, floor: f32) -> Option<Vec<usize>> {
    let fits = |i: usize| local.unevenness[i] <= limit && local.mean[i] >= floor;
    let inside: Vec<bool> = (0..local.mean.len()).map(fits).collect();
    let size = body.coarse.geometry.size;
    let min_count = MIN_CORE_ML * 1000.0 / body.coarse.geometry.voxel_volume_mm3();
    if (inside.iter().filter(|i| **i).count() as f64) < min_count {
        return None;
    }
    let (labels, parts) = watershed(&local.mean, &inside, size, Split::NEVER);
    let members = |(part, found): (usize, &Basin)| {
        if (found.count as f64) < min_count {
            return None;
        }
        let own = |i: &usize| labels[*i] as usize == part + 1;
        let members: Vec<usize> = (0..labels.len()).filter(own).collect();
        let places = members
            .iter()
            .filter_map(|i| body.place(position(body, *i)));
        let left_mm = places.map(|place| place.left_mm).sum::<f64>() / members.len() as f64;
        (left_mm < -MIN_RIGHT_MM).then_some(members)
    };
    let fitting = parts.iter().enumerate().filter_map(members);
    // Of equal ones the last, which is as good as the first: the order is fixed.
    fitting.max_by_key(Vec::len)
}

/// The most even sphere of the upper right quarter of the core.
fn upper_right(body: &Body, local: &Local, core: &[usize]) -> usize {
    let middle = core.iter().map(|i| position(body, *i)).sum::<DVec3>() / core.len() as f64;
    let quarter = core.iter().copied().filter(|i| {
        let at = position(body, *i);
        at.x <= middle.x && at.z >= middle.z
    });
    let most_even = |a: &usize, b: &usize| local.unevenness[*a].total_cmp(&local.unevenness[*b]);
    quarter.min_by(most_even).unwrap_or(core[0])
}

/// Lesions of the liver up to about twice this width leave no hole in it, mm.
const CLOSING_MM: f64 = 20.0;

/// The liver around the centres of its spheres, with what it encloses.
fn closed(body: &Body, core: &[usize]) -> Vec<bool> {
    let geometry = &body.coarse.geometry;
    let mut grown = vec![false; body.inside.len()];
    let ball = Ball::new(geometry, LIVER_RADIUS_MM + CLOSING_MM);
    for at in core.iter().flat_map(|member| ball.around(*member)) {
        grown[at] = body.inside[at];
    }
    let ball = Ball::new(geometry, CLOSING_MM);
    let stays = |i: usize| grown[i] && ball.around(i).all(|j| grown[j] || !body.inside[j]);
    (0..grown.len()).into_par_iter().map(stays).collect()
}

/// Where the aorta lies: mm left of the middle, depth, and mm above the top of the liver.
const AORTA_LEFT_MM: [f64; 2] = [8.0, 34.0];
const AORTA_DEPTH: [f64; 2] = [0.45, 0.78];
const AORTA_ABOVE_MM: [f64; 2] = [0.0, 110.0];
/// Blood has so much of the liver's uptake: less is lung, more is the heart's wall.
const BLOOD_SHARE: [f32; 2] = [0.4, 1.15];

/// Finds the blood pool: the most even sphere where the descending aorta lies above the liver.
pub(super) fn blood_pool(
    field: &Field,
    body: &Body,
    liver: &Liver,
) -> Result<Reference, NoReference> {
    let calm = calm(body);
    let within = |value: f64, [low, high]: [f64; 2]| (low..=high).contains(&value);
    let in_place = |i: usize| {
        let at = body.place(position(body, i));
        at.is_some_and(|at| {
            within(at.left_mm, AORTA_LEFT_MM)
                && within(at.depth, AORTA_DEPTH)
                && within(at.z_mm - liver.ends_mm[1], AORTA_ABOVE_MM)
        })
    };
    let local = Local::new(body, &calm, AORTA_RADIUS_MM, |i| {
        body.inside[i] && in_place(i)
    });
    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is the pipeline's"
    )]
    let liver_suv = liver.reference.mean_suv as f32;
    let is_blood = |i: &usize| {
        let share = local.mean[*i] / liver_suv;
        (BLOOD_SHARE[0]..=BLOOD_SHARE[1]).contains(&share)
            && local.unevenness[*i] <= UNEVENNESS[UNEVENNESS.len() - 1]
    };
    let most_even = |a: &usize, b: &usize| local.unevenness[*a].total_cmp(&local.unevenness[*b]);
    let found = (0..calm.len()).filter(is_blood).min_by(most_even);
    let centre = found.ok_or(NoReference::BloodPoolNotFound)?;
    reference(
        field,
        Site::BloodPool,
        position(body, centre),
        AORTA_RADIUS_MM,
    )
}

/// Measures a sphere on the PET's own voxels.
fn reference(
    field: &Field,
    site: Site,
    centre_lps_mm: DVec3,
    radius_mm: f64,
) -> Result<Reference, NoReference> {
    let inside = sphere(field, centre_lps_mm, radius_mm);
    let (mean_suv, sd_suv) = moments(inside.iter().map(|i| field.suv[*i]));
    if inside.is_empty() || sd_suv > MAX_NOISE * mean_suv {
        return Err(NoReference::Uneven);
    }
    let [low, high] = EXPECTED_LIVER_SUV;
    Ok(Reference {
        site,
        centre_lps_mm,
        radius_mm,
        mean_suv,
        sd_suv,
        voxels: inside.len(),
        is_expected: site != Site::Liver || (low..=high).contains(&mean_suv),
    })
}

/// The voxels whose centres a sphere holds.
pub(super) fn sphere(field: &Field, centre_lps_mm: DVec3, radius_mm: f64) -> Vec<usize> {
    let inside = |i: &usize| field.position_lps_mm(*i).distance(centre_lps_mm) <= radius_mm;
    let around = field.around(centre_lps_mm, radius_mm);
    around.filter(inside).collect()
}

/// Mean and standard deviation.
pub(super) fn moments(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let square = values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    (mean, square.sqrt())
}
