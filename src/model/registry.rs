//! Where a model comes from: the executable itself, or a folder.
//!
//! In: a name or a path. Out: the four files' text and bytes. Refused: unknown names, unreadable or oversized files.

use super::{Error, Manifest};
use safetensors::SafeTensors;
use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The parser takes a hundred times the text's size.
pub(super) const MAX_MANIFEST_BYTES: u64 = 64 << 10;
/// Largest tensor file.
pub(super) const MAX_TENSORS_BYTES: u64 = 2 << 30;

/// A model that the executable brings.
#[derive(Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Name of the model.
    pub name: &'static str,
    manifest: &'static str,
    weights: &'static [u8],
    golden: &'static [u8],
}

macro_rules! builtin {
    ($name:literal) => {
        Builtin {
            name: $name,
            manifest: include_str!(concat!("../../models/", $name, "/model.toml")),
            weights: include_bytes!(concat!("../../models/", $name, "/weights.safetensors")),
            golden: include_bytes!(concat!("../../models/", $name, "/golden.safetensors")),
        }
    };
}

/// Every model that the executable brings.
pub static BUILTINS: &[Builtin] = &[
    builtin!("lung-nodule"),
    builtin!("lung-nodule-lite"),
    builtin!("lymph-node"),
];

/// Name of the built-in model where the configuration leaves the choice: the full one on a hardware GPU, the light one where
/// the CPU computes; where one is missing, the other.
pub fn automatic(hardware_gpu: bool) -> &'static str {
    preferred(hardware_gpu, |name| BUILTINS.iter().any(|b| b.name == name))
}

fn preferred(hardware_gpu: bool, exists: impl Fn(&str) -> bool) -> &'static str {
    const FULL: &str = "lung-nodule";
    const LIGHT: &str = "lung-nodule-lite";
    let (first, second) = match hardware_gpu {
        true => (FULL, LIGHT),
        false => (LIGHT, FULL),
    };
    if exists(first) { first } else { second }
}

/// A model to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// One that the executable brings.
    Builtin(&'static Builtin),
    /// A folder with `model.toml`, `weights.safetensors` and `golden.safetensors`.
    Folder(PathBuf),
}

/// The files of a model.
#[derive(Debug)]
pub(crate) struct ModelFiles {
    pub(crate) manifest: Cow<'static, str>,
    pub(crate) weights: Cow<'static, [u8]>,
    pub(crate) golden: Cow<'static, [u8]>,
}

impl ModelSource {
    /// Finds a model: a built-in name, else a folder, else a folder of that name in `models_dir`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] with the names that there are.
    pub fn find(name: &str, models_dir: &Path) -> Result<Self, Error> {
        if let Some(builtin) = BUILTINS.iter().find(|builtin| builtin.name == name) {
            return Ok(Self::Builtin(builtin));
        }
        [PathBuf::from(name), models_dir.join(name)]
            .into_iter()
            .find(|folder| folder.join("model.toml").is_file())
            .map(Self::Folder)
            .ok_or_else(|| Error::UnknownModel {
                name: name.to_owned(),
                builtins: BUILTINS
                    .iter()
                    .map(|b| b.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Every model that the executable brings, then every folder below `models_dir` that holds `model.toml`, by name.
    pub fn all(models_dir: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(models_dir).into_iter().flatten();
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut folders: Vec<PathBuf> = folders
            .filter(|folder| folder.join("model.toml").is_file())
            .filter(|folder| BUILTINS.iter().all(|b| !folder.ends_with(b.name)))
            .collect();
        folders.sort();
        let builtins = BUILTINS.iter().map(Self::Builtin);
        builtins
            .chain(folders.into_iter().map(Self::Folder))
            .collect()
    }

    /// What the model expects, gives and is for; its weights are not read.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::FileTooLarge`], [`Error::Manifest`], [`Error::OutOfRange`].
    pub fn manifest(&self) -> Result<Manifest, Error> {
        Manifest::parse(&self.manifest_text()?)
    }

    /// Bytes of `weights.safetensors`.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn weights_bytes(&self) -> Result<u64, Error> {
        match self {
            Self::Builtin(builtin) => Ok(builtin.weights.len() as u64),
            Self::Folder(folder) => {
                let path = folder.join("weights.safetensors");
                let metadata = std::fs::metadata(&path);
                let metadata = metadata.map_err(|source| Error::Read { path, source })?;
                Ok(metadata.len())
            }
        }
    }

    /// Numbers in `weights.safetensors`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::FileTooLarge`], [`Error::Safetensors`].
    pub fn parameters(&self) -> Result<u64, Error> {
        let files = self.read()?;
        let metadata = SafeTensors::read_metadata(&files.weights);
        let (_, metadata) = metadata.map_err(|e| Error::Safetensors {
            file: "weights.safetensors",
            message: e.to_string(),
        })?;
        let tensors = metadata.tensors().into_values();
        Ok(tensors
            .map(|t| t.shape.iter().product::<usize>() as u64)
            .sum())
    }

    fn manifest_text(&self) -> Result<Cow<'static, str>, Error> {
        let folder = match self {
            Self::Builtin(builtin) => return Ok(builtin.manifest.into()),
            Self::Folder(folder) => folder,
        };
        let bytes = read_at_most(&folder.join("model.toml"), MAX_MANIFEST_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|e| Error::Manifest {
            message: e.to_string(),
        })?;
        Ok(text.into())
    }

    pub(crate) fn read(&self) -> Result<ModelFiles, Error> {
        match self {
            Self::Builtin(builtin) => Ok(ModelFiles {
                manifest: builtin.manifest.into(),
                weights: builtin.weights.into(),
                golden: builtin.golden.into(),
            }),
            Self::Folder(folder) => Ok(ModelFiles {
                manifest: self.manifest_text()?,
                weights: read_at_most(&folder.join("weights.safetensors"), MAX_TENSORS_BYTES)?
                    .into(),
                golden: read_at_most(&folder.join("golden.safetensors"), MAX_TENSORS_BYTES)?.into(),
            }),
        }
    }
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let refuse = |source| Error::Read {
        path: path.into(),
        source,
    };
    let file = std::fs::File::open(path).map_err(refuse)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells an oversized file, whatever its metadata say.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    if bytes.len() as u64 > limit {
        return Err(Error::FileTooLarge {
            path: path.into(),
            limit,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_carries_its_own_name_and_hash() {
        for builtin in BUILTINS {
            let manifest = Manifest::parse(builtin.manifest).expect("valid");
            assert_eq!(manifest.name, builtin.name);
            let hash = crate::model::weights::sha256_hex(builtin.weights);
            assert_eq!(manifest.weights.sha256, hash);
        }
    }

    #[test]
    fn the_automatic_model_is_the_full_one_on_a_gpu_and_the_light_one_on_a_cpu() {
        let of = |gpu| preferred(gpu, |_| true);
        assert_eq!([true, false].map(of), ["lung-nodule", "lung-nodule-lite"]);
        for gpu in [true, false] {
            for only in ["lung-nodule", "lung-nodule-lite"] {
                assert_eq!(preferred(gpu, |name| name == only), only);
            }
            assert!(ModelSource::find(automatic(gpu), Path::new("nowhere")).is_ok());
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names_there_are() {
        let refused = ModelSource::find("lung-nodul", Path::new("nowhere"));
        assert!(refused.is_err_and(|e| e.to_string().contains("lung-nodule-lite")));
    }

    #[test]
    fn a_folder_is_found_by_path_and_by_name_and_read_like_a_builtin() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let folder = dir.path().join("mine");
        std::fs::create_dir(&folder).expect("created");
        let builtin = ModelSource::Builtin(&BUILTINS[0]).read().expect("read");
        std::fs::write(folder.join("model.toml"), builtin.manifest.as_bytes()).expect("written");
        std::fs::write(folder.join("weights.safetensors"), &builtin.weights).expect("written");
        std::fs::write(folder.join("golden.safetensors"), &builtin.golden).expect("written");
        let by_name = ModelSource::find("mine", dir.path()).expect("found");
        let by_path = ModelSource::find(&folder.to_string_lossy(), Path::new("nowhere"));
        assert_eq!(by_name, by_path.expect("found"));
        assert_eq!(by_name.read().expect("read").weights, builtin.weights);
    }

    #[test]
    fn a_file_above_its_limit_is_refused() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("weights.safetensors");
        std::fs::write(&path, [0; 100]).expect("written");
        assert!(matches!(
            read_at_most(&path, 99),
            Err(Error::FileTooLarge { .. })
        ));
        assert_eq!(read_at_most(&path, 100).expect("fits").len(), 100);
    }
}
