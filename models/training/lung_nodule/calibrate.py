"""Joins the folds' predictions of patients that they never saw: `python calibrate.py OUT`.

Writes calibration.json, which goes into model.toml, and out-of-fold.json, which the card reports.
"""

import json
import sys
from pathlib import Path

import numpy as np
from data import FOLDS, SEGMENTER_FOLDS, TRAIN_SERIES
from scipy.optimize import minimize

BINS = 15


def logistic(x):
    return 1 / (1 + np.exp(-x))


def inserted(out):
    """Logits and truth of the candidates of series with lesions put in."""
    stored = [np.load(out / f"inserted_{fold}.npz") for fold in range(FOLDS)]
    logits, truth = (np.concatenate([s[key] for s in stored]) for key in ("outputs", "truth"))
    return logits[truth >= 0, 0], truth[truth >= 0]


def fitted(logit, truth):
    """Scale and offset of the logit that make its sigmoid a probability (Platt 1999)."""

    def loss(parameters):
        z = np.exp(parameters[0]) * logit + parameters[1]
        return (np.logaddexp(0, z) - truth * z).mean()

    scale, offset = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return float(np.exp(scale)), float(offset)


def reliability(confidence, truth):
    """Equal-count bins: mean confidence, share of nodules, n; and the expected calibration error."""
    bins = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    rows = [(float(confidence[b].mean()), float(truth[b].mean()), len(b)) for b in bins]
    error = sum(n * abs(c - t) for c, t, n in rows) / len(truth)
    return rows, float(error)


def froc(confidence, candidates, nodules, scans):
    """Sensitivity over all nodules at LUNA16's rates of false positives a whole scan."""
    best = {}
    for value, c in zip(confidence, candidates):
        if c["truth"] == 1:
            key = (c["name"], c["nodule"])
            best[key] = max(best.get(key, 0), value)
    hits = np.array([best.get((n["name"], n["nodule"]), 0) for n in nodules])
    false = np.sort([v for v, c in zip(confidence, candidates) if c["truth"] == 0 and c["whole"]])[::-1]
    rows = {}
    for rate in (0.125, 0.25, 0.5, 1, 2, 4, 8):
        allowed = int(rate * scans)
        threshold = false[allowed] if allowed < len(false) else 0
        rows[rate] = float((hits > threshold).mean())
    return rows, hits, false


def main(out):
    candidates, logits = [], []
    stored = [json.loads((out / f"candidates_{k}.json").read_text()) for k in range(SEGMENTER_FOLDS)]
    for fold in range(FOLDS):
        logits.append(np.load(out / f"predictions_{fold}.npz")["outputs"].mean(1)[:, 0])
        candidates += [c for half in stored for c in half["candidates"] if c["fold"] == fold]
    nodules = [n for half in stored for n in half["nodules"]]
    logits = np.concatenate(logits)
    truth = np.array([c["truth"] for c in candidates])
    whole = np.array([c["whole"] for c in candidates])
    judged = truth >= 0
    inserted_logits, inserted_truth = inserted(out)
    scale, offset = fitted(np.append(logits[judged], inserted_logits), np.append(truth[judged], inserted_truth))
    confidence = logistic(scale * logits + offset)
    rows, error = reliability(confidence[judged], truth[judged])
    table, hits, false = froc(confidence, candidates, nodules, len(TRAIN_SERIES))
    report = {
        "candidates": int(judged.sum()), "nodules": len(nodules), "patients": len({c["name"] for c in candidates}),
        "whole_scans": len(TRAIN_SERIES), "found_at_half": int((hits >= 0.5).sum()),
        "false_a_scan_at_half": float((false >= 0.5).sum() / len(TRAIN_SERIES)),
        "candidates_a_scan": float((whole & judged).sum() / len(TRAIN_SERIES)),
        "froc": table, "cpm": float(np.mean(list(table.values()))),
        "reliability": rows, "ece": error,
        "inserted": {
            "candidates": len(inserted_truth), "hits": int(inserted_truth.sum()),
            "ece": reliability(logistic(scale * inserted_logits + offset), inserted_truth)[1],
        },
        "by_size": by_size(nodules, hits),
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    (out / "out-of-fold.json").write_text(json.dumps(report, indent=1))
    calibration = {"scale": scale, "offset": offset}
    (out / "calibration.json").write_text(json.dumps(calibration, indent=1))
    print(calibration)


def by_size(nodules, hits):
    rows = []
    for low, high in ((0, 6), (6, 8), (8, 12), (12, 40)):
        inside = [h for n, h in zip(nodules, hits) if low <= n["diameter_mm"] < high]
        rows.append({"from_mm": low, "to_mm": high, "n": len(inside), "found_at_half": int(np.sum(np.array(inside) >= 0.5))})
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]))
