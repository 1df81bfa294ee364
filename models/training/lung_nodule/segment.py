"""Trains one segmenter: `python segment.py CACHE OUT --fold K` (0 and 1 leave half of the patients out, all takes every one)."""

import numpy as np
import torch
from augment import sampled, scanner, turn
from data import IGNORED, SEGMENTER_FOLDS, load
from mining import Batches
from networks import segmenter
from patches import box, normalized, with_lesion
from training import arguments, train

PATCH, BOX = 40, 64


class Patches(Batches):
    """Nodules of patients and made ones, and lung without one."""

    def __init__(self, volumes, rng):
        super().__init__(rng, replayed=400)
        self.whole = [v for v in volumes if v.whole]
        self.crops = [v for v in volumes if not v.whole]
        self.nodules = [(v, np.argwhere(v.label == k).mean(0)) for v in self.whole for k in set(np.unique(v.label)) - {0, IGNORED}]
        self.searched = [np.argwhere(v.lungs[::3, ::3, ::3]) * 3 for v in self.whole]

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
            return self.finish(self.cut(crop, np.array(crop.hu.shape) // 2), 12, (0.7, 1.8))
        if draw < 0.55:
            volume, centre = self.nodules[self.rng.integers(len(self.nodules))]
            return self.finish(self.cut(volume, centre), 14, (0.7, 1.5))
        while True:
            which, centre = self.anywhere()
            hu, label, lungs, known = self.cut(self.whole[which], centre)
            made = with_lesion(self.rng, hu, label, lungs, self.crops)
            if made:
                return self.finish((made[0], made[1], lungs, known), 6, (0.8, 1.25))

    def negative(self, which, centre):
        return self.finish(self.cut(self.whole[which], centre), 6, (0.8, 1.25))

    def finish(self, cut, shift, scale):
        hu, label, _, known = cut
        hu = scanner(self.rng, hu)
        where = turn(self.rng, BOX, PATCH, scale, shift)
        one = sampled((label > 0) & (label != IGNORED), where) >= 0.5
        valid = (sampled(known, where) > 0.99) & ~(sampled(label == IGNORED, where) > 0)
        return normalized(sampled(hu, where, "border")).astype(np.float32), one, valid


def main():
    args = arguments([*map(str, range(SEGMENTER_FOLDS)), "all"], steps=4500, rate=1.5e-3)
    seed = 1000 + (99 if args.fold == "all" else int(args.fold))
    torch.manual_seed(seed)
    volumes = [v for v in load(args.cache) if args.fold == "all" or v.fold % SEGMENTER_FOLDS != int(args.fold)]
    patches = Patches(volumes, np.random.default_rng(seed))
    net = segmenter()
    train(net, patches, patches.loss(net, args.device), args, f"segmenter_{args.fold}", weight_decay=1e-2, warm_up=0.02)


if __name__ == "__main__":
    main()
