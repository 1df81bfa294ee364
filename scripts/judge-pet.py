#!/usr/bin/env python3
"""Counts what was found in PET/CT phantoms: `judge-pet.py OUT`, with OUT/truth/SEED.json and OUT/results/SEED.json.

A lesion is found by a `pet-lesion` whose centroid lies in it, or no farther from its middle than 4 mm, a voxel; every other
`pet-lesion` is a false positive. An organ is recognised by a `physiologic-uptake` whose centroid lies in the box around it.
"""
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

VOXEL_MM = 4.0
RATES = (0.5, 1, 2, 4)
MIN_ORGAN_SUV = 4.0


def holds(lesion, at):
    off = [a - c for a, c in zip(at, lesion["centroid_lps_mm"])]
    if math.hypot(*off) <= VOXEL_MM:
        return True
    if not lesion["axes"]:
        return math.hypot(*off) <= lesion["equivalent_diameter_mm"] / 2
    along = (sum(o * d for o, d in zip(off, axis)) / s for axis, s in zip(lesion["axes"], lesion["semi_axes_mm"]))
    return sum(a * a for a in along) <= 1


def main(out):
    best, false, errors, places = {}, [], [], defaultdict(list)
    organs, liver, pool = defaultdict(list), [], []
    scans = sorted(p.stem for p in (out / "truth").glob("*.json"))
    for scan in scans:
        truth = json.loads((out / "truth" / f"{scan}.json").read_text())["pet"]
        result = json.loads((out / "results" / f"{scan}.json").read_text())
        found = [l for l in result["lesions"] if l["kind"] == "pet-lesion"]
        normal = [l for l in result["lesions"] if l["kind"] == "physiologic-uptake"]
        for candidate in found:
            hit = [t for t in truth["lesions"] if holds(t, candidate["centroid_lps_mm"])]
            if not hit:
                false.append(candidate["confidence"])
            for t in hit:
                key = (scan, t["label"])
                if candidate["confidence"] > best.get(key, (0, 0))[0]:
                    best[key] = (candidate["confidence"], candidate["volume_mm3"] / t["volume_mm3"] - 1)
        for t in truth["lesions"]:
            confidence, error = best.get((scan, t["label"]), (0, None))
            pairs = {u["touches"] for u in truth["lesions"]} | {u["label"] for u in truth["lesions"] if u["touches"]}
            place = t["place"] + (", one of a touching pair" if t["label"] in pairs else "")
            places[place].append(confidence > 0)
            if error is not None:
                errors.append(error)
        for organ in truth["physiologic"]:
            if organ["suv"] < MIN_ORGAN_SUV:
                continue
            near = lambda l: all(abs(a - c) <= h + VOXEL_MM for a, c, h in zip(l["centroid_lps_mm"], organ["centre_lps_mm"], organ["half_size_mm"]))
            organs[organ["name"]].append(any(near(l) for l in normal))
        run = next(s for s in result["series"] if s["model"] == "pet-uptake")
        for region in run["reference_regions"]:
            if region["missing"] is None:
                (liver if region["site"] == "liver" else pool).append(region["suv_mean"] / truth["liver_suv" if region["site"] == "liver" else "blood_pool_suv"] - 1)
    count = sum(len(v) for v in places.values())
    print(f"{len(scans)} phantoms, {count} lesions; all candidates: {len(best)} found, {len(false) / len(scans):.1f} false positives a scan")
    false.sort(reverse=True)
    print("| false positives a scan | sensitivity |\n| --- | --- |")
    for rate in RATES:
        allowed = int(rate * len(scans))
        threshold = false[allowed] if allowed < len(false) else 0
        print(f"| {rate} | {sum(c > threshold for c, _ in best.values()) / count:.3f} |")
    print("| place | found |\n| --- | --- |")
    for place, hits in sorted(places.items()):
        print(f"| {place} | {sum(hits)} of {len(hits)} |")
    print("| organ of SUV 4 and more | shown as physiologic |\n| --- | --- |")
    for name, hits in sorted(organs.items()):
        print(f"| {name} | {sum(hits)} of {len(hits)} |")
    for name, values in (("liver", liver), ("blood pool", pool), ("volume of lesions found", errors)):
        values.sort()
        middle = values[len(values) // 2] if values else float("nan")
        print(f"{name}: n {len(values)}, median error {middle:+.1%}, from {min(values, default=0):+.1%} to {max(values, default=0):+.1%}")


main(Path(sys.argv[1]))
