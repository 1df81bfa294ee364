"""Trains one segmenter: `python segment.py CACHE OUT --fold K`; 0 and 1 each leave one patient out."""

import numpy as np
import torch
import torch.nn.functional as F
from augment import acquired, sampled, turn
from data import LEFT_OUT, TRAIN_SERIES, load
from mining import Batches
from networks import normalized, segmenter
from nodes import with_nodes
from scipy import ndimage as ndi
from training import arguments, train

PATCH, BOX = 32, 52
BENT_VOXELS = 3.0  # anatomy of other patients: how far it is bent at most, one sigma
KNOTS = 6


class Patches(Batches):
    """Made nodes, and mediastinum and axillae without one."""

    def __init__(self, volumes, rng):
        super().__init__(rng, replayed=300)
        self.volumes = volumes
        # Mediastinum and axillae by turns: the axillae are larger than they are rich.
        self.searched = [[np.argwhere(v.region[::2, ::2, ::2] == k) * 2 for k in (1, 2)] for v in volumes]

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
                return self.finish(made[0], made[1], blob, known, 8)

    def negative(self, which, centre):
        hu, blob, _, known, _ = self.cut(which, centre)
        return self.finish(hu, np.zeros(hu.shape, bool), blob, known, 4)

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


def main():
    args = arguments([str(k) for k in range(len(LEFT_OUT))], steps=7000, rate=1.5e-3)
    fold = int(args.fold)
    torch.manual_seed(3000 + fold)
    names = [name for name in TRAIN_SERIES if name != LEFT_OUT[fold]]
    patches = Patches(load(args.cache, names), np.random.default_rng(3000 + fold))
    net = segmenter()
    train(net, patches, patches.loss(net, args.device), args, f"segmenter_{args.fold}", weight_decay=1e-2, warm_up=0.02)


if __name__ == "__main__":
    main()
