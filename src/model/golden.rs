//! What the networks must reproduce before they are trusted: `golden.safetensors` into host memory.

use super::Error;
use super::manifest::ClassifierSpec;
use super::unet::UNetConfig;
use super::weights::{deserialize, take};
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;

/// Names of a classifier's tensors.
pub(super) const CANDIDATE: [&str; 2] = ["classifier.input", "classifier.outputs"];

/// An input patch and the logits that the framework which trained the model gave for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Golden {
    /// Size along z, y, x.
    pub(crate) patch: [usize; 3],
    /// `[1, input_channels, z, y, x]`, normalised.
    pub(crate) input: Vec<f32>,
    /// `[1, classes, z, y, x]`.
    pub(crate) logits: Vec<f32>,
}

impl Golden {
    /// Reads `golden.safetensors`: tensors `input` and `logits`.
    ///
    /// # Errors
    /// [`Error::Safetensors`], [`Error::MissingTensor`], [`Error::TensorMismatch`].
    pub(crate) fn parse(bytes: &[u8], config: &UNetConfig) -> Result<Self, Error> {
        let mut tensors = tensors(bytes)?;
        let patch = size(&tensors, "input", config.total_stride())?;
        let [z, y, x] = patch;
        Ok(Self {
            patch,
            input: take(&mut tensors, "input", &[1, config.input_channels, z, y, x])?,
            logits: take(&mut tensors, "logits", &[1, config.classes, z, y, x])?,
        })
    }
}

/// A patch and the outputs of a classifier for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GoldenCandidate {
    /// Size along z, y, x.
    pub(crate) patch: [usize; 3],
    /// `[1, input_channels, z, y, x]`, normalised.
    pub(crate) input: Vec<f32>,
    /// `[1, outputs]`: the mean over the ensemble and the mirrored copies.
    pub(crate) outputs: Vec<f32>,
}

impl GoldenCandidate {
    /// Reads `golden.safetensors`: tensors `classifier.input` and `classifier.outputs`.
    ///
    /// # Errors
    /// Those of [`Golden::parse`].
    pub(crate) fn parse(
        bytes: &[u8],
        spec: &ClassifierSpec,
        input_channels: usize,
    ) -> Result<Self, Error> {
        let [input, outputs] = CANDIDATE;
        let mut tensors = tensors(bytes)?;
        let patch = size(&tensors, input, spec.total_stride())?;
        let [z, y, x] = patch;
        Ok(Self {
            patch,
            input: take(&mut tensors, input, &[1, input_channels, z, y, x])?,
            outputs: take(&mut tensors, outputs, &[1, spec.outputs()])?,
        })
    }
}

fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, TensorView<'_>>, Error> {
    let file = deserialize("golden.safetensors", bytes)?;
    Ok(file.tensors().into_iter().collect())
}

/// Size along z, y, x of the patch `name`, which the strides must divide.
fn size(
    tensors: &BTreeMap<String, TensorView<'_>>,
    name: &str,
    total_stride: [usize; 3],
) -> Result<[usize; 3], Error> {
    let shape = tensors.get(name).map(|view| view.shape());
    let patch = match shape {
        Some(&[1, _, z, y, x]) => [z, y, x],
        _ => [0; 3],
    };
    let fits = |(n, stride): (usize, usize)| n > 0 && n.is_multiple_of(stride);
    if patch.into_iter().zip(total_stride).all(fits) {
        return Ok(patch);
    }
    Err(Error::TensorMismatch {
        name: name.into(),
        found: format!("{shape:?}"),
        wanted: "F32 [1, c, z, y, x] with multiples of the total stride".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Manifest;

    const GOLDEN: &[u8] = include_bytes!("../../testdata/unet/deep.golden.safetensors");

    fn deep() -> Manifest {
        Manifest::parse(include_str!("../../testdata/unet/deep.toml")).expect("valid")
    }

    #[test]
    fn a_golden_patch_that_the_strides_do_not_divide_is_refused() {
        let mut config = deep().network;
        config.strides[1] = [1, 1, 4];
        config.strides[2] = [1, 1, 4];
        config.strides[3] = [1, 1, 4];
        assert!(matches!(
            Golden::parse(GOLDEN, &config),
            Err(Error::TensorMismatch { .. })
        ));
    }
}
