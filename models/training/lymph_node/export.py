"""Puts the trained segmenters together for `hilum model import`: `python export.py OUT TRAINED`.

The calibration of calibrate.py becomes part of the last convolution, so that a probability is a calibrated one.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from data import LEFT_OUT, SPACING_MM
from networks import CHANNELS, CONVS, DECODER_CONVS, KERNELS, STRIDES, WINDOW

NAME, VERSION = "lymph-node", "0.2.0"
LAST = "decoder.seg_layers"


def manifest(threshold):
    lower, upper, subtract, divide = WINDOW
    return f'''format = 1
name = "{NAME}"
version = "{VERSION}"
description = "Experimental: marks lymph nodes of mediastinum, hila and axillae on CT; trained on made nodes alone."
licence = "CC-BY-3.0"
attribution = "Trained on made nodes in series of LIDC-IDRI (CC BY 3.0): Armato et al., Med Phys 2011; Clark et al., J Digit Imaging 2013."

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
spacing_mm = {[SPACING_MM] * 3}
grid = {{ kind = "patient", interpolation = "trilinear" }}
region = "lymph-nodes"
patch = [96, 96, 96]
step_fraction = 0.66

[[input.channels]]
name = "CT"
normalization = {{ scheme = "window", lower = {lower}, upper = {upper}, subtract = {subtract}, divide = {divide} }}

[output]
activation = "sigmoid"
probability_threshold = {threshold:.3f}
min_component_volume_mm3 = 100.0
min_short_axis_mm = 6.0
confidence = "max-probability"
confidence_meaning = "Chance of being one of the made nodes of the calibration rather than anything else; of real nodes unknown."

[[labels]]
channel = 0
kind = "lymph-node"
category = {{ value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }}
type = {{ value = "59441001", scheme = "SCT", meaning = "Lymph node" }}

[intended_use]
modality = "CT"
body_parts = ["CHEST", "LUNG", "THORAX"]
min_slice_spacing_mm = 0.5
max_slice_spacing_mm = 3.0
vendors_seen = ["GE MEDICAL SYSTEMS"]
kernel = "any"
contrast_seen = true
requires_lungs = true
experimental = true
'''


def calibrated(tensors, scale, offset):
    """The last convolution's logits, scaled and shifted."""
    last = max(int(key.split(".")[2]) for key in tensors if key.startswith(LAST))
    weight, bias = (f"{LAST}.{last}.{part}" for part in ("weight", "bias"))
    changed = {weight: tensors[weight] * scale, bias: tensors[bias] * scale + offset}
    return {key: value.contiguous().clone() for key, value in (tensors | changed).items()}


def main(out, trained):
    calibration = json.loads((out / "calibration.json").read_text())
    scale, offset, threshold = (calibration[key] for key in ("scale", "offset", "threshold"))
    trained.mkdir(parents=True, exist_ok=True)
    for k in range(len(LEFT_OUT)):
        tensors = torch.load(out / f"segmenter_{k}.pth", weights_only=True)
        torch.save(calibrated(tensors, scale, offset), trained / f"segmenter_{k}.pth")
    shifted = scale * np.log(threshold / (1 - threshold)) + offset
    (trained / "model.toml").write_text(manifest(1 / (1 + np.exp(-shifted))))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
