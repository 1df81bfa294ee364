"""Trains one classifier of candidates: `python classify.py CACHE OUT --fold K`; needs candidates.py of every fold.

Then predicts every candidate of the patients that it never saw; calibrate.py joins those of all folds.
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
from augment import sampled, scanner, turn
from data import FOLDS, IGNORED, SEGMENTER_FOLDS, load
from lesions import GROUND_GLASS, PART_SOLID, SOLID, UNKNOWN_TYPE
from networks import Classifier
from patches import box, normalized, with_lesion
from scipy import ndimage as ndi
from training import arguments, forward, train

PATCH, BOX, BATCH = 40, 60, 16


class Samples:
    """Half of a batch are nodules (of crops, of series, put in), half are candidates that are none."""

    def __init__(self, volumes, candidates, rng, thick=False):
        self.rng = rng
        self.thick = thick
        self.hard = None
        self.volumes = {v.name: v for v in volumes}
        self.crops = [v for v in volumes if not v.whole]
        self.whole = [v for v in volumes if v.whole]
        self.searched = [np.argwhere(v.lungs[::3, ::3, ::3]) * 3 for v in self.whole]
        self.nodules = [(v, np.argwhere(v.label == k).mean(0)) for v in self.whole for k in set(np.unique(v.label)) - {0, IGNORED}]
        false = [c for c in candidates if c["truth"] == 0 and c["name"] in self.volumes]
        self.false = {whole: [c for c in false if c["whole"] == whole] for whole in (True, False)}

    def positive(self):
        draw = self.rng.random()
        if draw < 0.55:
            volume = self.crops[self.rng.integers(len(self.crops))]
            centre = np.argwhere(volume.label).mean(0)
            return self.finish(around(volume, centre), (0.75, 1.7), density(volume))
        if draw < 0.65:
            volume, centre = self.nodules[self.rng.integers(len(self.nodules))]
            return self.finish(around(volume, centre), (0.75, 1.5), UNKNOWN_TYPE)
        while True:
            which = self.rng.integers(len(self.whole))
            start = self.searched[which][self.rng.integers(len(self.searched[which]))]
            hu, label, lungs, _ = box(self.whole[which], start, BOX)
            made = with_lesion(self.rng, hu, label, lungs, self.crops, self.thick)
            if made:
                hu, _, new, kind = made
                return self.finish(moved(hu, new), (0.8, 1.25), kind)

    def negative(self):
        draw = self.rng.random()
        if draw < 0.15:
            which = self.rng.integers(len(self.whole))
            start = self.searched[which][self.rng.integers(len(self.searched[which]))]
            hu, label, *_ = box(self.whole[which], start, BOX)
            middle = slice(BOX // 2 - 6, BOX // 2 + 6)
            if label[middle, middle, middle].any():
                return self.negative()
            return self.finish(hu, (0.8, 1.25), UNKNOWN_TYPE)
        pool = self.false[draw < 0.7]
        candidate = pool[self.rng.integers(len(pool))]
        return self.finish(around(self.volumes[candidate["name"]], candidate["centre"]), (0.8, 1.3), UNKNOWN_TYPE)

    def finish(self, hu, scale, kind):
        hu = scanner(self.rng, hu)
        hu = sampled(hu, turn(self.rng, BOX, PATCH, scale, 3), "border")
        return normalized(self.cut_off(hu)).astype(np.float32), kind

    def cut_off(self, hu):
        """The edge of a volume goes on: that must tell nothing, since crops have more of it than series."""
        if self.rng.random() < 0.4:
            axis, depth = self.rng.integers(3), self.rng.integers(4, 15)
            index = np.clip(np.arange(PATCH), depth, None) if self.rng.random() < 0.5 else np.clip(np.arange(PATCH), None, PATCH - 1 - depth)
            hu = np.take(hu, index, axis)
        return hu

    def batch(self):
        drawn = [self.positive() for _ in range(BATCH // 2)] + [self.negative() for _ in range(BATCH // 2)]
        x = torch.from_numpy(np.stack([d[0] for d in drawn])[:, None])
        y = torch.tensor([1.0] * (BATCH // 2) + [0.0] * (BATCH // 2))
        return x, y, torch.tensor([d[1] for d in drawn])


def density(volume):
    """The type of a crop's nodule where its attenuation leaves no doubt; nobody rated the crops."""
    # Readers draw generously: what lies at the border is half lung, in a solid nodule too.
    inside = volume.hu[ndi.binary_erosion(volume.label > 0, iterations=2)]
    if len(inside) < 15:
        return UNKNOWN_TYPE
    solid = (inside > -300).mean()
    if solid > 0.9:
        return SOLID
    if solid < 0.05 and np.median(inside) < -450:
        return GROUND_GLASS
    if 0.2 < solid < 0.7 and np.percentile(inside, 25) < -450 and len(inside) > 100:
        return PART_SOLID
    return UNKNOWN_TYPE


def around(volume, centre, size=BOX):
    return box(volume, np.round(centre).astype(int), size)[0]


def moved(hu, new):
    """The box turned so that the new lesion lies in its middle; the edge goes on."""
    centre = np.argwhere(new).mean(0)
    offset = np.round(centre).astype(int) - np.array(hu.shape) // 2
    index = np.ix_(*[np.clip(np.arange(n) + o, 0, n - 1) for n, o in zip(hu.shape, offset)])
    return hu[index]


def predicted(net, volumes, candidates):
    """Outputs and features of candidates as they are, and of their mirror image along x."""
    by_name = {v.name: v for v in volumes}
    outputs, features = [], []
    for candidate in candidates:
        patch = normalized(around(by_name[candidate["name"]], candidate["centre"], PATCH)).astype(np.float32)
        x = torch.from_numpy(np.stack([patch, patch[:, :, ::-1]])[:, None].copy())
        with torch.inference_mode():
            f = net.features(x)
            outputs.append(net.head(f).numpy())
            features.append(f[0].numpy())
    return np.stack(outputs), np.stack(features)


def main():
    args = arguments([str(k) for k in range(FOLDS)], steps=2500, rate=1e-3)
    fold = int(args.fold)
    torch.manual_seed(2000 + fold)
    volumes = load(args.cache)
    candidates = [c for k in range(SEGMENTER_FOLDS) for c in json.loads((args.out / f"candidates_{k}.json").read_text())["candidates"]]
    rng = np.random.default_rng(2000 + fold)
    samples = Samples([v for v in volumes if v.fold != fold], [c for c in candidates if c["fold"] != fold], rng)
    print("false candidates", {k: len(v) for k, v in samples.false.items()}, flush=True)
    net = Classifier()
    trained = torch.load(args.out / f"segmenter_{fold % SEGMENTER_FOLDS}.pth", weights_only=True)
    prefix = "encoder."
    net.encoder.load_state_dict({k[len(prefix) :]: v for k, v in trained.items() if k.startswith(prefix)})

    def loss(_progress):
        x, y, kind = (t.to(args.device) for t in samples.batch())
        out = forward(net, x, args.device)
        loss = F.binary_cross_entropy_with_logits(out[:, 0], y * 0.98 + 0.01)
        if (kind >= 0).any():
            loss = loss + 0.3 * F.cross_entropy(out[:, 1:][kind >= 0], kind[kind >= 0])
        return loss, (((out[:, 0] > 0) == (y > 0.5)).float().mean().item(),)

    train(net, samples, loss, args, f"classifier_{fold}", weight_decay=2e-2, warm_up=0.1)
    net.eval().to("cpu")
    held_out = [c for c in candidates if c["fold"] == fold]
    outputs, features = predicted(net, volumes, held_out)
    np.savez_compressed(args.out / f"predictions_{fold}.npz", outputs=outputs, features=features)


if __name__ == "__main__":
    main()
