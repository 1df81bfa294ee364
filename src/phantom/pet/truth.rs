//! What is in a PET/CT phantom: the truth of its CT, and of its PET under `pet`.

use super::super::params::LesionShape;
use super::super::shape::Form;
use super::super::truth::thousandth;
use super::super::{Params, Truth};
use super::image::Image;
use super::params::{PetParams, PetPlace};
use super::patient::Patient;
use super::place::PetLesion;
use super::tracer::Uptake;
use super::uptake::Part;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The lesions of both series and what made them; written as `truth.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PetCtTruth {
    /// The CT with every lung nodule; of the PET's lesions those in the lung come after the others.
    #[serde(flatten)]
    pub ct: Truth,
    /// The PET.
    pub pet: PetTruth,
}

/// The lesions, organs and values of a PET.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PetTruth {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Slices, rows, columns.
    pub shape_zyx: [usize; 3],
    /// Distance between voxel centres, mm; between uneven slices the mean.
    pub spacing_zyx_mm: [f64; 3],
    /// Height of each slice, LPS mm.
    pub slices_lps_mm: Vec<f64>,
    /// Who was injected with how much.
    pub patient: Patient,
    /// True SUV of the liver.
    pub liver_suv: f32,
    /// True SUV of the blood in heart and great vessels.
    pub blood_pool_suv: f32,
    /// Standard deviation of the noise in the liver by its mean.
    pub noise_in_liver: f32,
    /// The lesions.
    pub lesions: Vec<PetLesionTruth>,
    /// What takes up the tracer without being a lesion, as far as its middle is in the grid.
    pub physiologic: Vec<Physiologic>,
    /// All parameters: with those of the CT, `params`, the same phantom can be made again from them.
    pub params: PetParams,
}

/// One lesion, by its analytic form. Places are those of the PET; a misregistered CT has it elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PetLesionTruth {
    /// 1 for the first.
    pub label: usize,
    /// Where in the body.
    pub place: PetPlace,
    /// Outline.
    pub shape: LesionShape,
    /// Middle in the PET, LPS mm.
    pub centroid_lps_mm: [f64; 3],
    /// The same in the CT, LPS mm.
    pub ct_centroid_lps_mm: [f64; 3],
    /// Analytic volume, mm³.
    pub volume_mm3: f64,
    /// Diameter of the sphere of that volume, mm.
    pub equivalent_diameter_mm: f64,
    /// Semi-axes of spheres and ellipsoids, mm.
    pub semi_axes_mm: Option<[f64; 3]>,
    /// Their directions in the patient, one unit vector a semi-axis.
    pub axes: Option<[[f64; 3]; 3]>,
    /// Uptake before the scanner blurs it, SUVbw.
    pub suv: f64,
    /// Highest SUVbw of the image within it, noise included.
    pub image_suv_max: f64,
    /// Label of the lesion that it touches.
    pub touches: Option<usize>,
    /// Label of its nodule in the CT.
    pub nodule: Option<usize>,
}

/// One organ that takes up the tracer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Physiologic {
    /// Such as `brain`, `myocardium`, `kidney`, `bladder`; of bowel one a loop.
    pub name: String,
    /// Middle of the box around it, in the PET, LPS mm.
    pub centre_lps_mm: [f64; 3],
    /// Half size of that box, LPS mm.
    pub half_size_mm: [f64; 3],
    /// Uptake before the scanner blurs it, SUVbw.
    pub suv: f32,
}

/// What the truth is made from.
pub(super) struct Facts<'a> {
    pub(super) ct: &'a Params,
    pub(super) pet: &'a PetParams,
    pub(super) image: &'a Image,
    pub(super) series_uid: String,
    pub(super) patient: Patient,
    pub(super) uptake: &'a Uptake,
    pub(super) lesions: &'a [PetLesion],
    /// Nodules without uptake, which come before the others.
    pub(super) cold_nodules: usize,
    pub(super) organs: &'a [Part],
}

impl Facts<'_> {
    /// The truth of the PET.
    pub(super) fn truth(&self) -> PetTruth {
        let shape_zyx = self.image.size();
        let height_mm = |slice: usize| self.image.position_lps_mm(slice).z;
        let last = shape_zyx[0] - 1;
        let step_mm = (height_mm(last) - height_mm(0)) / last.max(1) as f64;
        let voxel_mm = self.pet.voxel_mm;
        PetTruth {
            series_instance_uid: self.series_uid.clone(),
            shape_zyx,
            spacing_zyx_mm: [thousandth(step_mm), voxel_mm, voxel_mm],
            slices_lps_mm: (0..=last)
                .map(|slice| thousandth(height_mm(slice)))
                .collect(),
            patient: self.patient,
            liver_suv: self.uptake.liver,
            blood_pool_suv: self.uptake.blood,
            noise_in_liver: self.pet.noise.in_liver(),
            lesions: self.lesions(),
            physiologic: self.physiologic(),
            params: self.pet.clone(),
        }
    }

    fn lesions(&self) -> Vec<PetLesionTruth> {
        let mut nodules = self.cold_nodules;
        let truth = |(label, lesion): (usize, &PetLesion)| {
            let nodule = (lesion.spec.place == PetPlace::Lung).then(|| {
                nodules += 1;
                nodules
            });
            self.lesion(label, lesion, nodule)
        };
        (1..).zip(self.lesions).map(truth).collect()
    }

    fn lesion(&self, label: usize, lesion: &PetLesion, nodule: Option<usize>) -> PetLesionTruth {
        let scale = self.ct.chest_scale;
        let centroid = lesion.placed.centroid * scale;
        let radius_mm = lesion.placed.radius_mm * scale;
        let rounded = |p: DVec3| p.to_array().map(thousandth);
        let image_suv_max = self.image.highest(&lesion.placed.form, self.ct, self.pet);
        let solid = match &lesion.placed.form {
            Form::Ellipsoid { axes, semi_mm, .. } => Some((*semi_mm * scale, *axes)),
            _ => None,
        };
        PetLesionTruth {
            label,
            place: lesion.spec.place,
            shape: lesion.spec.shape,
            centroid_lps_mm: rounded(centroid + DVec3::from(self.pet.misregistration_mm)),
            ct_centroid_lps_mm: rounded(centroid),
            volume_mm3: thousandth(4.0 / 3.0 * PI * radius_mm.powi(3)),
            equivalent_diameter_mm: thousandth(2.0 * radius_mm),
            semi_axes_mm: solid.map(|(semi_mm, _)| rounded(semi_mm)),
            axes: solid.map(|(_, axes)| [axes.x_axis, axes.y_axis, axes.z_axis].map(rounded)),
            suv: thousandth(lesion.spec.suv),
            image_suv_max: thousandth(image_suv_max),
            touches: lesion.touches,
            nodule,
        }
    }

    fn physiologic(&self) -> Vec<Physiologic> {
        let scale = self.ct.chest_scale;
        let shift = DVec3::from(self.pet.misregistration_mm);
        let to_index = self.image.geometry.lps_to_index();
        let [nz, ny, nx] = self.image.geometry.size.map(|n| n as f64 - 1.0);
        let organ = |part: &Part| {
            let (centre, half) = part.form.bounds();
            let centre = centre * scale + shift;
            let index = to_index.transform_point3(centre);
            let is_seen =
                index.cmpge(DVec3::ZERO).all() && index.cmple(DVec3::new(nx, ny, nz)).all();
            is_seen.then_some(())?;
            Some(Physiologic {
                name: part.name?.into(),
                centre_lps_mm: centre.to_array().map(thousandth),
                half_size_mm: (half * scale).to_array().map(thousandth),
                suv: part.suv,
            })
        };
        self.organs.iter().filter_map(organ).collect()
    }
}
