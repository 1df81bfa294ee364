//! A model on the source's own grid, as nnU-Net works: crop, normalise, resample, all classes, back again.

use super::{Laps, Outcome, Pipeline, lesion_params, measured};
use crate::Error;
use crate::code::Kind;
use crate::gpu::Compute;
use crate::lesion::{self, Lesion, LesionMask, Structure};
use crate::model::{
    Activation, ChannelNormalization, Channels, InputSpec, Label, Logits, Manifest, ModelGrid, Unit,
};
use crate::preprocess::nnunet::{Axes, Decision, Exported, Orientation, Plan, Prepared, Scheme};
use crate::preprocess::{self, nnunet};
use crate::volume::{Geometry, ProbabilityMap, SlicePositions, StoredVolume};
use std::sync::atomic::AtomicBool;

impl Pipeline {
    pub(super) fn on_source_grid(
        &self,
        model: usize,
        volumes: &[&StoredVolume],
        progress: &dyn Fn(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let segmenter = &self.segmenters[model];
        let manifest = segmenter.manifest();
        let mut laps = Laps::start();
        let prepared = self.source_grid(model, volumes)?;
        laps.lap("preprocess");
        let channels = Channels {
            values: &prepared.values,
            size: prepared.size(),
        };
        let logits = segmenter.logits_of(channels, self.tta, progress, cancel)?;
        laps.lap("network");
        let exported = export(&self.compute, manifest, &prepared, &logits)?;
        laps.lap("export");
        let found = Found {
            stored: volumes[0],
            exported: &exported,
        };
        let mut outcome = self.found(manifest, &found);
        laps.lap("measure");
        outcome.timings_ms = laps.timings_ms;
        outcome.patches = logits.patches;
        Ok(outcome)
    }

    /// The channels on the network's grid.
    pub(super) fn source_grid(
        &self,
        model: usize,
        volumes: &[&StoredVolume],
    ) -> Result<Prepared, Error> {
        let input = &self.segmenters[model].manifest().input;
        let source = &volumes[0].geometry;
        let values = volumes
            .iter()
            .zip(&input.channels)
            .map(|(stored, channel)| {
                let mut values = preprocess::on_grid_of(&self.compute, source, stored)?;
                if channel.unit == Unit::Bqml {
                    // Nothing decays below 0: that is the air around a CT, or padding.
                    values.iter_mut().for_each(|value| *value = value.max(0.0));
                }
                Ok::<_, preprocess::Error>(values)
            });
        let plan = plan(input, source);
        Ok(nnunet::prepare(
            &self.compute,
            values.collect::<Result<_, _>>()?,
            source.size,
            &plan,
        )?)
    }

    /// Lesions and structures of the exported labels.
    fn found(&self, manifest: &Manifest, found: &Found<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let of_lesions = manifest
            .labels
            .iter()
            .filter(|label| label.kind != Kind::Organ);
        for (number, label) in numbered(manifest) {
            if label.kind == Kind::Organ {
                outcome.structures.extend(found.structure(number, label));
                continue;
            }
            let own = of_lesions.clone().position(|other| other == label);
            let probability = found.probability(number, own.unwrap_or(0));
            let mut params = lesion_params(label, &manifest.output, &self.candidates);
            // What the labels leave is 0: any voxel above it belongs to the lesion.
            params.threshold = LEAST_PROBABILITY / 2.0;
            let lesions = found.lesions(&probability, &params);
            let unknown_side = |_| None;
            let measured = measured(lesions, found.stored, &self.candidates, unknown_side);
            outcome.lesions.extend(measured);
        }
        outcome
            .lesions
            .sort_by(|(a, _), (b, _)| b.confidence.total_cmp(&a.confidence));
        outcome
    }
}

/// A voxel that has a label counts at least as much: one of three classes or more may win with less than a half.
const LEAST_PROBABILITY: f32 = 0.01;

/// Labels with their value in the exported map, from 1.
fn numbered(manifest: &Manifest) -> impl Iterator<Item = (u16, &Label)> {
    (1u16..).zip(&manifest.labels)
}

/// What a network on the source's own grid wants of it; of another grid, nothing is turned.
fn plan(input: &InputSpec, source: &Geometry) -> Plan {
    let (order, letters) = match &input.grid {
        ModelGrid::Source {
            transpose,
            orientation,
        } => (*transpose, orientation.as_str()),
        ModelGrid::Patient { .. } => ([0, 1, 2], ""),
    };
    let channels = input.channels.iter();
    Plan {
        // The manifest was checked: without letters, the source stays as it lies.
        orientation: Orientation::of(source, letters).unwrap_or(Orientation::UNCHANGED),
        axes: Axes::new(order).unwrap_or(Axes::UNCHANGED),
        source_spacing_mm: source.spacing_mm(),
        spacing_mm: input.spacing_mm,
        schemes: channels
            .map(|channel| scheme(channel.normalization))
            .collect(),
    }
}

fn scheme(normalization: ChannelNormalization) -> (Scheme, bool) {
    match normalization {
        ChannelNormalization::Window {
            lower,
            upper,
            subtract,
            divide,
        } => {
            let (mean, std) = (subtract, divide);
            (
                Scheme::Ct {
                    lower,
                    upper,
                    mean,
                    std,
                },
                false,
            )
        }
        ChannelNormalization::ZScore { nonzero } => (Scheme::ZScore, nonzero),
        ChannelNormalization::Rescale => (Scheme::RescaleTo01, false),
        ChannelNormalization::None => (Scheme::Unchanged, false),
    }
}

/// Labels on the source grid by their numbers, and probabilities of those that are lesions.
fn export(
    compute: &Compute,
    manifest: &Manifest,
    prepared: &Prepared,
    logits: &Logits,
) -> Result<Exported, preprocess::Error> {
    let classes = manifest.network.classes;
    let decision = match manifest.output.activation {
        Activation::Softmax => Decision::Largest(classes),
        Activation::Sigmoid => {
            let number = |class| numbered(manifest).find(|(_, label)| label.channel == class);
            let numbers = (0..classes).map(|class| number(class).map_or(0, |(number, _)| number));
            Decision::Regions(numbers.collect())
        }
    };
    let lesions = manifest
        .labels
        .iter()
        .filter(|label| label.kind != Kind::Organ);
    let wanted = lesions.map(|label| label.channel).collect();
    let mut exported = prepared.export(compute, &logits.values, decision, wanted)?;
    if manifest.output.activation == Activation::Softmax {
        // From channels to numbers of labels; a channel without a label is background.
        let mut numbers = vec![0; classes];
        numbered(manifest).for_each(|(number, label)| numbers[label.channel] = number);
        exported
            .labels
            .iter_mut()
            .for_each(|label| *label = numbers[usize::from(*label)]);
    }
    Ok(exported)
}

/// What an export holds, and where it lies.
struct Found<'a> {
    stored: &'a StoredVolume,
    exported: &'a Exported,
}

impl Found<'_> {
    /// Probability of lesion label number `own` where the voxel has label `number`, else 0.
    fn probability(&self, number: u16, own: usize) -> ProbabilityMap {
        let labels = &self.exported.labels;
        let voxels = self.exported.probabilities[own].iter().zip(labels);
        let value = |(probability, label): (&f32, &u16)| match *label == number {
            true => probability.max(LEAST_PROBABILITY),
            false => 0.0,
        };
        ProbabilityMap {
            geometry: self.stored.geometry,
            voxels: voxels.map(value).collect(),
        }
    }

    /// Components on the even grid, then on the slices: labels have no values between them.
    fn lesions(&self, probability: &ProbabilityMap, params: &lesion::Params) -> Vec<Lesion> {
        let grid = &probability.geometry;
        let mut lesions = lesion::find(probability, grid, &SlicePositions::even(), params);
        for lesion in &mut lesions {
            lesion.mask = lesion.mask.on_slices(&self.stored.slices);
        }
        lesions
    }

    /// The voxels of a label as one structure; `None` without any.
    fn structure(&self, number: u16, label: &Label) -> Option<Structure> {
        let mask = mask_of(&self.exported.labels, &self.stored.geometry, number)?;
        let mask = mask.on_slices(&self.stored.slices);
        Some(Structure {
            name: if label.name.is_empty() {
                label.property_type.meaning.clone()
            } else {
                label.name.clone()
            },
            terms: label.terms(),
            mask,
        })
    }
}

/// The box of a label, and its voxels there; `None` without any.
fn mask_of(labels: &[u16], grid: &Geometry, number: u16) -> Option<LesionMask> {
    let [_, ny, nx] = grid.size;
    let (mut first, mut last) = ([usize::MAX; 3], [0; 3]);
    for (row, labels) in labels.chunks_exact(nx).enumerate() {
        let Some(left) = labels.iter().position(|label| *label == number) else {
            continue;
        };
        let right = labels.iter().rposition(|label| *label == number)?;
        let (z, y) = (row / ny, row % ny);
        first = [first[0].min(z), first[1].min(y), first[2].min(left)];
        last = [last[0].max(z), last[1].max(y), last[2].max(right)];
    }
    if first[0] == usize::MAX {
        return None;
    }
    let size = [0, 1, 2].map(|axis| last[axis] + 1 - first[axis]);
    let rows = (first[0]..=last[0]).flat_map(|z| (first[1]..=last[1]).map(move |y| z * ny + y));
    let inside = rows.flat_map(|row| &labels[row * nx..][first[2]..=last[2]]);
    Some(LesionMask {
        origin: first,
        size,
        inside: inside.map(|label| *label == number).collect(),
    })
}

#[cfg(test)]
mod tests;
