"""Puts trained networks together for `hilum model import`: `python export.py OUT EDITION TRAINED`.

EDITION is `lung-nodule` (an ensemble of the folds) or `lung-nodule-lite` (one segmenter of all patients).
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from classify import PATCH as CLASSIFIER_PATCH
from data import FOLDS, SEGMENTER_FOLDS
from networks import CHANNELS, CONVS, DECODER_CONVS, KERNELS, STRIDES, TYPES
from patches import WINDOW

EDITIONS = {
    "lung-nodule": {
        "segmenters": [*range(SEGMENTER_FOLDS), "all"],
        "description": "Marks lung nodules on chest CT and says how sure it is: three segmenters, four classifiers.",
        "mirror_axes": [2],
        "step_fraction": 0.66,
    },
    "lung-nodule-lite": {
        "segmenters": ["all"],
        "description": "Marks lung nodules on chest CT and says how sure it is; small enough for a CPU alone.",
        "mirror_axes": [],
        "step_fraction": 0.66,
    },
}
VERSION = "0.2.1"
THRESHOLD = 0.4  # of a voxel: the best mean Dice on patients left out, of 0.1 to 0.7 (candidates_K.json)


def manifest(name, edition, calibration, limits):
    lower, upper, subtract, divide = WINDOW
    return f'''format = 1
name = "{name}"
version = "{VERSION}"
description = "{edition["description"]}"
licence = "CC-BY-3.0"
attribution = "Trained on LIDC-IDRI (CC BY 3.0): Armato et al., Med Phys 2011; Clark et al., J Digit Imaging 2013."

[network]
norm = "none"
input_channels = 1
classes = 1
channels = {CHANNELS}
kernels = {KERNELS}
strides = {STRIDES}
encoder_convs = {CONVS}
decoder_convs = {DECODER_CONVS}

[input]
spacing_mm = [1.0, 1.0, 1.0]
grid = {{ kind = "patient", interpolation = "trilinear" }}
patch = [96, 96, 96]
step_fraction = {edition["step_fraction"]}

[[input.channels]]
name = "CT"
normalization = {{ scheme = "window", lower = {lower}, upper = {upper}, subtract = {subtract}, divide = {divide} }}

[classifier]
folds = {FOLDS}
patch = {[CLASSIFIER_PATCH] * 3}
channels = {CHANNELS}
kernels = {KERNELS}
strides = {STRIDES}
convs = {CONVS}
mirror_axes = {edition["mirror_axes"]}
types = {json.dumps(TYPES)}
calibration = {{ scale = {calibration["scale"]:.4f}, offset = {calibration["offset"]:.4f} }}
bands = {{ high = 0.8, intermediate = 0.5 }}
review = {{ lower = 0.3, upper = 0.7, max_spread = 2.0, max_novelty = {limits["max_novelty"]:.2f}, max_input_novelty = {limits["max_input_novelty"]:.2f} }}

[output]
activation = "sigmoid"
probability_threshold = {THRESHOLD}
min_component_volume_mm3 = 12.0
confidence = "max-probability"
confidence_meaning = "Chance that at least three of four radiologists mark it as a nodule, calibrated on patients left out of training."

[[labels]]
channel = 0
kind = "lung-nodule"
category = {{ value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }}
type = {{ value = "27925004", scheme = "SCT", meaning = "Nodule" }}

[intended_use]
modality = "CT"
body_parts = ["CHEST", "LUNG", "THORAX"]
min_slice_spacing_mm = 0.5
max_slice_spacing_mm = 3.0
vendors_seen = ["GE MEDICAL SYSTEMS"]
kernel = "any"
contrast_seen = true
requires_lungs = true
'''


def main(out, name, trained):
    edition = EDITIONS[name]
    calibration, limits = (json.loads((out / f"{name}.json").read_text()) for name in ("calibration", "novelty"))
    trained.mkdir(parents=True, exist_ok=True)
    for k, fold in enumerate(edition["segmenters"]):
        tensors = torch.load(out / f"segmenter_{fold}.pth", weights_only=True)
        torch.save(bare(tensors), trained / f"segmenter_{k}.pth")
    for k in range(FOLDS):
        tensors = torch.load(out / f"classifier_{k}.pth", weights_only=True)
        torch.save(bare(tensors), trained / f"classifier_{k}.pth")
    shutil.copy(out / "novelty.pth", trained / "novelty.pth")
    (trained / "model.toml").write_text(manifest(name, edition, calibration, limits))


def bare(tensors):
    """Contiguous, so that the file is read as it lies."""
    return {k: v.contiguous().clone() for k, v in tensors.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
