//! Uptake in a PET: found by rules, told from organs with the help of its CT where there is one, and measured.

use super::{Laps, Outcome, Pipeline};
use crate::Error;
use crate::config::{PetConfig, PetThreshold};
use crate::lesion::Lesion;
use crate::lesion::pet::{self, MAX_LUNG_OFFSET_MM, PetFinding, PetParams, Reference, Threshold};
use crate::measure::{self, Delineation, Measurement, PetSummary, USUAL_RULES};
use crate::model;
use crate::plan::PlannedRules;
use crate::preprocess::{self, Interpolation, Plan};
use crate::provenance::{Method, ModelIdentity};
use crate::report::PetRun;
use crate::suv::{Statistics, Suv};
use crate::volume::{Mask, StoredVolume};
use crate::warning::Warning;

/// How the rules are called where models are named.
const NAME: &str = "pet-uptake";
/// Other rules, other version.
const VERSION: &str = "0.2.0";
const CONFIDENCE_MEANING: &str = "No probability, and no trained model gave it: of a lesion a score of its contrast and size, of physiologic uptake how well place and shape fit the organ.";
/// Fine enough for the lungs, mm.
const LUNG_SPACING_MM: f64 = 4.0;

/// The rules as the configuration has them.
pub(super) fn params(config: &PetConfig) -> PetParams {
    let threshold = match config.threshold {
        PetThreshold::PartOfMax41 => Threshold::OfMax(0.41),
        PetThreshold::Suv25 => Threshold::Fixed(2.5),
        PetThreshold::Suv40 => Threshold::Fixed(4.0),
        PetThreshold::AboveLiver => Threshold::Liver(3.0),
    };
    PetParams {
        threshold,
        min_volume_ml: config.min_volume_ml,
        ..PetParams::default()
    }
}

/// What the planner needs to know of the rules; `None` where PET is not to be searched.
pub(super) fn planned(config: &PetConfig) -> Option<PlannedRules> {
    config.enabled.then(|| PlannedRules {
        identity: ModelIdentity {
            name: NAME.into(),
            version: VERSION.into(),
            sha256: model::sha256_hex(format!("{:?}", params(config)).as_bytes()),
            method: Method::Rules,
            experimental: true,
        },
        policy: config.suv_policy,
        confidence_meaning: CONFIDENCE_MEANING.into(),
    })
}

impl Pipeline {
    /// Finds and measures uptake in a PET, the first of `volumes`, with the lungs of its CT, the second, if there is one; what
    /// was found on that CT gets its uptake.
    ///
    /// # Errors
    /// Those of preprocessing the CT.
    pub fn uptake(
        &self,
        volumes: &[&StoredVolume],
        suv: &Suv,
        on_ct: &mut [&mut (Lesion, Measurement)],
    ) -> Result<Outcome, Error> {
        let mut laps = Laps::start();
        let mut warnings = Vec::new();
        let lungs = match volumes.get(1) {
            Some(ct) => self.lungs(ct, &mut warnings)?,
            None => None,
        };
        laps.lap("preprocess");
        let mut pet = volumes[0].clone();
        suv.apply(&mut pet);
        let statistics = Statistics::inside(&pet, None);
        warnings.extend(statistics.and_then(|s| s.warning()).map(Warning::Suv));
        let found = pet::find(&pet, lungs.as_ref(), &params(&self.pet));
        laps.lap("uptake");
        let apart = found.lung_offset_mm.filter(|mm| *mm > MAX_LUNG_OFFSET_MM);
        warnings.extend(apart.map(|offset_mm| Warning::PetMisaligned { offset_mm }));
        if let (Some(ct), None) = (volumes.get(1), apart) {
            for (lesion, measurement) in on_ct.iter_mut().map(|found| &mut **found) {
                measurement.on_pet = measure::uptake_on_pet(&lesion.mask, ct, &pet);
            }
        }
        let (kept, left_out) = self.kept(found.findings);
        warnings.extend(left_out);
        let liver = found.liver.as_ref().ok();
        let measured = |finding| measured(finding, &pet, liver);
        let lesions: Vec<_> = kept.into_iter().filter_map(measured).collect();
        laps.lap("measure");
        Ok(Outcome {
            pet: Some(PetRun {
                branch: suv.branch.clone(),
                ratios: suv.ratios,
                summary: PetSummary::of(&lesions),
                liver: found.liver,
                blood_pool: found.blood_pool,
            }),
            lesions,
            warnings,
            timings_ms: laps.timings_ms,
            ..Outcome::default()
        })
    }

    /// The lungs of a CT; none where none were recognised, as in a CT of the head.
    fn lungs(&self, ct: &StoredVolume, warnings: &mut Vec<Warning>) -> Result<Option<Mask>, Error> {
        let plan = Plan {
            grid: ct.geometry.covering([LUNG_SPACING_MM; 3]),
            interpolation: Interpolation::Trilinear,
        };
        let prepared = preprocess::run(&self.compute, ct, &plan)?;
        if prepared.lungs.found {
            return Ok(Some(prepared.lungs.lung));
        }
        warnings.push(Warning::PetWithoutLungs);
        Ok(None)
    }

    /// All organs, and as many lesions as are wanted: the highest scores, and a warning if there are more.
    fn kept(&self, mut findings: Vec<PetFinding>) -> (Vec<PetFinding>, Option<Warning>) {
        let mut lesions = 0;
        findings.retain(|finding| {
            lesions += usize::from(finding.organ.is_none());
            finding.organ.is_some() || lesions <= self.candidates.max_lesions
        });
        let count = lesions.saturating_sub(self.candidates.max_lesions);
        let warning = (count > 0).then_some(Warning::LesionsLeftOut { count });
        (findings, warning)
    }
}

fn measured(
    finding: PetFinding,
    pet: &StoredVolume,
    liver: Option<&Reference>,
) -> Option<(Lesion, Measurement)> {
    let mask = &finding.lesion.mask;
    // No side: it is the lung's, or known from an organ's name.
    let mut measured = measure::measure_on_pet(mask, pet, |_| None)?;
    if let Some(uptake) = &mut measured.pet {
        uptake.add_volumes(mask, pet, &USUAL_RULES, liver);
        uptake.delineation = Some(Delineation::from(&finding));
    }
    Some((finding.lesion, measured))
}
