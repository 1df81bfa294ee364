"""What the segmenters say of the patient that each never saw: `python calibrate.py CACHE OUT`.

Each left-out series is judged as it is, where every candidate counts as false, and with made nodes in it. Writes
calibration.json, which export.py folds into the weights, and left-out.json, which the card reports.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from data import LEFT_OUT, SPACING_MM, load
from networks import normalized, segmenter
from nodes import with_nodes
from scipy import ndimage as ndi
from scipy.optimize import minimize
from sliding import probability

DRAWS, NODES = 1, 15  # made series of each patient, nodes of each
BOX = 60
LOW, MIN_MM3 = 0.1, 100.0
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MEDIUM = (1.0, 0.05)  # of every other made series: its own contrast medium, next to none


def with_made(rng, volume, medium):
    """The series with nodes in free places, and their labels."""
    hu = volume.hu - (1 - medium) * volume.iodine.astype(np.float32)
    label = np.zeros(hu.shape, np.uint8)
    places = [np.argwhere(volume.region == k) for k in (1, 1, 2)]
    made = 0
    while made < NODES:
        own = places[made % 3]
        start = own[rng.integers(len(own))] - BOX // 2
        box = tuple(slice(max(0, s), s + BOX) for s in start)
        if min(hu[box].shape) < BOX:
            continue
        free = ~ndi.binary_dilation((label[box] > 0) | volume.blob[box], iterations=4)
        node = with_nodes(rng, hu[box], volume.region[box], free, volume.noise_hu, medium > 0.1)
        if node and node[1].sum() >= 20 and not (node[1] & ~free).any():
            made += 1
            hu[box] = node[0]
            label[box][node[1]] = made
    return hu, label


def found(p, label):
    """Every component: its peak and the made nodes that it touches."""
    labels, count = ndi.label(p >= LOW, np.ones((3, 3, 3)))
    out = []
    for k, box in enumerate(ndi.find_objects(labels), 1):
        own = labels[box] == k
        if own.sum() * SPACING_MM**3 < MIN_MM3:
            continue
        out.append((float(p[box][own].max()), sorted(set(np.unique(label[box][own]).tolist()) - {0})))
    return out


def dice(p, label):
    """Mean Dice of the made nodes by threshold."""
    rows = []
    for threshold in THRESHOLDS:
        labels, _ = ndi.label(p >= threshold, np.ones((3, 3, 3)))
        own = []
        for k in range(1, label.max() + 1):
            truth = label == k
            hit = np.isin(labels, list(set(np.unique(labels[truth])) - {0}))
            own.append(2 * (hit & truth).sum() / (hit.sum() + truth.sum()))
        rows.append(float(np.mean(own)))
    return rows


def logit(p):
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def fitted(values, truth):
    """Scale and offset of the logit that make its sigmoid a probability (Platt 1999)."""

    def loss(parameters):
        z = np.exp(parameters[0]) * values + parameters[1]
        return (np.logaddexp(0, z) - truth * z).mean()

    scale, offset = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return float(np.exp(scale)), float(offset)


def main(cache, out):
    torch.set_num_threads(1)
    real, made, hits, overlaps, sizes = [], [], [], [], []
    for fold, name in enumerate(LEFT_OUT):
        (volume,) = load(cache, [name])
        net = segmenter()
        net.load_state_dict(torch.load(out / f"segmenter_{fold}.pth", weights_only=True))
        net.eval().to(memory_format=torch.channels_last_3d)
        judge = lambda hu: probability(net, hu, volume.region > 0, normalized)  # noqa: B023, E731
        none = np.zeros(volume.hu.shape, np.uint8)
        real.append([peak for peak, _ in found(judge(volume.hu), none)])
        print(name, "as it is:", np.sort(np.round(real[-1], 2))[::-1][:12].tolist(), flush=True)
        for draw in range(DRAWS):
            medium = MEDIUM[(fold + draw) % 2]
            hu, label = with_made(np.random.default_rng([9, fold, draw]), volume, medium)
            p = judge(hu)
            candidates = found(p, label)
            made += candidates
            best = [max((peak for peak, nodes in candidates if k in nodes), default=0.0) for k in range(1, label.max() + 1)]
            hits += best
            sizes += [float((6 * (label == k).sum() * SPACING_MM**3 / np.pi) ** (1 / 3)) for k in range(1, label.max() + 1)]
            overlaps.append(dice(p, label))
            print(name, "medium", medium, "found at 0.5", int((np.array(best) >= 0.5).sum()), "of", len(best),
                  "false", sum(p >= 0.5 and not n for p, n in candidates), "Dice", np.round(overlaps[-1], 2), flush=True)  # fmt: skip
    peaks = np.array([p for p, _ in made] + sum(real, []))
    truth = np.array([bool(n) for _, n in made] + [False] * sum(map(len, real)), float)
    scale, offset = fitted(logit(peaks), truth)
    threshold = THRESHOLDS[int(np.argmax(np.mean(overlaps, 0)))]
    (out / "calibration.json").write_text(json.dumps({"scale": scale, "offset": offset, "threshold": threshold}))
    confidence = lambda p: 1 / (1 + np.exp(-scale * logit(np.array(p)) - offset))  # noqa: E731
    report = {
        "made_nodes": len(hits), "found_at_half": int((confidence(hits) >= 0.5).sum()), "diameters_mm": sizes,
        "false_at_half_of_made_series": int(((confidence(peaks) >= 0.5) & (truth == 0))[: len(made)].sum()), "made_series": len(overlaps),
        "candidates_at_half_of_each_series_as_it_is": [int((confidence(r) >= 0.5).sum()) for r in real],
        "dice": dict(zip(THRESHOLDS, np.mean(overlaps, 0).tolist())),
    }  # fmt: skip
    (out / "left-out.json").write_text(json.dumps(report, indent=1))
    print(json.dumps({k: v for k, v in report.items() if k != "diameters_mm"}), scale, offset)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
