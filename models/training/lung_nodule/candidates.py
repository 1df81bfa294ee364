"""Candidates of a segmenter in the patients that its training left out: `python candidates.py CACHE OUT --fold K`.

They are what the classifier learns from and what calibrates it, so each comes from a network that never saw its patient.
"""

import json

import numpy as np
import torch
from data import IGNORED, SEGMENTER_FOLDS, load
from networks import segmenter
from patches import normalized
from scipy import ndimage as ndi
from sliding import probability
from training import arguments

LOW = 0.3  # the classifier learns from more than the product will show it
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MIN_VOXELS = 12
MARGIN_MM = 6


def searched(volume):
    """Where the product looks: the lungs and some millimetres about them; of a crop everything."""
    if not volume.whole:
        return volume.lungs
    near = ndi.distance_transform_edt(~volume.lungs[::2, ::2, ::2]) <= MARGIN_MM / 2
    near = np.repeat(np.repeat(np.repeat(near, 2, 0), 2, 1), 2, 2)[tuple(map(slice, volume.hu.shape))]
    return np.pad(near, [(0, n - m) for n, m in zip(volume.hu.shape, near.shape)])


def found(volume, p):
    """Every component of at least LOW: centre, peak, size, and what it is: 1 a nodule, 0 none, -1 a mark to ignore."""
    labels, count = ndi.label(p >= LOW, np.ones((3, 3, 3)))
    sizes = ndi.sum_labels(np.ones_like(p), labels, range(1, count + 1)) if count else []
    near = ndi.binary_dilation(volume.label == IGNORED, iterations=2)
    grown = ndi.grey_dilation(np.where(volume.label == IGNORED, 0, volume.label), (5, 5, 5))
    out = []
    for k, size in enumerate(sizes, 1):
        if size < MIN_VOXELS:
            continue
        centre = np.array(ndi.center_of_mass(p, labels, k))
        at = tuple(np.round(centre).astype(int))
        nodule = int(grown[at])
        truth = 1 if nodule else (-1 if near[at] else 0)
        peak = float(ndi.maximum(p, labels, k))
        out.append({"name": volume.name, "whole": volume.whole, "fold": volume.fold, "centre": centre.tolist(),
                    "peak": peak, "voxels": int(size), "truth": truth, "nodule": nodule})  # fmt: skip
    return out


def nodules(volume, p, candidates):
    """For every nodule: its diameter, whether a candidate hit it, and the Dice of the mask at each threshold."""
    out = []
    for nodule in sorted(set(np.unique(volume.label)) - {0, IGNORED}):
        truth = volume.label == nodule
        hit = [c["peak"] for c in candidates if c["nodule"] == nodule]
        dice = []
        for threshold in THRESHOLDS:
            labels, _ = ndi.label(p >= threshold, np.ones((3, 3, 3)))
            own = np.isin(labels, list(set(np.unique(labels[truth])) - {0}))
            dice.append(float(2 * (own & truth).sum() / max(1, own.sum() + truth.sum())))
        out.append({"name": volume.name, "nodule": int(nodule), "diameter_mm": float((6 * truth.sum() / np.pi) ** (1 / 3)),
                    "peak": max(hit, default=0.0), "dice": dice})  # fmt: skip
    return out


def main():
    args = arguments([str(k) for k in range(SEGMENTER_FOLDS)])
    fold = int(args.fold)
    net = segmenter()
    net.load_state_dict(torch.load(args.out / f"segmenter_{fold}.pth", weights_only=True))
    net.eval().to(memory_format=torch.channels_last_3d)
    candidates, truth = [], []
    for volume in load(args.cache):
        if volume.fold % SEGMENTER_FOLDS != fold:
            continue
        p = probability(net, volume.hu, searched(volume), normalized)
        own = found(volume, p)
        candidates += own
        truth += nodules(volume, p, own)
        if volume.whole:
            print(volume.name, "candidates", len(own), "false of 0.5", sum(c["peak"] >= 0.5 and c["truth"] == 0 for c in own), flush=True)
    hits = sum(n["peak"] >= 0.3 for n in truth)
    dice = np.mean([n["dice"] for n in truth if n["peak"] >= 0.3], 0)
    print(f"fold {fold}: {hits} of {len(truth)} nodules at 0.3; Dice", dict(zip(THRESHOLDS, dice.round(3).tolist())))
    (args.out / f"candidates_{fold}.json").write_text(json.dumps({"candidates": candidates, "nodules": truth}))


if __name__ == "__main__":
    main()
