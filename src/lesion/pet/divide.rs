//! Small lesions that touch, divided where the scanner's blur has hidden the saddle between them.
//!
//! Only what is no organ, and small: a large lesion has peaks of its own, which sharpening would make lesions of. And only
//! where a lesion is cut at a share of its maximum, which leaves a weaker neighbour out: other thresholds lose none of its voxels.

use super::Named;
use super::blur::{deblurred, sigma};
use super::candidate::{Candidate, Regions, voxel_count};
use super::field::Field;
use super::params::{PetParams, Threshold};
use super::reference::{Reference, moments, sphere};
use crate::lesion::watershed::{Split, watershed};
use std::ops::Range;

/// A lesion that touches another lies within this of its bright part, mm.
const REACH_MM: f64 = 30.0;
/// What lies farther away than this does not change what blur made of a voxel, mm.
const BLUR_REACH_MM: f64 = 20.0;

impl Regions<'_> {
    /// Divides the small ones of what has no name.
    pub(super) fn divide_lesions(&mut self, named: impl Iterator<Item = Named>) -> Vec<Named> {
        let is_share = matches!(self.params.threshold, Threshold::OfMax(_));
        let liver = self.liver.filter(|_| is_share);
        let Some(noise) = liver.map(|liver| Noise::of(liver, self.field, self.params)) else {
            return named.collect();
        };
        let mut divided = Vec::new();
        for (candidate, name) in named {
            if name.is_some() || candidate.volume_ml > self.params.max_sharpened_ml {
                divided.push((candidate, name));
            } else {
                let parts = self.divided(candidate, noise).into_iter();
                divided.extend(parts.map(|part| (part, None)));
            }
        }
        divided
    }

    /// The parts of a region that the rules let pass by themselves; the region itself where these are fewer than two.
    fn divided(&mut self, whole: Candidate, noise: Noise) -> Vec<Candidate> {
        let Some(label) = whole.voxels.first().map(|voxel| self.labels[*voxel]) else {
            return vec![whole];
        };
        let block = Block::around(self.field, &whole.voxels, REACH_MM);
        let members: Vec<usize> = block.voxels(self.field).collect();
        let inside: Vec<bool> = members.iter().map(|i| self.labels[*i] == label).collect();
        let sharp = block.sharpened(self.field, self.params);
        let split = Split {
            min_count: voxel_count(self.field, self.params.min_part_ml),
            ..noise.split(self.params, whole.suv_max)
        };
        let (labels, basins) = watershed(&sharp, &inside, block.size(), split);
        if basins.len() < 2 {
            return vec![whole];
        }
        let mut parts = vec![Vec::new(); basins.len()];
        for (member, part) in members.iter().zip(&labels) {
            if let Some(part) = (*part as usize).checked_sub(1) {
                parts[part].push(*member);
                self.labels[*member] = u32::try_from(self.count + part + 1).unwrap_or(u32::MAX);
            }
        }
        self.count += parts.len();
        let found: Vec<Candidate> = parts
            .into_iter()
            .filter_map(|own| self.candidate(own))
            .collect();
        let volume_ml: f64 = found.iter().map(|part| part.volume_ml).sum();
        let are_small = volume_ml <= self.params.max_sharpened_ml;
        if found.len() > 1 && are_small {
            found
        } else {
            vec![whole]
        }
    }
}

/// Noise of the sharpened PET, which grows with the uptake: at least as its root does, at most in proportion.
#[derive(Debug, Clone, Copy)]
struct Noise {
    sd_suv: f64,
    /// Of the same region.
    mean_suv: f64,
}

impl Noise {
    fn of(liver: &Reference, field: &Field, params: &PetParams) -> Self {
        let inside = sphere(field, liver.centre_lps_mm, liver.radius_mm);
        let block = Block::around(field, &inside, BLUR_REACH_MM);
        let sharp = block.sharpened(field, params);
        let values = block.voxels(field).zip(&sharp);
        let own = values.filter(|(voxel, _)| inside.binary_search(voxel).is_ok());
        let (mean_suv, sd_suv) = moments(own.map(|(_, value)| *value));
        Self { sd_suv, mean_suv }
    }

    /// When two peaks of a region of this maximum are two.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is the pipeline's"
    )]
    fn split(self, params: &PetParams, suv_max: f64) -> Split {
        let share = 1.0 - params.min_sharp_noise * self.sd_suv / self.mean_suv;
        let sd_suv = self.sd_suv * (suv_max / self.mean_suv).max(1.0).sqrt();
        Split {
            max_saddle_share: share.min(params.max_sharp_saddle_share) as f32,
            min_depth: (params.min_sharp_liver_sds * sd_suv) as f32,
            min_count: 0,
        }
    }
}

/// A box of voxels.
struct Block {
    ranges: [Range<usize>; 3],
}

impl Block {
    /// The box of some voxels and what lies within `margin_mm` along each axis.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few voxels"
    )]
    fn around(field: &Field, voxels: &[usize], margin_mm: f64) -> Self {
        let at = || voxels.iter().map(|i| field.voxel(*i));
        let spacing_mm = field.stored().geometry.spacing_mm();
        let range = |axis: usize| {
            let margin = (margin_mm / spacing_mm[axis]).ceil() as usize;
            let first = at().map(|voxel| voxel[axis]).min().unwrap_or(0);
            let last = at().map(|voxel| voxel[axis]).max().unwrap_or(0);
            first.saturating_sub(margin)..(last + margin + 1).min(field.size()[axis])
        };
        Self {
            ranges: std::array::from_fn(range),
        }
    }

    fn size(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.ranges[axis].len())
    }

    /// Linear indices of its voxels in the PET, ascending.
    fn voxels(&self, field: &Field) -> impl Iterator<Item = usize> + Clone {
        let [_, ny, nx] = field.size();
        let [zs, ys, xs] = self.ranges.clone();
        zs.flat_map(move |z| {
            let xs = xs.clone();
            ys.clone()
                .flat_map(move |y| xs.clone().map(move |x| (z * ny + y) * nx + x))
        })
    }

    /// Its SUV with the blur taken back.
    fn sharpened(&self, field: &Field, params: &PetParams) -> Vec<f32> {
        let values: Vec<f32> = self.voxels(field).map(|i| field.suv[i]).collect();
        let sigma = sigma(&field.stored().geometry, params.blur_fwhm_mm);
        deblurred(&values, self.size(), sigma, params.sharpening_steps)
    }
}
