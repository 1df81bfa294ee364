"""Real chest CT of LIDC-IDRI on the network's grid: 1.5 mm, z (foot to head), y, x; no one marked lymph nodes in it.

`python data.py DATA CACHE` reads the four training series below DATA and writes one .npz each. The series held out for
validation are never opened here.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage as ndi

TRAIN_SERIES = ("LIDC-IDRI-0001", "LIDC-IDRI-0003", "LIDC-IDRI-0005", "LIDC-IDRI-0007")
LEFT_OUT = ("LIDC-IDRI-0007", "LIDC-IDRI-0001")  # by segmenter 0, 1
SPACING_MM = 1.5
BLOOD_HU = 42  # without contrast medium

# Where nodes are looked for; src/preprocess/search_region.rs looks in nearly the same places.
HALF_WIDTH_MM = 60  # of the mediastinum with the hila
BEHIND_MM = 30  # of the lungs' depth: nothing but spine and muscle
MIN_LOWER_SHARE = 0.35  # of the largest section of a lung: below, the abdomen begins
RIB_MM = 10  # from lung to axilla
AXILLA_MM = 90  # from lung
AXILLA_HEIGHT_MM = 150  # below the apex
AXILLA_DEPTH = 0.7  # of the lungs' depth, from the front


@dataclass
class Volume:
    """One patient on the grid."""

    name: str
    hu: np.ndarray  # int16 [z, y, x]
    iodine: np.ndarray  # int16: how much brighter blood is than without contrast medium
    blob: np.ndarray  # bool: compact soft tissue in fat, perhaps a node: neither node nor background
    region: np.ndarray  # uint8: 1 mediastinum and hila, 2 axillae
    noise_hu: float


def read_series(folder):
    """HU of one series on the grid."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    hu = np.clip(sitk.GetArrayFromImage(image), -1200, 2000).astype(np.float32)
    spacing = np.array(image.GetSpacing()[::-1])
    size = [int((n - 1) * s / SPACING_MM) + 1 for n, s in zip(hu.shape, spacing)]
    return ndi.affine_transform(hu, SPACING_MM / spacing, output_shape=size, order=1, mode="nearest")


def air_within(hu):
    """Aerated lung with its airways."""
    labels, _ = ndi.label(ndi.gaussian_filter(hu, 1) < -400)
    sides = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
    sizes = np.bincount(labels.ravel())
    sizes[np.unique(np.concatenate([side.ravel() for side in sides]))] = 0
    sizes[0] = 0
    return np.isin(labels, np.flatnonzero(sizes * SPACING_MM**3 >= 20_000))


def region_of(hu, lung, spacing=SPACING_MM):
    """1 in mediastinum and hila, 2 in the axillae."""
    region = np.zeros(lung.shape, np.uint8)
    x = np.arange(lung.shape[2])
    middle = np.flatnonzero(lung.any((0, 1)))[[0, -1]].mean()
    area = np.stack([lung[:, :, x < middle].sum((1, 2)), lung[:, :, x >= middle].sum((1, 2))], 1)
    largest, widest = area.max(0), int(area.sum(1).argmax())
    apex = int(np.flatnonzero(lung.any((1, 2)))[-1])
    central = np.abs(x - middle) <= HALF_WIDTH_MM / spacing
    distance = ndi.distance_transform_edt(~lung) * spacing
    for z in np.flatnonzero(lung.any((1, 2))):
        rows = np.flatnonzero(lung[z].any(1))
        front, back = int(rows[0]), int(rows[-1])
        enough = area[z] * spacing**2 >= 100 if z >= widest else area[z] >= MIN_LOWER_SHARE * largest
        if enough.all():
            region[z, front : max(front, int(back + 1 - BEHIND_MM / spacing)), central] = 1
        if z > apex - AXILLA_HEIGHT_MM / spacing:
            depth = slice(front, int(front + AXILLA_DEPTH * (back - front)) + 1)
            beside = (distance[z, depth] > RIB_MM) & (distance[z, depth] <= AXILLA_MM) & ~central & (hu[z, depth] > -300)
            region[z, depth][beside] = 2
    return region


def iodine_of(hu):
    """How much contrast medium adds, where blood is: bright and even, as bone is not."""
    smooth = ndi.gaussian_filter(hu, 1)
    mean = ndi.uniform_filter(smooth, 5)
    deviation = np.sqrt(np.maximum(ndi.uniform_filter(smooth**2, 5) - mean**2, 0))
    core = ndi.binary_opening((smooth > 110) & (smooth < 600) & (deviation < 45))
    labels, _ = ndi.label(core)
    large = np.bincount(labels.ravel()) * SPACING_MM**3 >= 200
    large[0] = False
    core = large[labels].astype(np.float32)
    weight = ndi.gaussian_filter(core, 1.5)
    bright = ndi.gaussian_filter(hu * core, 1.5) / np.maximum(weight, 1e-3)
    near = ndi.binary_dilation(core > 0, iterations=3) & (weight > 1e-3)
    share = np.clip((ndi.gaussian_filter(hu, 0.6) - BLOOD_HU) / np.maximum(bright - BLOOD_HU, 1), 0, 1)
    return np.where(near, share * (bright - BLOOD_HU), 0).clip(0, 1500)


def blobs_of(hu, iodine, region):
    """Compact soft tissue of 4 to 15 mm in fat: perhaps a real node. It trains nothing."""
    tissue = (ndi.gaussian_filter(hu, 0.7) > -20) & (region > 0) & (iodine < 30)
    labels, _ = ndi.label(ndi.binary_erosion(tissue))
    blob = np.zeros(hu.shape, bool)
    for k, box in enumerate(ndi.find_objects(labels), 1):
        inside = np.argwhere(labels[box] == k)
        if not 2 <= len(inside) <= 500:
            continue
        axes = np.sqrt(np.linalg.eigvalsh(np.cov(inside.T) + np.eye(3) / 12)) * 4.5 * SPACING_MM
        if axes[2] <= 3 * axes[0] and axes[0] >= 2 and axes[2] <= 20:
            blob[box] |= labels[box] == k
    return ndi.binary_dilation(blob, iterations=2)


def noise_of(hu):
    """Standard deviation of the finest structure in even soft tissue."""
    smooth = ndi.gaussian_filter(hu, 1)
    even = ndi.binary_erosion((smooth > 20) & (smooth < 90), iterations=2)
    fine = (hu - smooth)[even]
    return float(1.4826 * np.median(np.abs(fine)))


def prepare(data, cache):
    cache.mkdir(parents=True, exist_ok=True)
    for name in TRAIN_SERIES:
        hu = read_series(data / "ct" / name)
        region, iodine = region_of(hu, air_within(hu)), iodine_of(hu)
        blob, noise = blobs_of(hu, iodine, region), noise_of(hu)
        np.savez_compressed(
            cache / f"{name}.npz", hu=hu.round().astype(np.int16), iodine=iodine.astype(np.int16), blob=blob, region=region, noise=noise
        )
        print(name, hu.shape, "blobs", ndi.label(blob)[1], "noise HU", round(noise, 1), "region ml", np.bincount(region.ravel())[1:] * SPACING_MM**3 // 1000)


def load(cache, names=TRAIN_SERIES):
    stored = {name: np.load(cache / f"{name}.npz") for name in names}
    return [Volume(name, s["hu"], s["iodine"], s["blob"], s["region"], float(s["noise"])) for name, s in stored.items()]


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
