"""Lymph nodes put into a real chest CT, and what a model found of them: the judge of models/lymph-node.

    python node-phantoms.py make SERIES OUT --seed S [--nodes N]    a new series OUT/series with its OUT/truth.json
    python node-phantoms.py score --phantoms TRUTH FINDINGS ... --real FINDINGS ...

Made otherwise than the training's nodes (models/training/lymph_node/nodes.py) so that it judges the model, not their likeness:
on the scan's own grid; forms are superellipsoids and pairs of balls, sampled finer than voxels and blurred as the scanner
does; nothing is pushed aside: a node lies where there is fat enough for it, may cover some soft tissue, and no more than a
little of air, bone and contrast medium; its noise is that of the fat that it replaces. Needs pydicom, numpy, scipy.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage as ndi

# Short axis in mm, share of the nodes.
TABLE = (((8, 10), 0.25), ((10, 15), 0.4), ((15, 20), 0.2), ((20, 28), 0.15))
AXILLARY = 0.3  # share of the nodes; the others lie in the mediastinum and at the hila
PLAIN_HU, ENHANCED_HU = (25, 55), (60, 105)
FATTY_HILUM = 0.25  # share of the nodes of 10 mm and more
APART_MM = 6  # between surfaces
BLUR_MM = 0.5  # one sigma within a slice
MOST_TISSUE, MOST_OTHER = 0.45, 0.06  # of a node's volume: soft tissue; air, bone and contrast medium
TRIES = 3000
NEAR_MM = 3  # a candidate hits the nodes within this distance of its centroid
IDENTITY = {"PatientName": "PHANTOM^NODES", "PatientID": "PHANTOM-NODES", "PatientBirthDate": "", "PatientSex": "O"}


def read(folder):
    """Slices, foot to head, their HU, and the spacing along z, y, x."""
    slices = [pydicom.dcmread(p) for p in sorted(Path(folder).glob("*.dcm"))]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    hu = np.stack([s.pixel_array * np.float32(s.RescaleSlope) + np.float32(s.RescaleIntercept) for s in slices])
    steps = np.diff([float(s.ImagePositionPatient[2]) for s in slices])
    return slices, hu, np.array([np.median(steps), *map(float, slices[0].PixelSpacing)])


class Chest:
    """Where nodes may lie, on every second row and column."""

    def __init__(self, hu, spacing):
        self.hu, self.spacing = hu, spacing
        small = ndi.uniform_filter(hu, (1, 3, 3))[:, ::2, ::2]
        body = np.stack([largest(ndi.binary_opening(s > -250, iterations=2)) for s in small])
        body = np.stack([ndi.binary_fill_holes(s) for s in body])
        lung = ndi.binary_opening((small < -600) & body, iterations=2)
        sizes = np.bincount((labels := ndi.label(lung)[0]).ravel())
        sizes[0] = 0
        lung = sizes[labels] > 0.1 * sizes.max()
        fat = (small > -140) & (small < -40) & body
        to_right, to_left = reach(lung, 1), reach(lung, -1)
        x_mm = 2 * spacing[2]
        between = (to_right * x_mm < 80) & (to_left * x_mm < 80)
        rows = lung.any((0, 2)).nonzero()[0]
        depth = (np.arange(lung.shape[1])[None, :, None] - rows[0]) / (rows[-1] - rows[0])
        area = lung.sum((1, 2))
        slices = np.arange(len(area))
        chest = (area > 0.8 * area.max()) | (slices > area.argmax())
        apex = np.flatnonzero(area > 0.15 * area.max())[-1]
        upper = (slices <= apex) & (slices > apex - 130 / spacing[0])
        beside = np.minimum(to_right, to_left) * x_mm
        one_side = (to_right * x_mm > 200) ^ (to_left * x_mm > 200)
        skin = ndi.distance_transform_edt(body, sampling=(1e3, 2 * spacing[1], x_mm)) > 18
        axilla = one_side & (beside > 18) & (beside < 75) & skin & upper[:, None, None] & (depth > 0.2) & (depth < 0.7)
        self.places = [np.argwhere(fat & between & (depth < 0.75) & chest[:, None, None]), np.argwhere(fat & axilla)]
        middle = hu[:, hu.shape[1] // 3 : 2 * hu.shape[1] // 3, hu.shape[2] // 3 : 2 * hu.shape[2] // 3]
        even = ndi.uniform_filter(middle[area > 0.7 * area.max()], (1, 7, 7))
        blood = even[(even > 20) & (even < 450)]
        self.enhanced = bool(np.percentile(blood, 60) > 110)
        way = np.random.default_rng(0).standard_normal((60, 3))
        self.ways = way / np.linalg.norm(way, axis=1, keepdims=True)

    def promising(self, centre, short_mm):
        """Whether a ball of the short axis would lie where a node may: cheaper than drawing one."""
        index = np.round(centre + self.ways * (short_mm * 0.45) / self.spacing).astype(int)
        if (index < 0).any() or (index >= self.hu.shape).any():
            return False
        hu = self.hu[tuple(index.T)]
        return ((hu < -250) | (hu > 200)).mean() < 2 * MOST_OTHER and (hu > -20).mean() < MOST_TISSUE + 0.15


def largest(mask):
    labels, count = ndi.label(mask)
    return labels == 1 + np.argmax(ndi.sum_labels(mask, labels, range(1, count + 1))) if count else mask


def reach(mask, way):
    """Voxels along a row to the next of the mask, towards lower (1) or higher x (-1)."""
    flipped = mask[:, :, ::way]
    index = np.where(flipped, np.arange(mask.shape[2]), -10_000)
    return (np.arange(mask.shape[2]) - np.maximum.accumulate(index, 2))[:, :, ::way]


def form(rng, short_mm):
    """A function of offsets in mm, positive inside; and the radius of a ball that holds it."""
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    half = short_mm / 2
    if rng.random() < 0.6:
        axes = half * np.array([1, rng.uniform(1, 1.4), rng.uniform(1.1, 1.7)])
        power = rng.uniform(1.8, 2.8)
        return lambda q: 1 - (np.abs(np.tensordot(turn, q, 1) / axes.reshape(3, 1, 1, 1)) ** power).sum(0), axes[2] * 1.3
    second, apart = rng.uniform(0.7, 1) * half, rng.uniform(0.5, 1.0) * half
    way = (turn[0] * apart).reshape(3, 1, 1, 1)
    ball = lambda q, r: r - np.sqrt((q**2).sum(0))  # noqa: E731
    return lambda q: np.maximum(ball(q + way / 2, half), ball(q - way / 2, second)), half + apart


class Node:
    """A form in its place: the share of each voxel of a box that it fills."""

    def __init__(self, chest, centre, inside, radius_mm):
        low = np.floor(centre - (radius_mm + 3) / chest.spacing).astype(int)
        high = np.ceil(centre + (radius_mm + 3) / chest.spacing).astype(int) + 1
        self.fits = (low >= 0).all() and (high <= chest.hu.shape).all()
        if not self.fits:
            return
        self.box = tuple(map(slice, low, high))
        fine = (np.ceil(chest.spacing / 0.5)).astype(int)
        axes = [(np.arange((b - a) * n) + 0.5) / n - 0.5 + a for a, b, n in zip(low, high, fine)]
        offsets = np.stack(np.meshgrid(*[(a - c) * s for a, c, s in zip(axes, centre, chest.spacing)], indexing="ij"))
        self.fine = inside(offsets) > 0
        self.offsets, self.steps = offsets, fine
        self.filled = self.coarse(self.fine)

    def coarse(self, values):
        z, y, x = self.steps
        shape = [n // k for n, k in zip(values.shape, self.steps)]
        return values.reshape(shape[0], z, shape[1], y, shape[2], x).mean((1, 3, 5))

    def allowed(self, chest, taken):
        hu, weight = ndi.uniform_filter(chest.hu[self.box], (1, 3, 3)), self.filled
        share = lambda what: (what * weight).sum() / weight.sum()  # noqa: E731
        other = (hu < -250) | (hu > (130 if chest.enhanced else 200))
        return share(other) < MOST_OTHER and share((hu > -20) & ~other) < MOST_TISSUE and not (taken[self.box] & (weight > 0)).any()

    def mix(self, rng, chest, short_mm):
        """Draws it into the chest; its mean HU."""
        value = rng.uniform(*(ENHANCED_HU if chest.enhanced else PLAIN_HU))
        inner = np.full(self.fine.shape, value, np.float32)
        if short_mm >= 10 and rng.random() < FATTY_HILUM:
            way = rng.standard_normal(3)
            at = (way / np.linalg.norm(way) * short_mm * rng.uniform(0.15, 0.35)).reshape(3, 1, 1, 1)
            inner[((self.offsets - at) ** 2).sum(0) < (short_mm * rng.uniform(0.15, 0.25)) ** 2] = rng.uniform(-80, -30)
        sigma = [0.3, BLUR_MM / chest.spacing[1], BLUR_MM / chest.spacing[2]]
        part = ndi.gaussian_filter(self.filled, sigma)
        lesion = ndi.gaussian_filter(self.coarse(inner * self.fine), sigma) / np.maximum(part, 1e-3)
        before = chest.hu[self.box]
        rest = before - ndi.gaussian_filter(before, [0, 1.5, 1.5])
        sigma_hu = 1.4826 * np.median(np.abs(rest))
        noise = np.clip(rest, -2.5 * sigma_hu, 2.5 * sigma_hu)
        chest.hu[self.box] = before + part * (lesion + noise - before)
        return value


def make(args):
    rng = np.random.default_rng([args.seed, 77])
    slices, hu, spacing = read(args.series)
    chest = Chest(hu, spacing)
    taken, labels, nodes = np.zeros(hu.shape, bool), np.zeros(hu.shape, np.uint8), []
    sizes = rng.choice(len(TABLE), args.nodes, p=[share for _, share in TABLE])
    shorts = sorted((rng.uniform(*TABLE[k][0]) for k in sizes), reverse=True)
    for short_mm in shorts:
        axillary = bool(rng.random() < AXILLARY)
        places = chest.places[axillary]
        for _ in range(TRIES):
            z, y, x = places[rng.integers(len(places))]
            centre = np.array([z, 2 * y, 2 * x]) + rng.uniform(-0.5, 0.5, 3)
            if not chest.promising(centre, short_mm):
                continue
            node = Node(chest, centre, *form(rng, short_mm))
            if node.fits and node.allowed(chest, taken):
                break
        else:
            continue  # no room for it in this chest
        value = node.mix(rng, chest, short_mm)
        inside = node.filled >= 0.5
        labels[node.box][inside] = len(nodes) + 1
        grown = ndi.distance_transform_edt(~(labels[node.box] == len(nodes) + 1), sampling=spacing) < APART_MM
        taken[node.box] |= grown
        index = np.array([s.start for s in node.box]) + np.argwhere(inside).mean(0)
        voxels = (np.argwhere(inside) + [s.start for s in node.box]).tolist()
        nodes.append({"short_mm": short_mm, "axillary": axillary, "hu": value, "voxels": voxels, "index_zyx": index.tolist()})
    write(args, slices, chest, spacing, nodes)


def write(args, slices, chest, spacing, nodes):
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    (args.out / "series").mkdir(parents=True)
    for k, s in enumerate(slices):
        stored = np.round((chest.hu[k] - float(s.RescaleIntercept)) / float(s.RescaleSlope))
        bits, signed = s.BitsStored, s.PixelRepresentation
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        s.PixelData = stored.clip(low, high).astype("<i2" if signed else "<u2").tobytes()
        for keyword, value in IDENTITY.items():
            setattr(s, keyword, value)
        s.SeriesInstanceUID, s.StudyInstanceUID, s.FrameOfReferenceUID = series, study, frame
        s.SOPInstanceUID = s.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        s.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        s.save_as(args.out / "series" / f"{k:05}.dcm")
    origin = np.array(slices[0].ImagePositionPatient, float)
    lps = lambda v: (origin + np.array([v[2] * spacing[2], v[1] * spacing[1], v[0] * spacing[0]])).tolist()  # noqa: E731
    for node in nodes:
        node["centre_lps_mm"] = lps(node.pop("index_zyx"))
        node["voxels_lps_mm"] = [np.round(lps(v), 2).tolist() for v in node.pop("voxels")]
    truth = {"series_instance_uid": series, "enhanced": chest.enhanced, "nodes": nodes}
    (args.out / "truth.json").write_text(json.dumps(truth))
    print(f"{len(nodes)} nodes, {sum(n['axillary'] for n in nodes)} axillary, {'contrast' if chest.enhanced else 'plain'}")


def candidates(path):
    lesions = json.loads(Path(path).read_text())["lesions"]
    return [(c["confidence"], np.array(c["centroid_lps_mm"])) for c in lesions if c["kind"] == "lymph-node"]


def score(args):
    """Sensitivity at each rate of false positives of the phantoms, and the candidates at 0.5 of scans as they are."""
    best, shorts, axillary, false, enhanced = [], [], [], [], []
    for truth, findings in zip(args.phantoms[::2], args.phantoms[1::2]):
        document = json.loads(Path(truth).read_text())
        voxels = [np.array(n["voxels_lps_mm"]) for n in document["nodes"]]
        hits = [0.0] * len(voxels)
        for confidence, centre in candidates(findings):
            near = [k for k, v in enumerate(voxels) if np.sqrt(((v - centre) ** 2).sum(1).min()) <= NEAR_MM]
            for k in near:
                hits[k] = max(hits[k], confidence)
            if not near:
                false.append(confidence)
        best += hits
        shorts += [n["short_mm"] for n in document["nodes"]]
        axillary += [n["axillary"] for n in document["nodes"]]
    best, shorts, axillary = np.array(best), np.array(shorts), np.array(axillary)
    scans, false = len(args.phantoms) // 2, np.sort(false)[::-1]
    if scans:
        print(f"{len(best)} nodes in {scans} phantoms")
        for rate in (0.5, 1, 2, 4, 8):
            allowed = int(rate * scans)
            threshold = false[allowed] if allowed < len(false) else 0
            print(f"sensitivity at {rate} false positives a scan: {(best > threshold).mean():.3f} (confidence above {threshold:.3f})")
        at_half = best >= 0.5
        print(f"at 0.5: {at_half.sum()} found, {(false >= 0.5).sum() / scans:.2f} false positives a scan")
        for (low, high), _ in TABLE:
            own = (shorts >= low) & (shorts < high)
            print(f"  short axis {low} to {high} mm: {at_half[own].sum()} of {own.sum()}")
        print(f"  axillary: {at_half[axillary].sum()} of {axillary.sum()}")
    for findings in args.real:
        print(f"{findings}: {sum(c >= 0.5 for c, _ in candidates(findings))} candidates at 0.5")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make")
    making.add_argument("series", type=Path)
    making.add_argument("out", type=Path)
    making.add_argument("--seed", type=int, required=True)
    making.add_argument("--nodes", type=int, default=12)
    making.set_defaults(run=make)
    scoring = commands.add_parser("score")
    scoring.add_argument("--phantoms", nargs="*", default=[])
    scoring.add_argument("--real", nargs="*", default=[])
    scoring.set_defaults(run=score)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
