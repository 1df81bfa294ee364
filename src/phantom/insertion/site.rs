//! Where lesions fit: in the lungs, against what the table says, apart from each other.

use super::super::lesion::{sphere_directions, turn};
use super::chest::{Chest, Tissue, centre};
use super::drawing::{Drawing, Window};
use super::mix::{hu, median};
use super::outline::Outline;
use super::table::{Attachment, Recipe};
use super::{Error, Known, Scan};
use crate::volume::StoredVolume;
use glam::DVec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;

/// Least distance between two lesions' surfaces, mm.
const APART_MM: f64 = 10.0;
/// An isolated lesion has this much lung around it, mm.
const ISOLATED_MM: f64 = 2.0;
/// What a juxtavascular lesion keeps from the lung's border, mm.
const FROM_BORDER_MM: f64 = 1.0;
/// How deep a juxtapleural lesion is pressed into the wall, as parts of its radius; that part is cut off.
const PRESSED: RangeInclusive<f64> = 0.1..=0.35;
/// The part of a juxtapleural lesion's voxels that the wall may cut off.
const MOST_CUT: f64 = 0.35;
/// The part of a lesion's voxels that vessels may hold.
const MOST_VESSEL: f64 = 0.35;
/// Lung that lesions lie in: neither the lumen of airways nor consolidation, HU.
const PARENCHYMA_HU: RangeInclusive<f32> = -950.0..=-600.0;
/// Least rise of a lesion, or its ground-glass part, above the lung that it replaces, HU.
const MIN_CONTRAST_HU: f32 = 100.0;
/// Places that are tried for one lesion.
const TRIES: usize = 4000;

/// A lesion in its place.
pub(super) struct Placed {
    pub(super) recipe: Recipe,
    centre_lps_mm: DVec3,
    most_mm: f64,
    pub(super) drawing: Drawing,
    /// Linear indices of the truth's voxels.
    pub(super) mask: Vec<usize>,
    /// Median of the lung that it replaces, HU.
    pub(super) parenchyma_hu: f32,
}

/// The scan in which lesions are placed.
pub(super) struct Site<'a> {
    pub(super) chest: &'a Chest,
    pub(super) stored: &'a StoredVolume,
    pub(super) scan: &'a Scan<'a>,
    pub(super) known: &'a [Known],
}

impl Site<'_> {
    /// Places all, in order.
    ///
    /// # Errors
    /// [`Error::NoRoomInLungs`] where one fits nowhere.
    pub(super) fn place(
        &self,
        recipes: Vec<Recipe>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Placed>, Error> {
        let asked = recipes.len();
        let mut placed: Vec<Placed> = Vec::with_capacity(asked);
        for recipe in recipes {
            let diameter_mm = recipe.diameter_mm;
            let lesion = self
                .find(&recipe, &placed, rng)
                .ok_or(Error::NoRoomInLungs {
                    placed: placed.len(),
                    asked,
                    diameter_mm,
                })?;
            placed.push(lesion);
        }
        Ok(placed)
    }

    fn find(&self, recipe: &Recipe, others: &[Placed], rng: &mut ChaCha8Rng) -> Option<Placed> {
        let outline = Outline::new(recipe.margin, recipe.diameter_mm, rng);
        (0..TRIES).find_map(|_| {
            let centre_lps_mm = self.throw(recipe.attachment, &outline, rng)?;
            let promising = self.apart(centre_lps_mm, outline.most_mm(), others)
                && self.surface_fits(recipe.attachment, &outline, centre_lps_mm);
            let parenchyma_hu = promising
                .then(|| self.survey(recipe, &outline, centre_lps_mm))
                .flatten()?;
            let core = recipe.core.map(|core| core.volume_share);
            let spread = self.scan.spread;
            let drawing = Drawing::new(self.chest, &outline, core, centre_lps_mm, spread);
            let mask = drawing.mask(self.chest);
            self.is_attached(recipe.attachment, &mask).then(|| Placed {
                recipe: recipe.clone(),
                centre_lps_mm,
                most_mm: outline.most_mm(),
                drawing,
                mask,
                parenchyma_hu,
            })
        })
    }

    /// A random middle for a lesion of this attachment.
    fn throw(
        &self,
        attachment: Attachment,
        outline: &Outline,
        rng: &mut ChaCha8Rng,
    ) -> Option<DVec3> {
        match attachment {
            Attachment::Isolated => self.chest.lung_point(rng),
            Attachment::Juxtapleural => {
                let (border, inwards) = self.chest.border_point(rng)?;
                let pressed = rng.random_range(PRESSED);
                Some(border + inwards * outline.radius_mm(-inwards) * (1.0 - pressed))
            }
            Attachment::Juxtavascular => {
                let vessel = self.chest.vessel_point(rng)?;
                let aside = turn(rng).x_axis;
                Some(vessel + aside * outline.radius_mm(-aside))
            }
        }
    }

    fn apart(&self, centre_lps_mm: DVec3, most_mm: f64, others: &[Placed]) -> bool {
        let clear = |other: DVec3, radius_mm: f64| {
            centre_lps_mm.distance(other) >= most_mm + radius_mm + APART_MM
        };
        others.iter().all(|o| clear(o.centre_lps_mm, o.most_mm))
            && self
                .known
                .iter()
                .all(|k| clear(DVec3::from(k.centroid_lps_mm), k.reach_mm()))
    }

    /// A quick look at some points of the surface, and that the scan holds the whole of it.
    fn surface_fits(
        &self,
        attachment: Attachment,
        outline: &Outline,
        centre_lps_mm: DVec3,
    ) -> bool {
        const LOOKS: u32 = 64;
        let geometry = &self.chest.geometry;
        let window = Window::around(geometry, centre_lps_mm, [outline.most_mm(); 3]);
        let inside = (0..3)
            .all(|k| window.first[k] > 0 && window.first[k] + window.size[k] < geometry.size[k]);
        let beyond_mm = match attachment {
            Attachment::Isolated => ISOLATED_MM,
            Attachment::Juxtapleural => 0.0,
            Attachment::Juxtavascular => FROM_BORDER_MM,
        };
        let count = |tissue| {
            let looks = sphere_directions(LOOKS).map(|u| {
                self.chest
                    .at(centre_lps_mm + u * (outline.radius_mm(u) + beyond_mm))
            });
            looks.filter(|found| *found == tissue).count()
        };
        inside
            && match attachment {
                Attachment::Isolated => count(Tissue::Lung) == LOOKS as usize,
                Attachment::Juxtapleural => count(Tissue::Outside) < LOOKS as usize / 2,
                Attachment::Juxtavascular => count(Tissue::Outside) == 0,
            }
    }

    /// Looks at every voxel in and around the form; gives the parenchyma's median if it fits, HU.
    fn survey(&self, recipe: &Recipe, outline: &Outline, centre_lps_mm: DVec3) -> Option<f32> {
        let geometry = &self.chest.geometry;
        let half_mm = [outline.most_mm() + ISOLATED_MM; 3];
        let (mut inside, mut cut, mut vessel) = (0_usize, 0_usize, 0_usize);
        let mut lung_hu = Vec::new();
        for voxel in Window::around(geometry, centre_lps_mm, half_mm).voxels(geometry) {
            let q = centre(geometry, voxel) - centre_lps_mm;
            let tissue = self.chest.of(voxel);
            let allowed = match recipe.attachment {
                Attachment::Isolated => tissue == Tissue::Lung || !outline.holds(q, ISOLATED_MM),
                Attachment::Juxtapleural => true,
                Attachment::Juxtavascular => {
                    tissue != Tissue::Outside || !outline.holds(q, FROM_BORDER_MM)
                }
            };
            if !allowed {
                return None;
            }
            if outline.holds(q, 0.0) {
                inside += 1;
                match tissue {
                    Tissue::Outside => cut += 1,
                    Tissue::Vessel => vessel += 1,
                    Tissue::Lung => lung_hu.push(hu(self.stored, voxel)),
                }
            }
        }
        let share = |count: usize| count as f64 / inside.max(1) as f64;
        let parenchyma_hu = median(&mut lung_hu)?;
        let fits = share(cut) <= MOST_CUT
            && share(vessel) <= MOST_VESSEL
            && PARENCHYMA_HU.contains(&parenchyma_hu)
            && recipe.value_hu - parenchyma_hu >= MIN_CONTRAST_HU;
        fits.then_some(parenchyma_hu)
    }

    /// What the truth says of the attachment is so for its voxels.
    fn is_attached(&self, attachment: Attachment, mask: &[usize]) -> bool {
        let touches = |tissue| mask.iter().any(|&voxel| self.chest.adjoins(voxel, tissue));
        match attachment {
            Attachment::Isolated => !touches(Tissue::Outside) && !touches(Tissue::Vessel),
            Attachment::Juxtapleural => touches(Tissue::Outside),
            Attachment::Juxtavascular => touches(Tissue::Vessel) && !touches(Tissue::Outside),
        }
    }
}
