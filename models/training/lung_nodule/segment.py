"""Trains one segmenter: `python segment.py CACHE OUT --fold K` (0 and 1 leave half of the patients out, all takes every one)."""

import numpy as np
import torch
from augment import sampled, scanner, turn
from data import IGNORED, SEGMENTER_FOLDS, load
from loss import loss_of
from networks import segmenter
from patches import box, normalized, with_lesion
from training import arguments, forward, train

PATCH, BOX, BATCH = 40, 64, 8
REPLAYED = 400  # hard places remembered


class Patches:
    """Half of a batch holds a nodule, the other half is lung without one, half of that where the network erred before."""

    def __init__(self, volumes, rng):
        self.rng = rng
        self.whole = [v for v in volumes if v.whole]
        self.crops = [v for v in volumes if not v.whole]
        self.nodules = [(v, np.argwhere(v.label == k).mean(0)) for v in self.whole for k in set(np.unique(v.label)) - {0, IGNORED}]
        self.searched = [np.argwhere(v.lungs[::3, ::3, ::3]) * 3 for v in self.whole]
        self.hard = []

    def cut(self, volume, centre):
        hu, label, lungs, known = box(volume, np.round(centre).astype(int), BOX)
        return hu, label, lungs, known

    def anywhere(self):
        which = self.rng.integers(len(self.whole))
        return which, self.searched[which][self.rng.integers(len(self.searched[which]))]

    def positive(self):
        draw = self.rng.random()
        if draw < 0.45:
            crop = self.crops[self.rng.integers(len(self.crops))]
            shift = 12
            return *self.finish(self.cut(crop, np.array(crop.hu.shape) // 2), shift, (0.7, 1.8)), None
        if draw < 0.55:
            volume, centre = self.nodules[self.rng.integers(len(self.nodules))]
            return *self.finish(self.cut(volume, centre), 14, (0.7, 1.5)), None
        while True:
            which, centre = self.anywhere()
            hu, label, lungs, known = self.cut(self.whole[which], centre)
            made = with_lesion(self.rng, hu, label, lungs, self.crops)
            if made:
                return *self.finish((made[0], made[1], lungs, known), 6, (0.8, 1.25)), None

    def negative(self):
        if self.hard and self.rng.random() < 0.5:
            _, which, centre = self.hard[self.rng.integers(len(self.hard))]
            centre = np.asarray(centre) + self.rng.integers(-4, 5, 3)
        else:
            which, centre = self.anywhere()
        return *self.finish(self.cut(self.whole[which], centre), 6, (0.8, 1.25)), (which, tuple(int(c) for c in centre))

    def finish(self, cut, shift, scale):
        hu, label, _, known = cut
        hu = scanner(self.rng, hu)
        where = turn(self.rng, BOX, PATCH, scale, shift)
        one = sampled((label > 0) & (label != IGNORED), where) >= 0.5
        valid = (sampled(known, where) > 0.99) & ~(sampled(label == IGNORED, where) > 0)
        return normalized(sampled(hu, where, "border")).astype(np.float32), one, valid

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
    args = arguments([*map(str, range(SEGMENTER_FOLDS)), "all"], steps=4500, rate=1.5e-3)
    seed = 1000 + (99 if args.fold == "all" else int(args.fold))
    torch.manual_seed(seed)
    volumes = [v for v in load(args.cache) if args.fold == "all" or v.fold % SEGMENTER_FOLDS != int(args.fold)]
    patches = Patches(volumes, np.random.default_rng(seed))
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
