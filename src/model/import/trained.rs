//! A folder of this project's own training scripts: `model.toml` without `[weights]`, `segmenter_K.pth`, and of a model with a
//! classifier `classifier_K.pth` and `novelty.pth`.
//!
//! Networks have the names of `dynamic-network-architectures`: a `PlainConvUNet`, and a `PlainConvEncoder` called `encoder`
//! beside a linear layer called `head`. Refused: files whose numbers have gaps or contradict the manifest.

use super::card::{Origin, Source};
use super::checkpoint::StateDict;
use super::tensors::{self, Named};
use super::{Error, Model, Request, bundle, check_cancel, json, text};
use crate::model::classifier::FOLDS;
use crate::model::novelty::{CANDIDATES, INPUT};
use crate::model::{ClassifierSpec, Error as ModelError, Manifest};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const MANIFEST: &str = "model.toml";
const SEGMENTER: &str = "segmenter";
const CLASSIFIER: &str = "classifier";
const NOVELTY: &str = "novelty.pth";
/// What PyTorch's norms add to the variance where nobody says otherwise.
const USUAL_EPSILON: f64 = 1e-5;
/// Of a model with a classifier: HU on the patient's grid.
const INPUT_CHANNELS: usize = 1;

/// Whether a folder is what the training scripts leave.
pub(super) fn is_trained_folder(folder: &Path) -> bool {
    let segmenter = folder.join(file_name(SEGMENTER, 0));
    folder.join(MANIFEST).is_file() && segmenter.is_file()
}

/// Reads the model of such a folder.
///
/// # Errors
/// [`ModelError::Import`], [`ModelError::Manifest`], [`ModelError::OutOfRange`], [`ModelError::Cancelled`].
pub(super) fn read(
    request: &Request,
    name: &str,
    cancel: &AtomicBool,
) -> Result<Model, ModelError> {
    check_options(request)?;
    let folder = &request.source;
    let segmenters = numbered(folder, SEGMENTER)?;
    let manifest = bundle::manifest(&folder.join(MANIFEST), name, segmenters.len())?;
    let classifiers = numbered(folder, CLASSIFIER)?;
    check_classifiers(&manifest, classifiers.len())?;
    let mut files = Files {
        opened: Vec::new(),
        cancel,
    };
    let mut folds = Vec::new();
    for path in &segmenters {
        let file = files.open(path)?;
        folds.push(tensors::read(&file, &manifest.network, USUAL_EPSILON)?);
    }
    Ok(Model {
        folds,
        classifier: match &manifest.classifier {
            Some(spec) => classifier(&mut files, folder, &classifiers, spec)?,
            None => Vec::new(),
        },
        manifest,
        origin: Origin {
            what: "a folder of its training scripts".into(),
            sources: files.opened,
        },
    })
}

/// Opens files of weights and remembers them for the card.
struct Files<'a> {
    opened: Vec<Source>,
    cancel: &'a AtomicBool,
}

impl Files<'_> {
    fn open(&mut self, path: &Path) -> Result<StateDict, ModelError> {
        check_cancel(self.cancel)?;
        self.opened.push(Source {
            name: json::name(path),
            sha256: text::sha256(path)?,
            trainer: None,
            epochs: None,
        });
        Ok(StateDict::open(path)?)
    }
}

/// The tensors of the ensemble, and of what is known of its features.
fn classifier(
    files: &mut Files<'_>,
    folder: &Path,
    networks: &[PathBuf],
    spec: &ClassifierSpec,
) -> Result<Vec<Named>, ModelError> {
    let mut all = Vec::new();
    for (fold, path) in networks.iter().enumerate() {
        let found = tensors::classifier(&files.open(path)?, spec, INPUT_CHANNELS, USUAL_EPSILON)?;
        all.extend(found.into_iter().map(|tensor| Named {
            name: format!("{FOLDS}.{fold}.{}", tensor.name),
            ..tensor
        }));
    }
    all.extend(novelty(&files.open(&folder.join(NOVELTY))?, spec)?);
    Ok(all)
}

/// What an option could say stands in `model.toml` here.
fn check_options(request: &Request) -> Result<(), Error> {
    let alone = Request {
        source: request.source.clone(),
        ..Request::default()
    };
    if *request == alone {
        return Ok(());
    }
    let message =
        "says all of such a folder: leave out every option but --out, --overwrite and --json";
    Err(invalid(MANIFEST, "", message.into()))
}

fn check_classifiers(manifest: &Manifest, found: usize) -> Result<(), Error> {
    let wanted = manifest.classifier.as_ref().map_or(0, |spec| spec.folds);
    if found == wanted {
        return Ok(());
    }
    let message = format!("asks for {wanted} file(s) {CLASSIFIER}_K.pth; there are {found}");
    Err(invalid(MANIFEST, "classifier.folds ", message))
}

fn novelty(file: &StateDict, spec: &ClassifierSpec) -> Result<Vec<Named>, Error> {
    let own = [
        ("mean", CANDIDATES, "mean"),
        ("whitening", CANDIDATES, "whitening"),
        ("input_mean", INPUT, "mean"),
        ("input_whitening", INPUT, "whitening"),
    ];
    let is_own = |name: &&str| own.iter().any(|(theirs, ..)| theirs == name);
    if let Some(name) = file.names().find(|name| !is_own(name)) {
        return Err(Error::SurplusTensor {
            path: file.path().into(),
            name: name.to_owned(),
        });
    }
    let read = |(theirs, of, part): (&str, &str, &str)| {
        let axes = if part == "mean" { 1 } else { 2 };
        let shape = vec![spec.features(); axes];
        Ok(Named {
            values: file.read(theirs, &shape)?,
            name: format!("{of}.{part}"),
            shape,
        })
    };
    own.into_iter().map(read).collect()
}

/// The files `KIND_0.pth`, `KIND_1.pth` …, without a gap.
fn numbered(folder: &Path, kind: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::Read {
        path: folder.into(),
        source,
    })?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| {
        let number = name.strip_prefix(kind)?.strip_prefix('_')?;
        number.strip_suffix(".pth")?.parse().ok()
    });
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    for (wanted, number) in numbers.iter().enumerate() {
        if *number != wanted {
            let missing = file_name(kind, wanted);
            let message = format!("is there, {missing} is not: number them from 0, without a gap");
            return Err(invalid(&file_name(kind, *number), "", message));
        }
    }
    let paths = numbers
        .iter()
        .map(|number| folder.join(file_name(kind, *number)));
    Ok(paths.collect())
}

fn file_name(kind: &str, number: usize) -> String {
    format!("{kind}_{number}.pth")
}

fn invalid(file: &str, key: &str, message: String) -> Error {
    Error::Invalid {
        file: file.into(),
        key: key.into(),
        message,
    }
}
