"""Batches of a segmenter: half of each holds a lesion, the other half none, half of that from where the network erred before."""

import numpy as np
import torch
from loss import loss_of
from training import forward

BATCH = 8
APART = 8  # voxels between two of them
JITTER = 4  # voxels


class Batches:
    """Where patches come from is a subclass's: `anywhere()` gives a volume's number and a place in it; `positive()` and
    `negative(which, centre)` give a patch, where the lesion is in it, and which of its voxels train.

    `replayed` hard places are remembered.
    """

    def __init__(self, rng, replayed):
        self.rng = rng
        self.replayed = replayed
        self.hard = []

    def batch(self):
        """Patches, lesions and valid voxels, each `[n, 1, z, y, x]`, and where those without a lesion come from."""
        drawn = [(*self.positive(), None) for _ in range(BATCH // 2)]
        for _ in range(BATCH // 2):
            which, centre = self.without_lesion()
            drawn.append((*self.negative(which, centre), (which, tuple(int(c) for c in centre))))
        *arrays, sources = zip(*drawn)
        return [torch.from_numpy(np.stack(a)[:, None].astype(np.float32)) for a in arrays], sources

    def without_lesion(self):
        if not self.hard or self.rng.random() >= 0.5:
            return self.anywhere()
        _, which, centre = self.hard[self.rng.integers(len(self.hard))]
        return which, np.asarray(centre) + self.rng.integers(-JITTER, JITTER + 1, 3)

    def remember(self, error, source):
        """Keeps the places with the largest error, one a neighbourhood."""
        if source is None:
            return
        which, centre = source
        self.hard = [h for h in self.hard if h[1] != which or np.abs(np.subtract(h[2], centre)).max() > APART]
        self.hard.append((error, which, centre))
        self.hard = sorted(self.hard, key=lambda h: -h[0])[: self.replayed]

    def loss(self, net, device):
        """For `training.train`: draws a batch, remembers where `net` is wrong, and gives its loss."""

        def of_a_batch(progress):
            tensors, sources = self.batch()
            x, y, valid = (t.to(device, memory_format=torch.channels_last_3d) for t in tensors)
            logits = forward(net, x, device)
            wrong = (torch.sigmoid(logits.detach()) * (1 - y) * valid).amax((1, 2, 3, 4))
            for error, source in zip(wrong.tolist(), sources):
                self.remember(error, source)
            return loss_of(logits, y, valid, progress), ()

        return of_a_batch
