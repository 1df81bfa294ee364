"""Writes golden.json: small volumes resampled and smoothed by SciPy and Pillow, which share no code with Hilum.

    python make.py > golden.json        (numpy, scipy 1.17.1, pillow 13.0.0)
"""

import json
import math

import numpy as np
from PIL import Image
from scipy import ndimage

rng = np.random.default_rng(20)


def listed(array):
    return [round(float(v), 4) for v in np.asarray(array, np.float64).ravel()]


# Trilinear through an oblique affine; positions are source indices z, y, x. Outside the source SciPy repeats the edge
# within half a voxel as Hilum does; beyond, Hilum has background, so those voxels are null.
source = rng.integers(-1000, 1000, (5, 6, 7)).astype(np.float64)
a, b = math.radians(17), math.radians(-28)
turn_z = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
turn_x = np.array([[math.cos(b), -math.sin(b), 0], [math.sin(b), math.cos(b), 0], [0, 0, 1]])
matrix = turn_z @ turn_x @ np.diag([0.9, 0.6, 0.7])
offset = np.array([0.3, -0.4, 0.6])
target_size = (6, 7, 8)
index = np.stack(np.meshgrid(*map(np.arange, target_size), indexing="ij"), -1)
position = index @ matrix.T + offset
values = ndimage.map_coordinates(source, position.transpose(3, 0, 1, 2), order=1, mode="nearest")
last = np.array(source.shape) - 1
inside = ((position >= -0.5) & (position <= last + 0.5)).all(-1)
trilinear = [v if i else None for v, i in zip(listed(values), inside.ravel().tolist())]

# Catmull-Rom: Pillow's bicubic filter has the same kernel (a = -0.5) when it enlarges. It normalises at the border
# instead of repeating the edge, so the two outermost source pixels are left out of the comparison.
flat = rng.integers(-1000, 1000, (8, 9)).astype(np.float32)
enlarged = np.asarray(Image.fromarray(flat, "F").resize((18, 16), Image.BICUBIC))

sigma = [0.8, 1.5, 0.6]
smoothed = ndimage.gaussian_filter(source, sigma, mode="nearest", truncate=4.0)

json.dump(
    {
        "source_size": source.shape,
        "source": listed(source),
        "trilinear": {
            "target_size": target_size,
            "matrix_zyx": matrix.tolist(),
            "offset_zyx": offset.tolist(),
            "values": trilinear,
        },
        "cubic": {"source_size": flat.shape, "source": listed(flat), "factor": 2, "values": listed(enlarged)},
        "smooth": {"sigma_voxels": sigma, "values": listed(smoothed)},
    },
    open("/dev/stdout", "w"),
)
