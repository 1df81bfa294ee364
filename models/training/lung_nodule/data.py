"""Real chest CT and nodule crops of LIDC-IDRI on the networks' grid: 1 mm, z (foot to head), y, x.

`python data.py DATA CACHE` reads the four training series and the crops below DATA and writes one .npz each. The series
held out for validation are never opened here.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from scipy import ndimage as ndi

TRAIN_SERIES = ("LIDC-IDRI-0001", "LIDC-IDRI-0003", "LIDC-IDRI-0005", "LIDC-IDRI-0007")
FOLDS = len(TRAIN_SERIES)
SEGMENTER_FOLDS = 2  # segmenter K leaves out the patients whose fold is K modulo this
IGNORED = 255  # a mark of one or two readers: neither nodule nor background
MIN_READERS = 3


@dataclass
class Volume:
    """One patient on the grid. `fold` is the one that holds it out."""

    name: str
    fold: int
    hu: np.ndarray  # int16 [z, y, x]
    label: np.ndarray  # uint8: 0, 1.. a nodule, IGNORED
    lungs: np.ndarray  # bool: lungs closed over vessels and nodules; of a crop everything
    whole: bool  # a whole series, not a crop


def to_grid(array, spacing_zyx_mm, order):
    """`array` at 1 mm, its first voxel where it was; trilinear for `order` 1."""
    size = [int((n - 1) * s) + 1 for n, s in zip(array.shape, spacing_zyx_mm)]
    return ndi.affine_transform(array, 1 / np.asarray(spacing_zyx_mm), output_shape=size, order=order, mode="nearest")


def lungs_of(hu):
    """Both lungs, closed over what lies in and at them (20 mm), as the product's search does it, at 2 mm."""
    small = ndi.gaussian_filter(hu.astype(np.float32), 1)[::2, ::2, ::2]
    labels, _ = ndi.label(small < -400)
    sides = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
    outside = np.unique(np.concatenate([side.ravel() for side in sides]))
    sizes = np.bincount(labels.ravel())
    sizes[outside] = 0
    sizes[0] = 0
    lungs = np.isin(labels, np.flatnonzero(sizes * 0.008 >= 20))  # ml
    padded = np.pad(lungs, 12)
    closed = ndi.distance_transform_edt(padded) > 0
    closed = ndi.distance_transform_edt(~closed) <= 10
    closed = ndi.distance_transform_edt(closed) > 10
    closed = closed[12:-12, 12:-12, 12:-12] | lungs
    up = np.repeat(np.repeat(np.repeat(closed, 2, 0), 2, 1), 2, 2)
    return up[: hu.shape[0], : hu.shape[1], : hu.shape[2]]


def read_series(folder, truth):
    """HU and consensus labels of one series, at 1 mm."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    hu = np.clip(sitk.GetArrayFromImage(image), -1200, 2000).astype(np.float32)
    spacing = image.GetSpacing()[::-1]
    marks = np.asarray(nibabel.load(truth.with_suffix(".nii.gz")).dataobj)
    marks = np.transpose(marks, (2, 1, 0))
    nodules = json.loads(truth.read_text())["nodules"]
    # The label map's axes may count down; centroids of the JSON decide.
    if not all(near(marks, n) for n in nodules):
        raise SystemExit(f"{truth}: label map and centroids disagree")
    label = np.zeros([int((n - 1) * s) + 1 for n, s in zip(hu.shape, spacing)], np.uint8)
    for nodule in nodules:
        inside = to_grid((marks == nodule["label"]).astype(np.float32), spacing, 1) >= 0.5
        label[inside] = nodule["label"] if nodule["readers"] >= MIN_READERS else IGNORED
    return to_grid(hu, spacing, 1).round().astype(np.int16), label, nodules


def near(marks, nodule):
    found = np.argwhere(marks == nodule["label"]).mean(0)
    return np.abs(found - nodule["centroid_index_zyx"]).max() < 2


def prepare(data, cache):
    cache.mkdir(parents=True, exist_ok=True)
    for fold, name in enumerate(TRAIN_SERIES):
        truth = data / "ct" / f"{name}.truth.json"
        folder = data / "ct" / name
        hu, label, nodules = read_series(folder, truth)
        lungs = lungs_of(hu)
        types = {str(n["label"]): float(np.mean(n["ratings"]["texture"])) for n in nodules}
        np.savez_compressed(cache / f"{name}.npz", hu=hu, label=label, lungs=lungs, fold=fold, types=json.dumps(types))
        print(name, hu.shape, "lungs ml", int(lungs.sum() / 1000), "nodules", sorted(set(np.unique(label)) - {0, IGNORED}))
    crops = np.load(data / "crops" / "lidc_nodule_crops.npz")
    masks = np.unpackbits(crops["mask"], axis=-1)[..., : crops["hu"].shape[-1]]
    np.savez_compressed(cache / "crops.npz", hu=crops["hu"], mask=masks, names=crops["names"])
    print("crops", crops["hu"].shape)


def load(cache):
    """All patients, once each: four whole series and the crops of others, in a fixed order, each with its fold."""
    volumes = []
    for name in TRAIN_SERIES:
        stored = np.load(cache / f"{name}.npz")
        volumes.append(Volume(name, int(stored["fold"]), stored["hu"], stored["label"], stored["lungs"], True))
    crops = np.load(cache / "crops.npz")
    patients = [str(n).split("/")[0] for n in crops["names"]]
    folds = {p: i % FOLDS for i, p in enumerate(sorted(set(patients)))}
    for patient, hu, mask in zip(patients, crops["hu"], crops["mask"]):
        if patient in TRAIN_SERIES:  # the same nodule again, maybe in another fold
            continue
        volumes.append(Volume(patient, folds[patient], hu, mask, np.ones(hu.shape, bool), False))
    return volumes


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
