"""The small random networks of testdata/nnunet, and the phantom of each."""

from dataclasses import dataclass

import numpy as np
from folder import Model

CUBE = [3, 3, 3]
FLAT = [1, 3, 3]
ONE = [1, 1, 1]
HALF = [2, 2, 2]
HALF_IN_PLANE = [1, 2, 2]


@dataclass(frozen=True)
class Case:
    """A network; size and spacing of its phantom are those of the file, before any transposition."""

    model: Model
    seed: int
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    mirrored: bool = False


CASES = {
    "plain": Case(
        Model(
            network="PlainConvUNet",
            features=[3, 6, 6, 6],
            kernels=[CUBE] * 4,
            strides=[ONE, HALF, HALF, HALF],
            encoder=[2, 2, 2, 2],
            decoder=[2, 2, 2],
            patch=[16, 16, 24],
            spacing_mm=[1.5, 1.5, 1.5],
            channels={"CT": "CTNormalization"},
            labels={"background": 0, "lesion": 1},
            trainer="nnUNetTrainerNoMirroring",
            mirroring=None,
            numpy_1=True,
        ),
        seed=1,
        size=(19, 25, 28),
        spacing_mm=(2.0, 1.7, 1.6),
    ),
    "anisotropic": Case(
        Model(
            network="PlainConvUNet",
            features=[4, 6, 8],
            kernels=[FLAT, CUBE, CUBE],
            strides=[ONE, HALF_IN_PLANE, HALF],
            encoder=[2, 2, 2],
            decoder=[2, 1],
            patch=[8, 16, 16],
            spacing_mm=[3.5, 1.0, 0.9],
            channels={"CT": "CTNormalization"},
            # Not in the order of their values.
            labels={"background": 0, "lesion": 2, "organ": 1},
            transpose_forward=(2, 0, 1),
            trainer="nnUNetTrainer_onlyMirror01",
            mirroring=(0, 1),
        ),
        seed=2,
        size=(29, 27, 11),
        spacing_mm=(0.8, 0.9, 4.2),
        mirrored=True,
    ),
    "two-channel": Case(
        Model(
            network="PlainConvUNet",
            features=[4, 8, 8],
            kernels=[CUBE] * 3,
            strides=[ONE, HALF, HALF_IN_PLANE],
            encoder=[1, 2, 2],
            decoder=[1, 2],
            patch=[8, 16, 12],
            spacing_mm=[2.5, 2.0, 2.0],
            channels={"CT": "CTNormalization", "PET": "ZScoreNormalization"},
            labels={"background": 0, "whole": [1, 2, 5], "core": [2, 5], "rim": 5},
            regions_class_order=[1, 2, 5],
            masked=(1,),
            folds=(0, 1),
        ),
        seed=3,
        size=(14, 26, 24),
        spacing_mm=(3.0, 2.1, 2.3),
    ),
    "residual": Case(
        Model(
            network="ResidualEncoderUNet",
            # From the second to the third stage there is a stride and no projection.
            features=[4, 8, 8],
            kernels=[CUBE] * 3,
            strides=[ONE, HALF, HALF],
            encoder=[1, 2, 2],
            decoder=[1, 1],
            patch=[12, 16, 16],
            spacing_mm=[2.0, 1.5, 1.5],
            channels={"zscore": "ZScoreNormalization"},
            labels={"background": 0, "organ": 1, "lesion": 2},
        ),
        seed=4,
        # Fewer slices than the patch has.
        size=(9, 34, 31),
        spacing_mm=(2.2, 1.3, 1.3),
    ),
    "batch": Case(
        Model(
            network="PlainConvUNet",
            features=[4, 6, 8],
            kernels=[CUBE, CUBE, CUBE],
            strides=[ONE, HALF, HALF],
            encoder=[2, 2, 2],
            decoder=[2, 2],
            patch=[8, 12, 16],
            spacing_mm=[3.1, 1.9, 1.9],
            channels={"rescale_to_0_1": "RescaleTo01Normalization", "noNorm": "NoNormalization"},
            labels={"background": 0, "lesion": 1},
            configuration="3d_lowres",
            # It puts batch norm where its plans say instance norm.
            trainer="nnUNetTrainerBN",
            folds=("all",),
        ),
        seed=5,
        size=(20, 32, 30),
        spacing_mm=(2.0, 1.2, 1.2),
    ),
    "reoriented": Case(
        Model(
            network="PlainConvUNet",
            features=[4, 8],
            kernels=[CUBE, CUBE],
            strides=[ONE, HALF],
            encoder=[1, 2],
            decoder=[1],
            patch=[8, 12, 12],
            spacing_mm=[2.0, 2.0, 2.0],
            channels={"CT": "CTNormalization"},
            labels={"background": 0, "organ": 1, "lesion": 2},
            # It turns every image to RAS: rows and columns of an axial CT run the other way.
            reader="NibabelIOWithReorient",
        ),
        seed=6,
        size=(12, 22, 18),
        spacing_mm=(2.3, 1.8, 1.8),
    ),
}


def phantom(case: Case) -> np.ndarray:
    """A body of soft tissue with ellipsoids and noise, zero around it: [channel, z, y, x], CT-like, then PET-like."""
    rng = np.random.default_rng(case.seed)
    axes = [np.linspace(-1.15, 1.1, length) for length in case.size]
    position = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    body = (position**2).sum(-1) < 1
    hu, uptake = 40.0 + 60 * rng.standard_normal(case.size), 1 + 0.2 * rng.standard_normal(case.size)
    for _ in range(12):
        centre, radii = rng.uniform(-0.7, 0.7, 3), rng.uniform(0.15, 0.45, 3)
        inside = (((position - centre) / radii) ** 2).sum(-1) < 1
        hu[inside] += rng.uniform(-700, 500)
        uptake[inside] += rng.uniform(0, 4)
    channels = np.stack([np.round(hu), uptake])[: len(case.model.channels)]
    return (channels * body).astype(np.float32)
