//! The classifier on a device: from a candidate's centre to logits, spread and novelty.
//!
//! The encoders run on the engine's kernels; pooling and head run on the host, in `f64` and in a fixed order, so that two
//! runs give equal bits. Refused: outputs that are NaN or infinite.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sums are computed in f64 and kept in f32"
)]

use super::classifier::{self, Classifier};
use super::compile::values;
use super::cut::{mirror, mirrorings};
use super::manifest::ClassifierSpec;
use super::network::{Network, Runner};
use super::novelty::Familiar;
use super::{Error, Input, Segmenter};
use crate::engine::cpu::InstructionSet;
use crate::gpu::{self, Compute};
use crate::preprocess::GridHu;
use crate::preprocess::normalize::{self, Outside, Patch};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a classifier gives for one candidate, as computed; all finite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Logit of a lesion, the mean over the ensemble and the mirrored copies.
    pub logit: f32,
    /// Standard deviation of the ensemble's logits of a lesion (of the population); 0 of a single network.
    pub spread: f32,
    /// Logits of the types, in the order of [`ClassifierSpec::types`].
    pub type_logits: Vec<f32>,
    /// Distance of the features from those of the training data, in standard deviations of these: of the first network, for
    /// the patch as it lies.
    pub novelty: f32,
}

/// The networks of a classifier on their device.
#[derive(Debug)]
pub(super) struct Ensemble {
    spec: ClassifierSpec,
    encoders: Network,
    heads: Vec<Head>,
    candidates: Familiar,
    pub(super) input: Familiar,
}

/// A linear layer in host memory.
#[derive(Debug)]
struct Head {
    /// `[outputs, features]`
    weights: Vec<f32>,
    /// `[outputs]`
    bias: Vec<f32>,
}

impl Segmenter {
    /// Looks at the candidates with these centres `[z, y, x]` on the model's grid; of a model without classifier, nothing.
    ///
    /// `cancel` ends the run after the candidate at hand.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::Device`], [`Error::Gpu`], [`Error::Cancelled`].
    pub fn classify(
        &self,
        input: &Input<'_>,
        centres: &[[i64; 3]],
        cancel: &AtomicBool,
    ) -> Result<Vec<Evidence>, Error> {
        let ensemble = match &self.classifier {
            Some((ensemble, _)) if !centres.is_empty() => ensemble,
            _ => return Ok(Vec::new()),
        };
        let mut all = Vec::with_capacity(centres.len());
        self.look(input, centres, cancel, |runner, patch| {
            all.push(ensemble.evidence(runner, patch, ensemble.spec.patch)?);
            Ok(())
        })?;
        match all.iter().position(|evidence| !evidence.is_finite()) {
            Some(odd) => Err(self.non_finite(centres[odd])),
            None => Ok(all),
        }
    }

    /// Hands the classifier's patch around each centre to `see`, in order; of a model without classifier, none.
    pub(super) fn look(
        &self,
        input: &Input<'_>,
        centres: &[[i64; 3]],
        cancel: &AtomicBool,
        mut see: impl FnMut(&Runner<'_>, &[f32]) -> Result<(), gpu::Error>,
    ) -> Result<(), Error> {
        let Some((ensemble, _)) = &self.classifier else {
            return Ok(());
        };
        let size = ensemble.spec.patch;
        let runner = ensemble.runner(size)?;
        for centre in centres {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let before = |axis: usize| centre[axis].saturating_sub_unsigned(size[axis] as u64 / 2);
            see(&runner, &self.cut(input, [0, 1, 2].map(before), size)?)?;
        }
        Ok(())
    }

    /// A normalised patch in host memory; beyond the volume lies its nearest voxel.
    fn cut(
        &self,
        input: &Input<'_>,
        origin: [i64; 3],
        size: [usize; 3],
    ) -> Result<Vec<f32>, Error> {
        let patch = Patch {
            origin,
            size,
            outside: Outside::Nearest,
        };
        let normalization = &self.manifest.normalization();
        match (&self.network, input.hu) {
            (Network::Cpu(_), GridHu::Cpu(hu)) => {
                Ok(normalize::reference(hu, input.grid, patch, normalization))
            }
            (Network::Gpu(_, gpu), GridHu::Gpu(slabs)) => {
                let output = gpu.output("a candidate", size.iter().product())?;
                let mut pass = gpu::Pass::new(gpu)?;
                let slabs = (&slabs[..], input.grid.size);
                normalize::record(&mut pass, slabs, patch, normalization, output.binding())
                    .map_err(|error| self.preprocessing(error))?;
                pass.submit()?;
                Ok(gpu.download(&output)?)
            }
            _ => Err(self.elsewhere()),
        }
    }
}

impl Ensemble {
    pub(super) fn new(
        defined: &classifier::Ensemble,
        spec: &ClassifierSpec,
        compute: &Compute,
        instructions: InstructionSet,
    ) -> Result<Self, gpu::Error> {
        let layers = defined.networks.iter().map(Classifier::layers);
        let heads = defined.networks.iter().map(|network| Head {
            weights: values(Some(&network.head.weight), 0.0, 0),
            bias: values(Some(&network.head.bias), 0.0, 0),
        });
        Ok(Self {
            spec: spec.clone(),
            encoders: Network::new(layers, compute, instructions)?,
            heads: heads.collect(),
            candidates: defined.candidates.clone(),
            input: defined.input.clone(),
        })
    }

    pub(super) fn spec(&self) -> &ClassifierSpec {
        &self.spec
    }

    /// Features of one normalised patch by the first network.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device.
    pub(super) fn features(
        &self,
        runner: &Runner<'_>,
        patch: &[f32],
    ) -> Result<Vec<f32>, gpu::Error> {
        let map = runner.first(patch)?;
        Ok(pooled(&map, self.spec.features() / 2))
    }

    /// The encoders, ready for patches of one size.
    ///
    /// # Errors
    /// [`gpu::Error`] where there is too little memory.
    pub(super) fn runner(&self, patch: [usize; 3]) -> Result<Runner<'_>, gpu::Error> {
        self.encoders.runner(patch)
    }

    /// Looks at one normalised patch of `size` voxels, for which `runner` is ready.
    ///
    /// # Errors
    /// [`gpu::Error`] of the device.
    pub(super) fn evidence(
        &self,
        runner: &Runner<'_>,
        patch: &[f32],
        size: [usize; 3],
    ) -> Result<Evidence, gpu::Error> {
        let copies = mirrorings(&self.spec.mirror_axes);
        // Outputs of each network, added over the copies.
        let mut sums = vec![vec![0.0; self.spec.outputs()]; self.heads.len()];
        let mut novelty = None;
        for &mirrored in &copies {
            let maps = runner.each(&mirror(patch, size, mirrored))?;
            for ((sums, head), map) in sums.iter_mut().zip(&self.heads).zip(&maps) {
                let features = pooled(map, self.spec.features() / 2);
                novelty.get_or_insert_with(|| self.candidates.distance(&features));
                let outputs = head.outputs(&features);
                sums.iter_mut().zip(outputs).for_each(|(sum, o)| *sum += o);
            }
        }
        let scale = 1.0 / copies.len() as f64;
        let networks: Vec<Vec<f64>> = sums
            .into_iter()
            .map(|sums| sums.into_iter().map(|sum| sum * scale).collect())
            .collect();
        let outputs: Vec<f64> = (0..self.spec.outputs())
            .map(|output| mean(networks.iter().map(|network| network[output])))
            .collect();
        let squares = networks
            .iter()
            .map(|network| (network[0] - outputs[0]).powi(2));
        Ok(Evidence {
            logit: outputs[0] as f32,
            spread: mean(squares).sqrt() as f32,
            type_logits: outputs[1..].iter().map(|output| *output as f32).collect(),
            novelty: novelty.unwrap_or(f32::NAN),
        })
    }
}

impl Evidence {
    fn is_finite(&self) -> bool {
        let own = [self.logit, self.spread, self.novelty];
        own.iter().chain(&self.type_logits).all(|v| v.is_finite())
    }
}

impl Head {
    fn outputs(&self, features: &[f32]) -> Vec<f64> {
        let rows = self.weights.chunks_exact(features.len()).zip(&self.bias);
        rows.map(|(row, bias)| {
            dot(
                row,
                features.iter().map(|f| f64::from(*f)),
                f64::from(*bias),
            )
        })
        .collect()
    }
}

/// Mean of each channel of a feature map, then maximum of each.
fn pooled(map: &[f32], channels: usize) -> Vec<f32> {
    let of_channels = || map.chunks_exact((map.len() / channels).max(1));
    let means = of_channels().map(|own| mean(own.iter().map(|v| f64::from(*v))) as f32);
    let largest = of_channels().map(|own| own.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    means.chain(largest).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.fold(0.0, |sum, value| sum + value) / count
}

/// `start` and the products of `row` and `values`, added in order.
pub(super) fn dot(row: &[f32], values: impl Iterator<Item = f64>, start: f64) -> f64 {
    let products = row.iter().zip(values).map(|(w, v)| f64::from(*w) * v);
    products.fold(start, |sum, product| sum + product)
}

#[cfg(test)]
mod tests;
