//! What was inserted, in the terms of a reader's truth file.

use super::super::Density;
use super::super::truth::thousandth;
use super::chest::centre;
use super::drawing::Window;
use super::site::Placed;
use super::table::{Attachment, Margin, SolidCore};
use super::{Request, Scan};
use crate::uid::UidSource;
use crate::volume::Geometry;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A nodule's outline may reach further than the ball of its volume, by this factor.
const UNEVEN: f64 = 1.3;

/// The truth of a series with inserted lesions; written as `<patient>.truth.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InsertedTruth {
    /// Patient ID of the new series.
    pub patient: String,
    /// Its Series Instance UID.
    pub series_instance_uid: String,
    /// Slices, rows, columns.
    pub shape_zyx: [usize; 3],
    /// Distance between voxel centres, mm.
    pub spacing_zyx_mm: [f64; 3],
    /// Where the truth comes from.
    pub source: String,
    /// Series Instance UID of the scan that lesions were inserted into.
    pub inserted_into: String,
    /// Seed of lesions and places.
    pub seed: u64,
    /// Version of the published table.
    pub table_version: u32,
    /// Standard deviation of the point spread that was used within a slice, and its full width at half maximum across, mm.
    pub point_spread_mm: [f64; 2],
    /// The inserted lesions (4 readers), then what was known before (0 readers: neither to be found nor wrong).
    pub nodules: Vec<InsertedNodule>,
}

/// One lesion, measured on the voxels of the label map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InsertedNodule {
    /// 1 for the first; its value in the label map.
    pub label: usize,
    /// 4 for an inserted lesion, 0 for a nodule that was there before.
    pub readers: u32,
    /// Voxel index of the centroid.
    pub centroid_index_zyx: [f64; 3],
    /// Centroid, LPS mm.
    pub centroid_lps_mm: [f64; 3],
    /// Volume of the voxels, mm³.
    pub volume_mm3: f64,
    /// Diameter of the sphere of that volume, mm.
    pub equivalent_diameter_mm: f64,
    /// What is known of an inserted lesion beyond its voxels.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub inserted: Option<InsertedAs>,
}

/// What the table gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InsertedAs {
    /// Solid, part-solid or ground glass.
    #[serde(rename = "type")]
    pub density: Density,
    /// What it lies against.
    pub attachment: Attachment,
    /// Its outline.
    pub margin: Margin,
    /// Diameter of the sphere of the analytic form's volume, mm, before the lung's border cut it.
    pub drawn_diameter_mm: f64,
    /// Attenuation of the lesion, or of the ground-glass part of a part-solid one, HU.
    pub value_hu: f64,
    /// That attenuation less the median of the lung that it replaced, HU.
    pub contrast_hu: f64,
    /// Standard deviation of the noise added to the scan's own, HU.
    pub noise_hu: f64,
    /// Solid core of a part-solid lesion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<SolidCore>,
}

/// A truth file of nodules that a series has already.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KnownTruth {
    /// Series Instance UID of that series.
    pub series_instance_uid: String,
    /// Its nodules.
    pub nodules: Vec<Known>,
}

/// A nodule that is there already: lesions keep away from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Voxel index of the centroid.
    pub centroid_index_zyx: [f64; 3],
    /// Centroid, LPS mm.
    pub centroid_lps_mm: [f64; 3],
    /// Volume, mm³.
    pub volume_mm3: f64,
    /// Diameter of the sphere of that volume, mm.
    pub equivalent_diameter_mm: f64,
}

impl Known {
    /// Whether a chest could hold it.
    pub fn is_plausible(&self) -> bool {
        (0.1..=300.0).contains(&self.equivalent_diameter_mm)
            && self.centroid_lps_mm.iter().all(|mm| mm.abs() < 1e5)
    }

    /// Voxels of the ball of its volume.
    pub(super) fn ball(&self, geometry: &Geometry) -> Vec<usize> {
        let (middle, radius_mm) = (
            DVec3::from(self.centroid_lps_mm),
            self.equivalent_diameter_mm / 2.0,
        );
        let voxels = Window::around(geometry, middle, [radius_mm; 3]).voxels(geometry);
        let inside = |voxel: &usize| centre(geometry, *voxel).distance(middle) <= radius_mm;
        voxels.filter(inside).collect()
    }

    /// Radius of a ball that should hold it, mm.
    pub(super) fn reach_mm(&self) -> f64 {
        self.equivalent_diameter_mm / 2.0 * UNEVEN
    }
}

impl InsertedTruth {
    pub(super) fn new(
        geometry: &Geometry,
        (request, scan, table_version): (&Request, &Scan, u32),
        uids: &UidSource,
        placed: &[Placed],
    ) -> Self {
        let inserted = placed
            .iter()
            .map(|lesion| InsertedNodule::new(lesion, geometry));
        let known = request.known.iter().map(InsertedNodule::known);
        let nodules = (1..)
            .zip(inserted.chain(known))
            .map(|(label, nodule)| InsertedNodule { label, ..nodule });
        let spread = scan.spread;
        Self {
            patient: format!("INSERTED-{}-{}", &uids.run_id()[..8], request.seed),
            series_instance_uid: uids.uid("series"),
            shape_zyx: geometry.size,
            spacing_zyx_mm: geometry.spacing_mm().map(|mm| (mm * 1e6).round() / 1e6),
            source: "hilum phantom --into: synthetic lesions in a real scan (4 readers), voxels at least half filled; \
                     nodules of 0 readers were in the scan before and are marked as balls"
                .into(),
            inserted_into: request.series_instance_uid.clone(),
            seed: request.seed,
            table_version,
            point_spread_mm: [spread.in_plane_sigma_mm, spread.slice_fwhm_mm].map(thousandth),
            nodules: nodules.collect(),
        }
    }
}

impl InsertedNodule {
    fn new(lesion: &Placed, geometry: &Geometry) -> Self {
        let sum: DVec3 = lesion
            .mask
            .iter()
            .map(|&voxel| centre(geometry, voxel))
            .sum();
        let centroid_lps_mm = sum / lesion.mask.len().max(1) as f64;
        let index = geometry.lps_to_index().transform_point3(centroid_lps_mm);
        let volume_mm3 = lesion.mask.len() as f64 * geometry.voxel_volume_mm3();
        let recipe = &lesion.recipe;
        Self {
            label: 0,
            readers: 4,
            centroid_index_zyx: [index.z, index.y, index.x].map(thousandth),
            centroid_lps_mm: centroid_lps_mm.to_array().map(thousandth),
            volume_mm3: thousandth(volume_mm3),
            equivalent_diameter_mm: thousandth((6.0 / PI * volume_mm3).cbrt()),
            inserted: Some(InsertedAs {
                density: recipe.density,
                attachment: recipe.attachment,
                margin: recipe.margin,
                drawn_diameter_mm: thousandth(recipe.diameter_mm),
                value_hu: tenth(recipe.value_hu),
                contrast_hu: tenth(recipe.value_hu - lesion.parenchyma_hu),
                noise_hu: tenth(recipe.noise_hu),
                core: recipe.core.map(|core| SolidCore {
                    volume_share: thousandth(core.volume_share),
                    ..core
                }),
            }),
        }
    }

    fn known(known: &Known) -> Self {
        Self {
            label: 0,
            readers: 0,
            centroid_index_zyx: known.centroid_index_zyx,
            centroid_lps_mm: known.centroid_lps_mm,
            volume_mm3: known.volume_mm3,
            equivalent_diameter_mm: known.equivalent_diameter_mm,
            inserted: None,
        }
    }
}

fn tenth(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}
