//! The seeds: small files of the project, and real ones beside it where there are any.

use super::bodies::join;
use super::imports::plans;
use super::mutate::Kind;
use super::{associations, frames, pet_seeds, volumes};
use std::fs;
use std::path::{Path, PathBuf};

/// Seeds of this size and above are taken seldom: they cost a hundred times the others.
pub(crate) const LARGE_BYTES: usize = 1 << 16;

/// Real files above are no seeds.
const MAX_SEED_BYTES: u64 = 600 << 10;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_file())
        .filter(|e| e.metadata().is_ok_and(|m| m.len() <= MAX_SEED_BYTES))
        .map(walkdir::DirEntry::into_path)
        .collect();
    files.sort();
    files
}

fn small() -> Vec<PathBuf> {
    let dicom = |p: &PathBuf| p.extension().is_some_and(|e| e == "dcm");
    files(&root().join("testdata/fuzz"))
        .into_iter()
        .filter(dicom)
        .collect()
}

/// Two neighbouring files of every folder of real data; the tests go on without them.
fn real_pairs() -> Vec<[Vec<u8>; 2]> {
    let shared = root().join("../shared/data");
    if !shared.is_dir() {
        println!("NO REAL DATA at {}: small seeds alone", shared.display());
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for folder in ["codecs", "ct", "odd", "pet", "sr", "suv/DRO_0_0"] {
        let files = files(&shared.join(folder));
        let mut last: Option<&Path> = None;
        for pair in files.windows(2) {
            let parent = pair[0].parent();
            let dicom = |p: &Path| read(p).get(128..132) == Some(b"DICM");
            // Of a series two files will do; in `codecs` every file is a case of its own.
            if (parent != last || folder == "codecs") && dicom(&pair[0]) && dicom(&pair[1]) {
                pairs.push([read(&pair[0]), read(&pair[1])]);
                last = parent;
            }
        }
    }
    pairs
}

/// The seeds of a target by its name.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "dicom-file" => {
            let real = real_pairs().into_iter().map(|[first, _]| first);
            let small = small().into_iter().map(|p| read(&p));
            small.chain([frames::seed()]).chain(real).collect()
        }
        "series-grouping" | "pixel-decode" => {
            let small: Vec<Vec<u8>> = small().iter().map(|p| read(p)).collect();
            let pairs = small.chunks_exact(2).map(join);
            let real = real_pairs();
            let real = real.iter().map(|pair| join(pair.as_slice()));
            let phantom = files(&root().join("testdata/phantom-chest/series"));
            let slices: Vec<Vec<u8>> = phantom.iter().take(4).map(|p| read(p)).collect();
            let made = [join(&slices), join(&[frames::seed()])];
            pairs.chain(made).chain(real).collect()
        }
        "volume-file" => volumes::seeds(),
        "association" => associations::seeds(),
        "suv" => pet_seeds::seeds(),
        "deidentify" => small()
            .chunks_exact(2)
            .map(|pair| join(&[read(&pair[0]), read(&pair[1])]))
            .collect(),
        "geometry" => vec![vec![0; 64], (0..=255).collect(), vec![200; 64]],
        "config" => vec![read(&root().join("config.example.toml"))],
        "manifest" => manifests(),
        "model" => models(),
        "checkpoint" => checkpoints(),
        "nnunet-folder" => nnunet_folders(),
        "findings" => vec![FINDINGS.into()],
        "truth" => truths(),
        "phantom" => vec![PHANTOM.into(), LESIONS.into()],
        other => panic!("no seeds for {other}"),
    }
}

/// How the seeds of a target are damaged.
pub(crate) fn kind(target: &str) -> Kind {
    match target {
        "dicom-file" => Kind::Dicom,
        "series-grouping" | "pixel-decode" | "suv" | "deidentify" => Kind::DicomParts,
        "volume-file" => Kind::Volume,
        "association" | "geometry" => Kind::Bytes,
        "model" => Kind::Model,
        "checkpoint" => Kind::Checkpoint,
        "nnunet-folder" | "truth" => Kind::TextParts,
        _ => Kind::Text,
    }
}

/// A truth with its label map, annotations of LUNA16 and the results of both.
fn truths() -> Vec<Vec<u8>> {
    const SERIES: &str = "1.2.826.0.1.3680043.8.498.7.1";
    let file = |name: &str| read(&root().join("testdata/evaluate").join(name));
    let annotations = format!("seriesuid,coordX,coordY,coordZ,diameter_mm\n{SERIES},1,30,-10,8\n");
    vec![join(&[
        file("truth/a.truth.json"),
        file("truth/a.truth.nii.gz"),
        annotations.into_bytes(),
        file(&format!("results/{SERIES}/findings.json")),
    ])]
}

/// What `torch.save` wrote: a small one first, whose network, as the second's, is that of the plans that the body has.
fn checkpoints() -> Vec<Vec<u8>> {
    let testdata = root().join("testdata");
    let small = testdata.join("fuzz/checkpoint.pth");
    let nnunet = ["reoriented/fold_0", "residual/fold_0", "batch/fold_all"];
    let saved = nnunet.map(|fold| {
        testdata
            .join("nnunet")
            .join(fold)
            .join("checkpoint_final.pth")
    });
    std::iter::once(small)
        .chain(saved)
        .map(|path| read(&path))
        .collect()
}

/// Plans and labels of nnU-Net, of which the first fit the checkpoint that the body has.
fn nnunet_folders() -> Vec<Vec<u8>> {
    let folder = |case: &str| root().join("testdata/nnunet").join(case);
    let of = |(case, plans): (&str, &str)| {
        let [plans, dataset] = [plans, "dataset.json"].map(|name| read(&folder(case).join(name)));
        join(&[plans, dataset])
    };
    let fitting = [
        plans().into(),
        read(&folder("reoriented").join("dataset.json")),
    ];
    let others = [
        ("plain", "plans-2.4.json"),
        ("two-channel", "plans.json"),
        ("residual", "plans.json"),
    ];
    std::iter::once(join(&fitting))
        .chain(others.map(of))
        .collect()
}

fn manifests() -> Vec<Vec<u8>> {
    let models = files(&root().join("models"));
    let manifest = |p: &&PathBuf| p.file_name().is_some_and(|n| n == "model.toml");
    models.iter().filter(manifest).map(|p| read(p)).collect()
}

/// A small network of `testdata/unet` with its manifest.
fn models() -> Vec<Vec<u8>> {
    let unet = root().join("testdata/unet");
    let parts = [
        "deep.toml",
        "deep.weights.safetensors",
        "deep.golden.safetensors",
    ];
    vec![join(&parts.map(|part| read(&unet.join(part))))]
}

const FINDINGS: &str = r#"{
  "schema_version": 1,
  "study_instance_uid": "1.2.3",
  "series": [{ "series_instance_uid": "1.2.3.4", "modality": "CT", "model": "m", "status": "done", "reason": null }],
  "lesions": [{ "id": 1, "confidence": 0.5, "centroid_lps_mm": [1.0, -2.5, 3.0], "site": { "code": "39607008" } }],
  "warnings": [],
  "timings_ms": { "read": 1.5 },
  "provenance": { "version": "0.1.0", "models": [], "run_id": "0123456789abcdef" }
}"#;

const PHANTOM: &str = r#"{
  "seed": 3, "size": [6, 24, 24], "spacing_mm": [5.0, 9.0, 9.0], "centre_lps_mm": [0.0, 8.0, -28.0],
  "chest_scale": 1.0, "dose": "low", "kernel": "lung", "detail": "plain", "lesions": 2,
  "orientation": "LPS", "tilt_deg": 5.0, "circular_fov": true, "signed": true
}"#;

const LESIONS: &str = r#"{
  "size": [4, 24, 24], "spacing_mm": [6.0, 9.0, 9.0], "detail": "plain",
  "lesions": [{ "diameter_mm": 22.0, "shape": "lobulated", "density": "part-solid", "place": "juxtapleural" },
              { "diameter_mm": 9.0, "centre_lps_mm": [70.0, 10.0, -30.0] }]
}"#;
