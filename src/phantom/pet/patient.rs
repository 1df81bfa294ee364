//! Who was injected with how much.

use super::tracer::Tracer;
use crate::suv::Sex;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Measures of the patient and the injected dose, as they are; a defect may let the files say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Patient {
    /// Weight, kg.
    pub weight_kg: f64,
    /// Height, m.
    pub height_m: f64,
    /// M or F.
    pub sex: char,
    /// Injected activity, MBq.
    pub dose_mbq: f64,
}

impl Patient {
    pub(super) fn new(tracer: &Tracer, rng: &mut ChaCha8Rng) -> Self {
        let [least, most] = tracer.dose_mbq;
        Self {
            weight_kg: f64::from(rng.random_range(520..980)) / 10.0,
            height_m: f64::from(rng.random_range(155..195)) / 100.0,
            sex: if rng.random_range(0..2) == 0 {
                'F'
            } else {
                'M'
            },
            dose_mbq: rng.random_range(least..most).round(),
        }
    }

    pub(super) fn sex(&self) -> Sex {
        match self.sex {
            'F' => Sex::Female,
            _ => Sex::Male,
        }
    }
}
