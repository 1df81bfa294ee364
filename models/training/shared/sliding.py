"""What a segmenter says of a whole volume."""

import numpy as np
import torch

PATCH, STEP = 96, 64


def probability(net, hu, inside, normalized):
    """Probability of the lesion `inside`, by overlapping patches; 0 elsewhere. `normalized` makes input of HU."""
    pad = [(16, 16 + (-n) % 8) for n in hu.shape]
    x = normalized(np.pad(hu, pad, mode="edge")).astype(np.float32)
    where = np.pad(inside, pad)
    sums, weights = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    # Only the middle of a patch counts fully: its border saw less.
    for start in np.ndindex(*[max(1, -(-(n - PATCH) // STEP) + 1) for n in x.shape]):
        low = [max(0, min(i * STEP, n - PATCH)) for i, n in zip(start, x.shape)]
        cut = tuple(slice(s, min(s + PATCH, n)) for s, n in zip(low, x.shape))
        if not where[cut].any():
            continue
        patch = torch.from_numpy(np.ascontiguousarray(x[cut]))[None, None].to(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            p = torch.sigmoid(net(patch).float())[0, 0].numpy()
        weight = np.ones((1, 1, 1), np.float32)
        for axis, n in enumerate(p.shape):
            ramp = np.minimum(np.arange(n) + 1, n - np.arange(n)).clip(max=16) / 16
            weight = weight * (ramp**2).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
        sums[cut] += p * weight
        weights[cut] += weight
    mean = np.where(where, sums / np.maximum(weights, 1e-6), 0)
    return mean[tuple(slice(16, 16 + n) for n in hu.shape)]
