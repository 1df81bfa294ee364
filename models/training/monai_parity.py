"""Makes testdata/monai: a small random DynUNet as a MONAI bundle, and what PyTorch makes of a patch.

    pip install torch==2.15.0 monai==1.6.1 safetensors==0.8.0
    python models/training/monai_parity.py testdata/monai
"""

import json
import pathlib
import sys

import torch
from monai.networks.nets import DynUNet
from safetensors.torch import save_file

NETWORK = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "kernel_size": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "upsample_kernel_size": [[1, 2, 2], [2, 2, 2]],
    "filters": [4, 6, 8],
    "norm_name": ["INSTANCE", {"affine": True}],
    "act_name": ["leakyrelu", {"inplace": True, "negative_slope": 0.01}],
    "res_block": False,
}

MANIFEST = """\
format = 1
version = "1"
description = "A small random DynUNet."
licence = "CC0-1.0"
attribution = "Nobody: it is random."

[network]
input_channels = 1
classes = 2
channels = [4, 6, 8]
kernels = [[3, 3, 3], [3, 3, 3], [3, 3, 3]]
strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
encoder_convs = [2, 2, 2]
decoder_convs = [2, 2]

[input]
spacing_mm = [2.0, 1.0, 1.0]
grid = { kind = "patient", interpolation = "trilinear" }
patch = [8, 16, 16]

[[input.channels]]
name = "CT"
normalization = { scheme = "window", lower = -1000.0, upper = 400.0, subtract = -300.0, divide = 700.0 }

[output]
activation = "softmax"
probability_threshold = 0.5
min_component_volume_mm3 = 0.0
confidence = "max-probability"
confidence_meaning = "Highest voxel probability of the candidate; uncalibrated."

[[labels]]
channel = 1
kind = "lung-nodule"
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }
type = { value = "27925004", scheme = "SCT", meaning = "Nodule" }

[intended_use]
modality = "CT"
body_parts = []
min_slice_spacing_mm = 0.1
max_slice_spacing_mm = 50.0
vendors_seen = []
kernel = "any"
contrast_seen = true
"""


def main(out: pathlib.Path) -> None:
    torch.manual_seed(5)
    network = DynUNet(**NETWORK).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
        patch = torch.randn(1, 1, 8, 16, 12)
        logits = network(patch)
    (out / "configs").mkdir(parents=True, exist_ok=True)
    (out / "models").mkdir(exist_ok=True)
    config = {"network_def": {"_target_": "DynUNet", **NETWORK}}
    (out / "configs" / "inference.json").write_text(json.dumps(config, indent=4) + "\n")
    (out / "model.toml").write_text(MANIFEST)
    torch.save(network.state_dict(), out / "models" / "model.pt")
    save_file({"input": patch, "logits": logits}, out / "golden.safetensors")


main(pathlib.Path(sys.argv[1]))
