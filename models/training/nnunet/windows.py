"""Makes windows.safetensors: where nnU-Net puts its patches, and how it weighs their voxels.

Usage: windows.py TARGET.safetensors

`weights.PATCH` is its Gaussian of a patch's size [z, y, x], values of 16 bits; the header's `hilum` is JSON with `steps`: for a
length, a patch's length and a step as a fraction of that, where the patches begin. Environment: scripts/nnunet-parity.sh.
"""

import sys

import torch
from golden import save_golden
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

PATCHES = [(8, 12, 16), (5, 7, 10), (1, 9, 24)]
LENGTHS = [8, 9, 12, 13, 16, 19, 23, 30, 37, 64, 101]
PATCH_LENGTHS = [8, 12, 5]
FRACTIONS = [0.5, 0.75, 1.0]


def main() -> None:
    steps = []
    for length, patch, fraction in ((n, p, f) for n in LENGTHS for p in PATCH_LENGTHS for f in FRACTIONS if p <= n):
        (starts,) = compute_steps_for_sliding_window((length,), (patch,), fraction)
        steps.append({"length": length, "patch": patch, "fraction": fraction, "starts": starts})
    tensors = {}
    for patch in PATCHES:
        weights = compute_gaussian(patch, sigma_scale=1 / 8, value_scaling_factor=10, device=torch.device("cpu"))
        tensors[f"weights.{'x'.join(map(str, patch))}"] = weights.float().numpy()
    save_golden(sys.argv[1], tensors, {"steps": steps})


if __name__ == "__main__":
    main()
