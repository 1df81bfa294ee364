//! Where organs are to be expected: boxes in the body, in mm from its middle, from the liver and from the brain.

use super::body::{Body, Place};
use super::candidate::Candidate;
use super::reference::Liver;
use crate::volume::Laterality;

/// A box in the body; every end belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zone {
    /// To the patient's left of the body's middle, mm.
    pub left_mm: [f64; 2],
    /// 0 at the front of the body, 1 at its back.
    pub depth: [f64; 2],
    /// Towards the head, LPS mm.
    pub z_mm: [f64; 2],
}

impl Zone {
    pub(super) fn holds(&self, place: Place) -> bool {
        let within = |value: f64, [low, high]: [f64; 2]| (low..=high).contains(&value);
        within(place.left_mm, self.left_mm)
            && within(place.depth, self.depth)
            && within(place.z_mm, self.z_mm)
    }
}

/// What the boxes are measured from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landmarks {
    /// Lowest and highest z of the liver, mm; by the brain where no liver was found.
    liver_mm: Option<[f64; 2]>,
    /// Lowest z of the brain, mm.
    brain_mm: Option<f64>,
    /// z of the bladder's middle, mm.
    bladder_mm: Option<f64>,
    /// Highest z of the body, mm.
    top_mm: f64,
}

/// From the lowest part of the brain down to the top of the liver, and the liver's height, in adults; mm.
const BRAIN_TO_LIVER_MM: f64 = 320.0;
const LIVER_HEIGHT_MM: f64 = 170.0;
/// Nothing of the brain is nearer to the liver, or further below the top of the body; mm.
const MIN_LIVER_TO_BRAIN_MM: f64 = 240.0;
const HEAD_MM: f64 = 200.0;

impl Landmarks {
    pub(super) fn new(body: &Body, liver: Option<&Liver>) -> Self {
        Self {
            liver_mm: liver.map(|liver| liver.ends_mm),
            brain_mm: None,
            bladder_mm: None,
            top_mm: body.ends_mm().map_or(0.0, |[_, top]| top),
        }
    }

    pub(super) fn found_brain(&mut self, brain: &Candidate) {
        let lowest = brain.bounds_lps_mm[0].z;
        self.brain_mm = Some(lowest);
        let top = lowest - BRAIN_TO_LIVER_MM;
        self.liver_mm.get_or_insert([top - LIVER_HEIGHT_MM, top]);
    }

    pub(super) fn found_bladder(&mut self, bladder: &Candidate) {
        self.bladder_mm = Some(bladder.centre_lps_mm.z);
    }

    /// The brain; a box only as far as the head goes.
    pub(super) fn brain(&self) -> Zone {
        let above_liver = self.liver_mm.map(|[_, top]| top + MIN_LIVER_TO_BRAIN_MM);
        let lowest = (self.top_mm - HEAD_MM).max(above_liver.unwrap_or(f64::NEG_INFINITY));
        Zone {
            left_mm: [-90.0, 90.0],
            depth: [0.0, 1.0],
            z_mm: [lowest, f64::INFINITY],
        }
    }

    /// Glands of the head, on either side below the brain.
    pub(super) fn glands(&self) -> Option<Zone> {
        let brain_mm = self.brain_mm?;
        Some(Zone {
            left_mm: [-85.0, 85.0],
            depth: [0.0, 1.0],
            z_mm: [brain_mm - 75.0, brain_mm + 25.0],
        })
    }

    /// The middle of the heart.
    pub(super) fn heart(&self) -> Option<Zone> {
        let [_, top] = self.liver_mm?;
        Some(Zone {
            left_mm: [5.0, 90.0],
            depth: [0.0, 0.56],
            z_mm: [top - 50.0, top + 65.0],
        })
    }

    /// The middle of a kidney.
    pub(super) fn kidney(&self, side: Laterality) -> Option<Zone> {
        let [bottom, top] = self.liver_mm?;
        Some(Zone {
            left_mm: sided(side, 30.0, 115.0),
            depth: [0.48, 0.95],
            z_mm: [bottom - 110.0, top - 70.0],
        })
    }

    /// The middle of the bladder.
    pub(super) fn bladder(&self) -> Option<Zone> {
        let [bottom, _] = self.liver_mm?;
        Some(Zone {
            left_mm: [-45.0, 45.0],
            depth: [0.1, 0.75],
            z_mm: [bottom - 420.0, bottom - 90.0],
        })
    }

    /// A ureter, from below the kidney to the bladder.
    pub(super) fn ureter(&self, side: Laterality) -> Option<Zone> {
        let [bottom, top] = self.liver_mm?;
        Some(Zone {
            left_mm: sided(side, 8.0, 75.0),
            depth: [0.35, 0.85],
            z_mm: [
                self.bladder_mm.unwrap_or(bottom - 250.0) - 10.0,
                top - 120.0,
            ],
        })
    }

    /// The bowel, in front of what lies along the spine.
    pub(super) fn bowel(&self) -> Option<Zone> {
        let [bottom, top] = self.liver_mm?;
        let lowest = self
            .bladder_mm
            .map_or(bottom - 200.0, |bladder| bladder + 15.0);
        Some(Zone {
            left_mm: [-160.0, 160.0],
            depth: [0.0, 0.6],
            z_mm: [lowest, top - 60.0],
        })
    }
}

fn sided(side: Laterality, near: f64, far: f64) -> [f64; 2] {
    match side {
        Laterality::Left => [near, far],
        Laterality::Right => [-far, -near],
    }
}
