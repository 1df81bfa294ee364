//! Imported networks from the source's voxels to labels, against what `nnunetv2` itself gave;
//! `models/training/nnunet/parity.py` made the values.

use super::{export, numbered, plan};
use crate::dicom;
use crate::engine::cpu::InstructionSet;
use crate::gpu::{Compute, for_tests};
use crate::model::import::{Checkpoint, Request, import};
use crate::model::{Activation, Channels, ModelSource, Segmenter};
use crate::preprocess::{nnunet, on_grid_of};
use crate::volume::Geometry;
use glam::DVec3;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Of normalised values; nnU-Net stores them as `f32`.
const RESAMPLING: f32 = 1e-3;
/// Of the largest logit: nnU-Net sums logits in half precision.
const STITCHING: f32 = 1e-2;
/// Share of voxels that may be further off: where nothing but corners of patches lies, half precision leaves whole numbers.
const CORNERS: f64 = 0.005;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A case of `testdata/nnunet`, imported.
struct Case {
    bytes: Vec<u8>,
    about: Value,
    segmenter: Segmenter,
    compute: Compute,
    /// nnU-Net's label of each output channel.
    values: Vec<u8>,
}

impl Case {
    fn import(name: &str, labels: &[&str], compute: &Compute) -> Self {
        let folder = root().join("testdata/nnunet").join(name);
        let dir = tempfile::tempdir().expect("a folder");
        let terms = dir.path().join("labels.toml");
        let text: String = labels.iter().map(|name| format!(
            "[[labels]]\nname = \"{name}\"\nkind = \"lung-nodule\"\n\
             category = {{ value = \"49755003\", scheme = \"SCT\", meaning = \"Morphologically Abnormal Structure\" }}\n\
             type = {{ value = \"27925004\", scheme = \"SCT\", meaning = \"Nodule\" }}\n"
        )).collect();
        std::fs::write(&terms, text).expect("written");
        let configuration = if name == "batch" {
            "3d_lowres"
        } else {
            "3d_fullres"
        };
        let request = Request {
            source: folder.clone(),
            configuration: Some(configuration.into()),
            folds: if folder.join("fold_all").exists() {
                vec!["all".into()]
            } else {
                Vec::new()
            },
            checkpoint: Checkpoint::Final,
            orientation: None,
            pet_in_bqml: true,
            modalities: vec!["CT".into(), "PT".into()],
            labels: Some(terms),
            manifest: None,
            licence: None,
            attribution: None,
        };
        let out = dir.path().join("imported");
        let manifest = import(&request, &out, false, &AtomicBool::new(false)).expect("imported");
        let source = ModelSource::Folder(out);
        let segmenter = Segmenter::load(&source, compute, InstructionSet::detect());
        let bytes = std::fs::read(folder.join("golden.safetensors")).expect("testdata");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let about = serde_json::from_str(&header.metadata().as_ref().expect("metadata")["hilum"]);
        let regions = json(&folder.join("dataset.json"))["regions_class_order"].clone();
        let classes = 0..u8::try_from(manifest.network.classes).expect("few");
        let values = match manifest.output.activation {
            Activation::Softmax => classes.collect(),
            Activation::Sigmoid => serde_json::from_value(regions).expect("an order"),
        };
        Self {
            about: about.expect("JSON"),
            segmenter: segmenter.expect("loads"),
            compute: compute.clone(),
            bytes,
            values,
        }
    }

    fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("tensors");
        let view = file.tensor(name).expect(name);
        (
            view.shape().to_vec(),
            bytemuck::pod_collect_to_vec(view.data()),
        )
    }

    fn labels(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).expect("tensors");
        file.tensor(name).expect(name).data().to_vec()
    }

    /// Where the stored logits of the crop lie.
    fn voxels(&self) -> Vec<[usize; 3]> {
        let file = SafeTensors::deserialize(&self.bytes).expect("tensors");
        let indices: Vec<i32> =
            bytemuck::pod_collect_to_vec(file.tensor("crop.voxels").expect("crop.voxels").data());
        let index = |i: i32| usize::try_from(i).expect("an index");
        indices
            .chunks_exact(3)
            .map(|v| [index(v[0]), index(v[1]), index(v[2])])
            .collect()
    }

    fn spacing_mm(&self) -> [f64; 3] {
        serde_json::from_value(self.about["spacing_mm"].clone()).expect("three")
    }

    /// The phantom through every stage: largest errors of the data and of the logits, and labels that differ although
    /// nnU-Net was sure.
    fn run(&self, mirrored: bool) -> Found {
        let (shape, values) = self.tensor("source");
        let [_, z, y, x] = shape.try_into().expect("channels of a volume");
        let channels = values.chunks(z * y * x).map(<[f32]>::to_vec).collect();
        let prefix = if mirrored { "mirrored." } else { "" };
        let source = Geometry::axis_aligned([z, y, x], self.spacing_mm(), DVec3::ZERO);
        let (data, logits, labels) = self.stages(channels, &source, mirrored);
        let probabilities = self.probabilities(&source);
        let wanted = self.labels(&format!("{prefix}labels"));
        let voxels = wanted.len();
        let expected = self.tensor(&format!("{prefix}logits")).1;
        let largest = expected
            .iter()
            .fold(0.0, |max: f32, logit| max.max(logit.abs()));
        let off = logits
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs() / largest);
        let worst = off.clone().fold(STITCHING, f32::max);
        let is_sure = |voxel: &usize| {
            let of_voxel =
                (0..self.values.len()).map(|class| probabilities[class * voxels + voxel]);
            self.margin(of_voxel.collect()) > 2.0 * worst * largest
        };
        let differing = (0..voxels).filter(|voxel| labels[*voxel] != wanted[*voxel]);
        let differing: Vec<usize> = differing.collect();
        Found {
            data: difference(&data, &self.tensor("data").1),
            largest: worst,
            corners: off.filter(|off| *off > STITCHING).count() as f64 / expected.len() as f64,
            differing: differing.len() as f64 / voxels as f64,
            sure: differing.iter().filter(|voxel| is_sure(voxel)).count(),
        }
    }

    /// Those of nnU-Net, which stores them as its reader turned the source, as the source lies.
    fn probabilities(&self, source: &Geometry) -> Vec<f32> {
        let orientation = plan(&self.segmenter.manifest().input, source).orientation;
        let turned = orientation.permute(source.size);
        let (_, probabilities) = self.tensor("probabilities");
        let classes = probabilities.chunks_exact(source.size.iter().product());
        classes
            .flat_map(|class| orientation.backward(class.to_vec(), turned))
            .collect()
    }

    /// By how much logits would have to change to give a voxel another label.
    fn margin(&self, mut probabilities: Vec<f32>) -> f32 {
        match self.segmenter.manifest().output.activation {
            Activation::Softmax => {
                probabilities.sort_by(f32::total_cmp);
                let [.., second, first] = probabilities[..] else {
                    unreachable!("two classes")
                };
                (first / second).ln()
            }
            Activation::Sigmoid => {
                let margins = probabilities.iter().map(|p| (p / (1.0 - p)).ln().abs());
                margins.fold(f32::INFINITY, f32::min)
            }
        }
    }

    fn check(&self, name: &str, mirrored: bool) {
        let found = self.run(mirrored);
        println!("{name}: {found:?}");
        assert!(found.data < RESAMPLING, "{name}: {found:?}");
        assert!(
            found.corners <= CORNERS && found.largest < 0.05,
            "{name}: {found:?}"
        );
        assert!(found.differing < 0.01, "{name}: {found:?}");
        // The mirrored run has no probabilities of its own.
        assert!(mirrored || found.sure == 0, "{name}: {found:?}");
    }

    /// Data and logits on the network's grid, and nnU-Net's labels on the source's.
    fn stages(
        &self,
        channels: Vec<Vec<f32>>,
        source: &Geometry,
        mirrored: bool,
    ) -> (Vec<f32>, Vec<f32>, Vec<u8>) {
        let manifest = self.segmenter.manifest();
        let plan = plan(&manifest.input, source);
        let prepared =
            nnunet::prepare(&self.compute, channels, source.size, &plan).expect("prepared");
        let input = Channels {
            values: &prepared.values,
            size: prepared.size(),
        };
        let cancel = AtomicBool::new(false);
        let logits = self
            .segmenter
            .logits_of(input, mirrored, &|_, _| {}, &cancel)
            .expect("runs");
        let exported = export(&self.compute, manifest, &prepared, &logits).expect("exports");
        let mut values = vec![0; manifest.labels.len() + 1];
        for (number, label) in numbered(manifest) {
            values[usize::from(number)] = self.values[label.channel];
        }
        let labels = exported
            .labels
            .iter()
            .map(|number| values[usize::from(*number)]);
        (prepared.values, logits.values, labels.collect())
    }
}

#[derive(Debug)]
struct Found {
    /// Largest error of the normalised voxels on the network's grid.
    data: f32,
    /// Largest error of a logit there, of the largest logit; at least [`STITCHING`].
    largest: f32,
    /// Share of logits that are further off than [`STITCHING`].
    corners: f64,
    /// Share of voxels with another label.
    differing: f64,
    /// Voxels with another label where nnU-Net's margin exceeds what the logits of two classes are off.
    sure: usize,
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("testdata");
    serde_json::from_str(&text).expect("JSON")
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    crate::model::largest_difference(found, expected)
}

const CASES: [&str; 6] = [
    "plain",
    "anisotropic",
    "two-channel",
    "residual",
    "batch",
    "reoriented",
];

/// Names of a case's labels.
fn names(case: &str) -> Vec<String> {
    let dataset = json(
        &root()
            .join("testdata/nnunet")
            .join(case)
            .join("dataset.json"),
    );
    let labels = dataset["labels"].as_object().expect("labels");
    labels
        .keys()
        .filter(|name| *name != "background")
        .cloned()
        .collect()
}

fn every_case(compute: &Compute, check: impl Fn(&str, &Case)) {
    for name in CASES {
        let labels = names(name);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        check(name, &Case::import(name, &labels, compute));
    }
}

#[test]
fn a_phantom_gets_nnunets_labels_on_the_cpu() {
    every_case(&Compute::Cpu, |name, case| case.check(name, false));
}

#[test]
fn a_phantom_gets_nnunets_labels_with_mirrored_patches() {
    let names = names("anisotropic");
    let labels: Vec<&str> = names.iter().map(String::as_str).collect();
    Case::import("anisotropic", &labels, &Compute::Cpu).check("mirrored", true);
}

#[test]
fn a_phantom_gets_nnunets_labels_on_the_gpu() {
    let Some(gpu) = for_tests() else { return };
    // Several slabs of a few planes.
    let gpu = gpu
        .with_poisoned_outputs()
        .with_binding_limit_bytes(256 << 10);
    every_case(&Compute::Gpu(gpu), |name, case| case.check(name, false));
}

/// Voxels of the committed label maps of a crop that may differ: half precision rounds there.
const DIFFERING_IN_CROP: f64 = 0.01;

#[test]
fn a_crop_of_a_real_ct_gets_nnunets_logits_and_labels() {
    let folder = root().join("../shared/data/ct/LIDC-IDRI-0001");
    if !folder.exists() {
        return println!("SKIPPED: {} is missing", folder.display());
    }
    let study = dicom::read_paths(&[folder], &|_| {}).studies.remove(0);
    let stored = dicom::load(&study.series[0], u64::MAX, None).expect("reads");
    let hu = on_grid_of(&Compute::Cpu, &stored.geometry, &stored).expect("HU");
    every_case(&Compute::Cpu, |name, case| {
        let crop = &case.about["crop"];
        let ranges: [[usize; 2]; 3] =
            serde_json::from_value(crop["voxels"].clone()).expect("ranges");
        let [z, y, x] = ranges.map(|[first, end]| first..end);
        let mut values = Vec::new();
        for z in z.clone() {
            for y in y.clone() {
                let row = stored.geometry.linear([z, y, x.start]);
                values.extend_from_slice(&hu[row..row + x.len()]);
            }
        }
        let mut channels = vec![values.clone()];
        if case.segmenter.manifest().network.input_channels == 2 {
            channels.push(
                values
                    .iter()
                    .map(|hu| (hu + 1000.0).max(0.0) / 250.0)
                    .collect(),
            );
        }
        let source = Geometry {
            size: [z.len(), y.len(), x.len()],
            ..stored.geometry
        };
        let (_, logits, labels) = case.stages(channels, &source, false);
        let size: [usize; 3] = serde_json::from_value(crop["size"].clone()).expect("a size");
        let [_, rows, columns] = size;
        let (_, expected) = case.tensor("crop.logits");
        let largest = expected
            .iter()
            .fold(0.0, |max: f32, logit| max.max(logit.abs()));
        let voxels = case.voxels();
        let off = expected.iter().enumerate().map(|(i, expected)| {
            let (class, [z, y, x]) = (i / voxels.len(), voxels[i % voxels.len()]);
            let found = logits[((class * size[0] + z) * rows + y) * columns + x];
            (found - expected).abs() / largest
        });
        let worst = off.fold(0.0, f32::max);
        let wanted = case.labels("crop.labels");
        let differing = labels.iter().zip(&wanted).filter(|(a, b)| a != b).count();
        let differing = differing as f64 / wanted.len() as f64;
        println!("{name}: logits {worst}, labels {differing}");
        assert!(worst < 5.0 * STITCHING, "{name}: {worst}");
        assert!(differing < DIFFERING_IN_CROP, "{name}: {differing}");
    });
}
