"""Fits the part of a classifier that tells types apart: `python nodule_types.py CACHE OUT --fold K`; needs classifier_K.pth.

The encoder and the logit of a lesion stay as classify.py left them; only the rows of the types are fitted anew: on nodules of
series by their readers' texture, on those of crops whose attenuation leaves no doubt, and on made lesions. Writes the
classifier back, and types_K.json.
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
from classify import Samples, around
from data import FOLDS, SEGMENTER_FOLDS, load
from lesions import GROUND_GLASS, PART_SOLID, SOLID
from networks import TYPES, Classifier
from training import arguments

DRAWS = 2000
RATED = 0.25  # share of nodules of series
DECAY = 1e-3


def rated(cache, volumes):
    """Centre of every nodule of a series, with the type that its readers' mean texture says (1 ground glass, 5 solid)."""
    found = []
    for volume in (v for v in volumes if v.whole):
        for label, texture in json.loads(str(np.load(cache / f"{volume.name}.npz")["types"])).items():
            inside = volume.label == int(label)
            kind = SOLID if texture >= 4 else GROUND_GLASS if texture < 2 else PART_SOLID
            if inside.any():
                found.append((volume, np.argwhere(inside).mean(0), kind))
    return found


def drawn(samples, nodules, net):
    """Features and types of positives of a known type."""
    features, kinds = [], []

    def positive():
        if samples.rng.random() > RATED:
            return samples.positive()
        volume, centre, kind = nodules[samples.rng.integers(len(nodules))]
        return samples.finish(around(volume, centre), (0.75, 1.25), kind)

    while len(kinds) < DRAWS:
        patches, types = zip(*[positive() for _ in range(16)])
        x = torch.from_numpy(np.stack(patches)[:, None])
        with torch.inference_mode():
            found = net.features(x)
        keep = [i for i, kind in enumerate(types) if kind >= 0]
        features += [found[i] for i in keep]
        kinds += [types[i] for i in keep]
    return torch.stack(features).clone(), torch.tensor(kinds)


def fitted(features, kinds):
    """Weights and bias of the types: multinomial regression, each type of equal weight."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    x = (features - mean) / spread
    share = torch.bincount(kinds, minlength=len(TYPES)) / len(kinds)
    layer = torch.nn.Linear(x.shape[1], len(TYPES))
    torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), kinds, weight=1 / (share + 1e-3)) + DECAY * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = layer.weight.detach() / spread
    return weight, layer.bias.detach() - weight @ mean, (layer(x).argmax(1) == kinds).float().mean().item(), share.tolist()


def main():
    args = arguments([str(k) for k in range(FOLDS)])
    fold = int(args.fold)
    volumes = load(args.cache)
    candidates = [c for k in range(SEGMENTER_FOLDS) for c in json.loads((args.out / f"candidates_{k}.json").read_text())["candidates"]]
    volumes = [v for v in volumes if v.fold != fold]
    samples = Samples(volumes, [c for c in candidates if c["fold"] != fold], np.random.default_rng(3000 + fold), thick=True)
    path = args.out / f"classifier_{fold}.pth"
    net = Classifier()
    net.load_state_dict(torch.load(path, weights_only=True))
    weight, bias, accuracy, share = fitted(*drawn(samples, rated(args.cache, volumes), net.eval()))
    report = {"drawn": dict(zip(TYPES, share)), "accuracy_where_fitted": accuracy}
    print(report, flush=True)
    with torch.no_grad():
        net.head.weight[1:], net.head.bias[1:] = weight, bias
    torch.save(net.state_dict(), path)
    (args.out / f"types_{fold}.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
