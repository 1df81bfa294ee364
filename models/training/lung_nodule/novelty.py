"""Where the features of classifier 0 lie on its training data: `python novelty.py CACHE OUT`.

Writes novelty.pth, for candidates and for places in the lungs, and novelty.json: the limits of what is familiar.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from classify import PATCH, around, predicted
from data import SEGMENTER_FOLDS, load
from networks import Classifier
from patches import normalized

SHRINKAGE = 0.2
FAMILIAR = 0.99  # share of the candidates of patients left out that count as familiar
PLACES = 64  # of a scan, as the product takes them
SAMPLES = 256  # of a scan, for the covariance
AERATED_HU = -400
MARGIN = 1.25  # the limit is the largest novelty of a training scan by the others, times this


def whitened(features):
    """Mean, and the matrix that gives features the covariance 1."""
    mean, covariance = features.mean(0), np.cov(features.T)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / len(mean) * np.eye(len(mean))
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors @ np.diag(values**-0.5) @ vectors.T


def distance(features, familiar):
    mean, whitening = familiar
    return np.linalg.norm((features - mean) @ whitening.T, axis=-1)


def in_lungs(net, volume, count):
    """Features of places evenly spread over the aerated lung."""
    inside = np.argwhere((volume.lungs & (volume.hu < AERATED_HU))[::2, ::2, ::2]) * 2
    places = inside[(2 * np.arange(count) + 1) * len(inside) // (2 * count)]
    patches = [normalized(around(volume, place, PATCH)).astype(np.float32) for place in places]
    with torch.inference_mode():
        return np.concatenate([net.features(torch.from_numpy(p)[None, None]).numpy() for p in patches]).astype(np.float64)


def main(cache, out):
    volumes = load(cache)
    net = Classifier()
    net.load_state_dict(torch.load(out / "classifier_0.pth", weights_only=True))
    net.eval()
    stored = [json.loads((out / f"candidates_{k}.json").read_text())["candidates"] for k in range(SEGMENTER_FOLDS)]
    seen = [c for half in stored for c in half if c["fold"] != 0]
    candidates = whitened(predicted(net, volumes, seen)[1].astype(np.float64))
    left_out = np.load(out / "predictions_0.npz")["features"].astype(np.float64)
    whole = [v for v in volumes if v.whole]
    lungs = [in_lungs(net, volume, SAMPLES) for volume in whole]
    means = [in_lungs(net, volume, PLACES).mean(0) for volume in whole]
    by_others = [float(distance(mean, whitened(np.concatenate(lungs[:k] + lungs[k + 1 :])))) for k, mean in enumerate(means)]
    scans = whitened(np.concatenate(lungs))
    tensors = dict(zip(("mean", "whitening", "input_mean", "input_whitening"), (*candidates, *scans)))
    torch.save({name: torch.tensor(value, dtype=torch.float32) for name, value in tensors.items()}, out / "novelty.pth")
    limits = {
        "max_novelty": float(np.quantile(distance(left_out, candidates), FAMILIAR)),
        "max_input_novelty": MARGIN * max(by_others),
        "training_scans_by_the_others": by_others,
    }
    (out / "novelty.json").write_text(json.dumps(limits, indent=1))
    print(limits)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
