"""Lymph nodes put where there were none: the tissue about them is pushed aside, partly, and keeps its HU.

A node grows in fat, or at its border with vessels, the oesophagus and the airways. What it pushes moves along the rays from its
centre, so that vessels beside it bend around it and stay whole; what it does not push it takes the place of.
"""

import numpy as np
import torch
import torch.nn.functional as F
from data import SPACING_MM
from scipy import ndimage as ndi

SHORT_MM = (5, 30)
FAT_HU = (-140, -30)
TISSUE_HU = (-30, 80)
AIR_HU = -300
PLAIN_HU, ENHANCED_HU = (20, 60), (55, 115)


def with_nodes(rng, hu, region, free, noise_hu, enhanced):
    """One node near the middle of a box, now and then more beside it: the new HU and where they are. None where there is no room."""
    centre = place(rng, hu, region, free)
    if centre is None:
        return None
    short_mm = np.exp(rng.uniform(*np.log(SHORT_MM)))
    mean_hu = rng.uniform(*(ENHANCED_HU if enhanced else PLAIN_HU))
    hu, label = node(rng, hu, centre, short_mm, mean_hu, noise_hu)
    for _ in range(rng.choice([0, 1, 2], p=[0.75, 0.17, 0.08])):
        beside = np.exp(rng.uniform(np.log(5), np.log(short_mm + 1)))
        way = rng.standard_normal(3)
        apart = (short_mm + beside) / 2 / SPACING_MM * rng.uniform(0.9, 1.6)
        hu, other = node(rng, hu, centre + way / np.linalg.norm(way) * apart, beside, mean_hu + rng.uniform(-10, 10), noise_hu)
        label |= other
    return hu, label


def place(rng, hu, region, free):
    """A place in the middle third: in fat, or at the border of fat and soft tissue."""
    third = hu.shape[0] // 3
    middle = tuple(slice(third, n - third) for n in hu.shape)
    low, high = FAT_HU if rng.random() < 0.65 else TISSUE_HU
    near = ndi.uniform_filter(hu, 3)[middle]
    airless = ndi.minimum_filter(hu, 3)[middle] > AIR_HU
    possible = (near > low) & (near < high) & airless & (region[middle] > 0) & free[middle]
    if high == TISSUE_HU[1]:
        possible &= ndi.binary_dilation(near < FAT_HU[1], iterations=2) & (near > FAT_HU[0])
    found = np.argwhere(possible)
    return None if len(found) == 0 else found[rng.integers(len(found))] + third


def node(rng, hu, centre, short_mm, mean_hu, noise_hu):
    """A node in the box: the new HU, and where it is."""
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) - np.float32(c) for n, c in zip(hu.shape, centre)], indexing="ij"))
    short = short_mm / SPACING_MM
    rho = shape(rng, grid, short / 2)
    radius = np.maximum(np.sqrt((grid**2).sum(0)), 0.1)
    outside = (1 - 1 / np.maximum(rho, 1e-2)) * radius  # voxels to the surface, along the ray; negative inside
    pushed = push(hu, grid, rho, rng.uniform(0.0, 1.0))
    hard = (pushed > 300) & (outside > -1)  # bone beside it stays
    if rng.random() < 0.35:  # the fat plane is effaced, on one side
        pushed = effaced(rng, pushed, grid, outside)
    alpha = np.clip(0.5 - outside / rng.uniform(0.8, 1.6), 0, 1)
    body = interior(rng, grid, rho, mean_hu, noise_hu, short_mm)
    out = pushed + alpha * (body - pushed)
    out = np.where(hard, np.maximum(pushed, out), out)
    return out.astype(np.float32), (outside < 0) & ~hard


def shape(rng, grid, half):
    """1 on the surface of an ellipsoid, bent as a bean in part, with lobes; half its short axis is `half`."""
    axes = half * np.array([1, rng.uniform(1, 1.3), rng.uniform(1, 1.4 if half > 7 else 1.9)], np.float32)
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    x = np.tensordot(q.astype(np.float32), grid, 1)
    if rng.random() < 0.4:
        x[0] += rng.uniform(0.2, 0.5) * half * ((x[2] / axes[2]) ** 2).clip(max=4) - 0.1 * half
    x /= axes[:, None, None, None]
    rho = np.sqrt((x**2).sum(0))
    unit = x / np.maximum(rho, 1e-3)
    lobes = rng.uniform(0, 0.12) if rng.random() < 0.5 else 0.0
    surface = np.ones_like(rho)
    for _ in range(3 if lobes else 0):
        way = rng.standard_normal(3).astype(np.float32) * 2.5
        surface += lobes * np.cos(np.tensordot(way, unit, 1) + rng.uniform(0, 6.28))
    return rho / surface


def push(hu, grid, rho, share):
    """What was within `share` of the node's volume now lies about it, squeezed towards its surface."""
    scale = np.cbrt(np.maximum(1 - share / np.maximum(rho, 1) ** 3, 0)).astype(np.float32)
    moved = grid * (scale - 1)
    at = [np.arange(n, dtype=np.float32).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(hu.shape)]
    where = [2 * (at[a] + moved[a]) / (hu.shape[a] - 1) - 1 for a in (2, 1, 0)]
    where = torch.from_numpy(np.stack(where, -1).astype(np.float32))[None]
    cube = torch.from_numpy(np.ascontiguousarray(hu, np.float32))[None, None]
    return F.grid_sample(cube, where, "bilinear", "border", align_corners=True)[0, 0].numpy()


def effaced(rng, hu, grid, outside):
    """Strands of soft tissue in the fat beside the node."""
    way = rng.standard_normal(3).astype(np.float32)
    side = np.tensordot(way / np.linalg.norm(way), grid, 1) > 0
    share = np.clip(1 - outside / rng.uniform(1, 3), 0, 1) * rng.uniform(0.3, 0.9) * ndi.gaussian_filter(side.astype(np.float32), 1)
    return np.where(hu < 0, hu + share * (rng.uniform(-30, 25) - hu), hu)


def interior(rng, grid, rho, mean_hu, noise_hu, short_mm):
    """HU within: even or a little uneven, with a fatty hilum, a dark centre or chalk in some, and the scan's noise."""
    body = np.full(rho.shape, mean_hu, np.float32)
    if rng.random() < 0.4:
        slow = ndi.gaussian_filter(rng.standard_normal(rho.shape).astype(np.float32), 2)
        body += slow / slow.std() * rng.uniform(3, 12)
    kind = rng.random()
    if kind < 0.3 and short_mm > 7:
        half = short_mm / SPACING_MM / 2
        way = rng.standard_normal((3, 1, 1, 1)).astype(np.float32)
        off = grid - way / np.linalg.norm(way) * half * rng.uniform(0.2, 0.8)
        hilum = np.clip(1.2 - np.sqrt((off**2).sum(0)) / (half * rng.uniform(0.3, 0.6)), 0, 1)
        body += hilum * (rng.uniform(-90, -20) - body)
    elif kind < 0.4 and short_mm > 12:
        body -= np.clip(1.3 - rho * rng.uniform(1.3, 2), 0, 1) * rng.uniform(10, 40)
    elif kind < 0.43:
        body += np.clip(1 - rho * rng.uniform(2, 4), 0, 1) * rng.uniform(100, 400)
    noise = ndi.gaussian_filter(rng.standard_normal(rho.shape).astype(np.float32), rng.uniform(0.35, 0.7))
    fine = noise - ndi.gaussian_filter(noise, 1)
    return body + noise / fine.std() * noise_hu * rng.uniform(0.7, 1.3)
