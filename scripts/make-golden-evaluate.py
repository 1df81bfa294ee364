#!/usr/bin/env python3
"""Writes testdata/evaluate: small truths and results, and what other programs count and measure in them.

Usage: make-golden-evaluate.py JUDGE LIDC_FOLDER
Needs numpy, scipy and nibabel. JUDGE is judge_lesions.py, the outside judge of what counts as found, whose last line is stored.
LIDC_FOLDER holds LIDC-IDRI-*.truth.json with their label maps; of these only the train series are read.

FROC follows LUNA16's noduleCADEvaluationLUNA16.py: thresholds are all confidences that occur, equal ones together, interpolation
is numpy.interp. Surface distances are those of Heimann 2009: surfaces are voxels that erosion with the six neighbours takes away,
distances come from SciPy's Euclidean distance transform.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

OUT = Path(__file__).parent.parent / "testdata/evaluate"
TRAIN = ["0001", "0003", "0005", "0007"]
RATES = [0.125, 0.25, 0.5, 1, 2, 4, 8]
BINS = 15
UID = "1.2.826.0.1.3680043.8.498.7"


def truth(name: str, series: str, shape_zyx, spacing_zyx, origin_lps, nodules, rng):
    """A truth file and its label map: balls about `nodules` (index zyx, radius mm, readers)."""
    labels = np.zeros(shape_zyx, np.uint8)
    grid = np.stack(np.indices(shape_zyx), -1)
    entries = []
    for label, (centre, radius, readers) in enumerate(nodules, 1):
        inside = np.linalg.norm((grid - centre) * spacing_zyx, axis=-1) <= radius
        labels[inside] = label
        index = np.argwhere(inside).mean(0)
        z, y, x = index * spacing_zyx
        volume = float(inside.sum() * np.prod(spacing_zyx))
        entries.append({
            "label": label,
            "readers": readers,
            "centroid_index_zyx": index.round(1).tolist(),
            "centroid_lps_mm": (np.array([x, y, z]) + origin_lps).round(2).tolist(),
            "volume_mm3": round(volume, 1),
            "equivalent_diameter_mm": round((6 * volume / np.pi) ** (1 / 3), 2),
            "ratings": {"texture": rng.integers(1, 6, readers).tolist()},
        })
    dz, dy, dx = spacing_zyx
    affine = np.diag([-dx, -dy, dz, 1.0])
    affine[:3, 3] = np.array(origin_lps) * [-1, -1, 1]
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    folder = OUT / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.truth.nii.gz").write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))
    document = {
        "patient": name,
        "series_instance_uid": series,
        "shape_zyx": list(shape_zyx),
        "spacing_zyx_mm": list(spacing_zyx),
        "source": "balls, by make-golden-evaluate.py",
        "nodules": entries,
    }
    (folder / f"{name}.truth.json").write_text(json.dumps(document, indent=1) + "\n")


def findings(folder: Path, series: str, candidates):
    """findings.json with `candidates` (LPS, confidence) and a lesion of another kind, which does not count."""
    entry = lambda i, kind, lps, confidence: {
        "id": i,
        "tracking_uid": f"{series}.{i}",
        "kind": kind,
        "series_instance_uid": series,
        "confidence": round(float(confidence), 3),
        "centroid_lps_mm": np.round(lps, 3).tolist(),
        "volume_mm3": 100.0,
    }
    lesions = [entry(i, "lung-nodule", *c) for i, c in enumerate(candidates, 1)]
    lesions.append(entry(len(lesions) + 1, "lymph-node", [0, 0, 0], 1.0))
    document = {
        "schema_version": 1,
        "study_instance_uid": series + ".9",
        "series": [{"series_instance_uid": series, "modality": "CT", "model": "m", "status": "done", "reason": None}],
        "lesions": lesions,
        "provenance": {"models": [{"name": "m", "version": "1", "sha256": "ab" * 32}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "findings.json").write_text(json.dumps(document) + "\n")


def candidates(nodules, rng, count, low, high):
    """Half of them about nodules, at distances where hit rules differ; confidences tie on purpose."""
    for i in range(count):
        if i % 2 and nodules:
            nodule = nodules[rng.integers(len(nodules))]
            reach = nodule["equivalent_diameter_mm"] / 2 + 3
            lps = np.array(nodule["centroid_lps_mm"]) + rng.normal(size=3) * reach / 2.5
            yield lps, rng.integers(8, 41) / 40
        else:
            yield rng.uniform(low, high), rng.integers(0, 41) ** 2 / 1600


def synthetic(rng):
    cases = [
        # 2 mm over 0.8 mm is 2.5 voxels, which Python rounds to 2.
        ("a", (24, 48, 50), (2.5, 0.8, 0.8), (-10.0, 20.0, -30.0), [((8, 14, 12), 4, 4), ((16, 30, 35), 6, 3), ((5, 40, 40), 2.6, 1)]),
        ("b", (30, 40, 44), (1.25, 0.7, 0.75), (5.5, -7.25, 100.0), [((15, 20, 20), 5, 4), ((15, 20, 33), 4, 2), ((4, 6, 6), 3, 3)]),
        ("c", (12, 40, 40), (5.0, 1.0, 1.0), (0.0, 0.0, 0.0), []),
        ("d", (20, 30, 32), (3.0, 0.9, 0.9), (-50.0, -40.0, 7.0), [((10, 15, 15), 9, 4), ((3, 4, 5), 2.1, 4)]),
    ]
    for number, (name, shape, spacing, origin, nodules) in enumerate(cases, 1):
        series = f"{UID}.{number}"
        truth(name, series, shape, np.array(spacing), np.array(origin), nodules, rng)
        if name == "d":
            # Processed, and nothing was found in it.
            findings(OUT / "results" / series, series, [])
            continue
        known = json.loads((OUT / f"truth/{name}.truth.json").read_text())["nodules"]
        extent = np.array(shape[::-1]) * np.array(spacing[::-1])
        found = candidates(known, rng, 30, np.array(origin) - 3, np.array(origin) + extent + 3)
        findings(OUT / "results" / series, series, list(found))
    # Not processed.
    truth("e", f"{UID}.5", (4, 8, 8), np.array([2.0, 1.0, 1.0]), np.zeros(3), [((2, 4, 4), 2.0, 4)], rng)


def lidc(folder: Path, rng):
    for case in TRAIN:
        known = json.loads((folder / f"LIDC-IDRI-{case}.truth.json").read_text())
        image = nib.load(folder / f"LIDC-IDRI-{case}.truth.nii.gz")
        corners = [image.affine @ [*c, 1] for c in ([0, 0, 0], np.array(image.shape) - 1)]
        low, high = [np.array(c[:3]) * [-1, -1, 1] for c in corners]
        found = candidates(known["nodules"], rng, 60, low, high)
        findings(OUT / "lidc" / case, known["series_instance_uid"], list(found))


def judged(judge: Path, truths: Path, results: Path):
    """What the judge prints last, for several readers and thresholds."""
    rows = []
    for readers in (1, 3, 4):
        for threshold in (0.0, 0.3, 0.5, 0.725, 0.95):
            command = [sys.executable, judge, truths, results, "--readers", readers, "--threshold", threshold]
            printed = subprocess.run([str(c) for c in command], capture_output=True, text=True).stdout
            last = printed.strip().splitlines()[-1]
            cases, found, nodules = map(int, re.match(r"(\d+) cases, (\d+) of (\d+) nodules", last).groups())
            wrong = sum(int(n) for n in re.findall(r"false positives (\d+),", printed))
            rows.append({
                "readers": readers,
                "threshold": threshold,
                "cases": cases,
                "found": found,
                "nodules": nodules,
                "false_positives": wrong,
                "printed": last,
            })
    return rows


def outcomes(readers: int):
    """For each processed series: of each nodule the highest confidence of what hits it, and confidence and outcome of each mark."""
    for file in sorted((OUT / "truth").glob("*.json")):
        known = json.loads(file.read_text())
        result = OUT / "results" / known["series_instance_uid"] / "findings.json"
        if not result.exists():
            continue
        image = nib.load(str(file)[:-5] + ".nii.gz")
        labels = np.asarray(image.dataobj)
        counted = {n["label"] for n in known["nodules"] if n["readers"] >= readers}
        marks, best = [], {}
        for lesion in json.loads(result.read_text())["lesions"]:
            if lesion["kind"] != "lung-nodule":
                continue
            x, y, z = lesion["centroid_lps_mm"]
            index = np.rint(np.linalg.inv(image.affine) @ [-x, -y, z, 1])[:3].astype(int)
            hits = set()
            if all(0 <= i < n for i, n in zip(index, labels.shape)):
                reach = [max(1, round(2 / size)) for size in image.header.get_zooms()]
                box = tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(index, reach))
                hits = {int(v) for v in np.unique(labels[box]) if v}
            for nodule in known["nodules"]:
                distance = np.linalg.norm(np.subtract(lesion["centroid_lps_mm"], nodule["centroid_lps_mm"]))
                if distance <= max(nodule["equivalent_diameter_mm"] / 2, 3):
                    hits.add(nodule["label"])
            for label in hits & counted:
                best[label] = max(best.get(label, 0.0), lesion["confidence"])
            outcome = "hit" if hits & counted else "ignored" if hits else "wrong"
            marks.append((lesion["confidence"], outcome))
        yield counted, best, marks


def froc(scans):
    nodules = sum(len(counted) for counted, _, _ in scans)
    found = np.array([c for _, best, _ in scans for c in best.values()])
    wrong = np.array([c for _, _, marks in scans for c, outcome in marks if outcome == "wrong"])
    thresholds = np.unique(np.concatenate([found, wrong]))[::-1]
    rates = np.array([0.0] + [(wrong >= t).sum() / len(scans) for t in thresholds])
    sensitivities = np.array([0.0] + [(found >= t).sum() / nodules for t in thresholds])
    points = np.interp(RATES, rates, sensitivities)
    return {
        "thresholds": thresholds.tolist(),
        "false_positives_per_scan": rates.tolist(),
        "sensitivity": sensitivities.tolist(),
        "operating_points": points.tolist(),
        "cpm": float(points.mean()),
    }


def calibration(scans):
    samples = [(c, outcome == "hit") for _, _, marks in scans for c, outcome in marks if outcome != "ignored"]
    confidence, hit = np.array(samples, float).T
    # Candidates of equal confidence share their mean outcome.
    values, inverse = np.unique(confidence, return_inverse=True)
    shared = (np.bincount(inverse, hit) / np.bincount(inverse))[inverse]
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, BINS)
    rows = [(len(b), confidence[b].mean(), shared[b].mean()) for b in bins]
    return {
        "n": len(confidence),
        "hits": int(hit.sum()),
        "bins": [{"n": n, "confidence": c, "observed": o} for n, c, o in rows],
        "ece": sum(n * abs(c - o) for n, c, o in rows) / len(confidence),
        "brier": float(np.mean((confidence - hit) ** 2)),
    }


def overlaps(rng):
    shape, spacing = (12, 33, 27), (2.5, 0.7, 0.75)
    grid = np.stack(np.indices(shape), -1)
    ball = lambda centre, radius: np.linalg.norm((grid - centre) * spacing, axis=-1) <= radius
    rough = ball((6, 16, 13), 6) & (rng.random(shape) < 0.8)
    pairs = {
        "shifted balls": (ball((6, 16, 13), 5), ball((6, 17, 15), 5.5)),
        "a rough and a smooth one": (rough, ball((6, 15, 13), 5)),
        "at the edge of the grid": (ball((0, 1, 2), 4), ball((1, 0, 0), 5)),
        "one voxel and a ball": (ball((6, 16, 13), 0.1), ball((6, 16, 14), 3)),
        "apart": (ball((2, 5, 5), 2.6), ball((9, 25, 20), 2.6)),
        "the same": (ball((6, 16, 13), 4), ball((6, 16, 13), 4)),
    }
    rows = []
    for name, (a, b) in pairs.items():
        surface = [m ^ ndi.binary_erosion(m) for m in (a, b)]
        to = [ndi.distance_transform_edt(~s, sampling=spacing) for s in surface]
        both = np.concatenate([to[1][surface[0]], to[0][surface[1]]])
        rows.append({
            "name": name,
            "segment": np.argwhere(a).tolist(),
            "truth": np.argwhere(b).tolist(),
            "dice": float(2 * (a & b).sum() / (a.sum() + b.sum())),
            "surface_distance_mm": float(both.mean()),
        })
    return rows


def main() -> None:
    judge, folder = map(Path, sys.argv[1:])
    shutil.rmtree(OUT, ignore_errors=True)
    rng = np.random.default_rng(20261122)
    synthetic(rng)
    lidc(folder, rng)
    scans = list(outcomes(3))
    with tempfile.TemporaryDirectory() as train:
        for case in TRAIN:
            for ending in ("json", "nii.gz"):
                shutil.copy(folder / f"LIDC-IDRI-{case}.truth.{ending}", train)
        golden = {
            "judge": judged(judge, OUT / "truth", OUT / "results"),
            "judge_lidc": judged(judge, Path(train), OUT / "lidc"),
            "froc": froc(scans),
            "calibration": calibration(scans),
            "overlaps": overlaps(rng),
        }
    text = json.dumps(golden, indent=1)
    # Numbers of a list on one line.
    text = re.sub(r"\[[-\d.e,\s]+\]", lambda m: re.sub(r"\s+", " ", m.group()), text)
    (OUT / "golden.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
