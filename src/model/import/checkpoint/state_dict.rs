//! The tensors of a `.pth`, `.pt` or `.safetensors` file by name, read one at a time.
//!
//! In: a path. Out: 32-bit values of a tensor whose shape was asked for. Refused: tensors of another shape or type, views
//! that repeat numbers, numbers that are not finite, and more bytes in all than the file has.

use super::Error;
use super::archive::Archive;
use super::global::Dtype;
use super::pickle::{self, Id, Object, Pickle, Refusal, Storage, Tensor};
use super::view::{append, contiguous, in_order, span};
use safetensors::SafeTensors;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What may be read beyond the bytes of the file: small weights that share a storage.
const SLACK_BYTES: u64 = 64 << 20;
/// Bytes that are converted at once; a multiple of every type's.
const CHUNK_BYTES: u64 = 1 << 20;
/// Largest header of a `.safetensors` file.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// Where nnU-Net, Lightning, MONAI and others put the weights in a checkpoint.
const WEIGHTS_KEYS: [&str; 4] = ["network_weights", "state_dict", "model_state_dict", "model"];
/// Prefixes of `torch.compile`, of parallel training and of Lightning.
const WRAPPERS: [&str; 4] = ["_orig_mod.", "module.", "network.", "net."];

/// A file of tensors.
#[derive(Debug)]
pub(in crate::model::import) struct StateDict {
    path: PathBuf,
    source: Source,
    /// Bytes of the whole file.
    length: u64,
    tensors: BTreeMap<String, Tensor>,
    read_bytes: Cell<u64>,
}

#[derive(Debug)]
enum Source {
    /// What `torch.save` wrote: the records lie in this folder of the archive, named with its slash.
    Torch {
        archive: Archive,
        folder: String,
        pickle: Pickle,
    },
    /// A `.safetensors` file, whose numbers start here.
    Safetensors { data_at: u64 },
}

impl StateDict {
    /// Reads the names and places of all tensors.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Container`], [`Error::Foreign`], [`Error::Limit`].
    pub(in crate::model::import) fn open(path: &Path) -> Result<Self, Error> {
        if path.extension().is_some_and(|e| e == "safetensors") {
            return Self::safetensors(path);
        }
        let archive = Archive::open(path)?;
        let folder = folder(&archive)?;
        let name = format!("{folder}data.pkl");
        let bytes = archive.size(&name)?;
        if bytes > pickle::MAX_PICKLE_BYTES {
            return Err(too_many(path));
        }
        let pickle = Pickle::read(archive.read(&name, 0, bytes)?);
        let pickle = pickle.map_err(|refusal| refused(path, refusal))?;
        Ok(Self {
            path: path.into(),
            length: archive.length(),
            tensors: named(path, weights(&pickle))?,
            read_bytes: Cell::new(0),
            source: Source::Torch {
                archive,
                folder,
                pickle,
            },
        })
    }

    fn safetensors(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(unreadable(path))?;
        let length = file.metadata().map_err(unreadable(path))?.len();
        let mut header = Vec::new();
        let mut read = |bytes| file.by_ref().take(bytes).read_to_end(&mut header);
        read(MAX_HEADER_BYTES).map_err(unreadable(path))?;
        let (bytes, metadata) = SafeTensors::read_metadata(&header)
            .map_err(|e| malformed(path, &format!("its header: {e}")))?;
        let data_at = 8 + bytes as u64;
        let tensors = metadata.tensors();
        let tensors = tensors
            .iter()
            .map(|(name, info)| (name.as_str(), contiguous(info)));
        let tensors = named(path, tensors)?;
        if data_at + metadata.data_len() as u64 != length {
            return Err(malformed(
                path,
                "its header and its size contradict each other",
            ));
        }
        Ok(Self {
            path: path.into(),
            source: Source::Safetensors { data_at },
            length,
            tensors,
            read_bytes: Cell::new(0),
        })
    }

    pub(in crate::model::import) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, without what wrappers put before them.
    pub(in crate::model::import) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Size of a tensor.
    #[cfg(test)]
    pub(in crate::model::import) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let shape = &self.tensors.get(name)?.shape;
        shape.iter().map(|n| usize::try_from(*n).ok()).collect()
    }

    pub(in crate::model::import) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Values of a tensor of this shape, the last axis fastest.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Tensor`], [`Error::Limit`], [`Error::Malformed`], [`Error::Read`].
    pub(in crate::model::import) fn read(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, Error> {
        let tensor = self.tensors.get(name).ok_or_else(|| Error::MissingTensor {
            path: self.path.clone(),
            name: name.to_owned(),
        })?;
        let wanted: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        if tensor.shape != wanted {
            return Err(self.mismatch(name, format!("{:?}", tensor.shape), &format!("{shape:?}")));
        }
        let values = self.values(name, tensor)?;
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(self.mismatch(name, "NaN or infinite".into(), "finite numbers"))
    }

    /// Whether two names stand for the same numbers, or one of them for none.
    ///
    /// # Errors
    /// Those of [`StateDict::read`].
    pub(in crate::model::import) fn agree(&self, name: &str, other: &str) -> Result<bool, Error> {
        let (Some(a), Some(b)) = (self.tensors.get(name), self.tensors.get(other)) else {
            return Ok(true);
        };
        Ok(a == b || a.shape == b.shape && self.values(name, a)? == self.values(other, b)?)
    }

    /// The whole number of a key beside the weights.
    pub(in crate::model::import) fn int(&self, key: &str) -> Option<i64> {
        let (pickle, id) = self.beside(key)?;
        match pickle.object(id) {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The text of a key beside the weights.
    pub(in crate::model::import) fn text(&self, key: &str) -> Option<&str> {
        let (pickle, id) = self.beside(key)?;
        pickle.text(id)
    }

    /// The list of whole numbers of a key beside the weights.
    pub(in crate::model::import) fn ints(&self, key: &str) -> Option<Vec<i64>> {
        let (pickle, id) = self.beside(key)?;
        let Object::List(items) = pickle.object(id) else {
            return None;
        };
        let int = |id: &Id| match pickle.object(*id) {
            Object::Int(value) => Some(*value),
            _ => None,
        };
        items.iter().map(int).collect()
    }

    fn beside(&self, key: &str) -> Option<(&Pickle, Id)> {
        let Source::Torch { pickle, .. } = &self.source else {
            return None;
        };
        Some((pickle, pickle.get(pickle.root(), key)?))
    }

    fn values(&self, name: &str, tensor: &Tensor) -> Result<Vec<f32>, Error> {
        let storage = &tensor.storage;
        let Some(span) = span(tensor) else {
            let wanted = "a view that has each number once, within its storage";
            return Err(self.mismatch(name, "another view".into(), wanted));
        };
        if storage.dtype == Dtype::Other {
            let wanted = "float16, bfloat16, float32 or float64";
            return Err(self.mismatch(name, "of another type".into(), wanted));
        }
        let bytes = span.saturating_mul(storage.dtype.bytes());
        let read = self.read_bytes.get().saturating_add(bytes);
        if read > 2 * self.length + SLACK_BYTES {
            return Err(Error::Limit {
                path: self.path.clone(),
                what: "tensors of more bytes than it has",
                limit: self.length,
            });
        }
        self.read_bytes.set(read);
        let start = tensor.offset.saturating_mul(storage.dtype.bytes());
        let mut numbers = Vec::new();
        for at in (0..bytes).step_by(1 << 20) {
            let chunk = self.bytes(
                storage,
                start.saturating_add(at),
                CHUNK_BYTES.min(bytes - at),
            )?;
            append(&mut numbers, &chunk, storage.dtype);
        }
        Ok(in_order(numbers, tensor))
    }

    /// Bytes of a storage.
    fn bytes(&self, storage: &Storage, start: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        match &self.source {
            Source::Torch {
                archive, folder, ..
            } => archive.read(&format!("{folder}data/{}", storage.key), start, bytes),
            Source::Safetensors { data_at } => {
                let read = || {
                    let (mut file, mut buffer) = (File::open(&self.path)?, Vec::new());
                    file.seek(SeekFrom::Start(data_at + start))?;
                    file.take(bytes).read_to_end(&mut buffer)?;
                    Ok(buffer)
                };
                read().map_err(unreadable(&self.path))
            }
        }
    }

    fn mismatch(&self, name: &str, found: String, wanted: &str) -> Error {
        Error::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            found,
            wanted: wanted.to_owned(),
        }
    }
}

/// The folder that holds `data.pkl`.
fn folder(archive: &Archive) -> Result<String, Error> {
    let folders = archive.names().filter_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some(folder)
    });
    let folders: Vec<&str> = folders.collect();
    let [folder] = folders[..] else {
        return Err(archive.malformed("it does not hold one data.pkl".into()));
    };
    let byte_order = format!("{folder}byteorder");
    if archive.names().any(|name| name == byte_order) {
        const LITTLE: &[u8] = b"little";
        let bytes = archive.size(&byte_order)?.min(LITTLE.len() as u64);
        if archive.read(&byte_order, 0, bytes)? != LITTLE {
            return Err(Error::Container {
                path: archive.path().into(),
                found: "a checkpoint of a big-endian machine",
            });
        }
    }
    Ok(folder.to_owned())
}

/// Tensors of the dictionary that holds the weights.
fn weights(pickle: &Pickle) -> impl Iterator<Item = (&str, Tensor)> {
    let root = pickle.root();
    let weights = WEIGHTS_KEYS.iter().find_map(|key| pickle.get(root, key));
    let entries: &[(Id, Id)] = match pickle.object(weights.unwrap_or(root)) {
        Object::Dict(entries) => entries,
        _ => &[],
    };
    entries
        .iter()
        .filter_map(|(key, value)| match pickle.object(*value) {
            Object::Tensor(tensor) => Some((pickle.text(*key)?, tensor.as_ref().clone())),
            _ => None,
        })
}

/// Tensors by their bare names.
fn named<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, Tensor)>,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut by_name = BTreeMap::new();
    for (name, tensor) in tensors {
        if let Some(other) = by_name.insert(bare(name).to_owned(), tensor.clone())
            && other != tensor
        {
            return Err(malformed(
                path,
                &format!("it holds tensor {:?} twice", bare(name)),
            ));
        }
    }
    if by_name.is_empty() {
        return Err(malformed(path, "it holds no dictionary of tensors"));
    }
    Ok(by_name)
}

/// A name without what wrappers put before it.
fn bare(name: &str) -> &str {
    let shorter = WRAPPERS.iter().find_map(|prefix| name.strip_prefix(prefix));
    shorter.map_or(name, bare)
}

fn refused(path: &Path, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Malformed(message) => malformed(path, &message),
        Refusal::Foreign(name) => Error::Foreign {
            path: path.into(),
            name,
        },
        Refusal::TooMany => too_many(path),
    }
}

fn malformed(path: &Path, message: &str) -> Error {
    Error::Malformed {
        path: path.into(),
        message: message.to_owned(),
    }
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Read {
        path: path.into(),
        source,
    }
}

fn too_many(path: &Path) -> Error {
    Error::Limit {
        path: path.into(),
        what: "a pickle of so many bytes or objects",
        limit: pickle::MAX_PICKLE_BYTES,
    }
}
