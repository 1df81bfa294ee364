#!/usr/bin/env python3
"""Writes testdata/golden/pet-uptake.json: uptake in the contours of STS_001 by pydicom and NumPy, without a line of Hilum.

    python3 scripts/make-golden-pet.py ../shared/data

Needs pydicom and NumPy. SUV and contours are those of make-golden-suv.py. A voxel counts with the volume of its slice, half-way
to both neighbours. SUVpeak is the highest mean over 100,000 points in a sphere of 1 cm3, each with the value of the voxel that it lies
in, over centres in voxels of the region: tried 2 mm apart with fewer points, the best then 0.5 and 0.2 mm apart.
"""
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pydicom

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "testdata" / "golden" / "pet-uptake.json"
RADIUS_MM = (3 / (4 * np.pi)) ** (1 / 3) * 10


def golden_suv():
    spec = importlib.util.spec_from_file_location("golden_suv", HERE / "make-golden-suv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Grid:
    def __init__(self, slices):
        first = slices[0]
        self.dy, self.dx = map(float, first.PixelSpacing)
        self.x0, self.y0 = map(float, first.ImagePositionPatient[:2])
        self.z = np.array([float(s.ImagePositionPatient[2]) for s in slices])
        gaps = np.diff(self.z)
        self.thickness = np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])
        middles = (self.z[1:] + self.z[:-1]) / 2
        self.borders = np.concatenate([[self.z[0] - gaps[0] / 2], middles, [self.z[-1] + gaps[-1] / 2]])
        self.size = np.array([len(slices), first.Rows, first.Columns])

    def voxel(self, points):
        x = np.floor((points[..., 0] - self.x0) / self.dx + 0.5).astype(int)
        y = np.floor((points[..., 1] - self.y0) / self.dy + 0.5).astype(int)
        z = np.searchsorted(self.borders, points[..., 2], side="right") - 1
        return z, y, x


def ball(count):
    """Points spread evenly through the sphere, in no lattice that could fall in step with the voxels."""
    golden = 1.22074408460575947536  # x**4 = x + 1
    steps = golden ** -np.arange(1.0, 4.0)
    cube = np.mod(0.5 + np.arange(1, int(count * 6 / np.pi) + 1)[:, None] * steps, 1.0)
    points = (2 * cube - 1) * RADIUS_MM
    return points[np.linalg.norm(points, axis=1) <= RADIUS_MM]


def means(centres, points, grid, suv):
    return np.array([suv[grid.voxel(centre + points)].mean() for centre in centres])


def in_mask(centres, grid, mask):
    return centres[mask[grid.voxel(centres)]]


def around(centre, reach_mm, step_mm):
    at = np.arange(-reach_mm, reach_mm + step_mm / 2, step_mm)
    return centre + np.stack(np.meshgrid(at, at, at, indexing="ij"), -1).reshape(-1, 3)


def peak(mask, grid, suv):
    z, y, x = np.nonzero(mask)
    low = np.array([grid.x0 + (x.min() - 0.5) * grid.dx, grid.y0 + (y.min() - 0.5) * grid.dy, grid.borders[z.min()]])
    high = np.array([grid.x0 + (x.max() + 0.5) * grid.dx, grid.y0 + (y.max() + 0.5) * grid.dy, grid.borders[z.max() + 1]])
    axes = [np.arange(a + 0.5, b, 2.0) for a, b in zip(low, high)]
    centres = in_mask(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3), grid, mask)
    best = centres[np.argsort(means(centres, ball(1000), grid, suv))[-40:]]
    fine = np.concatenate([in_mask(around(c, 1.5, 0.5), grid, mask) for c in best])
    best = fine[np.argsort(means(fine, ball(4000), grid, suv))[-10:]]
    fine = np.concatenate([in_mask(around(c, 0.4, 0.2), grid, mask) for c in best])
    found = means(fine, ball(100_000), grid, suv)
    return float(found.max()), fine[found.argmax()].tolist()


def uptake(mask, grid, suv):
    values = suv[mask]
    voxel_ml = (grid.dx * grid.dy * grid.thickness / 1000)[np.nonzero(mask)[0]]
    z, y, x = np.unravel_index(np.argmax(np.where(mask, suv, -np.inf)), suv.shape)
    mtv_ml = voxel_ml.sum()
    suv_mean = (values * voxel_ml).sum() / mtv_ml
    suv_peak, centre = peak(mask, grid, suv)
    least = {"part-of-max": 0.41 * values.max(), "2.5": 2.5, "4.0": 4.0}
    return {
        "voxels": int(values.size),
        "suv_max": float(values.max()),
        "suv_max_lps_mm": [grid.x0 + x * grid.dx, grid.y0 + y * grid.dy, grid.z[z]],
        "suv_mean": float(suv_mean),
        "suv_peak": suv_peak,
        "suv_peak_lps_mm": centre,
        "mtv_ml": float(mtv_ml),
        "tlg_g": float((values * voxel_ml).sum()),
        "by_rule": {
            name: {"mtv_ml": float(voxel_ml[values >= limit].sum()), "tlg_g": float((values * voxel_ml)[values >= limit].sum())}
            for name, limit in least.items()
        },
    }


def main():
    suv_of = golden_suv()
    folder = Path(sys.argv[1]) / "pet" / "STS_001"
    slices = suv_of.slices_of(folder)
    suv, _ = suv_of.suvbw(slices)
    grid = Grid(slices)
    structures = pydicom.dcmread(folder / "mask" / "1-1.dcm")
    names = {int(r.ROINumber): r.ROIName for r in structures.StructureSetROISequence}
    rois = structures.ROIContourSequence
    masks = {names[int(r.ReferencedROINumber)]: suv_of.inside(r.ContourSequence, slices) for r in rois}
    golden = {
        "made_by": f"pydicom {pydicom.__version__}, NumPy {np.__version__}",
        "rois": {name: uptake(mask, grid, suv) for name, mask in masks.items()},
    }
    OUT.write_text(json.dumps(golden, indent=2) + "\n")


main()
