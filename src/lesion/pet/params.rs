//! What makes a lesion of high uptake.

/// Which voxels belong to a lesion.
///
/// Source: docs/pet-lesions.md names the papers of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// At least this share of the lesion's SUVmax.
    OfMax(f64),
    /// At least this SUV.
    Fixed(f64),
    /// At least the liver's mean and so many of its standard deviations.
    Liver(f64),
}

impl Threshold {
    /// A stable kebab-case code, as it stands in reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OfMax(_) => "suv-share-of-max",
            Self::Fixed(_) => "suv-at-least",
            Self::Liver(_) => "suv-above-liver",
        }
    }
}

/// The rules; [`Default`] is for F-18 FDG in adults, and no other tracer has any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PetParams {
    /// Which voxels belong to a lesion.
    pub threshold: Threshold,
    /// Smaller ones are no lesions, ml.
    pub min_volume_ml: f64,
    /// Lower peaks are no lesions, SUV of the smoothed PET.
    pub min_peak_suv: f64,
    /// A peak is none either if it is not above the liver's mean by so many standard deviations …
    pub min_peak_liver_sds: f64,
    /// … unless it is so many times what lies around it.
    pub min_contrast: f64,
    /// Peaks are two lesions where the saddle between them is below this share of the lower one …
    pub max_saddle_share: f64,
    /// … and below it by so many standard deviations of the liver, or it is noise.
    pub min_saddle_liver_sds: f64,
    /// The share where no liver says how much noise there is.
    pub max_saddle_share_without_liver: f64,
    /// A peak of less volume above its saddle is noise, ml.
    pub min_part_ml: f64,
    /// Smoothing before peaks are judged, full width at half maximum, mm; 6.5 spreads as much as the 1 cm³ sphere of an
    /// SUVpeak.
    pub peak_fwhm_mm: f64,
    /// Smoothing before what touches is divided, the same: less, since it fills the saddles.
    pub saddle_fwhm_mm: f64,
    /// Lesions of at most this volume, all parts together, are divided once more with the scanner's blur taken back, ml.
    pub max_sharpened_ml: f64,
    /// That blur, full width at half maximum, mm.
    pub blur_fwhm_mm: f64,
    /// Steps of Richardson and Lucy in which it is taken back; more of them give more noise.
    pub sharpening_steps: usize,
    /// There the saddle is below this share of the lower peak …
    pub max_sharp_saddle_share: f64,
    /// … and below it by so many times the noise, were that in proportion to the uptake: as in the liver …
    pub min_sharp_noise: f64,
    /// … and by so many standard deviations, were that of the liver to grow with the root of the uptake.
    pub min_sharp_liver_sds: f64,
}

/// 41 % of the SUVmax of each lesion (Boellaard et al., EJNMMI 2015), from half a millilitre, about what a sphere of 10 mm holds.
///
/// SUV 2.5 and liver mean + 3 SD are the published limits of what counts as raised; the others are this program's own,
/// stated in docs/pet-lesions.md.
impl Default for PetParams {
    fn default() -> Self {
        Self {
            threshold: Threshold::OfMax(0.41),
            min_volume_ml: 0.5,
            min_peak_suv: 2.5,
            min_peak_liver_sds: 3.0,
            min_contrast: 3.0,
            max_saddle_share: 0.92,
            min_saddle_liver_sds: 9.0,
            max_saddle_share_without_liver: 0.6,
            min_part_ml: 0.5,
            peak_fwhm_mm: 6.5,
            saddle_fwhm_mm: 4.5,
            max_sharpened_ml: 45.0,
            blur_fwhm_mm: 7.0,
            sharpening_steps: 7,
            max_sharp_saddle_share: 0.85,
            min_sharp_noise: 1.25,
            min_sharp_liver_sds: 2.5,
        }
    }
}

impl PetParams {
    /// The rule of the TMTV benchmark: SUV ≥ 4.0, and 3 ml or more.
    ///
    /// Source: Boellaard et al., J Nucl Med 2024 (doi 10.2967/jnumed.124.267789).
    pub fn benchmark() -> Self {
        Self {
            threshold: Threshold::Fixed(4.0),
            min_volume_ml: 3.0,
            ..Self::default()
        }
    }
}
