"""Training patches: cut from a volume, changed as scanners and patients differ, normalised."""

import numpy as np
from lesions import DENSE_HU, UNKNOWN_TYPE, place, synthetic, transplant
from scipy import ndimage as ndi

WINDOW = (-1000.0, 400.0, -300.0, 700.0)  # lower, upper, subtract, divide


def normalized(hu):
    lower, upper, subtract, divide = WINDOW
    return (np.clip(hu, lower, upper) - subtract) / divide


def box(volume, centre, size):
    """A cube of `size` around `centre`: HU, label, lungs and where the volume has voxels; the edge goes on outside."""
    start = np.asarray(centre) - size // 2
    index = [np.arange(s, s + size) for s in start]
    inside = [(i >= 0) & (i < n) for i, n in zip(index, volume.hu.shape)]
    index = np.ix_(*[np.clip(i, 0, n - 1) for i, n in zip(index, volume.hu.shape)])
    known = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    return volume.hu[index], volume.label[index], volume.lungs[index], known


def with_lesion(rng, hu, label, lungs, crops, thick=False):
    """A lesion near the middle of a box of lung; its type where it was made. None where there is no room."""
    third = hu.shape[0] // 3
    middle = np.zeros(hu.shape, bool)
    middle[third:-third, third:-third, third:-third] = True
    free = ~ndi.binary_dilation(label > 0, iterations=3)
    centre = place(rng, lungs & middle & free, hu < DENSE_HU)
    if centre is None:
        return None
    if rng.random() < 0.5:
        crop = crops[rng.integers(len(crops))]
        hu, new = transplant(rng, hu, lungs & free, centre, crop.hu, crop.label)
        kind = UNKNOWN_TYPE
    else:
        hu, new, kind = synthetic(rng, hu, lungs & free, centre, thick)
    if new.sum() < 8:
        return None
    return hu, np.where(new, 1, label).astype(np.uint8), new, kind
