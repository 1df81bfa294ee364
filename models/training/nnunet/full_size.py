"""Makes a trained nnU-Net's folder of the usual size, with random weights, to time it: 31 million of them, patches of 128³.

Usage: full_size.py TARGET_FOLDER

A plain U-Net for CT at 1.5 mm, one channel in, three labels out, one fold. Skips count little and every voxel takes the same
from below, so that its label map has regions of centimetres, as a trained one has, and not noise; the work is the same.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from cases import CUBE, HALF, ONE, Case, phantom
from folder import Model, dataset, plans, save_checkpoint, write_json
from network import calibrate, foreground, random_network
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

MODEL = Model(
    network="PlainConvUNet",
    features=[32, 64, 128, 256, 320, 320],
    kernels=[CUBE] * 6,
    strides=[ONE] + [HALF] * 5,
    encoder=[2] * 6,
    decoder=[2] * 5,
    patch=[128, 128, 128],
    spacing_mm=[1.5, 1.5, 1.5],
    channels={"CT": "CTNormalization"},
    labels={"background": 0, "organ": 1, "lesion": 2},
)
CASE = Case(MODEL, seed=7, size=(64, 64, 64), spacing_mm=(1.5, 1.5, 1.5))

# What a skip weighs beside what comes from below.
SKIP = 0.02


@torch.no_grad()
def smooth(network: torch.nn.Module) -> None:
    """Lets the deep stages decide."""
    for upsample, stage in zip(network.decoder.transpconvs, network.decoder.stages):
        upsample.weight[:] = upsample.weight.mean((2, 3, 4), keepdim=True)
        stage.convs[0].conv.weight[:, upsample.out_channels :] *= SKIP


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target, image = Path(sys.argv[1]), phantom(CASE)
    plan = plans(MODEL, foreground(image))
    network = random_network(MODEL, PlansManager(plan), CASE.seed)
    smooth(network)
    calibrate(network, torch.from_numpy((image - image.mean()) / np.std(image))[None])
    write_json(target / "dataset.json", dataset(MODEL))
    write_json(target / "plans.json", plan)
    save_checkpoint(target / "fold_0" / "checkpoint_final.pth", MODEL, network, 0, plan)


if __name__ == "__main__":
    main()
