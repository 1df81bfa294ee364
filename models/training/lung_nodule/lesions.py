"""Lesions put into lungs that have none there: nodules of other patients, and made ones.

Both return the new HU of a box and where the lesion is in it. What is denser than the lesion (vessels, the chest wall)
stays as it was.
"""

import numpy as np
from scipy import ndimage as ndi

SOLID, PART_SOLID, GROUND_GLASS = range(3)
UNKNOWN_TYPE = -1
DENSE_HU = -300  # a vessel or the chest wall


def transplant(rng, hu, lungs, centre, crop_hu, crop_mask):
    """A real nodule of a crop, turned at random, into the box `hu` around `centre`."""
    turn, flips = rng.permutation(3), rng.choice([1, -1], 3)
    slices = tuple(slice(None, None, f) for f in flips)
    nodule, mask = np.transpose(crop_hu, turn)[slices], np.transpose(crop_mask, turn)[slices]
    alpha = np.clip(ndi.gaussian_filter(ndi.binary_dilation(mask).astype(np.float32), 0.7) * 1.3, 0, 1)
    middle = np.round(ndi.center_of_mass(mask)).astype(int)
    to, frm = overlap(hu.shape, np.asarray(centre) - middle, mask.shape)
    return blend(hu, lungs, to, alpha[frm], nodule[frm].astype(np.float32), mask[frm] > 0)


def synthetic(rng, hu, lungs, centre, thick=False):
    """A made lesion of 3 to 25 mm; returns its type as well. `thick`: as seen in slices thicker than their pixels are wide."""
    kind = rng.choice([SOLID, PART_SOLID, GROUND_GLASS], p=[0.5, 0.2, 0.3])
    low = {SOLID: 3, PART_SOLID: 6, GROUND_GLASS: 5}[kind]
    radius = np.exp(rng.uniform(np.log(low), np.log(25))) / 2
    half = int(np.ceil(radius * 1.6)) + 4
    grid = np.stack(np.meshgrid(*[np.arange(-half, half + 1, dtype=np.float32)] * 3, indexing="ij"))
    inside = body(rng, grid, radius)
    mask = inside > 0
    spread = (rng.uniform(0.4, 1.4), *[rng.uniform(0.3, 0.8)] * 2) if thick else rng.uniform(0.5, 1.3)
    alpha = soft(inside, spread)
    value = {
        SOLID: rng.uniform(-120, 80),
        PART_SOLID: rng.uniform(-700, -450),
        GROUND_GLASS: rng.uniform(-770, -450),
    }[kind]
    texture = ndi.gaussian_filter(rng.standard_normal(mask.shape).astype(np.float32), 0.8)
    lesion = np.full(mask.shape, value, np.float32) + texture * rng.uniform(20, 120)
    if kind == PART_SOLID:
        shift = rng.uniform(-0.3, 0.3, (3, 1, 1, 1)).astype(np.float32) * radius
        core = soft(body(rng, grid + shift, radius * rng.uniform(0.3, 0.7)), spread if thick else 0.7)
        lesion = lesion * (1 - core) + rng.uniform(-100, 60) * core
    to, frm = overlap(hu.shape, np.asarray(centre) - half, mask.shape)
    return *blend(hu, lungs, to, alpha[frm], lesion[frm], mask[frm]), kind


def body(rng, grid, radius):
    """Positive inside an ellipsoid with lobes and, now and then, spicules; about mm to the surface."""
    axes = rng.uniform(0.75, 1.2, (3, 1, 1, 1)).astype(np.float32)
    turned = np.tensordot(rotation(rng), grid, 1) / axes
    distance = np.sqrt((turned**2).sum(0))
    unit = turned / np.maximum(distance, 1e-3)
    surface = np.ones_like(distance)
    for _ in range(4):
        way = rng.standard_normal(3).astype(np.float32) * 2
        surface += rng.uniform(0, 0.12) * np.cos(np.tensordot(way, unit, 1) + rng.uniform(0, 6.28))
    if rng.random() < 0.25:
        for _ in range(rng.integers(4, 12)):
            way = rng.standard_normal(3).astype(np.float32)
            aligned = np.tensordot(way / np.linalg.norm(way), unit, 1)
            surface += rng.uniform(0.2, 0.6) * np.exp((aligned - 1) * 60)
    return radius * surface - distance


def rotation(rng):
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q.astype(np.float32)


def soft(inside, sigma):
    return ndi.gaussian_filter(np.clip(inside + 0.5, 0, 1).astype(np.float32), sigma)


def overlap(shape, start, size):
    """The part of a box that lies in the volume, and the same part of the box."""
    low = np.maximum(start, 0)
    high = np.minimum(np.asarray(start) + size, shape)
    to = tuple(slice(a, max(a, b)) for a, b in zip(low, high))
    frm = tuple(slice(a - s, max(a, b) - s) for a, b, s in zip(low, high, start))
    return to, frm


def blend(hu, lungs, to, alpha, lesion, mask):
    out, label = hu.copy(), np.zeros(hu.shape, bool)
    before = hu[to].astype(np.float32)
    mixed = before + alpha * (lesion - before)
    dense = before > DENSE_HU
    out[to] = np.where(dense, np.maximum(before, mixed), mixed).round().astype(hu.dtype)
    label[to] = mask & ~(dense & (before >= mixed)) & lungs[to]
    return out, label


def place(rng, lungs, aerated):
    """A voxel for a lesion's centre: anywhere in the lungs, at their border, or beside a vessel."""
    where = rng.random()
    if where < 0.25:
        shell = lungs & ~ndi.binary_erosion(lungs, iterations=5)
        candidates = shell & aerated
    elif where < 0.7:
        candidates = ndi.binary_dilation(lungs & ~aerated, iterations=3) & aerated
    else:
        candidates = lungs & aerated
    found = np.argwhere(candidates)
    return None if len(found) == 0 else found[rng.integers(len(found))]
