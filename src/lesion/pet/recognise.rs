//! Which regions of high uptake are organs, by their place, their shape and what else there is.
//!
//! In: regions, body and liver. Out: for each region an organ, how well it fits, or none. Nothing is dropped.

use super::body::{Body, Place};
use super::candidate::Candidate;
use super::landmarks::{Landmarks, Zone};
use super::organ::Organ;
use super::reference::{Liver, USUAL_LIVER_SUV};
use crate::volume::Laterality;
use glam::DVec3;

/// A region that was recognised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recognised {
    pub organ: Organ,
    /// How well place and shape fit, 0 to 1.
    pub fit: f32,
}

/// What is needed besides the regions.
pub(super) struct Surroundings<'a> {
    pub body: &'a Body,
    pub liver: Option<&'a Liver>,
    /// Part of each region that lies in the lungs, 0 to 1; 0 without a CT.
    pub in_lungs: Vec<f64>,
    /// Part of each region that lies in the liver, 0 to 1.
    pub in_liver: Vec<f64>,
}

const SIDES: [Laterality; 2] = [Laterality::Right, Laterality::Left];

/// Fits: the place is the only one that there is, several things agree, or just one does.
const SURE: f32 = 0.9;
const LIKELY: f32 = 0.7;
const POSSIBLE: f32 = 0.4;

/// More than this share of its voxels in lung or liver makes a region part of it.
const WITHIN: f64 = 0.5;
/// Peak and volume of the least bright and the least large brain, SUV and ml; of one that the scan cuts, ml.
const BRAIN: [f64; 2] = [3.5, 60.0];
const CUT_BRAIN_ML: f64 = 5.0;
/// So near to the end of the scan a region is cut, mm.
const CUT_MM: f64 = 12.0;
/// A part of an organ that is so many times as bright as the main one may be a lesion in it.
const OUTSTANDING: f64 = 1.6;
/// The wall of the heart, at least, ml.
const MIN_HEART_ML: f64 = 20.0;
/// The urine of a bladder: least volume, ml, and least peak as a multiple of the liver's mean.
const BLADDER: [f64; 2] = [4.0, 2.0];
/// Volume of urine or cortex of a kidney that is bright enough, at least, ml.
const MIN_KIDNEY_ML: f64 = 1.0;
/// A kidney that is smaller than the other by this is uncertain.
const KIDNEY_RATIO: f64 = 3.0;
/// A ureter: at least so long along the body, mm, with at most such a section, cm², and so many times as long as wide.
const URETER: [f64; 3] = [22.0, 3.0, 2.0];
/// Bowel and glands of the head take up at most so many times the liver's mean.
const MAX_BOWEL: f64 = 2.5;
const MAX_GLAND: f64 = 4.0;
/// A loop of bowel is no ball: the diagonal of its box is so many times as long as the ball of its volume is wide, of which
/// a ball has 1.7.
const MIN_LOOP: f64 = 2.0;
/// Two glands are a pair within this, mm, with peaks and volumes that differ less than so many times.
const PAIR_MM: f64 = 22.0;
const PAIR_RATIO: [f64; 2] = [1.8, 4.0];
/// Tonsils lie nearer to the middle than this, other glands further away, mm.
const TONSIL_MM: f64 = 23.0;

/// Names the organs among the regions.
pub(super) fn recognise(
    candidates: &[Candidate],
    surroundings: &Surroundings,
) -> Vec<Option<Recognised>> {
    let body = surroundings.body;
    let mut naming = Naming {
        candidates,
        places: candidates
            .iter()
            .map(|c| body.place(c.centre_lps_mm))
            .collect(),
        surroundings,
        marks: Landmarks::new(body, surroundings.liver),
        liver_suv: surroundings
            .liver
            .map_or(USUAL_LIVER_SUV, |l| l.reference.mean_suv),
        found: vec![None; candidates.len()],
    };
    naming.liver();
    naming.brain();
    naming.injection();
    naming.bladder();
    naming.heart();
    naming.kidneys();
    naming.glands();
    naming.ureters();
    naming.bowel();
    naming.found
}

struct Naming<'a> {
    candidates: &'a [Candidate],
    places: Vec<Option<Place>>,
    surroundings: &'a Surroundings<'a>,
    marks: Landmarks,
    liver_suv: f64,
    found: Vec<Option<Recognised>>,
}

impl Naming<'_> {
    /// Regions without a name, not in the lungs, whose middle lies in a zone and for which something holds.
    fn open(&self, zone: Zone, holds: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        let fits = |i: &usize| {
            self.found[*i].is_none()
                && self.surroundings.in_lungs[*i] < WITHIN
                && self.places[*i].is_some_and(|place| zone.holds(place))
                && holds(&self.candidates[*i])
        };
        (0..self.candidates.len()).filter(fits).collect()
    }

    fn open_in(&self, zone: Option<Zone>, holds: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        zone.map_or_else(Vec::new, |zone| self.open(zone, holds))
    }

    fn name(&mut self, index: usize, organ: Organ, fit: f32) {
        self.found[index] = Some(Recognised { organ, fit });
    }

    /// The one that is large and, twice as much, bright.
    fn main(&self, of: &[usize]) -> Option<usize> {
        let uptake = |i: &usize| {
            let Candidate {
                volume_ml,
                peak_suv,
                ..
            } = self.candidates[*i];
            volume_ml * peak_suv * peak_suv
        };
        // Of equal ones the first.
        let of = of.iter().rev().copied();
        of.max_by(|a, b| uptake(a).total_cmp(&uptake(b)))
    }

    /// Liver that is brighter than the threshold, but not than the rest of it.
    fn liver(&mut self) {
        let Some(liver) = self.surroundings.liver else {
            return;
        };
        let limit = liver.reference.mean_suv + 3.0 * liver.reference.sd_suv;
        for i in 0..self.candidates.len() {
            let is_liver = self.surroundings.in_liver[i] >= WITHIN;
            if is_liver && self.candidates[i].peak_suv < limit {
                self.name(i, Organ::Liver, SURE);
            }
        }
    }

    fn brain(&mut self) {
        let top = self.surroundings.body.ends_mm().map_or(0.0, |[_, top]| top);
        let is_cut = |c: &Candidate| c.bounds_lps_mm[1].z > top - CUT_MM;
        let is_brain = |c: &Candidate| {
            let least = if is_cut(c) { CUT_BRAIN_ML } else { BRAIN[1] };
            c.peak_suv >= BRAIN[0].max(1.5 * self.liver_suv) && c.volume_ml >= least
        };
        let zone = self.marks.brain();
        let Some(main) = self.main(&self.open(zone, is_brain)) else {
            return;
        };
        let brain = &self.candidates[main];
        let fit = if is_cut(brain) { LIKELY } else { SURE };
        let lowest = brain.bounds_lps_mm[0].z - 5.0;
        let is_part = |c: &Candidate| {
            c.centre_lps_mm.z >= lowest && c.peak_suv <= OUTSTANDING * brain.peak_suv
        };
        let parts = self.open(zone, is_part);
        self.marks.found_brain(brain);
        for part in parts {
            self.name(part, Organ::Brain, fit);
        }
    }

    /// The brightest region in an arm, and what lies near it: tracer is left in a vein in pieces.
    fn injection(&mut self) {
        const NEAR_MM: f64 = 80.0;
        let is_limb = |i: &usize| {
            self.found[*i].is_none()
                && self
                    .surroundings
                    .body
                    .is_limb(self.candidates[*i].centre_lps_mm)
                && self.is_in_arm(*i)
        };
        let in_arm: Vec<usize> = (0..self.candidates.len()).filter(is_limb).collect();
        let Some(brightest) = in_arm.first() else {
            return;
        };
        let site = self.candidates[*brightest].centre_lps_mm;
        for part in in_arm {
            if self.candidates[part].centre_lps_mm.distance(site) <= NEAR_MM {
                self.name(part, Organ::InjectionSite, POSSIBLE);
            }
        }
    }

    /// Legs are limbs as well, but below the kidneys and nearer to the middle.
    fn is_in_arm(&self, index: usize) -> bool {
        const MIN_ASIDE_MM: f64 = 130.0;
        self.places[index].is_some_and(|place| place.left_mm.abs() >= MIN_ASIDE_MM)
    }

    fn bladder(&mut self) {
        let least = BLADDER[1] * self.liver_suv;
        let is_urine = |c: &Candidate| c.volume_ml >= BLADDER[0] && c.peak_suv >= least;
        let Some(main) = self.main(&self.open_in(self.marks.bladder(), is_urine)) else {
            return;
        };
        let alone = self.candidates[main].peak_suv >= 2.0 * least;
        self.marks.found_bladder(&self.candidates[main]);
        self.name(main, Organ::Bladder, if alone { SURE } else { POSSIBLE });
    }

    fn heart(&mut self) {
        let is_heart = |c: &Candidate| c.volume_ml >= MIN_HEART_ML;
        let zone = self.marks.heart();
        let Some(main) = self.main(&self.open_in(zone, is_heart)) else {
            return;
        };
        let parts = self.parts(main, [12.0; 3], 1.7, OUTSTANDING);
        for part in parts {
            self.name(part, Organ::Heart, LIKELY);
        }
    }

    fn kidneys(&mut self) {
        let is_kidney = |c: &Candidate| c.volume_ml >= MIN_KIDNEY_ML;
        let mains = SIDES.map(|side| {
            let open = self.open_in(self.marks.kidney(side), is_kidney);
            let open: Vec<usize> = open
                .into_iter()
                .filter(|i| self.surroundings.in_liver[*i] < WITHIN)
                .collect();
            self.main(&open)
        });
        let fit = if mains.iter().all(Option::is_some) {
            SURE
        } else {
            POSSIBLE
        };
        let mut sizes_ml = [0.0; 2];
        for ((side, main), size_ml) in SIDES.into_iter().zip(mains).zip(&mut sizes_ml) {
            let Some(main) = main else { continue };
            // Urine in a calyx is many times as bright as the cortex.
            for part in self.parts(main, [14.0, 14.0, 22.0], 3.0, f64::INFINITY) {
                self.name(part, Organ::Kidney(side), fit);
                *size_ml += self.candidates[part].volume_ml;
            }
        }
        // What is much smaller than the other kidney may be a lesion in its place.
        let largest_ml = sizes_ml[0].max(sizes_ml[1]);
        for (side, size_ml) in SIDES.into_iter().zip(sizes_ml) {
            if size_ml < largest_ml / KIDNEY_RATIO {
                let own = self.found.iter_mut().flatten();
                own.filter(|found| found.organ == Organ::Kidney(side))
                    .for_each(|found| found.fit = POSSIBLE);
            }
        }
    }

    /// A region and those without a name, not too bright for it, whose middle lies within so many standard deviations of its
    /// voxels, which are at least `floors_mm` along the patient's axes.
    fn parts(&self, main: usize, floors_mm: [f64; 3], reach: f64, brighter: f64) -> Vec<usize> {
        let Candidate {
            centre_lps_mm: centre,
            spread_mm,
            ..
        } = self.candidates[main];
        let spread_mm = spread_mm.max(DVec3::from_array(floors_mm));
        let is_part = |i: &usize| {
            let off = self.candidates[*i].centre_lps_mm - centre;
            let is_dimmer =
                self.candidates[*i].peak_suv <= brighter * self.candidates[main].peak_suv;
            let within = (off / spread_mm).length() <= reach;
            *i == main || self.found[*i].is_none() && is_dimmer && within
        };
        (0..self.candidates.len()).filter(is_part).collect()
    }

    /// Regions of the head that have a like on the other side.
    fn glands(&mut self) {
        let limit = MAX_GLAND * self.liver_suv;
        let open = self.open_in(self.marks.glands(), |c| c.peak_suv <= limit);
        for (n, &one) in open.iter().enumerate() {
            let other = open[n + 1..].iter().copied().find(|other| {
                self.found[one].is_none()
                    && self.found[*other].is_none()
                    && self.is_pair(one, *other)
            });
            let Some(other) = other else { continue };
            for of in [one, other] {
                let left_mm = self.places[of].map_or(0.0, |place| place.left_mm);
                let side = if left_mm > 0.0 {
                    Laterality::Left
                } else {
                    Laterality::Right
                };
                let organ = match left_mm.abs() < TONSIL_MM {
                    true => Organ::Tonsil(side),
                    false => Organ::SalivaryGland(side),
                };
                self.name(of, organ, LIKELY);
            }
        }
    }

    fn is_pair(&self, one: usize, other: usize) -> bool {
        let (Some(a), Some(b)) = (self.places[one], self.places[other]) else {
            return false;
        };
        let [c, d] = [one, other].map(|i| &self.candidates[i]);
        let near = |x: f64, y: f64| (x - y).abs() <= PAIR_MM;
        let like = |x: f64, y: f64, ratio: f64| x.max(y) <= ratio * x.min(y);
        a.left_mm * b.left_mm < 0.0
            && near(a.left_mm, -b.left_mm)
            && near(a.z_mm, b.z_mm)
            && near(c.centre_lps_mm.y, d.centre_lps_mm.y)
            && like(c.peak_suv, d.peak_suv, PAIR_RATIO[0])
            && like(c.volume_ml, d.volume_ml, PAIR_RATIO[1])
    }

    /// Tubes of urine, and short pieces in line with them.
    fn ureters(&mut self) {
        const PIECE_ML: f64 = 2.0;
        const ASIDE_MM: f64 = 25.0;
        let least = BLADDER[1] * self.liver_suv;
        let is_urine = |c: &Candidate| c.suv_max >= least;
        let is_tube = |c: &Candidate| {
            let [length_mm, section_cm2, ratio] = URETER;
            let long_mm = c.bounds_lps_mm[1].z - c.bounds_lps_mm[0].z;
            let section = c.volume_ml * 10.0 / long_mm;
            let is_long = long_mm >= length_mm.max(ratio * 10.0 * section.sqrt());
            is_long && section <= section_cm2 && is_urine(c)
        };
        for side in SIDES {
            let zone = self.marks.ureter(side);
            let tubes = self.open_in(zone, is_tube);
            let is_piece = |c: &Candidate| {
                let beside = |tube: &usize| {
                    let off = self.candidates[*tube].centre_lps_mm - c.centre_lps_mm;
                    off.truncate().length() <= ASIDE_MM
                };
                c.volume_ml <= PIECE_ML && is_urine(c) && tubes.iter().any(beside)
            };
            let pieces = self.open_in(zone, is_piece);
            for part in tubes.into_iter().chain(pieces) {
                self.name(part, Organ::Ureter(side), POSSIBLE);
            }
        }
    }

    fn bowel(&mut self) {
        let limit = MAX_BOWEL * self.liver_suv;
        let is_loop = |c: &Candidate| {
            let ball_mm = 2.0 * (c.volume_ml * 1000.0 * 0.75 / std::f64::consts::PI).cbrt();
            let box_mm = (c.bounds_lps_mm[1] - c.bounds_lps_mm[0]).length();
            c.peak_suv <= limit && box_mm >= MIN_LOOP * ball_mm
        };
        for loops in self.open_in(self.marks.bowel(), is_loop) {
            if self.surroundings.in_liver[loops] < WITHIN {
                self.name(loops, Organ::Bowel, POSSIBLE);
            }
        }
    }
}
