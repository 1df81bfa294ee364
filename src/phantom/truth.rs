//! What is in a phantom, in the terms of a reader's truth file.

use super::lesion::Placed;
use super::params::{Density, LesionShape, Params, Place};
use super::shape::Form;
use crate::volume::Geometry;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Patient ID (0010,0020) of every phantom.
pub const PATIENT_ID: &str = "HILUM-PHANTOM";

/// The lesions of a phantom and what made it; written as `truth.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Patient ID of the series.
    pub patient: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Slices, rows, columns.
    pub shape_zyx: [usize; 3],
    /// Distance between voxel centres, mm.
    pub spacing_zyx_mm: [f64; 3],
    /// Where the truth comes from.
    pub source: String,
    /// Standard deviation of the noise, HU.
    pub noise_sigma_hu: f32,
    /// The lesions.
    pub nodules: Vec<Nodule>,
    /// All parameters: the same phantom can be made again from them.
    pub params: Params,
}

/// One lesion, by its analytic form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nodule {
    /// 1 for the first.
    pub label: usize,
    /// As many as the best-attested nodules of LIDC-IDRI have.
    pub readers: u32,
    /// Voxel index of the centroid.
    pub centroid_index_zyx: [f64; 3],
    /// Centroid, LPS mm.
    pub centroid_lps_mm: [f64; 3],
    /// Analytic volume, mm³.
    pub volume_mm3: f64,
    /// Diameter of the sphere of that volume, mm.
    pub equivalent_diameter_mm: f64,
    /// Semi-axes of spheres and ellipsoids, longest first, mm.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub semi_axes_mm: Option<[f64; 3]>,
    /// Solid, part-solid or ground glass.
    pub kind: Density,
    /// Outline.
    pub shape: LesionShape,
    /// Where in the lung.
    pub place: Place,
    /// Attenuation of the lesion, or of the outer part of a part-solid one, HU.
    pub density_hu: f32,
    /// Solid core of a part-solid lesion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub core: Option<Core>,
    /// `right` or `left` lung.
    pub laterality: String,
}

/// Solid part of a part-solid lesion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Core {
    /// Diameter of the ball, mm.
    pub diameter_mm: f64,
    /// Attenuation, HU.
    pub density_hu: f32,
}

impl Truth {
    pub(super) fn new(
        params: &Params,
        geometry: &Geometry,
        series_instance_uid: String,
        lesions: &[Placed],
    ) -> Self {
        Self {
            patient: PATIENT_ID.into(),
            series_instance_uid,
            shape_zyx: params.size,
            spacing_zyx_mm: params.spacing_mm,
            source: "hilum phantom: analytic forms".into(),
            noise_sigma_hu: params.noise_sigma_hu(),
            nodules: (1..)
                .zip(lesions)
                .map(|(i, l)| Nodule::new(i, l, params, geometry))
                .collect(),
            params: params.clone(),
        }
    }
}

impl Nodule {
    fn new(label: usize, lesion: &Placed, params: &Params, geometry: &Geometry) -> Self {
        let scale = params.chest_scale;
        let centroid_lps_mm = lesion.centroid * scale;
        let index = geometry.lps_to_index().transform_point3(centroid_lps_mm);
        let radius_mm = lesion.radius_mm * scale;
        let semi_axes_mm = match &lesion.form {
            Form::Ellipsoid { semi_mm, .. } => Some((*semi_mm * scale).map(thousandth).to_array()),
            _ => None,
        };
        Self {
            label,
            readers: 4,
            centroid_index_zyx: [index.z, index.y, index.x].map(thousandth),
            centroid_lps_mm: centroid_lps_mm.to_array().map(thousandth),
            volume_mm3: thousandth(4.0 / 3.0 * PI * radius_mm.powi(3)),
            equivalent_diameter_mm: thousandth(2.0 * radius_mm),
            semi_axes_mm,
            kind: lesion.spec.density,
            shape: lesion.spec.shape,
            place: lesion.spec.place,
            density_hu: lesion.spec.density.hu(),
            core: lesion.core().map(|(density_hu, part)| Core {
                diameter_mm: thousandth(2.0 * radius_mm * part),
                density_hu,
            }),
            laterality: if centroid_lps_mm.x < 0.0 {
                "right"
            } else {
                "left"
            }
            .into(),
        }
    }
}

/// Rounds to 0.001, so that the file reads well.
pub(super) fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
