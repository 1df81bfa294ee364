//! Radiopharmaceuticals: their codes, and what each organ takes up of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What was injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracerName {
    /// F-18 fluorodeoxyglucose.
    Fdg,
    /// Ga-68 PSMA-11.
    Ga68Psma11,
    /// F-18 PSMA-1007, distributed here as PSMA-11 is.
    F18Psma1007,
    /// Tc-99m sestamibi, distributed here as FDG is: a SPECT that calls itself a PET.
    Tc99mSestamibi,
}

/// A coded concept: value, scheme and meaning.
pub(super) type Code = [&'static str; 3];

/// What the files say of a tracer.
pub(super) struct Tracer {
    /// Radiopharmaceutical (0018,0031).
    pub(super) name: &'static str,
    /// Of CID 4021, or CID 25 for a SPECT.
    pub(super) pharmaceutical: Code,
    /// Of CID 4020, or CID 18.
    pub(super) nuclide: Code,
    pub(super) half_life_s: f64,
    /// Least and most activity injected, MBq.
    pub(super) dose_mbq: [f64; 2],
}

const F18: (Code, f64) = (["77004003", "SCT", "^18^Fluorine"], 6586.2);
const GA68: (Code, f64) = (["35337001", "SCT", "^68^Gallium"], 4062.6);
const TC99M: (Code, f64) = (["72454006", "SCT", "^99m^Technetium"], 21_624.1);

impl TracerName {
    pub(super) fn tracer(self) -> Tracer {
        let (name, pharmaceutical, (nuclide, half_life_s), dose_mbq) = match self {
            Self::Fdg => (
                "Fluorodeoxyglucose F^18^",
                ["35321007", "SCT", "Fluorodeoxyglucose F^18^"],
                F18,
                [200.0, 400.0],
            ),
            Self::Ga68Psma11 => (
                "PSMA-11 Ga^68^",
                ["C118961", "NCIt", "PSMA-11 Ga^68^"],
                GA68,
                [100.0, 200.0],
            ),
            Self::F18Psma1007 => (
                "PSMA-1007 F^18^",
                ["126758", "DCM", "PSMA-1007 F^18^"],
                F18,
                [200.0, 350.0],
            ),
            Self::Tc99mSestamibi => (
                "Technetium Tc^99m^ sestamibi",
                ["424299003", "SCT", "Technetium Tc^99m^ sestamibi"],
                TC99M,
                [500.0, 900.0],
            ),
        };
        Tracer {
            name,
            pharmaceutical,
            nuclide,
            half_life_s,
            dose_mbq,
        }
    }

    /// The uptake of a patient, between the least and the most of each organ.
    pub(super) fn uptake(self, rng: &mut ChaCha8Rng) -> Uptake {
        let ranges = match self {
            Self::Fdg | Self::Tc99mSestamibi => &FDG,
            Self::Ga68Psma11 | Self::F18Psma1007 => &PSMA,
        };
        let mut vary = |[least, most]: [f32; 2]| rng.random_range(least..=most);
        Uptake {
            lung: vary(ranges.lung),
            fat: vary(ranges.fat),
            muscle: vary(ranges.muscle),
            marrow: vary(ranges.marrow),
            blood: vary(ranges.blood),
            myocardium: vary(ranges.myocardium),
            liver: vary(ranges.liver),
            spleen: vary(ranges.spleen),
            stomach: vary(ranges.stomach),
            kidney: vary(ranges.kidney),
            bladder: vary(ranges.bladder),
            brain: vary(ranges.brain),
            parotid: vary(ranges.parotid),
            submandibular: vary(ranges.submandibular),
            tonsil: vary(ranges.tonsil),
            bowel: ranges.bowel,
            injection: vary(ranges.injection),
        }
    }
}

/// True SUV of each tissue and organ; of bowel the least and the most, since it differs from loop to loop.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Uptake<T = f32> {
    pub(super) lung: T,
    pub(super) fat: T,
    pub(super) muscle: T,
    pub(super) marrow: T,
    pub(super) blood: T,
    pub(super) myocardium: T,
    pub(super) liver: T,
    pub(super) spleen: T,
    pub(super) stomach: T,
    pub(super) kidney: T,
    pub(super) bladder: T,
    pub(super) brain: T,
    pub(super) parotid: T,
    pub(super) submandibular: T,
    pub(super) tonsil: T,
    pub(super) bowel: [f32; 2],
    pub(super) injection: T,
}

/// Source: brain and tonsils Wang 2007 (doi 10.1007/s11307-006-0075-y: cerebellum 8.0 ± 2.2, palatine tonsils 3.45 ± 1.4);
/// liver within EANM's 1.3 to 3.0 (doi 10.1007/s00259-022-05977-5). The others are chosen; docs/phantom-pet.md says so.
const FDG: Uptake<[f32; 2]> = Uptake {
    lung: [0.35, 0.6],
    fat: [0.2, 0.4],
    muscle: [0.5, 0.8],
    marrow: [0.8, 1.5],
    blood: [1.2, 1.9],
    myocardium: [2.0, 10.0],
    liver: [1.7, 2.7],
    spleen: [1.4, 2.2],
    stomach: [1.2, 2.2],
    kidney: [2.5, 5.0],
    bladder: [10.0, 30.0],
    brain: [5.8, 10.2],
    parotid: [1.4, 2.6],
    submandibular: [1.5, 2.8],
    tonsil: [2.1, 4.8],
    bowel: [1.0, 4.0],
    injection: [8.0, 25.0],
};

/// Source: Clin Nucl Med July 2017, PSMA in 55 patients (SUVmax of parotids 24.4 ± 8.1, submandibular glands 26.7 ± 7.1,
/// Waldeyer's ring 10.4 ± 4.3, liver 8.2 ± 2.5, spleen 10.9 ± 3.9, kidneys 66.4 ± 25.4); the others are chosen.
const PSMA: Uptake<[f32; 2]> = Uptake {
    lung: [0.3, 0.5],
    fat: [0.2, 0.4],
    muscle: [0.4, 0.7],
    marrow: [0.4, 0.9],
    blood: [1.0, 1.6],
    myocardium: [1.0, 1.6],
    liver: [5.7, 10.7],
    spleen: [7.0, 14.8],
    stomach: [2.0, 4.0],
    kidney: [41.0, 92.0],
    bladder: [10.0, 60.0],
    brain: [0.1, 0.2],
    parotid: [16.3, 32.5],
    submandibular: [19.6, 33.8],
    tonsil: [6.1, 14.7],
    bowel: [2.0, 12.0],
    injection: [8.0, 25.0],
};
