//! Weights of a model into the modules that define its networks.
//!
//! In: bytes of `weights.safetensors`. Refused by code: a wrong hash, a malformed file, and missing, surplus or
//! mis-shaped tensors by name. Nothing is allocated beyond the bytes that are there.

use super::Error;
use super::manifest::WeightsSpec;
use super::unet::{UNet, UNetConfig};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Heads that nnU-Net trains on the decoder's lower stages and does not use for inference.
const DEEP_SUPERVISION: &str = "deep_supervision.";

/// SHA-256 as lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tensors of `weights.safetensors`, each of which must be a module's.
pub(crate) struct Tensors<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
}

impl<'a> Tensors<'a> {
    /// Checks the hash, then reads what tensors there are.
    ///
    /// # Errors
    /// [`Error::WeightsHash`], [`Error::Safetensors`].
    pub(crate) fn open(bytes: &'a [u8], spec: &WeightsSpec) -> Result<Self, Error> {
        let found = sha256_hex(bytes);
        if found == spec.sha256 {
            return Self::parse(bytes);
        }
        Err(Error::WeightsHash {
            found,
            wanted: spec.sha256.clone(),
        })
    }

    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let tensors = deserialize("weights.safetensors", bytes)?.tensors();
        let needed = tensors
            .into_iter()
            .filter(|(name, _)| !name.starts_with(DEEP_SUPERVISION));
        Ok(Self {
            tensors: needed.collect(),
        })
    }

    /// Takes the networks of an ensemble.
    ///
    /// # Errors
    /// Those of [`Tensors::module`].
    pub(crate) fn networks(
        &mut self,
        folds: usize,
        config: &UNetConfig,
        device: &Device,
    ) -> Result<Vec<UNet>, Error> {
        let network = |fold: usize| {
            let prefix = (folds > 1).then(|| format!("folds.{fold}"));
            self.module(prefix, config.init(device), device)
        };
        (0..folds).map(network).collect()
    }

    /// Takes the tensors of a module whose names begin with `prefix`.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorMismatch`].
    pub(crate) fn module<M: Module>(
        &mut self,
        prefix: Option<String>,
        module: M,
        device: &Device,
    ) -> Result<M, Error> {
        let mut loader = Loader {
            tensors: &mut self.tensors,
            path: prefix.into_iter().collect(),
            device,
            refused: None,
        };
        let module = module.map(&mut loader);
        loader.refused.map_or(Ok(module), Err)
    }

    /// Takes the values of one tensor.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorMismatch`].
    pub(crate) fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        take(&mut self.tensors, name, shape)
    }

    /// Refuses what nothing took.
    ///
    /// # Errors
    /// [`Error::SurplusTensor`].
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.tensors.into_keys().next() {
            Some(name) => Err(Error::SurplusTensor { name }),
            None => Ok(()),
        }
    }
}

/// Replaces each parameter of a module by the tensor of its name; keeps the first refusal.
struct Loader<'a, 'b> {
    tensors: &'b mut BTreeMap<String, TensorView<'a>>,
    path: Vec<String>,
    device: &'b Device,
    refused: Option<Error>,
}

impl ModuleMapper for Loader<'_, '_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        // The shape is known without drawing the weights that would be thrown away.
        let shape = param.lazy_shape();
        match take(self.tensors, &name, shape.as_slice()) {
            Ok(values) => {
                let id = param.id;
                let data = TensorData::new(values, shape);
                param.transform_for_load(Tensor::from_data(data, self.device), id)
            }
            Err(error) => {
                self.refused.get_or_insert(error);
                param
            }
        }
    }
}

/// Names and shapes of a module's tensors, from its definition.
pub(crate) fn shapes(module: impl Module) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Shapes::default();
    drop(module.map(&mut shapes));
    shapes.found
}

/// Collects the names and shapes of a module's parameters.
#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    found: Vec<(String, Vec<usize>)>,
}

impl ModuleMapper for Shapes {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape().to_vec();
        self.found.push((self.path.join("."), shape));
        param
    }
}

/// Removes the tensor `name` and returns its values; it must be 32-bit float of the wanted shape.
pub(super) fn take(
    tensors: &mut BTreeMap<String, TensorView<'_>>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, Error> {
    let Some(view) = tensors.remove(name) else {
        return Err(Error::MissingTensor { name: name.into() });
    };
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(Error::TensorMismatch {
            name: name.into(),
            found: format!("{} {:?}", view.dtype(), view.shape()),
            wanted: format!("F32 {shape:?}"),
        });
    }
    Ok(values(&view))
}

fn values(view: &TensorView) -> Vec<f32> {
    let (numbers, _) = view.data().as_chunks::<4>();
    numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

pub(super) fn deserialize<'a>(
    file: &'static str,
    bytes: &'a [u8],
) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes).map_err(|e| Error::Safetensors {
        file,
        message: e.to_string(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::golden::Golden;
    use crate::model::manifest::Manifest;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use safetensors::serialize;

    const WEIGHTS: &[u8] = include_bytes!("../../testdata/unet/deep.weights.safetensors");
    const GOLDEN: &[u8] = include_bytes!("../../testdata/unet/deep.golden.safetensors");

    fn deep() -> Manifest {
        Manifest::parse(include_str!("../../testdata/unet/deep.toml")).expect("valid")
    }

    /// The weights with their list of tensors changed.
    fn altered(alter: impl FnOnce(&mut BTreeMap<String, TensorView<'static>>)) -> Vec<u8> {
        let file = SafeTensors::deserialize(WEIGHTS).expect("well-formed");
        let mut tensors: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
        alter(&mut tensors);
        serialize(tensors, None).expect("serialises")
    }

    /// The networks of a file that holds nothing else.
    pub(in crate::model) fn networks(
        bytes: &[u8],
        spec: &WeightsSpec,
        config: &UNetConfig,
    ) -> Result<Vec<UNet>, Error> {
        all(Tensors::open(bytes, spec)?, spec.folds, config)
    }

    fn all(mut file: Tensors, folds: usize, config: &UNetConfig) -> Result<Vec<UNet>, Error> {
        let networks = file.networks(folds, config, &Device::flex())?;
        file.finish().map(|()| networks)
    }

    fn parse(bytes: &[u8], config: &UNetConfig) -> Result<Vec<UNet>, Error> {
        all(Tensors::parse(bytes)?, 1, config)
    }

    /// Weights of a network, drawn evenly between -0.5 and 0.5.
    pub(in crate::model) fn random(config: &UNetConfig, rng: &mut ChaCha8Rng) -> Vec<u8> {
        drawn(shapes(config.init(&Device::flex())), rng)
    }

    /// Tensors of these names and shapes, drawn evenly between -0.5 and 0.5.
    pub(in crate::model) fn drawn(
        tensors: Vec<(String, Vec<usize>)>,
        rng: &mut ChaCha8Rng,
    ) -> Vec<u8> {
        let drawn: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, shape)| {
                let count = shape.iter().product();
                let values = (0..count).flat_map(|_| rng.random_range(-0.5f32..0.5).to_le_bytes());
                (name, shape, values.collect())
            })
            .collect();
        let views = drawn.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("fits");
            (name.as_str(), view)
        });
        serialize(views, None).expect("serialises")
    }

    fn refusal(bytes: &[u8]) -> Error {
        parse(bytes, &deep().network).expect_err("refused")
    }

    #[test]
    fn one_flipped_bit_is_refused_by_its_hash() {
        let mut bytes = WEIGHTS.to_vec();
        *bytes.last_mut().expect("not empty") ^= 1;
        let manifest = deep();
        let refused = networks(&bytes, &manifest.weights, &manifest.network);
        assert!(matches!(refused, Err(Error::WeightsHash { .. })));
    }

    #[test]
    fn a_missing_a_surplus_and_a_misshaped_tensor_are_refused_by_name() {
        let missing = altered(|t| drop(t.remove("encoder.0.0.norm.gamma")));
        let surplus = altered(|t| {
            let bias = t["head.bias"].clone();
            t.insert("tail.bias".into(), bias);
        });
        let misshaped = altered(|t| {
            let bias = t["encoder.0.0.conv.bias"].clone();
            t.insert("head.bias".into(), bias);
        });
        assert!(
            matches!(refusal(&missing), Error::MissingTensor { name } if name == "encoder.0.0.norm.gamma")
        );
        assert!(matches!(refusal(&surplus), Error::SurplusTensor { name } if name == "tail.bias"));
        assert!(
            matches!(refusal(&misshaped), Error::TensorMismatch { name, .. } if name == "head.bias")
        );
    }

    #[test]
    fn heads_of_deep_supervision_are_ignored() {
        let bytes = altered(|t| {
            let bias = t["head.bias"].clone();
            t.insert("deep_supervision.0.bias".into(), bias);
        });
        assert!(parse(&bytes, &deep().network).is_ok());
    }

    #[test]
    fn headers_that_lie_about_sizes_are_refused() {
        let mut longer_than_the_file = WEIGHTS.to_vec();
        longer_than_the_file[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let header =
            br#"{"head.bias":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]}}"#;
        let mut absurd_shape = (header.len() as u64).to_le_bytes().to_vec();
        absurd_shape.extend_from_slice(header);
        absurd_shape.extend_from_slice(&[0; 16]);
        for bytes in [
            &longer_than_the_file[..],
            &absurd_shape,
            &WEIGHTS[..WEIGHTS.len() / 2],
            &[],
        ] {
            assert!(matches!(refusal(bytes), Error::Safetensors { .. }));
        }
    }

    #[test]
    fn random_damage_to_the_header_never_panics() {
        const SEED: u64 = 7;
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let config = deep().network;
        let header =
            8 + usize::try_from(u64::from_le_bytes(GOLDEN[..8].try_into().expect("8 bytes")))
                .expect("small");
        for _ in 0..2000 {
            let mut bytes = GOLDEN.to_vec();
            for _ in 0..rng.random_range(1..6) {
                bytes[rng.random_range(0..header)] = rng.random();
            }
            bytes.truncate(rng.random_range(0..=bytes.len() + 1000).min(GOLDEN.len()));
            drop(Golden::parse(&bytes, &config));
            drop(parse(&bytes, &config));
        }
    }
}
