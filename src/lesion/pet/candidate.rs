//! Regions of high uptake: the basins of the watershed, each cut at its threshold.

use super::field::Field;
use super::params::{PetParams, Threshold};
use super::reference::{Reference, warm_suv};
use crate::lesion::watershed::{Split, neighbours, watershed};
use glam::DVec3;

/// One region, before it is known what it is.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Linear indices of its voxels, ascending.
    pub voxels: Vec<usize>,
    /// Its voxels have at least this SUV.
    pub threshold_suv: f64,
    /// The threshold was raised, or the region would have run into what lies around it.
    pub is_raised: bool,
    pub suv_max: f64,
    /// Largest smoothed SUV.
    pub peak_suv: f64,
    /// Median SUV of what lies around it.
    pub background_suv: f64,
    pub volume_ml: f64,
    /// Mean position of its voxels, weighted by SUV and volume.
    pub centre_lps_mm: DVec3,
    /// Standard deviation of the positions of its voxels along the patient's axes, mm.
    pub spread_mm: DVec3,
    /// Corners of the box along the patient's axes that holds its voxels' centres.
    pub bounds_lps_mm: [DVec3; 2],
}

impl Candidate {
    /// Takes in another part of the same organ; the threshold becomes the lower one.
    pub(super) fn join(&mut self, other: Self) {
        let [own_ml, other_ml] = [self.volume_ml, other.volume_ml];
        self.voxels.extend(other.voxels);
        self.voxels.sort_unstable();
        self.centre_lps_mm =
            (self.centre_lps_mm * own_ml + other.centre_lps_mm * other_ml) / (own_ml + other_ml);
        self.volume_ml += other_ml;
        self.suv_max = self.suv_max.max(other.suv_max);
        self.threshold_suv = self.threshold_suv.min(other.threshold_suv);
        self.is_raised |= other.is_raised;
    }
}

/// One step down of a threshold, as a share of the maximum.
const STEP: f64 = 0.05;
/// A region that one step down makes so many times as large, and larger by so many ml, has run into what lies around it.
const LEAK_RATIO: f64 = 1.5;
const LEAK_ML: f64 = 10.0;
/// No threshold is raised above this share of the maximum.
const MAX_SHARE: f64 = 0.86;
/// What lies around a region begins and ends so far from it, mm.
const AROUND_MM: [f64; 2] = [6.0, 14.0];

/// What is connected above the lowest threshold, divided at its saddles.
pub(super) struct Regions<'a> {
    pub(super) field: &'a Field<'a>,
    pub(super) params: &'a PetParams,
    pub(super) liver: Option<&'a Reference>,
    /// Number of each voxel's region from 1; 0 outside.
    pub(super) labels: Vec<u32>,
    /// How many there are.
    pub(super) count: usize,
    fill: Fill,
}

impl<'a> Regions<'a> {
    pub(super) fn new(
        field: &'a Field,
        params: &'a PetParams,
        liver: Option<&'a Reference>,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "single precision is the pipeline's"
        )]
        let floor = floor_suv(params, liver) as f32;
        let inside: Vec<bool> = field.suv.iter().map(|v| *v >= floor && *v > 0.0).collect();
        let split = split(field, params, liver);
        let (labels, basins) = watershed(&field.fine, &inside, field.size(), split);
        Self {
            field,
            params,
            liver,
            labels,
            count: basins.len(),
            fill: Fill::new(field),
        }
    }

    /// All that the rules let pass, the highest peak first.
    pub(super) fn candidates(&mut self) -> Vec<Candidate> {
        let mut members = vec![Vec::new(); self.count];
        for (index, label) in self.labels.iter().enumerate() {
            if let Some(region) = (*label as usize).checked_sub(1) {
                members[region].push(index);
            }
        }
        let members = members.into_iter();
        let mut found: Vec<Candidate> = members.filter_map(|own| self.candidate(own)).collect();
        // Of equal ones the first stays first.
        found.sort_by(|a, b| b.peak_suv.total_cmp(&a.peak_suv));
        found
    }

    /// A region, or some of its voxels with a label of their own, cut at its threshold; `None` where the rules do not let it pass.
    pub(super) fn candidate(&mut self, members: Vec<usize>) -> Option<Candidate> {
        let Self {
            field,
            params,
            liver,
            ..
        } = *self;
        let smooth = members.iter().map(|voxel| field.smooth[*voxel]);
        let peak_suv = f64::from(smooth.fold(0.0, f32::max));
        if peak_suv < params.min_peak_suv {
            return None;
        }
        let cut = Cut {
            field,
            params,
            labels: &self.labels,
            members,
            leak_suv: warm_suv(liver),
        };
        let found = cut.candidate(&mut self.fill, peak_suv, floor_suv(params, liver))?;
        let stands_out = stands_out(&found, params, liver);
        (found.volume_ml >= params.min_volume_ml && stands_out).then_some(found)
    }
}

/// When two peaks are two: the noise is known from the liver.
#[expect(
    clippy::cast_possible_truncation,
    reason = "single precision is the pipeline's"
)]
fn split(field: &Field, params: &PetParams, liver: Option<&Reference>) -> Split {
    let (share, depth_suv) = match liver {
        Some(liver) => (
            params.max_saddle_share,
            params.min_saddle_liver_sds * liver.sd_suv,
        ),
        None => (params.max_saddle_share_without_liver, 0.0),
    };
    Split {
        max_saddle_share: share as f32,
        min_depth: depth_suv as f32,
        min_count: voxel_count(field, params.min_part_ml),
    }
}

/// Lowest SUV that any region may hold.
fn floor_suv(params: &PetParams, liver: Option<&Reference>) -> f64 {
    match params.threshold {
        Threshold::OfMax(share) => share * params.min_peak_suv,
        Threshold::Fixed(suv) => suv,
        // Without a liver the lowest peak is the only limit there is.
        Threshold::Liver(sds) => liver.map_or(params.min_peak_suv, |liver| {
            liver.mean_suv + sds * liver.sd_suv
        }),
    }
}

fn stands_out(found: &Candidate, params: &PetParams, liver: Option<&Reference>) -> bool {
    let above_liver = liver.is_none_or(|liver| {
        found.peak_suv >= liver.mean_suv + params.min_peak_liver_sds * liver.sd_suv
    });
    above_liver || found.peak_suv >= params.min_contrast * found.background_suv
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a float that is too large saturates"
)]
pub(super) fn voxel_count(field: &Field, volume_ml: f64) -> usize {
    let voxel_ml = field.stored().geometry.voxel_volume_mm3() / 1000.0;
    (volume_ml / voxel_ml).ceil() as usize
}

/// A basin to be cut at its threshold.
struct Cut<'a> {
    field: &'a Field<'a>,
    params: &'a PetParams,
    labels: &'a [u32],
    members: Vec<usize>,
    /// Below this a region may run into what lies around.
    leak_suv: f64,
}

impl Cut<'_> {
    fn candidate(&self, fill: &mut Fill, peak_suv: f64, floor_suv: f64) -> Option<Candidate> {
        let field = self.field;
        let brighter = |a: &&usize, b: &&usize| field.suv[**a].total_cmp(&field.suv[**b]);
        // Of equal ones the first.
        let brightest = *self.members.iter().rev().max_by(brighter)?;
        let suv_max = f64::from(field.suv[brightest]);
        let (voxels, threshold_suv, is_raised) = match self.params.threshold {
            Threshold::OfMax(share) => self.of_max(fill, brightest, suv_max, share),
            _ => (self.members.clone(), floor_suv, false),
        };
        Some(describe(
            field,
            fill,
            Candidate {
                voxels,
                threshold_suv,
                is_raised,
                suv_max,
                peak_suv,
                background_suv: 0.0,
                volume_ml: 0.0,
                centre_lps_mm: DVec3::ZERO,
                spread_mm: DVec3::ZERO,
                bounds_lps_mm: [DVec3::INFINITY, DVec3::NEG_INFINITY],
            },
        ))
    }

    /// What is connected with the brightest voxel at a share of its SUV; a higher share where that runs into what lies around.
    fn of_max(
        &self,
        fill: &mut Fill,
        brightest: usize,
        suv_max: f64,
        share: f64,
    ) -> (Vec<usize>, f64, bool) {
        let mut at = |share: f64| self.connected(fill, brightest, share * suv_max);
        let volume_ml =
            |voxels: &[usize]| -> f64 { voxels.iter().map(|i| self.field.voxel_ml(*i)).sum() };
        let mut steps = vec![(share, at(share))];
        while let Some(next) = steps
            .last()
            .map(|last| last.0 + STEP)
            .filter(|s| *s <= MAX_SHARE)
        {
            steps.push((next, at(next)));
        }
        let leaks = |pair: &[(f64, Vec<usize>)]| {
            if pair[0].0 * suv_max >= self.leak_suv {
                return false;
            }
            let [lower, upper] = [0, 1].map(|k| volume_ml(&pair[k].1));
            lower > LEAK_RATIO * upper && lower - upper > LEAK_ML
        };
        let kept = steps.windows(2).rposition(leaks).map_or(0, |leak| leak + 1);
        let (share, mut voxels) = steps.swap_remove(kept);
        voxels.sort_unstable();
        (voxels, share * suv_max, kept > 0)
    }

    fn connected(&self, fill: &mut Fill, start: usize, threshold_suv: f64) -> Vec<usize> {
        let label = self.labels[start];
        let belongs =
            |i: usize| self.labels[i] == label && f64::from(self.field.suv[i]) >= threshold_suv;
        fill.begin();
        fill.visit(start);
        let mut found = vec![start];
        let mut head = 0;
        while head < found.len() {
            for next in neighbours(self.field.size(), found[head]) {
                if belongs(next) && fill.visit(next) {
                    found.push(next);
                }
            }
            head += 1;
        }
        found
    }
}

/// Which voxels one search has seen, kept from search to search.
#[derive(Debug)]
struct Fill {
    /// Number of the last search that saw a voxel.
    seen: Vec<u32>,
    search: u32,
}

impl Fill {
    fn new(field: &Field) -> Self {
        Self {
            seen: vec![0; field.suv.len()],
            search: 0,
        }
    }

    fn begin(&mut self) {
        self.search += 1;
    }

    /// Whether this search had not seen the voxel.
    fn visit(&mut self, voxel: usize) -> bool {
        std::mem::replace(&mut self.seen[voxel], self.search) != self.search
    }
}

/// Fills in what follows from a candidate's voxels.
fn describe(field: &Field, fill: &mut Fill, mut found: Candidate) -> Candidate {
    let (mut weighted, mut total) = (DVec3::ZERO, 0.0);
    let [mut lower, mut upper] = [DVec3::INFINITY, DVec3::NEG_INFINITY];
    found.volume_ml = 0.0;
    for &voxel in &found.voxels {
        let at = field.position_lps_mm(voxel);
        let volume_ml = field.voxel_ml(voxel);
        let weight = volume_ml * f64::from(field.suv[voxel]);
        weighted += at * weight;
        total += weight;
        found.volume_ml += volume_ml;
        (lower, upper) = (lower.min(at), upper.max(at));
    }
    found.centre_lps_mm = weighted / total;
    found.spread_mm = spread_mm(field, &found.voxels);
    found.bounds_lps_mm = [lower, upper];
    found.background_suv = background_suv(field, fill, &found.voxels);
    found
}

fn spread_mm(field: &Field, voxels: &[usize]) -> DVec3 {
    let count = voxels.len() as f64;
    let positions = || voxels.iter().map(|i| field.position_lps_mm(*i));
    let mean = positions().sum::<DVec3>() / count;
    let square = positions()
        .map(|at| (at - mean) * (at - mean))
        .sum::<DVec3>()
        / count;
    square.map(f64::sqrt)
}

/// Median SUV of the tissue around a region.
fn background_suv(field: &Field, fill: &mut Fill, voxels: &[usize]) -> f64 {
    let step_mm = field
        .stored()
        .geometry
        .spacing_mm()
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    fill.begin();
    for &voxel in voxels {
        fill.visit(voxel);
    }
    let mut front = voxels.to_vec();
    let mut values = Vec::new();
    let mut reached_mm = 0.0;
    while reached_mm < AROUND_MM[1] && !front.is_empty() {
        reached_mm += step_mm;
        let around = front.iter().flat_map(|i| neighbours(field.size(), *i));
        let next: Vec<usize> = around.filter(|i| fill.visit(*i)).collect();
        if reached_mm >= AROUND_MM[0] {
            values.extend(
                next.iter()
                    .map(|i| field.suv[*i])
                    .filter(|suv| *suv > MIN_TISSUE_SUV),
            );
        }
        front = next;
    }
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    f64::from(*values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// Below this is air, SUV.
const MIN_TISSUE_SUV: f32 = 0.1;
