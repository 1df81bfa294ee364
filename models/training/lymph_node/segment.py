"""Trains one segmenter: `python segment.py CACHE OUT --fold K`; 0 and 1 each leave one patient out."""

import numpy as np
import torch
import torch.nn.functional as F
from augment import acquired, sampled, turn
from data import LEFT_OUT, TRAIN_SERIES, load
from loss import loss_of
from networks import normalized, segmenter
from nodes import with_nodes
from scipy import ndimage as ndi
from training import arguments, forward, train

PATCH, BOX, BATCH = 32, 52, 8
REPLAYED = 300  # hard places remembered
BENT_VOXELS = 3.0  # anatomy of other patients: how far it is bent at most, one sigma
KNOTS = 6


class Patches:
    """Half of a batch holds made nodes, the other half none, half of that where the network erred before."""

    def __init__(self, volumes, rng):
        self.rng = rng
        self.volumes = volumes
        # Mediastinum and axillae by turns: the axillae are larger than they are rich.
        self.searched = [[np.argwhere(v.region[::2, ::2, ::2] == k) * 2 for k in (1, 2)] for v in volumes]
        self.hard = []

    def anywhere(self):
        which = self.rng.integers(len(self.volumes))
        places = self.searched[which][int(self.rng.random() < 0.25)]
        return which, places[self.rng.integers(len(places))]

    def cut(self, which, centre):
        """A box: HU with more, less or no contrast medium, blobs, region, what is known; and whether there is any medium."""
        volume = self.volumes[which]
        start = np.asarray(centre) - BOX // 2
        index = [np.arange(s, s + BOX) for s in start]
        inside = [(i >= 0) & (i < n) for i, n in zip(index, volume.hu.shape)]
        known = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
        index = np.ix_(*[np.clip(i, 0, n - 1) for i, n in zip(index, volume.hu.shape)])
        medium = self.rng.uniform(0, 0.08) if self.rng.random() < 0.45 else self.rng.uniform(0.25, 1.5)
        hu = volume.hu[index] - (1 - medium) * volume.iodine[index].astype(np.float32)
        return hu, volume.blob[index], volume.region[index], known, medium > 0.1

    def positive(self):
        while True:
            which, centre = self.anywhere()
            hu, blob, region, known, enhanced = self.cut(which, centre)
            made = with_nodes(self.rng, hu, region, known & ~ndi.binary_dilation(blob, iterations=3), self.volumes[which].noise_hu, enhanced)
            if made and made[1].sum() >= 8:
                return *self.finish(made[0], made[1], blob, known, 8), None

    def negative(self):
        if self.hard and self.rng.random() < 0.5:
            _, which, centre = self.hard[self.rng.integers(len(self.hard))]
            centre = np.asarray(centre) + self.rng.integers(-4, 5, 3)
        else:
            which, centre = self.anywhere()
        hu, blob, _, known, _ = self.cut(which, centre)
        return *self.finish(hu, np.zeros(hu.shape, bool), blob, known, 4), (which, tuple(int(c) for c in centre))

    def finish(self, hu, label, blob, known, shift):
        hu = acquired(self.rng, hu)
        where = self.bent(turn(self.rng, BOX, PATCH, (0.85, 1.2), shift))
        one = sampled(label, where) >= 0.5
        valid = (sampled(known, where) > 0.99) & ((sampled(blob, where) < 0.3) | one)
        return normalized(sampled(hu, where, "border")).astype(np.float32), one, valid

    def bent(self, where):
        if self.rng.random() < 0.4:
            return where
        knots = torch.from_numpy(self.rng.standard_normal((1, 3, KNOTS, KNOTS, KNOTS)).astype(np.float32))
        bend = F.interpolate(knots, size=(PATCH,) * 3, mode="trilinear", align_corners=True).permute(0, 2, 3, 4, 1)
        return where + bend * (self.rng.uniform(0, BENT_VOXELS) / (BOX / 2))

    def batch(self):
        drawn = [self.positive() for _ in range(BATCH // 2)] + [self.negative() for _ in range(BATCH // 2)]
        x, y, valid, source = zip(*drawn)
        stack = lambda a: torch.from_numpy(np.stack(a)[:, None].astype(np.float32))  # noqa: E731
        return stack(x), stack(y), stack(valid), source

    def remember(self, error, source):
        """Keeps the places with the largest error, one a neighbourhood."""
        if source is None:
            return
        which, centre = source
        self.hard = [h for h in self.hard if h[1] != which or np.abs(np.subtract(h[2], centre)).max() > 8]
        self.hard.append((error, which, centre))
        self.hard = sorted(self.hard, key=lambda h: -h[0])[:REPLAYED]


def main():
    args = arguments([str(k) for k in range(len(LEFT_OUT))], steps=4500, rate=1.5e-3)
    fold = int(args.fold)
    torch.manual_seed(3000 + fold)
    names = [name for name in TRAIN_SERIES if name != LEFT_OUT[fold]]
    patches = Patches(load(args.cache, names), np.random.default_rng(3000 + fold))
    net = segmenter()

    def loss(progress):
        *tensors, source = patches.batch()
        x, y, valid = (t.to(args.device, memory_format=torch.channels_last_3d) for t in tensors)
        logits = forward(net, x, args.device)
        wrong = (torch.sigmoid(logits.detach()) * (1 - y) * valid).amax((1, 2, 3, 4))
        for error, place in zip(wrong.tolist(), source):
            patches.remember(error, place)
        return loss_of(logits, y, valid, progress), ()

    train(net, patches, loss, args, f"segmenter_{args.fold}", weight_decay=1e-2, warm_up=0.02)


if __name__ == "__main__":
    main()
