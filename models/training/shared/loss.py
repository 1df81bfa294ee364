"""The segmenters' loss."""

import torch
import torch.nn.functional as F

BACKGROUND = (5.0, 60.0)  # weight of the background's mean cross-entropy beside the lesions', at the first and last step


def loss_of(logits, y, valid, progress):
    """Of each lesion patch: its own Dice and mean cross-entropy; and the cross-entropy of the background.

    A lesion of 4 mm counts as much as one of 25 mm. First the network learns to see them, then to be choosy.
    """
    y, valid, logits = (t.flatten(1) for t in (y * valid, valid, logits))
    entropy = F.binary_cross_entropy_with_logits(logits, y, reduction="none") * valid
    background = BACKGROUND[0] * (BACKGROUND[1] / BACKGROUND[0]) ** progress * (entropy * (1 - y)).mean()
    holds = y.sum(1) > 0
    if not holds.any():
        return background
    p, y, entropy = (torch.sigmoid(logits) * valid)[holds], y[holds], entropy[holds]
    dice = 1 - 2 * (p * y).sum(1) / (p.sum(1) + y.sum(1))
    return dice.mean() + ((entropy * y).sum(1) / y.sum(1)).mean() + background
