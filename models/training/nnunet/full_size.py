"""Makes a trained nnU-Net's folder of the usual size, with random weights, to time it: 31 million of them, patches of 128³.

Usage: full_size.py TARGET_FOLDER

A plain U-Net for CT at 1.5 mm, one channel in, three labels out, one fold. Its decoder averages neighbours and skips count in its
deep stages alone, so that the label map has regions of centimetres, as a trained one has, and not noise; the work is that of
any weights.
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

# Of the decoder's stages, from the deepest.
STAGES_WITH_SKIP = 2


@torch.no_grad()
def smooth(network: torch.nn.Module) -> None:
    """Gives every tap of a kernel in the decoder the same weight, and skips of the upper stages none."""
    for name, weight in network.decoder.named_parameters():
        if weight.ndim == 5 and not name.startswith("encoder."):
            weight[:] = weight.mean((2, 3, 4), keepdim=True)
    for stage in network.decoder.stages[STAGES_WITH_SKIP:]:
        conv = stage.convs[0].conv
        conv.weight[:, conv.out_channels :] = 0


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
