//! Writes a model folder as one step: under a temporary name, synced, renamed.

use super::tensors::Named;
use super::{Error, Model, card, check_cancel, golden, text};
use crate::model::golden::{CANDIDATE, Golden, GoldenCandidate};
use crate::model::registry::{MAX_MANIFEST_BYTES, MAX_TENSORS_BYTES};
use crate::model::{Error as ModelError, Manifest, WeightsSpec, loaded};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{serialize, serialize_to_file};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const MANIFEST: &str = "model.toml";
const WEIGHTS: &str = "weights.safetensors";
const GOLDEN: &str = "golden.safetensors";
const CARD: &str = "CARD.md";

/// Largest difference that a device may have from a logit of the golden patch, as a fraction of the largest.
const TOLERANCE: f32 = 1e-4;
const MIN_TOLERANCE: f32 = 1e-3;
/// No manifest may allow more.
const MAX_TOLERANCE: f32 = 1e-2;

/// Of weights that are not written yet.
pub(super) fn unknown_weights(folds: usize) -> WeightsSpec {
    WeightsSpec {
        sha256: "0".repeat(64),
        folds,
        golden_tolerance_logit: MIN_TOLERANCE,
        golden_tolerance_probability: MIN_TOLERANCE,
    }
}

/// Refuses what is there, but for a model that may be overwritten.
///
/// # Errors
/// [`Error::Exists`].
pub(super) fn check_free(out: &Path, overwrite: bool) -> Result<(), Error> {
    let replaced = overwrite && out.join(MANIFEST).is_file();
    if fs::symlink_metadata(out).is_ok() && !replaced {
        return Err(Error::Exists { dir: out.into() });
    }
    Ok(())
}

/// Writes the four files and puts them in place.
///
/// # Errors
/// [`ModelError::Import`], [`ModelError::NonFinite`], [`ModelError::Cancelled`].
pub(super) fn write(model: Model, out: &Path, cancel: &AtomicBool) -> Result<Manifest, ModelError> {
    let Model {
        mut manifest,
        folds,
        classifier,
        origin,
    } = model;
    golden::patch(&manifest)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".hilum-import-")
        .tempdir_in(parent)
        .map_err(at(parent))?;
    let tensors = folds.iter().flatten().chain(&classifier);
    let values = tensors.map(|tensor| tensor.values.len());
    let bytes = values.sum::<usize>() * size_of::<f32>();
    check_size(out, bytes as u64, MAX_TENSORS_BYTES - MAX_MANIFEST_BYTES)?;
    let weights = staging.path().join(WEIGHTS);
    write_weights(folds, classifier, &weights)?;
    manifest.weights.sha256 = text::sha256(&weights)?;
    check_cancel(cancel)?;
    let (golden, candidate) = computed(&mut manifest, &weights)?;
    check_cancel(cancel)?;
    write_synced(
        &staging.path().join(GOLDEN),
        &golden_file(&golden, candidate.as_ref(), &manifest)?,
    )?;
    let toml = toml::to_string(&manifest).map_err(|e| ModelError::Manifest {
        message: e.to_string(),
    })?;
    Manifest::parse(&toml)?;
    check_size(out, toml.len() as u64, MAX_MANIFEST_BYTES)?;
    write_synced(&staging.path().join(MANIFEST), toml.as_bytes())?;
    let card = card::text(&manifest, &origin);
    write_synced(&staging.path().join(CARD), card.as_bytes())?;
    put(staging, out).map_err(at(out))?;
    Ok(manifest)
}

/// What is larger could not be loaded.
fn check_size(out: &Path, bytes: u64, limit: u64) -> Result<(), Error> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        dir: out.into(),
        limit,
    })
}

/// Loads the written weights again, runs the golden patches and sets their tolerance.
fn computed(
    manifest: &mut Manifest,
    weights: &Path,
) -> Result<(Golden, Option<GoldenCandidate>), ModelError> {
    let bytes = fs::read(weights).map_err(|source| Error::Read {
        path: weights.into(),
        source,
    })?;
    let (networks, classifier) = loaded(&bytes, manifest)?;
    drop(bytes);
    let golden = golden::golden(manifest, &networks)?;
    let candidate = manifest.classifier.as_ref().zip(classifier);
    let candidate = candidate.map(|(spec, ensemble)| golden::candidate(manifest, spec, &ensemble));
    let candidate = candidate.transpose()?;
    let outputs = candidate.iter().flat_map(|candidate| &candidate.outputs);
    let logits = golden.logits.iter().chain(outputs);
    let largest = logits.fold(0.0, |max: f32, logit| max.max(logit.abs()));
    manifest.weights.golden_tolerance_logit =
        (TOLERANCE * largest).clamp(MIN_TOLERANCE, MAX_TOLERANCE);
    Ok((golden, candidate))
}

/// Tensors of an ensemble begin with the number of their network.
fn write_weights(folds: Vec<Vec<Named>>, classifier: Vec<Named>, path: &Path) -> Result<(), Error> {
    let several = folds.len() > 1;
    let mut tensors = Vec::new();
    for (fold, named) in folds.into_iter().enumerate() {
        for tensor in named {
            let prefix = if several {
                format!("folds.{fold}.")
            } else {
                String::new()
            };
            tensors.push((format!("{prefix}{}", tensor.name), tensor));
        }
    }
    tensors.extend(classifier.into_iter().map(|t| (t.name.clone(), t)));
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), view(&tensor.shape, &tensor.values)?)))
        .collect();
    views
        .and_then(|views| serialize_to_file(views, None, path))
        .map_err(|e| at(path)(io::Error::other(e)))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(at(path))
}

fn golden_file(
    golden: &Golden,
    candidate: Option<&GoldenCandidate>,
    manifest: &Manifest,
) -> Result<Vec<u8>, Error> {
    let network = &manifest.network;
    let shape = |channels: usize, patch: [usize; 3]| [&[1, channels], &patch[..]].concat();
    let mut tensors = vec![
        (
            "input",
            shape(network.input_channels, golden.patch),
            &golden.input,
        ),
        (
            "logits",
            shape(network.classes, golden.patch),
            &golden.logits,
        ),
    ];
    if let Some(candidate) = candidate {
        let input = shape(network.input_channels, candidate.patch);
        let outputs = vec![1, candidate.outputs.len()];
        tensors.push((CANDIDATE[0], input, &candidate.input));
        tensors.push((CANDIDATE[1], outputs, &candidate.outputs));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, values)| Ok((*name, view(shape, values)?)))
        .collect();
    views
        .and_then(|views| serialize(views, None))
        .map_err(|e| at(Path::new(GOLDEN))(io::Error::other(e)))
}

fn view<'a>(
    shape: &[usize],
    values: &'a [f32],
) -> Result<TensorView<'a>, safetensors::SafeTensorError> {
    TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values))
}

/// Puts the folder in place of what is there; whatever goes wrong, the old or the new one has the name.
fn put(staging: tempfile::TempDir, out: &Path) -> io::Result<()> {
    share(staging.path())?;
    sync_dir(staging.path())?;
    let parent = staging.path().parent().unwrap_or(Path::new(".")).to_owned();
    if out.is_dir() {
        let former = tempfile::Builder::new()
            .prefix(".hilum-former-")
            .tempdir_in(&parent)?;
        let aside = former.path().join("model");
        fs::rename(out, &aside)?;
        if let Err(error) = fs::rename(staging.path(), out) {
            fs::rename(&aside, out)?;
            return Err(error);
        }
    } else {
        fs::rename(staging.path(), out)?;
    }
    // It has moved: there is nothing left to remove.
    let _moved = staging.keep();
    sync_dir(&parent)
}

/// What was made under a temporary name is its owner's alone; a model may be read as any other folder.
#[cfg(unix)]
fn share(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let weights = folder.join(WEIGHTS);
    fs::set_permissions(weights, fs::Permissions::from_mode(0o644))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn share(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Write {
        path: path.into(),
        source,
    }
}
