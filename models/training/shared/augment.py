"""Changes of a patch, as scanners and patients differ; a patch cut, turned and scaled."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage as ndi

AIR_HU = -1000


def scanner(rng, hu):
    """Another scanner, dose and contrast medium: thickness, kernel, noise, calibration, iodine."""
    hu = hu.astype(np.float32)
    if rng.random() < 0.3:
        dense = hu > 20
        hu = np.where(dense, 20 + (hu - 20) * rng.uniform(0.6, 2.5), hu)
    return acquired(rng, hu)


def acquired(rng, hu):
    """Another scanner and dose: thickness, kernel, noise, calibration."""
    if rng.random() < 0.35:
        hu = ndi.gaussian_filter1d(hu, rng.uniform(0.4, 1.8), axis=0, mode="nearest")
    kernel = rng.random()
    if kernel < 0.2:
        hu = ndi.gaussian_filter(hu, rng.uniform(0.3, 0.8), mode="nearest")
    elif kernel < 0.45:
        hu = hu + rng.uniform(0.3, 1.2) * (hu - ndi.gaussian_filter(hu, 1, mode="nearest"))
    if rng.random() < 0.5:
        noise = rng.standard_normal(hu.shape).astype(np.float32)
        if rng.random() < 0.6:
            noise = ndi.gaussian_filter(noise, rng.uniform(0.4, 1.0))
            noise /= noise.std()
        hu = hu + noise * rng.uniform(5, 60)
    if rng.random() < 0.5:
        hu = (hu - AIR_HU) * rng.uniform(0.95, 1.05) + AIR_HU + rng.uniform(-20, 20)
    return hu


def turn(rng, box, size, scale, shift):
    """Where the voxels of a patch of `size` lie in a cube of `box`: a random rotation, flip, scale and shift."""
    angles = rng.uniform(-1, 1, 3) * np.array([0.35, 0.35, 3.14159]) if rng.random() < 0.7 else np.zeros(3)
    matrix = euler(angles) * np.exp(rng.uniform(*np.log(scale))) if rng.random() < 0.7 else euler(angles)
    matrix = matrix * rng.choice([1, -1], (3, 1))
    offset = rng.uniform(-shift, shift, 3)
    # affine_grid wants x, y, z and coordinates of -1..1 over the box.
    box_half = box / 2
    theta = np.zeros((1, 3, 4), np.float32)
    theta[0, :, :3] = (matrix * (size / 2 / box_half))[::-1, ::-1]
    theta[0, :, 3] = (offset / box_half)[::-1]
    return F.affine_grid(torch.from_numpy(theta), (1, 1, size, size, size), align_corners=False)


def sampled(array, where, outside="zeros"):
    """Trilinear values of a cube at the places of `turn`."""
    cube = torch.from_numpy(np.ascontiguousarray(array, np.float32))[None, None]
    return F.grid_sample(cube, where, "bilinear", outside, align_corners=False)[0, 0].numpy()


def euler(angles):
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [i for i in range(3) if i != 2 - axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix
