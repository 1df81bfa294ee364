//! What is odd about a series on purpose: each defect that real series have, for tests of the reader.

use super::{Detail, Error, Lesions, Params, Phantom};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use glam::DVec3;
use std::fmt;
use std::str::FromStr;

/// One thing wrong with, or unusual about, a written series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// The middle slice is missing.
    MissingSlice,
    /// So many slices are missing in the middle that the gap is wider than any reader should bridge.
    Gap,
    /// Increments are two and three steps in turn: of five slices two are kept.
    Uneven,
    /// As [`Self::Uneven`] and [`Self::Tilt`] at once.
    UnevenTilt,
    /// One file is there twice.
    Duplicate,
    /// Two files have one SOP Instance UID and differ in one sample.
    DifferentDuplicate,
    /// Slices are twice as thick as they are apart.
    Overlap,
    /// The gantry is tilted by 12 degrees.
    Tilt,
    /// The upper half lies 3 mm further to the left, as if the patient had moved.
    Shifted,
    /// A coronal stack shares the Series Instance UID.
    MixedOrientation,
    /// The chest twice, 40 HU brighter the second time, told apart by Acquisition Number.
    TwoAcquisitions,
    /// The same, told apart by Temporal Position Identifier.
    TwoPhases,
    /// The chest twice, and nothing tells the two apart.
    TwoPhasesUntold,
    /// The patient lies on a table.
    Table,
    /// Only the middle slice is there.
    OneSlice,
    /// Every slice says that it lies where the first one lies.
    SamePosition,
    /// Slices are coronal.
    Coronal,
    /// Slices are sagittal.
    Sagittal,
    /// Image Type says that the series was made from another one.
    Reformat,
}

impl Defect {
    /// All of them with their names.
    pub const ALL: [(Self, &str); 19] = [
        (Self::MissingSlice, "missing-slice"),
        (Self::Gap, "gap"),
        (Self::Uneven, "uneven"),
        (Self::UnevenTilt, "uneven-tilt"),
        (Self::Duplicate, "duplicate"),
        (Self::DifferentDuplicate, "different-duplicate"),
        (Self::Overlap, "overlap"),
        (Self::Tilt, "tilt"),
        (Self::Shifted, "shifted"),
        (Self::MixedOrientation, "mixed-orientation"),
        (Self::TwoAcquisitions, "two-acquisitions"),
        (Self::TwoPhases, "two-phases"),
        (Self::TwoPhasesUntold, "two-phases-untold"),
        (Self::Table, "table"),
        (Self::OneSlice, "one-slice"),
        (Self::SamePosition, "same-position"),
        (Self::Coronal, "coronal"),
        (Self::Sagittal, "sagittal"),
        (Self::Reformat, "reformat"),
    ];

    /// Changes what must be other before the phantom is made: its orientation or tilt.
    pub fn prepare(self, params: &mut Params) -> Result<(), Error> {
        match self {
            Self::Tilt | Self::UnevenTilt => params.tilt_deg = 12.0,
            Self::Coronal => params.orientation = "LIP".parse()?,
            Self::Sagittal => params.orientation = "PIR".parse()?,
            _ => {}
        }
        Ok(())
    }

    /// What a phantom needs beside its own voxels: a table below the patient, or a second stack.
    pub(super) fn phantoms(self, phantom: &Phantom) -> Result<Vec<Phantom>, Error> {
        let mut first = phantom.clone();
        match self {
            Self::Table => {
                add_table(&mut first);
                Ok(vec![first])
            }
            Self::MixedOrientation => {
                let coronal = Params {
                    orientation: "LIP".parse()?,
                    lesions: Lesions::List(Vec::new()),
                    detail: Detail::Plain,
                    ..phantom.truth.params.clone()
                };
                Ok(vec![first, Phantom::new(&coronal)?])
            }
            Self::TwoAcquisitions | Self::TwoPhases | Self::TwoPhasesUntold => {
                let mut second = first.clone();
                let brighter = |sample: &mut u16| *sample = (*sample + 40).min(4095);
                second.stored.samples.iter_mut().for_each(brighter);
                Ok(vec![first, second])
            }
            _ => Ok(vec![first]),
        }
    }

    /// The files to write: which slice of which of [`Self::phantoms`], and what is changed in it.
    pub(super) fn files(self, phantoms: &[Phantom]) -> Vec<SliceFile> {
        let all = |stack: usize| {
            let count = phantoms[stack].stored.geometry.size[0];
            (0..count).map(move |slice| SliceFile::new(stack, slice))
        };
        let mut files: Vec<SliceFile> = (0..phantoms.len()).flat_map(all).collect();
        let count = phantoms[0].stored.geometry.size[0];
        let middle = count / 2;
        let spacing_mm = phantoms[0].truth.params.spacing_mm[0];
        match self {
            Self::MissingSlice => drop(files.remove(middle)),
            Self::Gap => {
                // Wider than 10 mm and than four increments.
                let missing = ((10.0 / spacing_mm) as usize).max(4) + 1;
                files.drain(middle..(middle + missing).min(count - 2));
            }
            Self::Uneven | Self::UnevenTilt => files.retain(|f| [0, 2].contains(&(f.slice % 5))),
            Self::Duplicate => files.push(files[middle].clone()),
            Self::DifferentDuplicate => {
                let other = SliceFile {
                    flipped: true,
                    ..files[middle].clone()
                };
                files.push(other);
            }
            Self::OneSlice => files = vec![files.swap_remove(middle)],
            Self::Overlap => edit(&mut files, tags::SLICE_THICKNESS, VR::DS, |_| {
                (2.0 * spacing_mm).to_string()
            }),
            Self::Reformat => edit(&mut files, tags::IMAGE_TYPE, VR::CS, |_| {
                "DERIVED\\SECONDARY\\REFORMATTED".into()
            }),
            Self::TwoAcquisitions => number_stacks(&mut files, tags::ACQUISITION_NUMBER),
            Self::TwoPhases => number_stacks(&mut files, tags::TEMPORAL_POSITION_IDENTIFIER),
            Self::SamePosition => place(&mut files, &phantoms[0], |_| (0, DVec3::ZERO)),
            Self::Shifted => place(&mut files, &phantoms[0], |slice| {
                let shift = if slice < middle { 0.0 } else { 3.0 };
                (slice, DVec3::X * shift)
            }),
            _ => {}
        }
        files
    }
}

/// One file of a series.
#[derive(Debug, Clone)]
pub(super) struct SliceFile {
    /// Which phantom.
    pub(super) stack: usize,
    /// Which of its slices.
    pub(super) slice: usize,
    /// Attributes that are other than the phantom's.
    pub(super) edits: Vec<(Tag, VR, String)>,
    /// The lowest bit of the first sample is flipped.
    pub(super) flipped: bool,
}

impl SliceFile {
    pub(super) fn new(stack: usize, slice: usize) -> Self {
        Self {
            stack,
            slice,
            edits: Vec::new(),
            flipped: false,
        }
    }
}

fn edit(files: &mut [SliceFile], tag: Tag, vr: VR, value: impl Fn(&SliceFile) -> String) {
    for file in files {
        let value = value(file);
        file.edits.push((tag, vr, value));
    }
}

fn number_stacks(files: &mut [SliceFile], tag: Tag) {
    edit(files, tag, VR::IS, |file| (file.stack + 1).to_string());
}

/// Writes another slice's position, shifted, into each slice.
fn place(files: &mut [SliceFile], phantom: &Phantom, at: impl Fn(usize) -> (usize, DVec3)) {
    edit(files, tags::IMAGE_POSITION_PATIENT, VR::DS, |file| {
        let (slice, shift) = at(file.slice);
        let position = phantom.stored.geometry.to_lps_mm(DVec3::Z * slice as f64) + shift;
        format!("{:.4}\\{:.4}\\{:.4}", position.x, position.y, position.z)
    });
}

/// A plate of carbon fibre and foam under the patient, as wide as a scanner's.
fn add_table(phantom: &mut Phantom) {
    const TISSUE: u16 = 824;
    const SHELL: u16 = 1124;
    const FOAM: u16 = 124;
    const GAP_MM: f64 = 3.0;
    const THICKNESS_MM: f64 = 14.0;
    const SHELL_MM: f64 = 2.5;
    const HALF_WIDTH_MM: f64 = 210.0;
    let stored = &mut phantom.stored;
    let [_, rows, columns] = stored.geometry.size;
    let geometry = stored.geometry;
    let place = |i: usize| {
        let index = [i % columns, i / columns % rows, i / columns / rows].map(|n| n as f64);
        geometry.to_lps_mm(DVec3::from_array(index))
    };
    let tissue = |(i, sample): (usize, &u16)| (*sample > TISSUE).then(|| place(i).y);
    let back_mm = stored
        .samples
        .iter()
        .enumerate()
        .filter_map(tissue)
        .fold(f64::NEG_INFINITY, f64::max);
    for (i, sample) in stored.samples.iter_mut().enumerate() {
        let p = place(i);
        let depth_mm = p.y - back_mm - GAP_MM;
        if !(0.0..=THICKNESS_MM).contains(&depth_mm) || p.x.abs() > HALF_WIDTH_MM {
            continue;
        }
        let edge_mm = depth_mm.min(THICKNESS_MM - depth_mm);
        *sample = if edge_mm <= SHELL_MM { SHELL } else { FOAM };
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(defect, _)| defect == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl FromStr for Defect {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let named = Self::ALL.iter().find(|(_, name)| *name == text);
        named.map(|(defect, _)| *defect).ok_or(Error::OutOfRange {
            name: "defect",
            limits: "one of missing-slice, gap, uneven, uneven-tilt, duplicate, different-duplicate, overlap, tilt, shifted, mixed-orientation, two-acquisitions, two-phases, two-phases-untold, table, one-slice, same-position, coronal, sagittal, reformat",
        })
    }
}
