//! The tensors of `weights.safetensors` from a file of tensors under other names.
//!
//! In: the network and a file. Out: every tensor of the network, with batch norms folded into the convolutions before
//! them. Refused by name: what is missing, left over, of another shape, or contradicts its copy.

use super::Error;
use super::checkpoint::StateDict;
use super::dialect::{Dialect, Other};
use crate::model::unet::Norm;
use crate::model::weights::shapes;
use crate::model::{ClassifierSpec, UNetConfig};
use burn::tensor::Device;
use std::collections::BTreeSet;

/// A tensor of `weights.safetensors`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Whether the norms are batch norms: those alone have what was measured in training.
pub(super) fn has_batch_norms(file: &StateDict) -> bool {
    file.names().any(|name| name.ends_with(".running_mean"))
}

/// Reads every tensor of the network; `norm_epsilon` is what a batch norm adds to the variance.
///
/// # Errors
/// [`Error::MissingTensor`], [`Error::SurplusTensor`], [`Error::Tensor`] and those of reading.
pub(super) fn read(
    file: &StateDict,
    config: &UNetConfig,
    norm_epsilon: f64,
) -> Result<Vec<Named>, Error> {
    let mut reader = Reader::new(file, config, norm_epsilon);
    for (name, shape) in shapes(config.init(&Device::flex())) {
        if let Some(block) = name.strip_suffix(".conv.weight") {
            reader.block(block, &shape)?;
        } else if let Some(layer) = name.strip_suffix(".weight") {
            reader.layer(layer, &shape)?;
        }
    }
    reader.check_rest()?;
    Ok(reader.found)
}

/// Reads every tensor of one network of a classifier; `norm_epsilon` is what a batch norm adds to the variance.
///
/// # Errors
/// Those of [`read`].
pub(super) fn classifier(
    file: &StateDict,
    spec: &ClassifierSpec,
    input_channels: usize,
    norm_epsilon: f64,
) -> Result<Vec<Named>, Error> {
    let config = spec.encoder(input_channels);
    let mut reader = Reader::new(file, &config, norm_epsilon);
    for (name, shape) in shapes(spec.init(input_channels, &Device::flex())) {
        if let Some(block) = name.strip_suffix(".conv.weight") {
            reader.block(block, &shape)?;
        } else if name.starts_with("head.") {
            let values = reader.read(&name, &shape)?;
            reader.keep(name, shape, values);
        }
    }
    reader.check_rest()?;
    Ok(reader.found)
}

struct Reader<'a> {
    file: &'a StateDict,
    config: &'a UNetConfig,
    dialect: Dialect,
    norm_epsilon: f64,
    used: BTreeSet<String>,
    found: Vec<Named>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a StateDict, config: &'a UNetConfig, norm_epsilon: f64) -> Self {
        Self {
            file,
            config,
            dialect: Dialect::of(file),
            norm_epsilon,
            used: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// A block: its convolution, then its norm.
    fn block(&mut self, block: &str, shape: &[usize]) -> Result<(), Error> {
        let [conv, norm] = self.dialect.block(block, self.config);
        let channels = shape[0];
        let mut weight = self.read(&format!("{conv}.weight"), shape)?;
        let bias = format!("{conv}.bias");
        let mut bias = if block.ends_with(".project") {
            // nnU-Net's projections have none, whatever its other convolutions have.
            self.or(&bias, channels, 0.0)?
        } else {
            self.all_or(&bias, 3, channels, 0.0)?
        };
        let folded = self.config.norm == Norm::None && has_batch_norms(self.file);
        if folded || self.config.norm == Norm::Instance {
            let [scale, shift] = self.dialect.affine().map(|part| format!("{norm}.{part}"));
            let gamma = self.all_or(&scale, 2, channels, 1.0)?;
            let beta = self.all_or(&shift, 2, channels, 0.0)?;
            if folded {
                let mean = self.read(&format!("{norm}.running_mean"), &[channels])?;
                let variance = self.read(&format!("{norm}.running_var"), &[channels])?;
                let epsilon = self.norm_epsilon;
                let norm = BatchNorm {
                    mean,
                    variance,
                    gamma,
                    beta,
                    epsilon,
                };
                norm.fold(&mut weight, &mut bias);
            } else {
                self.keep(format!("{block}.norm.gamma"), vec![channels], gamma);
                self.keep(format!("{block}.norm.beta"), vec![channels], beta);
            }
        }
        self.keep(format!("{block}.conv.weight"), shape.to_vec(), weight);
        self.keep(format!("{block}.conv.bias"), vec![channels], bias);
        Ok(())
    }

    /// The head or a transposed convolution, whose bias may be missing.
    fn layer(&mut self, layer: &str, shape: &[usize]) -> Result<(), Error> {
        let theirs = self.dialect.layer(layer, self.config);
        let weight = self.read(&format!("{theirs}.weight"), shape)?;
        let bias = format!("{theirs}.bias");
        // A transposed convolution has its outputs second.
        let bias = match layer {
            "head" => (self.read(&bias, &shape[..1])?, shape[0]),
            _ => (self.or(&bias, shape[1], 0.0)?, shape[1]),
        };
        self.keep(format!("{layer}.weight"), shape.to_vec(), weight);
        self.keep(format!("{layer}.bias"), vec![bias.1], bias.0);
        Ok(())
    }

    fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.used.insert(name.to_owned());
        self.file.read(name, shape)
    }

    /// A tensor, or a constant where it is missing.
    fn or(&mut self, name: &str, channels: usize, default: f32) -> Result<Vec<f32>, Error> {
        if self.file.contains(name) {
            return self.read(name, &[channels]);
        }
        Ok(vec![default; channels])
    }

    /// A tensor, or a constant where every one of its kind, by so many last parts of the name, is missing: the layers
    /// were built without.
    fn all_or(
        &mut self,
        name: &str,
        parts: usize,
        channels: usize,
        default: f32,
    ) -> Result<Vec<f32>, Error> {
        let kind = name.rsplitn(parts + 1, '.').last();
        let kind = &name[kind.map_or(0, str::len)..];
        if self.file.names().any(|other| other.ends_with(kind)) {
            return self.read(name, &[channels]);
        }
        Ok(vec![default; channels])
    }

    fn keep(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) {
        self.found.push(Named {
            name,
            shape,
            values,
        });
    }

    /// What no layer took is a copy, of use in training alone, or refused.
    fn check_rest(&self) -> Result<(), Error> {
        for name in self.file.names().filter(|name| !self.used.contains(*name)) {
            let known = match self.dialect.other(name) {
                Other::Training => true,
                Other::CopyOf(original) => {
                    self.used.contains(&original) && self.file.agree(name, &original)?
                }
                Other::Unknown => false,
            };
            if !known {
                return Err(Error::SurplusTensor {
                    path: self.file.path().into(),
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// A batch norm as it computes in inference.
struct BatchNorm {
    mean: Vec<f32>,
    variance: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f64,
}

impl BatchNorm {
    /// Changes a convolution so that it gives what the norm behind it gave.
    fn fold(&self, weight: &mut [f32], bias: &mut [f32]) {
        let per_channel = weight.len() / bias.len().max(1);
        for (channel, bias) in bias.iter_mut().enumerate() {
            let value = |of: &[f32]| f64::from(of[channel]);
            let scale = value(&self.gamma) / (value(&self.variance) + self.epsilon).sqrt();
            for weight in &mut weight[channel * per_channel..][..per_channel] {
                *weight = narrow(f64::from(*weight) * scale);
            }
            *bias = narrow((f64::from(*bias) - value(&self.mean)) * scale + value(&self.beta));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights have 32 bits")]
fn narrow(value: f64) -> f32 {
    value as f32
}
