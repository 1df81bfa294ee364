"""The network, of nnU-Net's building blocks, so that it comes into Hilum as any trained model does."""

import numpy as np
from blocks import unet

CHANNELS = [16, 32, 48, 48]
KERNELS = [[3, 3, 3]] * 4
STRIDES = [[1, 1, 1]] + [[2, 2, 2]] * 3
CONVS = [1, 2, 2, 2]
DECODER_CONVS = [1, 2, 1]
WINDOW = (-200.0, 300.0, 50.0, 150.0)  # lower, upper, subtract, divide


def segmenter():
    """Normalised patch `[n, 1, z, y, x]` to logits of *lymph node* of the same size."""
    return unet(CHANNELS, KERNELS, STRIDES, CONVS, DECODER_CONVS)


def normalized(hu):
    lower, upper, subtract, divide = WINDOW
    return (np.clip(hu, lower, upper) - subtract) / divide
