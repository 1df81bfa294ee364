"""Makes testdata/fuzz/checkpoint.pth: a network as that of testdata/nnunet/reoriented, small enough to be damaged often.

    pip install torch==2.15.0
    python testdata/fuzz/make_checkpoint.py

All tensors are views of the same numbers of 16 bits, without the copies of nnU-Net's names.
"""

import pathlib

import torch

ROOT = pathlib.Path(__file__).parent.parent
SOURCE = ROOT / "nnunet" / "reoriented" / "fold_0" / "checkpoint_final.pth"

weights = torch.load(SOURCE, map_location="cpu", weights_only=False)["network_weights"]
kept = {k: v for k, v in weights.items() if "all_modules" not in k and "decoder.encoder" not in k}
largest = max(value.numel() for value in kept.values())
flat = (torch.arange(largest) % 17 / 17 - 0.4).half()
views = {name: flat[: value.numel()].view(value.shape) for name, value in kept.items()}
torch.save(
    {"network_weights": views, "current_epoch": 1, "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1)},
    ROOT / "fuzz" / "checkpoint.pth",
)
