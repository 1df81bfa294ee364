"""What the networks say of lesions put into a patient that they never saw: `python inserted.py CACHE OUT --fold K`.

Real series have few nodules among many candidates, crops the opposite. So that the calibration knows both, and what lies
between, a training series is judged again with lesions in it, by the networks that left its patient out, and the patients of
these lesions. Writes inserted_K.npz: the classifier's outputs of every candidate, and what it is.
"""

import numpy as np
import torch
from candidates import found, searched
from classify import predicted
from data import FOLDS, SEGMENTER_FOLDS, Volume, load
from networks import Classifier, segmenter
from patches import normalized, with_lesion
from sliding import probability
from training import arguments

DRAWS = 2  # of each series
LESIONS = 25
BOX = 64
FIRST_LABEL = 100


def with_lesions(volume, crops, rng):
    """The series with lesions in free places of its lungs."""
    hu, label = volume.hu.copy(), volume.label.copy()
    places = np.argwhere(volume.lungs[::3, ::3, ::3]) * 3
    made = 0
    while made < LESIONS:
        start = places[rng.integers(len(places))] - BOX // 2
        box = tuple(slice(max(0, s), s + BOX) for s in start)
        if min(hu[box].shape) < BOX:
            continue
        lesion = with_lesion(rng, hu[box], label[box], volume.lungs[box], crops)
        if lesion:
            hu[box] = lesion[0]
            label[box][lesion[2]] = FIRST_LABEL + made
            made += 1
    return Volume(volume.name, volume.fold, hu, label, volume.lungs, True)


def loaded(network, path):
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def main():
    args = arguments([str(k) for k in range(FOLDS)])
    volumes = load(args.cache)
    fold = int(args.fold)
    (series,) = [v for v in volumes if v.whole and v.fold == fold]
    crops = [v for v in volumes if not v.whole and v.fold == fold]
    finder = loaded(segmenter(), args.out / f"segmenter_{fold % SEGMENTER_FOLDS}.pth").to(memory_format=torch.channels_last_3d)
    judge = loaded(Classifier(), args.out / f"classifier_{fold}.pth")
    outputs, truth = [], []
    for draw in range(DRAWS):
        made = with_lesions(series, crops, np.random.default_rng([fold, draw]))
        candidates = found(made, probability(finder, made.hu, searched(made), normalized))
        outputs.append(predicted(judge, [made], candidates)[0].mean(1))
        truth.append(np.array([c["truth"] for c in candidates]))
        print(series.name, draw, "candidates", len(candidates), "hits", int((truth[-1] == 1).sum()), flush=True)
    np.savez_compressed(args.out / f"inserted_{fold}.npz", outputs=np.concatenate(outputs), truth=np.concatenate(truth))


if __name__ == "__main__":
    main()
