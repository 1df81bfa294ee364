"""Makes resample.safetensors: small random arrays resampled by nnU-Net itself.

Usage: resampling.py TARGET.safetensors

Per case NAME there are `NAME.source` [channel, z, y, x] and `NAME.target`; the header's `hilum` is JSON: versions, seed, and
per case both spacings in mm, the spline order, and what nnU-Net found of its own rule (separate, along which axis). The
options are those that its planner writes. Environment: scripts/nnunet-parity.sh.
"""

import sys
from typing import NamedTuple

import numpy as np
from golden import save_golden
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape,
    determine_do_sep_z_and_axis,
    resample_data_or_seg_to_shape,
)

SEED = 31

# Of a CT, so that an absolute tolerance would show.
HU = (-1000.0, 1500.0)


class Case(NamedTuple):
    """`shape` is [channel, z, y, x]; the target's size follows from the spacings unless it is given."""

    shape: tuple[int, int, int, int]
    spacing_mm: tuple[float, float, float]
    target_spacing_mm: tuple[float, float, float]
    order: int = 3
    target_size: tuple[int, int, int] | None = None
    half: bool = False


THICK, THIN = (5.0, 0.8, 0.8), (1.0, 1.0, 1.0)
CASES = {
    "up": Case((1, 7, 8, 9), (2.0, 1.9, 1.7), (1.1, 1.2, 1.3)),
    "down": Case((1, 13, 14, 15), (1.1, 1.2, 1.3), (2.0, 1.9, 2.7)),
    "up-and-down": Case((2, 8, 11, 10), (2.5, 0.9, 1.1), (1.5, 1.5, 1.5)),
    "one-axis": Case((1, 6, 7, 8), (2.0, 1.5, 1.5), (1.5, 1.5, 1.5)),
    "same-size": Case((1, 5, 6, 7), (1.5, 1.5, 1.5), (1.51, 1.49, 1.5)),
    "length-1": Case((1, 1, 6, 7), (2.0, 1.5, 1.5), (1.0, 1.1, 2.0)),
    "length-2": Case((1, 2, 6, 2), (2.0, 1.5, 1.5), (0.9, 1.1, 0.8)),
    "to-length-1": Case((1, 3, 6, 7), (1.0, 1.0, 1.0), (2.9, 1.5, 1.3)),
    "ratio-of-exactly-3": Case((1, 6, 9, 8), (3.0, 1.0, 1.0), (2.0, 1.2, 1.2)),
    "two-thick-axes": Case((1, 9, 5, 5), (0.3, 1.25, 1.25), (0.5, 1.0, 1.0)),
    "separate-up": Case((2, 5, 8, 9), THICK, (2.0, 0.7, 0.6)),
    "separate-down": Case((1, 9, 12, 11), THICK, (11.0, 1.3, 1.1)),
    # Positions lie half way between two slices: which one order 0 takes.
    "separate-half": Case((1, 8, 7, 6), THICK, (10.0, 0.7, 0.7)),
    "separate-same-slices": Case((1, 5, 8, 9), THICK, (5.0, 1.0, 0.6)),
    "separate-same-rows": Case((1, 5, 6, 7), THICK, (3.0, 0.8, 0.8)),
    "separate-one-slice": Case((1, 1, 6, 7), THICK, (2.0, 0.7, 0.6)),
    "separate-by-target": Case((1, 12, 8, 9), THIN, (4.0, 0.9, 1.2)),
    # The source's axis goes before the target's.
    "separate-by-both": Case((1, 6, 7, 9), (1.0, 1.0, 4.0), (4.0, 1.1, 1.0)),
    "separate-y": Case((1, 8, 5, 9), (0.8, 5.0, 0.8), (0.7, 2.0, 0.9)),
    "separate-x": Case((1, 8, 9, 5), (0.8, 0.8, 5.0), (0.7, 0.9, 2.0)),
    "linear-up": Case((3, 7, 8, 9), (2.0, 1.9, 1.7), (1.1, 1.2, 1.3), order=1),
    "linear-down": Case((2, 13, 10, 11), (1.1, 1.2, 1.3), (2.0, 1.9, 2.7), order=1),
    "linear-separate": Case((3, 8, 9, 10), (2.0, 0.7, 0.6), THICK, order=1),
    "linear-separate-up": Case((2, 5, 6, 7), THICK, (2.0, 0.7, 0.6), order=1),
    "linear-separate-x": Case((2, 8, 7, 4), (0.8, 0.8, 5.0), (0.7, 0.9, 2.0), order=1),
    "linear-length-1": Case((2, 1, 6, 2), (2.0, 1.5, 1.5), (1.0, 1.1, 1.0), order=1),
    # Back to a size that rounding made of other spacings, as the export does; in half, as the sum over patches is kept.
    "linear-to-size-half": Case((3, 7, 8, 9), (1.5, 1.5, 1.5), (1.25, 0.9, 0.9), order=1, target_size=(8, 14, 15), half=True),
    # Sizes of 2.5, 3.5 and 4.5, which round to even.
    "size-of-half": Case((1, 5, 7, 9), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
}


def resampled(case: Case, source: np.ndarray) -> tuple[np.ndarray, dict]:
    """What nnU-Net makes of it, and what it decided."""
    spacings = (case.spacing_mm, case.target_spacing_mm)
    size = case.target_size or compute_new_shape(source.shape[1:], *spacings)
    target = resample_data_or_seg_to_shape(source, size, *spacings, order=case.order, order_z=0, force_separate_z=None)
    separate, axis = determine_do_sep_z_and_axis(None, *spacings)
    decided = {"separate": bool(separate), "axis": None if axis is None else int(axis)}
    return target, decided


def main() -> None:
    rng = np.random.default_rng(SEED)
    tensors, about = {}, {}
    for name, case in CASES.items():
        is_image = case.order == 3
        source = rng.uniform(*HU, case.shape) if is_image else 4 * rng.standard_normal(case.shape)
        source = source.astype(np.float16 if case.half else np.float32)
        target, decided = resampled(case, source)
        tensors |= {f"{name}.source": source.astype(np.float32), f"{name}.target": target.astype(np.float32)}
        fields = ("spacing_mm", "target_spacing_mm", "order", "half")
        about[name] = {field: getattr(case, field) for field in fields} | decided
    save_golden(sys.argv[1], tensors, {"seed": SEED, "cases": about})


if __name__ == "__main__":
    main()
