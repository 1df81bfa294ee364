//! What is done with hostile bytes: one function a target, shared by the mutation tests and by `fuzz/`.
//!
//! A body may refuse what it gets, by code; it must not panic, hang or allocate beyond its input's honest size.

use super::slices;
use hilum::config::Config;
use hilum::deidentify;
use hilum::dicom::{self, Inventory, KernelPreference, Series, Study, select};
use hilum::engine::cpu::InstructionSet;
use hilum::gpu::Compute;
use hilum::model::{Manifest, ModelSource, Segmenter};
use hilum::phantom::{Params, Phantom};
use hilum::preprocess::{self, Interpolation, Plan};
use hilum::report::{Existing, existing_run};
use hilum::volume::{PADDING_HU, StoredVolume};
use hilum::volume_file::{self, VolumeFile};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What came of an input.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The codes in order: inputs with new ones are kept as seeds.
    pub(crate) codes: String,
    /// Bytes that the input may honestly ask for: its own, a dozen for each of several texts in a value (a quarter of
    /// what two strings take), 512 for each item of a sequence (a quarter of what a slice takes, which a frame becomes),
    /// and two for each voxel of what it was accepted as.
    pub(crate) honest_bytes: u64,
}

impl Verdict {
    pub(crate) fn of(data: &[u8]) -> Self {
        let texts = data.iter().filter(|b| **b == b'\\').count();
        let item = |bytes: &&[u8]| {
            [*b"\xfe\xff\0\xe0", *b"\xff\xfe\xe0\0"]
                .contains(&[bytes[0], bytes[1], bytes[2], bytes[3]])
        };
        let items = data.windows(4).filter(item).count();
        let honest_bytes = (data.len() + 12 * texts + 512 * items) as u64;
        Self {
            codes: String::new(),
            honest_bytes,
        }
    }

    pub(crate) fn note(&mut self, code: &str) {
        self.codes.push_str(code);
        self.codes.push(' ');
    }

    /// The code and the first word of the message, which names the attribute where there is one.
    fn refused(&mut self, error: &dicom::Error) {
        self.note(error.code());
        let message = error.to_string();
        self.note(message.split(' ').next().unwrap_or_default());
    }

    pub(crate) fn result<T, E>(
        &mut self,
        result: Result<T, E>,
        code: impl Fn(&E) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(&code(&error));
                None
            }
        }
    }

    pub(crate) fn voxels(&mut self, size: [usize; 3]) {
        let voxels: u64 = size.iter().map(|n| *n as u64).product();
        self.honest_bytes = self.honest_bytes.max(2 * voxels);
    }
}

/// All that a peer says to the node, from its association request on.
pub(crate) fn association(_: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let rehearsed = hilum::node::scp::rehearse(data);
    let messages = verdict.result(rehearsed, |error| error.code().to_owned());
    verdict.note(&format!("{messages:?}"));
    verdict
}

/// Larger volumes are refused by the bodies' limit.
const MAX_VOXELS: u64 = 1 << 20;

/// Longest series and models of several files: more parts are ignored.
const MAX_PARTS: usize = 8;

/// Packs files into one input: each with its length before it, little endian.
pub(crate) fn join(parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let length = u32::try_from(part.as_ref().len()).unwrap_or(u32::MAX);
        joined.extend(length.to_le_bytes());
        joined.extend(part.as_ref());
    }
    joined
}

/// The files of an input that [`join`] packed; a wrong length takes what there is.
pub(crate) fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while parts.len() < MAX_PARTS
        && let Some((length, rest)) = data.split_first_chunk::<4>()
    {
        let length = rest.len().min(u32::from_le_bytes(*length) as usize);
        let (part, rest) = rest.split_at(length);
        parts.push(part);
        data = rest;
    }
    parts
}

pub(crate) fn written(scratch: &Path, name: &str, data: &[u8]) -> PathBuf {
    let path = scratch.join(name);
    fs::write(&path, data).expect("the scratch folder is writable");
    path
}

fn request() -> dicom::Request {
    dicom::Request {
        modality: "CT".into(),
        body_parts: vec!["CHEST".into()],
        kernel: KernelPreference::Soft,
        min_coverage_mm: 2.0,
        max_slice_spacing_mm: 10.0,
    }
}

fn read(verdict: &mut Verdict, paths: &[PathBuf]) -> Inventory {
    let inventory = dicom::read_paths(paths, &|_| ());
    for unreadable in &inventory.unreadable {
        verdict.refused(&unreadable.error);
    }
    for study in &inventory.studies {
        for left_out in &study.left_out {
            verdict.refused(&left_out.error);
        }
        verdict.result(study.header().map(drop), |e| format!("header:{}", e.code()));
        for series in &study.series {
            verdict.note("series");
            series.warnings.iter().for_each(|w| verdict.note(w.code()));
        }
    }
    inventory
}

/// One file: header, identity and refusals.
pub(crate) fn dicom_file(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    read(&mut verdict, &[written(scratch, "file.dcm", data)]);
    verdict
}

pub(crate) fn read_parts(scratch: &Path, data: &[u8], verdict: &mut Verdict) -> Inventory {
    let parts = split(data);
    let paths: Vec<PathBuf> = (0..)
        .zip(parts)
        .map(|(i, part): (usize, _)| written(scratch, &format!("{i}.dcm"), part))
        .collect();
    read(verdict, &paths)
}

/// Files of a study: grouping, ordering and selection.
pub(crate) fn series_grouping(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    for study in read_parts(scratch, data, &mut verdict).studies {
        for other in select(&study, &request(), true).passed_over {
            verdict.note(other.code);
        }
        study.series.iter().for_each(check_order);
    }
    verdict
}

/// Files of a study: every series is decoded.
pub(crate) fn pixel_decode(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    for study in read_parts(scratch, data, &mut verdict).studies {
        for series in &study.series {
            let loaded = dicom::load(series, MAX_VOXELS, None);
            if let Some(volume) = verdict.result(loaded, |e| e.code().into()) {
                verdict.voxels(volume.geometry.size);
                assert_eq!(volume.samples.len(), volume.geometry.voxel_count());
            } else if series.geometry.voxel_count() as u64 <= MAX_VOXELS {
                verdict.voxels(series.geometry.size);
            }
        }
    }
    verdict
}

/// A NIfTI or MetaImage file and, where it has one, its data file: read within the limit.
pub(crate) fn volume_file(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let parts = split(data);
    let Some(header) = parts.first() else {
        return verdict;
    };
    let path = written(scratch, volume_name(header), header);
    written(
        scratch,
        VOLUME_DATA,
        parts.get(1).copied().unwrap_or_default(),
    );
    let code = |e: &volume_file::Error| match e {
        volume_file::Error::Field { field, .. } | volume_file::Error::Unsupported { field, .. } => {
            format!("{} {field}", e.code())
        }
        other => other.code().into(),
    };
    let Some(file) = verdict.result(VolumeFile::open(&path), code) else {
        return verdict;
    };
    if file.geometry.voxel_count() as u64 <= MAX_VOXELS {
        verdict.voxels(file.geometry.size);
    }
    if let Some(volume) = verdict.result(file.load(MAX_VOXELS, None), code) {
        verdict.note("volume");
        assert_eq!(volume.samples.len(), file.geometry.voxel_count());
        assert!(file.geometry.index_to_lps.is_finite());
        assert!(file.geometry.voxel_volume_mm3() > 0.0);
    }
    verdict
}

/// The data file that the headers of the seeds name.
pub(crate) const VOLUME_DATA: &str = "volume.raw";

/// By its first bytes, so that damage does not turn one format into the other.
fn volume_name(header: &[u8]) -> &'static str {
    match header {
        [0x1f, 0x8b, ..] => "volume.nii.gz",
        [b'A'..=b'Z', ..] => "volume.mha",
        _ => "volume.nii",
    }
}

/// Files of a study, de-identified: what is written can be read again.
pub(crate) fn deidentify(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let (source, out) = (scratch.join("in"), scratch.join("out"));
    for folder in [&source, &out] {
        let _absent = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).expect("the scratch folder is writable");
    }
    for (i, part) in split(data).into_iter().enumerate() {
        written(&source, &format!("{i}.dcm"), part);
    }
    let options = deidentify::Options {
        shift_dates: data.len().is_multiple_of(2),
        retain_patient_characteristics: data.len().is_multiple_of(3),
        include_burned_in: data.len().is_multiple_of(5),
    };
    let summary = deidentify::run(&[source], &out, options, &|_| ());
    if let Some(summary) = verdict.result(summary, |e| e.code().into()) {
        summary.left_out.keys().for_each(|code| verdict.note(code));
        let found = fs::read_dir(&out).expect("the scratch folder is readable");
        assert_eq!(found.count(), summary.studies.len());
        if summary.objects > 0 {
            verdict.note("written");
        }
    }
    verdict
}

/// Slices built from the bytes: order, grid and, for small volumes, preprocessing.
pub(crate) fn geometry(_scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let mut instances = Vec::new();
    for slice in slices::from_bytes(data) {
        instances.extend(verdict.result(slice, |e| e.code().into()));
    }
    // What the headers themselves take, as objects in memory.
    verdict.honest_bytes += 4096 * instances.len() as u64;
    let Some(series) = verdict.result(Series::from_instances(instances), |e| e.code().into())
    else {
        return verdict;
    };
    check_order(&series);
    let study = Study {
        study_instance_uid: "1.2.3".into(),
        series: vec![series],
        left_out: Vec::new(),
    };
    for other in select(&study, &request(), true).passed_over {
        verdict.note(other.code);
    }
    if data.last().is_some_and(|b| b.is_multiple_of(32)) {
        preprocess(&study.series[0], &mut verdict);
    }
    verdict
}

/// Every voxel of a series lies where its slice says.
fn check_order(series: &Series) {
    const TOLERANCE_MM: f64 = 0.06;
    assert!(series.geometry.index_to_lps.is_finite());
    assert!(series.geometry.voxel_volume_mm3() > 0.0);
    for (z, slice) in series.instances.iter().enumerate() {
        let place = series
            .geometry
            .to_lps_mm(glam::DVec3::Z * series.slices.position(z));
        assert!(place.distance(slice.position_lps_mm) < TOLERANCE_MM);
    }
}

fn preprocess(series: &Series, verdict: &mut Verdict) {
    const MAX_GRID_VOXELS: u64 = 1 << 16;
    let grid = series.geometry.covering([2.0; 3]);
    let voxels = |size: [usize; 3]| size.iter().map(|n| *n as u64).product::<u64>();
    if voxels(series.geometry.size).max(voxels(grid.size)) > MAX_GRID_VOXELS {
        return;
    }
    let samples =
        (0..series.geometry.voxel_count()).map(|i| u16::try_from(i * 97 % 4096).unwrap_or(0));
    let stored = StoredVolume {
        geometry: series.geometry,
        slices: series.slices.clone(),
        samples: samples.collect(),
        signed: series.instances[0].signed,
        rescale: series.instances.iter().map(|i| i.rescale).collect(),
        padding: series.instances[0].padding,
        padding_value: PADDING_HU,
    };
    let plan = Plan {
        grid,
        interpolation: Interpolation::Cubic,
    };
    // Some arrays of four bytes stand beside each other: HU on two grids, labels and distances.
    verdict.voxels(series.geometry.size.map(|n| 2 * n));
    verdict.voxels(grid.size.map(|n| 2 * n));
    let prepared = preprocess::run(&Compute::Cpu, &stored, &plan);
    if let Some(prepared) = verdict.result(prepared, |e| e.code().into()) {
        verdict.note(if prepared.lungs.found {
            "lungs"
        } else {
            "no-lungs"
        });
    }
}

/// A configuration file.
pub(crate) fn config(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let path = written(scratch, "config.toml", data);
    let message = |e: &hilum::config::Error| match e {
        hilum::config::Error::OutOfRange { key, .. } => (*key).into(),
        other => kind(&other.to_string()),
    };
    verdict.result(Config::load(&path), message);
    verdict
}

/// A `model.toml`; larger ones are not read from a folder.
pub(crate) fn manifest(_scratch: &Path, data: &[u8]) -> Verdict {
    const MAX_BYTES: usize = 64 << 10;
    let mut verdict = Verdict::of(data);
    if data.len() > MAX_BYTES {
        return verdict;
    }
    let parsed = Manifest::parse(&String::from_utf8_lossy(data));
    verdict.result(parsed, model_code);
    verdict
}

/// The three files of a model, with the hash made right.
pub(crate) fn model(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    if let [manifest, weights, golden, ..] = split(data)[..] {
        let manifest = with_hash(&String::from_utf8_lossy(manifest), weights);
        written(scratch, "model.toml", manifest.as_bytes());
        written(scratch, "weights.safetensors", weights);
        written(scratch, "golden.safetensors", golden);
        let source = ModelSource::Folder(scratch.to_owned());
        let loaded = Segmenter::load(&source, &Compute::Cpu, InstructionSet::detect());
        if verdict.result(loaded, model_code).is_some() {
            verdict.note("loaded");
        }
    }
    verdict
}

fn with_hash(manifest: &str, weights: &[u8]) -> String {
    const KEY: &str = "sha256 = \"";
    const HEX_DIGITS: usize = 64;
    let Some(start) = manifest.find(KEY).map(|at| at + KEY.len()) else {
        return manifest.into();
    };
    let Some(rest) = manifest.get(start + HEX_DIGITS..) else {
        return manifest.into();
    };
    let digest: String = Sha256::digest(weights)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}{digest}{rest}", &manifest[..start])
}

pub(crate) fn model_code(error: &hilum::model::Error) -> String {
    match error {
        hilum::model::Error::OutOfRange { key, .. } => (*key).into(),
        other => format!("{} {}", other.code(), kind(&other.to_string())),
    }
}

/// An error's words without what varies: the first letters of each line's last words.
fn kind(message: &str) -> String {
    let last = message.trim_end().lines().last().unwrap_or_default();
    last.chars()
        .filter(|c| c.is_ascii_lowercase())
        .take(24)
        .collect()
}

/// The `findings.json` of an earlier run.
pub(crate) fn findings(scratch: &Path, data: &[u8]) -> Verdict {
    const STUDY: &str = "1.2.3";
    let mut verdict = Verdict::of(data);
    let folder = scratch.join(STUDY);
    fs::create_dir_all(&folder).expect("the scratch folder is writable");
    written(&folder, "findings.json", data);
    let existing = existing_run(scratch, STUDY);
    match verdict.result(existing, |e| e.code().into()) {
        Some(Existing::Run(_)) => verdict.note("run"),
        Some(Existing::Foreign) => verdict.note("foreign"),
        _ => {}
    }
    verdict
}

/// The parameters of a phantom; small ones are made.
pub(crate) fn phantom(_scratch: &Path, data: &[u8]) -> Verdict {
    const MADE_VOXELS: usize = 1 << 12;
    let mut verdict = Verdict::of(data);
    let parsed = serde_json::from_slice::<Params>(data);
    let Some(params) = verdict.result(parsed, |e| kind(&e.to_string())) else {
        return verdict;
    };
    if verdict
        .result(params.validate(), |e| kind(&e.to_string()))
        .is_some()
        && params.size.iter().product::<usize>() <= MADE_VOXELS
    {
        verdict.voxels(params.size);
        let made = Phantom::new(&params);
        if verdict.result(made, |e| e.code().into()).is_some() {
            verdict.note("made");
        }
    }
    verdict
}
